//! The work that no caller waits for, and the threads that do it.
//!
//! - *Maintenance* flushes memtables, sweeps what has expired, and keeps a log segment in reserve.
//!   When the store is idle, it flushes small memtables with deletions, and lets the log note that
//!   all of it is durable.
//! - *Compaction* merges tables.
//! - The *driver* drives the log for asynchronous commits that nobody waits for.
//!
//! A piece of work that fails is noted in the statistics and tried again after a while, or as soon
//! as something changes. A store opened with [`Workers::Manual`](crate::Workers) has no threads:
//! its owner calls [`Engine::step`](crate::Engine::step), which does one piece of the same work.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use icecore_disk::Name;
use icecore_model::{Planted, Versionstamp, planted};
use icecore_sync::thread::{self, JoinHandle};
use icecore_sync::{Mutex, lock};

use crate::core::Core;
use crate::error::Error;

/// How long an idle worker waits for something to change before it looks again: the clock may be
/// set, and then entries expire without anything changing.
pub(crate) const IDLE_PATIENCE: Duration = Duration::from_millis(500);

/// How long a worker waits after a failure.
const FAILURE_PATIENCE: Duration = Duration::from_millis(200);

/// What one step of background work was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// The log was driven on.
    Log,
    /// A memtable was flushed.
    Flush,
    /// Tables were merged or moved.
    Compaction,
    /// Expired entries were deleted.
    Sweep,
    /// A log segment was prepared.
    Spare,
    /// The log noted that all of it is durable.
    Beacon,
    /// There was nothing to do.
    Idle,
}

/// The kinds of work among which `step` chooses; a choice modulo this is where it starts to look.
pub const STEP_KINDS: u64 = 6;

impl Core {
    /// Does one piece of work, starting to look at the kind that `choice` picks.
    pub(crate) fn step(&self, choice: u64) -> Result<Step, Error> {
        let step = self.step_from(choice);
        // Also what a step has left that failed: it may be what fills the disk.
        self.collect_garbage();
        step
    }

