//! Which mappings of this process are watched for faults: a table that a signal handler can read.
//!
//! The handler of [`sigbus`](super::sigbus) runs in the middle of any read, so here a lookup takes
//! no lock, allocates nothing and waits for nobody. Who maps and unmaps does take a lock.
//!
//! 1. The table grows by pieces that stay for ever; a slot never moves, and is used again.
//! 2. A slot's `version` is odd while its bounds change. A lookup that sees it odd or changed goes
//!    on to the next slot: the slot of a mapping that is being read was complete before that read
//!    began and is not given back before it has ended.
//! 3. A slot is given back before its mapping goes, so no slot that a lookup believes covers
//!    addresses that are somebody else's.
//! 4. A fault is noted before the unreadable page is replaced: whoever has read what replaces it
//!    finds the fault when it asks afterwards.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::region::Faults;

/// Slots of one piece of the table.
const PIECE_SLOTS: usize = if cfg!(miri) { 8 } else { 256 };

/// False until the first page of the process could not be read.
pub(super) static ALARM: AtomicBool = AtomicBool::new(false);

/// How many pages could not be read.
static PAGES: AtomicU64 = AtomicU64::new(0);

static TABLE: Link = OnceLock::new();

/// The slots that no mapping has. Whoever changes bounds holds its lock.
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

/// Where the next piece is, if there is one.
type Link = OnceLock<Box<Piece>>;

#[derive(Debug)]
struct Piece {
    slots: [Slot; PIECE_SLOTS],
    next: Link,
}

/// One mapping: where it lies, and what of it could not be read.
#[derive(Debug)]
pub(super) struct Slot {
    version: AtomicUsize,
    start: AtomicUsize,
    /// Behind the last byte; 0 in an empty slot.
    end: AtomicUsize,
    /// All faults lie in `bad_from..bad_to`, counted in bytes from `start`.
    bad_from: AtomicUsize,
    bad_to: AtomicUsize,
}

impl Piece {
    const fn new() -> Piece {
        Piece { slots: [const { Slot::new() }; PIECE_SLOTS], next: OnceLock::new() }
    }
}

impl Slot {
    const fn new() -> Slot {
        Slot {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            bad_from: AtomicUsize::new(usize::MAX),
            bad_to: AtomicUsize::new(0),
        }
    }

    /// Changes the bounds, under the lock of [`FREE`]. Nothing of it is bad as yet.
    fn set(&self, bounds: Range<usize>) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(bounds.start, Ordering::Relaxed);
        self.end.store(bounds.end, Ordering::Relaxed);
        self.bad_from.store(usize::MAX, Ordering::Relaxed);
        self.bad_to.store(0, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// The bounds, unless they are changing.
    fn bounds(&self) -> Option<Range<usize>> {
        let version = self.version.load(Ordering::Acquire);
        let bounds = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let is_stable = version.is_multiple_of(2);
        (is_stable && self.version.load(Ordering::Relaxed) == version).then_some(bounds)
    }

    fn lies_at(&self, address: usize) -> bool {
        self.bounds().is_some_and(|bounds| bounds.contains(&address))
    }

    /// Notes that `page`, given by its addresses, cannot be read.
    fn note(&self, page: &Range<usize>) {
        let start = self.start.load(Ordering::Relaxed);
        self.bad_to.fetch_max(page.end.saturating_sub(start), Ordering::SeqCst);
        self.bad_from.fetch_min(page.start.saturating_sub(start), Ordering::SeqCst);
        PAGES.fetch_add(1, Ordering::Relaxed);
        ALARM.store(true, Ordering::SeqCst);
    }
}

/// The entry of one mapping in the table; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    slot: &'static Slot,
}

impl Watch {
    /// Enters a mapping that lies at `bounds`.
    pub(super) fn new(bounds: Range<usize>) -> Watch {
        let mut free = lock_free();
        if free.is_empty() {
            free.extend(grow().slots.iter().rev());
        }
        let slot = free.pop().expect("a piece has slots");
        slot.set(bounds);
        Watch { slot }
    }

    /// What of the mapping cannot be read. To be asked only while this lives.
    pub(super) fn faults(&self) -> Watched {
        Watched { slot: self.slot }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut free = lock_free();
        self.slot.set(0..0);
        free.push(self.slot);
    }
}

/// The faults of one mapping.
#[derive(Debug)]
pub(super) struct Watched {
    slot: &'static Slot,
}

impl Faults for Watched {
    /// The first byte of `range` that lies between the first and the last page that could not be
    /// read. What lies between two bad pages counts as bad: it is read from the file again.
    fn first_in(&self, range: Range<usize>) -> Option<usize> {
        let from = self.slot.bad_from.load(Ordering::Acquire).max(range.start);
        let to = self.slot.bad_to.load(Ordering::Acquire).min(range.end);
        (from < to).then_some(from)
    }
}

