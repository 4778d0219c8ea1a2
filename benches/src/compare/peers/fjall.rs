//! fjall: a log-structured tree with a journal.
//!
//! Setup after <https://docs.rs/fjall/latest/fjall/>: the optimistic transactional database, whose
//! writers run side by side; a cache of 512 MiB
//! (<https://docs.rs/fjall/latest/fjall/struct.DatabaseBuilder.html>: 20 to 25 % of memory); one
//! keyspace with default settings, LZ4 off as for the others. Durable commits persist with `SyncData`, which is
//! `fdatasync`, buffered ones with `Buffer`, which hands the bytes to the operating system.

use std::path::Path;

use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticTxKeyspace,
    PersistMode, Readable,
};

use crate::compare::key::Key;
use crate::compare::store::{
    Change, Durability, Peer, Setup, Stamps, Store, Visit, holds, split, stamped,
};
use crate::compare::{Result, process};

/// fjall.
pub(super) const PEER: Peer = Peer {
    name: "fjall",
    open,
    buffered_survives: "the end of the process",
    setup: "optimistic transactions, 512 MiB cache, no compression",
};

struct Fjall {
    database: OptimisticTxDatabase,
    keyspace: OptimisticTxKeyspace,
    persist: PersistMode,
    stamps: Stamps,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let database = OptimisticTxDatabase::builder(directory.join("store"))
        .cache_size(setup.cache_bytes as u64)
        .open()?;
    let none = || CompressionPolicy::all(CompressionType::None);
    let options = || KeyspaceCreateOptions::default().data_block_compression_policy(none());
    let keyspace = database.keyspace("users", options)?;
    let persist = match setup.durability {
        Durability::Durable => PersistMode::SyncData,
        Durability::Buffered => PersistMode::Buffer,
    };
    Ok(Box::new(Fjall { database, keyspace, persist, stamps: Stamps::since_now() }))
}

fn walk(
    entries: impl Iterator<Item = fjall::Guard>,
    limit: usize,
    visit: Visit<'_>,
) -> Result<usize> {
    let mut count = 0;
    for entry in entries.take(limit) {
        let (key, stored) = entry.into_inner()?;
        let (stamp, value) = split(&stored)?;
        visit(&key, stamp, value)?;
        count += 1;
    }
    Ok(count)
}

impl Store for Fjall {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mut write = self.database.write_tx()?.durability(Some(self.persist));
        for (key, expected) in change.checks {
            let stored = write.get(&self.keyspace, key.encoded())?;
            if !holds(*expected, stored.as_deref())? {
                return Ok(false);
            }
        }
        let (stamp, mut stored) = (self.stamps.next(), Vec::new());
        for (key, value) in change.sets {
            stamped(&mut stored, stamp, value);
            write.insert(&self.keyspace, key.encoded(), stored.as_slice());
        }
        for key in change.deletes {
            write.remove(&self.keyspace, key.encoded());
        }
        Ok(write.commit()?.is_ok())
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        let Some(stored) = self.keyspace.get(key.encoded())? else { return Ok(false) };
        let (stamp, value) = split(&stored)?;
        visit(key.encoded(), stamp, value)?;
        Ok(true)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let read = self.database.read_tx();
        let mut count = 0;
        for key in keys {
            if let Some(stored) = read.get(&self.keyspace, key.encoded())? {
                let (stamp, value) = split(&stored)?;
                visit(key.encoded(), stamp, value)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        walk(self.database.read_tx().range(&self.keyspace, from.encoded()..), limit, visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        walk(self.database.read_tx().range(&self.keyspace, ..to.encoded()).rev(), limit, visit)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    fn settle(&self) -> Result<()> {
        self.keyspace.inner().rotate_memtable_and_wait()?;
        let database = self.database.inner();
        process::quiet(|| {
            let idle = database.outstanding_flushes() == 0 && database.active_compactions() == 0;
            Ok((idle, database.compactions_completed()))
        })
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
