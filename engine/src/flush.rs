//! From memtables to tables of level 0.
//!
//! The order: the log is durable through the memtable's last stamp; the table's data is synced;
//! the directory is synced; the manifest edit that adds the table and drops the log segments is
//! durable; the view without the memtable is published; only then do log segments go. A crash
//! between any two of these loses nothing: until the edit is durable, the log holds everything.

use std::sync::Arc;

use icecore_memtable::Memtable;
use icecore_model::{Planted, Versionstamp, planted};
use icecore_sstable::{TableId, TableSummary};
use icecore_sync::lock;

use crate::compact::garbage::{Garbage, surviving_ranges};
use crate::compact::output::Output;
use crate::core::{Core, Writer};
use crate::error::Error;
use crate::manifest::{Edit, Forgotten};
use crate::merge::MergeVersions;
use crate::source::Versions;
use crate::view::View;

/// Range tombstones in one memtable. Looking one up costs time and memory that grow with the square
/// of their number; when they are flushed, those that hide one another become one.
const RANGE_TOMBSTONES_MAX: usize = 256;

impl Core {
    /// Whether the live memtable, or the log behind it, is as large as it should become.
    pub(crate) fn is_full(&self, writer: &Writer) -> bool {
        writer.inserter.memtable().memory_bytes() >= self.options.memtable_bytes
            || writer.log_bytes >= self.options.log_bytes_max
            || writer.inserter.memtable().range_tombstones() >= RANGE_TOMBSTONES_MAX
    }

    /// Puts a new memtable in the place of the live one. The view with the new memtable is
    /// published before any commit in it becomes visible: the caller holds the writer lock.
    pub(crate) fn freeze(&self, writer: &mut Writer) {
        let (live, inserter) = icecore_memtable::create(&self.pool);
        let mut state = self.state.lock();
        let mut frozen = vec![Arc::clone(&state.view.live)];
        frozen.extend(state.view.frozen.iter().cloned());
        let levels = Arc::clone(&state.view.levels);
        self.publish(&mut state, View { live, frozen, levels });
        writer.inserter = inserter;
        writer.log_bytes = 0;
        writer.deletions = false;
    }

    /// The last stamp that was issued in this life, or what was visible at its beginning.
    pub(crate) fn last_issued(&self) -> Versionstamp {
        lock(&self.writer).as_ref().map_or(self.recovered, |writer| writer.last)
    }

    /// Freezes a live memtable with deletions if nothing was committed after the stamp `last`, so
    /// that the space that they free comes back without further writes.
    pub(crate) fn freeze_idle_deletions(&self, last: Versionstamp) {
        let mut writer = lock(&self.writer);
        if let Some(writer) = writer.as_mut()
            && writer.deletions
            && writer.last == last
            && !writer.inserter.memtable().is_empty()
        {
            self.freeze(writer);
        }
    }

    /// Freezes the live memtable if it holds anything.
    pub(crate) fn freeze_live(&self) -> Result<(), Error> {
        let mut writer = lock(&self.writer);
        let writer = writer.as_mut().ok_or_else(|| self.why_not_writable())?;
        if !writer.inserter.memtable().is_empty() {
            self.freeze(writer);
        }
        Ok(())
    }

    /// Flushes the oldest frozen memtable. Says whether there was one. The caller holds
    /// `maintenance`.
    pub(crate) fn flush_oldest(&self) -> Result<bool, Error> {
        let memtable = {
            let state = self.state.lock();
            let Some(memtable) = state.view.frozen.last() else { return Ok(false) };
            state.check_poison()?;
            Arc::clone(memtable)
        };
        let flushed = self.flush_memtable(&memtable);
        let mut state = self.state.lock();
        state.flush_failure = flushed.as_ref().err().cloned();
        self.state.announce(&mut state);
        drop(state);
        self.settle_poison();
        flushed.map(|()| true)
    }

    fn flush_memtable(&self, memtable: &Arc<Memtable>) -> Result<(), Error> {
        let log = self.log()?;
        let last = memtable.last_stamp().expect("only memtables with content are frozen");
        let before = planted(Planted::ViewOfBefore).then(|| self.state.lock().view.frozen.clone());
        if log.durable_stamp() < last && !planted(Planted::FlushedWithoutLogSync) {
            log.sync()?;
        }
        let (outputs, forgotten) = self.write_level0(memtable)?;
        let early = planted(Planted::SegmentsDroppedUnderFrozen);
        let segments = log.obsolete(if early { Versionstamp::MAX } else { last });
        if planted(Planted::SegmentsDiscardedEarly) {
            log.discard(&segments)?;
        }
        let edit = Edit {
            added: outputs.iter().map(|table| (0, table.clone())).collect(),
            flushed: Some(last),
            segments_below: segments.last().map(|highest| highest + 1),
            forgotten,
            ..Edit::default()
        };
        self.install_flushed(memtable, before, edit).inspect_err(|_| {
            self.state.lock().abandon(outputs.iter().map(|table| table.number));
        })?;
        self.counters.flushed(&outputs);
        if log.discard(&segments).is_err() {
            // The flush itself is done. What is left of the segments goes when the store is opened.
            self.counters.garbage_failed();
        }
        Ok(())
    }

