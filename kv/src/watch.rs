//! Watching a few keys: a frame with all of them whenever one has changed.
//!
//! 1. A frame is of one moment, and holds all watched keys in the order in which they were named.
//! 2. The first frame comes at once. Each later one comes after a commit that touched a watched key,
//!    and sees it. Commits that follow each other quickly may share a frame; the last one is never
//!    missed ([`Subscription`], invariant 1).
//! 3. A frame in which every versionstamp is that of the frame before is not given, unless the watch
//!    is [raw](Watch::raw). A key that is set to the value that it has has changed; a key that was
//!    absent and was deleted has not.
//! 4. A watch holds no frame. It reads one when it is asked for it, and remembers the versionstamps
//!    of the one that it gave last.

use std::iter::FusedIterator;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use icecore_model::Versionstamp;

use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;
use crate::kv::Kv;
use crate::limits::{Limit, at_most};
#[cfg(feature = "remote")]
use crate::remote::Watching;
use crate::signal::{Canceller, Patience, Subscription};
use crate::store::Store;

impl Kv {
    /// Watches `keys`: the states of all of them now, and again whenever one has changed. As in
    /// Deno KV there may be ten, see [`Limits::watch_keys`](crate::Limits::watch_keys); for all
    /// keys below a prefix there is [`Kv::watch_prefix`].
    ///
    /// A change is a commit that sets or deletes a watched key, or its expiry. It waits for the
    /// commits at hand to become visible.
    ///
    /// A store that is open for [reading only](crate::Builder::read_only) has no commits, and
    /// nobody who ends what has expired: there only the first frame ever comes. Reads hide expired
    /// values there as well.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut watch = kv.watch([key!["door"], key!["lamp"]])?;
    /// let frame = watch.next().expect("the store is open")?;
    /// assert!(!frame[0].is_present() && !frame[1].is_present());
    ///
    /// kv.set(key!["lamp"], "on")?;
    /// let frame = watch.next().expect("the store is open")?;
    /// assert_eq!(frame[1].str()?, "on");
    ///
    /// kv.close()?;
    /// assert!(watch.next().is_none());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for too many keys and for one that is
    /// too long to be stored, and [`Closed`](crate::ErrorKind::Closed).
    pub fn watch(&self, keys: impl IntoIterator<Item: Into<Key>>) -> Result<Watch, Error> {
        let limits = self.limits();
        let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
        at_most(Limit::WatchKeys, limits.watch_keys, keys.len(), String::new)?;
        keys.iter().try_for_each(|key| limits.check_read_key(key.encoded()))?;
        let source = match self.store() {
            Store::Here(_) => Source::Here(self.subscribe(&keys)?),
            #[cfg(feature = "remote")]
            Store::There(remote) => Source::There(Watching::new(remote, &keys)?),
        };
        Ok(Watch { source, keys, raw: false, seen: None, given: Vec::new() })
    }

    fn subscribe(&self, keys: &[Key]) -> Result<Subscription, Error> {
        // Nothing is ever stored under the empty key.
        let ranges = keys.iter().filter(|key| !key.is_empty()).map(only).collect();
        let mut subscription = Subscription::new(self, ranges)?;
        if keys.is_empty() {
            subscription.end();
        }
        Ok(subscription)
    }
}

/// The range of stored keys that holds only `key`.
fn only(key: &Key) -> Range<Vec<u8>> {
    let start = key.stored().to_vec();
    let end = [&start[..], &[0]].concat();
    start..end
}

/// The states of a few keys, whenever they change; made by [`Kv::watch`]. Each item is a *frame*:
/// the entries of all watched keys, of one moment, in the order in which the keys were named.
///
/// The first frame comes at once. What changes several times between two calls comes once, as it
/// is then: however slow its consumer, a watch holds no more than the versionstamps of one frame.
/// Frames in which nothing has changed are left out, unless the watch is [raw](Watch::raw). A
/// commit and the frame that shows it may return in either order.
///
/// As an iterator it waits for the next frame, in the thread that asks. There are also
/// [`try_next`](Watch::try_next), which never waits, and [`poll_next`](Watch::poll_next) for
/// asynchronous programs.
///
/// It ends, with `None` and without an error, when the store is [closed](Kv::close), when its
/// [`canceller`](Watch::canceller) says so, and at once if it watches no keys. It ends after an
/// error as well. Until then it keeps the store open, as a clone of the handle does.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let mut watch = kv.watch([key!["a"], key!["b"]])?;
/// watch.next().expect("the store is open")?;
/// for number in 1..=9 {
///     kv.atomic().set(key!["a"], number).set(key!["b"], number).commit()?;
/// }
/// let frame = watch.next().expect("the store is open")?;
/// assert_eq!(frame[0].versionstamp, frame[1].versionstamp, "a frame is of one moment");
/// assert_eq!(frame[0].u64()?, 9);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a watch reads nothing until its frames are taken"]
pub struct Watch {
    source: Source,
    keys: Vec<Key>,
    raw: bool,
    /// The moment of the frame that was read last.
    seen: Option<Versionstamp>,
    /// The versionstamps of the frame that was given last.
    given: Vec<Option<Versionstamp>>,
}

/// Where frames come from.
#[derive(Debug)]
enum Source {
    Here(Subscription),
    #[cfg(feature = "remote")]
    There(Watching),
}

