//! From the log to memtables.

use std::sync::Arc;

use icecore_disk::Name;
use icecore_memtable::{Inserter, Memtable};
use icecore_model::{Effects, Planted, Versionstamp, planted};
use icecore_wal::{Commit, Ending, Recovery};

use super::Opening;
use crate::error::Error;

/// What replaying the log gives.
pub(super) struct Replayed {
    pub(super) recovery: Recovery,
    /// The memtable at hand, and those that were full before it, newest first.
    pub(super) live: Inserter,
    pub(super) full: Vec<Arc<Memtable>>,
}

impl Opening {
    /// Replays the log. `full` is called with each memtable that is full, and says whether it is
    /// to be kept in memory.
    pub(super) fn replay(
        &self,
        keep_full: &mut dyn FnMut(&Arc<Memtable>) -> Result<bool, Error>,
    ) -> Result<Replayed, Error> {
        let catalog = &self.loaded.catalog;
        let (_, mut live) = icecore_memtable::create(&self.pool);
        let mut full = Vec::new();
        let mut failure = None;
        let mut apply = |commit: Commit<'_>| {
            let effects = Effects::new(commit.effects);
            live.apply(commit.stamp, effects, Versionstamp::ZERO).map_err(|m| {
                failure = Some(Error::corrupt("the log", m.offset as u64, m.what));
                icecore_wal::Error::Closed
            })?;
            if live.memtable().memory_bytes() < self.options.memtable_bytes {
                return Ok(());
            }
            match keep_full(live.memtable()) {
                Ok(true) => full.insert(0, Arc::clone(live.memtable())),
                Ok(false) => {}
                Err(error) => {
                    failure = Some(error);
                    return Err(icecore_wal::Error::Closed);
                }
            }
            live = icecore_memtable::create(&self.pool).1;
            Ok(())
        };
        let disk = &*self.env.disk;
        let recovered = icecore_wal::recover(
            disk,
            catalog.database,
            &catalog.segments,
            catalog.flushed,
            &mut apply,
        );
        match (failure, recovered) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(recovery)) => {
                self.compare_with_manifest(&recovery)?;
                Ok(Replayed { recovery, live, full })
            }
        }
    }

    /// Refuses a log and a manifest that do not belong to the same moment: one of them is an older
    /// version of itself.
    pub(super) fn compare_with_manifest(&self, recovery: &Recovery) -> Result<(), Error> {
        let catalog = &self.loaded.catalog;
        let closed = catalog.closed && !planted(Planted::EndNotMissed);
        if let (true, Ending::Torn { at, .. }) = (closed, recovery.ending) {
            let what = "the store was closed, but the end of its log is missing";
            let file = Name::Wal(u64::from(at.segment));
            return Err(Error::corrupt(file, u64::from(at.offset), what));
        }
        // The log holds what was flushed, or begins behind it, also in the first life of a store.
        let last = recovery.last.unwrap_or(Versionstamp::ZERO);
        if let Some(number) = catalog.segments.last()
            && last < catalog.flushed
        {
            let end = recovery.end.map_or(0, |end| u64::from(end.length));
            let what =
                format!("it ends at {last}, but tables hold commits up to {}", catalog.flushed);
            return Err(Error::corrupt(Name::Wal(u64::from(*number)), end, what));
        }
        let known = catalog.segments.last().copied().unwrap_or(0);
        for number in self.segments_on_disk.iter().filter(|number| **number > known) {
            if icecore_wal::holds_commits(&*self.env.disk, catalog.database, *number)? {
                let name = Name::Wal(u64::from(*number));
                let what = format!("it does not know {name}, which holds commits");
                return Err(Error::corrupt(Name::Manifest(self.loaded.number), 0, what));
            }
        }
        Ok(())
    }
}
