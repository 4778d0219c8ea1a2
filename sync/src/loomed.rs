//! What models of loom use.

use std::sync::{LockResult, PoisonError};
use std::time::Duration;

pub use loom::sync::{Mutex, MutexGuard, RwLock};
pub(crate) use loom::{sync::atomic, thread};

/// See [`thread::number`](crate::thread::number).
pub(crate) fn thread_number() -> usize {
    0
}

/// Loom's, and the methods that it lacks.
#[derive(Debug, Default)]
pub struct Condvar(loom::sync::Condvar);

/// Whether a wait ended because its time was over, which loom never lets happen.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult;

impl WaitTimeoutResult {
    /// Always false.
    pub fn timed_out(self) -> bool {
        false
    }
}

impl Condvar {
    /// With nobody waiting.
    pub fn new() -> Condvar {
        Condvar::default()
    }

    /// As `std`'s.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    /// As `std`'s.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut *guard) {
            guard = self.0.wait(guard)?;
        }
        Ok(guard)
    }

    /// As `std`'s, but it waits for ever.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.0
            .wait(guard)
            .map(|guard| (guard, WaitTimeoutResult))
            .map_err(|e| PoisonError::new((e.into_inner(), WaitTimeoutResult)))
    }

    /// As `std`'s, but it waits for ever.
    pub fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _limit: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_while(guard, condition)
            .map(|guard| (guard, WaitTimeoutResult))
            .map_err(|e| PoisonError::new((e.into_inner(), WaitTimeoutResult)))
    }

    /// As `std`'s.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// As `std`'s.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
