//! The sources that a scan or a compaction merges: memtables, tables, and whole runs.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use icecore_memtable::Memtable;
use icecore_model::{Entry, RangeSet, Versionstamp};
use icecore_sstable as sstable;

use crate::error::Error;
use crate::levels::{TableAccess, TableHandle};
use crate::merge::{self, VersionSource};
use crate::view::View;

/// One of the sources of a view, as a cursor at a stamp.
#[derive(Debug)]
pub(crate) enum Source {
    Memtable(icecore_memtable::Cursor<Arc<Memtable>>),
    Table(sstable::Cursor),
    Run(RunCursor),
}

/// The sources of `view` that may hold versions above `since` of keys in `[start, end)`, newest
/// first, and the range tombstones that may concern these versions.
pub(crate) fn sources(
    view: &View,
    at: Versionstamp,
    since: Versionstamp,
    (start, end): (&[u8], &[u8]),
    access: &Arc<TableAccess>,
) -> Result<(Vec<Source>, Vec<Arc<RangeSet>>), Error> {
    let mut sources = Vec::new();
    let mut ranges = Vec::new();
    let is_newer = |memtable: &&Arc<Memtable>| memtable.last_stamp() > Some(since);
    for memtable in std::iter::once(&view.live).chain(&view.frozen).filter(is_newer) {
        sources.push(Source::Memtable(memtable.cursor_owned(at)));
        if memtable.has_ranges() {
            ranges.push(memtable.ranges());
        }
    }
    let concerned = |table: &&Arc<TableHandle>| {
        let summary = table.summary();
        summary.max_stamp > since && summary.overlaps(start, std::ops::Bound::Excluded(end))
    };
    for table in view.levels.zero().iter().filter(concerned) {
        sources.push(Source::Table(table.table(access)?.cursor(at)));
    }
    for run in view.levels.runs() {
        let tables: Vec<_> = run.iter().filter(concerned).cloned().collect();
        if !tables.is_empty() {
            sources.push(Source::Run(RunCursor::new(tables, at, Arc::clone(access))));
        }
    }
    for (_, table) in view.levels.tables() {
        if table.summary().range_tombstones > 0 && concerned(&table) {
            ranges.push(Arc::new(table.table(access)?.ranges().clone()));
        }
    }
    Ok((sources, ranges))
}

impl merge::Source for Source {
    type Error = Error;

    fn seek_first(&mut self) -> Result<(), Error> {
        match self {
            Source::Memtable(cursor) => cursor.seek_first(),
            Source::Table(cursor) => cursor.seek_first()?,
            Source::Run(cursor) => cursor.seek_first()?,
        }
        Ok(())
    }

    fn seek_last(&mut self) -> Result<(), Error> {
        match self {
            Source::Memtable(cursor) => cursor.seek_last(),
            Source::Table(cursor) => cursor.seek_last()?,
            Source::Run(cursor) => cursor.seek_last()?,
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        match self {
            Source::Memtable(cursor) => cursor.seek(key),
            Source::Table(cursor) => cursor.seek(key)?,
            Source::Run(cursor) => cursor.seek(key)?,
        }
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), Error> {
        match self {
            Source::Memtable(cursor) => cursor.seek_before(key),
            Source::Table(cursor) => cursor.seek_before(key)?,
            Source::Run(cursor) => cursor.seek_before(key)?,
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), Error> {
        match self {
            Source::Memtable(cursor) => cursor.next(),
            Source::Table(cursor) => cursor.next()?,
            Source::Run(cursor) => cursor.next()?,
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<(), Error> {
        match self {
            Source::Memtable(cursor) => cursor.prev(),
            Source::Table(cursor) => cursor.prev()?,
            Source::Run(cursor) => cursor.prev()?,
        }
        Ok(())
    }

    fn run<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        match self {
            Source::Memtable(cursor) => Ok(cursor.run(see)),
            Source::Table(cursor) => Ok(cursor.run(see)?),
            Source::Run(cursor) => cursor.run(see),
        }
    }

    fn run_back<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        match self {
            Source::Memtable(cursor) => Ok(cursor.run_back(see)),
            Source::Table(cursor) => Ok(cursor.run_back(see)?),
            Source::Run(cursor) => cursor.run_back(see),
        }
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Source::Memtable(cursor) => cursor.entry(),
            Source::Table(cursor) => cursor.entry(),
            Source::Run(cursor) => cursor.entry(),
        }
    }

    fn value_bytes(&self) -> Result<Bytes, Error> {
        match self {
            Source::Memtable(cursor) => Ok(cursor.value_bytes().unwrap_or_default()),
            Source::Table(cursor) => Ok(cursor.value_bytes()?),
            Source::Run(cursor) => cursor.value_bytes(),
        }
    }

    #[inline]
    fn check(&self) -> Result<(), Error> {
        match self {
            Source::Memtable(_) | Source::Run(RunCursor { open: None, .. }) => Ok(()),
            Source::Table(cursor) | Source::Run(RunCursor { open: Some((_, cursor)), .. }) => {
                Ok(cursor.check()?)
            }
        }
    }
}

/// A cursor over the tables of one run, which is open in one of them at a time.
#[derive(Debug)]
pub(crate) struct RunCursor {
    tables: Vec<Arc<TableHandle>>,
    at: Versionstamp,
    access: Arc<TableAccess>,
    /// The table that the cursor stands in, with its place.
    open: Option<(usize, sstable::Cursor)>,
}

impl RunCursor {
    fn new(tables: Vec<Arc<TableHandle>>, at: Versionstamp, access: Arc<TableAccess>) -> RunCursor {
        RunCursor { tables, at, access, open: None }
    }

