//! What a failure ends, and what it does not: after a poisoned edit nothing more is written, and
//! whatever left no trace may be tried again.

use std::sync::Arc;

use icecore_disk::fault::Operation;
use icecore_disk::{Fault, FaultDisk, Faults, Name};
use icecore_engine::{Batch, Check, Engine, ErrorKind, LogOptions, Mutation, Options, Updated};

use crate::support::{Machine, assert_clean, contents, key, names, set, small, try_set};

const EIO: i32 = 5;
/// Too many open files.
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

fn is_manifest(name: Name) -> bool {
    matches!(name, Name::Manifest(_))
}

fn is_log(name: Name) -> bool {
    matches!(name, Name::Wal(_))
}

/// A store on a disk that fails when it is told to.
fn faulty(machine: &Machine, options: Options) -> (Arc<Faults>, Engine) {
    let faults = Faults::new();
    let disk = FaultDisk::new(machine.disk.clone(), faults.clone());
    (faults, Engine::open(machine.env_on(Arc::new(disk)), options).unwrap())
}

fn tables(machine: &Machine) -> Vec<Name> {
    machine.names(|name| matches!(name, Name::Table(_)))
}

/// How many tables the store knows of.
fn listed(engine: &Engine) -> usize {
    let levels = engine.stats().unwrap().levels;
    usize::try_from(levels.iter().map(|level| level.tables).sum::<u64>()).unwrap()
}

/// A key so long that a few tables fill the manifest with their bounds.
fn long(i: u32) -> String {
    format!("{:a<4000}{i:04}", "")
}

#[test]
fn a_poisoned_store_writes_no_more_tables() {
    // With something to flush, and with something to merge.
    for flushes in [0, small().level0_tables] {
        let machine = Machine::new(1);
        let (faults, engine) = faulty(&machine, small());
        set(&engine, "a", b"v");
        for _ in 0..flushes {
            set(&engine, "a", b"v");
            engine.flush().unwrap();
        }
        faults.inject(Fault::code(EIO).on(Operation::Sync).named(is_manifest));
        assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::Io);
        assert!(engine.stats().unwrap().poisoned.is_some());
        let before = tables(&machine);
        for choice in 0..24 {
            if let Err(error) = engine.step(choice) {
                assert_eq!(error.kind(), ErrorKind::Poisoned, "{error:?}");
            }
            assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::Poisoned);
        }
        assert_eq!(tables(&machine), before);
        drop(engine);
        assert_eq!(names(&machine.open(small())), ["a"]);
    }
}

#[test]
fn tables_that_were_written_and_not_installed_are_deleted() {
    let not_durable = Fault::code(EIO).on(Operation::SyncDir);
    let not_listed = Fault::code(ENOSPC).on(Operation::Allocate).named(is_manifest).for_ever();
    for fault in [not_durable, not_listed] {
        let machine = Machine::new(1);
        let (faults, engine) = faulty(&machine, Options { level0_tables: 100, ..small() });
        faults.inject(fault);
        let mut flushed = 0;
        let refused = loop {
            set(&engine, &long(flushed), b"v");
            match engine.flush() {
                Ok(()) => flushed += 1,
                Err(error) => break error,
            }
            assert!(flushed < 90, "no fault struck");
        };
        assert!([ErrorKind::Io, ErrorKind::OutOfSpace].contains(&refused.kind()), "{refused:?}");
        assert_eq!(engine.stats().unwrap().poisoned, None);
        assert_eq!(tables(&machine).len(), listed(&engine));
        faults.clear();
        engine.flush().unwrap();
        assert_eq!(listed(&engine) as u32, flushed + 1);
        assert_eq!(tables(&machine).len(), listed(&engine));
        assert_clean(&engine);
    }
}

