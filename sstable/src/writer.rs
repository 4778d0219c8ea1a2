//! Writes a table: entries in order, deleted ranges at any time, then everything that leads to them.
//!
//! Bytes go to the disk in large runs and are hashed on the way. A table counts only after
//! [`TableWriter::finish`]; a file that was begun and not finished means nothing to anyone, and the
//! next inventory of the directory removes it.

use std::cmp::Ordering;
use std::fmt;

use icecore_disk::{Disk, File, Name};
use icecore_model::entry::order;
use icecore_model::hash::{Hasher, hash64};
use icecore_model::{Entry, RangeSet, RangeTombstone, Versionstamp};

use crate::block::BlockBuilder;
use crate::error::Error;
use crate::filter;
use crate::format::{BLOCK_BYTES_MAX, Footer, Handle, Kind, Seal, pack};
use crate::hash::HashBuilder;
use crate::index::IndexBuilder;
use crate::options::{Compression, TableId, TableOptions};
use crate::ranges;
use crate::summary::TableSummary;
use crate::tally::Tally;

/// Bytes are handed to the disk once this many have come together.
const RUN_BYTES: usize = 256 << 10;

/// Writes one table.
pub struct TableWriter<'d> {
    disk: &'d dyn Disk,
    id: TableId,
    options: TableOptions,
    out: Output,
    block: BlockBuilder,
    /// The key and stamp of the last entry.
    last: Option<(Vec<u8>, Versionstamp)>,
    /// The last block, which has no separator until the next entry is known.
    unindexed: Option<Handle>,
    index: IndexBuilder,
    /// One for each distinct key.
    keys: HashBuilder,
    ranges: Vec<RangeTombstone>,
    tally: Tally,
}

impl<'d> TableWriter<'d> {
    /// Creates the file [`Name::Table`] of `id.number`.
    ///
    /// # Errors
    /// [`Error::Io`] when the file exists or the disk refuses it.
    pub fn create(
        disk: &'d dyn Disk,
        id: TableId,
        options: &TableOptions,
    ) -> Result<TableWriter<'d>, Error> {
        let name = Name::Table(id.number);
        let file = disk.create(name).map_err(Error::io(name, "create"))?;
        let options = TableOptions {
            block_bytes: options.block_bytes.min(BLOCK_BYTES_MAX),
            ..options.clone()
        };
        Ok(TableWriter {
            disk,
            id,
            out: Output::new(name, file, Seal::of(id)),
            block: BlockBuilder::default(),
            options,
            last: None,
            unindexed: None,
            index: IndexBuilder::default(),
            keys: HashBuilder::default(),
            ranges: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses a write; the table must then be abandoned.
    ///
    /// # Panics
    /// When the entry does not come after the last one in the order of entries (key ascending,
    /// stamp descending), or is larger than the model allows.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let last = self.last.as_ref().map(|(key, stamp)| (&key[..], *stamp));
        let rises = last.is_none_or(|l| order(l, (entry.key, entry.stamp)) == Ordering::Less);
        assert!(rises, "entries of a table come in strict order");
        let another_key = last.is_none_or(|(key, _)| key != entry.key);
        if !self.block.is_empty()
            && self.block.bytes() + BlockBuilder::cost(entry) > self.options.block_bytes
        {
            self.end_block()?;
        }
        self.index_block(Some(entry.key));
        if another_key && (self.options.hash_index || self.options.filter_bits_per_key > 0) {
            self.keys.add(hash64(entry.key), self.block.count());
        }
        self.block.add(entry);
        self.tally.entry(entry);
        let (key, stamp) = self.last.get_or_insert_default();
        key.clear();
        key.extend_from_slice(entry.key);
        *stamp = entry.stamp;
        Ok(())
    }

    /// Adds the deletion of a range, in any order and at any time.
    pub fn add_range(&mut self, range: &RangeTombstone) {
        self.ranges.push(range.clone());
    }

    /// About how long the file would be if it were finished at once.
    pub fn written_bytes(&self) -> u64 {
        let ranges: usize = self.ranges.iter().map(|r| r.start.len() + r.end.len() + 16).sum();
        let keys = self.keys.hashes().len();
        let filter = if self.options.hash_index {
            HashBuilder::bytes(keys)
        } else {
            keys * self.options.filter_bits_per_key as usize / 8
        };
        self.out.offset + (self.block.bytes() + ranges + filter + self.index.bytes()) as u64
    }

    /// Writes what is left and makes the file durable. Its name is durable only after the caller
    /// has synced the directory.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses a write or the sync. The file stays, unfinished, for
    /// the caller to remove.
    pub fn finish(mut self) -> Result<TableSummary, Error> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.index_block(None);
        let set = RangeSet::new(std::mem::take(&mut self.ranges));
        let (largest, _) = self.last.take().unwrap_or_default();
        let properties = std::mem::take(&mut self.tally).finish(&largest, &set);
        let ranges = if set.is_empty() {
            None
        } else {
            Some(self.out.block(&ranges::encode(&set), Kind::Ranges, Compression::None)?)
        };
        let filter = match self.filter() {
            Some(body) => Some(self.out.block(&body, Kind::Filter, Compression::None)?),
            None => None,
        };
        let index = self.out.block(&self.index.finish(), Kind::Index, Compression::None)?;
        let mut body = Vec::new();
        properties.encode_properties(&mut body);
        let handle = self.out.block(&body, Kind::Properties, Compression::None)?;
        let TableId { database, number } = self.id;
        let unsealed = Footer {
            database,
            number,
            ranges,
            filter,
            index,
            properties: handle,
            hash: 0,
            bytes: 0,
        };
        let (bytes, hash) = self.out.finish(unsealed)?;
        Ok(TableSummary { number, bytes, hash, ..properties })
    }