impl Watch {
    /// Whether to give frames in which no versionstamp has changed as well: they tell that there
    /// was a commit which touched a watched key. The default is `false`.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut watch = kv.watch([key!["door"]])?.raw(true);
    /// assert!(watch.try_next()?.is_some());
    /// kv.delete(key!["door"])?; // It was absent before.
    /// assert!(watch.try_next()?.is_some());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn raw(mut self, raw: bool) -> Watch {
        self.raw = raw;
        self
    }

    /// The next frame, if there is one by now. It never waits; `None` also at the
    /// [end](Watch::is_ended).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut watch = kv.watch([key!["door"]])?;
    /// assert!(watch.try_next()?.is_some());
    /// assert!(watch.try_next()?.is_none());
    /// kv.set(key!["door"], "open")?;
    /// let frame = watch.try_next()?.expect("the commit has returned");
    /// assert_eq!(frame[0].str()?, "open");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`], and [`Poisoned`](crate::ErrorKind::Poisoned) when a commit that touched a
    /// watched key may be lost. Then the watch has ended.
    pub fn try_next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        match self.advance(Patience::none()) {
            Poll::Ready(frame) => frame.transpose(),
            Poll::Pending => Ok(None),
        }
    }

    /// The next frame, for asynchronous programs: if there is none yet, the waker of `context` is
    /// called when it is worth asking again. It needs no runtime, and never waits for a commit;
    /// what it reads, it reads in the calling thread, as [`Kv::get`] does.
    ///
    /// With [`std::future::poll_fn`] it becomes a future, and with the feature `stream`
    /// `Watch::into_stream` makes it a `Stream`.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use icecore::{Entry, Error, Kv, key};
    ///
    /// async fn opened(kv: Kv) -> Result<(), Error> {
    ///     let mut watch = kv.watch([key!["door"]])?;
    ///     while let Some(frame) = poll_fn(|context| watch.poll_next(context)).await {
    ///         if frame?[0].is_present() {
    ///             break;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Vec<Entry>, Error>>> {
        self.advance(Patience::Wake(context.waker()))
    }

    /// Whether there will be no more frames.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut watch = kv.watch([key!["door"]])?;
    /// while watch.try_next()?.is_some() {}
    /// assert!(!watch.is_ended(), "there is only nothing new");
    /// watch.canceller().cancel();
    /// assert!(watch.is_ended());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn is_ended(&self) -> bool {
        match &self.source {
            Source::Here(subscription) => subscription.is_ended(),
            #[cfg(feature = "remote")]
            Source::There(watching) => watching.is_ended(),
        }
    }

    /// What ends the watch from elsewhere, also while a thread waits in it.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let watch = kv.watch([key!["door"]])?;
    /// let canceller = watch.canceller();
    /// let frames = std::thread::scope(|scope| {
    ///     let frames = scope.spawn(move || watch.count());
    ///     canceller.cancel();
    ///     frames.join().expect("it does not panic")
    /// });
    /// assert!(frames <= 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn canceller(&self) -> Canceller {
        match &self.source {
            Source::Here(subscription) => subscription.canceller(),
            #[cfg(feature = "remote")]
            Source::There(watching) => watching.canceller(),
        }
    }

    /// The next frame that is to be given.
    fn advance(&mut self, patience: Patience<'_>) -> Poll<Option<Result<Vec<Entry>, Error>>> {
        loop {
            let is_first = self.given.is_empty();
            match ready!(self.read(patience)) {
                Some(Ok(frame)) => {
                    if self.note(&frame) || is_first || self.raw {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                ended => return Poll::Ready(ended),
            }
        }
    }

    /// The next frame, whether or not anything has changed in it.
    fn read(&mut self, patience: Patience<'_>) -> Poll<Option<Result<Vec<Entry>, Error>>> {
        match &mut self.source {
            Source::Here(subscription) => look(subscription, &self.keys, &mut self.seen, patience),
            #[cfg(feature = "remote")]
            Source::There(watching) => watching.frame(&self.keys, patience),
        }
    }

    /// Remembers the versionstamps of `frame`, and says whether one is not that of the frame before.
    fn note(&mut self, frame: &[Entry]) -> bool {
        let stamps = frame.iter().map(|entry| entry.versionstamp);
        let has_changed = !stamps.clone().eq(self.given.iter().copied());
        self.given.clear();
        self.given.extend(stamps);
        has_changed
    }
}

/// The states of the keys, once there is news after the moment that was `seen`.
fn look(
    subscription: &mut Subscription,
    keys: &[Key],
    seen: &mut Option<Versionstamp>,
    patience: Patience<'_>,
) -> Poll<Option<Result<Vec<Entry>, Error>>> {
    let snapshot = match ready!(subscription.snapshot(*seen, patience)) {
        Some(Ok(snapshot)) => snapshot,
        Some(Err(error)) => return Poll::Ready(Some(Err(error))),
        None => return Poll::Ready(None),
    };
    let entry = |key: &Key| Entry::new(key.clone(), snapshot.get(key.stored())?);
    let read = subscription.unless_closed(keys.iter().map(entry).collect());
    if matches!(read, Some(Ok(_))) {
        *seen = Some(snapshot.at());
    }
    Poll::Ready(read)
}

impl Iterator for Watch {
    type Item = Result<Vec<Entry>, Error>;

    /// Waits for the next frame.
    fn next(&mut self) -> Option<Result<Vec<Entry>, Error>> {
        match self.advance(Patience::Block) {
            Poll::Ready(frame) => frame,
            Poll::Pending => unreachable!("whoever waits is not sent away"),
        }
    }
}

impl FusedIterator for Watch {}
