//! The atomics and locks of this crate: those of the standard library, or loom's under
//! `--cfg loom`, so that a model can try every interleaving of them.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, RwLock};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, RwLock};

pub(crate) use std::sync::atomic::Ordering;

/// Marks memory that is written once and then published. It costs nothing, except under loom,
/// where whoever reaches the memory without its publication in its past fails the model.
pub(crate) struct Birth {
    #[cfg(loom)]
    cell: loom::cell::UnsafeCell<()>,
}

impl Birth {
    pub(crate) fn here() -> Birth {
        Birth {
            #[cfg(loom)]
            cell: loom::cell::UnsafeCell::new(()),
        }
    }

    #[inline(always)]
    pub(crate) fn check(&self) {
        #[cfg(loom)]
        self.cell.with(|_| ());
    }
}
