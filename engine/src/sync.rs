//! The primitives of the lock-free parts: those of `std`, or those of `loom` when the concurrency
//! models are built with `RUSTFLAGS="--cfg loom"`.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicPtr, AtomicU64, Ordering},
};

use std::sync::PoisonError;

/// Takes `mutex` although a holder of it panicked.
///
/// Only for state that is consistent between any two statements of its critical sections, so that
/// the panic of one reader takes nothing from the others.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks a place where the proof uses the single total order of `SeqCst` accesses.
///
/// All accesses around it are `SeqCst`, so the compiled program needs nothing more here, and a
/// reader is spared a second full barrier. Loom treats a `SeqCst` access as an acquire or release
/// one and knows the total order of *fences* only, so in its models this is a fence.
#[inline]
pub(crate) fn total_order() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// A small number that this thread keeps for its life, to spread threads over slots.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_number() -> usize {
    use std::sync::atomic::AtomicUsize;
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A pin may be taken in the destructor of another thread-local, after this one is gone.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// In a model all threads start at the same slot: that is the case with the most interleavings.
#[cfg(loom)]
pub(crate) fn thread_number() -> usize {
    0
}
