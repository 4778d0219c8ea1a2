//! An open table: what it is compared with when it is opened, and how a point is read.
//!
//! Opening reads the footer, the properties, the deleted ranges, the filter and the index, and
//! verifies them; data blocks are verified when they are first read. A point costs a cache line of the
//! hash index and the record that it leads to; an older version of a key, or a table without a hash
//! index, a search in the index's flat array and one within a block. Nothing is allocated unless the
//! block must be copied or decompressed.
//!
//! Bytes in place may stop being readable while they are used (a medium that refuses a page):
//! every search asks the mapping afterwards whether all that it looked at could be read, before it
//! believes what it found.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use icecore_disk::{Disk, Name};
use icecore_model::hash::hash64;
use icecore_model::{Change, Malformed, RangeSet, Reader, Versionstamp};

use crate::block::{self, DataBlock, Raw};
use crate::blocks::{Blocks, Body, read_block};
use crate::cursor::Cursor;
use crate::error::Error;
use crate::filter::{BadFilter, Filter};
use crate::format::{FOOTER_BYTES, Footer, Handle, Kind};
use crate::hash::HashIndex;
use crate::index::Index;
use crate::options::TableEnv;
use crate::ranges;
use crate::source::Source;
use crate::summary::TableSummary;
use crate::versions::Versions;

/// Values up to this many bytes are copied when they leave the table; larger ones pin their block
/// or the mapping. Below it a copy costs less than the reference counts, and keeps nothing alive.
pub const VALUE_COPY_BYTES_MAX: usize = 1024;

/// No system has smaller pages.
const PAGE_BYTES_MIN: usize = 4096;

/// An open table.
#[derive(Debug)]
pub struct Table {
    pub(crate) file: Name,
    pub(crate) summary: TableSummary,
    pub(crate) footer: Footer,
    pub(crate) blocks: Blocks,
    pub(crate) index: Index,
    pub(crate) filter: Option<Filter>,
    ranges: RangeSet,
}

impl Table {
    /// Opens the table that the manifest knows as `expected`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] says how the file differs: missing, truncated, longer, born in another
    /// store, swapped with another table, another version of itself, or damaged.
    /// [`Error::UnknownFormat`] for a table of a later version; [`Error::Io`] from the disk.
    pub fn open(disk: &dyn Disk, expected: &TableSummary, env: &TableEnv) -> Result<Table, Error> {
        let file = Name::Table(expected.number);
        let source = Source::open(disk, file, env.read_mode)?;
        compare_length(&source, expected)?;
        let footer = read_footer(&source)?;
        compare_footer(&source, &footer, expected, env)?;
        let summary = read_summary(&source, &footer)?;
        if summary != *expected {
            let at = footer.properties.offset;
            return Err(Error::corrupt(file, at, "the properties are not those in the manifest"));
        }
        let ranges = read_ranges(&source, &footer)?;
        let filter = read_filter(&source, &footer)?;
        let index = read_index(&source, &footer)?;
        let blocks = Blocks::new(source, footer.seal(), Arc::clone(&env.cache), index.count());
        Ok(Table { file, summary, footer, blocks, index, filter, ranges })
    }

