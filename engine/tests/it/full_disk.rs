//! A disk that has no room. It refuses what needs room and nothing else, and never poisons.

use icecore_disk::Name;
use icecore_disk::sim::{Crash, Damage, Failure, OpKind, Rules};
use icecore_engine::keyspace::DATA;
use icecore_engine::{Engine, Error, ErrorKind, LogOptions, Options, Workers};

use crate::support::{Machine, assert_clean, collect, contents, get, set, small, try_set};

fn options() -> Options {
    let log = LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 8 << 10, log, ..small() }
}

/// Commits until the disk is full, and gives how many went in.
fn fill(engine: &Engine, value: &[u8]) -> u32 {
    for i in 0..10_000 {
        match try_set(engine, &format!("{i:05}"), value) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error:?}");
                assert!(error.is_retryable());
                return i;
            }
        }
    }
    panic!("the disk does not become full");
}

#[test]
fn a_full_disk_refuses_commits_without_a_trace_and_goes_on_reading() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    machine.disk.set_space(Some(400 << 10));
    let written = fill(&engine, &[7; 400]);
    assert!(written > 200, "{written}");
    let before = contents(&engine);
    assert_eq!(before.len() as u32, written);
    let visible = engine.visible();
    let snapshot = engine.snapshot().unwrap();
    for _ in 0..20 {
        assert_eq!(
            try_set(&engine, "more", &[1; 2_000]).unwrap_err().kind(),
            ErrorKind::OutOfSpace
        );
    }
    assert_eq!((contents(&engine), engine.visible()), (before.clone(), visible));
    assert_eq!(get(&engine, "00000").unwrap(), [7; 400]);
    assert_eq!(collect(snapshot.scan(&[DATA], &[DATA + 1])), before);
    assert!(engine.stats().unwrap().poisoned.is_none());
    assert_clean(&engine);
    machine.disk.set_space(None);
    set(&engine, "more", b"there is room again");
    engine.compact().unwrap();
    assert_eq!(contents(&engine).len() as u32, written + 1);
    assert_clean(&engine);
}

#[test]
fn a_store_on_a_full_disk_closes_and_opens_again() {
    for workers in [Workers::Manual, Workers::Threads] {
        for orderly in [true, false] {
            let mut machine = Machine::new(1);
            let options = Options { workers, ..options() };
            let engine = machine.open(options.clone());
            machine.disk.set_space(Some(400 << 10));
            fill(&engine, &[7; 400]);
            let before = contents(&engine);
            if orderly {
                engine.close().unwrap();
            }
            machine.kill();
            drop(engine);
            match machine.try_open(options.clone()) {
                Ok(engine) => assert_eq!(contents(&engine), before),
                // What must be rewritten at opening may need more room than there is.
                Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error:?}"),
            }
            machine.disk.set_space(None);
            let engine = machine.open(options);
            assert_eq!(contents(&engine), before);
            set(&engine, "more", b"v");
            assert_clean(&engine);
        }
    }
}

#[test]
fn a_full_store_is_still_open_to_readers() {
    let mut machine = Machine::new(1);
    let engine = machine.open(options());
    machine.disk.set_space(Some(300 << 10));
    fill(&engine, &[7; 400]);
    let before = contents(&engine);
    machine.kill();
    drop(engine);
    machine.disk.set_space(Some(0));
    let options = Options { access: icecore_engine::Access::ReadOnly, ..options() };
    assert_eq!(contents(&machine.open(options)), before);
}

#[test]
fn commits_leave_the_reserve_free_also_when_the_log_reuses_its_segments() {
    let machine = Machine::new(1);
    let (space, reserve) = (1_000 << 10, 256 << 10);
    let engine = machine.open(Options { reserve_bytes: reserve, ..options() });
    machine.disk.set_space(Some(space));
    let refused = (0..10_000).find(|i| {
        let committed = try_set(&engine, &format!("{i:05}"), &[7; 400]);
        // Every flush gives segments back, which the log takes again without growing.
        engine.flush().unwrap();
        committed.is_err()
    });
    assert!(refused.is_some_and(|commits| commits > 500), "{refused:?}");
    let free = space - machine.disk.used_bytes();
    // What the last segment holds may have become tables since it was begun.
    assert!(free > reserve - (48 << 10), "{free}");
}

#[test]
fn threads_wait_out_a_full_disk() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { workers: Workers::Threads, ..options() });
    machine.disk.set_space(Some(400 << 10));
    let written = fill(&engine, &[7; 400]);
    let before = contents(&engine);
    machine.disk.set_space(None);
    // The workers try again by themselves; commits may be refused until they have.
    while let Err(error) = try_set(&engine, "more", &[1; 2_000]) {
        assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error:?}");
        std::thread::yield_now();
    }
    assert_eq!(contents(&engine).len() as u32, written + 1);
    assert_eq!(contents(&engine)[..before.len()], before);
    engine.close().unwrap();
}

