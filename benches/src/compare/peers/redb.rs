//! redb: one file, copy-on-write B-trees, one writer.
//!
//! Setup after <https://docs.rs/redb/latest/redb/struct.Builder.html>: a cache of 512 MiB. Commits
//! with `Durability::Immediate` when durable; a buffered commit has `Durability::None`, the only
//! other choice: it survives nothing until a durable one follows. Values are read in place.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::compare::Result;
use crate::compare::key::Key;
use crate::compare::store::{
    Change, Durability, Peer, Setup, Stamps, Store, Visit, holds, split, stamped,
};

/// redb.
pub(super) const PEER: Peer = Peer {
    name: "redb",
    open,
    buffered_survives: "nothing: commits go back to the last durable one",
    setup: "512 MiB cache",
};

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("users");

struct Redb {
    database: Database,
    durability: redb::Durability,
    stamps: Stamps,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let database = Database::builder()
        .set_cache_size(setup.cache_bytes)
        .create(directory.join("store.redb"))?;
    let creation = database.begin_write()?;
    creation.open_table(TABLE)?;
    creation.commit()?;
    let durability = match setup.durability {
        Durability::Durable => redb::Durability::Immediate,
        Durability::Buffered => redb::Durability::None,
    };
    Ok(Box::new(Redb { database, durability, stamps: Stamps::since_now() }))
}

fn walk<'a>(
    entries: impl Iterator<
        Item = std::result::Result<
            (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>),
            redb::StorageError,
        >,
    >,
    limit: usize,
    visit: Visit<'_>,
) -> Result<usize> {
    let mut count = 0;
    for entry in entries.take(limit) {
        let (key, stored) = entry?;
        let (stamp, value) = split(stored.value())?;
        visit(key.value(), stamp, value)?;
        count += 1;
    }
    Ok(count)
}

impl Store for Redb {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mut write = self.database.begin_write()?;
        write.set_durability(self.durability)?;
        {
            let mut table = write.open_table(TABLE)?;
            for (key, expected) in change.checks {
                let stored = table.get(key.encoded())?;
                if !holds(*expected, stored.as_ref().map(|stored| stored.value()))? {
                    return Ok(false);
                }
            }
            let (stamp, mut stored) = (self.stamps.next(), Vec::new());
            for (key, value) in change.sets {
                stamped(&mut stored, stamp, value);
                table.insert(key.encoded(), stored.as_slice())?;
            }
            for key in change.deletes {
                table.remove(key.encoded())?;
            }
        }
        write.commit()?;
        Ok(true)
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        Ok(self.get_many(std::slice::from_ref(key), visit)? == 1)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut count = 0;
        for key in keys {
            if let Some(stored) = table.get(key.encoded())? {
                let (stamp, value) = split(stored.value())?;
                visit(key.encoded(), stamp, value)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        walk(table.range(from.encoded()..)?, limit, visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        walk(table.range(..to.encoded())?.rev(), limit, visit)
    }

    fn sync(&self) -> Result<()> {
        // A durable commit takes all before it along.
        Ok(self.database.begin_write()?.commit()?)
    }

    fn settle(&self) -> Result<()> {
        self.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
