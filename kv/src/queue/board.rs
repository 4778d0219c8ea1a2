//! Where a queue hears of new messages, and where its receivers wait.
//!
//! The board is the queue's observer: commits that put a message into the queue leave a note,
//! before they are visible, under the engine's write lock. So nothing here takes long.
//!
//! 1. *A note stays until its commit is visible to whoever reads it.* It holds the lowest spot
//!    of the messages, and the newest stamp. While more commits come in all the time, the newest is
//!    never visible; so there are two notes, and once the second one is begun, the first one gets
//!    no more stamps, and is done with when they are visible.
//! 2. *Each note wakes one waiter.* A waiter that was woken and goes away without having looked
//!    wakes the next one; and one that finds more than it takes does so, too ([`Line`] sees to
//!    that). So no message waits while a receiver does.
//! 3. *No waker is dropped where others wait for it.* A waker may own a task that owns the last
//!    handle of a message or of the store, whose drop commits, or reads the board. So those that
//!    were called, under the engine's write lock or under the lock of the picks, are kept, until a
//!    receiver comes by without a lock ([`Board::sweep`]).
//! 4. *No waker is called under the lock of the board*, and one that panics does not undo what it
//!    was called for: the commit stands, and the next waiter is called.
//!
//! [`Line`]: super::line::Line

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use icecore_engine::{Observer, Touched};
use icecore_model::Versionstamp;
use icecore_sync::{Mutex, MutexGuard, lock};

use super::format::{Spot, split_name};

/// What receivers and commits share.
#[derive(Debug, Default)]
pub(crate) struct Board {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    older: Option<Note>,
    newer: Option<Note>,
    closed: bool,
    /// In the order in which they came.
    waiters: VecDeque<(u64, Waker)>,
    next_waiter: u64,
    /// Wakers that nobody needs any more; invariant 3.
    spent: Vec<Waker>,
    /// For when the timer is set, by its clock.
    alarm: Option<Duration>,
}

impl State {
    fn lowest(&self) -> Option<Spot> {
        [self.older, self.newer].iter().flatten().map(|note| note.lowest).min()
    }
}

/// Some commits put messages into the queue.
#[derive(Clone, Copy, Debug)]
struct Note {
    lowest: Spot,
    until: Versionstamp,
}

impl Note {
    fn with(note: Option<Note>, spot: Spot, stamp: Versionstamp) -> Option<Note> {
        let lowest = note.map_or(spot, |note| note.lowest.min(spot));
        Some(Note { lowest, until: stamp })
    }
}

/// What the notes say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// No message was put below this one since the last look.
    pub(crate) lowest: Option<Spot>,
    /// Commits up to this one may not be visible yet.
    pub(crate) unseen: Option<Versionstamp>,
    pub(crate) closed: bool,
}

impl Board {
    /// The state is consistent between any two statements of its critical sections.
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The news for somebody who sees all commits up to `visible`.
    pub(crate) fn news(&self, visible: Versionstamp) -> News {
        let mut state = self.lock();
        let lowest = state.lowest();
        let seen = |note: Option<Note>| note.is_none_or(|note| note.until <= visible);
        if seen(state.older) {
            state.older = state.newer.take();
        }
        if seen(state.older) {
            state.older = None;
        }
        let unseen = state.newer.or(state.older).map(|note| note.until);
        News { lowest, unseen, closed: state.closed }
    }

