//! What watches and feeds hear of the store, and how they wait for it.
//!
//! A [`Subscription`] observes ranges of keys. The store tells its [`Signal`] the stamp of every
//! commit that touches them, and the signal keeps the newest one, whatever becomes of the consumer
//! meanwhile. A consumer knows the stamp of the moment that it has seen. There is news for it while
//! the newest stamp told is above that, and the subscription then gives it a snapshot that sees it.
//!
//! 1. *Nothing is missed.* The subscription begins before the first snapshot is taken: a commit is
//!    in that snapshot, or it is told. What is told is a stamp, which stays until a snapshot at or
//!    above it was taken; and a snapshot is taken only when the stamp told last is visible.
//! 2. *Nothing heaps up.* A signal is one stamp, one flag, and the wakers of one consumer.
//! 3. *The store never drops a waker of a consumer.* It calls the signal under its write lock, where
//!    a waker may be woken, but not dropped: it may own a task that owns the last handle of the
//!    store, whose drop takes the same lock. So wakers that were called are kept, and dropped by the
//!    consumer when it comes back.
//! 4. *No waker is called under the lock of the signal*: a waker may poll at once.
//!
//! A subscription owns a handle of the store, so the store stays open until the subscription ends:
//! by [`Kv::close`], by a [`Canceller`], by an error, or by being dropped.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker, ready};

use icecore_engine as engine;
use icecore_engine::{Observation, Observer, Touched};
use icecore_model::Versionstamp;
use icecore_sync::{Condvar, Mutex, MutexGuard, lock};

use crate::error::{Error, ErrorKind};
use crate::kv::Kv;

/// What a consumer does while there is no news.
#[derive(Clone, Copy)]
pub(crate) enum Patience<'a> {
    /// It waits.
    Block,
    /// It goes away, and wants to be woken.
    Wake(&'a Waker),
}

impl Patience<'_> {
    /// It goes away, and comes back on its own.
    pub(crate) fn none() -> Patience<'static> {
        Patience::Wake(Waker::noop())
    }
}

/// What the store has told.
#[derive(Default)]
pub(crate) struct Signal {
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Default)]
struct Heard {
    /// The newest commit that touched an observed key.
    touched: Versionstamp,
    /// The store was closed, or the consumer is to end.
    is_ended: bool,
    /// To be called when one of the two above changes.
    waker: Option<Waker>,
    /// Were called since the consumer was here last; invariant 3.
    called: Vec<Waker>,
}

/// What there is for a consumer.
pub(crate) enum News {
    Touched(Versionstamp),
    Ended,
}

impl Heard {
    /// The news for a consumer that has seen `seen`; `None` there is for one that has seen nothing.
    fn news(&self, seen: Option<Versionstamp>) -> Option<News> {
        if self.is_ended {
            return Some(News::Ended);
        }
        let is_new = seen.is_none_or(|seen| self.touched > seen);
        is_new.then_some(News::Touched(self.touched))
    }
}

impl Signal {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        // No panic leaves anything changed by halves.
        lock(&self.heard)
    }

    /// Notes something, and calls the consumer if `note` says that this is news.
    fn tell(&self, note: impl FnOnce(&mut Heard) -> bool) {
        let mut heard = self.lock();
        if !note(&mut heard) {
            return;
        }
        let waker = heard.waker.take();
        drop(heard);
        self.changed.notify_one();
        if let Some(waker) = waker {
            waker.wake_by_ref();
            self.lock().called.push(waker);
        }
    }

    /// The news for a consumer that has seen `seen`, as soon as its patience allows.
    pub(crate) fn listen(
        &self,
        seen: Option<Versionstamp>,
        patience: Patience<'_>,
    ) -> Option<News> {
        match patience {
            Patience::Block => {
                let waited = self.changed.wait_while(self.lock(), |h| h.news(seen).is_none());
                waited.unwrap_or_else(PoisonError::into_inner).news(seen)
            }
            Patience::Wake(waker) => {
                let old = self.swap_waker(Some(waker));
                let news = self.lock().news(seen);
                drop(old);
                news
            }
        }
    }

    pub(crate) fn end(&self) {
        self.tell(|heard| !std::mem::replace(&mut heard.is_ended, true));
    }

    /// Leaves `waker` to be called, and takes back those that were left before.
    pub(crate) fn swap_waker(&self, waker: Option<&Waker>) -> (Option<Waker>, Vec<Waker>) {
        let waker = waker.cloned();
        let mut heard = self.lock();
        (std::mem::replace(&mut heard.waker, waker), std::mem::take(&mut heard.called))
    }
}

impl Signal {
    /// Notes a touch; of those with one stamp, the first is news.
    pub(crate) fn touch(&self, stamp: Versionstamp) {
        self.tell(|heard| std::mem::replace(&mut heard.touched, stamp) < stamp);
    }

    #[cfg(feature = "remote")]
    pub(crate) fn is_ended(&self) -> bool {
        self.lock().is_ended
    }
}

impl Observer for Signal {
    fn touched(&self, stamp: Versionstamp, _effect: Touched<'_>) {
        self.touch(stamp);
    }

    fn closed(&self) {
        self.end();
    }
}

/// An observation of ranges of keys, by one consumer.
pub(crate) struct Subscription {
    signal: Arc<Signal>,
    /// `None` once it has ended.
    source: Option<Source>,
}

struct Source {
    /// Goes first: it refers to the store.
    _observation: Observation,
    kv: Kv,
}

