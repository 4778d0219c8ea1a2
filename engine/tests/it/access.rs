//! Who may open a store and for what: reading only, one owner, limits on what is given.

#![expect(clippy::disallowed_methods, reason = "the other process is told by its environment")]

use std::io::{BufRead, BufReader, ErrorKind as IoKind, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;

use icecore_disk::fault::Operation;
use icecore_disk::{Fault, FaultDisk, Faults};
use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_engine::{
    Access, Batch, Check, Create, Engine, Error, ErrorKind, LogOptions, Mutation, Options, Outcome,
    TableOptions, UpdateFn, Updated, Workers,
};

use crate::support::{
    Machine, assert_clean, commit, contents, key, set, set_if, small, try_commit, try_set,
};

fn read_only() -> Options {
    Options { access: Access::ReadOnly, ..small() }
}

/// A machine with a store that has tables and, if it was not closed, a log to replay.
fn store(closed: bool) -> (Machine, Vec<(String, Vec<u8>)>) {
    let mut machine = Machine::new(1);
    let engine = machine.open(small());
    for i in 0..200 {
        set(&engine, &format!("{i:03}"), &[7; 200]);
    }
    let seen = contents(&engine);
    if closed {
        engine.close().unwrap();
    }
    machine.kill();
    (machine, seen)
}

/// A disk that refuses everything that would change it.
fn write_protected(machine: &Machine) -> (Arc<FaultDisk>, Arc<Faults>) {
    use Operation::{
        Allocate, Complete, Create, CreateDirectory, Link, Remove, Rename, SetLen, Sync, SyncDir,
        WriteAt,
    };
    let faults = Faults::new();
    for operation in [
        Allocate,
        Complete,
        Create,
        CreateDirectory,
        Link,
        Remove,
        Rename,
        SetLen,
        Sync,
        SyncDir,
        WriteAt,
    ] {
        faults.inject(Fault::kind(IoKind::ReadOnlyFilesystem).on(operation).for_ever());
    }
    (Arc::new(FaultDisk::new(machine.disk.clone(), faults.clone())), faults)
}

#[test]
fn a_reader_sees_everything_and_changes_nothing_even_where_it_may_not_write() {
    for closed in [false, true] {
        let (machine, seen) = store(closed);
        let before = machine.disk.snapshot_files();
        let (disk, faults) = write_protected(&machine);
        for workers in [Workers::Manual, Workers::Threads] {
            let options = Options { workers, ..read_only() };
            let engine = Engine::open(machine.env_on(disk.clone()), options).unwrap();
            assert_eq!(contents(&engine), seen);
            assert_eq!(engine.snapshot().unwrap().count(&[DATA], &[DATA + 1]).unwrap(), 200);
            assert_clean(&engine);
            engine.stats().unwrap();
            engine.close().unwrap();
        }
        assert_eq!(faults.struck(), 0, "it did not even try");
        assert!(machine.disk.snapshot_files() == before);
    }
}

#[test]
fn every_way_of_writing_is_refused_to_a_reader() {
    let (machine, _) = store(false);
    let engine = machine.open(read_only());
    let refused = |error: Error| assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    refused(try_set(&engine, "a", b"v").unwrap_err());
    refused(try_commit(&engine, &[]).unwrap_err());
    refused(engine.flush().unwrap_err());
    refused(engine.compact().unwrap_err());
    refused(engine.step(0).unwrap_err());
    let checks = [Check { key: &key("000"), expected: None }];
    refused(engine.commit(Batch { checks: &checks, mutations: &[] }).unwrap_err());
}

#[test]
fn readers_share_a_store_and_a_writer_does_not() {
    let (machine, seen) = store(true);
    let readers = [machine.open(read_only()), machine.open(read_only())];
    assert_eq!(machine.try_open(small()).unwrap_err().kind(), ErrorKind::Locked);
    for reader in &readers {
        assert_eq!(contents(reader), seen);
    }
    drop(readers);
    let writer = machine.open(small());
    assert_eq!(machine.try_open(read_only()).unwrap_err().kind(), ErrorKind::Locked);
    writer.close().unwrap();
    machine.open(read_only());
}

#[test]
fn a_refused_opening_gives_the_lock_back() {
    let machine = Machine::new(1);
    let never = Options { create: Create::Never, ..small() };
    for _ in 0..2 {
        assert_eq!(machine.try_open(never.clone()).unwrap_err().kind(), ErrorKind::NotFound);
    }
    machine.open(small());
}

#[test]
fn errors_say_what_they_are_about_and_whether_waiting_may_help() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let never = Options { create: Create::Never, ..small() };
    let missing = Engine::open_path(directory.path().join("none"), never.clone()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("none"), "{missing}");
    for options in [never, small()] {
        let error = Engine::open_path(&file, options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("open") && error.to_string().contains("file"));
        assert!(std::error::Error::source(&error).is_some() && !error.is_retryable(), "{error}");
    }
    let engine = Engine::open_path(directory.path(), small()).unwrap_err();
    assert_eq!(engine.kind(), ErrorKind::InvalidArgument, "{engine}");

    let machine = Machine::new(1);
    let engine = machine.open(Options { key_bytes_max: 10, ..small() });
    assert_eq!(engine.options().key_bytes_max, 10);
    let locked = machine.try_open(small()).unwrap_err();
    assert!(locked.is_retryable() && std::error::Error::source(&locked).is_none(), "{locked}");
    let long = try_set(&engine, "0123456789", b"v").unwrap_err();
    assert_eq!(long.to_string(), "a key is limited to 10, but 11 was given");
    assert!(!long.is_retryable());
}

