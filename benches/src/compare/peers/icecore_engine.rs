//! Icecore without its face: the crate `icecore-engine`, whose keys and values are bytes.
//!
//! It tells how much of a figure of `icecore` is the face. It is not a peer, and runs only if it is
//! named.

use std::ops::ControlFlow;
use std::path::Path;

use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Check, Engine, Mutation, Options, Outcome, Scan, Seen};
use icecore_model::Versionstamp;

use crate::compare::key::{KEY_BYTES, Key};
use crate::compare::process;
use crate::compare::store::{Change, Durability, Peer, Pending, Setup, Store, Visit};
use crate::compare::{Fault, Result};

/// The engine.
pub(super) const PEER: Peer = Peer {
    name: super::ENGINE,
    open,
    buffered_survives: "the end of the process",
    setup: "Engine with default settings",
};

struct Below {
    engine: Engine,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let durability = match setup.durability {
        Durability::Durable => icecore_engine::Durability::Sync,
        Durability::Buffered => icecore_engine::Durability::Buffered,
    };
    let options = Options { durability, ..Options::default() };
    Ok(Box::new(Below { engine: Engine::open_path(directory.join("store"), options)? }))
}

/// A key with the byte of its keyspace in front.
fn key_of(key: &Key) -> [u8; KEY_BYTES + 1] {
    let mut stored = [DATA; KEY_BYTES + 1];
    stored[1..].copy_from_slice(key.encoded());
    stored
}

/// Visits up to `limit` entries and says how many there were; `None` breaks without an error.
fn each<'v>(
    limit: usize,
    count: &'v mut usize,
    visit: Visit<'v>,
) -> impl FnMut(Seen<'_>) -> ControlFlow<Option<Fault>> + 'v {
    move |seen| {
        if *count == limit {
            return ControlFlow::Break(None);
        }
        *count += 1;
        match visit(&seen.key[1..], seen.stamp.to_bytes(), seen.value) {
            Err(error) => ControlFlow::Break(Some(error)),
            Ok(()) if *count == limit => ControlFlow::Break(None),
            Ok(()) => ControlFlow::Continue(()),
        }
    }
}

impl Below {
    fn scan(&self, start: &[u8], end: &[u8]) -> Result<Scan> {
        Ok(self.engine.scan(start, end)?)
    }
}

fn sets(sets: &[(Key, Vec<u8>)]) -> Vec<([u8; KEY_BYTES + 1], &[u8])> {
    sets.iter().map(|(key, value)| (key_of(key), value.as_slice())).collect()
}

impl Store for Below {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let checked: Vec<_> = change.checks.iter().map(|(key, _)| key_of(key)).collect();
        let checks: Vec<Check<'_>> = checked
            .iter()
            .zip(change.checks)
            .map(|(key, (_, stamp))| {
                let expected = stamp.and_then(|stamp| Versionstamp::from_bytes(&stamp));
                Check { key, expected }
            })
            .collect();
        let sets = sets(change.sets);
        let deletes: Vec<_> = change.deletes.iter().map(key_of).collect();
        let mutations: Vec<_> = sets
            .iter()
            .map(|(key, value)| Mutation::Set { key, value, expires_at: None })
            .chain(deletes.iter().map(|key| Mutation::Delete { key }))
            .collect();
        let batch = Batch { checks: &checks, mutations: &mutations };
        Ok(matches!(self.engine.commit(batch)?, Outcome::Committed(_)))
    }

    fn submit(&self, changed: &[(Key, Vec<u8>)]) -> Option<Pending> {
        let sets = sets(changed);
        let mutations: Vec<_> = sets
            .iter()
            .map(|(key, value)| Mutation::Set { key, value, expires_at: None })
            .collect();
        let batch = Batch { checks: &[], mutations: &mutations };
        let pending = self.engine.commit_async(batch, icecore_engine::Durability::Sync);
        Some(Box::pin(async { Ok(matches!(pending.await?, Outcome::Committed(_))) }))
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        let found = self.engine.get_with(&key_of(key), |found| {
            found.map(|(value, stamp)| visit(key.encoded(), stamp.to_bytes(), value))
        })?;
        found.transpose().map(|found| found.is_some())
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let stored: Vec<_> = keys.iter().map(key_of).collect();
        let mut count = 0;
        for (key, record) in stored.iter().zip(self.engine.get_many(&stored)?) {
            if let Some(record) = record {
                visit(&key[1..], record.stamp.to_bytes(), &record.value)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let mut count = 0;
        let mut scan = self.scan(&key_of(from), &[DATA + 1])?;
        let failed = scan.visit(each(limit, &mut count, visit))?.flatten();
        failed.map_or(Ok(count), Err)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        let mut count = 0;
        let mut scan = self.scan(&[DATA], &key_of(to))?;
        let failed = scan.visit_back(each(limit, &mut count, visit))?.flatten();
        failed.map_or(Ok(count), Err)
    }

    fn sync(&self) -> Result<()> {
        let mutations = [Mutation::Delete { key: &[DATA, 0xfe] }];
        let batch = Batch { checks: &[], mutations: &mutations };
        let durability = icecore_engine::Durability::Sync;
        self.engine.commit_with(batch, durability).map(drop).map_err(Into::into)
    }

    fn settle(&self) -> Result<()> {
        self.engine.flush()?;
        process::quiet(|| Ok(self.engine.stats()?.levels))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.engine.close()?)
    }
}
