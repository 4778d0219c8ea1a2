//! Reading what is left of a damaged table.
//!
//! A table that is opened for use must be whole but for its data blocks. [`Remains`] takes whatever
//! verifies by itself, reports the rest, and says which keys and stamps what is missing could have
//! been about.
//!
//! 1. Every block is read once when the remains are surveyed; an entry comes only from a block whose
//!    checksum agrees, at its own place in the file, in order with those before it.
//! 2. Without an index, blocks are found one after the other from the start of the file: a block
//!    ends where its checksum agrees. What lies behind the first damaged block is then lost.
//!    Without a footer, the store that the table was born in is the one of the [`Origins`] under
//!    which the first block's checksum agrees.
//! 3. A table that the manifest describes counts only if its footer says that it is that one; if
//!    the footer is lost, only if all that is found fits the description.
//!
//! Nothing is written.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;
use icecore_disk::{Disk, Name};
use icecore_model::entry::order;
use icecore_model::{Change, DatabaseId, RangeSet, Versionstamp};

use crate::blocks::read_block;
use crate::error::Error;
use crate::format::{FOOTER_BYTES, Footer, Handle, Kind, Seal, TRAILER_BYTES};
use crate::options::{ReadMode, TableId};
use crate::source::Source;
use crate::summary::TableSummary;
use crate::table::{read_filter, read_footer, read_index, read_ranges, read_summary};

pub use self::pieces::Pieces;
use self::pieces::walk;

mod pieces;

/// What a damaged place of a table held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Only what leads to entries, all of which were found without it.
    Nothing,
    /// Versions of keys, deletions among them.
    Versions,
    /// Deletions of ranges.
    Ranges,
}

/// A place where a table cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: Name,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// What it held.
    pub lost: Lost,
    /// The first key that it can have been about.
    pub from: Vec<u8>,
    /// The last key that it can have been about; `None` if nothing says.
    pub to: Option<Vec<u8>>,
    /// No stamp in it was above this one.
    pub through: Versionstamp,
}

/// The stores under which the tables of a store can have been born.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Those that are known.
    pub known: BTreeSet<DatabaseId>,
    /// Whether there may be others.
    pub others: bool,
}

impl Origins {
    fn accept(&self, owner: DatabaseId) -> bool {
        self.others || self.known.contains(&owner)
    }
}

/// The store that the table `number` was born under, as its footer says, if it has one.
pub fn table_owner(disk: &dyn Disk, number: u64) -> Option<DatabaseId> {
    let source = Source::open(disk, Name::Table(number), ReadMode::Read).ok()?;
    let footer = read_footer(&source).ok()?;
    (footer.number == number).then_some(footer.database)
}

/// What was found of a table.
#[derive(Debug)]
pub struct Remains {
    number: u64,
    owner: Option<DatabaseId>,
    known: Option<TableSummary>,
    blocks: Vec<Handle>,
    ranges: RangeSet,
    damage: Vec<Damage>,
    found: Found,
}

/// What the entries that were found amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Versions of keys.
    pub entries: u64,
    /// Those of them that are deletions.
    pub tombstones: u64,
    /// The smallest key.
    pub smallest: Vec<u8>,
    /// The largest key.
    pub largest: Vec<u8>,
    /// The highest stamp, that of deleted ranges included.
    pub max_stamp: Versionstamp,
}

