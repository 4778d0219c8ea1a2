//! The space that commits leave free: deletions may use half of it, and lead to room with it.

use std::sync::Arc;

use icecore_disk::fault::Operation;
use icecore_disk::{Fault, FaultDisk, Faults, Name};
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Engine, Error, ErrorKind, LogOptions, Mutation, Options, Step, Updated, Workers,
};

use crate::support::{
    Machine, START_MS, assert_clean, commit, contents, delete_range, get, key, names, set,
    set_until, small, try_commit, try_set,
};

const RESERVE: u64 = 256 << 10;
const SPACE: u64 = 1_000 << 10;

fn options() -> Options {
    let log = LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 8 << 10, log, reserve_bytes: RESERVE, ..small() }
}

fn name(number: u32) -> String {
    format!("{number:05}")
}

fn try_delete(engine: &Engine, name: &str) -> Result<(), Error> {
    try_commit(engine, &[Mutation::Delete { key: &key(name) }]).map(drop)
}

fn assert_full<T: std::fmt::Debug>(committed: Result<T, Error>) {
    let refusal = committed.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::OutOfSpace, "{refusal:?}");
}

/// Commits until the disk is full for commits of all sizes, and gives how many went in. Where
/// threads work in the background, they may make room again at any time.
fn fill(engine: &Engine) -> u32 {
    let filled = (0..20_000).find(|i| try_set(engine, &name(*i), &[7; 400]).is_err());
    let small = (0..500).try_for_each(|_| try_set(engine, "small", b"").map(drop));
    if engine.options().workers == Workers::Manual {
        assert_full(small);
    }
    filled.expect("the disk becomes full")
}

/// The same with background work that keeps up: a merge needs no more than the reserve then.
fn fill_in_shape(engine: &Engine) -> u32 {
    let filled = (0..20_000).find(|i| {
        engine.step(u64::from(*i)).unwrap();
        try_set(engine, &name(*i), &[7; 400]).is_err()
    });
    assert_full((0..500).try_for_each(|_| try_set(engine, "small", b"").map(drop)));
    filled.expect("the disk becomes full")
}

#[test]
fn a_full_store_makes_room_for_itself_by_deletions() {
    for workers in [Workers::Manual, Workers::Threads] {
        for by_range in [true, false] {
            let machine = Machine::new(1);
            let engine = machine.open(Options { workers, ..options() });
            machine.disk.set_space(Some(SPACE));
            let written = fill(&engine);
            assert!(written > 400, "{written}");
            // Flush and compaction may use what commits must leave free.
            engine.compact().unwrap();
            if workers == Workers::Manual {
                assert_full(try_set(&engine, "more", &[1; 2_000]));
            }
            if by_range {
                delete_range(&engine, "0", "1");
            } else {
                (0..written).for_each(|i| try_delete(&engine, &name(i)).unwrap());
            }
            engine.compact().unwrap();
            assert!(contents(&engine).iter().all(|(name, _)| name == "small"));
            assert!(fill(&engine) > written / 2);
            assert_eq!(engine.stats().unwrap().poisoned, None);
            assert_clean(&engine);
        }
    }
}

#[test]
fn a_deletion_opens_no_door_to_the_reserve_for_what_follows() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    machine.disk.set_space(Some(SPACE));
    let written = fill(&engine);
    for i in 0..written {
        try_delete(&engine, &name(i)).unwrap();
        assert_full(try_set(&engine, "small", b"").and_then(|_| try_set(&engine, "small", b"")));
        if i % 100 == 99 {
            break;
        }
    }
}

#[test]
fn only_a_commit_of_nothing_but_deletions_may_use_the_reserve() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    machine.disk.set_space(Some(SPACE));
    fill(&engine);
    engine.flush().unwrap();
    let vanish = |_: Option<icecore_engine::Current<'_>>| Ok(Updated::Delete);
    let (one, two, three) = (key("00001"), key("00002"), key("00003"));
    let delete = Mutation::Delete { key: &one };
    let range = Mutation::DeleteRange { start: &one, end: &two };
    let update = Mutation::Update { key: &three, update: &vanish };
    let set = Mutation::Set { key: &three, value: b"", expires_at: None };
    for refused in [&[][..], &[set], &[update], &[delete, set], &[range, update]] {
        assert_full(try_commit(&engine, refused));
    }
    for accepted in [&[delete][..], &[range], &[delete, range]] {
        try_commit(&engine, accepted).unwrap();
    }
}

#[test]
fn deletions_that_free_nothing_leave_half_of_the_reserve_to_flush_and_compaction() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { memtable_bytes: 64 << 10, ..options() });
    machine.disk.set_space(Some(SPACE));
    fill(&engine);
    engine.flush().unwrap();
    for round in 0..3 {
        let refused = (0..10_000).find(|i| try_delete(&engine, &format!("none {i}")).is_err());
        assert!(refused.is_some_and(|deletions| deletions > 100), "{round}: {refused:?}");
        let free = SPACE - machine.disk.used_bytes();
        // A manifest grows, too.
        assert!(free >= RESERVE / 2 - (8 << 10), "{round}: {free}");
        // What the refusal has frozen is the next to be flushed.
        assert_eq!(engine.stats().unwrap().frozen_memtables, 1, "{round}");
        assert_eq!(engine.step(1).unwrap(), Step::Flush, "{round}");
        engine.compact().unwrap();
    }
}

