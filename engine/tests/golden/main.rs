//! Format stability: every golden store opens, and holds what it always held.
//!
//! A golden store is the directory of a store that some version of the program wrote, in
//! `stores/NAME.store`. `stores/contents.txt` says for each name how many entries it shows and the
//! hash of all of them. `cargo xtask golden` makes new ones; those of a released format never
//! change.

#![expect(clippy::unwrap_used, reason = "a test that fails should say where")]

mod archive;
mod contents;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use icecore_disk::{Disk, MemoryDisk};
use icecore_engine::{Access, Batch, Create, Engine, Mutation, Outcome, ReadMode, keyspace::DATA};

use self::archive::{Files, disk_of, pack, unpack};
use self::contents::{Contents, open};

const READ_MODES: [ReadMode; 3] = [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read];

/// Behind every key of the golden stores.
const NEW_KEY: &[u8] = &[DATA, 0xfe];

struct Golden {
    name: String,
    files: Files,
    /// How many entries, and their hash.
    expected: String,
}

#[expect(clippy::disallowed_methods, reason = "the golden stores are files of the repository")]
fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stores");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn all() -> Vec<Golden> {
    let list = String::from_utf8(read("contents.txt")).unwrap();
    let line = |line: &str| {
        let (name, expected) = line.split_once(' ').unwrap();
        let files = unpack(&read(&format!("{name}.store"))).unwrap();
        Golden { name: name.to_owned(), files, expected: expected.to_owned() }
    };
    list.lines().map(line).collect()
}

/// Holds that every way of reading gives what was expected, and that nothing is wrong.
fn assert_golden(golden: &Golden, engine: &Engine, how: &str) -> Contents {
    let name = &golden.name;
    let contents = Contents::of(engine).unwrap_or_else(|error| panic!("{name}, {how}: {error}"));
    assert_eq!(contents.to_string(), golden.expected, "{name}, {how}");
    assert_eq!(Contents::backwards(engine).unwrap(), contents, "{name}, {how}, backwards");
    assert_eq!(Contents::of_changes(engine).unwrap(), contents, "{name}, {how}, changes");
    for row in &contents.rows {
        let record = engine.get(&row.key).unwrap();
        let got = record.map(|record| (record.stamp, record.value.to_vec(), record.expires_at));
        assert_eq!(got, Some((row.stamp, row.value.clone(), row.expires_at)), "{name}, {how}");
    }
    let report = engine.check().unwrap();
    assert!(report.is_clean(), "{name}, {how}: {report}: {:?}", report.problems);
    contents
}

fn files_on(disk: &MemoryDisk) -> BTreeMap<String, Vec<u8>> {
    let listed = disk.list().unwrap();
    let read = |name| {
        let file = disk.open(name, icecore_disk::OpenMode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_full_at(0, &mut bytes).unwrap();
        bytes
    };
    let names = listed.into_iter().map(|entry| entry.name.unwrap());
    names.map(|name| (name.to_string(), read(name))).collect()
}

#[test]
fn every_golden_store_holds_what_it_always_held() {
    let all = all();
    assert!(all.len() >= 30, "there are {} golden stores", all.len());
    for golden in &all {
        let disk = disk_of(&golden.files);
        let before = files_on(&disk);
        for read_mode in READ_MODES {
            let engine = open(Arc::new(disk.clone()), |options| {
                (options.access, options.read_mode) = (Access::ReadOnly, read_mode);
            });
            let engine = engine.unwrap_or_else(|error| panic!("{}: {error}", golden.name));
            assert_golden(golden, &engine, "read only");
        }
        assert!(files_on(&disk) == before, "{}: reading changed a file", golden.name);
    }
}

#[test]
fn every_golden_store_takes_new_commits() {
    for golden in &all() {
        for read_mode in READ_MODES {
            let disk = disk_of(&golden.files);
            let open = || {
                let engine = open(Arc::new(disk.clone()), |options| {
                    (options.create, options.read_mode) = (Create::Never, read_mode);
                });
                engine.unwrap_or_else(|error| panic!("{}: {error}", golden.name))
            };
            let engine = open();
            let before = assert_golden(golden, &engine, "for writing");
            let newest = before.rows.iter().map(|row| row.stamp).max();
            let set = Mutation::Set { key: NEW_KEY, value: b"new", expires_at: None };
            let batch = Batch { checks: &[], mutations: &[set] };
            let Outcome::Committed(stamp) = engine.commit(batch).unwrap() else {
                unreachable!("there is no check")
            };
            assert!(Some(stamp) > newest, "{}: {stamp} is not new", golden.name);
            engine.close().unwrap();
            let engine = open();
            engine.compact().unwrap();
            assert!(engine.check().unwrap().is_clean(), "{}", golden.name);
            let mut after = Contents::of(&engine).unwrap();
            let added = after.rows.iter().position(|row| row.key == NEW_KEY).unwrap();
            assert_eq!(after.rows.remove(added).stamp, stamp);
            assert_eq!(after, before, "{}", golden.name);
        }
    }
}

#[test]
fn an_archive_gives_back_what_was_packed() {
    for golden in &all() {
        assert_eq!(unpack(&pack(&golden.files)).unwrap(), golden.files, "{}", golden.name);
    }
}

#[test]
fn an_archive_with_damage_is_refused() {
    let archive = pack(&all()[0].files);
    let first_line = archive.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    assert!(unpack(&archive[1..]).is_err());
    assert!(unpack(&archive[..archive.len() - 1]).is_err());
    let with_line = |line: &str| [&archive[..first_line], line.as_bytes()].concat();
    for line in ["CURRENT 1 2\nxy\n", "CURRENT 99999999999 0\n\n", "current 0 0\n\n", "LOCK 1\n\n"]
    {
        assert!(unpack(&with_line(line)).is_err(), "{line:?}");
    }
}
