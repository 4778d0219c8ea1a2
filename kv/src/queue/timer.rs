//! The alarm clock of the queues: one thread for a store, from the first wait for a deadline until
//! the store is gone.
//!
//! The thread knows nothing of the store: it would keep it open. So it sleeps by a clock of its
//! own, and whoever it wakes looks at the store's clock. That one may jump ahead; therefore no
//! alarm is set for later than [`PATIENCE`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

#[cfg(not(shuttle))]
use icecore_disk::{Clock, clock::SystemClock};
use icecore_sync::thread::{self, JoinHandle};
use icecore_sync::{Condvar, Mutex, lock};

use super::board::Board;
use crate::error::{Error, ErrorKind};

/// After this time at most, a waiter looks at the store's clock again.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Timer {
    state: Mutex<State>,
    changed: Condvar,
    clock: OwnClock,
}

/// The clock by which waits end: the system's, or that of the scheduler which a model runs under.
#[derive(Debug, Default)]
struct OwnClock {
    #[cfg(not(shuttle))]
    system: SystemClock,
}

impl OwnClock {
    #[cfg(not(shuttle))]
    fn now(&self) -> Duration {
        self.system.monotonic()
    }

    #[cfg(shuttle)]
    fn now(&self) -> Duration {
        icecore_sync::model::now()
    }
}

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    thread: Option<JoinHandle<()>>,
    /// When to wake which queue; the number tells alarms of one moment apart.
    alarms: BTreeMap<(Duration, u64), Weak<Board>>,
    set: u64,
}

impl Timer {
    /// Has a waiter of `board` woken in `ms` milliseconds, if somebody waits there.
    pub(crate) fn set(self: &Arc<Timer>, board: &Arc<Board>, ms: u64) -> Result<(), Error> {
        let at = self.clock.now() + Duration::from_millis(ms).min(PATIENCE);
        if !board.set_alarm(at) {
            return Ok(());
        }
        let mut state = lock(&self.state);
        state.set += 1;
        let number = state.set;
        state.alarms.insert((at, number), Arc::downgrade(board));
        if state.thread.is_none() && !state.stopped {
            let timer = Arc::clone(self);
            let thread = thread::Builder::new().name("icecore-queue".to_owned());
            match thread.spawn(move || timer.run()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => {
                    drop(state);
                    // The next one who waits tries again.
                    board.ring(at);
                    return Err(not_started(error));
                }
            }
        }
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        while !state.stopped {
            let now = self.clock.now();
            let next = state.alarms.first_key_value().map(|((at, _), _)| *at);
            state = match next.map(|at| at.checked_sub(now)) {
                // Nobody waits for a moment.
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Some(wait)) if !wait.is_zero() => {
                    let waited = self.changed.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    let rung = state.alarms.pop_first();
                    drop(state);
                    if let Some(((at, _), board)) = rung
                        && let Some(board) = board.upgrade()
                    {
                        // A waker that panics has told so, and must not end the others' waits.
                        catch_unwind(AssertUnwindSafe(|| board.ring(at))).unwrap_or_default();
                    }
                    lock(&self.state)
                }
            };
        }
    }

    /// Ends the thread, and waits for that; unless it is this very thread, which a waiter that it
    /// woke has made let go of the store.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        let running = state.thread.take();
        drop(state);
        self.changed.notify_all();
        if let Some(running) = running
            && running.thread().id() != thread::current().id()
        {
            running.join().expect("the timer's thread does not panic");
        }
    }
}

/// A thread of the queues could not be started.
pub(crate) fn not_started(error: std::io::Error) -> Error {
    Error::with_text(ErrorKind::Io, "a thread could not be started", error.to_string())
}