#[test]
fn any_single_call_may_find_the_disk_full() {
    let count = |machine: &Machine| machine.disk.calls();
    let work = |engine: &Engine| -> Result<(), Error> {
        for i in 0..40 {
            try_set(engine, &format!("{i:02}"), &[7; 700])?;
        }
        engine.flush()?;
        engine.compact()
    };
    let whole = Machine::new(1);
    let engine = whole.open(options());
    let first = count(&whole);
    work(&engine).unwrap();
    let last = count(&whole);
    for call in first..last {
        let machine = Machine::new(1);
        let engine = machine.open(options());
        machine.disk.fail_call(call, Failure::NoSpace);
        if let Err(error) = work(&engine) {
            let kinds = [
                ErrorKind::OutOfSpace,
                ErrorKind::OutcomeUnknown,
                ErrorKind::Poisoned,
                ErrorKind::Io,
            ];
            assert!(kinds.contains(&error.kind()), "call {call}: {error:?}");
        }
        assert!(contents(&engine).iter().all(|(_, value)| value == &[7; 700]));
        drop(engine);
        let engine = machine.open(options());
        let seen = contents(&engine);
        assert!(seen.iter().enumerate().all(|(i, (name, _))| *name == format!("{i:02}")));
        assert_clean(&engine);
        work(&engine).unwrap();
    }
}

#[test]
fn allocations_that_find_the_disk_full_never_poison() {
    for after in 0..12 {
        let machine = Machine::new(1);
        let engine = machine.open(options());
        let mut acknowledged = 0;
        for i in 0..120_u32 {
            if i % 10 == after % 10 {
                machine.disk.fail_next(OpKind::Allocate, Failure::NoSpace, 1);
                machine.disk.fail_next(OpKind::Create, Failure::NoSpace, 1);
            }
            match try_set(&engine, &format!("{i:03}"), &[7; 700]) {
                Ok(_) => acknowledged += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error:?}"),
            }
        }
        assert_eq!(contents(&engine).len(), acknowledged);
        assert_eq!(engine.stats().unwrap().poisoned, None);
    }
}

/// A store of which much is in the log only, after its process was killed, and what it held.
fn killed() -> (Machine, Vec<(String, Vec<u8>)>) {
    let mut machine = Machine::new(1);
    let engine = machine.open(Options { memtable_bytes: 1 << 20, ..options() });
    for i in 0..200 {
        set(&engine, &format!("{i:03}"), &[i as u8; 400]);
    }
    let before = contents(&engine);
    machine.kill();
    drop(engine);
    (machine, before)
}

#[test]
fn a_store_that_is_too_full_to_be_recovered_is_opened_for_reading() {
    let (machine, before) = killed();
    let used = machine.disk.used_bytes();
    for room in [0, 10 << 10, 30 << 10] {
        machine.disk.set_space(Some(used + room));
        for workers in [Workers::Manual, Workers::Threads] {
            let engine = machine.open(Options { workers, ..options() });
            assert_eq!(contents(&engine), before);
            let refusal = try_set(&engine, "more", b"v").unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::OutOfSpace, "{refusal:?}");
            assert!(refusal.is_retryable());
            assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::OutOfSpace);
            assert_eq!(machine.try_open(options()).unwrap_err().kind(), ErrorKind::Locked);
            assert_clean(&engine);
            engine.close().unwrap();
            assert!(machine.disk.used_bytes() <= used, "a failed recovery leaves nothing behind");
        }
    }
    machine.disk.set_space(None);
    let engine = machine.open(options());
    assert_eq!(contents(&engine), before);
    set(&engine, "more", b"v");
    assert_clean(&engine);
}

#[test]
fn what_a_store_does_not_use_makes_room_for_its_recovery() {
    let (mut machine, before) = killed();
    let used = machine.disk.used_bytes();
    let leftovers = [Name::Table(900), Name::Temp(900)];
    machine.at_rest(|disk| leftovers.iter().for_each(|name| disk.write_file(*name, &[7; 300_000])));
    machine.disk.set_space(Some(used + 600_000));
    assert!(machine.disk.used_bytes() >= used + 600_000, "there is no room at all");
    let engine = machine.open(options());
    assert_eq!(contents(&engine), before);
    set(&engine, "more", b"v");
    assert!(machine.names(|name| leftovers.contains(&name)).is_empty());
    assert_clean(&engine);
}

