//! Following a range of keys: what there is, and then whatever changes, for somebody who keeps a
//! copy of it, an index over it, or who passes it on.
//!
//! A feed goes over its range in *passes*. A pass begins with what the consumer knows: the state at
//! a stamp S, or nothing. There is no log of changes behind it: a pass reads what is there and is
//! newer than S. Its events come in batches, each read from a snapshot of its own. No snapshot is
//! held while the consumer is away: the store goes on collecting garbage however slow the consumer
//! is, and the feed holds one batch at most. Batch i goes on at the key at which the batch before it
//! stopped, and tells what is newer than S in its snapshot, which is at Tᵢ.
//!
//! The next pass begins with T₁, at once if a commit above T₁ has touched the range, and otherwise
//! as soon as one does. In the latter case the pass was *exact*, and ends with [`Event::UpTo`] T₁.
//!
//! What holds then, for a consumer that carries out event by event:
//!
//! 1. *At the end of a pass every key is as it was at some moment at or after T₁.* What batch i tells
//!    of a key is its state at Tᵢ ≥ T₁; a key of which nothing is told is as it was at S, and has
//!    not changed until Tᵢ, where i is the batch that came past it.
//! 2. *The next pass makes good for the rest.* A key that is told as of Tᵢ may have changed in
//!    between T₁ and Tᵢ or after; all of this is above T₁, so the pass that begins with T₁ tells
//!    it, some of it for the second time. Telling the newest state again changes nothing.
//! 3. *Range deletions do no harm to what was told before them.* Within a batch they come before
//!    the keys, and they are cut to the keys from which the batch goes on. So in each pass they
//!    remove what is left of the state at S, or of what an earlier pass told, and nothing that this
//!    pass has told. A key in the range that is set by the same commit or later is told after it.
//!    What a batch has told of ranges is not told again by later ones of the pass.
//! 4. *After `UpTo` T the consumer knows the state at T, and nothing newer.* By 1, as the pass was
//!    exact: all its batches came from T₁, or nothing in the range has changed since. So commits are
//!    seen whole.
//! 5. *Resuming at T misses nothing*, whatever happened since. If the store can no longer tell what
//!    came after T ([`Snapshot::changes`]: deletions were dropped, or a crash took the commit T), it
//!    says so, and so does the feed: with [`Event::Reset`] it begins with nothing. That can happen
//!    between two batches as well. If a crash took only commits after T, the consumer knows none of
//!    them. This is why passes that are not exact have no `UpTo`: they may have told of a commit
//!    above T₁, and if a crash takes it, and not T₁, then nothing tells the consumer to forget it.
//! 6. *Per key, time does not go back*: later batches have later snapshots.
//!
//! A consumer that is quicker than the writers is soon up to some stamp: each pass has to tell only
//! what has changed during the one before, until it fits into one batch, which is always exact.
//!
//! [`Snapshot::changes`]: icecore_engine::Snapshot::changes

mod event;
mod pass;

use std::collections::VecDeque;
use std::iter::FusedIterator;
use std::task::{Context, Poll, ready};

use icecore_engine as engine;
use icecore_model::Versionstamp;

use crate::error::Error;
use crate::kv::Kv;
use crate::selector::Selector;
use crate::signal::{Canceller, Patience, Subscription};

pub use self::event::{Event, KeyRange};
use self::pass::{Pass, Progress};

