//! A piece of one file in the place of another's (E8): of another table, another segment, another
//! manifest, another store. It is refused wherever it is read, and never an older value is shown.

use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_engine::{
    Batch, Compression, Durability, Engine, Environment, Error, ErrorKind, LogOptions, Mutation,
    Options, Outcome, TableOptions, Workers,
};

const SECTOR: usize = 512;
const KEYS: u8 = 40;
const OLD: u8 = b'A';
const NEW: u8 = b'B';

/// Opens the store. Every opening has salts of its own.
fn open(disk: &Arc<SimDisk>, seed: u64, compression: Compression) -> Result<Engine, Error> {
    let environment = Environment {
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        clock: Arc::new(ManualClock::at(1)),
        random: Arc::new(SeededRandom::new(seed)),
    };
    let table = TableOptions { block_bytes: 400, compression, ..TableOptions::default() };
    let log = LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() };
    let options =
        Options { workers: Workers::Manual, level0_tables: 2, table, log, ..Options::default() };
    Engine::open(environment, options)
}

fn key(n: u8) -> [u8; 3] {
    [0x10, b'a', n]
}

/// Gives every key a value of this byte, one commit after the other.
fn fill(engine: &Engine, byte: u8) {
    for n in 0..KEYS {
        let (key, value) = (key(n), [byte; 100]);
        let set = Mutation::Set { key: &key, value: &value, expires_at: None };
        let batch = Batch { checks: &[], mutations: &[set] };
        let outcome = engine.commit_with(batch, Durability::Sync).expect("it is taken");
        assert!(matches!(outcome, Outcome::Committed(_)));
    }
}

fn close(engine: Engine, disk: &SimDisk) {
    engine.close().expect("nothing fails");
    drop(engine);
    disk.kill();
}

/// The files of this sort, by number.
fn files(disk: &SimDisk, sort: impl Fn(Name) -> bool) -> Vec<(Name, Vec<u8>)> {
    let mut files = disk.snapshot_files();
    files.retain(|(name, _)| sort(*name));
    files
}

/// A store whose older table has an older value of every key, and both tables.
fn two_tables(seed: u64, compression: Compression) -> (Arc<SimDisk>, Vec<(Name, Vec<u8>)>) {
    let disk = SimDisk::new(1, Rules::none());
    let engine = open(&disk, seed, compression).expect("a new store");
    for byte in [OLD, NEW] {
        fill(&engine, byte);
        engine.flush().expect("there is room");
    }
    close(engine, &disk);
    let tables = files(&disk, |name| matches!(name, Name::Table(_)));
    (disk, tables)
}

/// Whether something was not as it should be. Only damage may be told, and no older value.
fn told<T>(what: &str, result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
            None
        }
    }
}

/// Reads everything in every way; whether any damage was told.
fn reads_tell(what: &str, engine: &Engine) -> bool {
    let is_new = |value: &[u8]| assert_eq!(value, [NEW; 100], "{what}");
    let mut damaged = false;
    for n in 0..KEYS {
        match told(what, engine.get(&key(n))) {
            Some(record) => is_new(&record.expect("no key was deleted").value),
            None => damaged = true,
        }
    }
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    match told(what, engine.get_many(&keys)) {
        Some(records) => records.iter().for_each(|r| is_new(&r.as_ref().expect("a key").value)),
        None => damaged = true,
    }
    let mut seen = 0;
    match told(what, engine.scan(&[0x10], &[0x11])) {
        Some(scan) => {
            for item in scan {
                let Some(item) = told(what, item) else {
                    damaged = true;
                    break;
                };
                is_new(&item.value);
                seen += 1;
            }
        }
        None => damaged = true,
    }
    assert!(damaged || seen == KEYS, "{what}: the scan saw {seen} keys");
    damaged
}

/// Puts each run of sectors of `other` into the place of the same one of `name`, and demands that
/// reading tells.
fn demand_reads_tell(
    disk: &SimDisk,
    (name, content): &(Name, Vec<u8>),
    other: &[u8],
    compression: Compression,
) {
    assert_eq!(content.len(), other.len(), "the tables have the same places");
    let sectors = content.len() / SECTOR;
    for (from, to) in (0..sectors).flat_map(|from| (from + 1..=sectors).map(move |to| (from, to))) {
        let what = format!("sectors {from} to {to} of {name}, {compression:?}");
        let copy = disk.fork();
        let mut mixed = content.clone();
        let place = from * SECTOR..to * SECTOR;
        mixed[place.clone()].copy_from_slice(&other[place]);
        copy.write_file(*name, &mixed);
        let Some(engine) = told(&what, open(&copy.reopen(), 9, compression)) else { continue };
        assert!(reads_tell(&what, &engine), "{what}: no read told");
        let compacted = told(&what, engine.compact());
        assert!(compacted.is_none(), "{what}: it was merged as if it were whole");
        assert!(reads_tell(&what, &engine), "{what}: no read told after a merge");
        assert!(!engine.check().expect("it is a report").is_clean(), "{what}: not found");
    }
}