    /// The newest version of `key` at or below `at`, which may be a deletion. Deleted ranges are
    /// not considered.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::UnknownFormat`] or [`Error::Io`] from what is read for it.
    pub fn get(&self, key: &[u8], at: Versionstamp) -> Result<Option<Hit<'_>>, Error> {
        if let (Some(filter), Some(handle)) = (&self.filter, self.footer.filter) {
            let newest = match filter {
                Filter::Hash(index) => self.newest(index, key),
                Filter::Bloom(bloom) if bloom.may_contain(hash64(key)) => Ok(Newest::Unknown),
                Filter::Bloom(_) => Ok(Newest::Nowhere),
            };
            self.blocks.source.check(handle)?;
            match newest? {
                Newest::Nowhere => return Ok(None),
                Newest::At(hit) if hit.raw.stamp <= at => return Ok(Some(hit)),
                Newest::At(_) | Newest::Unknown => {}
            }
        }
        self.search(key, at)
    }

    /// Reads ahead, into the caches of the processor, the next place on the way to the newest version
    /// of the key with this hash, as [`Table::get`] takes it. Nothing that is read is used, so that
    /// the misses of many keys overlap; and what cannot be read is left for `get` to tell.
    #[inline]
    pub fn warm(&self, hash: u64, step: WarmStep) {
        let Some(Filter::Hash(index)) = &self.filter else { return };
        let touched = match step {
            WarmStep::Slots => index.touch(hash),
            WarmStep::Ends | WarmStep::Record => {
                let Some((ordinal, record)) = index.candidates(hash).next() else { return };
                let handle = self.index.handle(ordinal).ok();
                let body = handle.and_then(|handle| self.blocks.in_place(ordinal, handle));
                let Some(body) = body else { return };
                match step {
                    WarmStep::Record => block::touch_record(body, record),
                    _ => block::touch_ends(body, record),
                }
            }
        };
        std::hint::black_box(touched);
    }

    /// Follows the hash of a key to its newest version.
    #[inline]
    fn newest(&self, index: &HashIndex, key: &[u8]) -> Result<Newest<'_>, Error> {
        for (ordinal, record) in index.candidates(hash64(key)) {
            let handle = self.handle(ordinal)?;
            let body = self.blocks.data(ordinal, handle)?;
            let raw = DataBlock::new(&body).and_then(|block| block.record_of(record, key));
            if let Body::InPlace(_) = body {
                self.blocks.source.check(handle)?;
            }
            if let Some(raw) = raw.map_err(Error::malformed(self.file, handle.offset))? {
                return Ok(Newest::At(Hit { table: self, handle, body, raw }));
            }
        }
        Ok(Newest::Nowhere)
    }

    /// The newest version of `key` at or below `at`, by the order of the entries.
    fn search(&self, key: &[u8], at: Versionstamp) -> Result<Option<Hit<'_>>, Error> {
        let Some((ordinal, handle)) = self.locate(key, at)? else { return Ok(None) };
        let body = self.blocks.data(ordinal, handle)?;
        let found = DataBlock::new(&body).and_then(|block| block.search(key, at));
        if let Body::InPlace(_) = body {
            self.blocks.source.check(handle)?;
        }
        let found = found.map_err(Error::malformed(self.file, handle.offset))?;
        let found = found.filter(|found| found.same_key);
        Ok(found.map(|found| Hit { table: self, handle, body, raw: found.raw }))
    }

    /// The deleted ranges.
    pub fn ranges(&self) -> &RangeSet {
        &self.ranges
    }

    /// What the table holds, in numbers.
    pub fn summary(&self) -> &TableSummary {
        &self.summary
    }

    /// Whether no part of its mapping was found to be unreadable. When one was, what was read there
    /// is an [`Error::Io`]; whoever opens the table again with [`ReadMode::Read`] reads all that
    /// the medium still gives.
    ///
    /// [`ReadMode::Read`]: crate::ReadMode::Read
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.blocks.source.is_whole()
    }

    /// A cursor over the newest version at or below `at` of every key. It stands nowhere until it
    /// is sent somewhere.
    pub fn cursor(self: &Arc<Table>, at: Versionstamp) -> Cursor {
        Cursor::new(Arc::clone(self), at)
    }

    /// A cursor over every version of every key. It stands nowhere until it is sent somewhere.
    pub fn versions(self: &Arc<Table>) -> Versions {
        Versions::new(Arc::clone(self))
    }

    /// The block that holds (`key`, `stamp`) if any does; `None` after the last one.
    pub(crate) fn locate(
        &self,
        key: &[u8],
        stamp: Versionstamp,
    ) -> Result<Option<(usize, Handle)>, Error> {
        let ordinal = self.index.find(key, stamp);
        self.blocks.source.check(self.footer.index)?;
        let ordinal = ordinal.map_err(|e| self.bad_index(e))?;
        if ordinal == self.index.count() {
            return Ok(None);
        }
        Ok(Some((ordinal, self.handle(ordinal)?)))
    }

    /// Where the block `ordinal` lies.
    pub(crate) fn handle(&self, ordinal: usize) -> Result<Handle, Error> {
        let handle = self.index.handle(ordinal);
        self.blocks.source.check(self.footer.index)?;
        handle.map_err(|e| self.bad_index(e))
    }

    fn bad_index(&self, e: Malformed) -> Error {
        Error::malformed(self.file, self.footer.index.offset)(e)
    }

    /// Copies a small value and pins a large one.
    ///
    /// `body` is the block at `handle`; `pin` keeps a part of it readable.
    pub(crate) fn value_bytes(
        &self,
        handle: Handle,
        in_place: bool,
        value: &[u8],
        pin: impl FnOnce() -> Result<Bytes, Error>,
    ) -> Result<Bytes, Error> {
        let bytes = if value.len() <= VALUE_COPY_BYTES_MAX {
            Bytes::copy_from_slice(value)
        } else {
            let pinned = pin()?;
            if in_place {
                touch(&pinned);
            }
            pinned
        };
        if in_place {
            self.blocks.source.check(handle)?;
        }
        Ok(bytes)
    }
}