#[test]
fn a_store_that_is_filled_and_emptied_for_long_never_refuses_deletions_for_good() {
    for seed in 0..4 {
        let mut machine = Machine::new(seed);
        let mut engine = machine.open(options());
        machine.disk.set_space(Some(SPACE));
        let mut least = u32::MAX;
        for round in 0..12 {
            let written = fill_in_shape(&engine);
            least = least.min(written);
            match (seed + round) % 4 {
                0 => engine.close().unwrap(),
                1 => engine.flush().unwrap(),
                _ => {}
            }
            if (seed + round) % 3 == 0 {
                machine.kill();
                drop(engine);
                engine = machine.open(options());
            } else if (seed + round) % 4 == 0 {
                drop(engine);
                engine = machine.open(options());
            }
            for i in (round as u32 % 2..written).step_by(2) {
                // Refused at half of the reserve, it goes on behind a flush.
                if let Err(refusal) = try_delete(&engine, &name(i)) {
                    assert_eq!(refusal.kind(), ErrorKind::OutOfSpace, "{seed}, {round}");
                    engine.compact().unwrap();
                    try_delete(&engine, &name(i)).unwrap();
                }
            }
            engine.compact().unwrap();
            assert_clean(&engine);
        }
        assert!(least > 200, "seed {seed}: {least}");
    }
}

#[test]
fn a_full_store_that_is_opened_again_takes_deletions_and_nothing_else() {
    for orderly in [true, false] {
        let mut machine = Machine::new(1);
        let engine = machine.open(options());
        machine.disk.set_space(Some(SPACE));
        let written = fill(&engine);
        if orderly {
            engine.close().unwrap();
        }
        machine.kill();
        drop(engine);
        let engine = machine.open(options());
        machine.disk.set_space(Some(machine.disk.used_bytes() + RESERVE - 1));
        assert_full(try_set(&engine, "more", b"its segment is new, and nobody has asked for it"));
        delete_range(&engine, "0", "1");
        assert_full(try_set(&engine, "more", b""));
        engine.compact().unwrap();
        set(&engine, "more", b"there is room");
        assert!(fill(&engine) > written / 2);
    }
}

#[test]
fn what_expires_in_a_full_store_is_swept_and_makes_room() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    machine.disk.set_space(Some(SPACE));
    for i in 0..400 {
        set_until(&engine, &name(i), &[7; 400], START_MS + 1_000);
    }
    let written = fill(&engine);
    machine.clock.advance_ms(2_000);
    while engine.step(3).unwrap() == Step::Sweep {}
    assert_full(try_set(&engine, "more", &[1; 2_000]));
    engine.compact().unwrap();
    assert_eq!(get(&engine, "00000").is_some(), written > 0);
    set(&engine, "more", &[1; 2_000]);
}

#[test]
fn deletions_go_on_when_too_many_tables_cannot_be_merged_for_want_of_room() {
    let machine = Machine::new(1);
    let deep = Options { level_base_bytes: 1 << 20, level0_tables: 1, ..options() };
    let engine = machine.open(Options { reserve_bytes: 64 << 10, ..deep });
    for i in 0..1_000 {
        set(&engine, &name(i), &[7; 400]);
    }
    engine.compact().unwrap();
    // Whatever is merged with these must be written anew.
    machine.disk.set_space(Some(machine.disk.used_bytes() + (250 << 10)));
    let stopped = (0..5_000).find(|i| try_set(&engine, &name(i * 7 % 1_000), &[8; 400]).is_err());
    assert!(stopped.is_some());
    while engine.stats().unwrap().levels[0].tables < 9 {
        delete_range(&engine, "00000", "00001");
        engine.flush().unwrap();
    }
    assert_full(try_set(&engine, "more", b""));
    delete_range(&engine, "0", "1");
    engine.compact().unwrap();
    assert!(names(&engine).is_empty());
    set(&engine, "more", b"there is room");
}

#[test]
fn a_stopped_commit_that_finds_room_has_the_workers_try_again() {
    for _ in 0..20 {
        let machine = Machine::new(1);
        let stopping = Options { frozen_memtables_max: 1, reserve_bytes: 0, ..options() };
        let engine = machine.open(Options { workers: Workers::Threads, ..stopping });
        machine.disk.set_space(Some(100 << 10));
        assert_full((0..20_000).try_for_each(|i| try_set(&engine, &name(i), &[7; 400]).map(drop)));
        machine.disk.set_space(None);
        set(&engine, "more", &[1; 2_000]);
        assert!(contents(&engine).iter().any(|(name, _)| name == "more"));
        commit(&engine, &[Mutation::DeleteRange { start: &[DATA], end: &[DATA + 1] }]);
        engine.close().unwrap();
    }
}

#[test]
fn a_stopped_commit_that_cannot_ask_for_the_free_space_says_so() {
    let machine = Machine::new(1);
    let faults = Faults::new();
    let disk = Arc::new(FaultDisk::new(machine.disk.clone(), faults.clone()));
    let stopping = Options { frozen_memtables_max: 1, reserve_bytes: 0, ..options() };
    let stopping = Options { workers: Workers::Threads, ..stopping };
    let engine = Engine::open(machine.env_on(disk), stopping).unwrap();
    let full = Fault::kind(std::io::ErrorKind::StorageFull).on(Operation::Create);
    faults.inject(full.named(|name| matches!(name, Name::Table(_))).for_ever());
    // A memtable that cannot be written stops commits before the log is asked for room.
    assert_full((0..20_000).try_for_each(|i| try_set(&engine, &name(i), &[7; 400]).map(drop)));
    faults.inject(Fault::code(5).on(Operation::FreeBytes).for_ever());
    let refusal = try_set(&engine, "more", b"").unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Io, "{refusal:?}");
    assert!(refusal.to_string().contains("measure"), "{refusal}");
    faults.clear();
    let stamp = set(&engine, "more", b"there is room");
    assert!(engine.get(&key("more")).unwrap().is_some_and(|record| record.stamp == stamp));
}
