//! Eight sectors of a file, with what is known about each of them.
//!
//! The bytes are what reads see. What the medium holds is kept as differences: a sector that was
//! written since it was last durable (*dirty*) remembers its earlier versions, the durable one
//! first; a sector that a failed sync dropped (*lost*) remembers the durable one.
//!
//! Invariants, for each sector:
//! 1. It is not both dirty and lost.
//! 2. If it is dirty, its versions are: zeros if `from_zero`, then its entries of `old` in order,
//!    then the current bytes; there is at least one before the current bytes.
//! 3. If it is not `present`, its current bytes are zeros and it is neither dirty nor lost.

use super::dice::Dice;

/// The unit of what a disk writes: it holds either one version or another.
pub(super) const SECTOR: usize = 512;
/// The unit of what is kept in memory.
pub(super) const PAGE: usize = 4096;
pub(super) const SECTORS_PER_PAGE: usize = PAGE / SECTOR;
const _: () = assert!(SECTORS_PER_PAGE == 8, "a mask of sectors is one byte");

/// The content of a sector.
pub(super) type Sector = [u8; SECTOR];

#[derive(Clone)]
pub(super) struct Page {
    pub(super) bytes: [u8; PAGE],
    /// Sectors that were ever written.
    present: u8,
    /// Sectors that were ever durable, so that no foreign content can appear in them.
    settled: u8,
    dirty: u8,
    from_zero: u8,
    lost: u8,
    /// Earlier versions of dirty sectors, oldest first.
    old: Vec<(usize, Box<Sector>)>,
    /// What the medium holds of the lost sectors.
    media: Vec<(usize, Box<Sector>)>,
    /// Whether the file's list of unsettled pages names this one.
    pub(super) listed: bool,
}

impl Page {
    pub(super) fn new() -> Page {
        Page {
            bytes: [0; PAGE],
            present: 0,
            settled: 0,
            dirty: 0,
            from_zero: 0,
            lost: 0,
            old: Vec::new(),
            media: Vec::new(),
            listed: false,
        }
    }

    /// The current content of a sector.
    pub(super) fn sector(&self, s: usize) -> &Sector {
        self.bytes[s * SECTOR..][..SECTOR].try_into().expect("the slice is one sector long")
    }

    fn sector_mut(&mut self, s: usize) -> &mut Sector {
        (&mut self.bytes[s * SECTOR..][..SECTOR]).try_into().expect("the slice is one sector long")
    }

    pub(super) fn write(&mut self, at: usize, data: &[u8]) {
        for s in at / SECTOR..(at + data.len()).div_ceil(SECTOR) {
            self.touch(s);
        }
        self.bytes[at..at + data.len()].copy_from_slice(data);
    }

    /// Zeros everything from `at` on; sectors that were never written stay as they are.
    pub(super) fn zero_from(&mut self, at: usize) {
        for s in at / SECTOR..SECTORS_PER_PAGE {
            if self.present & 1 << s != 0 {
                self.touch(s);
                self.bytes[at.max(s * SECTOR)..(s + 1) * SECTOR].fill(0);
            }
        }
    }

    /// Remembers the current version of a sector before it changes.
    fn touch(&mut self, s: usize) {
        let bit = 1 << s;
        let fresh = self.present & bit == 0;
        let first = self.dirty & bit == 0;
        self.dirty |= bit;
        self.present |= bit;
        if first && self.lost & bit != 0 {
            let media = self.take_media(s);
            self.old.push((s, media));
        } else if first && fresh {
            self.from_zero |= bit;
        } else {
            let current = Box::new(*self.sector(s));
            self.old.push((s, current));
        }
    }

    fn take_media(&mut self, s: usize) -> Box<Sector> {
        self.lost &= !(1 << s);
        let at = self.media.iter().position(|(of, _)| *of == s);
        self.media.swap_remove(at.expect("a lost sector has its durable version")).1
    }

