//! Runs: many entries of a block in one loop, which is several times as fast as step after step.
//!
//! A run goes on as long as every next record is the only one of its key that may be shown, which
//! the record itself and its neighbour tell. Where that is not so, at the border of the block, and
//! where a record cannot be read, it stops at the last entry that it has shown, and
//! [`Cursor`](crate::Cursor) takes the next step, which knows about all of this.

use std::ops::ControlFlow;

use icecore_model::{Entry, Versionstamp};

use super::Walk;
use crate::block::{DataBlock, Raw};
use crate::error::Error;

/// How a run ended.
pub(crate) enum Ended<B> {
    /// The entry here was shown, and that was enough.
    Broken(B),
    /// The entry here was shown; the step to the one behind it is not for a run.
    Stopped,
}

/// What a run knows of its way, forward or back.
trait Way {
    /// The record behind `here` on this way, if it is the one of its key to be shown at `at`.
    fn step(
        &mut self,
        block: &DataBlock<'_>,
        here: (usize, &Raw),
        at: Versionstamp,
    ) -> Option<(usize, Raw)>;
}

/// Versions come newest first: the first of a key that is not too new is the one.
struct Forward;

impl Way for Forward {
    #[inline]
    fn step(
        &mut self,
        block: &DataBlock<'_>,
        (index, here): (usize, &Raw),
        at: Versionstamp,
    ) -> Option<(usize, Raw)> {
        let next = block.entry_behind(index, here).ok()??;
        let is_shown = next.stamp <= at && !block.is_same_key(here, &next);
        is_shown.then_some((index + 1, next))
    }
}

/// Versions come oldest first: the one of a key is only known when the record before it is seen,
/// which is read here and kept for the next step.
struct Back {
    /// The record before the one here.
    before: Option<Raw>,
}

impl Way for Back {
    #[inline]
    fn step(
        &mut self,
        block: &DataBlock<'_>,
        (index, here): (usize, &Raw),
        at: Versionstamp,
    ) -> Option<(usize, Raw)> {
        let next_index = index.checked_sub(1)?;
        let next = match self.before.take() {
            Some(before) => before,
            None => block.entry(next_index).ok()?,
        };
        // Of the first record of a block it is not known what lies before it.
        let beyond = block.entry(next_index.checked_sub(1)?).ok()?;
        let is_shown = next.stamp <= at
            && !block.is_same_key(here, &next)
            && !block.is_same_key(&beyond, &next);
        self.before = Some(beyond);
        is_shown.then_some((next_index, next))
    }
}

impl Walk {
    /// Shows the entry here, and those behind it in the block.
    pub(crate) fn run<B>(
        &mut self,
        at: Versionstamp,
        see: impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Ended<B>, Error> {
        self.run_along(Forward, at, see)
    }

    /// Shows the entry here, and those before it in the block, backwards.
    pub(crate) fn run_back<B>(
        &mut self,
        at: Versionstamp,
        see: impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Ended<B>, Error> {
        self.run_along(Back { before: None }, at, see)
    }

    #[inline]
    fn run_along<B>(
        &mut self,
        mut way: impl Way,
        at: Versionstamp,
        mut see: impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Ended<B>, Error> {
        self.failed()?;
        let Walk { table, block: Some(block), raw: Some(raw), key, index, .. } = self else {
            return Ok(Ended::Stopped);
        };
        let data = block.data();
        let prefix = data.prefix().len();
        let ended = loop {
            let entry = Entry { key, stamp: raw.stamp, change: raw.change(&block.body) };
            let flow = see(entry);
            if let ControlFlow::Break(found) = flow {
                break Ended::Broken(found);
            }
            if block.in_place && !table.blocks.source.is_whole() {
                break Ended::Stopped;
            }
            let Some((next_index, next)) = way.step(&data, (*index, raw), at) else {
                break Ended::Stopped;
            };
            key.truncate(prefix);
            key.extend_from_slice(next.rest(&block.body));
            self.same_key = false;
            (*index, *raw) = (next_index, next);
        };
        // What was shown last, and the records that were looked at, may not have been readable.
        self.fused(|_| Ok(()))?;
        Ok(ended)
    }
}
