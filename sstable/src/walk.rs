//! Moves over the entries of a table one by one, in both directions, every version.
//!
//! Every entry of a block can be read by its number, so a step is that number and the part of the key
//! behind the block's prefix, which is copied into a buffer that is kept.
//!
//! Invariants:
//! 1. At an entry, `key` is its key, `raw` its place, and `index` its number in `block`.
//! 2. After an error nothing moves any more: every call returns that error again.

mod run;

use std::sync::Arc;

use bytes::Bytes;
use icecore_model::{Entry, Malformed, Versionstamp};

use crate::ahead::Ahead;
use crate::block::{DataBlock, Raw, Shape};
use crate::error::Error;
use crate::format::Handle;
use crate::table::Table;

pub(crate) use run::Ended;

/// A place between or at the entries of a table.
#[derive(Debug)]
pub(crate) struct Walk {
    table: Arc<Table>,
    place: Place,
    block: Option<Block>,
    /// The block that was left last: at a border, going back and forth must not read it anew.
    left: Option<Block>,
    index: usize,
    raw: Option<Raw>,
    key: Vec<u8>,
    same_key: bool,
    /// The key before, while a block is entered.
    scratch: Vec<u8>,
    ahead: Ahead,
    failure: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Before,
    At,
    After,
}

#[derive(Debug)]
struct Block {
    ordinal: usize,
    handle: Handle,
    body: Bytes,
    in_place: bool,
    shape: Shape,
}

impl Block {
    #[inline]
    fn data(&self) -> DataBlock<'_> {
        DataBlock::with_shape(&self.body, self.shape)
    }
}

impl Walk {
    pub(crate) fn new(table: Arc<Table>) -> Walk {
        Walk::with(table, Ahead::new())
    }

    /// For who will go on for long.
    pub(crate) fn long(table: Arc<Table>) -> Walk {
        Walk::with(table, Ahead::long())
    }

    fn with(table: Arc<Table>, ahead: Ahead) -> Walk {
        Walk {
            table,
            ahead,
            place: Place::After,
            block: None,
            left: None,
            index: 0,
            raw: None,
            key: Vec::new(),
            same_key: false,
            scratch: Vec::new(),
            failure: None,
        }
    }

