//! How a reader gets the current view without a lock, an allocation or a shared counter, and how
//! the engine learns what no reader can need any more. Epoch-based reclamation after Fraser,
//! *Practical lock-freedom* (2004), with the reader's stamp in the same slot as its presence.
//!
//! A reader ([`Published::pin`])
//!
//! 1. loads the visible stamp, as a lower bound of the one it is going to use;
//! 2. claims a free slot by writing this bound into it: its presence;
//! 3. copies the epoch into the slot;
//! 4. loads the visible stamp again, at which it is going to read;
//! 5. loads the view.
//!
//! The stamp comes before the view, so a publication in between does no harm: a later view holds
//! every commit of an earlier one. In the opposite order the reader would have to check afterwards
//! that its view is still current, and to begin again if not.
//!
//! A publisher ([`Published::publish`]) replaces the view, then advances the epoch, and tags the
//! old view with the epoch that ended. The floor ([`Published::floor`]) is the visible stamp, read
//! first, lowered by every slot and by every held stamp.
//!
//! What the caller owes: the visible stamp never goes back; it is stored and loaded `SeqCst`; and
//! a view that contains a new memtable is published before a commit in that memtable becomes
//! visible.
//!
//! Invariants. Loads and stores of slots, view and visible stamp are `SeqCst`, so that they have
//! one order, in which "before" is meant here.
//!
//! 1. *A view holds every commit up to the stamp that it is pinned with.* The view that holds a
//!    commit was published before the commit became visible, therefore before 4 saw it, and 5 loads
//!    this view or a later one.
//! 2. *No pinned view is dropped.* A view is dropped when every claimed slot shows an epoch greater
//!    than its tag, looked at after the view was replaced. If the slot was seen free, or claimed by
//!    an earlier reader, it was claimed later, and 5 loads a later view. If it was seen with an epoch
//!    greater than the tag, the reader did 3 after the epoch had advanced, therefore after the view
//!    was replaced, and 5 loads a later view. Between 2 and 3 the slot shows the epoch of an earlier
//!    reader, which is not greater than the one that is going to be copied, because epochs do not
//!    go back and the claim synchronises with the earlier reader's release: that only delays.
//! 3. *Every pinned stamp, now and later, is at least any floor that was returned before the pin is
//!    released.* If the floor saw the slot claimed, it was lowered to the bound from 1, which is
//!    not above the stamp of 4. If it saw the slot free, it was claimed later, so 4 comes after
//!    the floor's load of the visible stamp and gives at least as much.
//! 4. *Nobody waits for a reader, and a reader waits for nobody* but, when it finds no free slot,
//!    for the short mutex of [`Published::hold`].
//!
//! A pin is short (a point read, a step of a scan): it delays the reclamation of views. Whoever
//! lives longer holds ([`Published::hold`]): an ordinary reference, and a stamp in a multiset.
//! A held view, too, is dropped in [`Published::publish`] or [`Published::collect`] only, as they
//! keep a reference until it is the last one, so that no reader unmaps a file.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use icecore_model::Versionstamp;
use icecore_sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use icecore_sync::{Mutex, lock, thread, total_order};

/// Pins at the same time without a lock. More than the cores of most machines, few enough that
/// scanning them is nothing beside a flush.
const SLOTS: usize = if cfg!(any(loom, shuttle)) { 2 } else { 64 };

/// The stamp of a slot without a reader: it lowers no floor.
const FREE: u64 = u64::MAX;

/// One reader's presence, on cache lines of its own (two, as processors fetch them in pairs).
#[repr(align(128))]
#[derive(Debug)]
struct Slot {
    /// [`FREE`], or a lower bound of the stamp that the reader uses.
    stamp: AtomicU64,
    /// Meaningful while claimed: the epoch in which the reader loaded its view, or an earlier one.
    epoch: AtomicU64,
}

/// A claimed slot, freed on drop.
#[derive(Debug)]
struct Claim<'a>(&'a Slot);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.stamp.store(FREE, Ordering::SeqCst);
    }
}