/// Names the directory to the process that the next test starts.
const DIRECTORY: &str = "ICECORE_ENGINE_TEST_DIRECTORY";

/// Not a test: what the other process runs. It has the store open until its standard input ends.
#[test]
#[ignore = "started by another test in a process of its own"]
fn holds_the_store_until_told() {
    let engine = Engine::open_path(std::env::var(DIRECTORY).unwrap(), small()).unwrap();
    set(&engine, "theirs", b"v");
    println!("\nopen");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn a_store_that_another_process_has_is_locked_and_comes_free_with_its_death() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "access::holds_the_store_until_told", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line == "open"), "the other process has no store");
    for options in [small(), read_only()] {
        let error = Engine::open_path(directory.path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        let holder = format!("process {}", other.id());
        assert!(error.to_string().contains(&holder), "{error}");
        assert!(error.is_retryable());
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let engine = Engine::open_path(directory.path(), small()).unwrap();
    assert_eq!(contents(&engine), [("theirs".to_owned(), b"v".to_vec())]);
}

fn exceeded(engine: &Engine, mutation: Mutation<'_>) -> (u64, u64) {
    match try_commit(engine, &[mutation]).unwrap_err() {
        Error::LimitExceeded { max, got, .. } => (max, got),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_too_large_is_refused_with_the_limit_and_the_size() {
    let limits =
        Options { key_bytes_max: 100, value_bytes_max: 1_000, commit_bytes_max: 3_000, ..small() };
    let machine = Machine::new(1);
    let engine = machine.open(limits);
    let set = |key, value| Mutation::Set { key, value, expires_at: None };
    let long = [&[DATA], &[b'k'; 100][..]].concat();
    let (most, big) = (&long[..100], vec![1; 1_001]);
    commit(&engine, &[set(most, &big[..1_000])]);
    assert_eq!(exceeded(&engine, set(&long, b"")), (100, 101));
    assert_eq!(exceeded(&engine, set(most, &big)), (1_000, 1_001));
    assert_eq!(exceeded(&engine, Mutation::Delete { key: &long }), (100, 101));
    assert_eq!(exceeded(&engine, Mutation::DeleteRange { start: &[DATA], end: &long }), (100, 101));
    let keep: &UpdateFn<'_> = &|_| Ok(Updated::Keep);
    assert_eq!(exceeded(&engine, Mutation::Update { key: &long, update: keep }), (100, 101));
    let stamped = |prefix, suffix| Mutation::SetVersionstamped {
        prefix,
        suffix,
        value: b"",
        expires_at: None,
    };
    assert_eq!(exceeded(&engine, stamped(&long[..79], b"")), (100, 101));
    assert_eq!(exceeded(&engine, stamped(&long[..75], b"1234")), (100, 101));
    commit(&engine, &[stamped(&long[..75], b"123")]);
    let grown: &UpdateFn<'_> = &|_| Ok(Updated::Set { value: vec![1; 1_001], expires_at: None });
    assert_eq!(exceeded(&engine, Mutation::Update { key: most, update: grown }), (1_000, 1_001));
    let keys = [key("1"), key("2"), key("3")];
    let all: Vec<_> = keys.iter().map(|key| set(key, &big[..1_000])).collect();
    match try_commit(&engine, &all).unwrap_err() {
        Error::LimitExceeded { max: 3_000, got, .. } => assert!(got > 3_000),
        other => panic!("{other:?}"),
    }
    let too_long = [Check { key: &long, expected: None }];
    let checked = engine.commit(Batch { checks: &too_long, mutations: &[] });
    assert_eq!(checked.unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(contents(&engine).len(), 2, "what was refused left no trace");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for options in [
        Options { key_bytes_max: 1 << 20, ..small() },
        Options { value_bytes_max: 1 << 30, ..small() },
        Options { commit_bytes_max: 1 << 30, ..small() },
    ] {
        assert_eq!(Machine::new(1).try_open(options).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }
    let log = LogOptions::default();
    let table = TableOptions::default();
    for options in [
        Options { memtable_bytes: 0, ..small() },
        Options { table_bytes: 0, ..small() },
        Options { level_base_bytes: 0, ..small() },
        Options { level0_tables: 0, ..small() },
        Options { level_multiplier: 1, ..small() },
        Options { frozen_memtables_max: 0, ..small() },
        Options { table: TableOptions { filter_bits_per_key: 65, ..table }, ..small() },
        Options { log: LogOptions { block_bytes: 100, ..log }, ..small() },
        Options { log: LogOptions { segment_bytes: u32::MAX, ..log }, ..small() },
        Options { log: LogOptions { writes_in_flight: 0, ..log }, ..small() },
    ] {
        let told = format!("{options:?}");
        let error = Machine::new(1).try_open(options).err();
        let kind = error.as_ref().map(Error::kind);
        assert_eq!(kind, Some(ErrorKind::InvalidArgument), "{told}");
    }
}

#[test]
fn the_smallest_and_the_largest_settings_work() {
    let table = |filter_bits_per_key, block_bytes| TableOptions {
        filter_bits_per_key,
        block_bytes,
        ..Default::default()
    };
    for options in [
        Options { memtable_bytes: 1, table_bytes: 1, table: table(0, 1), ..small() },
        Options { memtable_bytes: 1 << 40, table_bytes: u64::MAX, ..small() },
        Options { level_base_bytes: 1, level_multiplier: 2, level0_tables: 1, ..small() },
        Options { level_base_bytes: u64::MAX, level_multiplier: u64::MAX, ..small() },
        Options { level0_tables: usize::MAX, frozen_memtables_max: 1 << 20, ..small() },
        Options { table: table(64, usize::MAX), cache_bytes: 0, ..small() },
        Options { log_bytes_max: 0, ..small() },
    ] {
        let told = format!("{options:?}");
        let machine = Machine::new(1);
        let engine = machine.open(options.clone());
        for i in 0..60 {
            set(&engine, &format!("{i:02}"), &[7; 100]);
            engine.step(i).unwrap();
        }
        engine.compact().unwrap();
        drop(engine);
        let engine = machine.open(options);
        assert_eq!(contents(&engine).len(), 60, "{told}");
        assert_clean(&engine);
    }
}

#[test]
fn keys_that_are_not_the_callers_are_refused() {
    let engine = Machine::new(1).open(small());
    for key in [&[][..], &[0], &[0xe0, 1], &[0xf0, b'w'], &[0xff], &[DATA - 1, 1], &[DATA + 1]] {
        let update: &UpdateFn<'_> = &|_| Ok(Updated::Keep);
        for mutation in [
            Mutation::Set { key, value: b"", expires_at: None },
            Mutation::SetVersionstamped { prefix: key, suffix: b"", value: b"", expires_at: None },
            Mutation::Delete { key },
            Mutation::Update { key, update },
        ] {
            let error = try_commit(&engine, &[mutation]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{mutation:?}");
        }
        let checks = [Check { key, expected: None }];
        let error = engine.commit(Batch { checks: &checks, mutations: &[] }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    for space in [DATA, QUEUE] {
        commit(&engine, &[Mutation::Set { key: &[space], value: b"bare", expires_at: None }]);
        assert_eq!(engine.get(&[space]).unwrap().unwrap().value, "bare");
    }
}

#[test]
fn an_error_in_an_update_fails_the_whole_commit_and_leaves_no_trace() {
    let engine = Machine::new(1).open(small());
    let before = set(&engine, "a", b"1");
    let fails: &UpdateFn<'_> =
        &|_| Err(Error::TypeMismatch { what: "a number was expected".into() });
    let (a, b) = (key("a"), key("b"));
    let mutations = [
        Mutation::Set { key: &a, value: b"2", expires_at: None },
        Mutation::Update { key: &b, update: fails },
    ];
    let error = try_commit(&engine, &mutations).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TypeMismatch);
    assert_eq!(engine.visible(), before);
    assert!(matches!(set_if(&engine, "a", Some(before), b"3"), Outcome::Committed(_)));
}

#[test]
fn a_reader_merges_no_tables_although_there_are_many() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { level0_tables: 100, ..small() });
    for i in 0..10 {
        set(&engine, &format!("{}", i % 3), &[i; 100]);
        engine.flush().unwrap();
    }
    let seen = contents(&engine);
    engine.close().unwrap();
    let before = machine.disk.snapshot_files();
    let engine = machine.open(Options { level0_tables: 2, ..read_only() });
    for choice in 0..12 {
        assert_eq!(engine.step(choice).unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(engine.compact().unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    assert_eq!(contents(&engine), seen);
    drop(engine);
    assert!(machine.disk.snapshot_files() == before, "a reader changed something");
}