#[test]
fn the_outputs_of_a_merge_that_was_not_installed_are_deleted() {
    let machine = Machine::new(1);
    let (faults, engine) = faulty(&machine, Options { level0_tables: 2, ..small() });
    let not_listed = Fault::code(ENOSPC).on(Operation::Allocate).named(is_manifest).for_ever();
    let (mut rounds, mut refused) = (0, 0);
    while refused < 5 {
        // Each pair has keys of its own and one in common, so that it is merged, not moved.
        for half in 0..2 {
            set(&engine, &long(0), b"v");
            set(&engine, &long(2 * rounds + half), b"v");
            engine.flush().unwrap();
        }
        // Now and then the manifest needs more room for the edit.
        faults.inject(not_listed);
        let compacted = engine.compact();
        faults.clear();
        if let Err(error) = compacted {
            assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error:?}");
            assert_eq!(tables(&machine).len(), listed(&engine));
            refused += 1;
        }
        rounds += 1;
        assert!(rounds < 500, "no fault struck");
    }
    engine.compact().unwrap();
    assert_eq!(tables(&machine).len(), listed(&engine));
    assert_clean(&engine);
}

#[test]
fn a_manifest_that_cannot_be_rolled_stays_in_use() {
    let machine = Machine::new(1);
    let (faults, engine) = faulty(&machine, small());
    faults.inject(Fault::code(EIO).on(Operation::Create).named(is_manifest).for_ever());
    let mut written = 0;
    while engine.stats().unwrap().roll_failures < 10 {
        set(&engine, &long(written), b"v");
        engine.flush().unwrap();
        if written % 4 == 3 {
            engine.compact().unwrap();
        }
        written += 1;
        assert!(written < 500, "the manifest never grows long");
    }
    let stats = engine.stats().unwrap();
    assert_eq!(stats.poisoned, None);
    assert_clean(&engine);
    faults.clear();
    set(&engine, &long(written), b"v");
    engine.flush().unwrap();
    let rolled = engine.stats().unwrap().manifest_bytes;
    assert!(rolled < stats.manifest_bytes, "{rolled} after {}", stats.manifest_bytes);
    let before = contents(&engine);
    assert_eq!(before.len() as u32, written + 1);
    assert_eq!(machine.names(is_manifest).len(), 1);
    drop(engine);
    let engine = machine.open(small());
    assert_eq!(contents(&engine), before);
    assert_clean(&engine);
}

#[test]
fn a_segment_that_cannot_be_made_once_is_made_by_the_next_commit() {
    let log = LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() };
    let options = Options { memtable_bytes: 1 << 20, log, ..small() };
    let create = Fault::code(EMFILE).on(Operation::Create).named(is_log);
    let room = Fault::code(EIO).on(Operation::FreeBytes);
    for fault in [create, room] {
        let machine = Machine::new(1);
        let (faults, engine) = faulty(&machine, options.clone());
        faults.inject(fault);
        let outcomes = (0..60).map(|i| try_set(&engine, &format!("{i:02}"), &[7; 400]));
        let refused: Vec<_> = outcomes.filter_map(Result::err).collect();
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!(refused[0].kind(), ErrorKind::Io);
        assert_eq!(engine.stats().unwrap().poisoned, None);
        assert_eq!(names(&engine).len(), 59);
    }
}

#[test]
fn a_commit_on_a_poisoned_store_hears_of_the_poison_before_it_hears_of_a_table() {
    let machine = Machine::new(1);
    let (faults, engine) = faulty(&machine, small());
    let stamp = set(&engine, "read", b"v");
    engine.flush().unwrap();
    faults.inject(Fault::code(EIO).on(Operation::Complete).named(is_log));
    assert_eq!(try_set(&engine, "b", b"v").unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    let is_table = |name| matches!(name, Name::Table(_));
    faults.inject(Fault::code(EIO).named(is_table).for_ever());
    assert_eq!(engine.get(&key("read")).unwrap_err().kind(), ErrorKind::Io);
    let key = key("read");
    let checks = [Check { key: &key, expected: Some(stamp) }];
    let sum = [Mutation::Update { key: &key, update: &|_| Ok(Updated::Keep) }];
    for batch in [Batch { checks: &checks, mutations: &[] }, Batch { checks: &[], mutations: &sum }]
    {
        let refused = engine.commit(batch).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Poisoned, "{refused:?}");
    }
}