/// What a filter knows of a key.
enum Newest<'a> {
    Nowhere,
    At(Hit<'a>),
    /// It may be anywhere.
    Unknown,
}

/// A place on the way from the hash of a key to its record; each is known from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarmStep {
    /// The line of the hash index.
    Slots,
    /// Where the records of the block end.
    Ends,
    /// The record.
    Record,
}

impl WarmStep {
    /// All of them, in their order.
    pub const ALL: [WarmStep; 3] = [WarmStep::Slots, WarmStep::Ends, WarmStep::Record];
}

/// A version of a key, in the block where it was found.
#[derive(Debug)]
pub struct Hit<'a> {
    table: &'a Table,
    handle: Handle,
    body: Body<'a>,
    raw: Raw,
}

impl Hit<'_> {
    /// The commit that made this version.
    pub fn stamp(&self) -> Versionstamp {
        self.raw.stamp
    }

    /// What it did. After the bytes were used in place, [`Hit::check`] says whether they could be
    /// read.
    pub fn change(&self) -> Change<'_> {
        self.raw.change(&self.body)
    }

    /// The value, to be kept: small ones are copied, larger ones pin their block or the mapping.
    /// Empty for a deletion. All of it could be read when this returns; if a page of the mapping
    /// is lost after that, what is kept shows zeros there.
    ///
    /// # Errors
    /// [`Error::Io`] when the mapping has become unreadable there.
    pub fn value_bytes(&self) -> Result<Bytes, Error> {
        let range = self.raw.value_range();
        let value = self.body.get(range.clone()).unwrap_or_default();
        let in_place = matches!(self.body, Body::InPlace(_));
        self.table.value_bytes(self.handle, in_place, value, || match &self.body {
            Body::Owned(body) => Ok(body.slice(range)),
            Body::InPlace(_) => {
                let start = self.handle.offset + range.start as u64;
                self.table.blocks.source.pin(start..start + range.len() as u64)
            }
        })
    }

    /// Whether everything borrowed from this could be read.
    ///
    /// # Errors
    /// [`Error::Io`] when the mapping has become unreadable there.
    pub fn check(&self) -> Result<(), Error> {
        match self.body {
            Body::InPlace(_) => self.table.blocks.source.check(self.handle),
            Body::Owned(_) => Ok(()),
        }
    }
}

