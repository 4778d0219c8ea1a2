//! What the usual build uses.

pub(crate) use std::sync::atomic;
pub use std::sync::{Condvar, Mutex, MutexGuard, RwLock, WaitTimeoutResult};
pub(crate) use std::thread;

/// See [`thread::number`](crate::thread::number).
#[inline]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    std::thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // It may be asked for in the destructor of another thread-local, after this one is gone.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
