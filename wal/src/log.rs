//! The log: appending, waiting, and the work that the waiting threads do for each other.
//!
//! There is no thread of the log's own. Whoever waits for a commit looks at what is to be done
//! ([`drive`](crate::drive)), does one thing without holding the lock, and looks again; it sleeps
//! only when everything that it waits for is in another thread's hands. So the usual buffered
//! commit is one write by its own thread, and eight threads that commit durably share the writes.
//!
//! 1. Lock order: the spares before the state; no I/O under the state's lock (see
//!    [`State::submit`]), no waker is called under it.
//! 2. A thread sleeps only while another one holds an action whose end wakes it: all changes of
//!    the state end in [`Log::publish`], which wakes those who have what they waited for, and one
//!    more if there is work left for it. Nobody is woken to find that nothing has changed for him:
//!    where many threads commit, that would be most of the work.
//! 3. While a thread reserves room, its caller holds a lock under which no waker may run: what a
//!    waker owns may be the last handle of the store. So wakers that become due then are left,
//!    by all threads, until somebody calls [`Log::wake_left`] or publishes after that.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use icecore_model::{LogPosition, Planted, Versionstamp, planted};
use icecore_sync::atomic::{AtomicU64, Ordering};
use icecore_sync::{Condvar, Mutex, MutexGuard};

use crate::alarm::Alarm;
use crate::drive::Action;
use crate::format::{BEACON, COMMIT, END};
use crate::retire::Spares;
use crate::segment;
use crate::state::{Flight, NewFrame, Sleeper, State, mark_frame};
use crate::{Durability, Error, LogEnv, LogOptions, LogStats};

/// A durable log of atomic commits. See the [crate](crate).
pub struct Log {
    pub(crate) env: LogEnv,
    pub(crate) options: LogOptions,
    pub(crate) spares: Mutex<Spares>,
    state: Mutex<State>,
    /// Wakes those who wait for work.
    work: Condvar,
    /// A copy of the state's, for reading without the lock.
    visible: AtomicU64,
    /// 1 if wakers may have been left.
    left: AtomicU64,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// The commit is visible.
    Visible(Versionstamp),
    /// Everything below is durable.
    Durable(LogPosition),
    /// Fewer groups than this wait to be submitted.
    Queued(usize),
    /// Nobody completes a write, or there are writes that nobody completes.
    Landed,
}

impl Goal {
    pub(crate) fn reached(self, state: &State) -> bool {
        match self {
            Goal::Visible(stamp) => state.visible >= stamp,
            Goal::Durable(position) => state.durable().position >= position,
            Goal::Queued(below) => state.queued() < below,
            Goal::Landed => state.completing == 0 || state.has_unclaimed(),
        }
    }

    /// Work below this place helps.
    fn position(self, state: &State) -> Option<LogPosition> {
        match self {
            Goal::Visible(stamp) => state.end_of(stamp),
            Goal::Durable(position) => Some(position),
            Goal::Queued(_) | Goal::Landed => Some(state.end()),
        }
    }
}

