//! Crash images: which writes have reached the device when the power is gone.
//!
//! 1. What came before a flush is there once the flush is done.
//! 2. Of the writes after the last flush, any may be there, each cut at any sector: a device writes
//!    in the order that it likes.
//! 3. The superblock is not cut: file systems write it in place, and trust the device with it. What
//!    a torn one does to a file system is not the store's to answer.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use icecore_sim::dice::Dice;

use super::log::Entry;
use crate::mounts;

/// What a device writes in whole or not at all.
const SECTOR: usize = 512;

/// What is stored of a device at once.
const PAGE: usize = 4096;

/// So many times some writes of each flush epoch are left out.
const SUBSETS: u64 = 8;

/// The content of a device; what is missing is zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

/// A moment at which the power is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Crash {
    /// So many entries of the log were begun.
    entries: usize,
    /// So many of them are surely there: up to the last flush, or all.
    durable: usize,
    /// By which dice the others are there.
    seed: Option<u64>,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seed {
            None => write!(f, "the first {} writes", self.entries),
            Some(seed) => write!(
                f,
                "the first {} writes and some of those up to {} (dice {seed})",
                self.durable, self.entries
            ),
        }
    }
}

/// Every crash that a log gives, in a random order.
pub(super) fn choose(entries: &[Entry], dice: &Dice) -> Vec<Crash> {
    let mut crashes: Vec<_> =
        (1..=entries.len()).map(|n| Crash { entries: n, durable: n, seed: None }).collect();
    let mut durable = 0;
    for (at, entry) in entries.iter().enumerate() {
        // A flush whose end nobody has seen: all that it was to make durable is still open.
        if entry.flush || at + 1 == entries.len() {
            if at > durable {
                let subset = |seed| Crash { entries: at, durable, seed: Some(seed) };
                crashes.extend((0..SUBSETS).map(|_| subset(dice.next())));
            }
            durable = at + 1;
        }
    }
    for i in (1..crashes.len()).rev() {
        crashes.swap(i, dice.below(i + 1));
    }
    crashes
}

impl Crash {
    /// Whether all writes that were begun are there.
    pub(super) fn is_prefix(&self) -> bool {
        self.seed.is_none()
    }

    /// So many entries are surely there.
    pub(super) fn durable(&self) -> u64 {
        self.durable as u64
    }

    /// What is on the device afterwards.
    pub(super) fn device(&self, base: &Device, entries: &[Entry], uncut: &Range<u64>) -> Device {
        let mut device = base.clone();
        for entry in &entries[..self.durable] {
            device.write_at(entry.offset, &entry.data);
        }
        let Some(seed) = self.seed else { return device };
        let dice = Dice::new(seed);
        let kept_percent = dice.pick(&[10, 50, 90]);
        for entry in &entries[self.durable..self.entries] {
            if dice.below(100) >= kept_percent {
                continue;
            }
            let end = entry.offset + entry.data.len() as u64;
            let is_superblock = entry.offset < uncut.end && uncut.start < end;
            let torn = dice.one_in(4) && !is_superblock;
            for (number, sector) in entry.data.chunks(SECTOR).enumerate() {
                if !torn || dice.one_in(2) {
                    device.write_at(entry.offset + (number * SECTOR) as u64, sector);
                }
            }
        }
        device
    }
}

impl Device {
    /// A device with this content.
    pub(super) fn of(bytes: &[u8]) -> Device {
        let mut device = Device::default();
        for (number, page) in bytes.chunks(PAGE).enumerate() {
            if page.iter().any(|byte| *byte != 0) {
                device.write_at((number * PAGE) as u64, page);
            }
        }
        device
    }

    fn write_at(&mut self, offset: u64, mut data: &[u8]) {
        let mut page = offset / PAGE as u64;
        let mut within = usize::try_from(offset % PAGE as u64).expect("it is below a page");
        while !data.is_empty() {
            let (now, rest) = data.split_at(data.len().min(PAGE - within));
            let bytes = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE]));
            bytes[within..within + now.len()].copy_from_slice(now);
            (page, within, data) = (page + 1, 0, rest);
        }
    }

    /// Makes an image of so many bytes.
    pub(super) fn write(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = mounts::create_file(path)?;
        file.set_len(bytes)?;
        self.pages
            .iter()
            .try_for_each(|(page, data)| mounts::write_at(&file, &data[..], page * PAGE as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Range<u64> = 0..0;

    fn write(sector: u64, byte: u8, sectors: usize) -> Entry {
        Entry { offset: sector * SECTOR as u64, data: vec![byte; sectors * SECTOR], flush: false }
    }

    fn flush() -> Entry {
        Entry { offset: 0, data: Vec::new(), flush: true }
    }

    fn log() -> Vec<Entry> {
        vec![write(7, 1, 2), flush(), write(0, 2, 1), write(8, 3, 1), flush(), write(30, 4, 1)]
    }

    fn sector(device: &Device, number: u64) -> u8 {
        let page = device.pages.get(&(number / 8));
        page.map_or(0, |page| page[usize::try_from(number % 8).unwrap() * SECTOR])
    }

    #[test]
    fn a_prefix_has_its_writes_and_no_others() {
        let crash = Crash { entries: 3, durable: 3, seed: None };
        let device = crash.device(&Device::of(&[9; 2 * PAGE]), &log(), &NOWHERE);
        let found = [0, 1, 7, 8, 9, 30].map(|number| sector(&device, number));
        assert_eq!(found, [2, 9, 1, 1, 9, 0]);
    }

    #[test]
    fn a_subset_has_all_that_was_flushed_and_any_of_the_rest() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let crash = Crash { entries: 4, durable: 2, seed: Some(seed) };
            let device = crash.device(&Device::default(), &log(), &NOWHERE);
            assert_eq!(sector(&device, 7), 1);
            assert_eq!(sector(&device, 30), 0);
            seen.insert((sector(&device, 0), sector(&device, 8)));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(0, 1), (0, 3), (2, 1), (2, 3)]);
    }

    #[test]
    fn a_superblock_is_there_in_whole_or_not_at_all() {
        let log = [write(2, 1, 2)];
        let torn = |uncut| {
            (0..200).any(|seed| {
                let crash = Crash { entries: 1, durable: 0, seed: Some(seed) };
                let device = crash.device(&Device::default(), &log, &uncut);
                sector(&device, 2) != sector(&device, 3)
            })
        };
        assert!(torn(NOWHERE) && torn(0..1024) && torn(2048..4096));
        assert!(!torn(1024..2048) && !torn(1500..1501));
    }

    #[test]
    fn every_prefix_and_subsets_of_every_epoch_are_chosen() {
        let crashes = choose(&log(), &Dice::new(1));
        let count = |durable, entries| {
            let fits =
                |c: &&Crash| (c.durable, c.entries, c.is_prefix()) == (durable, entries, false);
            crashes.iter().filter(fits).count() as u64
        };
        assert_eq!(crashes.iter().filter(|crash| crash.is_prefix()).count(), 6);
        assert_eq!((count(0, 1), count(2, 4)), (SUBSETS, SUBSETS));
    }
}
