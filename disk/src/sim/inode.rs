//! A file without its names: pages, length, and what of both is durable.
//!
//! Invariants:
//! 1. Every page that is not clean is in `unsettled`, once.
//! 2. Bytes at and beyond `len` are zeros.
//! 3. `lengths` holds the lengths that the file had since `durable_len`, oldest first; if it is
//!    empty, `len == durable_len`.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::bad::BadSectors;
use super::dice::Dice;
use super::page::{PAGE, Page, SECTOR, SECTORS_PER_PAGE, Sector};

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) pages: Vec<Option<Arc<Page>>>,
    pub(super) unsettled: Vec<u32>,
    pub(super) len: u64,
    pub(super) durable_len: u64,
    pub(super) lengths: Vec<u64>,
    /// Below this, sectors that were never written are known to be zeros on the medium, too: a
    /// sync has recorded them as reserved but unwritten.
    pub(super) settled_len: u64,
    /// Bytes that count as used space: everything up to the end of the furthest write or
    /// allocation.
    pub(super) charged: u64,
    /// Names that lead here at the moment.
    pub(super) links: u32,
    /// Open handles of this life.
    pub(super) handles: BTreeSet<u64>,
    /// Those of them that a sync has yet to tell of an error.
    pub(super) owed: BTreeSet<u64>,
    /// The number of the last write, and where it began.
    pub(super) last_write: Option<(u64, u64)>,
    /// The end of what was written without room for it being looked for (E2); 0 for nothing.
    pub(super) late: u64,
    pub(super) bad: BadSectors,
    image: Option<Bytes>,
}

impl Inode {
    pub(super) fn with_content(content: &[u8]) -> Inode {
        let mut inode = Inode::default();
        inode.write(0, content);
        inode.settle();
        inode
    }

    /// Reads up to `data.len()` bytes and returns how many there are.
    pub(super) fn read(&self, offset: u64, data: &mut [u8]) -> usize {
        let len = data.len().min(usize_of(self.len.saturating_sub(offset)));
        for (page, at, range) in pieces(offset, len) {
            let part = &mut data[range];
            match self.pages.get(page) {
                Some(Some(page)) => part.copy_from_slice(&page.bytes[at..at + part.len()]),
                _ => part.fill(0),
            }
        }
        len
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        for (page, at, range) in pieces(offset, data.len()) {
            self.unsettled_page(page).write(at, &data[range]);
        }
        self.bad.heal(offset, data.len());
        self.reach(offset + data.len() as u64);
    }

    /// The page to change, made if it is missing.
    fn page(&mut self, index: usize) -> &mut Page {
        self.image = None;
        if self.pages.len() <= index {
            self.pages.resize(index + 1, None);
        }
        let page = self.pages[index].get_or_insert_with(|| Arc::new(Page::new()));
        Arc::make_mut(page)
    }

    /// The page to change, which is about to become dirty.
    fn unsettled_page(&mut self, index: usize) -> &mut Page {
        if !self.page(index).listed {
            self.page(index).listed = true;
            self.unsettled.push(u32::try_from(index).expect("a file is below 16 TiB"));
        }
        self.page(index)
    }

    pub(super) fn page_mut(&mut self, index: usize) -> Option<&mut Page> {
        self.image = None;
        self.pages.get_mut(index).and_then(Option::as_mut).map(Arc::make_mut)
    }