impl Subscription {
    /// Observes `ranges`, which hold stored keys.
    pub(crate) fn new(kv: &Kv, ranges: Vec<Range<Vec<u8>>>) -> Result<Subscription, Error> {
        let signal = Arc::<Signal>::default();
        let observation = kv.store().here("feeds")?.observe(ranges, signal.clone())?;
        let source = Source { _observation: observation, kv: kv.clone() };
        Ok(Subscription { signal, source: Some(source) })
    }

    /// The store at a moment at which a commit above `seen` that touched an observed key is
    /// visible; for a consumer that has seen nothing, at once. `None` at the end.
    pub(crate) fn snapshot(
        &mut self,
        seen: Option<Versionstamp>,
        patience: Patience<'_>,
    ) -> Poll<Option<Result<engine::Snapshot, Error>>> {
        let Some(source) = &self.source else { return Poll::Ready(None) };
        let engine = source.kv.engine();
        let stamp = match self.signal.listen(seen, patience) {
            None => return Poll::Pending,
            Some(News::Touched(stamp)) => stamp,
            Some(News::Ended) => {
                self.end();
                return Poll::Ready(None);
            }
        };
        let visible = match patience {
            Patience::Block => engine.wait_visible(stamp),
            Patience::Wake(waker) => ready!(engine.poll_visible(stamp, waker)),
        };
        let snapshot = visible.and_then(|()| engine.snapshot());
        Poll::Ready(self.unless_closed(snapshot.map_err(Error::from)))
    }

    /// The newest commit that touched an observed key since the subscription began. All that are
    /// visible at the time of the call are taken into account, and perhaps later ones.
    pub(crate) fn touched(&self) -> Versionstamp {
        if let Some(source) = &self.source {
            source.kv.engine().wait_told();
        }
        self.signal.lock().touched
    }

    /// What a consumer is given of `result`. An error ends the subscription, and that the store is
    /// closed is its end, not an error.
    pub(crate) fn unless_closed<T>(
        &mut self,
        result: Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        if result.is_err() {
            self.end();
        }
        Some(result).filter(|r| r.as_ref().err().is_none_or(|e| e.kind() != ErrorKind::Closed))
    }

    /// Whether there will be nothing more.
    pub(crate) fn is_ended(&self) -> bool {
        self.source.is_none() || self.signal.lock().is_ended
    }

    /// Lets go of the store.
    pub(crate) fn end(&mut self) {
        // With the observation goes the store's right to call the signal: no waker comes after it.
        self.source = None;
        drop(self.signal.swap_waker(None));
    }

    pub(crate) fn canceller(&self) -> Canceller {
        Canceller { signal: Arc::clone(&self.signal) }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_ended() { "Subscription(ended)" } else { "Subscription" })
    }
}

/// Ends a [`Watch`](crate::Watch) or a [`Feed`](crate::Feed) from anywhere, also while another
/// thread waits in it. Cheap to clone; it does not keep the store open.
///
/// ```
/// use std::thread;
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let watch = kv.watch([key!["door"]])?;
/// let canceller = watch.canceller();
/// thread::scope(|scope| {
///     let frames = scope.spawn(|| watch.count());
///     canceller.cancel();
///     assert!(frames.join().expect("it does not panic") <= 1);
/// });
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone)]
pub struct Canceller {
    signal: Arc<Signal>,
}

impl Canceller {
    #[cfg(feature = "remote")]
    pub(crate) fn new(signal: &Arc<Signal>) -> Canceller {
        Canceller { signal: Arc::clone(signal) }
    }

    /// Ends it: it gives nothing more, and a thread or a task that waits for it goes on.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut watch = kv.watch([key!["door"]])?;
    /// let canceller = watch.canceller();
    /// canceller.cancel();
    /// canceller.cancel(); // Once more changes nothing.
    /// assert!(watch.next().is_none());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn cancel(&self) {
        self.signal.end();
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canceller")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts calls of all wakers, and their ends.
    #[derive(Default)]
    struct Counts {
        calls: AtomicUsize,
        drops: AtomicUsize,
    }

    struct Counted(Arc<Counts>);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.calls.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.drops.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Asks with a waker that nobody else has.
    fn ask(signal: &Signal, seen: u64, counts: &Arc<Counts>) -> bool {
        let waker = Waker::from(Arc::new(Counted(Arc::clone(counts))));
        let news = signal.listen(Some(Versionstamp::new(seen)), Patience::Wake(&waker));
        news.is_some()
    }

    fn touch(signal: &Signal, stamp: u64) {
        signal.touched(Versionstamp::new(stamp), Touched::Set { key: b"" });
    }

    #[test]
    fn a_waker_is_called_once_and_dropped_by_the_consumer_only() {
        let (signal, counts) = (Signal::default(), Arc::<Counts>::default());
        let count = || (counts.calls.load(Ordering::SeqCst), counts.drops.load(Ordering::SeqCst));
        assert!(!ask(&signal, 0, &counts));
        touch(&signal, 1);
        touch(&signal, 1);
        touch(&signal, 2);
        assert_eq!(count(), (1, 0), "the store has called it, and kept it");
        assert!(ask(&signal, 1, &counts));
        assert_eq!(count(), (1, 1));
        assert!(!ask(&signal, 2, &counts));
        assert_eq!(count(), (1, 2));
        signal.closed();
        signal.closed();
        assert_eq!(count(), (2, 2));
        drop(signal.swap_waker(None));
        assert_eq!(count(), (2, 3));
        assert!(ask(&signal, 2, &counts));
    }
}