    /// Exchanges `memtable` for the tables that it was written into, by `edit`.
    fn install_flushed(
        &self,
        memtable: &Arc<Memtable>,
        before: Option<Vec<Arc<Memtable>>>,
        edit: Edit,
    ) -> Result<(), Error> {
        let left_out = planted(Planted::TableNamesUnsynced);
        let synced = if left_out { Ok(()) } else { self.env.disk.sync_dir() };
        synced.map_err(|e| Error::io(self.env.disk.label(), "sync", e))?;
        let mut state = self.state.lock();
        let mut frozen = before.unwrap_or_else(|| state.view.frozen.clone());
        let oldest = frozen.pop().expect("the memtable that was flushed is still there");
        assert!(Arc::ptr_eq(&oldest, memtable), "one thread at a time flushes");
        self.install(&mut state, edit, frozen)
    }

    /// Writes what is needed of `memtable` into one table, or into none if nothing is. Gives the
    /// deletions that were dropped for good, too.
    fn write_level0(
        &self,
        memtable: &Arc<Memtable>,
    ) -> Result<(Vec<TableSummary>, Forgotten), Error> {
        let (database, levels) = {
            let state = self.state.lock();
            (state.catalog.database, Arc::clone(&state.view.levels))
        };
        let floor = self.floor();
        let ranges = memtable.ranges();
        let bottommost = |key: &[u8]| !levels.tables().any(|(_, table)| table.covers(key));
        let nothing_below = |start: &[u8], end: &[u8]| {
            let end = std::ops::Bound::Excluded(end);
            !levels.tables().any(|(_, table)| table.summary().overlaps(start, end))
        };
        let (survivors, mut forgotten) = surviving_ranges(&ranges, floor, nothing_below);
        let mut garbage = Garbage::new(floor, self.expired_before(), &ranges, bottommost);
        let merge = MergeVersions::new(vec![Versions::Memtable(memtable.versions_owned())])?;
        let mut next_id = || TableId { database, number: self.state.lock().take_table_number() };
        let mut output = Output {
            disk: &*self.env.disk,
            options: &self.options.table,
            table_bytes: u64::MAX,
            next_id: &mut next_id,
            begun: Vec::new(),
        };
        let written = output.write(merge, Versionstamp::MAX, &mut garbage, survivors);
        let begun = output.begun;
        let tables = written.inspect_err(|_| self.state.lock().abandon(begun))?;
        forgotten.merge(&garbage.forgotten());
        Ok((tables, forgotten))
    }
}

#[cfg(test)]
mod tests {
    use icecore_disk::clock::ManualClock;
    use icecore_disk::random::SeededRandom;
    use icecore_disk::sim::{Rules, SimDisk};
    use icecore_wal::Durability;

    use super::*;
    use crate::batch::{Batch, Mutation};
    use crate::core::Environment;
    use crate::keyspace::DATA;
    use crate::options::{Options, Workers};

    fn open() -> Core {
        let env = Environment {
            disk: SimDisk::new(1, Rules::none()),
            clock: Arc::new(ManualClock::at(1_000_000)),
            random: Arc::new(SeededRandom::new(1)),
        };
        let options = Options { workers: Workers::Manual, reserve_bytes: 0, ..Options::default() };
        crate::open::open(env, options).unwrap()
    }

    fn commit(core: &Core, mutations: &[Mutation<'_>]) -> Result<(), Error> {
        core.commit(Batch { checks: &[], mutations }, Durability::Sync).map(drop)
    }

    const DELETE: Mutation<'_> = Mutation::Delete { key: &[DATA, b'a'] };

    #[test]
    fn an_idle_store_flushes_its_deletions() {
        let core = open();
        commit(&core, &[DELETE]).unwrap();
        core.freeze_idle_deletions(core.last_issued());
        assert_eq!(core.stats().unwrap().frozen_memtables, 1);
        assert!(core.flush_oldest().unwrap());
    }

    #[test]
    fn a_refused_commit_with_a_deletion_leaves_an_idle_store_alone() {
        let core = open();
        let refuse = |_: Option<crate::batch::Current<'_>>| Err(Error::invalid("refused"));
        let update = Mutation::Update { key: &[DATA, b'b'], update: &refuse };
        commit(&core, &[DELETE, update]).unwrap_err();
        core.freeze_idle_deletions(core.last_issued());
        assert_eq!(core.stats().unwrap().frozen_memtables, 0, "there is nothing to flush");
        assert!(!core.flush_oldest().unwrap());
    }

    #[test]
    fn deletions_that_were_flushed_already_leave_an_idle_store_alone() {
        let core = open();
        commit(&core, &[DELETE]).unwrap();
        core.flush().unwrap();
        core.freeze_idle_deletions(core.last_issued());
        assert!(!core.flush_oldest().unwrap());
    }
}