impl Kv {
    /// Follows the keys that `selector` selects: first all of them, then whatever changes. It is
    /// [`Kv::changes`] for somebody who knows nothing yet, and begins with [`Event::Reset`].
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use icecore::{Event, Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", "ada"], 36)?;
    /// kv.set(key!["users", "bob"], 7)?;
    ///
    /// let mut copy = BTreeMap::new();
    /// for event in kv.watch_prefix(prefix!["users"])? {
    ///     match event? {
    ///         Event::Reset => copy.clear(),
    ///         Event::Set(entry) => drop(copy.insert(entry.key, entry.value)),
    ///         Event::Deleted { key, .. } => drop(copy.remove(&key)),
    ///         Event::DeletedRange { range, .. } => copy.retain(|key, _| !range.contains(key)),
    ///         Event::UpTo(_) => break, // A program that follows would go on here.
    ///     }
    /// }
    /// assert_eq!(copy.len(), 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::changes`].
    pub fn watch_prefix(&self, selector: impl Into<Selector>) -> Result<Feed, Error> {
        self.changes(selector, None)
    }

    /// Follows the keys that `selector` selects, for somebody who knows their state at the stamp
    /// `since`, which an [`Event::UpTo`] gave, in this life of the store or an earlier one. Where
    /// the store can no longer tell what has changed since, or does not know the stamp, it begins
    /// with [`Event::Reset`], as it does without a stamp.
    ///
    /// It waits for the commits at hand to become visible.
    ///
    /// A store that is open for [reading only](crate::Builder::read_only) has no commits, and
    /// nobody who ends what has expired: there a feed tells what is there, or what has changed
    /// since the stamp, and then nothing more, not even of a value that expires meanwhile.
    ///
    /// ```
    /// use icecore::{Event, Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// let known = kv.set(key!["users", "ada"], 36)?;
    /// kv.set(key!["users", "bob"], 7)?;
    /// let mut feed = kv.changes(prefix!["users"], Some(known))?;
    /// assert!(matches!(feed.next(), Some(Ok(Event::Set(entry))) if entry.key == key!["users", "bob"]));
    /// assert!(matches!(feed.next(), Some(Ok(Event::UpTo(_)))));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a selector that makes no sense,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for one with too long a key, and
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn changes(
        &self,
        selector: impl Into<Selector>,
        since: Option<Versionstamp>,
    ) -> Result<Feed, Error> {
        let selector = selector.into();
        let bounds = selector.resolved()?;
        bounds.check_size(self.limits())?;
        let (start, end) = (bounds.start.clone(), bounds.end.clone());
        let subscription = Subscription::new(self, vec![start.clone()..end.clone()])?;
        let state = State::Begun(since);
        Ok(Feed { subscription, start, end, state, events: VecDeque::new() })
    }
}

/// The changes of a range of keys, one after the other; made by [`Kv::watch_prefix`] and
/// [`Kv::changes`].
///
/// A consumer that carries out each [`Event`] on a copy, in the order in which they come, can rely
/// on this:
///
/// - After [`Event::UpTo`] with the stamp v the copy is what the store was at v, with all commits
///   up to v and none after it. To go on from there at any later time, also after a crash of either
///   side, keep v together with the copy, and ask for the [changes](Kv::changes) since v. Nothing is
///   missed.
/// - In between, the copy is on the way: commits may be there in part, and a key that is removed by
///   a deletion of a range may be set again by the next event. An event may come twice.
/// - States that a key was in between two readings are left out; the last one never is. For one
///   key, versionstamps do not go back.
/// - Whoever takes events more slowly than keys change gets no [`Event::UpTo`] until there are
///   fewer than 256 changes of less than 1 MiB left to tell, or a pause in which it catches up.
///
/// The feed holds at most 256 events, of at most 1 MiB besides the last of them, and nothing of the
/// store: a slow consumer costs no more than a fast one.
///
/// As an iterator it waits for the next event, in the thread that asks. There are also
/// [`try_next`](Feed::try_next), which never waits, and [`poll_next`](Feed::poll_next) for
/// asynchronous programs.
///
/// It ends, with `None` and without an error, when the store is [closed](Kv::close), and when its
/// [`canceller`](Feed::canceller) says so. It ends after an error as well. Until then it keeps the
/// store open, as a clone of the handle does.
///
/// ```
/// use icecore::{Event, Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["users", "ada"], 36)?;
/// let mut feed = kv.watch_prefix(prefix!["users"])?;
/// assert_eq!(feed.next().unwrap()?, Event::Reset);
/// assert_eq!(feed.next().unwrap()?, Event::Set(kv.get(key!["users", "ada"])?));
/// assert!(matches!(feed.next().unwrap()?, Event::UpTo(_)));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a feed reads nothing until its events are taken"]
pub struct Feed {
    subscription: Subscription,
    /// The range as the engine knows it.
    start: Vec<u8>,
    end: Vec<u8>,
    state: State,
    /// What was read and not given yet.
    events: VecDeque<Event>,
}

/// What the consumer knows once it has taken the events that were read.
#[derive(Debug)]
enum State {
    /// The state at a stamp, or nothing; and the first pass is to begin at once.
    Begun(Option<Versionstamp>),
    /// In between two batches of a pass.
    Passing(Pass),
    /// At the end of a pass whose first snapshot was at this stamp.
    Passed(Versionstamp),
}

impl Feed {
    /// The next event, if there is one by now. It never waits; `None` also at the
    /// [end](Feed::is_ended).
    ///
    /// ```
    /// use icecore::{Event, Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut feed = kv.watch_prefix(prefix!["users"])?;
    /// while feed.try_next()?.is_some() {}
    /// let versionstamp = kv.delete(key!["users", "ada"])?;
    /// let deleted = Event::Deleted { key: key!["users", "ada"], versionstamp };
    /// assert_eq!(feed.try_next()?, Some(deleted));
    /// assert_eq!(feed.try_next()?, Some(Event::UpTo(versionstamp)));
    /// assert_eq!(feed.try_next()?, None);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`], and [`Poisoned`](crate::ErrorKind::Poisoned) when a commit that touched the
    /// range may be lost. Then the feed has ended.
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        match self.advance(Patience::none()) {
            Poll::Ready(event) => event.transpose(),
            Poll::Pending => Ok(None),
        }
    }

