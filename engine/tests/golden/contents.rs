//! What a store answers, as a value that can be compared.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use icecore_disk::Disk;
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_engine::{ChangedItem, Engine, Environment, Error, Item, LogOptions, Options, Workers};
use icecore_model::hash::hash64;
use icecore_model::{Timestamp, Versionstamp};

/// Where the clock stands when a golden store is read: some of its entries have expired.
pub(crate) const READ_AT_MS: u64 = 2_000_000_000_000;

/// Before every key, and after every key.
pub(crate) const ALL_KEYS: (&[u8], &[u8]) = (&[0], &[0xff]);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) stamp: Versionstamp,
    pub(crate) value: Vec<u8>,
    pub(crate) expires_at: Option<Timestamp>,
}

/// All entries of a store, in key order, of every keyspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) rows: Vec<Row>,
}

impl Row {
    pub(crate) fn of(item: Item) -> Row {
        let (stamp, value, expires_at) = (item.stamp, item.value.to_vec(), item.expires_at);
        Row { key: item.into_key(), stamp, value, expires_at }
    }

    /// The entry that a change leaves, unless it leaves none.
    pub(crate) fn left_by(changed: ChangedItem) -> Option<Row> {
        let (value, expires_at) = changed.state?;
        let value = value.to_vec();
        Some(Row { key: changed.key, stamp: changed.stamp, value, expires_at })
    }
}

impl Contents {
    /// What a walk over everything gives.
    pub(crate) fn of(engine: &Engine) -> Result<Contents, Error> {
        let (start, end) = ALL_KEYS;
        let rows = engine.scan(start, end)?.map(|item| item.map(Row::of));
        Ok(Contents { rows: rows.collect::<Result<_, _>>()? })
    }

    /// What a walk over everything from its end gives, in key order.
    pub(crate) fn backwards(engine: &Engine) -> Result<Contents, Error> {
        let (start, end) = ALL_KEYS;
        let rows = engine.scan(start, end)?.rev().map(|item| item.map(Row::of));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.reverse();
        Ok(Contents { rows })
    }

    /// What becomes of nothing when all that has ever changed is carried out.
    pub(crate) fn of_changes(engine: &Engine) -> Result<Contents, Error> {
        let (start, end) = ALL_KEYS;
        let changes = engine.snapshot()?.changes(start, end, Versionstamp::ZERO)?;
        let changes = changes.expect("changes since nothing can always be told");
        let mut rows = BTreeMap::new();
        for changed in changes {
            if let Some(row) = Row::left_by(changed?) {
                rows.insert(row.key.clone(), row);
            }
        }
        Ok(Contents { rows: rows.into_values().collect() })
    }

    /// A hash of all of it.
    pub(crate) fn digest(&self) -> u64 {
        let mut bytes = Vec::new();
        let mut put = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        for row in &self.rows {
            put(&row.key);
            put(&row.stamp.get().to_le_bytes());
            put(&row.value);
            put(&row.expires_at.map_or(0, Timestamp::ms).to_le_bytes());
        }
        hash64(&bytes)
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:016x}", self.rows.len(), self.digest())
    }
}

/// Opens the store on `disk` with the settings for reading golden stores, as `change` changes them.
pub(crate) fn open(
    disk: Arc<dyn Disk>,
    change: impl FnOnce(&mut Options),
) -> Result<Engine, Error> {
    let mut options = Options {
        workers: Workers::Manual,
        memtable_bytes: 16 << 10,
        cache_bytes: 64 << 10,
        reserve_bytes: 0,
        log: LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() },
        ..Options::default()
    };
    change(&mut options);
    let clock = Arc::new(ManualClock::at(READ_AT_MS));
    let random = Arc::new(SeededRandom::new(1));
    Engine::open(Environment { disk, clock, random }, options)
}
