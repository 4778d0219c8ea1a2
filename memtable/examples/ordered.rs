//! What the ordered structure of a memtable costs, beside its alternatives. In each round every
//! candidate runs every task once, in turn; the medians over all rounds are printed, in ns per
//! operation, and as ratios to the memtable.
//!
//! ```text
//! cargo run --release -p icecore-memtable --example ordered [keys] [rounds]
//! ```
//!
//! - `memtable`: the crate's.
//! - `order only`: the same memtable, but point reads search the order instead of the hash index.
//! - `btree`: `std`'s `BTreeMap`, whose nodes hold up to eleven keys, behind a reader-writer lock.

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock and its arguments")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Bound;
use std::sync::{Arc, LazyLock, RwLock};
use std::time::Instant;

use icecore_memtable::{ArenaPool, Inserter, Memtable, create};
use icecore_model::{Change, Effect, Effects, Versionstamp};

const KEY_BYTES: usize = 25;
const VALUE: [u8; 100] = [0x5a; 100];
const HOT_KEYS: u64 = 64;

type Key = [u8; KEY_BYTES];
type Tree = RwLock<BTreeMap<(Box<[u8]>, Reverse<u64>), Box<[u8]>>>;

/// The `i`th of keys that share a prefix, in order.
fn key(i: u64) -> Key {
    format!("\x01account\0{i:016x}").into_bytes().try_into().unwrap()
}

