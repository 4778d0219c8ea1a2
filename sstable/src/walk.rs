//! Moves over the entries of a table one by one, in both directions, every version.
//!
//! A step forward decodes the next entry onto the key of the one before, in a buffer that is kept.
//! A step back needs what the entry before had instead of this one's bytes. So the first one
//! decodes from the restart point before, and keeps on a *trail* the place of each entry it passes
//! and the bytes of the key that the next entry replaced; the following ones only take the last
//! step off the trail. The bytes on the trail are never more than those of the keys in the block,
//! however much the keys share.
//!
//! Invariants:
//! 1. At an entry, `key` is its key, `raw` its place, and `offset` where it starts in `block`.
//! 2. The trail, if not empty, leads from some entry to the one before `offset`, without a gap.
//! 3. After an error nothing moves any more: every call returns that error again.

use std::sync::Arc;

use bytes::Bytes;
use icecore_model::{Entry, Malformed, Versionstamp};

use crate::block::{DataBlock, Raw, Shape};
use crate::error::Error;
use crate::format::Handle;
use crate::table::Table;

/// A place between or at the entries of a table.
#[derive(Debug)]
pub(crate) struct Walk {
    table: Arc<Table>,
    place: Place,
    block: Option<Block>,
    /// The block that was left last: at a border, going back and forth must not read it anew.
    left: Option<Block>,
    offset: usize,
    raw: Option<Raw>,
    key: Vec<u8>,
    same_key: bool,
    trail: Trail,
    /// The key before, while another one is built up.
    scratch: Vec<u8>,
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
    fn data(&self) -> DataBlock<'_> {
        DataBlock::with_shape(&self.body, self.shape)
    }
}

#[derive(Debug, Default)]
struct Trail {
    steps: Vec<Step>,
    replaced: Vec<u8>,
}

#[derive(Debug)]
struct Step {
    /// Where the entry starts.
    offset: usize,
    /// How long `replaced` was before.
    replaced: usize,
}

impl Walk {
    pub(crate) fn new(table: Arc<Table>) -> Walk {
        Walk {
            table,
            place: Place::After,
            block: None,
            left: None,
            offset: 0,
            raw: None,
            key: Vec::new(),
            same_key: false,
            trail: Trail::default(),
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

    fn forward(&mut self) -> Result<(), Error> {
        let next = match (self.place, &self.block, &self.raw) {
            (Place::After, ..) => return Ok(()),
            (Place::At, Some(block), Some(raw)) if raw.end < block.shape.entries => raw.end,
            (Place::At, Some(block), _) => return self.enter_first(block.ordinal + 1),
            _ => return self.enter_first(0),
        };
        let keep = !self.trail.steps.is_empty();
        self.step(next, keep)
    }

    fn back(&mut self) -> Result<(), Error> {
        let ordinal = match (self.place, &self.block) {
            (Place::Before, _) => return Ok(()),
            (Place::At, Some(block)) => block.ordinal,
            _ => return self.enter_last(self.table.index.count()),
        };
        if self.offset == 0 {
            self.enter_last(ordinal)
        } else if let Some(step) = self.trail.steps.pop() {
            self.step_back(&step)
        } else {
            self.rebuild(self.offset)
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
        // The first entry shares nothing; the key before stays for the comparison with it.
        self.step(0, false)
    }

    /// To the last entry of the block before `ordinal`, if there is one.
    fn enter_last(&mut self, ordinal: usize) -> Result<(), Error> {
        let Some(ordinal) = ordinal.checked_sub(1) else {
            self.place = Place::Before;
            return Ok(());
        };
        let handle = self.table.handle(ordinal)?;
        self.enter(ordinal, handle)?;
        let end = self.block.as_ref().map_or(0, |block| block.shape.entries);
        self.rebuild(end)
    }

    /// Makes `ordinal` the block, without an entry yet.
    fn enter(&mut self, ordinal: usize, handle: Handle) -> Result<(), Error> {
        self.trail.clear();
        self.place = Place::At;
        self.raw = None;
        if self.block.as_ref().is_some_and(|block| block.ordinal == ordinal) {
            return Ok(());
        }
        std::mem::swap(&mut self.block, &mut self.left);
        if self.block.as_ref().is_some_and(|block| block.ordinal == ordinal) {
            return Ok(());
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
        self.key.extend_from_slice(key.get(..found.raw.shared).unwrap_or_default());
        self.key.extend_from_slice(found.raw.tail(&block.body));
        self.offset = found.offset;
        self.raw = Some(found.raw);
        Ok(())
    }

    /// To the entry at `offset` of the block, which follows the one whose key is in `key`; onto the
    /// trail goes the way back if it is to be kept.
    #[inline]
    fn step(&mut self, offset: usize, keep: bool) -> Result<(), Error> {
        let Some(block) = &self.block else { return Ok(()) };
        let raw = block.data().entry(offset).map_err(|e| self.malformed(e))?;
        let tail = raw.tail(&block.body);
        let Some(replaced) = self.key.get(raw.shared..).filter(|_| offset > 0 || raw.shared == 0)
        else {
            return Err(self.malformed(Malformed { what: "a key shares too much", offset }));
        };
        self.same_key = replaced == tail;
        if keep {
            self.trail
                .steps
                .push(Step { offset: self.offset, replaced: self.trail.replaced.len() });
            self.trail.replaced.extend_from_slice(replaced);
        }
        self.key.truncate(raw.shared);
        self.key.extend_from_slice(tail);
        self.offset = offset;
        self.raw = Some(raw);
        Ok(())
    }

    /// Undoes the last step on the trail.
    fn step_back(&mut self, step: &Step) -> Result<(), Error> {
        let shared = self.raw.as_ref().map_or(0, |raw| raw.shared).min(self.key.len());
        let replaced = &self.trail.replaced[step.replaced..];
        self.same_key = self.key[shared..] == *replaced;
        self.key.truncate(shared);
        self.key.extend_from_slice(replaced);
        self.trail.replaced.truncate(step.replaced);
        let Some(block) = &self.block else { return Ok(()) };
        let raw = block.data().entry(step.offset).map_err(|e| self.malformed(e))?;
        self.offset = step.offset;
        self.raw = Some(raw);
        Ok(())
    }

    /// To the entry that ends at `end` of the block, with the trail that leads to it.
    fn rebuild(&mut self, end: usize) -> Result<(), Error> {
        std::mem::swap(&mut self.key, &mut self.scratch);
        self.key.clear();
        self.trail.clear();
        let Some(block) = &self.block else { return Ok(()) };
        let start = block.data().restart_before(end).map_err(|e| self.malformed(e))?;
        self.step(start, false)?;
        while let Some(next) = self.raw.as_ref().map(|raw| raw.end).filter(|next| *next < end) {
            self.step(next, true)?;
        }
        if self.raw.as_ref().is_none_or(|raw| raw.end != end) {
            return Err(self.malformed(Malformed { what: "entries overlap", offset: end }));
        }
        self.same_key = self.key == self.scratch;
        Ok(())
    }

    fn malformed(&self, e: Malformed) -> Error {
        let base = self.block.as_ref().map_or(0, |block| block.handle.offset);
        Error::malformed(self.table.file, base)(e)
    }
}

impl Trail {
    fn clear(&mut self) {
        self.steps.clear();
        self.replaced.clear();
    }
}
