//! Reads everything: the one check that walks a whole table.
//!
//! It goes past the cache and the marks of what was verified before, reads the footer again, and
//! recomputes from the entries all that the table says about itself.

use icecore_model::entry::order;
use icecore_model::hash::{Hasher, hash64};
use icecore_model::{Entry, Malformed, Versionstamp};
use std::cmp::Ordering;

use crate::block::{DataBlock, common};
use crate::blocks::read_block;
use crate::error::Error;
use crate::filter::Filter;
use crate::format::{Handle, Kind};
use crate::hash::Place;
use crate::index::Index;
use crate::summary::TableSummary;
use crate::table::{Table, read_filter, read_footer, read_index, read_ranges, read_summary};
use crate::tally::Tally;

impl Table {
    /// Reads the whole table and checks every checksum and the hash of the file, the order of the
    /// entries, that filter and index lead to each of them, and the properties. What it returns is
    /// recomputed from the entries; it equals [`Table::summary`].
    ///
    /// # Errors
    /// The first [`Error`] that it comes upon.
    pub fn verify(&self) -> Result<TableSummary, Error> {
        let source = &self.blocks.source;
        let footer = read_footer(source)?;
        if footer != self.footer {
            let at = self.footer.bytes;
            return Err(Error::corrupt(self.file, at, "the footer has changed since opening"));
        }
        let index = read_index(source, &footer)?;
        let filter = read_filter(source, &footer)?;
        let ranges = read_ranges(source, &footer)?;
        let mut pass = Pass::new(self, &index, filter.as_ref());
        for ordinal in 0..index.count() {
            let handle =
                index.handle(ordinal).map_err(Error::malformed(self.file, footer.index.offset))?;
            pass.hash(handle)?;
            pass.data_block(ordinal, handle)?;
        }
        let rest = [footer.ranges, footer.filter, Some(footer.index), Some(footer.properties)];
        for handle in rest.into_iter().flatten() {
            pass.hash(handle)?;
        }
        let Pass { hasher, tally, key, keys, .. } = pass;
        if let (Some(Filter::Hash(hashes)), Some(handle)) = (&filter, footer.filter)
            && hashes.count() != keys
        {
            let what = "the hash index has slots that are no key's";
            return Err(Error::corrupt(self.file, handle.offset, what));
        }
        if hasher.digest() != footer.hash {
            return Err(Error::corrupt(self.file, 0, "the hash of the whole file"));
        }
        let (number, bytes, hash) = (footer.number, footer.bytes, footer.hash);
        let found = TableSummary { number, bytes, hash, ..tally.finish(&key, &ranges) };
        if found != read_summary(source, &footer)? || found != self.summary {
            let at = footer.properties.offset;
            return Err(Error::corrupt(
                self.file,
                at,
                "the properties are not those of the entries",
            ));
        }
        Ok(found)
    }
}

/// What is carried from one entry to the next.
struct Pass<'a> {
    table: &'a Table,
    index: &'a Index,
    filter: Option<&'a Filter>,
    hasher: Hasher,
    tally: Tally,
    /// How many keys there are.
    keys: usize,
    /// Key and stamp of the last entry.
    key: Vec<u8>,
    stamp: Option<Versionstamp>,
    /// The separator before this block.
    separator: Option<(Vec<u8>, Versionstamp)>,
}

impl<'a> Pass<'a> {
    fn new(table: &'a Table, index: &'a Index, filter: Option<&'a Filter>) -> Pass<'a> {
        Pass {
            table,
            index,
            filter,
            hasher: Hasher::new(),
            tally: Tally::default(),
            keys: 0,
            key: Vec::new(),
            stamp: None,
            separator: None,
        }
    }

    fn hash(&mut self, handle: Handle) -> Result<(), Error> {
        let source = &self.table.blocks.source;
        let stored = source.read(handle)?;
        self.hasher.update(&stored);
        source.check(handle)
    }

    fn data_block(&mut self, ordinal: usize, handle: Handle) -> Result<(), Error> {
        let file = self.table.file;
        let source = &self.table.blocks.source;
        let (body, _) = read_block(source, &self.table.blocks.seal, handle, Kind::Data)?;
        let index_offset = self.table.footer.index.offset;
        let next = self.index.separator(ordinal).map_err(Error::malformed(file, index_offset))?;
        let result = self.entries(&body, ordinal, &next);
        source.check(handle)?;
        result.map_err(Error::malformed(file, handle.offset))?;
        self.separator = Some(next);
        Ok(())
    }

    /// Checks the entries of one block, which must lie between the separators around it.
    fn entries(
        &mut self,
        body: &[u8],
        ordinal: usize,
        next: &(Vec<u8>, Versionstamp),
    ) -> Result<(), Malformed> {
        let block = DataBlock::new(body)?;
        let mut shared = usize::MAX;
        for index in 0..block.shape().count {
            let raw = block.entry(index)?;
            let malformed = |what| Malformed { what, offset: raw.value_range().start };
            let whole = [block.prefix(), raw.rest(body)].concat();
            shared = if index == 0 { whole.len() } else { shared.min(common(&self.key, &whole)) };
            let entry = Entry { key: &whole, stamp: raw.stamp, change: raw.change(body) };
            self.entry(&entry, (ordinal, index), next).map_err(malformed)?;
            self.key = whole;
            self.stamp = Some(raw.stamp);
        }
        if shared == block.prefix().len() {
            Ok(())
        } else {
            Err(Malformed { what: "a prefix that is too short", offset: 0 })
        }
    }

    fn entry(
        &mut self,
        entry: &Entry<'_>,
        place: Place,
        next: &(Vec<u8>, Versionstamp),
    ) -> Result<(), &'static str> {
        let here = (entry.key, entry.stamp);
        let after = |low: (&[u8], Versionstamp)| order(low, here) == Ordering::Less;
        let another_key = self.stamp.is_none() || self.key != entry.key;
        if !self.stamp.is_none_or(|stamp| after((&self.key, stamp))) {
            return Err("an entry out of order");
        }
        if !self.separator.as_ref().is_none_or(|(key, stamp)| after((key, *stamp)))
            || order(here, (&next.0, next.1)) == Ordering::Greater
        {
            return Err("an entry that the index does not lead to");
        }
        if another_key {
            self.keys += 1;
            let hash = hash64(entry.key);
            match self.filter {
                Some(Filter::Bloom(bloom)) if !bloom.may_contain(hash) => {
                    return Err("a key that the filter denies");
                }
                Some(Filter::Hash(hashes)) if !hashes.candidates(hash).any(|at| at == place) => {
                    return Err("a key that the hash index does not lead to");
                }
                _ => {}
            }
        }
        self.tally.entry(entry);
        Ok(())
    }
}
