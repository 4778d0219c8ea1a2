//! Observers: who is told, in stamp order, of the effects of commits on ranges of keys.
//!
//! An observer is told by the thread that commits, under the writer lock, right after the effects
//! have entered the memtable and the frame has entered the log (`Core::tell`, right after `Core::append`).
//! So it hears of every commit, of callers and of the sweeper, in the order of their stamps, and
//! before the call that commits returns. That is usually before the commit is visible, so whoever
//! wants to read what an observer was told of waits with [`Engine::wait_visible`] or
//! [`Engine::poll_visible`] first. But another thread that drives the log may make the commit
//! visible first, and somebody may read it an instant before the observer is told:
//! [`Engine::wait_told`] closes that gap.
//!
//! 1. *Who registers is told of exactly the commits above a stamp.* Registration takes the writer
//!    lock, so that each commit comes before or after it: [`Observation::since`] is the last stamp
//!    of those before. All of these are visible when [`Engine::observe`] returns. So a caller that
//!    observes first and reads then misses nothing: a commit is in what it reads, or it is told.
//! 2. *An observer that nobody registered costs one relaxed load for each commit.* It sees every
//!    registration made under an earlier hold of the writer lock.
//! 3. *After the drop of an [`Observation`] has returned, its observer is not called.* The drop waits
//!    for a call that another thread is in; inside a call of the observer itself it does not wait.
//! 4. *The end is told once.* Closing comes after the last commit.
//! 5. *The store owns its observers, never the other way round.* An [`Observation`] refers to the
//!    registry alone, which is not the store and keeps nothing open.
//!
//! A commit that was told may still be lost when the log fails before it is visible; waiting for
//! it then gives the error. A failed check tells nothing, and neither does the engine's own
//! book-keeping: only keys that callers may write are told.

mod registry;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, Waker};

use icecore_model::{Change, Effect, Versionstamp};
use icecore_sync::lock;

pub(crate) use self::registry::Registry;

use self::registry::Gate;
use crate::core::Core;
use crate::engine::Engine;
use crate::error::Error;
use crate::keyspace;

/// Somebody who is told what commits do to ranges of keys.
///
/// Calls come one at a time. They come while the store holds its write lock, so they must be short
/// and must not call the store; what they may do is note what happened, and wake somebody up. An
/// observer should own no [`Engine`]: it may be the last one, whose drop closes the store.
///
/// A panic of an observer goes on, once all others are called, in the thread that commits or closes;
/// the commit stands. In the sweeper's thread it poisons the store, as any panic there does.
pub trait Observer: Send + Sync + 'static {
    /// The commit `stamp` has this effect on the observed ranges. It is in the log, and perhaps not
    /// visible yet. Commits come in the order of their stamps; within a commit, range deletions come
    /// first, and no two other effects are on the same key.
    fn touched(&self, stamp: Versionstamp, effect: Touched<'_>);
    /// The store was closed: nothing will be told any more. Called at most once. A store whose log
    /// failed is not closed: it just takes no more commits.
    fn closed(&self);
}

/// What a commit does, as observers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched<'a> {
    /// The key has a value.
    Set {
        /// The key, with its keyspace byte.
        key: &'a [u8],
    },
    /// The key is absent: somebody deleted it, or it has expired.
    Deleted {
        /// The key, with its keyspace byte.
        key: &'a [u8],
    },
    /// All keys of this range are absent, except those that other effects of the commit set. The
    /// range is told as it was deleted: it may reach beyond the observed ones.
    RangeDeleted {
        /// The first key of the range.
        start: &'a [u8],
        /// The first key after it.
        end: &'a [u8],
    },
}