#[test]
fn damage_is_told_before_anything_is_removed_to_make_room() {
    let (mut machine, _) = killed();
    let leftover = Name::Table(900);
    let segment = machine.names(|name| matches!(name, Name::Wal(_)))[0];
    machine.at_rest(|disk| {
        disk.write_file(leftover, &[7; 300_000]);
        disk.corrupt(segment, 600, Damage::FlipBit(3)).unwrap();
    });
    machine.disk.set_space(Some(machine.disk.used_bytes()));
    assert_eq!(machine.try_open(options()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(machine.names(|name| name == leftover), [leftover]);
}

#[test]
fn a_compaction_of_many_steps_needs_room_for_one() {
    let machine = Machine::new(1);
    let (level_base_bytes, table_bytes) = (16 << 10, 8 << 10);
    let deep = Options { level_base_bytes, table_bytes, level0_tables: 2, ..options() };
    let fill = |options: Options, round: u8| {
        let engine = machine.open(options);
        for i in 0..400 {
            set(&engine, &format!("{:03}", i * 7 % 400), &[round; 200]);
        }
        engine
    };
    // Several levels below, and a level 0 that nobody has merged.
    fill(deep.clone(), 1).compact().unwrap();
    drop(fill(Options { level0_tables: 100, ..deep.clone() }, 2));
    let engine = machine.open(deep);
    let used = machine.disk.used_bytes();
    machine.disk.set_space(Some(used + used / 2));
    engine.compact().unwrap();
    assert!(engine.stats().unwrap().compactions > 5);
    assert!(contents(&engine).iter().all(|(_, value)| *value == [2; 200]));
    assert_clean(&engine);
}

#[test]
fn room_is_made_only_of_what_a_durable_manifest_has_given_up() {
    for operation in 0.. {
        let mut machine = Machine::new(operation);
        machine.disk.set_rules(Rules::power_cut());
        let engine = machine.open(Options { memtable_bytes: 1 << 20, ..options() });
        for round in 0..6 {
            for i in 0..20 {
                set(&engine, &format!("{i:03}"), &[round; 100]);
            }
            engine.flush().unwrap();
        }
        let expected = contents(&engine);
        machine.disk.crash_at(machine.disk.operations() + operation);
        // A kill in the middle: what was written is shown, durable or not.
        let finished = engine.compact().is_ok();
        machine.kill();
        drop(engine);
        machine.disk.set_space(Some(machine.disk.used_bytes()));
        let engine = machine.open(options());
        assert_eq!(contents(&engine), expected, "operation {operation}");
        machine.disk.crash(Crash::Random);
        drop(engine);
        machine.disk = machine.disk.reopen();
        machine.disk.set_space(None);
        assert_eq!(contents(&machine.open(options())), expected, "operation {operation}");
        if finished {
            break;
        }
    }
}

#[test]
fn what_a_full_store_shows_survives_a_power_cut_also_after_a_failed_sync() {
    for seed in 0..16 {
        let mut machine = Machine::new(seed);
        machine.disk.set_rules(Rules::power_cut());
        let engine = machine.open(Options { memtable_bytes: 1 << 20, ..options() });
        for i in 0..100 {
            set(&engine, &format!("{i:03}"), &[7; 400]);
        }
        machine.disk.fail_next(OpKind::Complete, Failure::Io, 1);
        let unknown = try_set(&engine, "unknown", b"v").unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{unknown:?}");
        drop(engine);
        // The system may go on to show what the disk never got, and call it durable.
        machine.disk.set_space(Some(machine.disk.used_bytes()));
        let engine = machine.open(options());
        let shown = contents(&engine);
        assert!(shown.len() >= 100);
        assert_eq!(try_set(&engine, "more", b"v").unwrap_err().kind(), ErrorKind::OutOfSpace);
        machine.disk.crash(Crash::KeepNone);
        drop(engine);
        machine.disk = machine.disk.reopen();
        machine.disk.set_space(None);
        assert_eq!(contents(&machine.open(options())), shown);
    }
}

#[test]
fn what_fails_for_want_of_room_leaves_no_files_behind() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { level0_tables: 100, ..options() });
    for i in 0..300 {
        set(&engine, &format!("{:03}", i * 7 % 300), &[7; 400]);
    }
    engine.close().unwrap();
    drop(engine);
    let engine = machine.open(options());
    let used = machine.disk.used_bytes();
    machine.disk.set_space(Some(used + (40 << 10)));
    assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::OutOfSpace);
    assert_eq!(machine.disk.used_bytes(), used, "after a compaction");
    set(&engine, "more", &[7; 400]);
    machine.disk.set_space(Some(machine.disk.used_bytes()));
    let used = machine.disk.used_bytes();
    assert_eq!(engine.flush().unwrap_err().kind(), ErrorKind::OutOfSpace);
    assert_eq!(machine.disk.used_bytes(), used, "after a flush");
    assert_eq!(engine.step(1).unwrap_err().kind(), ErrorKind::OutOfSpace);
    assert_eq!(machine.disk.used_bytes(), used, "after a step");
}