    fn step_from(&self, choice: u64) -> Result<Step, Error> {
        for kind in 0..STEP_KINDS {
            let step = match (choice + kind) % STEP_KINDS {
                0 => self.log()?.step(choice / STEP_KINDS)?.then_some(Step::Log),
                1 => self.maintain(Core::flush_oldest)?.then_some(Step::Flush),
                2 => self.compact_once()?.then_some(Step::Compaction),
                3 => self.maintain(Core::sweep)?.then_some(Step::Sweep),
                4 => self.maintain(Core::prepare_spare)?.then_some(Step::Spare),
                _ => self.beacon()?.then_some(Step::Beacon),
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
        Ok(Step::Idle)
    }

    /// Does a piece of maintenance, unless the store is closed.
    pub(crate) fn maintain(
        &self,
        work: impl FnOnce(&Core) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let _maintenance = lock(&self.maintenance);
        // Asked under the lock: after `close` has had it, no maintenance begins.
        self.check_open()?;
        work(self)
    }

    fn prepare_spare(&self) -> Result<bool, Error> {
        match self.log()?.prepare_spare().map_err(Error::from) {
            // The log makes a segment itself when it needs one; then a full disk is reported.
            Err(Error::OutOfSpace { .. }) => Ok(false),
            prepared => prepared,
        }
    }

    /// Notes in the log that all of it is durable, unless it ends so. Then damage to any of it is
    /// told from a torn tail.
    fn beacon(&self) -> Result<bool, Error> {
        let log = self.log()?;
        let before = log.stats().writes;
        log.beacon()?;
        Ok(log.stats().writes > before)
    }

    /// Flushes everything that is in memory at the moment of the call.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let _maintenance = lock(&self.maintenance);
        self.check_open()?;
        self.freeze_live()?;
        let flushed = loop {
            match self.flush_oldest() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.collect_garbage();
        flushed
    }

    /// One round of maintenance. Says whether there was anything to do.
    fn maintenance_round(&self) -> Result<bool, Error> {
        // Each is tried, also when another fails.
        let flushed = self.maintain(Core::flush_oldest);
        let swept = self.maintain(Core::sweep);
        let prepared = self.maintain(Core::prepare_spare);
        let failure = swept.as_ref().err().or(prepared.as_ref().err());
        self.state.lock().maintenance_failure = failure.cloned();
        Ok(flushed? | swept? | prepared?)
    }

    /// Deletes the files that nobody refers to any more. What cannot be deleted stays on the list.
    pub(crate) fn collect_garbage(&self) {
        self.published.collect();
        let _collecting = lock(&self.collecting);
        // Asked under the lock: after `close` has had it, the files are somebody else's.
        if self.check_open().is_err() {
            return;
        }
        if planted(Planted::LeftoversKept) {
            return;
        }
        let condemned: Vec<Name> = {
            let mut state = self.state.lock();
            let unread = |handle: &mut Arc<_>| Arc::strong_count(handle) == 1;
            let unread: Vec<_> = state.obsolete.extract_if(.., unread).collect();
            let names = unread.iter().map(|handle| Name::Table(handle.summary().number));
            let mut condemned = std::mem::take(&mut state.garbage);
            condemned.extend(names);
            condemned
        };
        for name in condemned {
            match self.env.disk.remove(name) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(_) => {
                    self.counters.garbage_failed();
                    self.state.lock().garbage.push(name);
                }
            }
        }
    }

    /// Lets the workers end after the piece of work at hand, and closes the log, which lets its
    /// driver end, too.
    pub(crate) fn stop_workers(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.stopping = true;
        self.state.announce(&mut state);
        drop(state);
        self.log.as_ref().map_or(Ok(()), |log| Ok(log.close()?))
    }

    fn is_stopping(&self) -> bool {
        self.state.lock().stopping
    }

    /// Repeats `round` until the store is closed, waiting for something to change, as long as
    /// `patience` says, when there is nothing to do.
    fn work(
        &self,
        round: impl Fn(&Core) -> Result<bool, Error>,
        patience: impl Fn(&Core) -> Duration,
    ) {
        while !self.is_stopping() {
            let before = self.state.lock().changes;
            let done = catch_unwind(AssertUnwindSafe(|| {
                let done = round(self);
                self.collect_garbage();
                done
            }));
            let Ok(done) = done else {
                // Nobody else would do this work, and writers would wait for it for ever.
                self.poison(&Error::Poisoned { cause: "a worker has panicked".to_owned() });
                return;
            };
            match done {
                Ok(true) => {}
                Ok(false) => self.state.wait_for_change(before, patience(self)),
                // The failure is noted where it occurred, and shown by the statistics. Noting it
                // was a change, too, which must not end the wait.
                Err(_) => {
                    let after = self.state.lock().changes;
                    self.state.wait_for_change(after, FAILURE_PATIENCE);
                }
            }
        }
    }

    /// The maintenance thread.
    fn keep_in_shape(&self) {
        let last = Cell::new(Versionstamp::ZERO);
        let round = |core: &Core| {
            if core.maintenance_round()? {
                return Ok(true);
            }
            let before = last.replace(core.last_issued());
            if last.get() == before {
                core.freeze_idle_deletions(before);
                core.beacon()?;
            }
            let flushed = core.maintain(Core::flush_oldest)?;
            core.find_next_due()?;
            Ok(flushed)
        };
        self.work(round, Core::sweep_patience);
    }
}

/// The threads of a store.
#[derive(Debug)]
pub(crate) struct Threads {
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    pub(crate) fn start(core: &Arc<Core>) -> Result<Threads, Error> {
        let mut handles = Vec::new();
        let mut start = |name: &str, body: fn(&Core)| {
            let core = Arc::clone(core);
            let thread = thread::Builder::new().name(format!("icecore-{name}"));
            let handle = thread.spawn(move || body(&core));
            handles.push(handle.map_err(|e| Error::io("a thread", "start", e))?);
            Ok(())
        };
        let started = start("maintain", Core::keep_in_shape)
            .and_then(|()| {
                start("compact", |core| core.work(Core::compact_once, |_| IDLE_PATIENCE))
            })
            .and_then(|()| start("log", drive_log));
        let threads = Threads { handles: Mutex::new(handles) };
        if let Err(error) = started {
            let stopped = core.stop_workers();
            threads.join();
            return Err(stopped.err().unwrap_or(error));
        }
        Ok(threads)
    }

    /// Whether the calling thread is one of these: then it must not wait for them. That happens
    /// when a waker, which a worker calls, owns the last handle of the store.
    pub(crate) fn include_caller(&self) -> bool {
        let caller = thread::current().id();
        lock(&self.handles).iter().any(|handle| handle.thread().id() == caller)
    }

    /// Waits until all have ended.
    pub(crate) fn join(&self) {
        let handles = std::mem::take(&mut *lock(&self.handles));
        for handle in handles {
            // A worker that panicked has poisoned nothing: its locks are taken all the same, and
            // what it was doing is tried again when the store is opened.
            drop(handle.join());
        }
    }
}

/// Drives the log for commits whose callers do not.
fn drive_log(core: &Core) {
    let Some(log) = &core.log else { return };
    while log.wait_for_work() {
        // A failure poisons the log, and every commit in flight is told by the log itself.
        if log.wait(log.last_appended()).is_err() {
            return;
        }
    }
}
