//! Each layer by itself: log, memtable, tables.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use icecore_benches::{key, shuffled, value};
use icecore_disk::random::{SeededRandom, SystemRandom};
use icecore_disk::real::RealDisk;
use icecore_disk::{Disk, Name};
use icecore_memtable::{ArenaPool, Inserter, Memtable};
use icecore_model::{Change, DatabaseId, Effect, Effects, Entry, Versionstamp};
use icecore_sstable::{
    BlockCache, Compression, ReadMode, Table, TableEnv, TableId, TableOptions, TableWriter,
};
use icecore_wal::{Claim, Durability, Log, LogEnv, LogOptions, Roster};
use tempfile::TempDir;

const KEYS: u64 = 200_000;

struct AnythingGoes;

impl Roster for AnythingGoes {
    fn activate(&self, _segment: u32, _ceiling: Versionstamp) -> io::Result<()> {
        Ok(())
    }

    fn admit(&self, _bytes: u64, _claim: Claim) -> io::Result<()> {
        Ok(())
    }
}

fn put(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut effects = Vec::new();
    Effect::Point { key, change: Change::Put { value, expires_at: None } }.encode(&mut effects);
    effects
}

fn log(c: &mut Criterion) {
    let mut group = c.benchmark_group("log");
    group.throughput(Throughput::Elements(1));
    let random = SeededRandom::new(1);
    let effects = put(&key(1), &value(&random));
    for (name, durability) in [("buffered", Durability::Buffered), ("durable", Durability::Sync)] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let env = LogEnv {
            disk: Arc::new(RealDisk::open(directory.path()).expect("it opens")),
            random: Arc::new(SystemRandom),
            database: DatabaseId([1; 16]),
            roster: Arc::new(AnythingGoes),
        };
        let log = Log::create(env, LogOptions::default(), 1, None, Versionstamp::ZERO);
        let log = log.expect("a log begins");
        let mut stamp = Versionstamp::ZERO;
        group.bench_function(format!("append and wait, {name}"), |b| {
            b.iter(|| {
                stamp = stamp.next();
                log.reserve(effects.len(), Claim::Ordinary).expect("there is room");
                log.append(stamp, 0, &effects, durability).expect("it appends");
                log.wait(stamp).expect("it becomes visible");
            });
        });
    }
    group.finish();
}

fn fill(pool: &Arc<ArenaPool>, numbers: &[u64], value: &[u8]) -> (Arc<Memtable>, Inserter) {
    let (memtable, mut inserter) = icecore_memtable::create(pool);
    let mut stamp = Versionstamp::ZERO;
    for number in numbers {
        stamp = stamp.next();
        let effects = put(&key(*number), value);
        inserter.apply(stamp, Effects::new(&effects), Versionstamp::ZERO).expect("it decodes");
    }
    (memtable, inserter)
}

fn memtable(c: &mut Criterion) {
    let mut group = c.benchmark_group("memtable");
    let random = SeededRandom::new(2);
    let pool = ArenaPool::new(1 << 20, 64);
    let value = value(&random);
    let numbers = shuffled(KEYS, &random);
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    group.bench_function("insert in random order", |b| {
        b.iter_batched(|| (), |()| fill(&pool, &numbers, &value), BatchSize::PerIteration);
    });
    let (table, _inserter) = fill(&pool, &numbers, &value);
    group.throughput(Throughput::Elements(1)).sample_size(100);
    group.bench_function("get", |b| {
        b.iter(|| {
            let key = key(random.below(KEYS));
            black_box(table.newest(&key).map(|hit| hit.stamp()))
        });
    });
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    for reverse in [false, true] {
        let direction = if reverse { "backward" } else { "forward" };
        group.bench_function(format!("scan {direction}"), |b| {
            b.iter(|| {
                let mut cursor = table.cursor(Versionstamp::MAX);
                if reverse {
                    cursor.seek_last()
                } else {
                    cursor.seek_first()
                }
                let mut bytes = 0;
                while let Some(entry) = cursor.entry() {
                    bytes += entry.key.len();
                    if reverse { cursor.prev() } else { cursor.next() }
                }
                bytes
            });
        });
    }
    group.finish();
}

fn write_table(disk: &dyn Disk, number: u64, compression: Compression) -> Arc<Table> {
    let random = SeededRandom::new(3);
    let options = TableOptions { compression, ..TableOptions::default() };
    let database = DatabaseId([1; 16]);
    let id = TableId { database, number };
    let mut writer = TableWriter::create(disk, id, &options).expect("it begins");
    for n in 0..KEYS {
        let (key, value) = (key(n), value(&random));
        let change = Change::Put { value: &value, expires_at: None };
        writer.add(&Entry { key: &key, stamp: Versionstamp::new(1), change }).expect("it fits");
    }
    let summary = writer.finish().expect("it ends");
    let env = TableEnv {
        read_mode: ReadMode::Mmap,
        cache: Arc::new(BlockCache::new(64 << 20)),
        accepted: vec![database],
    };
    Arc::new(Table::open(disk, &summary, &env).expect("it opens"))
}

fn tables(c: &mut Criterion) {
    let directory: TempDir = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::open(directory.path()).expect("it opens");
    let random = SeededRandom::new(4);
    let mut group = c.benchmark_group("table");
    let mut written = 10;
    for (number, compression) in [(1, Compression::None), (2, Compression::Lz4)] {
        let name = if compression == Compression::None { "plain" } else { "lz4" };
        let table = write_table(&disk, number, compression);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{name}/get"), |b| {
            b.iter(|| {
                let key = key(random.below(KEYS));
                let hit = table.get(&key, Versionstamp::MAX).expect("it reads");
                black_box(hit.map(|hit| hit.stamp()))
            });
        });
        group.bench_function(format!("{name}/get of a missing key"), |b| {
            b.iter(|| {
                let mut key = key(random.below(KEYS));
                key.push(b'x');
                black_box(table.get(&key, Versionstamp::MAX).expect("it reads").is_some())
            });
        });
        group.bench_function(format!("{name}/seek"), |b| {
            let mut cursor = table.cursor(Versionstamp::MAX);
            b.iter(|| {
                cursor.seek(&key(random.below(KEYS))).expect("it reads");
                black_box(cursor.entry().map(|entry| entry.stamp))
            });
        });
        group.throughput(Throughput::Elements(KEYS)).sample_size(10);
        for reverse in [false, true] {
            let direction = if reverse { "backward" } else { "forward" };
            group.bench_function(format!("{name}/scan {direction}"), |b| {
                b.iter(|| {
                    let mut cursor = table.cursor(Versionstamp::MAX);
                    let first = if reverse { cursor.seek_last() } else { cursor.seek_first() };
                    first.expect("it reads");
                    let mut bytes = 0;
                    while let Some(entry) = cursor.entry() {
                        bytes += entry.key.len();
                        let step = if reverse { cursor.prev() } else { cursor.next() };
                        step.expect("it reads");
                    }
                    bytes
                });
            });
        }
        group.bench_function(format!("{name}/write"), |b| {
            b.iter(|| {
                written += 1;
                let table = write_table(&disk, written, compression);
                // The mapping outlives the name, so the disk does not fill up.
                disk.remove(Name::Table(written)).expect("it was just written");
                table
            });
        });
        group.sample_size(100);
    }
    group.finish();
}

criterion_group!(layers, log, memtable, tables);
criterion_main!(layers);
