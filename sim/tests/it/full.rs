//! A disk without room.

use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_engine::{
    Batch, Engine, Environment, Error, ErrorKind, LogOptions, Mutation, Options, Outcome, Workers,
};

fn options() -> Options {
    Options {
        workers: Workers::Manual,
        memtable_bytes: 16 << 10,
        table_bytes: 16 << 10,
        level_base_bytes: 64 << 10,
        reserve_bytes: 512 << 10,
        log: LogOptions { segment_bytes: 32 << 10, spare_segments: 0, ..LogOptions::default() },
        ..Options::default()
    }
}

fn open(disk: &Arc<SimDisk>) -> Engine {
    let env = Environment {
        disk: Arc::clone(disk) as _,
        clock: Arc::new(ManualClock::at(1)),
        random: Arc::new(SeededRandom::new(1)),
    };
    Engine::open(env, options()).expect("the reserve is there for opening")
}

fn key(n: u32) -> [u8; 5] {
    let [a, b, c, d] = n.to_be_bytes();
    [0x10, a, b, c, d]
}

fn set(engine: &Engine, n: u32) -> Result<Outcome, Error> {
    let value = [n.to_be_bytes()[3]; 1_000];
    let mutations = [Mutation::Set { key: &key(n), value: &value, expires_at: None }];
    engine.commit(Batch { checks: &[], mutations: &mutations })
}

fn fill(engine: &Engine) -> u32 {
    for n in 0..10_000 {
        match set(engine, n) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}");
                return n;
            }
        }
    }
    panic!("the disk is never full");
}

fn assert_holds(engine: &Engine, count: u32) {
    for n in 0..count {
        assert!(engine.get(&key(n)).unwrap().is_some(), "{n} of {count}");
    }
    assert!(engine.check().unwrap().is_clean());
}

#[test]
fn a_full_disk_refuses_commits_and_the_store_reads_closes_and_reopens() {
    let disk = SimDisk::new(1, Rules::none());
    disk.set_space(Some(2 << 20));
    let engine = open(&disk);
    let count = fill(&engine);
    assert!(count > 100, "only {count}");
    assert_holds(&engine, count);
    engine.close().unwrap();
    let engine = open(&disk);
    assert_holds(&engine, count);
    disk.set_space(None);
    assert!(set(&engine, count).is_ok(), "with room, writes go on without reopening");
}

#[test]
fn on_a_full_disk_deletion_and_compaction_make_room() {
    let disk = SimDisk::new(1, Rules::none());
    disk.set_space(Some(2 << 20));
    let engine = open(&disk);
    let count = fill(&engine);
    engine.close().unwrap();
    // Opening leaves a fresh segment, in which a small commit has room.
    let engine = open(&disk);
    let mutations = [Mutation::DeleteRange { start: &key(0), end: &key(count / 2) }];
    let outcome = engine.commit(Batch { checks: &[], mutations: &mutations });
    assert!(matches!(outcome, Ok(Outcome::Committed(_))), "{outcome:?}");
    engine.compact().unwrap();
    assert!(set(&engine, count).is_ok());
    assert!(engine.get(&key(0)).unwrap().is_none());
    assert!(engine.get(&key(count - 1)).unwrap().is_some());
}