    /// The entry here.
    #[inline]
    pub(crate) fn entry(&self) -> Option<Entry<'_>> {
        let (block, raw) = self.here()?;
        Some(Entry { key: &self.key, stamp: raw.stamp, change: raw.change(&block.body) })
    }

    #[inline]
    fn here(&self) -> Option<(&Block, &Raw)> {
        let at = self.place == Place::At && self.failure.is_none();
        self.block.as_ref().filter(|_| at).zip(self.raw.as_ref())
    }

    /// The stamp of the entry here.
    #[inline]
    pub(crate) fn stamp(&self) -> Option<Versionstamp> {
        self.here().map(|(_, raw)| raw.stamp)
    }

    /// Whether the last step came from an entry of the same key.
    #[inline]
    pub(crate) fn same_key(&self) -> bool {
        self.same_key
    }

    /// Whether the entry before this one lies in the same block and is of another key. A walk back
    /// needs not go there to know that this is the newest version of its key.
    #[inline]
    pub(crate) fn is_newest_in_block(&self) -> bool {
        let Some((block, raw)) = self.here() else { return false };
        let before = self.index.checked_sub(1).map(|before| block.data().entry(before));
        // What cannot be read is an error of the step that goes there.
        matches!(before, Some(Ok(before)) if before.rest(&block.body) != raw.rest(&block.body))
    }

    /// The value here, to be kept.
    pub(crate) fn value_bytes(&self) -> Result<Bytes, Error> {
        self.failed()?;
        let Some((block, raw)) = self.here() else { return Ok(Bytes::new()) };
        let range = raw.value_range();
        let value = block.body.get(range.clone()).unwrap_or_default();
        let pin = || Ok(block.body.slice(range));
        self.table.value_bytes(block.handle, block.in_place, value, pin)
    }

    /// Whether everything borrowed from the entry here could be read.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failed()?;
        match &self.block {
            Some(block) if block.in_place => self.table.blocks.source.check(block.handle),
            _ => Ok(()),
        }
    }

    /// The first error, if there was one.
    pub(crate) fn failed(&self) -> Result<(), Error> {
        self.failure.as_ref().map_or(Ok(()), |e| Err(e.clone()))
    }

    /// To the first entry.
    pub(crate) fn seek_first(&mut self) -> Result<(), Error> {
        self.fused(|walk| walk.enter_first(0))
    }

    /// To the last entry.
    pub(crate) fn seek_last(&mut self) -> Result<(), Error> {
        self.fused(|walk| walk.enter_last(walk.table.index.count()))
    }

    /// To the first entry at or after (`key`, `stamp`).
    pub(crate) fn seek(&mut self, key: &[u8], stamp: Versionstamp) -> Result<(), Error> {
        self.fused(|walk| walk.find(key, stamp))
    }

    /// To the first entry at or after (this key, `stamp`).
    pub(crate) fn seek_version(&mut self, stamp: Versionstamp) -> Result<(), Error> {
        self.fused(|walk| {
            let key = std::mem::replace(&mut walk.key, std::mem::take(&mut walk.scratch));
            let result = walk.find(&key, stamp);
            walk.same_key = walk.key == key;
            walk.scratch = key;
            result
        })
    }

    /// To the next entry; from before all, to the first.
    pub(crate) fn next(&mut self) -> Result<(), Error> {
        self.fused(Walk::forward)
    }

    /// To the entry before; from after all, to the last.
    pub(crate) fn prev(&mut self) -> Result<(), Error> {
        self.fused(Walk::back)
    }

    /// Moves, checks that what was read could be read, and keeps the first error.
    #[inline]
    fn fused(&mut self, act: impl FnOnce(&mut Walk) -> Result<(), Error>) -> Result<(), Error> {
        self.failed()?;
        let result = act(self);
        // A page that cannot be read may look like any bytes: the fault is the better answer.
        self.check().and(result).inspect_err(|e| self.failure = Some(e.clone()))
    }

    #[inline]
    fn forward(&mut self) -> Result<(), Error> {
        match (self.place, &self.block) {
            (Place::After, _) => Ok(()),
            (Place::At, Some(block)) if self.index + 1 < block.shape.count => {
                self.step(self.index + 1)
            }
            (Place::At, Some(block)) => self.enter_first(block.ordinal + 1),
            _ => self.enter_first(0),
        }
    }

    #[inline]
    fn back(&mut self) -> Result<(), Error> {
        match (self.place, &self.block) {
            (Place::Before, _) => Ok(()),
            (Place::At, Some(_)) if self.index > 0 => self.step(self.index - 1),
            (Place::At, Some(block)) => self.enter_last(block.ordinal),
            _ => self.enter_last(self.table.index.count()),
        }
    }

    /// To the first entry of the block `ordinal`, if there is such a block.
    fn enter_first(&mut self, ordinal: usize) -> Result<(), Error> {
        if ordinal == self.table.index.count() {
            self.place = Place::After;
            return Ok(());
        }
        let handle = self.table.handle(ordinal)?;
        self.enter(ordinal, handle)?;
        self.arrive(0)
    }

    /// To the last entry of the block before `ordinal`, if there is one.
    fn enter_last(&mut self, ordinal: usize) -> Result<(), Error> {
        let Some(ordinal) = ordinal.checked_sub(1) else {
            self.place = Place::Before;
            return Ok(());
        };
        let handle = self.table.handle(ordinal)?;
        self.enter(ordinal, handle)?;
        let count = self.block.as_ref().map_or(0, |block| block.shape.count);
        self.arrive(count.saturating_sub(1))
    }

    /// Makes `ordinal` the block, without an entry yet.
    fn enter(&mut self, ordinal: usize, handle: Handle) -> Result<(), Error> {
        self.place = Place::At;
        self.raw = None;
        if self.block.as_ref().is_some_and(|block| block.ordinal == ordinal) {
            return Ok(());
        }
        std::mem::swap(&mut self.block, &mut self.left);
        if self.block.as_ref().is_some_and(|block| block.ordinal == ordinal) {
            return Ok(());
        }
        let place = handle.offset..handle.offset.saturating_add(handle.bytes);
        if let Some(range) = self.ahead.enter(ordinal, place) {
            self.table.blocks.source.expect(range);
        }
        let (body, in_place) = self.table.blocks.pinned(ordinal, handle)?;
        let shape = DataBlock::new(&body)
            .map(|block| block.shape())
            .map_err(Error::malformed(self.table.file, handle.offset))?;
        self.block = Some(Block { ordinal, handle, body, in_place, shape });
        Ok(())
    }

    fn find(&mut self, key: &[u8], stamp: Versionstamp) -> Result<(), Error> {
        self.same_key = false;
        let Some((ordinal, handle)) = self.table.locate(key, stamp)? else {
            self.place = Place::After;
            return Ok(());
        };
        self.enter(ordinal, handle)?;
        let Some(block) = &self.block else { return Ok(()) };
        let found = block.data().search(key, stamp).map_err(|e| self.malformed(e))?;
        // The separator may lie after the block's last entry: then the next one is the first.
        let Some(found) = found else {
            // It is about to be left, and whether it could be read must not be left unasked.
            self.check()?;
            return self.enter_first(ordinal + 1);
        };
        self.key.clear();
        self.key.extend_from_slice(block.data().prefix());
        self.key.extend_from_slice(found.raw.rest(&block.body));
        self.index = found.index;
        self.raw = Some(found.raw);
        Ok(())
    }

    /// To the entry `index` of the block that was just entered.
    fn arrive(&mut self, index: usize) -> Result<(), Error> {
        let Some(block) = &self.block else { return Ok(()) };
        let raw = block.data().entry(index).map_err(|e| self.malformed(e))?;
        std::mem::swap(&mut self.key, &mut self.scratch);
        self.key.clear();
        self.key.extend_from_slice(block.data().prefix());
        self.key.extend_from_slice(raw.rest(&block.body));
        self.same_key = self.key == self.scratch;
        self.index = index;
        self.raw = Some(raw);
        Ok(())
    }

    /// From an entry of the block to its neighbour `index`.
    #[inline]
    fn step(&mut self, index: usize) -> Result<(), Error> {
        let Some(block) = &self.block else { return Ok(()) };
        let raw = block.data().entry(index).map_err(|e| self.malformed(e))?;
        let (prefix, rest) = (block.data().prefix().len(), raw.rest(&block.body));
        self.same_key = self.key.get(prefix..) == Some(rest);
        if !self.same_key {
            self.key.truncate(prefix);
            self.key.extend_from_slice(rest);
        }
        self.index = index;
        self.raw = Some(raw);
        Ok(())
    }

    fn malformed(&self, e: Malformed) -> Error {
        let base = self.block.as_ref().map_or(0, |block| block.handle.offset);
        Error::malformed(self.table.file, base)(e)
    }
}
