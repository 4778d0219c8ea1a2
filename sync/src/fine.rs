//! Locks and atomics of structures that loom explores by themselves: under shuttle they are those
//! of `std`, and none of their locks is held while other code runs.

#[cfg(loom)]
pub use loom::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize},
};
#[cfg(not(loom))]
pub use std::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize},
};

pub use std::sync::atomic::Ordering;

/// Marks memory that is written once and then published. It costs nothing, except under loom,
/// where whoever reaches the memory without its publication in its past fails the model.
#[derive(Debug)]
pub struct Birth {
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
}

impl Birth {
    /// The memory around it is being written.
    #[must_use]
    pub fn here() -> Birth {
        Birth {
            #[cfg(loom)]
            cell: loom::cell::UnsafeCell::new(()),
        }
    }

    /// The memory around it is being read.
    #[inline(always)]
    pub fn check(&self) {
        #[cfg(loom)]
        self.cell.with(|_| ());
    }
}