/// A reversible mixing of numbers (the finalizer of MurmurHash3).
fn mix(mut i: u64) -> u64 {
    i = (i ^ (i >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    i = (i ^ (i >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    i ^ (i >> 33)
}

fn effects(key: &Key) -> Vec<u8> {
    let mut out = Vec::new();
    let change = Change::Put { value: &VALUE, expires_at: None };
    Effect::Point { key, change }.encode(&mut out);
    out
}

/// How long this thread has been on a processor: on a machine that others use too, the wall clock
/// measures them. Linux says it to about a millisecond; elsewhere the wall clock has to do.
fn cpu_ns() -> f64 {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    match std::fs::read_to_string("/proc/thread-self/schedstat") {
        Ok(text) => text.split(' ').next().unwrap().parse().unwrap(),
        Err(_) => BEGIN.elapsed().as_nanos() as f64,
    }
}

/// Times in ns per operation: of each candidate and task, one a round.
#[derive(Default)]
struct Times(BTreeMap<(usize, &'static str, usize, &'static str), Vec<f64>>);

impl Times {
    fn run<T>(
        &mut self,
        (order, task): (usize, &'static str),
        (rank, who): (usize, &'static str),
        operations: usize,
        work: impl FnOnce() -> T,
    ) -> T {
        let start = cpu_ns();
        let result = work();
        let ns = (cpu_ns() - start) / operations as f64;
        self.0.entry((order, task, rank, who)).or_default().push(ns);
        result
    }

    fn print(&mut self) {
        println!(
            "{:<28} {:<12} {:>10} {:>10} {:>10} {:>7}",
            "task", "", "median", "min", "max", "ratio"
        );
        let mut base = 1.0;
        for ((_, task, rank, who), times) in &mut self.0 {
            times.sort_by(f64::total_cmp);
            let median = times[times.len() / 2];
            if *rank == 0 {
                base = median;
            }
            let (min, max) = (times[0], times[times.len() - 1]);
            println!(
                "{task:<28} {who:<12} {median:>10.1} {min:>10.1} {max:>10.1} {:>7.2}",
                median / base
            );
        }
    }
}

const MEMTABLE: (usize, &str) = (0, "memtable");
const ORDER_ONLY: (usize, &str) = (1, "order only");
const BTREE: (usize, &str) = (2, "btree");

fn fill_memtable(pool: &Arc<ArenaPool>, effects: &[Vec<u8>]) -> (Arc<Memtable>, Inserter) {
    let (memtable, mut inserter) = create(pool);
    overwrite_memtable(&mut inserter, 1, effects);
    (memtable, inserter)
}

fn overwrite_memtable(inserter: &mut Inserter, first: u64, effects: &[Vec<u8>]) {
    for (stamp, effects) in (first..).zip(effects) {
        let stamp = Versionstamp::new(stamp);
        inserter.apply(stamp, Effects::new(effects), Versionstamp::ZERO).unwrap();
    }
}

fn fill_tree(tree: &Tree, first: u64, effects: &[Vec<u8>]) {
    for (stamp, effects) in (first..).zip(effects) {
        for effect in Effects::new(effects) {
            let Effect::Point { key, change: Change::Put { value, .. } } = effect.unwrap() else {
                unreachable!("only values are written here");
            };
            tree.write().unwrap().insert((key.into(), Reverse(stamp)), value.into());
        }
    }
}

fn tree_get(tree: &Tree, key: &Key) -> usize {
    let tree = tree.read().unwrap();
    // The borrowed form of a pair cannot be looked up, so that a key is made for each read; the
    // allocation is part of the price of this candidate, about 20 ns.
    let from = (Box::from(&key[..]), Reverse(u64::MAX));
    let found = tree.range((Bound::Included(from), Bound::Unbounded)).next();
    found.filter(|found| *found.0.0 == *key).unwrap().1.len()
}

fn value_length(change: Change<'_>) -> usize {
    match change {
        Change::Put { value, .. } => usize::from(value[0] > 0) + value.len(),
        Change::Delete => 0,
    }
}

fn read_tasks(times: &mut Times, memtable: &Memtable, tree: &Tree, count: u64) {
    let reads = |hot: bool| -> Vec<Key> {
        let range = if hot { HOT_KEYS } else { count };
        (0..count).map(|i| key(mix(mix(i) % range))).collect()
    };
    for (order, task, hot) in [(3, "get, any key", false), (4, "get, 64 hot keys", true)] {
        let keys = reads(hot);
        times.run((order, task), MEMTABLE, keys.len(), || {
            for key in &keys {
                let hit = memtable.get(key, Versionstamp::MAX).unwrap();
                black_box(value_length(hit.change()));
            }
        });
        let mut cursor = memtable.cursor(Versionstamp::MAX);
        times.run((order, task), ORDER_ONLY, keys.len(), || {
            for key in &keys {
                cursor.seek(key);
                black_box(value_length(cursor.entry().unwrap().change));
            }
        });
        times.run((order, task), BTREE, keys.len(), || {
            for key in &keys {
                black_box(tree_get(tree, key));
            }
        });
    }
    let absent: Vec<Key> = (count..2 * count).map(|i| key(mix(i))).collect();
    times.run((5, "get, absent"), MEMTABLE, absent.len(), || {
        for key in &absent {
            assert!(memtable.get(key, Versionstamp::MAX).is_none());
        }
    });
    let mut cursor = memtable.cursor(Versionstamp::MAX);
    times.run((5, "get, absent"), ORDER_ONLY, absent.len(), || {
        for key in &absent {
            cursor.seek(key);
            black_box(cursor.entry().map(|entry| entry.key == key));
        }
    });
}

fn scan_tasks(times: &mut Times, memtable: &Memtable, tree: &Tree, order: usize) {
    let (forward, backward) = if order == 6 {
        ("scan, filled at random", "scan back, filled at random")
    } else {
        ("scan, filled in order", "scan back, filled in order")
    };
    let count = memtable.keys();
    let mut cursor = memtable.cursor(Versionstamp::MAX);
    times.run((order, forward), MEMTABLE, count, || {
        cursor.seek_first();
        while let Some(entry) = cursor.entry() {
            black_box(value_length(entry.change));
            cursor.next();
        }
    });
    times.run((order + 1, backward), MEMTABLE, count, || {
        cursor.seek_last();
        while let Some(entry) = cursor.entry() {
            black_box(value_length(entry.change));
            cursor.prev();
        }
    });
    let tree = tree.read().unwrap();
    times.run((order, forward), BTREE, tree.len(), || {
        for value in tree.values() {
            black_box(usize::from(value[0] > 0));
        }
    });
    times.run((order + 1, backward), BTREE, tree.len(), || {
        for value in tree.values().rev() {
            black_box(usize::from(value[0] > 0));
        }
    });
}

fn round(times: &mut Times, pool: &Arc<ArenaPool>, count: u64) {
    let operations = usize::try_from(count).unwrap();
    let random: Vec<_> = (0..count).map(|i| effects(&key(mix(i)))).collect();
    let ordered: Vec<_> = (0..count).map(|i| effects(&key(i))).collect();

    let (memtable, mut inserter) =
        times.run((0, "insert at random"), MEMTABLE, operations, || fill_memtable(pool, &random));
    let tree = Tree::default();
    times.run((0, "insert at random"), BTREE, operations, || fill_tree(&tree, 1, &random));
    read_tasks(times, &memtable, &tree, count);
    scan_tasks(times, &memtable, &tree, 6);
    let again = |times: &mut Times, who, work: &mut dyn FnMut()| {
        times.run((2, "overwrite at random"), who, operations, work);
    };
    again(times, MEMTABLE, &mut || overwrite_memtable(&mut inserter, count + 1, &random));
    again(times, BTREE, &mut || fill_tree(&tree, count + 1, &random));
    drop((memtable, inserter, tree));

    let (memtable, inserter) =
        times.run((1, "insert in order"), MEMTABLE, operations, || fill_memtable(pool, &ordered));
    let tree = Tree::default();
    times.run((1, "insert in order"), BTREE, operations, || fill_tree(&tree, 1, &ordered));
    scan_tasks(times, &memtable, &tree, 8);
    println!("memory of {count} keys: {} bytes a key", memtable.memory_bytes() / operations);
    drop((memtable, inserter));
}

/// Where keeping a chunk alive becomes cheaper than copying.
fn handle_task(pool: &Arc<ArenaPool>) {
    for bytes in [1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10] {
        let (memtable, mut inserter) = create(pool);
        let value = vec![1; bytes];
        let mut out = Vec::new();
        let change = Change::Put { value: &value, expires_at: None };
        Effect::Point { key: b"key", change }.encode(&mut out);
        inserter.apply(Versionstamp::new(1), Effects::new(&out), Versionstamp::ZERO).unwrap();
        let hit = memtable.newest(b"key").unwrap();
        let time = |work: &dyn Fn() -> usize| {
            let start = Instant::now();
            for _ in 0..20_000 {
                black_box(work());
            }
            start.elapsed().as_nanos() / 20_000
        };
        let handle = time(&|| hit.value_bytes().len());
        let copy = time(&|| bytes::Bytes::copy_from_slice(black_box(&value)).len());
        println!("value of {bytes:>6} bytes: handle {handle:>5} ns, copy {copy:>5} ns");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().unwrap());
    let count = arguments.next().unwrap_or(1_000_000);
    let rounds = arguments.next().unwrap_or(5);
    let pool = ArenaPool::new(1 << 20, 1 << 10);
    let mut times = Times::default();
    for i in 0..=rounds {
        // The first round draws fresh memory and is shown apart.
        round(&mut times, &pool, count);
        if i == 0 {
            println!("\nfirst round, on fresh memory");
            times.print();
            times = Times::default();
        }
    }
    println!("\n{rounds} rounds, on memory used before");
    times.print();
    println!();
    handle_task(&pool);
}
