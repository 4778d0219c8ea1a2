//! Accounts in a store behind a server, and what must be in them in the end.

use bytes::Bytes;
use icecore::key;
use icecore_wire::message::{
    AtomicWrite, AtomicWriteOutput, Check, KvEntry, KvValue, Mutation, ReadRange, SnapshotRead,
    SnapshotReadOutput, encoding, mutation_type, read_status, write_status,
};

use super::client::Client;

/// What each account holds at first.
const OPENING: u64 = 1_000_000;

/// How many accounts one call reads or writes.
const PAGE: usize = 500;

/// Funds that were moved, as the server has acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) amount: u64,
}

/// The keys of all accounts, ascending.
#[derive(Debug)]
pub(super) struct Accounts {
    keys: Vec<Bytes>,
}

/// An account as it was read.
#[derive(Debug)]
pub(super) struct Held {
    versionstamp: Bytes,
    pub(super) balance: u64,
}

impl Accounts {
    pub(super) fn new(count: usize) -> Accounts {
        let key = |id| Bytes::copy_from_slice(key!["account", id].encoded());
        Accounts { keys: (0..count as u64).map(key).collect() }
    }

    pub(super) fn count(&self) -> usize {
        self.keys.len()
    }

    /// Puts the same sum into each of them.
    pub(super) async fn open(&self, client: &mut Client) -> Result<(), String> {
        for page in self.keys.chunks(PAGE) {
            let mutations = page.iter().map(|key| set(key, OPENING)).collect();
            let write = AtomicWrite { mutations, ..AtomicWrite::default() };
            if !commit(client, &write).await? {
                return Err("a write without checks has failed a check".to_owned());
            }
        }
        Ok(())
    }

    /// Reads two of them, at one moment.
    pub(super) async fn read(
        &self,
        client: &mut Client,
        ids: [usize; 2],
    ) -> Result<[Held; 2], String> {
        let ranges = ids.map(|id| range(&self.keys[id], &self.keys[id], 1));
        let [one, other] = &read(client, ranges.to_vec()).await?[..] else {
            return Err("two ranges were asked for, and others were answered".to_owned());
        };
        let held = |id: usize, entries: &Vec<KvEntry>| match &entries[..] {
            [entry] if entry.key == self.keys[id] => held(entry),
            _ => Err(format!("account {id} is answered with {} entries", entries.len())),
        };
        Ok([held(ids[0], one)?, held(ids[1], other)?])
    }

    /// Moves funds between two of them, if both are still as they were read. Says whether they were.
    pub(super) async fn transfer(
        &self,
        client: &mut Client,
        transfer: Transfer,
        [from, to]: [Held; 2],
    ) -> Result<bool, String> {
        let Transfer { from: payer, to: payee, amount } = transfer;
        let check = |id: usize, held: Held| {
            let key = self.keys[id].clone();
            Check { key, versionstamp: held.versionstamp }
        };
        let (less, more) = (from.balance - amount, to.balance + amount);
        let write = AtomicWrite {
            checks: vec![check(payer, from), check(payee, to)],
            mutations: vec![set(&self.keys[payer], less), set(&self.keys[payee], more)],
            enqueues: Vec::new(),
        };
        commit(client, &write).await
    }

    /// What is in each of them after these transfers, and no others.
    pub(super) fn after<'a>(&self, transfers: impl Iterator<Item = &'a Transfer>) -> Vec<u64> {
        let mut balances = vec![OPENING; self.keys.len()];
        for Transfer { from, to, amount } in transfers {
            // Transfers come in no order: in between, a balance may be below zero.
            balances[*from] = balances[*from].wrapping_sub(*amount);
            balances[*to] = balances[*to].wrapping_add(*amount);
        }
        balances
    }

    /// Compares every account with what must be in it, which adds up to what was there at first.
    pub(super) async fn audit(&self, client: &mut Client, expected: &[u64]) -> Result<(), String> {
        let mut found = Vec::new();
        for page in self.keys.chunks(PAGE) {
            let (Some(first), Some(last)) = (page.first(), page.last()) else { continue };
            let limit = i32::try_from(PAGE + 1).expect("a page is short");
            for entry in read(client, vec![range(first, last, limit)]).await?.concat() {
                if self.keys.get(found.len()) != Some(&entry.key) {
                    return Err(format!("account {} is not there", found.len()));
                }
                found.push(held(&entry)?.balance);
            }
        }
        let differs = |(found, expected): (&u64, &u64)| found != expected;
        if let Some(id) = found.iter().zip(expected).position(differs) {
            let (found, expected) = (found[id], expected[id]);
            return Err(format!(
                "account {id} holds {found}, after all that was acknowledged it must be {expected}"
            ));
        }
        let (total, opened) = (found.iter().sum::<u64>(), OPENING * self.keys.len() as u64);
        if found.len() == expected.len() && total == opened {
            return Ok(());
        }
        Err(format!("{} accounts hold {total}, and it was {opened} at first", found.len()))
    }
}

fn set(key: &Bytes, balance: u64) -> Mutation {
    let data = Bytes::copy_from_slice(&balance.to_le_bytes());
    Mutation {
        key: key.clone(),
        value: Some(KvValue { data, encoding: encoding::LE64 }),
        mutation_type: mutation_type::SET,
        ..Mutation::default()
    }
}

/// The entries from `first` to `last`, both included.
fn range(first: &Bytes, last: &Bytes, limit: i32) -> ReadRange {
    let end = [last, &[0][..]].concat().into();
    ReadRange { start: first.clone(), end, limit, reverse: false }
}

fn held(entry: &KvEntry) -> Result<Held, String> {
    let number = entry.value[..].try_into().ok().filter(|_| entry.encoding == encoding::LE64);
    let number = number.ok_or_else(|| format!("no number is in {}", entry.key.escape_ascii()))?;
    let versionstamp = entry.versionstamp.clone();
    Ok(Held { versionstamp, balance: u64::from_le_bytes(number) })
}

async fn read(client: &mut Client, ranges: Vec<ReadRange>) -> Result<Vec<Vec<KvEntry>>, String> {
    let request = SnapshotRead { ranges };
    let output: SnapshotReadOutput = client.call("snapshot_read", &request).await?;
    if !output.read_is_strongly_consistent || output.status != read_status::SUCCESS {
        return Err(format!("a read is answered with status {}", output.status));
    }
    Ok(output.ranges.into_iter().map(|range| range.values).collect())
}

/// Says whether all checks held.
async fn commit(client: &mut Client, write: &AtomicWrite) -> Result<bool, String> {
    let output: AtomicWriteOutput = client.call("atomic_write", write).await?;
    match output.status {
        write_status::SUCCESS => Ok(true),
        write_status::CHECK_FAILURE => Ok(false),
        status => Err(format!("a write is answered with status {status}")),
    }
}
