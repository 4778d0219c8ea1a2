//! A recovery that is killed again and again ends, and what it leaves behind does not fill the disk.

use icecore_disk::Name;
use icecore_disk::sim::{Crash, Damage, Failure, OpKind, Rules, SimDisk};
use icecore_engine::{Engine, ErrorKind, LogOptions, Mutation, Options};

use crate::support::{Machine, assert_clean, contents, key, set, small, try_commit};

const ENTRIES: usize = 300;

/// Settings under which everything stays in the log, in several segments.
fn filling() -> Options {
    let log = LogOptions { segment_bytes: 32 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 1 << 20, log, ..small() }
}

/// Settings under which a piece is a small part of it.
fn recovering() -> Options {
    Options { memtable_bytes: 8 << 10, ..filling() }
}

fn fill(engine: &Engine, entries: std::ops::Range<usize>) {
    for i in entries {
        set(engine, &format!("{i:03}"), &[i as u8; 300]);
    }
}

/// A machine with a long log, that was killed.
fn killed(seed: u64) -> Machine {
    let mut machine = Machine::new(seed);
    machine.disk.set_rules(Rules::power_cut());
    fill(&machine.open(filling()), 0..ENTRIES);
    machine.kill();
    machine
}

/// Holds that everything is there, and nothing that is not in use.
fn assert_whole(machine: &Machine, engine: &Engine) {
    let found = contents(engine);
    assert_eq!(found.len(), ENTRIES);
    for (i, (name, value)) in found.iter().enumerate() {
        assert_eq!((&**name, &**value), (&*format!("{i:03}"), &[i as u8; 300][..]));
    }
    assert_clean(engine);
    let tables: u64 = engine.stats().unwrap().levels.iter().map(|level| level.tables).sum();
    assert_eq!(machine.names(|name| matches!(name, Name::Table(_))).len() as u64, tables);
    assert_eq!(machine.names(|name| matches!(name, Name::Temp(_))), []);
    assert_eq!(machine.names(|name| matches!(name, Name::Manifest(_))).len(), 1);
}

/// Stops an opening inside the mutating operation of this number. Whether it was done before.
fn interrupt(machine: &mut Machine, operation: u64, crash: Option<Crash>) -> Option<Engine> {
    machine.disk.crash_at(operation);
    let opened = machine.try_open(recovering());
    if machine.disk.is_running() {
        machine.disk.crash_at(u64::MAX);
        return Some(opened.unwrap());
    }
    match crash {
        Some(crash) => machine.disk.crash(crash),
        None => machine.disk.kill(),
    }
    machine.disk = machine.disk.reopen();
    None
}

#[test]
fn a_recovery_that_is_killed_after_so_many_operations_ends() {
    for crash in [None, Some(Crash::Random), Some(Crash::KeepNone)] {
        for operations in [50, 60, 70] {
            let mut machine = killed(operations);
            let mut lives = 1;
            let engine = loop {
                match interrupt(&mut machine, operations, crash.clone()) {
                    Some(engine) => break engine,
                    None => lives += 1,
                }
                assert!(lives < 100, "killed after {operations} operations, it does not end");
            };
            assert!(lives > 1, "it was done in {operations} operations");
            assert_whole(&machine, &engine);
        }
    }
}

#[test]
fn recoveries_that_get_nothing_done_do_not_fill_the_disk() {
    for operations in 3..16 {
        let mut machine = killed(operations);
        let (used, files) = (machine.disk.used_bytes(), machine.names(|_| true).len());
        for _ in 0..40 {
            assert!(interrupt(&mut machine, operations, None).is_none());
        }
        let used = machine.disk.used_bytes() - used;
        let files = machine.names(|_| true).len() - files;
        assert!(used < 100 << 10 && files < 8, "{operations}: {used} bytes, {files} files");
    }
}

/// A machine whose recovery was killed when it had counted some pieces, but not all.
fn half_recovered() -> Machine {
    let mut machine = killed(1);
    while machine.names(|name| matches!(name, Name::Table(_))).len() < 5 {
        assert!(interrupt(&mut machine, 60, None).is_none());
    }
    machine
}

/// The last segment of the log with commits in it.
fn last_with_commits(machine: &Machine) -> Name {
    let holds_commits = |name: &Name| {
        let bytes = machine.disk.read_file(*name).unwrap();
        bytes.iter().skip(512).any(|byte| *byte != 0)
    };
    let segments = machine.names(|name| matches!(name, Name::Wal(_)));
    segments.into_iter().rev().find(holds_commits).unwrap()
}

