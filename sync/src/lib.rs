//! The seam of threads and locks.
//!
//! Everything in the layers above that blocks a thread, wakes one, starts one, or is shared between
//! threads without a lock comes from here. In the usual build these are the items of `std` and
//! nothing else, so they cost nothing. Two other builds replace them:
//!
//! - `RUSTFLAGS="--cfg loom"`: those of loom, which tries *every* interleaving of a few threads over
//!   a small structure, weak memory included. Its models are beside the structures.
//! - `RUSTFLAGS="--cfg shuttle"`: those of shuttle, under which the whole store runs, with all its
//!   threads, in an order that one seed decides. See `icecore_sync::model`, which that build has.
//!
//! Rules for whoever uses it:
//!
//! 1. *No lock of `std` is held across a call of this crate*, or across a call of the disk: under a
//!    scheduler all threads share one thread of the system, which such a lock would stop for ever.
//! 2. *No item of this crate is in a `static`*: each execution of a model begins anew.
//! 3. *A wait with a time limit may end at any moment.* A scheduler ends it when it likes.
//! 4. Structures of their own that only loom explores take [`fine`]: under shuttle these are the
//!    items of `std`, at which no thread is switched. So its schedules are about the store, and not
//!    about the steps inside of an insertion.
//! 5. Counters that nothing is decided by need no seam.

#[cfg_attr(loom, path = "loomed.rs")]
#[cfg_attr(shuttle, path = "shuttled/mod.rs")]
#[cfg_attr(not(any(loom, shuttle)), path = "plain.rs")]
mod imp;

pub mod atomic;
pub mod fine;
pub mod thread;

#[cfg(shuttle)]
pub use self::imp::model;

/// The scheduler's own crate, for models.
#[cfg(loom)]
pub use loom;
/// The scheduler's own crate, for models.
#[cfg(shuttle)]
pub use shuttle;

pub use self::imp::{Condvar, Mutex, MutexGuard, RwLock, WaitTimeoutResult};

use std::sync::PoisonError;

/// Takes `mutex` although a holder of it panicked.
///
/// Only for state that is consistent between any two statements of its critical sections, so that
/// the panic of one thread takes nothing from the others.
#[inline]
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks a place where a proof uses the single total order of `SeqCst` accesses.
///
/// All accesses around it are `SeqCst`, so the compiled program needs nothing more here, and is
/// spared a second full barrier. Loom treats a `SeqCst` access as an acquire or release one and
/// knows the total order of *fences* only, so in its models this is a fence.
#[inline]
pub fn total_order() {
    #[cfg(loom)]
    loom::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
