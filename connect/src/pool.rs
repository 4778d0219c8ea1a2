//! Threads for the store's calls, which may wait.
//!
//! They are the runtime's for blocking work. To wake a thread takes longer than most calls, so a
//! thread that has done one call goes on with the next, and no second thread is woken while the
//! first is on its way.
//!
//! 1. *No call waits for another one's disk.* Before a thread begins a call, it sends for one thread
//!    more if a call is left over and none is on its way. So each call that may run is begun as soon
//!    as a thread can come.
//! 2. *A pool never has more threads than it may*, and no more calls in its queue: before that, they
//!    wait as futures, which go when their clients go.
//! 3. A call that panics fails alone.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// Threads for one kind of the store's calls.
#[derive(Debug)]
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
    crew: Arc<Crew>,
}

/// A call has panicked: what it has done is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call of the store has panicked")
    }
}

impl Pool {
    /// A pool in which so many calls run at once.
    pub(crate) fn new(threads: usize) -> Arc<Pool> {
        let crew = Crew { threads_max: threads, state: Mutex::default() };
        Arc::new(Pool { permits: Arc::new(Semaphore::new(threads)), crew: Arc::new(crew) })
    }

    /// Runs `call` on a thread where it may wait. Once it was given a place, it runs to its end also
    /// when nobody waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.expect("it is never closed");
        let (tell, told) = oneshot::channel();
        self.crew.put(Box::new(move || {
            let result = call();
            drop(permit);
            // Whoever has asked may have gone.
            drop(tell.send(result));
        }));
        told.await.map_err(|_| Panicked)
    }
}

type Call = Box<dyn FnOnce() + Send>;

/// The threads of a pool, and what they have to do.
struct Crew {
    threads_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: VecDeque<Call>,
    /// At work, or on their way.
    threads: usize,
    /// Whether one of them is on its way.
    is_one_coming: bool,
}

impl State {
    /// Says whether a thread is to be sent for: there is something to do, none is coming, and there
    /// may be one more.
    ///
    /// If all there may be are there, one of them is about to look for its next call: each other has
    /// a call with a permit, of which there are no more than threads.
    fn wants_one(&mut self, threads_max: usize) -> bool {
        let wants = !self.calls.is_empty() && !self.is_one_coming && self.threads < threads_max;
        if wants {
            self.threads += 1;
            self.is_one_coming = true;
        }
        wants
    }
}

impl Crew {
    fn put(self: &Arc<Crew>, call: Call) {
        let mut state = self.lock();
        state.calls.push_back(call);
        self.send_for_one(state);
    }

    fn send_for_one(self: &Arc<Crew>, mut state: MutexGuard<'_, State>) {
        if state.wants_one(self.threads_max) {
            drop(state);
            let crew = Arc::clone(self);
            // It tells of each call by itself.
            drop(spawn_blocking(move || crew.work()));
        }
    }

    /// What a thread does.
    fn work(self: &Arc<Crew>) {
        self.lock().is_one_coming = false;
        while let Some(call) = self.next() {
            // The hook has told of a panic, and the sender of its answer is gone.
            drop(catch_unwind(AssertUnwindSafe(call)));
        }
    }

    /// The next call; without one, the thread is none of the crew any more.
    fn next(self: &Arc<Crew>) -> Option<Call> {
        let mut state = self.lock();
        let call = state.calls.pop_front();
        match call {
            Some(_) => self.send_for_one(state),
            None => state.threads -= 1,
        }
        call
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let (calls, threads) = (state.calls.len(), state.threads);
        f.debug_struct("Crew").field("calls", &calls).field("threads", &threads).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    const THREADS: usize = 4;

    /// Calls that end only when all of them run at once.
    async fn meet(pool: &Arc<Pool>, calls: usize) {
        let (barrier, mut running) = (Arc::new(Barrier::new(calls)), JoinSet::new());
        for _ in 0..calls {
            let (pool, barrier) = (Arc::clone(pool), Arc::clone(&barrier));
            running.spawn(async move { pool.run(move || barrier.wait().is_leader()).await });
        }
        let leaders = running.join_all().await.into_iter().filter(|result| *result == Ok(true));
        assert_eq!(leaders.count(), 1);
    }

    #[tokio::test]
    async fn calls_that_wait_for_each_other_all_run() {
        let pool = Pool::new(THREADS);
        for calls in 1..=THREADS {
            meet(&pool, calls).await;
        }
    }

    #[tokio::test]
    async fn no_more_calls_run_at_once_than_there_are_threads() {
        let (pool, mut running) = (Pool::new(THREADS), JoinSet::new());
        let now = Arc::new(AtomicUsize::new(0));
        for _ in 0..500 {
            let (pool, now) = (Arc::clone(&pool), Arc::clone(&now));
            running.spawn(async move {
                let call = move || {
                    let others = now.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    others
                };
                pool.run(call).await.unwrap()
            });
        }
        let others = running.join_all().await;
        assert_eq!(others.len(), 500);
        assert!(others.into_iter().all(|others| others < THREADS));
    }

    #[tokio::test]
    async fn a_call_that_panics_fails_alone_and_takes_no_thread_away() {
        let pool = Pool::new(THREADS);
        for _ in 0..2 * THREADS {
            let call = || -> u8 { panic!("on purpose") };
            assert_eq!(pool.run(call).await, Err(Panicked));
        }
        meet(&pool, THREADS).await;
    }

    #[tokio::test]
    async fn a_call_that_has_its_place_runs_though_nobody_waits_for_it() {
        let pool = Pool::new(1);
        let (go, may_go) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let first = pool.run(move || may_go.recv().is_ok());
        let second = pool.run(move || tell.send(()).is_ok());
        let mut first = Box::pin(first);
        // It is polled once, and has its place then.
        tokio::select! {
            biased;
            _ = first.as_mut() => unreachable!("it waits"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        go.send(()).unwrap();
        // The only place is free again when the first call has come to its end.
        assert_eq!(second.await, Ok(true));
        told.recv().unwrap();
    }
}
