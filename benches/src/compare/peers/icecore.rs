//! Icecore, through the face that its users have: the crate `icecore`.
//!
//! Keys are made of their two parts for every call, and values that are read one by one are copied, as
//! in a program that uses the store; what this costs is part of the figure. Lists are walked by
//! [`List::visit`](icecore::List::visit), which lends its entries, as the iterators of the peers do that
//! have such a form (LMDB, redb, RocksDB, SQLite); fjall counts who holds a value, and SurrealKV and
//! Deno's own store copy it. Settings are those that
//! [`Kv::open`](icecore::Kv::open) has, but for the limits of a commit: a load is made in batches
//! that Deno would not take.

use std::ops::ControlFlow;
use std::path::Path;

use icecore::{Commit, Kv, Limits, Value, ValueRef, Versionstamp};

use crate::compare::Result;
use crate::compare::key::{Key, TABLE};
use crate::compare::process;
use crate::compare::store::{Change, Durability, Peer, Pending, Setup, Stamp, Store, Visit};

/// Icecore.
pub(super) const PEER: Peer = Peer {
    name: super::SUBJECT,
    open,
    buffered_survives: "the end of the process",
    setup: "Kv with default settings, without limits on commits",
};

struct Icecore {
    kv: Kv,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let durability = match setup.durability {
        Durability::Durable => icecore::Durability::Sync,
        Durability::Buffered => icecore::Durability::Buffered,
    };
    let kv = Kv::builder(directory.join("store"))
        .durability(durability)
        .limits(Limits::none())
        .open()?;
    Ok(Box::new(Icecore { kv }))
}

fn key_of(key: &Key) -> icecore::Key {
    icecore::key![TABLE, key.digits()]
}

/// Looks at an entry; `false` if it is absent.
fn look(entry: &icecore::Entry, visit: Visit<'_>) -> Result<bool> {
    match (&entry.value, entry.versionstamp) {
        (Some(Value::Bytes(value)), Some(stamp)) => {
            visit(entry.key.encoded(), stamp.to_bytes(), value)?;
            Ok(true)
        }
        (None, None) => Ok(false),
        _ => Err(format!("{:?} is not what was stored", entry.key).into()),
    }
}

/// Lends keys and values, as the iterators of most peers do.
fn walk(mut list: icecore::List, visit: Visit<'_>) -> Result<usize> {
    let mut count = 0;
    let failed = list.visit(|entry| {
        let ValueRef::Bytes(value) = entry.value else {
            return ControlFlow::Break(format!("{:?} is not what was stored", entry.key).into());
        };
        count += 1;
        match visit(entry.key.encoded(), entry.versionstamp.to_bytes(), value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    })?;
    failed.map_or(Ok(count), Err)
}

impl Store for Icecore {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mut atomic = self.kv.atomic();
        for (key, stamp) in change.checks {
            let stamp = stamp.and_then(|stamp: Stamp| Versionstamp::from_bytes(&stamp));
            atomic = atomic.check_versionstamp(key_of(key), stamp);
        }
        for (key, value) in change.sets {
            atomic = atomic.set(key_of(key), value);
        }
        for key in change.deletes {
            atomic = atomic.delete(key_of(key));
        }
        Ok(matches!(atomic.commit()?, Commit::Done { .. }))
    }

    fn submit(&self, sets: &[(Key, Vec<u8>)]) -> Option<Pending> {
        let atomic = sets
            .iter()
            .fold(self.kv.atomic(), |atomic, (key, value)| atomic.set(key_of(key), value));
        let pending = atomic.commit_async();
        Some(Box::pin(async { Ok(matches!(pending.await?, Commit::Done { .. })) }))
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        look(&self.kv.get(key_of(key))?, visit)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let mut count = 0;
        let mut see = |entries: &[icecore::Entry]| -> Result<()> {
            for entry in entries {
                count += usize::from(look(entry, &mut *visit)?);
            }
            Ok(())
        };
        // Small numbers that are known beforehand are an array, as in the store's own examples.
        if let Ok(keys) = <&[Key; 2]>::try_from(keys) {
            see(&self.kv.get_many(keys.each_ref().map(key_of))?)?;
        } else if let Ok(keys) = <&[Key; 10]>::try_from(keys) {
            see(&self.kv.get_many(keys.each_ref().map(key_of))?)?;
        } else {
            see(&self.kv.get_all(keys.iter().map(key_of))?)?;
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        walk(self.kv.list(key_of(from)..).limit(limit), visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        walk(self.kv.list(..key_of(to)).reverse().limit(limit), visit)
    }

    fn sync(&self) -> Result<()> {
        // A durable commit is durable with all before it. This one changes nothing that counts.
        let mark = self.kv.atomic().delete(icecore::key!["mark"]);
        mark.commit_with(icecore::Durability::Sync).map(drop).map_err(Into::into)
    }

    fn settle(&self) -> Result<()> {
        self.kv.flush()?;
        process::quiet(|| Ok(self.kv.stats()?.levels))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.kv.close()?)
    }
}