/// Notes that `page` cannot be read, if it belongs to a mapping in the table. Called by a signal
/// handler: nothing here locks, allocates or waits.
pub(super) fn note(page: &Range<usize>, address: usize) -> bool {
    let mut link = &TABLE;
    while let Some(piece) = link.get() {
        if let Some(slot) = piece.slots.iter().find(|slot| slot.lies_at(address)) {
            slot.note(page);
            return true;
        }
        link = &piece.next;
    }
    false
}

/// How many pages of this process could not be read so far. A page that two threads come upon at
/// once may count twice.
pub(super) fn pages() -> u64 {
    PAGES.load(Ordering::Relaxed)
}

/// Adds a piece to the table, under the lock of [`FREE`].
fn grow() -> &'static Piece {
    let mut link = &TABLE;
    while let Some(piece) = link.get() {
        link = &piece.next;
    }
    link.get_or_init(|| Box::new(Piece::new()))
}

fn lock_free() -> MutexGuard<'static, Vec<&'static Slot>> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const PAGE: usize = 4096;

    fn page(address: usize) -> Range<usize> {
        let start = address / PAGE * PAGE;
        start..start + PAGE
    }

    /// Addresses that no mapping has: tests share the table with each other.
    const NOWHERE: usize = usize::MAX / PAGE * PAGE - (1 << 40);

    #[test]
    fn a_fault_is_found_in_its_mapping_alone_and_goes_with_it() {
        let (a, b) = (NOWHERE, NOWHERE + 8 * PAGE);
        let first = Watch::new(a..a + 7 * PAGE + 10);
        let second = Watch::new(b..b + PAGE);
        assert!(note(&page(a + 2 * PAGE + 5), a + 2 * PAGE + 5));
        assert!(!note(&page(a + 7 * PAGE + 10), a + 7 * PAGE + 10), "this is behind its end");
        assert!(ALARM.load(Ordering::SeqCst));
        let faults = first.faults();
        assert_eq!(faults.first_in(0..2 * PAGE), None);
        assert_eq!(faults.first_in(0..2 * PAGE + 1), Some(2 * PAGE));
        assert_eq!(faults.first_in(3 * PAGE - 1..4 * PAGE), Some(3 * PAGE - 1));
        assert_eq!(faults.first_in(3 * PAGE..7 * PAGE), None);
        assert_eq!(faults.first_in(2 * PAGE..2 * PAGE), None);
        assert_eq!(second.faults().first_in(0..PAGE), None);
        assert!(note(&page(a + 5 * PAGE), a + 5 * PAGE));
        assert_eq!(faults.first_in(3 * PAGE..7 * PAGE), Some(3 * PAGE), "between two bad pages");
        drop(first);
        assert!(!note(&page(a), a));
        let again = Watch::new(a..a + PAGE);
        assert_eq!(again.faults().first_in(0..PAGE), None);
    }

    #[test]
    fn more_mappings_than_a_piece_has_slots_are_all_found() {
        let base = NOWHERE - (1 << 40);
        let count = PIECE_SLOTS * 2 + 3;
        let all: Vec<Watch> = (0..count)
            .map(|n| base + 2 * n * PAGE)
            .map(|start| Watch::new(start..start + PAGE))
            .collect();
        for (n, watch) in all.iter().enumerate() {
            let start = base + 2 * n * PAGE;
            assert!(note(&page(start + 9), start + 9));
            assert!(!note(&page(start + PAGE), start + PAGE), "a gap");
            assert_eq!(watch.faults().first_in(0..PAGE), Some(0));
        }
    }

    /// Slots change hands all the time; a lookup finds no address between the mappings, and always
    /// the one that stays.
    #[test]
    fn a_lookup_never_believes_bounds_that_are_half_changed() {
        const ROUNDS: usize = if cfg!(miri) { 30 } else { 20_000 };
        let base = NOWHERE - (2 << 40);
        let stays = Watch::new(base..base + PAGE);
        let (small, large) = (base + 10 * PAGE, base + 1000 * PAGE);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        drop(Watch::new(small..small + PAGE));
                        drop(Watch::new(large..large + PAGE));
                    }
                });
            }
            // Old start and later end, taken together, would hold this address.
            let between = small + 500 * PAGE;
            for _ in 0..ROUNDS {
                assert!(!note(&page(between), between));
                assert!(note(&page(base), base));
            }
        });
        assert_eq!(stays.faults().first_in(0..1), Some(0));
    }
}