impl<'a> Touched<'a> {
    /// What `effect` is to observers; `None` for the engine's own book-keeping.
    fn of(effect: Effect<'a>) -> Option<Touched<'a>> {
        match effect {
            Effect::DeleteRange { start, end } => Some(Touched::RangeDeleted { start, end }),
            Effect::Point { key, .. } if !keyspace::is_open_to_callers(key[0]) => None,
            Effect::Point { key, change: Change::Put { .. } } => Some(Touched::Set { key }),
            Effect::Point { key, change: Change::Delete } => Some(Touched::Deleted { key }),
        }
    }
}

/// An observer's registration. It ends when this is dropped; then the observer is not called any
/// more, and the store lets go of it. It does not keep the store open.
///
/// The drop waits for a call of the observer that another thread is in. So it must not happen
/// under a lock that the observer takes.
#[must_use = "the observation ends when this is dropped"]
pub struct Observation {
    registry: Arc<Registry>,
    id: u64,
    /// Sorted, neither overlapping nor adjacent.
    ranges: Vec<Range<Vec<u8>>>,
    gate: Arc<Gate>,
    since: Versionstamp,
}

impl Observation {
    /// The observer is told of every commit above this stamp, and of no other.
    pub fn since(&self) -> Versionstamp {
        self.since
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.registry.remove(self.id, &self.ranges);
        self.gate.shut();
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Observation({} ranges since {})", self.ranges.len(), self.since)
    }
}

impl Engine {
    /// Has `observer` told of all effects of later commits on keys in `ranges`, which may overlap;
    /// empty ones stand for nothing. Whoever reads after this call misses nothing: what is not in
    /// what it reads, the observer is told.
    ///
    /// Looking for those to be told takes time in proportion to the logarithm of the number of
    /// observed ranges, and to the number of those told. Registering and dropping take time and
    /// memory in proportion to the number of *different* ranges that overlap the new one: thousands
    /// that are nested in each other cost milliseconds each, under a lock that commits take, too.
    /// It waits for the commits at hand to become visible.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use icecore_engine::{Batch, Engine, Mutation, Observer, Options, Touched, keyspace::DATA};
    /// use icecore_model::Versionstamp;
    ///
    /// #[derive(Default)]
    /// struct Keys(Mutex<Vec<Vec<u8>>>);
    ///
    /// impl Observer for Keys {
    ///     fn touched(&self, _: Versionstamp, effect: Touched<'_>) {
    ///         if let Touched::Set { key } = effect {
    ///             self.0.lock().unwrap().push(key.to_vec());
    ///         }
    ///     }
    ///     fn closed(&self) {}
    /// }
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// let engine = Engine::open_path(directory.path().join("store"), Options::default())?;
    /// let keys = Arc::new(Keys::default());
    /// let observation = engine.observe(vec![vec![DATA, b'a']..vec![DATA, b'b']], keys.clone())?;
    /// for key in [&[DATA, b'a', 1], &[DATA, b'b', 1]] {
    ///     let set = Mutation::Set { key, value: b"v", expires_at: None };
    ///     let _ = engine.commit(Batch { checks: &[], mutations: &[set] })?;
    /// }
    /// assert_eq!(*keys.0.lock().unwrap(), [[DATA, b'a', 1]]);
    /// drop(observation);
    /// # Ok::<(), icecore_engine::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn observe(
        &self,
        ranges: Vec<Range<Vec<u8>>>,
        observer: Arc<dyn Observer>,
    ) -> Result<Observation, Error> {
        let core = self.core();
        let observation = core.register(ranges, observer)?;
        match core.wait_visible(observation.since) {
            // The log failed: what is not visible by now never becomes visible.
            Err(Error::Poisoned { .. }) => {}
            waited => waited?,
        }
        Ok(observation)
    }

    /// Blocks until every commit up to `stamp` is visible that still exists (a crash may have taken
    /// what was not durable, and such a stamp counts as visible), and does what is needed for that in this thread:
    /// after a call, `stamp` need not be waited for by anybody else.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the log failed first: whether the commit survives is not known.
    /// [`Error::InvalidArgument`] for a stamp that was not issued yet.
    pub fn wait_visible(&self, stamp: Versionstamp) -> Result<(), Error> {
        self.core().wait_visible(stamp)
    }

    /// Returns when observers have been told of every commit that is visible at the time of the call:
    /// it waits for the commit at hand, if there is one. For whoever concludes from what was *not*
    /// told.
    pub fn wait_told(&self) {
        drop(lock(&self.core().writer));
    }

    /// Whether the commit `stamp` is visible. If not, `waker` is called when it is, or when it
    /// cannot become so; a thread of the engine does what is needed, or with
    /// [`Workers::Manual`](crate::Workers::Manual) the caller of [`Engine::step`]. The waker is called
    /// and dropped while no lock of the store is held.
    ///
    /// # Errors
    /// As [`Engine::wait_visible`].
    pub fn poll_visible(&self, stamp: Versionstamp, waker: &Waker) -> Poll<Result<(), Error>> {
        let core = self.core();
        match core.log_towards(stamp) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(log)) => {
                let polled = log.poll_visible(stamp, waker);
                if polled.is_pending() {
                    log.kick();
                }
                polled.map_err(Error::from)
            }
        }
    }
}

impl Core {
    fn register(
        &self,
        ranges: Vec<Range<Vec<u8>>>,
        observer: Arc<dyn Observer>,
    ) -> Result<Observation, Error> {
        let writer = lock(&self.writer);
        self.check_open()?;
        let since = writer.as_ref().map_or(self.recovered, |writer| writer.last);
        let ranges = registry::merged(ranges);
        let gate = Gate::new(observer);
        let registry = Arc::clone(&self.observers);
        let id = registry.insert(&ranges, Arc::clone(&gate)).ok_or(Error::Closed)?;
        Ok(Observation { registry, id, ranges, gate, since })
    }

    fn wait_visible(&self, stamp: Versionstamp) -> Result<(), Error> {
        self.log_towards(stamp)?.map_or(Ok(()), |log| Ok(log.wait(stamp)?))
    }

    /// The log, if `stamp` is not visible yet.
    fn log_towards(&self, stamp: Versionstamp) -> Result<Option<&icecore_wal::Log>, Error> {
        if stamp <= self.visible() {
            return Ok(None);
        }
        let log = self.log.as_ref().filter(|log| stamp <= log.last_appended());
        match log {
            Some(log) => Ok(Some(log)),
            None => Err(Error::invalid(format!("the stamp {stamp} was not issued yet"))),
        }
    }
}

#[cfg(test)]
mod tests;
