//! Copies of a store in another directory.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use icecore_disk::fault::Operation;
use icecore_disk::sim::SimDisk;
use icecore_disk::{Disk, Fault, FaultDisk, Faults, Name};
use icecore_engine::keyspace::DATA;
use icecore_engine::{Engine, Error, Options, Workers};
use icecore_model::Versionstamp;

use crate::support::{
    Machine, START_MS, assert_clean, contents, delete_range, get, names, set, set_until, small,
};

fn copy_of(machine: &Machine, path: &str) -> Arc<SimDisk> {
    machine.disk.directory(Path::new(path)).unwrap()
}

fn open_copy(machine: &Machine, path: &str) -> Engine {
    Engine::open(machine.env_on(copy_of(machine, path)), small()).unwrap()
}

/// A store with several levels, frozen and live memtables, and deletions in all of them.
pub(crate) fn layered(machine: &Machine) -> Engine {
    let engine = machine.open(small());
    for round in 0..4_u8 {
        for i in 0..120 {
            set(&engine, &format!("{:03}", i * 7 % 120), &[round; 300]);
        }
        delete_range(&engine, &format!("{:03}", round * 20), &format!("{:03}", round * 20 + 10));
        if round < 3 {
            engine.compact().unwrap();
        }
    }
    engine
}

#[test]
fn a_copy_is_a_store_of_its_own_with_the_same_content() {
    let machine = Machine::new(1);
    let engine = layered(&machine);
    let before = contents(&engine);
    let stamp = engine.checkpoint("copy").unwrap();
    assert_eq!(stamp, engine.visible());
    let copy = open_copy(&machine, "copy");
    assert_eq!(contents(&copy), before);
    assert_ne!(copy.database_id(), engine.database_id());
    assert_eq!(copy.visible(), stamp);
    assert_clean(&copy);
    set(&copy, "001", b"of the copy");
    set(&engine, "001", b"of the original");
    delete_range(&copy, "05", "99");
    delete_range(&engine, "00", "05");
    copy.compact().unwrap();
    engine.compact().unwrap();
    assert_eq!(get(&copy, "001").unwrap(), b"of the copy");
    assert_eq!(get(&engine, "001"), None);
    let split = |name: &str| name >= "05";
    assert!(names(&copy).iter().all(|name| !split(name)));
    assert!(names(&engine).iter().all(|name| split(name)));
    for store in [copy, engine] {
        assert_clean(&store);
    }
}

#[test]
fn records_keep_their_stamps_in_a_copy_and_later_ones_come_after_them() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let (first, second) = (set(&engine, "a", b"1"), set(&engine, "b", b"2"));
    engine.checkpoint("copy").unwrap();
    let copy = open_copy(&machine, "copy");
    let stamp = |name| copy.get(&crate::support::key(name)).unwrap().unwrap().stamp;
    assert_eq!((stamp("a"), stamp("b")), (first, second));
    assert!(set(&copy, "c", b"3") > second);
}

#[test]
fn a_copy_of_a_copy_and_of_an_empty_store_opens() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    assert_eq!(engine.checkpoint("empty").unwrap(), Versionstamp::ZERO);
    assert!(contents(&open_copy(&machine, "empty")).is_empty());
    set(&engine, "a", b"1");
    engine.flush().unwrap();
    engine.checkpoint("first").unwrap();
    let first = open_copy(&machine, "first");
    set(&first, "b", b"2");
    first.flush().unwrap();
    first.checkpoint("second").unwrap();
    drop((engine, first));
    let second = open_copy(&machine, "second");
    assert_eq!(names(&second), ["a", "b"]);
    second.compact().unwrap();
    assert_clean(&second);
}

#[test]
fn a_copy_knows_what_the_sweeper_had_passed() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set_until(&engine, "swept", b"v", START_MS + 10);
    set_until(&engine, "later", b"v", START_MS + 1_000);
    machine.clock.advance_ms(10);
    while engine.stats().unwrap().swept == 0 {
        engine.step(3).unwrap();
    }
    engine.checkpoint("copy").unwrap();
    machine.clock.set_wall_ms(START_MS);
    let copy = open_copy(&machine, "copy");
    assert_eq!(names(&copy), ["later"]);
    machine.clock.advance_ms(1_000);
    assert!(names(&copy).is_empty());
}