    /// Opens the table at `place` and moves its cursor with `seek`; no such table is the end.
    fn enter(
        &mut self,
        place: Option<usize>,
        seek: impl FnOnce(&mut sstable::Cursor) -> Result<(), sstable::Error>,
    ) -> Result<(), Error> {
        let Some((place, table)) = place.and_then(|p| Some((p, self.tables.get(p)?))) else {
            self.open = None;
            return Ok(());
        };
        let mut cursor = match self.open.take() {
            Some((same, cursor)) if same == place => cursor,
            _ => table.table(&self.access)?.cursor(self.at),
        };
        seek(&mut cursor)?;
        self.open = Some((place, cursor));
        Ok(())
    }

    fn stands(&self) -> bool {
        self.open.as_ref().is_some_and(|(_, cursor)| cursor.entry().is_some())
    }

    /// Goes on to the tables behind, as long as the cursor stands nowhere.
    fn settle_forward(&mut self) -> Result<(), Error> {
        while let Some((place, _)) = &self.open
            && !self.stands()
        {
            self.enter(Some(place + 1), sstable::Cursor::seek_first)?;
        }
        Ok(())
    }

    /// Goes back to the tables before, as long as the cursor stands nowhere.
    fn settle_back(&mut self) -> Result<(), Error> {
        while let Some((place, _)) = &self.open
            && !self.stands()
        {
            self.enter(place.checked_sub(1), sstable::Cursor::seek_last)?;
        }
        Ok(())
    }

    fn seek_first(&mut self) -> Result<(), Error> {
        self.enter(Some(0), sstable::Cursor::seek_first)?;
        self.settle_forward()
    }

    fn seek_last(&mut self) -> Result<(), Error> {
        self.enter(self.tables.len().checked_sub(1), sstable::Cursor::seek_last)?;
        self.settle_back()
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        let place = self.tables.partition_point(|table| table.ends_before(key));
        self.enter(Some(place), |cursor| cursor.seek(key))?;
        self.settle_forward()
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), Error> {
        let behind = self.tables.partition_point(|table| table.summary().bounds().0 < key);
        self.enter(behind.checked_sub(1), |cursor| cursor.seek_before(key))?;
        self.settle_back()
    }

    fn next(&mut self) -> Result<(), Error> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.next()?;
        }
        self.settle_forward()
    }

    fn prev(&mut self) -> Result<(), Error> {
        if let Some((_, cursor)) = &mut self.open {
            cursor.prev()?;
        }
        self.settle_back()
    }

    fn run<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        while let Some((_, cursor)) = &mut self.open {
            let broken = cursor.run(&mut *see)?;
            if broken.is_some() {
                return Ok(broken);
            }
            self.settle_forward()?;
        }
        Ok(None)
    }

    fn run_back<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        while let Some((_, cursor)) = &mut self.open {
            let broken = cursor.run_back(&mut *see)?;
            if broken.is_some() {
                return Ok(broken);
            }
            self.settle_back()?;
        }
        Ok(None)
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        self.open.as_ref().and_then(|(_, cursor)| cursor.entry())
    }

    fn value_bytes(&self) -> Result<Bytes, Error> {
        match &self.open {
            Some((_, cursor)) => Ok(cursor.value_bytes()?),
            None => Ok(Bytes::new()),
        }
    }
}

/// All versions of one source, for flush and compaction.
#[derive(Debug)]
pub(crate) enum Versions {
    Memtable(icecore_memtable::Versions<Arc<Memtable>>),
    Table(sstable::Versions),
    /// Tables of one run, one after the other: the rest, last first, and the open one.
    Run {
        rest: Vec<Arc<sstable::Table>>,
        open: Option<sstable::Versions>,
    },
}

impl Versions {
    /// All versions in `tables`, which are in key order and do not overlap.
    pub(crate) fn run(mut tables: Vec<Arc<sstable::Table>>) -> Versions {
        tables.reverse();
        Versions::Run { rest: tables, open: None }
    }
}

impl VersionSource for Versions {
    type Error = Error;

    fn first(&mut self) -> Result<(), Error> {
        match self {
            Versions::Memtable(versions) => drop(versions.next()),
            Versions::Table(versions) => versions.seek_first()?,
            Versions::Run { rest, open } => return next_in_run(rest, open),
        }
        Ok(())
    }

    fn next(&mut self) -> Result<(), Error> {
        match self {
            Versions::Memtable(versions) => drop(versions.next()),
            Versions::Table(versions) => versions.next()?,
            Versions::Run { rest, open } => {
                if let Some(versions) = open {
                    versions.next()?;
                }
                return next_in_run(rest, open);
            }
        }
        Ok(())
    }

    #[inline]
    fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Versions::Memtable(versions) => versions.entry(),
            Versions::Table(versions) => versions.entry(),
            Versions::Run { open, .. } => open.as_ref().and_then(sstable::Versions::entry),
        }
    }

    #[inline]
    fn check(&self) -> Result<(), Error> {
        match self {
            Versions::Memtable(_) | Versions::Run { open: None, .. } => Ok(()),
            Versions::Table(versions) | Versions::Run { open: Some(versions), .. } => {
                Ok(versions.check()?)
            }
        }
    }
}

/// Opens the next table, as long as the open one is at its end.
fn next_in_run(
    rest: &mut Vec<Arc<sstable::Table>>,
    open: &mut Option<sstable::Versions>,
) -> Result<(), Error> {
    while open.as_ref().is_none_or(|versions| versions.entry().is_none()) {
        let Some(table) = rest.pop() else {
            *open = None;
            return Ok(());
        };
        let mut versions = table.versions();
        versions.seek_first()?;
        *open = Some(versions);
    }
    Ok(())
}
