//! The whole store: commit, read, list, compaction.

use std::hint::black_box;
use std::ops::ControlFlow;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::{filled, key, shuffled, store, value};
use icecore_disk::random::SeededRandom;
use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Check, Durability, Engine, Mutation, Options, Outcome};

const KEYS: u64 = 200_000;

fn set(engine: &Engine, key: &[u8], value: &[u8], durability: Durability) {
    let mutations = [Mutation::Set { key, value, expires_at: None }];
    let outcome = engine.commit_with(Batch { checks: &[], mutations: &mutations }, durability);
    assert!(matches!(outcome, Ok(Outcome::Committed(_))), "{outcome:?}");
}

fn commits(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    let random = SeededRandom::new(2);
    let value = value(&random);
    group.throughput(Throughput::Elements(1));
    for (name, durability) in [("buffered", Durability::Buffered), ("durable", Durability::Sync)] {
        let store = store(Options::default());
        group.bench_function(format!("{name}/1 set"), |b| {
            b.iter(|| set(&store.engine, &key(random.below(KEYS)), &value, durability));
        });
    }
    let store = store(Options::default());
    (0..1000).for_each(|n| set(&store.engine, &key(n), &value, Durability::Buffered));
    group.bench_function("buffered/transfer (2 checks, 2 sets)", |b| {
        b.iter(|| transfer(&store.engine, random.below(1000), random.below(1000), &value));
    });
    group.throughput(Throughput::Elements(1000));
    group.bench_function("buffered/batch of 1,000 sets", |b| {
        b.iter_batched(
            || (0..1000).map(|_| key(random.next())).collect::<Vec<_>>(),
            |keys| {
                let set = |key| Mutation::Set { key, value: &value, expires_at: None };
                let mutations: Vec<_> = keys.iter().map(|key| set(key)).collect();
                let batch = Batch { checks: &[], mutations: &mutations };
                store.engine.commit_with(batch, Durability::Buffered).expect("it commits")
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn transfer(engine: &Engine, from: u64, to: u64, value: &[u8]) {
    let keys = [key(from), key(to)];
    let read = engine.get_many(&keys).expect("the accounts are there");
    let stamp = |i: usize| read[i].as_ref().map(|record| record.stamp);
    let checks = [0, 1].map(|i| Check { key: &keys[i], expected: stamp(i) });
    let mutations = [0, 1].map(|i| Mutation::Set { key: &keys[i], value, expires_at: None });
    let batch = Batch { checks: &checks, mutations: &mutations };
    let outcome = engine.commit_with(batch, Durability::Buffered);
    assert!(matches!(outcome, Ok(Outcome::Committed(_))), "{outcome:?}");
}

fn reads(c: &mut Criterion) {
    let random = SeededRandom::new(3);
    let settled = filled(KEYS, Options::default());
    let fresh = store(Options { memtable_bytes: 256 << 20, ..Options::default() });
    let value = value(&random);
    shuffled(KEYS, &random)
        .iter()
        .for_each(|n| set(&fresh.engine, &key(*n), &value, Durability::Buffered));
    let mut group = c.benchmark_group("read");
    for (name, engine) in [("tables", &settled.engine), ("memtable", &fresh.engine)] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name}/get"), |b| {
            b.iter(|| black_box(engine.get(&key(random.below(KEYS))).expect("it reads")));
        });
        group.bench_function(format!("{name}/get of one hot key, in place"), |b| {
            let hot = key(7);
            b.iter(|| {
                engine.get_with(&hot, |found| found.map(|(v, _)| v.len())).expect("it reads")
            });
        });
        group.bench_function(format!("{name}/get of a missing key"), |b| {
            b.iter(|| black_box(engine.get(&key(KEYS + random.below(KEYS))).expect("it reads")));
        });
        group.throughput(Throughput::Elements(10));
        group.bench_function(format!("{name}/get_many of 10"), |b| {
            b.iter(|| {
                let keys = [(); 10].map(|()| key(random.below(KEYS)));
                black_box(engine.get_many(&keys).expect("it reads"))
            });
        });
        group.throughput(Throughput::Elements(100));
        for reverse in [false, true] {
            let direction = if reverse { "reverse" } else { "forward" };
            group.bench_function(format!("{name}/list of 100, {direction}"), |b| {
                b.iter(|| {
                    let start = key(random.below(KEYS - 100));
                    let scan = engine.scan(&start, &[DATA + 1]).expect("it opens");
                    let count = if reverse {
                        let scan = engine.scan(&[DATA], &key(100 + random.below(KEYS - 100)));
                        scan.expect("it opens").rev().take(100).count()
                    } else {
                        scan.take(100).count()
                    };
                    assert_eq!(count, 100);
                });
            });
        }
        group.throughput(Throughput::Elements(KEYS));
        group.sample_size(10);
        group.bench_function(format!("{name}/full scan"), |b| {
            b.iter(|| engine.scan(&[DATA], &[DATA + 1]).expect("it opens").count());
        });
        group.bench_function(format!("{name}/full scan, in place"), |b| {
            b.iter(|| {
                let mut scan = engine.scan(&[DATA], &[DATA + 1]).expect("it opens");
                let mut bytes = 0;
                let broken: Option<()> = scan
                    .visit(|seen| {
                        bytes += seen.key.len() + seen.value.len();
                        ControlFlow::Continue(())
                    })
                    .expect("it reads");
                (bytes, broken)
            });
        });
        group.bench_function(format!("{name}/full scan backward, in place"), |b| {
            b.iter(|| {
                let mut scan = engine.scan(&[DATA], &[DATA + 1]).expect("it opens");
                let mut bytes = 0;
                let broken: Option<()> = scan
                    .visit_back(|seen| {
                        bytes += seen.key.len() + seen.value.len();
                        ControlFlow::Continue(())
                    })
                    .expect("it reads");
                (bytes, broken)
            });
        });
        group.sample_size(100);
    }
    group.finish();
}

fn compaction(c: &mut Criterion) {
    let mut group = c.benchmark_group("compaction");
    group.sample_size(10).throughput(Throughput::Elements(2 * KEYS / 4));
    group.bench_function("flush and merge two halves of 50,000", |b| {
        let random = SeededRandom::new(4);
        b.iter_batched(
            || {
                let store = filled(KEYS / 4, Options::default());
                for n in shuffled(KEYS / 4, &random) {
                    set(&store.engine, &key(n), &value(&random), Durability::Buffered);
                }
                store
            },
            |store| {
                store.engine.compact().expect("it settles");
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(engine, commits, reads, compaction);
criterion_main!(engine);
