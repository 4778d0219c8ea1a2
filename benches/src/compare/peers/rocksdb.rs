//! RocksDB: a log-structured tree.
//!
//! Setup after <https://github.com/facebook/rocksdb/wiki/Setup-Options-and-Basic-Tuning>: a block
//! cache of 512 MiB, Bloom filters of ten bits with whole keys, index and filter blocks in the cache
//! and those of level 0 pinned, `bytes_per_sync` of 1 MiB, as many background jobs as cores but at
//! least two, recycled log files. Blocks stay at their default of 4 KiB and not the 16 KiB of that
//! page, which is better for point reads. No compression, as for the others. Checks are optimistic
//! transactions (<https://github.com/facebook/rocksdb/wiki/Transactions>); a commit without checks is
//! a plain batch, which shares its write with others. `WriteOptions::sync` when durable.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRawIteratorWithThreadMode, ErrorKind,
    OptimisticTransactionDB, OptimisticTransactionOptions, Options, WaitForCompactOptions,
    WriteBatchWithTransaction, WriteOptions,
};

use crate::compare::Result;
use crate::compare::key::Key;
use crate::compare::store::{
    Change, Durability, Peer, Setup, Stamps, Store, Visit, holds, split, stamped,
};

/// RocksDB.
pub(super) const PEER: Peer = Peer {
    name: "rocksdb",
    open,
    buffered_survives: "the end of the process",
    setup: "optimistic transactions, Bloom filters, 512 MiB cache, no compression",
};

/// The only column family.
const FAMILY: &str = "default";

const BLOOM_BITS: f64 = 10.0;

struct Rocks {
    database: OptimisticTransactionDB,
    write: WriteOptions,
    stamps: Stamps,
}

fn options(setup: Setup) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(setup.cache_bytes));
    table.set_bloom_filter(BLOOM_BITS, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_bytes_per_sync(1 << 20);
    options.set_max_background_jobs(2.max(crate::compare::machine::cores()));
    options.set_recycle_log_file_num(4);
    options
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let path = directory.join("store");
    let database = OptimisticTransactionDB::open_cf(&options(setup), path, [FAMILY])?;
    let mut write = WriteOptions::default();
    write.set_sync(setup.durability == Durability::Durable);
    Ok(Box::new(Rocks { database, write, stamps: Stamps::since_now() }))
}

impl Rocks {
    fn commit_checked(&self, change: Change<'_>) -> Result<bool> {
        let options = OptimisticTransactionOptions::default();
        let transaction = self.database.transaction_opt(&self.write, &options);
        for (key, expected) in change.checks {
            let stored = transaction.get_for_update(key.encoded(), true)?;
            if !holds(*expected, stored.as_deref())? {
                return Ok(false);
            }
        }
        let (stamp, mut stored) = (self.stamps.next(), Vec::new());
        for (key, value) in change.sets {
            stamped(&mut stored, stamp, value);
            transaction.put(key.encoded(), &stored)?;
        }
        for key in change.deletes {
            transaction.delete(key.encoded())?;
        }
        match transaction.commit() {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::TryAgain) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Visits from where the iterator stands.
fn walk(
    mut at: DBRawIteratorWithThreadMode<'_, OptimisticTransactionDB>,
    limit: usize,
    step: impl Fn(&mut DBRawIteratorWithThreadMode<'_, OptimisticTransactionDB>),
    visit: Visit<'_>,
) -> Result<usize> {
    let mut count = 0;
    while count < limit {
        let Some((key, stored)) = at.item() else { break };
        let (stamp, value) = split(stored)?;
        visit(key, stamp, value)?;
        count += 1;
        step(&mut at);
    }
    at.status()?;
    Ok(count)
}

impl Store for Rocks {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        if !change.checks.is_empty() {
            return self.commit_checked(change);
        }
        let mut batch = WriteBatchWithTransaction::<true>::default();
        let (stamp, mut stored) = (self.stamps.next(), Vec::new());
        for (key, value) in change.sets {
            stamped(&mut stored, stamp, value);
            batch.put(key.encoded(), &stored);
        }
        for key in change.deletes {
            batch.delete(key.encoded());
        }
        self.database.write_opt(batch, &self.write)?;
        Ok(true)
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        let Some(stored) = self.database.get_pinned(key.encoded())? else { return Ok(false) };
        let (stamp, value) = split(&stored)?;
        visit(key.encoded(), stamp, value)?;
        Ok(true)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let family = self.database.cf_handle(FAMILY).ok_or("there is no column family")?;
        let encoded = keys.iter().map(Key::encoded);
        let mut count = 0;
        let found = self.database.batched_multi_get_cf(&family, encoded, false);
        for (key, stored) in keys.iter().zip(found) {
            if let Some(stored) = stored? {
                let (stamp, value) = split(&stored)?;
                visit(key.encoded(), stamp, value)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let mut at = self.database.raw_iterator();
        at.seek(from.encoded());
        walk(at, limit, |at| at.next(), visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let mut at = self.database.raw_iterator();
        at.seek_for_prev(to.encoded());
        if at.key() == Some(to.encoded()) {
            at.prev();
        }
        walk(at, limit, |at| at.prev(), visit)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.flush_wal(true)?)
    }

    fn settle(&self) -> Result<()> {
        self.database.flush()?;
        Ok(self.database.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}