    /// Extends the length to `end` if it is shorter.
    pub(super) fn reach(&mut self, end: u64) {
        if end > self.len {
            self.len = end;
            self.lengths.push(end);
            self.image = None;
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len == self.len {
            return;
        }
        if len < self.len {
            self.zero_from(len);
            self.charged = self.charged.min(len);
            self.late = self.late.min(len);
        }
        self.len = len;
        self.lengths.push(len);
        self.image = None;
    }

    fn zero_from(&mut self, len: u64) {
        let first = usize_of(len) / PAGE;
        for index in first..self.pages.len() {
            if self.pages[index].is_some() {
                let at = usize_of(len).saturating_sub(index * PAGE);
                self.unsettled_page(index).zero_from(at);
            }
        }
    }

    /// Makes everything durable: all writes so far, and the length.
    pub(super) fn settle(&mut self) {
        for index in std::mem::take(&mut self.unsettled) {
            let page = self.pages[index as usize].as_mut().expect("unsettled pages exist");
            let page = Arc::make_mut(page);
            page.settle_all();
            page.listed = page.is_lossy();
            if page.listed {
                self.unsettled.push(index);
            }
        }
        let mut before = self.durable_len;
        let shrunk = self.lengths.iter().any(|len| std::mem::replace(&mut before, *len) > *len);
        self.durable_len = self.len;
        self.lengths.clear();
        self.settled_len = self.len;
        if shrunk {
            self.release();
        }
    }

    /// Gives back the blocks beyond the end, so that they are fresh when they are used again.
    fn release(&mut self) {
        let first = usize_of(self.len).div_ceil(SECTOR);
        let (page, s) = (first / SECTORS_PER_PAGE, first % SECTORS_PER_PAGE);
        if s > 0
            && let Some(page) = self.page_mut(page)
        {
            page.release_from(s);
        }
        let kept = usize_of(self.len).div_ceil(PAGE);
        if self.pages.len() > kept {
            self.pages.truncate(kept);
            self.unsettled.retain(|index| (*index as usize) < kept);
        }
    }

    /// Writes, makes the sectors of this write durable, and the length needed to read them.
    pub(super) fn write_through(&mut self, offset: u64, data: &[u8]) {
        for (page, at, range) in pieces(offset, data.len()) {
            self.page(page).write_through(at, &data[range]);
        }
        self.bad.heal(offset, data.len());
        self.tidy();
        let end = offset + data.len() as u64;
        self.reach(end);
        self.durable_len = self.durable_len.max(end);
        // A shorter length would hide the write; one that is durable already is not pending.
        self.lengths.retain(|len| *len >= end);
        let known = self.lengths.iter().take_while(|len| **len == self.durable_len).count();
        self.lengths.drain(..known);
    }

    /// Takes pages that became clean off the list.
    fn tidy(&mut self) {
        let pages = &mut self.pages;
        self.unsettled.retain(|index| {
            let page = pages[*index as usize].as_mut().expect("unsettled pages exist");
            let clean = page.is_clean();
            if clean {
                Arc::make_mut(page).listed = false;
            }
            !clean
        });
    }

    /// A failed sync drops a non-empty random subset of the pending writes in a range of sectors.
    /// Says whether there were any.
    pub(super) fn lose(&mut self, range: Option<(u64, usize)>, dice: &mut Dice) -> bool {
        let mut dirty = self.dirty_sectors();
        if let Some(range) = range {
            retain_within(&mut dirty, range);
        }
        if dirty.is_empty() {
            return false;
        }
        let certain = dice.index(dirty.len());
        for (i, (page, s)) in dirty.into_iter().enumerate() {
            if i == certain || dice.coin() {
                let page = self.page_mut(page).expect("a dirty sector has a page");
                page.lose(s, dice);
            }
        }
        true
    }

    /// All pending writes in a range of sectors are dropped.
    pub(super) fn lose_all(&mut self, range: (u64, usize), dice: &mut Dice) {
        let mut dirty = self.dirty_sectors();
        retain_within(&mut dirty, range);
        for (page, s) in dirty {
            self.page_mut(page).expect("a dirty sector has a page").lose(s, dice);
        }
    }

    /// The dirty sectors in ascending order, as (page, sector in the page).
    pub(super) fn dirty_sectors(&mut self) -> Vec<(usize, usize)> {
        self.unsettled.sort_unstable();
        let mut dirty = Vec::new();
        for index in &self.unsettled {
            let index = *index as usize;
            let page = self.pages[index].as_ref().expect("unsettled pages exist");
            dirty.extend((0..SECTORS_PER_PAGE).filter(|s| page.is_dirty(*s)).map(|s| (index, s)));
        }
        dirty
    }

    /// How many writes of single sectors and changes of length are pending.
    pub(super) fn pending(&self) -> usize {
        let pages = self.unsettled.iter().map(|index| {
            self.pages[*index as usize].as_ref().expect("unsettled pages exist").pending()
        });
        pages.sum::<usize>() + self.lengths.len()
    }

    /// Whether a failed sync has dropped writes that reads still show.
    pub(super) fn is_lossy(&self) -> bool {
        self.unsettled
            .iter()
            .any(|index| self.pages[*index as usize].as_ref().is_some_and(|page| page.is_lossy()))
    }

    /// Lets reads see what the medium holds of the sectors that a failed sync dropped.
    pub(super) fn evict(&mut self) {
        for i in 0..self.unsettled.len() {
            let page = self.page_mut(self.unsettled[i] as usize).expect("unsettled pages exist");
            page.evict();
        }
        self.tidy();
        self.zero_the_rest();
    }

    /// Restores invariant 2 after content changed below the surface.
    fn zero_the_rest(&mut self) {
        let end = usize_of(self.len);
        for index in end / PAGE..self.pages.len() {
            if let Some(page) = self.page_mut(index) {
                page.bytes[end.saturating_sub(index * PAGE)..].fill(0);
            }
        }
    }

    /// Whether nothing is known about the content of a sector on the medium.
    pub(super) fn is_fresh(&self, page: usize, s: usize) -> bool {
        let offset = (page * PAGE + s * SECTOR) as u64;
        let settled = matches!(self.pages.get(page), Some(Some(page)) if page.is_settled(s));
        !settled && offset >= self.settled_len
    }

    /// Sets what the medium holds of a sector, which stands still from here on.
    pub(super) fn put(&mut self, page: usize, s: usize, bytes: &Sector) {
        self.unsettled_page(page).put(s, bytes);
    }

    /// The machine stopped: what was chosen with [`Inode::put`] is the content, `len` the length.
    pub(super) fn stand_still(&mut self, len: u64) {
        for index in std::mem::take(&mut self.unsettled) {
            let page = self.page_mut(index as usize).expect("unsettled pages exist");
            page.stand_still();
            page.listed = false;
        }
        self.len = len;
        self.durable_len = len;
        self.settled_len = len;
        self.lengths.clear();
        // A lost truncation brings blocks back.
        self.charged = self.charged.max((self.pages.len() * PAGE) as u64).min(len);
        self.image = None;
        self.pages.truncate(usize_of(len).div_ceil(PAGE));
        self.zero_the_rest();
    }

    /// The whole content, shared between all who ask until it changes.
    pub(super) fn image(&mut self) -> Bytes {
        if let Some(image) = &self.image {
            return image.clone();
        }
        let image = Bytes::from(self.content());
        self.image = Some(image.clone());
        image
    }

    pub(super) fn content(&self) -> Vec<u8> {
        let mut content = vec![0; usize_of(self.len)];
        self.read(0, &mut content);
        content
    }

    /// Bits of a byte go wrong in the cache and on the medium.
    pub(super) fn rot(&mut self, offset: u64, mask: u8) {
        let mut byte = [0];
        assert_eq!(self.read(offset, &mut byte), 1, "only bytes of the file can rot");
        self.overwrite(offset, &[byte[0] ^ mask]);
    }

    /// Changes bytes of one sector without a write: they are what was written last, as far as
    /// anybody knows.
    pub(super) fn overwrite(&mut self, offset: u64, bytes: &[u8]) {
        let (index, at) = (usize_of(offset) / PAGE, usize_of(offset) % PAGE);
        self.page(index).overwrite(at, bytes);
    }
}

fn retain_within(dirty: &mut Vec<(usize, usize)>, (offset, len): (u64, usize)) {
    let own: BTreeSet<_> = sectors(offset, len).collect();
    dirty.retain(|sector| own.contains(sector));
}

/// Cuts a range of bytes at page boundaries: (page, offset in the page, range in the data).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let start = usize_of(offset);
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < len).then(|| {
            let (page, at) = ((start + done) / PAGE, (start + done) % PAGE);
            let part = (PAGE - at).min(len - done);
            done += part;
            (page, at, done - part..done)
        })
    })
}

/// The sectors that a range of bytes touches, as (page, sector in the page).
pub(super) fn sectors(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let start = usize_of(offset);
    let end = if len == 0 { start / SECTOR } else { (start + len).div_ceil(SECTOR) };
    (start / SECTOR..end).map(|n| (n / SECTORS_PER_PAGE, n % SECTORS_PER_PAGE))
}

pub(super) fn usize_of(n: u64) -> usize {
    usize::try_from(n).expect("a simulated file fits in memory")
}