    /// No message was put below this one since the last look that saw all commits.
    pub(crate) fn lowest(&self) -> Option<Spot> {
        self.lock().lowest()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// A place in the line of those who wait, to be entered.
    pub(crate) fn waiter(self: &Arc<Board>) -> Waiter {
        let mut state = self.lock();
        state.next_waiter += 1;
        Waiter { board: Arc::clone(self), id: state.next_waiter, responsible: false }
    }

    fn enter(&self, id: u64, waker: &Waker) {
        let waker = waker.clone();
        let mut state = self.lock();
        let old = match state.waiters.iter_mut().find(|(waiting, _)| *waiting == id) {
            Some((_, old)) => Some(std::mem::replace(old, waker)),
            None => {
                state.waiters.push_back((id, waker));
                None
            }
        };
        drop(state);
        drop(old);
    }

    /// Takes the waiter out; says whether it was still in. Its waker is left to be swept.
    fn leave(&self, id: u64) -> bool {
        let mut state = self.lock();
        let place = state.waiters.iter().position(|(waiting, _)| *waiting == id);
        let waiter = place.and_then(|place| state.waiters.remove(place));
        let was_in = waiter.is_some();
        state.spent.extend(waiter.map(|(_, waker)| waker));
        was_in
    }

    /// Drops the wakers that are left. The caller holds no lock.
    pub(crate) fn sweep(&self) {
        let spent = std::mem::take(&mut self.lock().spent);
        drop(spent);
    }

    /// Wakes the one who has waited for longest.
    pub(crate) fn wake_one(&self) {
        // One that has panicked may never look: then the next one does.
        while let Some((_, waker)) = self.pop() {
            if self.call(waker) {
                return;
            }
        }
    }

    fn pop(&self) -> Option<(u64, Waker)> {
        self.lock().waiters.pop_front()
    }

    /// Calls a waker and keeps it; says whether it came back.
    fn call(&self, waker: Waker) -> bool {
        // What a panic leaves half done is the waker's own, and its hook has told of it.
        let called = catch_unwind(AssertUnwindSafe(|| waker.wake_by_ref()));
        self.lock().spent.push(waker);
        called.is_ok()
    }

    /// Notes that the timer is to ring at `at`; `false` if it rings earlier anyway, or if nobody
    /// waits for it.
    pub(crate) fn set_alarm(&self, at: Duration) -> bool {
        let mut state = self.lock();
        if state.waiters.is_empty() || state.alarm.is_some_and(|alarm| alarm <= at) {
            return false;
        }
        state.alarm = Some(at);
        true
    }

    /// The timer has rung for `at`.
    pub(crate) fn ring(&self, at: Duration) {
        let mut state = self.lock();
        if state.alarm.is_none_or(|alarm| at < alarm) {
            return;
        }
        state.alarm = None;
        drop(state);
        self.wake_one();
    }
}

impl Observer for Board {
    fn touched(&self, stamp: Versionstamp, effect: Touched<'_>) {
        let Touched::Set { key } = effect else { return };
        // A key that is none is reported by whoever reads it.
        let spot = split_name(key).and_then(|(_, rest)| Spot::decode(rest)).unwrap_or(Spot::FIRST);
        let mut state = self.lock();
        if state.older.is_none() {
            state.older = Note::with(None, spot, stamp);
        } else {
            state.newer = Note::with(state.newer, spot, stamp);
        }
        drop(state);
        self.wake_one();
    }

    fn closed(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        for (_, waker) in waiters {
            self.call(waker);
        }
    }
}

/// A place in the line of those who wait. It is given up when this is dropped; if it had been
/// called by then, the next one is.
#[derive(Debug)]
pub(crate) struct Waiter {
    board: Arc<Board>,
    id: u64,
    /// Nobody else hears of what this waiter was called for.
    responsible: bool,
}

impl Waiter {
    /// Has `waker` called at the next occasion, in the order in which waiters have come.
    pub(crate) fn enter(&mut self, waker: &Waker) {
        self.board.enter(self.id, waker);
        self.responsible = true;
    }

    /// It got what it wanted, and waits no longer. Whoever says so calls the next one, if there is
    /// more to get, and sweeps the board.
    pub(crate) fn served(&mut self) {
        self.board.leave(self.id);
        self.responsible = false;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.board.leave(self.id) && self.responsible {
            self.board.wake_one();
        }
        self.board.sweep();
    }
}

#[cfg(test)]
mod tests;