/// Reads a byte of every page, so that a page that cannot be read is known before its bytes are
/// handed out to be read without a question afterwards.
fn touch(bytes: &[u8]) {
    for page in bytes.chunks(PAGE_BYTES_MIN) {
        black_box((page.first(), page.last()));
    }
}

fn compare_length(source: &Source, expected: &TableSummary) -> Result<(), Error> {
    let (found, wanted) = (source.bytes, expected.bytes);
    let difference = match found.cmp(&wanted) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => "truncated",
        std::cmp::Ordering::Greater => "too long",
    };
    let what = format!("the table is {difference}: {found} bytes instead of {wanted}");
    Err(Error::corrupt(source.file, found.min(wanted), what))
}

pub(crate) fn read_footer(source: &Source) -> Result<Footer, Error> {
    let length = FOOTER_BYTES as u64;
    let short = || Error::corrupt(source.file, 0, "the table is shorter than its footer");
    let offset = source.bytes.checked_sub(length).ok_or_else(short)?;
    let handle = Handle { offset, bytes: length };
    let bytes = source.read(handle)?;
    let footer = bytes.first_chunk().ok_or_else(short)?;
    let footer = Footer::decode(footer, source.file, source.bytes);
    source.check(handle)?;
    footer
}

fn compare_footer(
    source: &Source,
    footer: &Footer,
    expected: &TableSummary,
    env: &TableEnv,
) -> Result<(), Error> {
    let what = if !env.accepted.contains(&footer.database) {
        format!("the table belongs to another store: {}", footer.database)
    } else if footer.number != expected.number {
        format!("the table is swapped: it is table {}", footer.number)
    } else if footer.hash != expected.hash {
        format!("the table is another version of itself: its hash is {:016x}", footer.hash)
    } else {
        return Ok(());
    };
    Err(Error::corrupt(source.file, source.bytes - FOOTER_BYTES as u64, what))
}

pub(crate) fn read_summary(source: &Source, footer: &Footer) -> Result<TableSummary, Error> {
    let (body, _) = read_block(source, &footer.seal(), footer.properties, Kind::Properties)?;
    let mut reader = Reader::new(&body);
    let summary = TableSummary::decode_properties(&mut reader)
        .and_then(|summary| reader.finish("the end of the properties").map(|()| summary));
    source.check(footer.properties)?;
    let summary = summary.map_err(Error::malformed(source.file, footer.properties.offset))?;
    Ok(TableSummary { number: footer.number, bytes: footer.bytes, hash: footer.hash, ..summary })
}

pub(crate) fn read_ranges(source: &Source, footer: &Footer) -> Result<RangeSet, Error> {
    let Some(handle) = footer.ranges else { return Ok(RangeSet::default()) };
    let (body, _) = read_block(source, &footer.seal(), handle, Kind::Ranges)?;
    let set = ranges::decode(&body);
    source.check(handle)?;
    set.map_err(Error::malformed(source.file, handle.offset))
}

pub(crate) fn read_filter(source: &Source, footer: &Footer) -> Result<Option<Filter>, Error> {
    let Some(handle) = footer.filter else { return Ok(None) };
    let (body, _) = read_block(source, &footer.seal(), handle, Kind::Filter)?;
    let filter = Filter::decode(body);
    source.check(handle)?;
    filter.map(Some).map_err(|e| match e {
        BadFilter::Malformed(e) => Error::malformed(source.file, handle.offset)(e),
        BadFilter::UnknownKind(kind) => Error::unknown(source.file, format!("filter kind {kind}")),
    })
}

pub(crate) fn read_index(source: &Source, footer: &Footer) -> Result<Index, Error> {
    let (body, _) = read_block(source, &footer.seal(), footer.index, Kind::Index)?;
    let index = Index::decode(body, footer.data_end());
    source.check(footer.index)?;
    index.map_err(Error::malformed(source.file, footer.index.offset))
}

#[cfg(test)]
mod hostile;
