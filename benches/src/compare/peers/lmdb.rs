//! LMDB, through heed: a copy-on-write B-tree in a memory-mapped file, one writer.
//!
//! Setup after <http://www.lmdb.tech/doc/group__mdb.html>: a map far larger than the data; a buffered
//! commit has `MDB_NOSYNC`, after which the operating system writes what it likes, in its own order:
//! it survives the end of the process, and a power cut may take more than the last commits. Without
//! `MDB_WRITEMAP`, which gives up the protection of the file from stray pointers. `MDB_NORDAHEAD`
//! if the data is larger than memory, as advised there.

#![expect(unsafe_code, reason = "a mapped file is safe only if nobody else changes it")]

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};

use crate::compare::key::Key;
use crate::compare::store::{
    CACHE_BYTES, Change, Durability, Peer, Setup, Stamps, Store, Visit, holds, split, stamped,
};
use crate::compare::{Result, process};

/// LMDB.
pub(super) const PEER: Peer = Peer {
    name: "lmdb",
    open,
    buffered_survives: "the end of the process",
    setup: "64 GiB map, no MDB_WRITEMAP",
};

/// Address space, not memory.
const MAP_BYTES: usize = 64 << 30;

struct Lmdb {
    env: Env,
    table: Database<'static, Bytes, Bytes>,
    stamps: Stamps,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let directory = directory.join("store");
    process::create_directory(&directory)?;
    let mut flags = match setup.durability {
        Durability::Durable => EnvFlags::empty(),
        Durability::Buffered => EnvFlags::NO_SYNC,
    };
    flags.set(EnvFlags::NO_READ_AHEAD, setup.cache_bytes < CACHE_BYTES);
    let mut options = EnvOpenOptions::new();
    options.map_size(MAP_BYTES);
    // SAFETY: `NO_SYNC` gives up durability, which is what a buffered row asks for, and read-ahead
    // is a hint: neither concerns memory.
    unsafe { options.flags(flags) };
    // SAFETY: the directory was made for this run; nobody else opens or changes its files.
    let env = unsafe { options.open(&directory)? };
    let creation = env.write_txn()?;
    let table = env
        .create_databases_and_commit(creation, |opener, write| {
            opener.create_database(write, None).map(CommitOrAbort::<_, ()>::Commit)
        })?
        .unwrap_commit();
    Ok(Box::new(Lmdb { env, table, stamps: Stamps::since_now() }))
}

fn walk<'a>(
    entries: impl Iterator<Item = heed::Result<(&'a [u8], &'a [u8])>>,
    limit: usize,
    visit: Visit<'_>,
) -> Result<usize> {
    let mut count = 0;
    for entry in entries.take(limit) {
        let (key, stored) = entry?;
        let (stamp, value) = split(stored)?;
        visit(key, stamp, value)?;
        count += 1;
    }
    Ok(count)
}

impl Store for Lmdb {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mut write = self.env.write_txn()?;
        for (key, expected) in change.checks {
            if !holds(*expected, self.table.get(&write, key.encoded())?)? {
                return Ok(false);
            }
        }
        let (stamp, mut stored) = (self.stamps.next(), Vec::new());
        for (key, value) in change.sets {
            stamped(&mut stored, stamp, value);
            self.table.put(&mut write, key.encoded(), &stored)?;
        }
        for key in change.deletes {
            self.table.delete(&mut write, key.encoded())?;
        }
        write.commit()?;
        Ok(true)
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        Ok(self.get_many(std::slice::from_ref(key), visit)? == 1)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let read = self.env.read_txn()?;
        let mut count = 0;
        for key in keys {
            if let Some(stored) = self.table.get(&read, key.encoded())? {
                let (stamp, value) = split(stored)?;
                visit(key.encoded(), stamp, value)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let read = self.env.read_txn()?;
        walk(
            self.table.range(&read, &(Bound::Included(from.encoded()), Bound::Unbounded))?,
            limit,
            visit,
        )
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let read = self.env.read_txn()?;
        walk(
            self.table.rev_range(&read, &(Bound::Unbounded, Bound::Excluded(to.encoded())))?,
            limit,
            visit,
        )
    }

    fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn settle(&self) -> Result<()> {
        self.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