    pub(super) fn is_dirty(&self, s: usize) -> bool {
        self.dirty & 1 << s != 0
    }

    pub(super) fn is_settled(&self, s: usize) -> bool {
        self.settled & 1 << s != 0
    }

    /// Whether nothing here is dirty or lost.
    pub(super) fn is_clean(&self) -> bool {
        self.dirty | self.lost == 0
    }

    pub(super) fn is_lossy(&self) -> bool {
        self.lost != 0
    }

    /// How many writes of a sector are pending.
    pub(super) fn pending(&self) -> usize {
        self.old.len() + self.from_zero.count_ones() as usize
    }

    pub(super) fn pending_of(&self, s: usize) -> usize {
        let old = self.old.iter().filter(|(of, _)| *of == s).count();
        old + usize::from(self.from_zero & 1 << s != 0)
    }

    /// The version of a dirty sector after `writes` of its pending writes; 0 is the durable one.
    pub(super) fn version(&self, s: usize, writes: usize) -> Sector {
        let from_zero = self.from_zero & 1 << s != 0;
        if from_zero && writes == 0 {
            return [0; SECTOR];
        }
        let mut old = self.old.iter().filter(|(of, _)| *of == s);
        match old.nth(writes - usize::from(from_zero)) {
            Some((_, bytes)) => **bytes,
            None => *self.sector(s),
        }
    }

    /// Writes and makes the sectors of this write durable.
    pub(super) fn write_through(&mut self, at: usize, data: &[u8]) {
        self.bytes[at..at + data.len()].copy_from_slice(data);
        let sectors = at / SECTOR..(at + data.len()).div_ceil(SECTOR);
        let mask = sectors.clone().fold(0, |mask, s| mask | 1 << s);
        self.dirty &= !mask;
        self.from_zero &= !mask;
        self.lost &= !mask;
        self.present |= mask;
        self.settled |= mask;
        self.old.retain(|(of, _)| !sectors.contains(of));
        self.media.retain(|(of, _)| !sectors.contains(of));
    }

    pub(super) fn settle_all(&mut self) {
        self.settled |= self.dirty;
        self.dirty = 0;
        self.from_zero = 0;
        self.old.clear();
    }

    /// The medium ends up with `bytes` in a sector, whatever was pending.
    pub(super) fn put(&mut self, s: usize, bytes: &Sector) {
        *self.sector_mut(s) = *bytes;
        self.present |= 1 << s;
    }

    /// Everything that is pending is over; lost sectors show what the medium holds.
    pub(super) fn stand_still(&mut self) {
        self.evict();
        self.dirty = 0;
        self.from_zero = 0;
        self.settled = u8::MAX;
        self.old.clear();
    }

    /// A failed sync drops the writes of a dirty sector: reads see them until the page is evicted,
    /// the medium never gets them.
    pub(super) fn lose(&mut self, s: usize, dice: &mut Dice) {
        let bit = 1 << s;
        assert!(self.dirty & bit != 0, "only a pending write can be lost");
        // Any version but the newest may have reached the medium before.
        let reached = dice.index(self.pending_of(s));
        let media = Box::new(self.version(s, reached));
        self.dirty &= !bit;
        self.from_zero &= !bit;
        self.old.retain(|(of, _)| *of != s);
        self.lost |= bit;
        self.media.push((s, media));
    }

    /// Forgets the bytes that only the cache held: reads see the medium again.
    pub(super) fn evict(&mut self) {
        for (s, bytes) in std::mem::take(&mut self.media) {
            *self.sector_mut(s) = *bytes;
        }
        self.lost = 0;
    }

    /// Forgets that sectors from `s` on (below 8) had content: their blocks were given back.
    pub(super) fn release_from(&mut self, s: usize) {
        let kept = (1u8 << s) - 1;
        self.present &= kept;
        self.settled &= kept;
    }

    /// Changes bytes of one sector without a write.
    pub(super) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.present |= 1 << (at / SECTOR);
    }
}