#[test]
fn a_directory_that_is_not_empty_is_refused_and_left_alone() {
    let machine = Machine::new(1);
    let engine = layered(&machine);
    engine.checkpoint("copy").unwrap();
    let files = copy_of(&machine, "copy").snapshot_files();
    let error = engine.checkpoint("copy").unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("copy"), "{error}");
    assert_eq!(copy_of(&machine, "copy").snapshot_files(), files);
    set(&engine, "a", b"the original goes on");
}

#[test]
fn a_copy_links_tables_and_keeps_them_when_the_original_is_gone() {
    let (original, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = other.path().join("copy");
    let engine = Engine::open_path(original.path(), small()).unwrap();
    for i in 0..200 {
        set(&engine, &format!("{i:03}"), &[7; 300]);
    }
    engine.flush().unwrap();
    set(&engine, "in memory", b"v");
    engine.checkpoint(&target).unwrap();
    let inodes = |path: &Path| -> BTreeSet<u64> {
        let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let tables = entries.filter(|path| path.extension().is_some_and(|e| e == "table"));
        tables.map(|path| path.metadata().unwrap().ino()).collect()
    };
    let (here, there) = (inodes(original.path()), inodes(&target));
    assert!(!here.is_empty() && here.is_subset(&there), "{here:?} {there:?}");
    assert_eq!(there.len(), here.len() + 1, "what was in memory is one more table");
    let before = contents(&engine);
    drop(engine);
    original.close().unwrap();
    let copy = Engine::open_path(&target, small()).unwrap();
    assert_eq!(contents(&copy), before);
    assert_clean(&copy);
}

#[test]
fn where_tables_cannot_be_linked_they_are_copied() {
    let machine = Machine::new(1);
    let before = contents(&layered(&machine));
    let faults = Faults::new();
    faults.inject(Fault::kind(ErrorKind::CrossesDevices).on(Operation::Link).for_ever());
    let disk = Arc::new(FaultDisk::new(machine.disk.clone(), faults.clone()));
    let engine = Engine::open(machine.env_on(disk), small()).unwrap();
    engine.checkpoint("copy").unwrap();
    assert!(faults.struck() > 1);
    drop(engine);
    for name in machine.names(|name| matches!(name, Name::Table(_))) {
        machine.disk.remove(name).unwrap();
    }
    let copy = open_copy(&machine, "copy");
    assert_eq!(contents(&copy), before);
    assert_clean(&copy);
}

#[test]
fn copies_taken_while_commits_go_on_hold_exactly_what_was_visible() {
    let machine = Machine::new(1);
    let options = Options { workers: Workers::Threads, memtable_bytes: 8 << 10, ..small() };
    let engine = machine.open(options);
    let done = AtomicBool::new(false);
    let stamps: Vec<Versionstamp> = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..1_500 {
                set(&engine, &format!("{:02} {i:04}", i % 7), &[7; 100]);
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut stamps = Vec::new();
        // As many as there is time for, but not any number: each is compared.
        while stamps.len() < 2 || (!done.load(Ordering::SeqCst) && stamps.len() < 60) {
            stamps.push(engine.checkpoint(format!("copy {}", stamps.len())).unwrap());
        }
        writer.join().unwrap();
        stamps
    });
    for (number, stamp) in stamps.iter().enumerate() {
        let copy = open_copy(&machine, &format!("copy {number}"));
        let items = |engine: &Engine| engine.scan(&[DATA], &[DATA + 1]).unwrap();
        let there: Vec<_> = items(&copy).map(|item| item.unwrap()).collect();
        let here: Vec<_> =
            items(&engine).map(|item| item.unwrap()).filter(|item| item.stamp <= *stamp).collect();
        assert_eq!(there, here);
        assert_clean(&copy);
    }
}