impl Remains {
    /// Reads all of the table `number`. `expected` is what the manifest says of it, if there is a
    /// manifest.
    ///
    /// # Errors
    /// When the file cannot be opened, belongs to another store, or is not the expected table.
    pub fn survey(
        disk: &dyn Disk,
        number: u64,
        expected: Option<&TableSummary>,
        origins: &Origins,
    ) -> Result<Remains, Error> {
        let file = Name::Table(number);
        let mut source = Source::open(disk, file, ReadMode::Read)?;
        if let Some(expected) = expected
            && expected.bytes < source.bytes
        {
            // A longer table is another one; bytes that were appended do not hide the footer.
            if let Ok(footer) = read_footer(&source) {
                identify(&source, &footer, number, Some(expected), origins)?;
            }
            source.bytes = expected.bytes;
        }
        let mut survey = Survey::new(source, number, expected);
        match read_footer(&survey.source) {
            Ok(footer) => {
                identify(&survey.source, &footer, number, expected, origins)?;
                survey.with_footer(&footer);
            }
            Err(error) => survey.without_footer(&error, origins)?,
        }
        let remains = survey.remains;
        if expected.is_some_and(|expected| !remains.fits(expected)) {
            return Err(Error::corrupt(file, 0, "what is left of it is not from this table"));
        }
        Ok(remains)
    }

    /// The number of its file.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The store that the table was born under, if its footer or its first block was found.
    pub fn owner(&self) -> Option<DatabaseId> {
        self.owner
    }

    /// What the table held when it was whole, if that is known.
    pub fn known(&self) -> Option<&TableSummary> {
        self.known.as_ref()
    }

    /// What its entries amount to.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// The deleted ranges that were found.
    pub fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// Where it cannot be read.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// The entries that were found, in order. Nothing stands before the first [`Pieces::next`].
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub fn pieces(&self, disk: &dyn Disk) -> Result<Pieces, Error> {
        let source = Source::open(disk, Name::Table(self.number), ReadMode::Read)?;
        Ok(Pieces::new(source, self.seal(), self.blocks.clone()))
    }

    /// What the checksums of the blocks begin with, if that is known.
    fn seal(&self) -> Option<Seal> {
        let id = |database| TableId { database, number: self.number };
        self.owner.map(|database| Seal::of(id(database)))
    }

    /// Whether everything that was found can be a part of `expected`.
    fn fits(&self, expected: &TableSummary) -> bool {
        let found = &self.found;
        found.entries <= expected.entries
            && found.max_stamp <= expected.max_stamp
            && (found.entries == 0
                || (expected.smallest <= found.smallest && found.largest <= expected.largest))
    }
}

fn identify(
    source: &Source,
    footer: &Footer,
    number: u64,
    expected: Option<&TableSummary>,
    origins: &Origins,
) -> Result<(), Error> {
    let what = if !origins.accept(footer.database) {
        "it belongs to another store"
    } else if footer.number != number {
        "it is another table under this name"
    } else if expected.is_some_and(|expected| expected.hash != footer.hash) {
        "it is another version of itself"
    } else {
        return Ok(());
    };
    Err(Error::corrupt(source.file, source.bytes - FOOTER_BYTES as u64, what))
}

struct Survey {
    source: Source,
    remains: Remains,
    seal: Option<Seal>,
    /// The place of the last entry that was found.
    last: Option<(Vec<u8>, Versionstamp)>,
}

impl Survey {
    fn new(source: Source, number: u64, expected: Option<&TableSummary>) -> Survey {
        let remains = Remains {
            number,
            owner: None,
            known: expected.cloned(),
            blocks: Vec::new(),
            ranges: RangeSet::default(),
            damage: Vec::new(),
            found: Found::default(),
        };
        Survey { source, remains, seal: None, last: None }
    }

    fn with_footer(&mut self, footer: &Footer) {
        self.remains.owner = Some(footer.database);
        self.seal = Some(footer.seal());
        match read_summary(&self.source, footer) {
            Ok(summary) => self.remains.known = Some(summary),
            Err(error) => self.report(footer.properties.offset, &error, Lost::Nothing),
        }
        match read_ranges(&self.source, footer) {
            Ok(ranges) => self.take_ranges(ranges),
            Err(error) => {
                let offset = footer.ranges.map_or(0, |handle| handle.offset);
                self.report(offset, &error, Lost::Ranges);
            }
        }
        if let Err(error) = read_filter(&self.source, footer) {
            let offset = footer.filter.map_or(0, |handle| handle.offset);
            self.report(offset, &error, Lost::Nothing);
        }
        match read_index(&self.source, footer) {
            Ok(index) => self.along(&index, footer.index.offset),
            Err(error) => {
                self.report(footer.index.offset, &error, Lost::Nothing);
                self.feel_along(footer.data_end());
            }
        }
    }