/// Stamps that are held beyond a pin, with how many hold them.
type Holds = Mutex<BTreeMap<Versionstamp, usize>>;

/// The current view, for any number of readers.
#[derive(Debug)]
pub(crate) struct Published<V> {
    /// Points into `state.current`.
    view: AtomicPtr<V>,
    /// How often a view was replaced.
    epoch: AtomicU64,
    slots: Box<[Slot]>,
    /// Taken before `holds` where both are needed.
    state: Mutex<State<V>>,
    holds: Arc<Holds>,
}

#[derive(Debug)]
struct State<V> {
    current: Arc<V>,
    retired: Vec<Retired<V>>,
}

#[derive(Debug)]
struct Retired<V> {
    /// No reader that began in a later epoch knows the view.
    epoch: u64,
    view: Arc<V>,
}

impl<V: Send + Sync> Published<V> {
    /// Readers are going to find `view`.
    pub(crate) fn new(view: Arc<V>) -> Published<V> {
        Published {
            view: AtomicPtr::new(Arc::as_ptr(&view).cast_mut()),
            epoch: AtomicU64::new(0),
            slots: (0..SLOTS)
                .map(|_| Slot { stamp: AtomicU64::new(FREE), epoch: AtomicU64::new(0) })
                .collect(),
            state: Mutex::new(State { current: view, retired: Vec::new() }),
            holds: Arc::default(),
        }
    }

    /// The current view and a stamp up to which it holds every commit, for one short read.
    ///
    /// `visible` is one `SeqCst` load. It is called more than once, and under a mutex of this type
    /// when no slot is free.
    #[inline]
    pub(crate) fn pin(&self, visible: impl Fn() -> Versionstamp) -> Pinned<'_, V> {
        self.pin_in_slot(&visible).unwrap_or_else(|| self.pin_by_hold(&visible))
    }

    #[inline]
    fn pin_in_slot(&self, visible: &impl Fn() -> Versionstamp) -> Option<Pinned<'_, V>> {
        let claim = self.claim(visible())?;
        claim.0.epoch.store(self.epoch.load(Ordering::SeqCst), Ordering::SeqCst);
        let at = visible();
        let view = NonNull::new(self.view.load(Ordering::SeqCst)).expect("a view is never null");
        Some(Pinned { view, at, _presence: Presence::Slot(claim) })
    }

    #[cold]
    fn pin_by_hold(&self, visible: &impl Fn() -> Versionstamp) -> Pinned<'_, V> {
        let (view, held) = self.hold(visible);
        let pointer = NonNull::from(&*view);
        Pinned { view: pointer, at: held.at(), _presence: Presence::Hold(view, held) }
    }

    /// Claims a free slot, preferably this thread's own.
    #[inline]
    fn claim(&self, bound: Versionstamp) -> Option<Claim<'_>> {
        // The bound of a claimed slot must differ from that of a free one; lower is always right.
        let bound = bound.get().min(FREE - 1);
        let home = thread::number();
        let slot = (0..SLOTS).map(|i| &self.slots[(home + i) % SLOTS]).find(|slot| {
            slot.stamp.compare_exchange(FREE, bound, Ordering::SeqCst, Ordering::Relaxed).is_ok()
        })?;
        total_order();
        Some(Claim(slot))
    }

    /// The current view and a stamp up to which it holds every commit, for as long as one likes:
    /// versions that a reader at this stamp needs survive until [`Held`] is dropped.
    pub(crate) fn hold(&self, visible: impl Fn() -> Versionstamp) -> (Arc<V>, Held) {
        // Under the lock no view is published, so this one holds whatever is visible. And a floor
        // either finds the stamp among the holds, or has read a visible stamp before this one.
        let state = lock(&self.state);
        let mut holds = lock(&self.holds);
        let stamp = visible();
        *holds.entry(stamp).or_insert(0) += 1;
        (state.current.clone(), Held { stamp, holds: self.holds.clone() })
    }

    /// Makes `view` the current one. Callers take turns.
    ///
    /// The old view is dropped here or in a later call, once nobody reads from it.
    pub(crate) fn publish(&self, view: Arc<V>) {
        {
            let mut state = lock(&self.state);
            let pointer = Arc::as_ptr(&view).cast_mut();
            let old = std::mem::replace(&mut state.current, view);
            self.view.store(pointer, Ordering::SeqCst);
            let epoch = self.epoch.fetch_add(1, Ordering::SeqCst);
            state.retired.push(Retired { epoch, view: old });
        }
        self.collect();
    }

    /// Drops the replaced views that nobody reads from any more.
    pub(crate) fn collect(&self) {
        // To drop a view may unmap files: not under the lock.
        let dead: Vec<Retired<V>> = {
            let mut state = lock(&self.state);
            if state.retired.is_empty() {
                return;
            }
            let oldest = self.oldest_epoch();
            state
                .retired
                .extract_if(.., |retired| {
                    // Its only reference is this one: no reader has it, so nobody can copy it.
                    retired.epoch < oldest && Arc::strong_count(&retired.view) == 1
                })
                .collect()
        };
        drop(dead);
    }

    /// A bound of the epochs in which readers that are present loaded their views.
    fn oldest_epoch(&self) -> u64 {
        total_order();
        self.slots
            .iter()
            .filter(|slot| slot.stamp.load(Ordering::SeqCst) != FREE)
            .map(|slot| slot.epoch.load(Ordering::SeqCst))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// The floor: no reader, now or later, uses a lower stamp.
    ///
    /// A version may be dropped when a newer one of its key exists at or below the floor.
    pub(crate) fn floor(&self, visible: impl Fn() -> Versionstamp) -> Versionstamp {
        // The order is the point: a reader that none of the scans sees begins after this load.
        let visible = visible();
        total_order();
        let pinned = self.slots.iter().map(|slot| slot.stamp.load(Ordering::SeqCst)).min();
        let pinned = Versionstamp::new(pinned.unwrap_or(FREE));
        let held = lock(&self.holds).first_key_value().map(|(stamp, _)| *stamp);
        visible.min(pinned).min(held.unwrap_or(Versionstamp::MAX))
    }

    /// How many replaced views are still in memory.
    pub(crate) fn retired(&self) -> usize {
        lock(&self.state).retired.len()
    }
}

