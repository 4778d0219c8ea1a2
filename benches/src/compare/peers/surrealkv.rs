//! SurrealKV: a log-structured tree with an asynchronous commit pipeline.
//!
//! Setup after <https://docs.rs/surrealkv/latest/surrealkv/>: a block cache of 512 MiB, everything
//! else as `TreeBuilder` has it: a memtable of 100 MiB, no compression, no value log, no versioning.
//! Durable commits have `Durability::Immediate`. Commits are futures and need a runtime of tokio; the
//! caller waits on it. The flush of its memtables is not part of its interface, so that it settles
//! when its files have come to rest.

use std::path::{Path, PathBuf};

use surrealkv::{Error, LSMIterator, Mode, Transaction, Tree, TreeBuilder};
use tokio::runtime::{Builder, Runtime};

use crate::compare::key::Key;
use crate::compare::store::{
    Change, Durability, Peer, Setup, Stamps, Store, Visit, holds, split, stamped,
};
use crate::compare::{Result, process};

/// SurrealKV.
pub(super) const PEER: Peer = Peer {
    name: "surrealkv",
    open,
    buffered_survives: "the end of the process",
    setup: "512 MiB cache",
};

struct Surreal {
    runtime: Runtime,
    tree: Tree,
    durability: surrealkv::Durability,
    stamps: Stamps,
    path: PathBuf,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let path = directory.join("store");
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let builder = TreeBuilder::new()
        .with_path(path.clone())
        .with_block_cache_capacity(setup.cache_bytes as u64);
    let tree = runtime.block_on(builder.build_async())?;
    let durability = match setup.durability {
        Durability::Durable => surrealkv::Durability::Immediate,
        Durability::Buffered => surrealkv::Durability::Eventual,
    };
    Ok(Box::new(Surreal { runtime, tree, durability, stamps: Stamps::since_now(), path }))
}

impl Surreal {
    fn read(&self) -> Result<Transaction> {
        Ok(self.tree.begin_with_mode(Mode::ReadOnly)?)
    }
}

fn look(cursor: &impl LSMIterator, visit: Visit<'_>) -> Result<()> {
    let stored = cursor.value()?;
    let (stamp, value) = split(&stored)?;
    visit(cursor.key().user_key(), stamp, value)
}

impl Store for Surreal {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mode = if change.checks.is_empty() { Mode::WriteOnly } else { Mode::ReadWrite };
        let begun = self.tree.begin_with_mode(mode)?;
        let mut transaction = begun.with_durability(self.durability);
        for (key, expected) in change.checks {
            let stored = transaction.get_for_update(key.encoded())?;
            if !holds(*expected, stored.as_deref())? {
                return Ok(false);
            }
        }
        let (stamp, mut stored) = (self.stamps.next(), Vec::new());
        for (key, value) in change.sets {
            stamped(&mut stored, stamp, value);
            transaction.set(key.encoded(), stored.as_slice())?;
        }
        for key in change.deletes {
            transaction.delete(key.encoded())?;
        }
        match self.runtime.block_on(transaction.commit()) {
            Ok(()) => Ok(true),
            Err(Error::TransactionWriteConflict | Error::TransactionRetry) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        Ok(self.get_many(std::slice::from_ref(key), visit)? == 1)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let read = self.read()?;
        let mut count = 0;
        for key in keys {
            if let Some(stored) = read.get(key.encoded())? {
                let (stamp, value) = split(&stored)?;
                visit(key.encoded(), stamp, value)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let read = self.read()?;
        let mut cursor = read.scan(from.encoded()..)?;
        let (mut count, mut valid) = (0, cursor.seek_first()?);
        while valid && count < limit {
            look(&cursor, &mut *visit)?;
            count += 1;
            valid = count < limit && cursor.next()?;
        }
        Ok(count)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let read = self.read()?;
        let mut cursor = read.scan(..to.encoded())?;
        let (mut count, mut valid) = (0, cursor.seek_last()?);
        while valid && count < limit {
            look(&cursor, &mut *visit)?;
            count += 1;
            valid = count < limit && cursor.prev()?;
        }
        Ok(count)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.tree.flush_wal(true)?)
    }

    fn settle(&self) -> Result<()> {
        process::quiet(|| process::space(&self.path))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.runtime.block_on(self.tree.close())?)
    }
}