#[test]
fn a_refused_opening_leaves_no_mark_not_even_after_a_power_cut() {
    let mut machine = killed(1);
    let last = last_with_commits(&machine);
    machine.at_rest(|disk| disk.corrupt(last, 1_030, Damage::FlipBit(3)).unwrap());
    let operations = machine.disk.operations();
    let error = machine.try_open(recovering()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(machine.disk.operations() > operations + 20, "it came to no piece");
    machine.disk.crash(Crash::KeepNone);
    machine.disk = machine.disk.reopen();
    assert_eq!(machine.names(|name| matches!(name, Name::Temp(_))), []);
}

#[test]
fn a_recovery_in_pieces_that_finds_damage_has_moved_only_what_is_true() {
    let mut machine = half_recovered();
    let last = last_with_commits(&machine);
    let flip = |disk: &SimDisk| disk.corrupt(last, 1_030, Damage::FlipBit(3)).unwrap();
    machine.at_rest(flip);
    for _ in 0..3 {
        let error = machine.try_open(recovering()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&last.to_string()), "{error}");
    }
    machine.at_rest(flip);
    let engine = machine.open(recovering());
    assert_whole(&machine, &engine);
}

#[test]
fn nothing_is_removed_by_the_word_of_a_manifest_that_misses_segments() {
    let mut machine = Machine::new(1);
    let engine = machine.open(filling());
    let older = machine.disk.snapshot_files();
    fill(&engine, 0..ENTRIES);
    engine.flush().unwrap();
    fill(&engine, 0..ENTRIES);
    machine.kill();
    machine.at_rest(|disk| {
        disk.restore_older(&older, |name| matches!(name, Name::Manifest(_)));
        disk.write_file(Name::Temp(900), &[]);
        let first = older.iter().find(|(name, _)| matches!(name, Name::Wal(_))).unwrap();
        disk.write_file(first.0, &first.1);
    });
    let before = machine.disk.snapshot_files();
    let error = machine.try_open(recovering()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(machine.disk.snapshot_files() == before, "{error}");
}

#[test]
fn a_recovery_in_pieces_on_a_full_disk_loses_nothing() {
    let mut outcomes = [0, 0];
    for room in (0..200).map(|step| step * 2_048) {
        let mut machine = half_recovered();
        machine.disk.set_space(Some(machine.disk.used_bytes() + room));
        let opened = machine.try_open(recovering());
        outcomes[usize::from(opened.is_ok())] += 1;
        match opened {
            Ok(engine) => assert_eq!(contents(&engine).len(), ENTRIES),
            Err(error) => assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error}"),
        }
        machine.disk.crash(Crash::Random);
        machine.disk = machine.disk.reopen();
        machine.disk.set_space(None);
        let engine = machine.open(recovering());
        assert_whole(&machine, &engine);
    }
    assert!(outcomes[1] > 0, "{outcomes:?}");
}

#[test]
fn a_recovery_in_pieces_of_which_any_call_fails_can_be_done_again() {
    let half = half_recovered();
    half.disk.kill();
    for call in 0.. {
        let mut machine = Machine { disk: half.disk.fork().reopen(), ..Machine::new(call) };
        machine.disk.fail_call(machine.disk.calls() + call, Failure::Io);
        let calls = machine.disk.calls();
        let opened = machine.try_open(recovering());
        let struck = machine.disk.calls() - calls > call;
        machine.disk.disarm();
        match opened {
            Ok(engine) => assert_eq!(contents(&engine).len(), ENTRIES, "{call}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{call}: {error}"),
        }
        machine.disk.crash(Crash::Random);
        machine.disk = machine.disk.reopen();
        let engine = machine.open(recovering());
        assert_whole(&machine, &engine);
        if !struck {
            assert!(call > 50, "only {call} calls");
            return;
        }
    }
}

/// A machine whose last commit, a large one, could not be written: reads of the log show it until
/// its pages are evicted. Its process was killed while it opened the store again.
fn deceived(seed: u64) -> Machine {
    let mut machine = Machine::new(seed);
    machine.disk.set_rules(Rules::power_cut());
    let engine = machine.open(filling());
    fill(&engine, 0..20);
    let names: Vec<_> = (20..60).map(|i| key(&format!("{i:03}"))).collect();
    let set = |key| Mutation::Set { key, value: &[1; 300], expires_at: None };
    let mutations: Vec<_> = names.iter().map(|name| set(name)).collect();
    machine.disk.fail_next(OpKind::Complete, Failure::Io, 1);
    let error = try_commit(&engine, &mutations).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    machine.at_rest(|disk| disk.write_file(Name::Temp(900), &[]));
    machine
}

#[test]
fn a_recovery_in_pieces_writes_the_log_that_it_has_replayed_and_not_what_another_reading_shows() {
    let mut found = [0, 0];
    for seed in 0..30 {
        for operation in 1..40 {
            let mut machine = deceived(seed);
            machine.disk.reseed(operation);
            if interrupt(&mut machine, operation, Some(Crash::Random)).is_some() {
                break;
            }
            let opened = machine.try_open(recovering());
            let engine = opened.unwrap_or_else(|e| panic!("{seed}, stopped at {operation}: {e}"));
            let entries = contents(&engine).len();
            assert!(entries == 20 || entries == 60, "{entries} entries");
            found[usize::from(entries == 60)] += 1;
            assert_clean(&engine);
        }
    }
    assert!(found[0] > 0 && found[1] > 0, "{found:?}");
}
