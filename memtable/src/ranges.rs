//! The range tombstones of a memtable. They are rare: a lock guards them, and readers come here
//! only if there are any.

use std::sync::{Arc, PoisonError};

use icecore_model::{RangeSet, RangeTombstone, Versionstamp};

use icecore_sync::fine::{AtomicUsize, Ordering, RwLock};

/// A growing set of range tombstones.
pub(crate) struct Ranges {
    count: AtomicUsize,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    list: Vec<RangeTombstone>,
    /// The list prepared for lookups; `None` when it has grown since.
    set: Option<Arc<RangeSet>>,
}

impl Ranges {
    pub(crate) fn new() -> Ranges {
        Ranges { count: AtomicUsize::new(0), inner: RwLock::new(Inner::default()) }
    }

    /// Whether there are any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count() > 0
    }

    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Adds one and returns the bytes that it occupies.
    pub(crate) fn push(&self, start: &[u8], end: &[u8], stamp: Versionstamp) -> usize {
        let tombstone = RangeTombstone { start: start.to_vec(), end: end.to_vec(), stamp };
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.list.push(tombstone);
        inner.set = None;
        let count = inner.list.len();
        drop(inner);
        self.count.store(count, Ordering::Release);
        size_of::<RangeTombstone>() + start.len() + end.len()
    }

    /// The set of all of them.
    pub(crate) fn set(&self) -> Arc<RangeSet> {
        if !self.any() {
            return Arc::default();
        }
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = &inner.set {
            return Arc::clone(set);
        }
        drop(inner);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = &inner.set {
            return Arc::clone(set);
        }
        let set = Arc::new(RangeSet::new(inner.list.iter().cloned()));
        inner.set = Some(Arc::clone(&set));
        set
    }
}