#[test]
fn no_read_and_no_merge_takes_a_block_of_another_table_in_the_same_place() {
    for compression in [Compression::None, Compression::Lz4] {
        let (disk, tables) = two_tables(1, compression);
        let [(_, older), newer] = &tables[..] else { panic!("two tables were flushed") };
        demand_reads_tell(&disk, newer, older, compression);
    }
}

#[test]
fn no_read_and_no_merge_takes_a_block_of_another_store_in_the_same_place() {
    let compression = Compression::None;
    let (disk, tables) = two_tables(1, compression);
    let (_, others) = two_tables(2, compression);
    demand_reads_tell(&disk, &tables[1], &others[1].1, compression);
}

/// A closed store with all commits in segments, each key written anew again and again.
fn logged(seed: u64) -> (Arc<SimDisk>, Vec<(Name, Vec<u8>)>) {
    let disk = SimDisk::new(1, Rules::none());
    let engine = open(&disk, seed, Compression::None).expect("a new store");
    fill(&engine, OLD);
    fill(&engine, NEW);
    close(engine, &disk);
    let segments = files(&disk, |name| matches!(name, Name::Wal(_)));
    (disk, segments)
}

/// Replaces a file, and demands that the store is refused or shows what it held.
fn demand_truth(what: &str, disk: &SimDisk, name: Name, content: &[u8]) -> bool {
    let copy = disk.fork();
    copy.write_file(name, content);
    let Some(engine) = told(what, open(&copy.reopen(), 9, Compression::None)) else { return true };
    reads_tell(what, &engine)
}

#[test]
fn frames_of_another_segment_or_store_are_no_frames_of_this_one() {
    let (disk, segments) = logged(1);
    let (_, others) = logged(2);
    assert!(segments.len() > 3, "{} segments", segments.len());
    let mut refused = 0;
    for (name, content) in &segments {
        let same_store = segments.iter().filter(|(other, _)| other != name);
        for (other, source) in same_store.chain(&others) {
            for at in (0..content.len().min(source.len())).step_by(SECTOR) {
                let what = format!("byte {at} of {other} in {name}");
                let mut mixed = content.clone();
                mixed[at..at + SECTOR].copy_from_slice(&source[at..at + SECTOR]);
                refused += u32::from(demand_truth(&what, &disk, *name, &mixed));
            }
        }
    }
    assert!(refused > 100, "{refused} were refused");
}

/// The manifest of a store that was opened `lives` times.
fn manifest(seed: u64, lives: u64) -> (Arc<SimDisk>, Name, Vec<u8>) {
    let mut disk = SimDisk::new(1, Rules::none());
    for life in 0..lives {
        let engine = open(&disk, seed * 10 + life, Compression::None).expect("it is whole");
        fill(&engine, if life + 1 < lives { OLD } else { NEW });
        engine.flush().expect("there is room");
        close(engine, &disk);
        if life + 1 < lives {
            disk = disk.reopen();
        }
    }
    let manifests = files(&disk, |name| matches!(name, Name::Manifest(_)));
    let [(name, content)] = &manifests[..] else { panic!("one manifest counts") };
    (disk, *name, content.clone())
}

#[test]
fn frames_of_an_older_manifest_or_of_another_store_are_no_frames_of_this_one() {
    let (disk, name, newest) = manifest(1, 2);
    let (_, _, older) = manifest(1, 1);
    let (_, _, foreign) = manifest(2, 2);
    let mut refused = 0;
    for (of, other) in [("an older one", &older), ("another store", &foreign)] {
        for at in 0..newest.len().min(other.len()) {
            let behind = [&newest[..at], &other[at..]].concat();
            let before = [&other[..at], &newest[at..]].concat();
            for (side, mixed) in [("behind", behind), ("before", before)] {
                let what = format!("{of} {side} byte {at}");
                let is_changed = mixed != newest;
                let is_refused = is_changed && demand_truth(&what, &disk, name, &mixed);
                refused += u32::from(is_refused);
            }
        }
    }
    assert!(refused > 200, "{refused} were refused");
}