/// A view that is not dropped, and a stamp that no floor passes, until this is dropped.
#[derive(Debug)]
pub(crate) struct Pinned<'a, V> {
    view: NonNull<V>,
    at: Versionstamp,
    _presence: Presence<'a, V>,
}

/// What keeps a pinned view in memory. Held only to be dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "a guard is there to be dropped")]
enum Presence<'a, V> {
    Slot(Claim<'a>),
    Hold(Arc<V>, Held),
}

impl<V> Pinned<'_, V> {
    /// The stamp to read at: the view holds every commit up to it.
    #[inline]
    pub(crate) fn at(&self) -> Versionstamp {
        self.at
    }
}

#[expect(unsafe_code, reason = "a reference count per reader would be a shared counter")]
impl<V> Deref for Pinned<'_, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        // SAFETY:
        // - The pointer comes from `Arc::as_ptr`, so it is aligned, not null, and points to a `V`
        //   that is only ever shared: nobody makes a `&mut V` of it.
        // - The `V` is alive while `self` is. With `Presence::Hold` the reference beside it sees to
        //   that. With `Presence::Slot`, the `Published` outlives `self` by its lifetime, and keeps
        //   a reference in `state` as long as the slot is claimed (invariant 2 of the header).
        // - The result borrows `self`, so it is gone before the presence is dropped.
        unsafe { self.view.as_ref() }
    }
}

/// A stamp that no floor passes until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    stamp: Versionstamp,
    holds: Arc<Holds>,
}

impl Held {
    /// The held stamp.
    pub(crate) fn at(&self) -> Versionstamp {
        self.stamp
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut holds = lock(&self.holds);
        if let Some(count) = holds.get_mut(&self.stamp) {
            *count -= 1;
            if *count == 0 {
                holds.remove(&self.stamp);
            }
        }
    }
}

#[cfg(test)]
mod tests;