    /// Reads the blocks that the index leads to.
    fn along(&mut self, index: &crate::index::Index, index_offset: u64) {
        let mut before = Vec::new();
        for ordinal in 0..index.count() {
            let (handle, separator) = match (index.handle(ordinal), index.separator(ordinal)) {
                (Ok(handle), Ok((separator, _))) => (handle, separator),
                (Err(e), _) | (_, Err(e)) => {
                    let error = Error::malformed(self.source.file, index_offset)(e);
                    self.report(index_offset, &error, Lost::Versions);
                    return;
                }
            };
            if let Err(error) = self.data_block(handle) {
                self.report(handle.offset, &error, Lost::Versions);
                let damage = self.remains.damage.last_mut().expect("it was just reported");
                damage.from = damage.from.clone().max(before);
                let bound = damage.to.take().unwrap_or_else(|| separator.clone());
                damage.to = Some(bound.min(separator.clone()));
            }
            before = separator;
        }
    }

    /// Finds data blocks without an index, and says where that ends.
    fn feel_along(&mut self, data_end: u64) -> u64 {
        let mut offset = 0;
        while offset < data_end {
            let found = self.seal.as_ref().and_then(|seal| self.find(seal, offset, data_end));
            let read = found.ok_or_else(|| {
                Error::corrupt(self.source.file, offset, "a block whose end is not known")
            });
            let read = read.and_then(|handle| self.data_block(handle).map(|()| handle));
            match read {
                Ok(handle) => offset += handle.bytes,
                Err(error) => {
                    self.report(offset, &error, Lost::Versions);
                    let last = self.last.as_ref().map(|(key, _)| key.clone());
                    let damage = self.remains.damage.last_mut().expect("it was just reported");
                    damage.from = damage.from.clone().max(last.unwrap_or_default());
                    return offset;
                }
            }
        }
        offset
    }

    /// The block of the table of `seal` that begins at `offset`, if one ends before `limit`.
    fn find(&self, seal: &Seal, offset: u64, limit: u64) -> Option<Handle> {
        let bytes = self.source.read(Handle { offset, bytes: limit.checked_sub(offset)? }).ok()?;
        let bytes = seal.block_end(&bytes, offset)? as u64;
        Some(Handle { offset, bytes })
    }

    /// Without a footer nothing says where the blocks are, or which table this is.
    fn without_footer(&mut self, error: &Error, origins: &Origins) -> Result<(), Error> {
        if let Error::UnknownFormat { file, what } = error {
            return Err(Error::UnknownFormat { file: *file, what: what.clone() });
        }
        let limit = self.source.bytes;
        self.report(limit.saturating_sub(FOOTER_BYTES as u64), error, Lost::Nothing);
        self.remains.owner = origins.known.iter().copied().find(|database| {
            let seal = Seal::of(TableId { database: *database, number: self.remains.number });
            self.find(&seal, 0, limit).is_some()
        });
        self.seal = self.remains.seal();
        let mut offset = 0;
        let mut ranges = None;
        let mut properties = false;
        let mut intact = true;
        while let Some(handle) = self.seal.as_ref().and_then(|s| self.find(s, offset, limit)) {
            let kind = self.kind(handle);
            match kind {
                Some(Kind::Data) => {
                    if let Err(error) = self.data_block(handle) {
                        self.report(handle.offset, &error, Lost::Versions);
                    }
                }
                Some(Kind::Ranges) => ranges = Some(handle),
                Some(Kind::Properties) => properties = true,
                Some(Kind::Filter | Kind::Index) => {}
                None => {
                    intact = false;
                    break;
                }
            }
            offset += handle.bytes;
        }
        if let Some(handle) = ranges {
            let body = self.read(handle, Kind::Ranges).and_then(|body| {
                let malformed = Error::malformed(self.source.file, handle.offset);
                crate::ranges::decode(&body).map_err(malformed)
            });
            match body {
                Ok(ranges) => self.take_ranges(ranges),
                Err(error) => self.report(handle.offset, &error, Lost::Ranges),
            }
        }
        if !(intact && properties) {
            let what = Error::corrupt(self.source.file, offset, "what follows cannot be found");
            self.report(offset, &what, Lost::Versions);
            let last = self.last.as_ref().map(|(key, _)| key.clone()).unwrap_or_default();
            let no_ranges = self.remains.known.as_ref().is_some_and(|k| k.range_tombstones == 0);
            let damage = self.remains.damage.last_mut().expect("it was just reported");
            damage.from = damage.from.clone().max(last);
            if ranges.is_none() && !no_ranges {
                self.report(offset, &what, Lost::Ranges);
            }
        }
        Ok(())
    }