    /// Removes the file.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses to.
    pub fn abandon(self) -> Result<(), Error> {
        let TableWriter { disk, out: Output { name, file, .. }, .. } = self;
        drop(file);
        disk.remove(name).map_err(Error::io(name, "remove"))
    }

    /// The body of the filter that comes next, if the table gets one.
    fn filter(&self) -> Option<Vec<u8>> {
        let (hashes, offset) = (self.keys.hashes(), self.out.offset);
        let bits = self.options.filter_bits_per_key;
        let index = || self.options.hash_index.then(|| self.keys.encode(offset)).flatten();
        let bloom = || (bits > 0).then(|| filter::encode(hashes, bits, offset));
        if hashes.is_empty() { None } else { index().or_else(bloom) }
    }

    fn end_block(&mut self) -> Result<(), Error> {
        self.keys.end_block();
        let body = self.block.finish();
        self.unindexed = Some(self.out.block(body, Kind::Data, self.options.compression)?);
        self.block.clear();
        Ok(())
    }

    /// Puts the block that ended last into the index, before the entry with the key `next`.
    fn index_block(&mut self, next: Option<&[u8]>) {
        if let (Some(handle), Some((key, stamp))) = (self.unindexed.take(), &self.last) {
            self.index.add((key, *stamp), next, handle.offset + handle.bytes);
        }
    }
}

impl fmt::Debug for TableWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableWriter({} at byte {})", self.out.name, self.out.offset)
    }
}

/// The growing file.
struct Output {
    name: Name,
    file: Box<dyn File>,
    seal: Seal,
    /// Bytes that follow what the disk has.
    run: Vec<u8>,
    /// Where `run` ends in the file.
    offset: u64,
    hasher: Hasher,
}

impl Output {
    fn new(name: Name, file: Box<dyn File>, seal: Seal) -> Output {
        Output { name, file, seal, run: Vec::new(), offset: 0, hasher: Hasher::new() }
    }

    /// Appends a block; compressed if that is asked for and saves an eighth.
    fn block(&mut self, body: &[u8], kind: Kind, wanted: Compression) -> Result<Handle, Error> {
        let start = self.run.len();
        let mut compression = Compression::None;
        if wanted == Compression::Lz4 {
            let packed = pack(body);
            if packed.len() < body.len() - body.len() / 8 {
                self.run.extend_from_slice(&packed);
                compression = Compression::Lz4;
            }
        }
        if compression == Compression::None {
            self.run.extend_from_slice(body);
        }
        self.seal.close(&mut self.run, start, self.offset, kind, compression);
        let written = &self.run[start..];
        let handle = Handle { offset: self.offset, bytes: written.len() as u64 };
        self.hasher.update(written);
        self.offset += handle.bytes;
        if self.run.len() >= RUN_BYTES {
            self.flush()?;
        }
        Ok(handle)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let start = self.offset - self.run.len() as u64;
        self.file.write_all_at(start, &self.run).map_err(Error::io(self.name, "write"))?;
        self.run.clear();
        Ok(())
    }

    /// Appends the footer and syncs; the length of the file and the hash before the footer.
    fn finish(mut self, footer: Footer) -> Result<(u64, u64), Error> {
        let hash = self.hasher.digest();
        let bytes = self.offset + crate::format::FOOTER_BYTES as u64;
        self.run.extend_from_slice(&Footer { hash, bytes, ..footer }.encode());
        self.offset = bytes;
        self.flush()?;
        self.file.sync().map_err(Error::io(self.name, "sync"))?;
        Ok((bytes, hash))
    }
}

#[cfg(test)]
mod tests;
