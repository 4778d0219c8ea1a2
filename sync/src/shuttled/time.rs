//! The time of an execution. It stands still while threads run, and goes on from one end of a wait
//! to the next: when all threads wait, or when the scheduler has one of them time out early.
//!
//! A thread of the execution, the *keeper*, ends the waits. It is not one of the store's: the
//! [scheduler](super::scheduler) gives it a turn by rules of its own. While no wait has a limit it
//! is parked, so that threads which wait for each other for ever are a deadlock, and found.
//!
//! All threads of an execution share one thread of the system, so the state is a thread-local of
//! that one, and no turn changes hands while it is borrowed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::Condvar;
use shuttle::thread::{self, JoinHandle, Thread};

/// A run of a store takes seconds at most; where time goes on for longer, threads wait in vain for
/// something that only ever times out.
const LIMIT: Duration = Duration::from_secs(600);

std::thread_local! {
    static TIME: RefCell<Time> = RefCell::default();
}

#[derive(Default)]
struct Time {
    now: Duration,
    /// By the moment at which the wait ends; the number tells equal ones apart.
    timers: BTreeMap<(Duration, u64), Arc<Condvar>>,
    /// Those that have rung and were not taken back. A thread gives others a turn between setting
    /// its timer and waiting: it may have missed the ring, and is rung for again.
    rung: BTreeMap<(Duration, u64), Arc<Condvar>>,
    set: u64,
    keeper: Option<Thread>,
    /// The keeper is between taking a timer and waking its thread, where nobody else has a turn.
    is_firing: bool,
    /// How often nobody but the keeper could do anything.
    idles: u64,
    is_over: bool,
}

/// The time since the execution began.
pub(super) fn now() -> Duration {
    TIME.with_borrow(|time| time.now)
}

/// Wakes whoever waits at `condvar` once `limit` has passed.
pub(super) fn set(limit: Duration, condvar: &Arc<Condvar>) -> (Duration, u64) {
    let (timer, keeper) = TIME.with_borrow_mut(|time| {
        time.set += 1;
        let timer = (time.now + limit, time.set);
        time.timers.insert(timer, Arc::clone(condvar));
        (timer, time.keeper.clone())
    });
    if let Some(keeper) = keeper {
        keeper.unpark();
    }
    timer
}

/// Takes a timer back. Says whether it has rung.
pub(super) fn take(timer: (Duration, u64)) -> bool {
    TIME.with_borrow_mut(|time| {
        time.timers.remove(&timer);
        time.rung.remove(&timer).is_some()
    })
}

/// The number of the keeper's task.
pub(super) fn keeper() -> Option<usize> {
    TIME.with_borrow(|time| time.keeper.as_ref().map(|keeper| usize::from(keeper.id())))
}

/// Whether the keeper must have the next turn.
pub(super) fn is_firing() -> bool {
    TIME.with_borrow(|time| time.is_firing)
}

/// Nobody but the keeper can do anything.
pub(super) fn note_idle() {
    TIME.with_borrow_mut(|time| {
        time.idles += u64::from(!time.timers.is_empty() && time.rung.is_empty());
    });
}

/// How often that was so.
pub(super) fn idles() -> u64 {
    TIME.with_borrow(|time| time.idles)
}

/// Forgets the execution before, however it ended.
pub(super) fn reset() {
    drop(TIME.take());
}

/// Starts the time of an execution.
pub(super) fn start() -> JoinHandle<()> {
    let handle = thread::spawn(keep);
    TIME.with_borrow_mut(|time| time.keeper = Some(handle.thread().clone()));
    handle
}

/// Ends the time of an execution, all of whose other threads have ended.
pub(super) fn end(keeper: JoinHandle<()>) {
    TIME.with_borrow_mut(|time| time.is_over = true);
    keeper.thread().unpark();
    keeper.join().expect("the keeper of the time does not panic before the execution fails");
}

fn keep() {
    loop {
        let rings: Vec<_> = TIME.with_borrow_mut(|time| {
            if let Some((timer, condvar)) = time.timers.pop_first() {
                time.now = time.now.max(timer.0);
                assert!(time.now < LIMIT, "the execution goes on for {LIMIT:?}: nothing happens");
                time.rung.insert(timer, condvar);
            }
            time.is_firing = !time.rung.is_empty();
            time.rung.values().cloned().collect()
        });
        if rings.is_empty() {
            if TIME.with_borrow(|time| time.is_over) {
                return;
            }
            thread::park();
            continue;
        }
        rings.iter().for_each(|condvar| condvar.notify_all());
        TIME.with_borrow_mut(|time| time.is_firing = false);
        // What was woken goes first, unless the scheduler wants the next one, too.
        thread::yield_now();
    }
}
