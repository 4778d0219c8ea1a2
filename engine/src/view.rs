//! What a reader reads from: the live memtable, the frozen ones, and the levels.
//!
//! A view never changes. For any key, the sources are ordered by age: everything in the live
//! memtable is newer than everything in the frozen ones, these are newest first, then comes level
//! 0, newest first, then one run per level. So a point read stops at the first source that knows
//! the key. A range tombstone in a source hides what that source and the older ones hold below its
//! stamp, so each source is asked for one before it is asked for the key.

use std::sync::Arc;

use bytes::Bytes;
use icecore_memtable::Memtable;
use icecore_model::hash::hash64;
use icecore_model::{Change, Timestamp, Versionstamp};
use icecore_sstable::WarmStep;

use crate::error::Error;
use crate::levels::{Levels, TableAccess, TableHandle, find_in_run};

/// An immutable picture of where everything is.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) live: Arc<Memtable>,
    /// Newest first.
    pub(crate) frozen: Vec<Arc<Memtable>>,
    pub(crate) levels: Arc<Levels>,
}

/// The newest version of a key at some stamp: a value, which may have expired.
#[derive(Debug)]
pub(crate) enum Found<'v> {
    Memtable(icecore_memtable::Hit<'v>),
    Table(icecore_sstable::Hit<'v>),
}

impl Found<'_> {
    pub(crate) fn stamp(&self) -> Versionstamp {
        match self {
            Found::Memtable(hit) => hit.stamp(),
            Found::Table(hit) => hit.stamp(),
        }
    }

    fn change(&self) -> Change<'_> {
        match self {
            Found::Memtable(hit) => hit.change(),
            Found::Table(hit) => hit.change(),
        }
    }

    /// The value in place; a tombstone is never found, so there is one.
    pub(crate) fn value(&self) -> &[u8] {
        match self.change() {
            Change::Put { value, .. } => value,
            Change::Delete => unreachable!("a tombstone is not handed out as found"),
        }
    }

    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        match self.change() {
            Change::Put { expires_at, .. } => expires_at,
            Change::Delete => None,
        }
    }

    /// A handle on the value that outlives the view.
    pub(crate) fn value_bytes(&self) -> Result<Bytes, Error> {
        match self {
            Found::Memtable(hit) => Ok(hit.value_bytes()),
            Found::Table(hit) => Ok(hit.value_bytes()?),
        }
    }

    /// Whether everything that was read in place could be read: asked after the use of it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Found::Memtable(_) => Ok(()),
            Found::Table(hit) => Ok(hit.check()?),
        }
    }
}

/// What one source says about a key.
enum Answer<'v> {
    Found(Found<'v>),
    Absent,
    Unknown,
}

impl View {
    /// The newest version of `key` at or below `at`; `None` when it is deleted or never was.
    pub(crate) fn get<'v>(
        &'v self,
        key: &[u8],
        at: Versionstamp,
        access: &TableAccess,
    ) -> Result<Option<Found<'v>>, Error> {
        for memtable in std::iter::once(&self.live).chain(&self.frozen) {
            match ask_memtable(memtable, key, at) {
                Answer::Found(found) => return Ok(Some(found)),
                Answer::Absent => return Ok(None),
                Answer::Unknown => {}
            }
        }
        let zero = self.levels.zero().iter().filter(|table| table.covers(key));
        let runs = self.levels.runs().iter().filter_map(|run| find_in_run(run, key));
        for table in zero.chain(runs) {
            match ask_table(table, key, at, access)? {
                Answer::Found(found) => return Ok(Some(found)),
                Answer::Absent => return Ok(None),
                Answer::Unknown => {}
            }
        }
        Ok(None)
    }
}

/// Reads ahead for point reads of these keys at once: at each place on the way, the misses of all
/// keys overlap, where one read after the other waits for each of its own.
pub(crate) fn warm<K: AsRef<[u8]>>(view: &View, keys: &[K]) {
    if keys.len() < WARM_MIN {
        return;
    }
    let mut tables = Vec::with_capacity(keys.len());
    for key in keys {
        let key = key.as_ref();
        let zero = view.levels.zero().iter().filter(|table| table.covers(key));
        let runs = view.levels.runs().iter().filter_map(|run| find_in_run(run, key));
        let hash = hash64(key);
        // What was never opened is opened by the read, which can tell if that fails.
        let opened = zero.chain(runs).filter_map(|table| table.opened());
        tables.extend(opened.map(|table| (hash, table)));
    }
    for step in WarmStep::ALL {
        tables.iter().for_each(|(hash, table)| table.warm(*hash, step));
    }
}

/// Fewer keys have nothing to overlap.
const WARM_MIN: usize = 2;

/// What more keys read ahead would push out of the caches what the first ones have read.
pub(crate) const WARM_MAX: usize = 64;

fn ask_memtable<'v>(memtable: &'v Memtable, key: &[u8], at: Versionstamp) -> Answer<'v> {
    let covering = if memtable.has_ranges() { memtable.covering(key, at) } else { None };
    match memtable.get(key, at) {
        Some(hit) if covering.is_none_or(|stamp| stamp <= hit.stamp()) => match hit.change() {
            Change::Put { .. } => Answer::Found(Found::Memtable(hit)),
            Change::Delete => Answer::Absent,
        },
        Some(_) => Answer::Absent,
        None if covering.is_some() => Answer::Absent,
        None => Answer::Unknown,
    }
}

fn ask_table<'v>(
    handle: &'v TableHandle,
    key: &[u8],
    at: Versionstamp,
    access: &TableAccess,
) -> Result<Answer<'v>, Error> {
    let table = handle.table(access)?;
    let covering = table.ranges().covering(key, at);
    Ok(match table.get(key, at)? {
        Some(hit) if covering.is_none_or(|stamp| stamp <= hit.stamp()) => match hit.change() {
            Change::Put { .. } => Answer::Found(Found::Table(hit)),
            Change::Delete => Answer::Absent,
        },
        Some(_) => Answer::Absent,
        None if covering.is_some() => Answer::Absent,
        None => Answer::Unknown,
    })
}
