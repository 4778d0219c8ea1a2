//! What runs under shuttle uses: its items, and waits with a time limit, which it does not have.

mod condvar;
pub mod model;
mod scheduler;
mod time;

pub use self::condvar::{Condvar, WaitTimeoutResult};
pub use shuttle::sync::{Mutex, MutexGuard, RwLock};
pub(crate) use shuttle::{sync::atomic, thread};

/// See [`thread::number`](crate::thread::number).
pub(crate) fn thread_number() -> usize {
    usize::from(shuttle::thread::current().id())
}
