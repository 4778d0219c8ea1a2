//! The sectors of a file that cannot be read, shared with the mappings of the file.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::page::SECTOR;
use crate::region::Faults;

/// A set of sectors. A clone is a copy, except for [`BadSectors::watch`].
#[derive(Default)]
pub(super) struct BadSectors {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Whether there is any, so that a mapping without faults costs one load.
    any: AtomicBool,
    sectors: Mutex<BTreeSet<usize>>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.sectors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BadSectors {
    /// Makes the sector that holds the byte at `offset` unreadable.
    pub(super) fn insert(&self, offset: usize) {
        self.shared.lock().insert(offset / SECTOR);
        self.shared.any.store(true, Ordering::Release);
    }

    /// A sector that is written again is replaced by a good one.
    pub(super) fn heal(&self, offset: u64, len: usize) {
        if !self.shared.any.load(Ordering::Acquire) || len == 0 {
            return;
        }
        let start = super::inode::usize_of(offset);
        self.shared.lock().retain(|s| {
            let end = (s + 1) * SECTOR;
            end <= start || s * SECTOR >= start + len
        });
    }

    /// The first byte of `range` that cannot be read.
    pub(super) fn first_in(&self, range: Range<usize>) -> Option<usize> {
        self.shared.first_in(range)
    }

    /// The same set, for a mapping: it sees later changes.
    pub(super) fn watch(&self) -> Arc<dyn Faults> {
        Arc::clone(&self.shared) as Arc<dyn Faults>
    }
}

impl Faults for Shared {
    fn first_in(&self, range: Range<usize>) -> Option<usize> {
        if !self.any.load(Ordering::Acquire) || range.is_empty() {
            return None;
        }
        let sectors = range.start / SECTOR..range.end.div_ceil(SECTOR);
        self.lock().range(sectors).next().map(|s| (s * SECTOR).max(range.start))
    }
}

impl Clone for BadSectors {
    fn clone(&self) -> BadSectors {
        let sectors = self.shared.lock().clone();
        let any = AtomicBool::new(!sectors.is_empty());
        BadSectors { shared: Arc::new(Shared { any, sectors: Mutex::new(sectors) }) }
    }
}
