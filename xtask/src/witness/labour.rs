//! Threads that do deeds: transfers with checks, sums, values of all sizes, ranges that are
//! removed, and values that expire.

use std::collections::BTreeMap;

use icecore_disk::random::SeededRandom;
use icecore_engine::keyspace::DATA;
use icecore_engine::{Durability, Engine, Error, LogOptions, Options, Outcome, Workers};

use super::book::{Acknowledgement, Held};
use super::deed::{Deed, Step, Token, journal_from, number};

/// The keys of accounts begin like this.
pub(crate) const ACCOUNT: &[u8] = &[DATA, b'a'];

const ACCOUNTS: u64 = 24;
const COINS: u64 = 1_000;
const SUMS: u64 = 8;
const SLOTS: u64 = 160;
const RANGE_KEYS: u64 = 120;
const EXPIRING: u64 = 24;
/// Values live up to so long.
const LIFETIME_MS_MAX: u64 = 400;
/// One value in so many is larger than a block of a table, and one in so many of these larger than
/// a memtable's chunk.
const LARGE_ONE_IN: u64 = 24;

/// The thread that prepares a life.
const FOUNDER: u8 = 255;

/// The settings of a store so small that flushes, rotations and compactions go on all the time.
pub(crate) fn small_options(workers: Workers) -> Options {
    Options {
        workers,
        memtable_bytes: 48 << 10,
        frozen_memtables_max: 2,
        log_bytes_max: 192 << 10,
        log: LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() },
        table_bytes: 24 << 10,
        level0_tables: 2,
        level_base_bytes: 96 << 10,
        level_multiplier: 4,
        cache_bytes: 64 << 10,
        reserve_bytes: 0,
        ..Options::default()
    }
}

fn key(kind: u8, index: u64) -> Vec<u8> {
    let index = u16::try_from(index).expect("there are few keys");
    [&[DATA, kind][..], &index.to_be_bytes()].concat()
}

fn account(index: u64) -> Vec<u8> {
    key(ACCOUNT[1], index)
}

/// Whether the accounts have been opened.
pub(crate) fn is_founded(entries: &BTreeMap<Vec<u8>, Held>) -> bool {
    entries.contains_key(&account(0))
}

/// What all accounts hold together, always.
pub(crate) fn total_of_accounts() -> u64 {
    ACCOUNTS * COINS
}

/// Whoever is told what was acknowledged.
pub(crate) type Witness<'a> = &'a (dyn Fn(Acknowledgement) -> Result<(), Error> + Sync);

/// Opens the accounts, if there are none, and forgets the journal of earlier lives, of which a
/// witness must have been told.
pub(crate) fn prepare(engine: &Engine, life: u32, witness: Witness<'_>) -> Result<(), Error> {
    let mut deeds = Vec::new();
    if engine.get(&account(0))?.is_none() {
        let open = |index| Step::Number { key: account(index), number: COINS };
        deeds.push(Deed { expected: Vec::new(), steps: (0..ACCOUNTS).map(open).collect() });
    }
    if life > 0 {
        let forget = Step::RemoveRange { start: journal_from(0), end: journal_from(life) };
        deeds.push(Deed { expected: Vec::new(), steps: vec![forget] });
    }
    for (number, deed) in (0..).zip(&deeds) {
        let token = Token { life, thread: FOUNDER, number };
        act(engine, deed, token, Durability::Buffered, witness)?;
    }
    Ok(())
}

/// Does deeds, at most `rounds`, while `go_on` says so.
pub(crate) fn work(
    engine: &Engine,
    (life, thread): (u32, u8),
    seed: u64,
    rounds: u32,
    go_on: &(dyn Fn() -> bool + Sync),
    witness: Witness<'_>,
) -> Result<(), Error> {
    let random = SeededRandom::new(seed);
    for number in 0..rounds {
        if !go_on() {
            break;
        }
        let token = Token { life, thread, number };
        let deed = draw(engine, &random, token)?;
        // Half of them wait for the disk, which leaves the others little time to be many.
        let durability = if random.one_in(2) { Durability::Sync } else { Durability::Buffered };
        act(engine, &deed, token, durability, witness)?;
    }
    Ok(())
}

fn act(
    engine: &Engine,
    deed: &Deed,
    token: Token,
    durability: Durability,
    witness: Witness<'_>,
) -> Result<(), Error> {
    let stamp = match deed.commit(engine, token, durability)? {
        Outcome::Committed(stamp) => stamp.get(),
        Outcome::CheckFailed { .. } => 0,
    };
    witness(Acknowledgement { token, stamp, durable: durability == Durability::Sync })
}

fn draw(engine: &Engine, random: &SeededRandom, token: Token) -> Result<Deed, Error> {
    let mut deed = Deed::default();
    match random.below(12) {
        0..4 => return transfer(engine, random),
        4 | 5 => deed.steps.push(put(random, token, 0)),
        6 => deed.steps.extend((0..2 + random.below(12)).map(|n| put(random, token, n))),
        7 => {
            let (key, number) = (key(b's', random.below(SUMS)), random.below(1 << 40));
            deed.steps.push(Step::Add { key, number });
        }
        8 => {
            let key = key(b'e', random.below(EXPIRING));
            let expires_ms = engine.now_ms() + 1 + random.below(LIFETIME_MS_MAX);
            deed.steps.push(Step::Put { key, seed: seed_of(token, 0), len: 40, expires_ms });
        }
        9 => deed.steps.push(Step::Remove { key: key(b't', random.below(SLOTS)) }),
        10 => {
            for n in 0..8 {
                let (key, seed) = (key(b'r', random.below(RANGE_KEYS)), seed_of(token, n));
                deed.steps.push(Step::Put { key, seed, len: 24, expires_ms: 0 });
            }
        }
        _ => {
            let start = random.below(RANGE_KEYS);
            let end = start + 1 + random.below(30);
            deed.steps.push(Step::RemoveRange { start: key(b'r', start), end: key(b'r', end) });
            let (key, seed) = (key(b'r', start), seed_of(token, 0));
            if random.one_in(2) {
                deed.steps.push(Step::Put { key, seed, len: 24, expires_ms: 0 });
            }
        }
    }
    Ok(deed)
}

/// Different for every put of every deed.
fn seed_of(token: Token, n: u64) -> u64 {
    let Token { life, thread, number } = token;
    u64::from(life) << 40 ^ u64::from(thread) << 32 ^ u64::from(number) << 6 ^ n
}

fn put(random: &SeededRandom, token: Token, n: u64) -> Step {
    let longest = if !random.one_in(LARGE_ONE_IN) {
        300
    } else if !random.one_in(LARGE_ONE_IN) {
        6_000
    } else {
        50_000
    };
    let len = u32::try_from(random.below(longest)).expect("the longest is short");
    Step::Put { key: key(b't', random.below(SLOTS)), seed: seed_of(token, n), len, expires_ms: 0 }
}

fn transfer(engine: &Engine, random: &SeededRandom) -> Result<Deed, Error> {
    let from = random.below(ACCOUNTS);
    let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let keys = [account(from), account(to)];
    let read = engine.get_many(&keys)?;
    let mut deed = Deed::default();
    let balance = |n: usize| read[n].as_ref().map_or(0, |record| number(&record.value));
    let amount = random.below(20).min(balance(0));
    let balances = [balance(0) - amount, balance(1) + amount];
    for (n, key) in keys.into_iter().enumerate() {
        let stamp = read[n].as_ref().map_or(0, |record| record.stamp.get());
        deed.expected.push((key.clone(), stamp));
        deed.steps.push(Step::Number { key, number: balances[n] });
    }
    Ok(deed)
}
