//! Writing the copy: one run of tables, in which every key has its newest version and no other.
//!
//! What came with the commits of the log, and the expiry index that is made anew, go through tables
//! of the copy's directory on the way (*spills*), so that memory stays bounded. They are removed
//! before the copy becomes a store.

use std::sync::Arc;

use icecore_disk::{Disk, Name};
use icecore_memtable::{ArenaPool, Inserter};
use icecore_model::{Change, DatabaseId, Effects, Entry, RangeTombstone, Versionstamp};
use icecore_sstable::{
    BlockCache, ReadMode, Table, TableEnv, TableId, TableOptions, TableSummary, TableWriter,
};
use icecore_wal::Commit;

use super::pieces::Piece;
use crate::compact::output::rewrite_memtable;
use crate::error::Error;

/// So much of the log, and of the expiry index, is held in memory before it is spilled.
const SPILL_BYTES: usize = 16 << 20;

/// What an entry of the index costs in memory besides its key, about.
const INDEX_OVERHEAD: usize = 48;

/// The directory of the copy, and the numbers of its tables.
pub(super) struct Target<'t> {
    pub(super) disk: &'t dyn Disk,
    pub(super) database: DatabaseId,
    pub(super) next_table: u64,
    pub(super) options: &'t TableOptions,
}

impl Target<'_> {
    fn next_id(&mut self) -> TableId {
        let number = self.next_table;
        self.next_table += 1;
        TableId { database: self.database, number }
    }

    /// Opens a spill.
    fn open(&self, summary: &TableSummary) -> Result<Arc<Table>, Error> {
        let env = TableEnv {
            read_mode: ReadMode::Read,
            cache: Arc::new(BlockCache::new(0)),
            accepted: vec![self.database],
        };
        Ok(Arc::new(Table::open(self.disk, summary, &env)?))
    }

    /// The versions in spills.
    pub(super) fn pieces(&self, spills: &[TableSummary]) -> Result<Vec<Piece>, Error> {
        spills.iter().map(|spill| Ok(Piece::Run(self.open(spill)?.versions()))).collect()
    }

    /// The deleted ranges in spills.
    pub(super) fn ranges(&self, spills: &[TableSummary]) -> Result<Vec<RangeTombstone>, Error> {
        let mut ranges = Vec::new();
        for spill in spills.iter().filter(|spill| spill.range_tombstones > 0) {
            ranges.extend(self.open(spill)?.ranges().clipped(None, None));
        }
        Ok(ranges)
    }

    pub(super) fn remove(&self, spills: &[TableSummary]) -> Result<(), Error> {
        for spill in spills {
            let name = Name::Table(spill.number);
            self.disk.remove(name).map_err(|e| Error::io(name, "remove", e))?;
        }
        Ok(())
    }
}

/// Takes the commits of the log.
pub(super) struct LogSpiller<'p> {
    pool: &'p Arc<ArenaPool>,
    live: Inserter,
    pub(super) spills: Vec<TableSummary>,
}

impl<'p> LogSpiller<'p> {
    pub(super) fn new(pool: &'p Arc<ArenaPool>) -> LogSpiller<'p> {
        LogSpiller { pool, live: icecore_memtable::create(pool).1, spills: Vec::new() }
    }

    /// Takes a commit, or says that its effects are not well formed; then nothing of it is taken.
    pub(super) fn take(
        &mut self,
        target: &mut Target<'_>,
        commit: &Commit<'_>,
    ) -> Result<bool, Error> {
        if !Effects::new(commit.effects).all(|effect| effect.is_ok()) {
            return Ok(false);
        }
        // Segments need not be in the order of their stamps; a memtable takes them in no other.
        if self.live.memtable().last_stamp().is_some_and(|last| commit.stamp <= last) {
            self.spill(target)?;
        }
        let applied =
            self.live.apply(commit.stamp, Effects::new(commit.effects), Versionstamp::ZERO);
        if applied.is_err() {
            return Ok(false);
        }
        if self.live.memtable().memory_bytes() >= SPILL_BYTES {
            self.spill(target)?;
        }
        Ok(true)
    }

    pub(super) fn spill(&mut self, target: &mut Target<'_>) -> Result<(), Error> {
        let id = target.next_id();
        let memtable = self.live.memtable();
        self.spills.extend(rewrite_memtable(target.disk, target.options, id, memtable)?);
        self.live = icecore_memtable::create(self.pool).1;
        Ok(())
    }
}

/// Takes the entries of the expiry index, in any order.
#[derive(Default)]
pub(super) struct IndexSpiller {
    entries: Vec<(Vec<u8>, Versionstamp)>,
    bytes: usize,
    pub(super) spills: Vec<TableSummary>,
}

impl IndexSpiller {
    pub(super) fn take(
        &mut self,
        target: &mut Target<'_>,
        key: Vec<u8>,
        stamp: Versionstamp,
    ) -> Result<(), Error> {
        self.bytes += key.len() + INDEX_OVERHEAD;
        self.entries.push((key, stamp));
        if self.bytes >= SPILL_BYTES { self.spill(target) } else { Ok(()) }
    }

    pub(super) fn spill(&mut self, target: &mut Target<'_>) -> Result<(), Error> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.entries.sort_unstable();
        let id = target.next_id();
        let mut writer = TableWriter::create(target.disk, id, target.options)?;
        for (key, stamp) in self.entries.drain(..) {
            writer.add(&Entry { key: &key, stamp, change: EXISTS })?;
        }
        self.bytes = 0;
        self.spills.push(writer.finish()?);
        Ok(())
    }
}

/// What an entry of the expiry index says.
const EXISTS: Change<'static> = Change::Put { value: &[], expires_at: None };

/// Writes the run.
pub(super) struct RunWriter<'t> {
    table_bytes: u64,
    writer: Option<TableWriter<'t>>,
    pub(super) tables: Vec<TableSummary>,
}

impl<'t> RunWriter<'t> {
    pub(super) fn new(table_bytes: u64) -> RunWriter<'t> {
        RunWriter { table_bytes, writer: None, tables: Vec::new() }
    }

    /// Adds an entry, whose key comes after all before it.
    pub(super) fn add(&mut self, target: &mut Target<'t>, entry: &Entry<'_>) -> Result<(), Error> {
        let table_bytes = self.table_bytes;
        if let Some(full) = self.writer.take_if(|open| open.written_bytes() >= table_bytes) {
            self.tables.push(full.finish()?);
        }
        if self.writer.is_none() {
            let id = target.next_id();
            self.writer = Some(TableWriter::create(target.disk, id, target.options)?);
        }
        let open = self.writer.as_mut().expect("it was just begun");
        Ok(open.add(entry)?)
    }

    /// Completes the last table, and gives all of them.
    pub(super) fn finish(mut self) -> Result<Vec<TableSummary>, Error> {
        if let Some(open) = self.writer {
            self.tables.push(open.finish()?);
        }
        Ok(self.tables)
    }
}
