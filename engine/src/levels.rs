//! The tables of the store, level by level, as one immutable value.
//!
//! Level 0 holds flushed memtables, newest first; they may overlap. Each level below is one *run*:
//! tables in key order that do not overlap. For any key, everything in a level is newer than
//! everything in the levels below it.
//!
//! A table whose mapping turned out to be unreadable somewhere is opened a second time, to be read
//! without a mapping: then an error is about what the medium refuses, and nothing else.

use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use icecore_disk::Disk;
use icecore_sstable::{ReadMode, Table, TableEnv, TableSummary};

use crate::error::Error;
use crate::manifest::Past;
use crate::manifest::catalog::{Catalog, LEVELS};

/// What is needed to open a table.
#[derive(Debug)]
pub(crate) struct TableAccess {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) env: TableEnv,
}

/// One table of the store. Its file is opened when it is first read.
#[derive(Debug)]
pub(crate) struct TableHandle {
    summary: TableSummary,
    opened: OnceLock<Arc<Table>>,
    /// In use since a part of the mapping of `opened` could not be read.
    unmapped: OnceLock<Arc<Table>>,
}

impl TableHandle {
    pub(crate) fn new(summary: TableSummary) -> Arc<TableHandle> {
        Arc::new(TableHandle { summary, opened: OnceLock::new(), unmapped: OnceLock::new() })
    }

    pub(crate) fn summary(&self) -> &TableSummary {
        &self.summary
    }

    /// The open table. When two readers come first at once, both open it and one of them wins.
    pub(crate) fn table(&self, access: &TableAccess) -> Result<&Arc<Table>, Error> {
        match self.opened.get() {
            Some(table) if table.is_whole() => Ok(table),
            Some(_) => self.unmapped(access),
            None => self.open(&self.opened, &access.disk, &access.env),
        }
    }

    /// The table, if it was opened and is whole.
    #[inline]
    pub(crate) fn opened(&self) -> Option<&Table> {
        self.opened.get().map(|table| &**table).filter(|table| table.is_whole())
    }

    #[cold]
    fn unmapped(&self, access: &TableAccess) -> Result<&Arc<Table>, Error> {
        if let Some(table) = self.unmapped.get() {
            return Ok(table);
        }
        let env = TableEnv { read_mode: ReadMode::Read, ..access.env.clone() };
        self.open(&self.unmapped, &access.disk, &env)
    }

    fn open<'t>(
        &self,
        place: &'t OnceLock<Arc<Table>>,
        disk: &Arc<dyn Disk>,
        env: &TableEnv,
    ) -> Result<&'t Arc<Table>, Error> {
        let table = Arc::new(Table::open(&**disk, &self.summary, env)?);
        Ok(place.get_or_init(|| table))
    }

    /// Whether `key` lies before everything in the table.
    pub(crate) fn starts_after(&self, key: &[u8]) -> bool {
        key < self.summary.bounds().0
    }

    /// Whether `key` lies behind everything in the table.
    pub(crate) fn ends_before(&self, key: &[u8]) -> bool {
        match self.summary.bounds().1 {
            Bound::Included(last) => last < key,
            Bound::Excluded(end) => end <= key,
            Bound::Unbounded => false,
        }
    }

    /// Whether the table may hold something about `key`.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        !self.starts_after(key) && !self.ends_before(key)
    }
}

/// All tables of the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    levels: [Vec<Arc<TableHandle>>; LEVELS],
    bytes: [u64; LEVELS],
    /// What these tables no longer know.
    past: Past,
}

impl Levels {
    /// The levels that `catalog` lists, with the handles of `previous` where a table stays.
    pub(crate) fn from_catalog(catalog: &Catalog, previous: &Levels) -> Levels {
        let known: std::collections::BTreeMap<u64, &Arc<TableHandle>> =
            previous.tables().map(|(_, t)| (t.summary.number, t)).collect();
        let mut levels = Levels { past: catalog.past.clone(), ..Levels::default() };
        for (level, summary) in catalog.tables() {
            let handle = known
                .get(&summary.number)
                .map_or_else(|| TableHandle::new(summary.clone()), |known| Arc::clone(known));
            levels.levels[level].push(handle);
            levels.bytes[level] += summary.bytes;
        }
        levels
    }

    /// The flushed memtables, newest first.
    pub(crate) fn zero(&self) -> &[Arc<TableHandle>] {
        &self.levels[0]
    }

    /// The runs below level 0, newest first.
    pub(crate) fn runs(&self) -> &[Vec<Arc<TableHandle>>] {
        &self.levels[1..]
    }

    /// The size of each level.
    pub(crate) fn bytes(&self) -> &[u64; LEVELS] {
        &self.bytes
    }

    /// What these tables no longer know.
    pub(crate) fn past(&self) -> &Past {
        &self.past
    }

    /// The tables of one level.
    pub(crate) fn level(&self, level: usize) -> &[Arc<TableHandle>] {
        &self.levels[level]
    }

    /// All tables with their level.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (usize, &Arc<TableHandle>)> {
        self.levels.iter().enumerate().flat_map(|(level, ts)| ts.iter().map(move |t| (level, t)))
    }
}

/// The table of a run that may hold `key`.
pub(crate) fn find_in_run<'r>(
    run: &'r [Arc<TableHandle>],
    key: &[u8],
) -> Option<&'r Arc<TableHandle>> {
    let place = run.partition_point(|table| table.ends_before(key));
    run.get(place).filter(|table| !table.starts_after(key))
}