    fn read(&self, handle: Handle, kind: Kind) -> Result<Bytes, Error> {
        let unknown =
            || Error::corrupt(self.source.file, handle.offset, "a block of no known table");
        let seal = self.seal.as_ref().ok_or_else(unknown)?;
        Ok(read_block(&self.source, seal, handle, kind)?.0)
    }

    fn kind(&self, handle: Handle) -> Option<Kind> {
        let at = Handle { offset: handle.end()? - TRAILER_BYTES as u64, bytes: 1 };
        let kind = *self.source.read(at).ok()?.first()?;
        let all = [Kind::Data, Kind::Ranges, Kind::Filter, Kind::Index, Kind::Properties];
        all.into_iter().find(|known| *known as u8 == kind)
    }

    fn take_ranges(&mut self, ranges: RangeSet) {
        let newest = ranges.iter().map(|(_, _, stamp)| stamp).max().unwrap_or_default();
        self.remains.found.max_stamp = self.remains.found.max_stamp.max(newest);
        self.remains.ranges = ranges;
    }

    fn data_block(&mut self, handle: Handle) -> Result<(), Error> {
        let body = self.read(handle, Kind::Data)?;
        let mut found = self.remains.found.clone();
        let mut last = self.last.clone();
        walk(&body, |entry| {
            let here = (entry.key, entry.stamp);
            let rises = last.as_ref().is_none_or(|(k, s)| order((k, *s), here) == Ordering::Less);
            if !rises {
                return Err("entries out of order");
            }
            if found.entries == 0 {
                found.smallest = entry.key.to_vec();
            }
            found.entries += 1;
            found.tombstones += u64::from(entry.change == Change::Delete);
            found.max_stamp = found.max_stamp.max(entry.stamp);
            let (key, stamp) = last.get_or_insert_default();
            key.clear();
            key.extend_from_slice(entry.key);
            *stamp = entry.stamp;
            Ok(())
        })
        .map_err(Error::malformed(self.source.file, handle.offset))?;
        found.largest = last.as_ref().map(|(key, _)| key.clone()).unwrap_or_default();
        (self.remains.found, self.last) = (found, last);
        self.remains.blocks.push(handle);
        Ok(())
    }

    /// Reports damage within the bounds of what is known of the table.
    fn report(&mut self, offset: u64, error: &Error, lost: Lost) {
        let known = self.remains.known.as_ref();
        let (from, to) = match (lost, known) {
            (_, None) => (Vec::new(), None),
            (Lost::Ranges, Some(known)) => match &known.range_extent {
                Some((start, end)) => (start.clone(), Some(end.clone())),
                None => (Vec::new(), None),
            },
            (_, Some(known)) => (known.smallest.clone(), Some(known.largest.clone())),
        };
        let what = match error {
            Error::Corrupt { what, .. } => what.to_string(),
            other => other.to_string(),
        };
        let through = known.map_or(Versionstamp::MAX, |known| known.max_stamp);
        let file = self.source.file;
        self.remains.damage.push(Damage { file, offset, what, lost, from, to, through });
    }
}
