//! Lists through the face: entries that are given away, and entries that are lent.

use std::ops::ControlFlow;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use icecore::{Commit, Durability, Key, Kv, Limits, List, key, prefix};
use icecore_benches::{shuffled, value};
use icecore_disk::random::SeededRandom;
use tempfile::TempDir;

const KEYS: u64 = 200_000;

fn key_of(number: u64) -> Key {
    key!["account", number]
}

/// A store with all keys, and its directory.
fn filled(memtable_bytes: usize, random: &SeededRandom) -> (Kv, TempDir) {
    let directory = tempfile::tempdir().expect("there is room");
    let builder = Kv::builder(directory.path().join("store")).limits(Limits::none());
    let builder = builder.durability(Durability::Buffered).memtable_bytes(memtable_bytes);
    let kv = builder.open().expect("it opens");
    let value = value(random);
    for part in shuffled(KEYS, random).chunks(1_000) {
        let sets = part.iter().fold(kv.atomic(), |sets, n| sets.set(key_of(*n), &value[..]));
        assert!(matches!(sets.commit(), Ok(Commit::Done { .. })));
    }
    (kv, directory)
}

/// Goes through a list and says how many bytes it has.
type Way = fn(List) -> usize;

/// The bytes of all entries, one given after the other.
fn given(list: List) -> usize {
    list.map(|entry| entry.expect("it reads"))
        .map(|entry| entry.key.encoded().len() + entry.value.map_or(0, |value| value.byte_len()))
        .sum()
}

/// The bytes of all entries, lent one after the other.
fn lent(mut list: List) -> usize {
    let mut bytes = 0;
    let broken: Option<()> = list
        .visit(|entry| {
            bytes += entry.key.encoded().len() + entry.bytes().map_or(0, <[u8]>::len);
            ControlFlow::Continue(())
        })
        .expect("it reads");
    broken.map_or(bytes, |()| 0)
}

fn lists(c: &mut Criterion) {
    let random = SeededRandom::new(3);
    let (tables, _tables) = filled(8 << 20, &random);
    tables.flush().expect("it flushes");
    let (settled, _settled) = filled(8 << 20, &random);
    settled.compact().expect("it compacts");
    let (memtable, _memtable) = filled(256 << 20, &random);
    let ways: [(&str, Way); 2] = [("given", given), ("lent", lent)];
    let mut group = c.benchmark_group("list");
    for (name, kv) in [("tables", &tables), ("one run", &settled), ("memtable", &memtable)] {
        for (way, bytes) in ways {
            group.throughput(Throughput::Elements(100));
            group.bench_function(format!("{name}/100 entries, {way}"), |b| {
                b.iter(|| bytes(kv.list(key_of(random.below(KEYS - 100))..).limit(100)));
            });
            group.throughput(Throughput::Elements(KEYS));
            group.sample_size(10);
            group.bench_function(format!("{name}/everything, {way}"), |b| {
                b.iter(|| bytes(kv.list(prefix!["account"])));
            });
            group.bench_function(format!("{name}/everything in reverse, {way}"), |b| {
                b.iter(|| bytes(kv.list(prefix!["account"]).reverse()));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default();
    targets = lists
}
criterion_main!(benches);