    /// The next event, for asynchronous programs: if there is none yet, the waker of `context` is
    /// called when it is worth asking again. It needs no runtime, and never waits for a commit;
    /// what it reads, it reads in the calling thread, as [`Kv::list`] does.
    ///
    /// With [`std::future::poll_fn`] it becomes a future, and with the feature `stream`
    /// `Feed::into_stream` makes it a `Stream`.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use icecore::{Error, Event, Kv, Versionstamp, prefix};
    ///
    /// async fn first_state(kv: Kv) -> Result<Option<Versionstamp>, Error> {
    ///     let mut feed = kv.watch_prefix(prefix!["users"])?;
    ///     while let Some(event) = poll_fn(|context| feed.poll_next(context)).await {
    ///         if let Event::UpTo(versionstamp) = event? {
    ///             return Ok(Some(versionstamp));
    ///         }
    ///     }
    ///     Ok(None)
    /// }
    /// ```
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        self.advance(Patience::Wake(context.waker()))
    }

    /// Whether there will be no more events.
    ///
    /// ```
    /// use icecore::{Kv, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// let mut feed = kv.watch_prefix(prefix!["users"])?;
    /// while feed.try_next()?.is_some() {}
    /// assert!(!feed.is_ended(), "there is only nothing new");
    /// kv.close()?;
    /// assert_eq!(feed.try_next()?, None);
    /// assert!(feed.is_ended());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn is_ended(&self) -> bool {
        self.subscription.is_ended()
    }

    /// What ends the feed from elsewhere, also while a thread waits in it.
    ///
    /// ```
    /// use icecore::{Kv, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// let feed = kv.watch_prefix(prefix!["users"])?;
    /// let canceller = feed.canceller();
    /// let events = std::thread::scope(|scope| {
    ///     let events = scope.spawn(move || feed.count());
    ///     canceller.cancel();
    ///     events.join().expect("it does not panic")
    /// });
    /// assert!(events <= 2, "a reset, and how far it got");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn canceller(&self) -> Canceller {
        self.subscription.canceller()
    }

    fn advance(&mut self, patience: Patience<'_>) -> Poll<Option<Result<Event, Error>>> {
        while !self.subscription.is_ended() {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            let seen = match self.state {
                State::Passed(stamp) => Some(stamp),
                State::Begun(_) | State::Passing(_) => None,
            };
            let snapshot = match ready!(self.subscription.snapshot(seen, patience)) {
                Some(Ok(snapshot)) => snapshot,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => break,
            };
            let read = self.read(&snapshot);
            if let Some(Err(error)) = self.subscription.unless_closed(read) {
                return Poll::Ready(Some(Err(error)));
            }
        }
        self.subscription.end();
        self.events.clear();
        Poll::Ready(None)
    }

    /// Reads the next batch of events.
    fn read(&mut self, snapshot: &engine::Snapshot) -> Result<(), Error> {
        let begin = |since| Pass::begin(since, snapshot.at(), &self.start);
        let mut pass = match std::mem::replace(&mut self.state, State::Begun(None)) {
            State::Begun(None) => {
                self.events.push_back(Event::Reset);
                begin(None)
            }
            State::Begun(since) => begin(since),
            State::Passed(stamp) => begin(Some(stamp)),
            State::Passing(pass) => pass,
        };
        self.state = match pass.read(snapshot, &self.end, &mut self.events)? {
            Progress::Batch => State::Passing(pass),
            Progress::End => {
                let begun = pass.begun();
                // What was told is of that moment, or has not changed since.
                if snapshot.at() == begun || self.subscription.touched() <= begun {
                    self.events.push_back(Event::UpTo(begun));
                }
                State::Passed(begun)
            }
            // The next batch begins with nothing.
            Progress::Lost => State::Begun(None),
        };
        Ok(())
    }
}

impl Iterator for Feed {
    type Item = Result<Event, Error>;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Result<Event, Error>> {
        match self.advance(Patience::Block) {
            Poll::Ready(event) => event,
            Poll::Pending => unreachable!("whoever waits is not sent away"),
        }
    }
}

impl FusedIterator for Feed {}

#[cfg(test)]
mod tests;