impl Log {
    /// A log that goes on in an empty segment.
    pub(crate) fn over(env: LogEnv, options: LogOptions, spares: Spares, state: State) -> Log {
        Log {
            env,
            options,
            spares: Mutex::new(spares),
            visible: AtomicU64::new(state.visible.get()),
            left: AtomicU64::new(0),
            state: Mutex::new(state),
            work: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the log's state")
    }

    /// Appends one commit to the pending group.
    ///
    /// Room must have been [reserved](Log::reserve), by the same thread or under the same lock of
    /// the caller, and `stamp` must be greater than all before it and below the
    /// [ceiling](Log::ceiling). The effects must already be where readers look for them: from here
    /// on, any thread may make the stamp visible.
    ///
    /// # Errors
    /// [`Error::Poisoned`] and [`Error::Closed`]; the log is then unchanged.
    pub fn append(
        &self,
        stamp: Versionstamp,
        clock_ms: u64,
        effects: &[u8],
        durability: Durability,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        state.check_open()?;
        let durable = durability == Durability::Sync;
        state.append(&NewFrame { kind: COMMIT, stamp, clock_ms, payload: effects, durable });
        Ok(())
    }

    /// Blocks until `stamp`, which was appended, is visible. The calling thread drives the log
    /// itself as far as that helps.
    ///
    /// # Errors
    /// [`Error::Poisoned`] when the log failed first: whether the commit survives is not known.
    pub fn wait(&self, stamp: Versionstamp) -> Result<(), Error> {
        if self.visible() >= stamp {
            return Ok(());
        }
        self.drive(Goal::Visible(stamp))
    }

    /// The last visible stamp: everything up to it has reached the durability that it asked for.
    #[inline]
    pub fn visible(&self) -> Versionstamp {
        Versionstamp::new(self.visible.load(Ordering::SeqCst))
    }

    /// The last stamp that was appended.
    pub fn last_appended(&self) -> Versionstamp {
        self.lock().last_appended
    }

    /// Stamps in the current segment are below this one.
    pub fn ceiling(&self) -> Versionstamp {
        self.lock().segment.ceiling
    }

    /// Every commit up to this stamp is durable.
    pub fn durable_stamp(&self) -> Versionstamp {
        self.lock().durable().stamp
    }

    /// Whether `stamp` is visible; if not, `waker` is called when it is, or when the log fails.
    /// Nobody does the work unless it is [announced](Log::kick).
    pub fn poll_visible(&self, stamp: Versionstamp, waker: &Waker) -> Poll<Result<(), Error>> {
        if self.visible() >= stamp {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.lock();
        if state.visible >= stamp && !planted(Planted::WakerEnteredBlindly) {
            return Poll::Ready(Ok(()));
        }
        if state.failure.is_some() {
            return Poll::Ready(Err(Error::Poisoned));
        }
        if !state.wakers.iter().any(|(s, known)| *s == stamp && known.will_wake(waker)) {
            state.wakers.push((stamp, waker.clone()));
        }
        Poll::Pending
    }

    /// Announces that the commits appended so far have nobody who waits for them in
    /// [`Log::wait`], so that a thread in [`Log::wait_for_work`] acts for them.
    pub fn kick(&self) {
        let mut state = self.lock();
        state.kicked = state.last_appended;
        drop(self.publish(state));
    }

    /// Blocks until there is work for announced commits that no other thread does (true), or the
    /// log is closed (false).
    pub fn wait_for_work(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.closed {
                return false;
            }
            if state.needs_driver() {
                return true;
            }
            state.drivers += 1;
            state = self.work.wait(state).expect("no thread panics while it holds the state");
            state.drivers -= 1;
        }
    }

    /// Does one piece of work that is possible without waiting for another thread: submits a
    /// group, completes one of the submitted writes, or syncs. `choice` picks among the possible
    /// ones; 0 is a good choice outside a simulation. False when there is nothing to do.
    ///
    /// # Errors
    /// The failure of the work, which poisons the log.
    pub fn step(&self, choice: u64) -> Result<bool, Error> {
        let mut state = self.lock();
        match state.view().and_then(|view| view.any(choice)) {
            None => Ok(false),
            Some(Action::Submit) => {
                let flight = state.submit();
                state.leave(flight);
                drop(self.publish(state));
                Ok(true)
            }
            Some(action) => self.perform(state, action).map(|_| true),
        }
    }

    /// Makes everything that was appended before durable.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn sync(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.failure.is_some() {
            return Err(Error::Poisoned);
        }
        let end = state.end();
        state.demand(end);
        drop(state);
        self.drive(Goal::Durable(end))
    }

    /// Makes everything durable and then says so in the log, so that later damage to it is
    /// recognised. For idle moments; it says nothing when the log already ends so, or when a commit
    /// came meanwhile.
    ///
    /// # Errors
    /// [`Error::Poisoned`].
    pub fn beacon(&self) -> Result<(), Error> {
        self.sync()?;
        let mut state = self.lock();
        let silent = planted(Planted::BeaconsLeftOut);
        if state.closed || state.failure.is_some() || !state.wants_beacon() || silent {
            return Ok(());
        }
        let frame = mark_frame(&state, BEACON);
        state.push(&frame);
        let end = state.end();
        drop(state);
        self.drive(Goal::Durable(end))
    }

    /// Takes no more commits, makes all earlier ones durable and visible, marks the end of the
    /// log, and lets every driver go. When it returns, no write is in flight any more. Closing
    /// twice is closing once.
    ///
    /// # Errors
    /// [`Error::Poisoned`]; the log is closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        let mut state = self.lock();
        state.closed = true;
        self.work.notify_all();
        drop(self.publish(state));
        let ended = self.end();
        self.land();
        ended
    }

    /// Completes the writes that a failure left in flight, and waits for those that other threads
    /// complete: none may reach the file after somebody else has opened it. What becomes of them
    /// changes nothing; their commits were told that it is open.
    fn land(&self) {
        let mut state = self.lock();
        loop {
            if state.has_unclaimed() {
                let flight = state.claim(0);
                state = match self.complete(state, flight) {
                    Ok(state) => state,
                    // The log has failed before, or has now; the rest must land all the same.
                    Err(_) => self.lock(),
                };
            } else if state.completing > 0 {
                // It claims what there is to claim, and nothing else is its business any more.
                let nowhere = LogPosition::new(0, 0);
                self.sleep(state, Goal::Landed, nowhere);
                state = self.lock();
            } else {
                return;
            }
        }
    }

    /// Makes everything durable and marks the end.
    fn end(&self) -> Result<(), Error> {
        self.sync()?;
        let mut state = self.lock();
        if !state.wants_end() {
            return Ok(());
        }
        let frame = mark_frame(&state, END);
        state.push(&frame);
        let end = state.end();
        drop(state);
        self.drive(Goal::Durable(end))
    }

    /// Stops the log for good: nothing more becomes visible or durable through it.
    pub fn poison(&self) {
        let mut state = self.lock();
        state.fail("poisoned from outside the log".to_owned());
        drop(self.publish(state));
    }

    /// As [`Log::poison`], for callers who hold a lock under which no waker may run, and who call
    /// [`Log::wake_left`] after it.
    pub fn poison_and_leave_wakers(&self) {
        let mut state = self.lock();
        state.fail("poisoned from outside the log".to_owned());
        let hushed = std::mem::replace(&mut state.hushed, true);
        self.publish(state).hushed = hushed;
    }

    /// Calls the wakers that were left while somebody [reserved](Log::reserve): for whoever has
    /// reserved, once no lock is held.
    #[inline]
    pub fn wake_left(&self) {
        if self.left.load(Ordering::SeqCst) != 0 {
            drop(self.publish(self.lock()));
        }
    }

    /// Whether the log failed.
    pub fn is_poisoned(&self) -> bool {
        self.lock().failure.is_some()
    }

    /// The failure that poisoned the log, in words.
    pub fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// What the log has done so far.
    pub fn stats(&self) -> LogStats {
        self.lock().stats
    }

    /// Works and waits until `goal` is reached.
    pub(crate) fn drive(&self, goal: Goal) -> Result<(), Error> {
        let mut state = self.lock();
        if goal.reached(&state) {
            return Ok(());
        }
        if state.failure.is_some() {
            // Also for a stamp that the failure kept from being appended.
            return Err(Error::Poisoned);
        }
        let position = goal.position(&state).expect("the stamp was appended");
        loop {
            if goal.reached(&state) {
                return Ok(());
            }
            let Some(view) = state.view() else { return Err(Error::Poisoned) };
            state = match view.towards(position) {
                // The cause of a failure is kept in the state; here the outcome is unknown.
                Some(action) => self.perform(state, action).map_err(|_| Error::Poisoned)?,
                None => {
                    self.sleep(state, goal, position);
                    // The usual end needs no lock, for which all that were woken would queue.
                    if matches!(goal, Goal::Visible(stamp) if self.visible() >= stamp) {
                        return Ok(());
                    }
                    self.lock()
                }
            }
        }
    }

    /// Waits for another thread to say that the goal is reached, that there is something to do for
    /// it, or that the log has failed.
    fn sleep(&self, mut state: MutexGuard<'_, State>, goal: Goal, position: LogPosition) {
        let alarm = Arc::new(Alarm::default());
        state.sleepers.push(Sleeper { goal, position, alarm: alarm.clone() });
        drop(state);
        alarm.wait();
    }

    /// Does one thing, without the lock while the disk works.
    fn perform<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        action: Action,
    ) -> Result<MutexGuard<'a, State>, Error> {
        match action {
            Action::Submit => {
                let flight = state.submit();
                self.complete(state, flight)
            }
            Action::Complete(index) => {
                let flight = state.claim(index);
                self.complete(state, flight)
            }
            Action::Sync => self.sync_file(state),
        }
    }

    fn complete<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        flight: Flight,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let segment = state.segment.clone();
        state.completing += 1;
        let helper = state.helper();
        drop(state);
        helper.iter().for_each(|alarm| alarm.ring());
        let (ticket, end, bytes) = flight.take_off();
        let (buffer, result) = segment.file.complete(ticket);
        let mut state = self.lock();
        state.completing -= 1;
        state.recycle(buffer);
        match result {
            Ok(()) => {
                state.completed(end, bytes);
                Ok(self.publish(state))
            }
            Err(error) => Err(self.fail(state, segment.number, "write", error)),
        }
    }

    fn sync_file<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let reach = state.sync_begins();
        let segment = state.segment.clone();
        let left_out = state.rotating && planted(Planted::RotatedWithoutSync);
        let helper = state.helper();
        drop(state);
        helper.iter().for_each(|alarm| alarm.ring());
        let result = if left_out { Ok(()) } else { segment.file.sync() };
        let mut state = self.lock();
        match result {
            Ok(()) => {
                state.synced(reach);
                Ok(self.publish(state))
            }
            Err(error) => Err(self.fail(state, segment.number, "sync", error)),
        }
    }

    fn fail(
        &self,
        mut state: MutexGuard<'_, State>,
        number: u32,
        operation: &'static str,
        source: std::io::Error,
    ) -> Error {
        let error = Error::Io { file: segment::name(number), operation, source };
        state.fail(error.to_string());
        drop(self.publish(state));
        error
    }

    /// Tells everybody who may care that the state has changed.
    fn publish<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.visible.store(state.visible.get(), Ordering::SeqCst);
        let mut awake = state.satisfied();
        awake.extend(state.helper());
        if state.drivers > 0 && state.needs_driver() {
            self.work.notify_one();
        }
        self.left.store(u64::from(state.hushed), Ordering::SeqCst);
        let due = if state.hushed { Vec::new() } else { state.due_wakers() };
        if due.is_empty() && awake.is_empty() {
            return state;
        }
        drop(state);
        awake.iter().for_each(|alarm| alarm.ring());
        due.into_iter().for_each(Waker::wake);
        self.lock()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("visible", &self.visible()).finish_non_exhaustive()
    }
}
