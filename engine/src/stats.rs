//! What the store has done and what it holds, in numbers.

// Nothing is decided by these.
use std::sync::atomic::{AtomicU64, Ordering};

use icecore_model::Versionstamp;
use icecore_sstable::TableSummary;
use icecore_wal::LogStats;

use crate::core::Core;
use crate::error::Error;

/// Counters since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    flushes: AtomicU64,
    flushed_bytes: AtomicU64,
    compactions: AtomicU64,
    moves: AtomicU64,
    compacted_bytes_read: AtomicU64,
    compacted_bytes_written: AtomicU64,
    swept: AtomicU64,
    delayed_us: AtomicU64,
    stops: AtomicU64,
    garbage_failures: AtomicU64,
    roll_failures: AtomicU64,
}

fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn committed(&self) {
        add(&self.commits, 1);
    }

    pub(crate) fn flushed(&self, tables: &[TableSummary]) {
        add(&self.flushes, 1);
        add(&self.flushed_bytes, tables.iter().map(|table| table.bytes).sum());
    }

    pub(crate) fn compacted(&self, read: u64, written: u64) {
        add(&self.compactions, 1);
        add(&self.compacted_bytes_read, read);
        add(&self.compacted_bytes_written, written);
    }

    pub(crate) fn moved(&self) {
        add(&self.moves, 1);
    }

    pub(crate) fn swept(&self, entries: usize) {
        add(&self.swept, entries as u64);
    }

    pub(crate) fn delayed(&self, time: std::time::Duration) {
        add(&self.delayed_us, u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn stopped(&self) {
        add(&self.stops, 1);
    }

    pub(crate) fn roll_failed(&self) {
        add(&self.roll_failures, 1);
    }

    pub(crate) fn garbage_failed(&self) {
        add(&self.garbage_failures, 1);
    }
}

/// A picture of the store in numbers. Bytes unless said otherwise; counts since it was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The newest stamp that readers see.
    pub visible: Versionstamp,
    /// Every commit up to this stamp is in tables.
    pub flushed: Versionstamp,
    /// Commits.
    pub commits: u64,
    /// Memtables written into tables.
    pub flushes: u64,
    /// What these tables hold.
    pub flushed_bytes: u64,
    /// Merges of tables.
    pub compactions: u64,
    /// Tables that changed their level without being rewritten.
    pub moves: u64,
    /// What merges have read.
    pub compacted_bytes_read: u64,
    /// What merges have written.
    pub compacted_bytes_written: u64,
    /// Expired entries that the sweeper has deleted.
    pub swept: u64,
    /// Microseconds for which commits were slowed down.
    pub delayed_us: u64,
    /// How often a commit had to wait for a flush or a compaction.
    pub stops: u64,
    /// Why commits are slow at this moment, if they are.
    pub stall: Option<&'static str>,
    /// How often a file could not be deleted. It is tried again, at the latest when the store is
    /// opened.
    pub garbage_failures: u64,
    /// How often a long manifest could not be replaced by a fresh one. It stays in use.
    pub roll_failures: u64,
    /// Memory of the live and the frozen memtables.
    pub memtable_bytes: u64,
    /// Frozen memtables that wait to be flushed.
    pub frozen_memtables: u64,
    /// Views that readers still keep alive.
    pub retired_views: u64,
    /// Tables that are no longer part of the store but are still read.
    pub obsolete_tables: u64,
    /// Why the last flush failed, if it did.
    pub flush_failure: Option<String>,
    /// Why the last compaction failed, if it did.
    pub compaction_failure: Option<String>,
    /// Why the last round of sweeping and of preparing the log failed, if it did.
    pub maintenance_failure: Option<String>,
    /// Why no commit is accepted any more, if that is so.
    pub poisoned: Option<String>,
    /// The size of the manifest.
    pub manifest_bytes: u64,
    /// The levels, from level 0 down.
    pub levels: Vec<LevelStats>,
    /// The log.
    pub log: LogStats,
}

/// One level in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelStats {
    /// Its tables.
    pub tables: u64,
    /// Their size.
    pub bytes: u64,
    /// Versions of keys, tombstones included.
    pub entries: u64,
    /// Tombstones of single keys.
    pub tombstones: u64,
    /// Tombstones of ranges.
    pub range_tombstones: u64,
}

impl Core {
    pub(crate) fn stats(&self) -> Result<Stats, Error> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        let state = self.state.lock();
        let memtables = std::iter::once(&state.view.live).chain(&state.view.frozen);
        let failure = |failure: &Option<Error>| failure.as_ref().map(ToString::to_string);
        Ok(Stats {
            visible: self.visible(),
            flushed: state.catalog.flushed,
            commits: get(&c.commits),
            flushes: get(&c.flushes),
            flushed_bytes: get(&c.flushed_bytes),
            compactions: get(&c.compactions),
            moves: get(&c.moves),
            compacted_bytes_read: get(&c.compacted_bytes_read),
            compacted_bytes_written: get(&c.compacted_bytes_written),
            swept: get(&c.swept),
            delayed_us: get(&c.delayed_us),
            stops: get(&c.stops),
            stall: self.pace().reason(),
            garbage_failures: get(&c.garbage_failures),
            roll_failures: get(&c.roll_failures),
            memtable_bytes: memtables.map(|memtable| memtable.memory_bytes() as u64).sum(),
            frozen_memtables: state.view.frozen.len() as u64,
            retired_views: self.published.retired() as u64,
            obsolete_tables: state.obsolete.len() as u64,
            flush_failure: failure(&state.flush_failure),
            compaction_failure: failure(&state.compaction_failure),
            maintenance_failure: failure(&state.maintenance_failure),
            poisoned: state.poisoned.clone(),
            manifest_bytes: state.manifest.as_ref().map_or(0, |manifest| manifest.bytes()),
            levels: state.catalog.levels.iter().map(|level| level_stats(level)).collect(),
            log: self.log.as_ref().map(icecore_wal::Log::stats).unwrap_or_default(),
        })
    }
}

fn level_stats(tables: &[TableSummary]) -> LevelStats {
    let sum = |field: fn(&TableSummary) -> u64| tables.iter().map(field).sum();
    LevelStats {
        tables: tables.len() as u64,
        bytes: sum(|table| table.bytes),
        entries: sum(|table| table.entries),
        tombstones: sum(|table| table.tombstones),
        range_tombstones: sum(|table| table.range_tombstones),
    }
}
