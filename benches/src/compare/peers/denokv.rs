//! denokv_sqlite: what Deno's users have today. It knows versionstamps and checks itself.
//!
//! Setup after <https://docs.rs/denokv_sqlite/latest/denokv_sqlite/>, with the connections that it is
//! given set up as <https://www.sqlite.org/wal.html> advises: `synchronous` FULL when durable, NORMAL
//! when buffered. One thread writes and two read, each behind a channel. Lists are read in batches of
//! a thousand entries, as Deno does, so that a long list is not of one moment.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use denokv_proto::{
    AtomicWrite, AtomicWriteOutcome, Check, Consistency, KvEntry, KvValue, Mutation, MutationKind,
    ReadRange, SnapshotReadOptions,
};
use denokv_sqlite::{Sqlite, SqliteConfig, SqliteNotifier};
use futures_lite::future::block_on;
use rand::RngCore;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rusqlite::Connection;

use crate::compare::Result;
use crate::compare::key::Key;
use crate::compare::store::{Change, Durability, Peer, Setup, Store, Visit};

/// denokv_sqlite.
pub(super) const PEER: Peer = Peer {
    name: "denokv",
    open,
    buffered_survives: "the end of the process",
    setup: "one writing and two reading threads, write-ahead log",
};

/// The first of them writes.
const WORKERS: usize = 3;

/// Entries of one read of a list.
const BATCH: u32 = 1000;

struct Denokv {
    store: Sqlite,
    path: PathBuf,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let path = directory.join("store.sqlite");
    let connect = || -> Result<Connection> {
        let connection = Connection::open(&path)?;
        let synchronous = match setup.durability {
            Durability::Durable => "full",
            Durability::Buffered => "normal",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        let kib = (setup.cache_bytes / WORKERS) >> 10;
        connection.pragma_update(None, "cache_size", format!("-{kib}"))?;
        Ok(connection)
    };
    let connections: Vec<Connection> = (0..WORKERS).map(|_| connect()).collect::<Result<_>>()?;
    let mut connections = connections.into_iter();
    let next = || {
        let random: Box<dyn RngCore + Send> = Box::new(StdRng::seed_from_u64(1));
        Ok((connections.next().expect("there is one for each worker"), random))
    };
    let config = SqliteConfig { num_workers: WORKERS, batch_timeout: None };
    let store = Sqlite::new(next, SqliteNotifier::default(), config)?;
    Ok(Box::new(Denokv { store, path }))
}

/// The first key after all of this suite.
const END: &[u8] = &[0xff];

fn range(start: &[u8], end: &[u8], limit: u32, reverse: bool) -> Result<ReadRange> {
    let limit = NonZeroU32::new(limit).ok_or("a list of nothing")?;
    Ok(ReadRange { start: start.to_vec(), end: end.to_vec(), limit, reverse })
}

/// Between a key and this lies nothing.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn look(entry: &KvEntry, visit: Visit<'_>) -> Result<()> {
    match &entry.value {
        KvValue::Bytes(value) => visit(&entry.key, entry.versionstamp, value),
        other => Err(format!("{other:?} is not what was stored").into()),
    }
}

impl Denokv {
    fn read(&self, ranges: Vec<ReadRange>) -> Result<Vec<KvEntry>> {
        let options = SnapshotReadOptions { consistency: Consistency::Strong };
        let outputs = block_on(self.store.snapshot_read(ranges, options))?;
        Ok(outputs.into_iter().flat_map(|output| output.entries).collect())
    }

    /// Batch after batch, until one is not full.
    fn walk(
        &self,
        limit: usize,
        mut next: impl FnMut(u32, Option<&[u8]>) -> Result<ReadRange>,
        visit: Visit<'_>,
    ) -> Result<usize> {
        let (mut count, mut last) = (0, None::<Vec<u8>>);
        while count < limit {
            let batch = u32::try_from(limit - count).unwrap_or(BATCH).min(BATCH);
            let entries = self.read(vec![next(batch, last.as_deref())?])?;
            for entry in &entries {
                look(entry, &mut *visit)?;
            }
            count += entries.len();
            if entries.len() < batch as usize {
                break;
            }
            last = entries.into_iter().next_back().map(|entry| entry.key);
        }
        Ok(count)
    }

    fn checkpoint(&self, mode: &str) -> Result<()> {
        let connection = Connection::open(&self.path)?;
        let statement = format!("PRAGMA wal_checkpoint({mode})");
        let busy: i64 = connection.query_row(&statement, (), |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err("the checkpoint was blocked".into()) }
    }
}

impl Store for Denokv {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let check = |(key, versionstamp): &(Key, Option<[u8; 10]>)| Check {
            key: key.encoded().to_vec(),
            versionstamp: *versionstamp,
        };
        let mutation =
            |key: &Key, kind| Mutation { key: key.encoded().to_vec(), kind, expire_at: None };
        let sets = change
            .sets
            .iter()
            .map(|(key, value)| mutation(key, MutationKind::Set(KvValue::Bytes(value.clone()))));
        let deletes = change.deletes.iter().map(|key| mutation(key, MutationKind::Delete));
        let write = AtomicWrite {
            checks: change.checks.iter().map(check).collect(),
            mutations: sets.chain(deletes).collect(),
            enqueues: Vec::new(),
        };
        let outcome = block_on(self.store.atomic_write(write))?;
        Ok(matches!(outcome, AtomicWriteOutcome::Committed(_)))
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        Ok(self.get_many(std::slice::from_ref(key), visit)? == 1)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let one = |key: &Key| range(key.encoded(), &after(key.encoded()), 1, false);
        let entries = self.read(keys.iter().map(one).collect::<Result<_>>()?)?;
        for entry in &entries {
            look(entry, &mut *visit)?;
        }
        Ok(entries.len())
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let next = |batch, last: Option<&[u8]>| {
            let start = last.map_or_else(|| from.encoded().to_vec(), after);
            range(&start, END, batch, false)
        };
        self.walk(limit, next, visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let next = |batch, last: Option<&[u8]>| {
            range(&[], last.unwrap_or_else(|| to.encoded()), batch, true)
        };
        self.walk(limit, next, visit)
    }

    fn sync(&self) -> Result<()> {
        self.checkpoint("FULL")
    }

    fn settle(&self) -> Result<()> {
        self.checkpoint("TRUNCATE")
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.store.close();
        Ok(())
    }
}
