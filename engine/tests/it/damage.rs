//! Directories that are not what they should be. Each gives an error that names the file, and a
//! refused opening changes nothing.

use icecore_disk::Name;
use icecore_disk::sim::{Damage, Filler, Foreign, SimDisk};
use icecore_engine::keyspace::DATA;
use icecore_engine::{Access, Create, Engine, Error, ErrorKind, LogOptions, Options, ReadMode};
use icecore_model::Reader;
use icecore_model::frame::{Frame, Salt};
use icecore_model::read::put_varint;

use crate::support::{Machine, contents, set, small};

const FOOTER_BYTES: usize = 120;

/// Settings under which commits stay in the log, in several segments.
fn logging() -> Options {
    let log = LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 1 << 20, log, ..small() }
}

/// A machine with a store of several tables and several log segments, that nobody has open.
fn store(seed: u64, closed: bool) -> Machine {
    let mut machine = Machine::new(seed);
    let engine = machine.open(small());
    for i in 0..300 {
        set(&engine, &format!("{i:03}"), &[i as u8; 300]);
    }
    engine.compact().unwrap();
    engine.close().unwrap();
    let engine = machine.open(logging());
    for i in 0..100 {
        set(&engine, &format!("{i:03} later"), &[i as u8; 300]);
    }
    if closed {
        engine.close().unwrap();
    }
    machine.kill();
    machine
}

fn manifest(machine: &Machine) -> Name {
    let manifests = machine.names(|name| matches!(name, Name::Manifest(_)));
    *manifests.last().unwrap()
}

fn tables(machine: &Machine) -> Vec<Name> {
    let tables = machine.names(|name| matches!(name, Name::Table(_)));
    assert!(tables.len() > 3, "{tables:?}");
    tables
}

/// The segments that hold commits, in order.
fn segments(machine: &Machine) -> Vec<Name> {
    let used = |name| {
        let bytes = machine.disk.read_file(name).unwrap();
        matches!(name, Name::Wal(_)) && bytes[512..].iter().any(|byte| *byte != 0)
    };
    let segments = machine.names(used);
    assert!(segments.len() > 2, "{segments:?}");
    segments
}

/// Holds that the store cannot be opened, neither for writing nor for reading only, that the error
/// is of this kind and names this file, and that nothing has changed. Gives the error.
fn refused(machine: &Machine, kind: ErrorKind, file: Name) -> Error {
    let before = machine.disk.snapshot_files();
    let read_only = Options { access: Access::ReadOnly, ..small() };
    let errors = [small(), read_only].map(|options| machine.try_open(options).unwrap_err());
    for error in &errors {
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.to_string().contains(&file.to_string()), "{error} names {file}");
    }
    let changed = machine.disk.snapshot_files() != before;
    assert!(!changed, "a refused opening changed something: {}", errors[0]);
    errors[0].clone()
}

/// Holds that the store is refused, or that whoever reads is told; never silence, never a panic.
fn noticed(machine: &Machine, kind: ErrorKind, files: &[Name]) {
    let names_one = |text: String| files.iter().any(|file| text.contains(&file.to_string()));
    let good = |error: &Error| error.kind() == kind && names_one(error.to_string());
    for read_mode in [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read] {
        let read_only = Options { access: Access::ReadOnly, read_mode, ..small() };
        let engine = machine.open(read_only);
        let report = engine.check().unwrap();
        assert!(report.problems.iter().any(good), "{:?}", report.problems);
        let scanned = engine.scan(&[DATA], &[DATA + 1]).unwrap().find_map(Result::err);
        assert!(scanned.as_ref().is_some_and(good), "{scanned:?}");
        let backward = engine.scan(&[DATA], &[DATA + 1]).unwrap().rev().find_map(Result::err);
        assert!(backward.as_ref().is_some_and(good), "{backward:?}");
        let get = |i: u32| engine.get(&crate::support::key(&format!("{i:03}")));
        let got = (0..300).find_map(|i| get(i).err());
        assert!(got.as_ref().is_some_and(good), "{got:?}");
    }
}

fn patch(disk: &SimDisk, name: Name, at: usize, bytes: &[u8]) {
    let mut content = disk.read_file(name).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    disk.write_file(name, &content);
}

#[test]
fn an_undamaged_store_opens() {
    for closed in [false, true] {
        let machine = store(1, closed);
        segments(&machine);
        let read_only = Options { access: Access::ReadOnly, ..small() };
        let seen = contents(&machine.open(read_only));
        assert_eq!(seen.len(), 400);
        assert_eq!(contents(&machine.open(small())), seen);
    }
}

#[test]
fn a_directory_with_other_things_is_not_a_store_and_stays_as_it_is() {
    for create in [Create::IfMissing, Create::Never] {
        let mut machine = Machine::new(1);
        machine.at_rest(|disk| disk.add_foreign_entry("letter.txt", Foreign::File(vec![1; 10])));
        let options = Options { create, ..small() };
        let error = machine.try_open(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains("letter.txt"), "{error}");
        assert!(machine.disk.snapshot_files().is_empty(), "not even a lock file");
    }
}

#[test]
fn an_empty_directory_is_not_a_store_where_none_may_be_created() {
    for options in [
        Options { create: Create::Never, ..small() },
        Options { access: Access::ReadOnly, ..small() },
    ] {
        let machine = Machine::new(1);
        let error = machine.try_open(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(machine.disk.snapshot_files().is_empty(), "not even a lock file");
    }
}

#[test]
fn files_that_no_store_makes_are_left_alone_in_one() {
    let mut machine = store(1, false);
    machine.at_rest(|disk| {
        disk.add_foreign_entry("notes.txt", Foreign::File(vec![1; 10]));
        disk.add_foreign_entry("backup", Foreign::Directory);
    });
    let engine = machine.open(small());
    assert_eq!(contents(&engine).len(), 400);
    engine.compact().unwrap();
    drop(engine);
    let listed = icecore_disk::Disk::list(&*machine.disk).unwrap();
    assert_eq!(listed.iter().filter(|entry| entry.name.is_err()).count(), 2);
}

#[test]
fn a_format_of_the_future_is_told_from_damage() {
    let version = 2_u32.to_le_bytes();
    let machine = store(1, false);
    for file in [Name::Current, manifest(&machine), segments(&machine)[0]] {
        let mut machine = store(1, false);
        machine.at_rest(|disk| patch(disk, file, 8, &version));
        let error = refused(&machine, ErrorKind::UnknownFormat, file);
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}

#[test]
fn a_table_of_the_future_or_of_the_past_is_told_from_damage() {
    for version in [1_u32, 2, 4] {
        let mut machine = store(1, false);
        let table = tables(&machine)[1];
        machine.at_rest(|disk| {
            let mut content = disk.read_file(table).unwrap();
            let footer = content.len() - FOOTER_BYTES;
            content[footer + 108..][..4].copy_from_slice(&version.to_le_bytes());
            let checked = [&content[footer..footer + 104], &content[footer + 108..]].concat();
            let checksum = icecore_model::hash::crc32(&checked).to_le_bytes();
            content[footer + 104..][..4].copy_from_slice(&checksum);
            disk.write_file(table, &content);
        });
        noticed(&machine, ErrorKind::UnknownFormat, &[table]);
    }
}

#[test]
fn a_missing_file_is_named() {
    let machine = store(1, false);
    let segments = segments(&machine);
    let manifest = manifest(&machine);
    let mut files = tables(&machine);
    files.extend([Name::Current, manifest, segments[0], segments[1]]);
    for file in files {
        let mut machine = store(1, false);
        machine.at_rest(|disk| disk.remove_file(file).unwrap());
        refused(&machine, ErrorKind::Corrupt, file);
    }
}

#[test]
fn a_file_of_another_length_is_named() {
    let machine = store(1, true);
    let table = tables(&machine)[0];
    let manifest = manifest(&machine);
    let segment = segments(&machine)[0];
    for file in [Name::Current, manifest, segment, table] {
        let bytes = machine.disk.read_file(file).unwrap().len() as u64;
        for left in [0, 1, 11, 40, 100, bytes / 2, bytes - 1] {
            if left >= bytes || (file == manifest && left > 1_000) {
                continue;
            }
            let mut machine = store(1, true);
            machine.at_rest(|disk| disk.truncate_file(file, left).unwrap());
            let error = refused(&machine, ErrorKind::Corrupt, file);
            let Error::Corrupt { offset, .. } = error else { unreachable!("it is of this kind") };
            assert!(offset <= left, "{error} for {left} of {bytes} bytes");
        }
    }
    for file in [Name::Current, table] {
        let mut machine = store(1, true);
        machine.at_rest(|disk| disk.extend_file(file, 5, Filler::Garbage).unwrap());
        refused(&machine, ErrorKind::Corrupt, file);
    }
}

#[test]
fn something_else_in_the_place_of_a_file_is_refused() {
    let machine = store(1, false);
    let files = [tables(&machine)[0], Name::Current, manifest(&machine)];
    for file in files.into_iter().chain([segments(&machine)[0]]) {
        for entry in [Foreign::Symlink, Foreign::Directory] {
            let mut machine = store(1, false);
            machine.at_rest(|disk| disk.add_foreign_entry(&file.to_string(), entry));
            let error = machine.try_open(small()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Io), "{error:?}");
            assert!(error.to_string().contains(&file.to_string()), "{error}");
        }
    }
}

#[test]
fn files_that_changed_places_are_noticed() {
    let machine = store(1, false);
    let (segments, tables) = (segments(&machine), tables(&machine));
    let mut swapped = store(1, false);
    swapped.at_rest(|disk| disk.swap_files(segments[0], segments[1]).unwrap());
    refused(&swapped, ErrorKind::Corrupt, segments[0]);
    let length = |name| machine.disk.read_file(name).unwrap().len();
    let mut pairs = tables.iter().flat_map(|a| tables.iter().map(move |b| (*a, *b)));
    let equal = pairs.clone().find(|(a, b)| a < b && length(*a) == length(*b));
    let unequal = pairs.find(|(a, b)| length(*a) != length(*b));
    let (a, b) = unequal.expect("two tables differ in length");
    let mut swapped = store(1, false);
    swapped.at_rest(|disk| disk.swap_files(a, b).unwrap());
    let error = swapped.try_open(small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let (a, b) = equal.expect("two tables have the same length");
    let mut swapped = store(1, false);
    swapped.at_rest(|disk| disk.swap_files(a, b).unwrap());
    noticed(&swapped, ErrorKind::Corrupt, &[a, b]);
}

#[test]
fn files_of_another_store_are_noticed() {
    let other = store(2, false);
    let machine = store(1, false);
    for file in [Name::Current, manifest(&machine), segments(&machine)[0]] {
        let foreign = other.disk.read_file(file).unwrap();
        let mut machine = store(1, false);
        machine.at_rest(|disk| disk.write_file(file, &foreign));
        // A foreign CURRENT is noticed at the manifest that it leads to.
        let named = if file == Name::Current { manifest(&machine) } else { file };
        refused(&machine, ErrorKind::Corrupt, named);
    }
    let table = tables(&machine)[0];
    let foreign = other.disk.read_file(table).unwrap();
    assert_eq!(foreign.len(), machine.disk.read_file(table).unwrap().len());
    let mut machine = store(1, false);
    machine.at_rest(|disk| disk.write_file(table, &foreign));
    noticed(&machine, ErrorKind::Corrupt, &[table]);
}

#[test]
fn older_versions_of_files_are_noticed() {
    let mut machine = Machine::new(1);
    let engine = machine.open(logging());
    let work = |engine: &Engine, round: u8| {
        for i in 0..100 {
            set(engine, &format!("{i:03}"), &[round; 300]);
        }
    };
    work(&engine, 1);
    engine.flush().unwrap();
    work(&engine, 2);
    let older = machine.disk.snapshot_files();
    engine.compact().unwrap();
    work(&engine, 3);
    engine.flush().unwrap();
    engine.compact().unwrap();
    work(&engine, 4);
    engine.close().unwrap();
    let mut restored = Machine { disk: machine.disk.fork(), ..Machine::new(1) };
    restored.at_rest(|disk| disk.restore_older(&older, |name| matches!(name, Name::Manifest(_))));
    assert_eq!(restored.try_open(small()).unwrap_err().kind(), ErrorKind::Corrupt);
    machine.kill();
    let engine = machine.open(logging());
    work(&engine, 5);
    engine.close().unwrap();
    machine.at_rest(|disk| disk.restore_older(&older, |name| name == Name::Current));
    assert_eq!(machine.try_open(small()).unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A machine whose store holds twenty keys, and its files as they were when it held ten.
fn twenty_keys_and_the_files_of_ten() -> (Machine, Engine, Vec<(Name, Vec<u8>)>) {
    let machine = Machine::new(1);
    let engine = machine.open(logging());
    for i in 0..10 {
        set(&engine, &format!("{i}"), b"v");
    }
    let older = machine.disk.snapshot_files();
    for i in 10..20 {
        set(&engine, &format!("{i}"), b"v");
    }
    (machine, engine, older)
}

#[test]
fn an_older_version_of_the_log_of_a_closed_store_is_noticed() {
    let (mut machine, engine, older) = twenty_keys_and_the_files_of_ten();
    engine.close().unwrap();
    machine.at_rest(|disk| disk.restore_older(&older, |name| matches!(name, Name::Wal(_))));
    let error = machine.try_open(small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(".wal"), "{error}");
}

#[test]
fn damage_in_the_log_is_found_where_it_is() {
    let machine = store(1, false);
    let segments = segments(&machine);
    for segment in &segments {
        // The last frames of all could have been torn by a crash: nothing proves them.
        let proven = if Some(segment) == segments.last() { 1_500 } else { 16 << 10 };
        for at in [0, 20, 100, 600, 1_100, 4_200, 10_300].into_iter().filter(|at| *at < proven) {
            let mut machine = store(1, false);
            machine.at_rest(|disk| disk.corrupt(*segment, at, Damage::FlipBit(3)).unwrap());
            let error = refused(&machine, ErrorKind::Corrupt, *segment);
            let Error::Corrupt { offset, .. } = error else { unreachable!("it is of this kind") };
            assert!(offset <= at && at - offset < 1_024, "{error} for byte {at}");
        }
    }
}

#[test]
fn damage_in_the_manifest_is_found_where_it_is() {
    for (at, what) in [(3, "magic"), (30, "id"), (60, "first frame"), (120, "snapshot")] {
        let mut machine = store(1, true);
        let manifest = manifest(&machine);
        machine.at_rest(|disk| disk.corrupt(manifest, at, Damage::FlipBit(3)).unwrap());
        let error = refused(&machine, ErrorKind::Corrupt, manifest);
        let Error::Corrupt { offset, .. } = error else { unreachable!("it is of this kind") };
        assert!(offset <= at.max(52), "{error} for {what}");
    }
    for at in [0, 20, 35, 41] {
        let mut machine = store(1, true);
        machine.at_rest(|disk| disk.corrupt(Name::Current, at, Damage::FlipBit(3)).unwrap());
        refused(&machine, ErrorKind::Corrupt, Name::Current);
    }
}

#[test]
fn damage_anywhere_in_a_table_is_found_by_whoever_reads_there() {
    let machine = store(1, false);
    let table = tables(&machine)[2];
    let bytes = machine.disk.read_file(table).unwrap().len() as u64;
    for at in (0..bytes).step_by(701).chain(bytes - FOOTER_BYTES as u64..bytes) {
        let mut damaged = Machine { disk: machine.disk.fork(), ..Machine::new(1) };
        damaged.at_rest(|disk| disk.corrupt(table, at, Damage::FlipBit(3)).unwrap());
        let read_only = Options { access: Access::ReadOnly, ..small() };
        let engine = damaged.open(read_only);
        let report = engine.check().unwrap();
        assert!(!report.is_clean(), "byte {at} of {bytes}");
        assert!(report.problems[0].to_string().contains(&table.to_string()));
        let seen: Result<Vec<_>, Error> = engine.scan(&[DATA], &[DATA + 1]).unwrap().collect();
        assert!(seen.is_err() || seen.unwrap().len() == 400, "nothing wrong is ever shown");
    }
}

#[test]
fn a_log_that_ends_before_what_the_tables_hold_is_noticed() {
    let (mut machine, engine, older) = twenty_keys_and_the_files_of_ten();
    engine.flush().unwrap();
    set(&engine, "acknowledged", b"v");
    machine.kill();
    machine.at_rest(|disk| disk.restore_older(&older, |name| matches!(name, Name::Wal(_))));
    let log = machine.names(|name| matches!(name, Name::Wal(_)))[0];
    refused(&machine, ErrorKind::Corrupt, log);
}

#[test]
fn a_log_as_it_was_before_its_first_commit_is_noticed() {
    let mut machine = Machine::new(1);
    let engine = machine.open(logging());
    let empty = machine.disk.snapshot_files();
    set(&engine, "flushed", b"v");
    engine.flush().unwrap();
    set(&engine, "acknowledged", b"v");
    machine.kill();
    machine.at_rest(|disk| disk.restore_older(&empty, |name| matches!(name, Name::Wal(_))));
    let log = machine.names(|name| matches!(name, Name::Wal(_)))[0];
    refused(&machine, ErrorKind::Corrupt, log);
}

/// Puts a ceiling into the manifest under checksums that agree, and takes its edits away.
fn forge_ceiling(disk: &SimDisk, manifest: Name, ceiling: u64) {
    const HEADER_BYTES: usize = 52;
    let mut bytes = disk.read_file(manifest).unwrap();
    let salt = Salt(u64::from_le_bytes(bytes[40..48].try_into().unwrap()));
    let frame = Frame::decode(&bytes[HEADER_BYTES..], HEADER_BYTES as u32, salt).unwrap();
    let mut reader = Reader::new(frame.payload);
    reader.bytes(16, "an id").unwrap();
    let ids = reader.varint("a count").unwrap();
    reader.bytes(16 * ids as usize, "ids").unwrap();
    reader.varint("flushed").unwrap();
    let mut payload = frame.payload[..reader.offset()].to_vec();
    put_varint(&mut payload, ceiling);
    reader.varint("the ceiling").unwrap();
    payload.extend_from_slice(&frame.payload[reader.offset()..]);
    let header = frame.header.encode(&payload, salt);
    bytes.truncate(HEADER_BYTES);
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&payload);
    disk.write_file(manifest, &bytes);
}

#[test]
fn a_store_that_claims_to_be_out_of_stamps_is_not_written_to() {
    let mut machine = Machine::new(1);
    set(&machine.open(small()), "a", b"v");
    machine.kill();
    let manifest = manifest(&machine);
    let largest = icecore_model::Versionstamp::ISSUED_MAX.get();
    for ceiling in [largest, largest - 1, largest - 1_000] {
        machine.at_rest(|disk| forge_ceiling(disk, manifest, ceiling));
        let before = machine.disk.snapshot_files();
        let error = machine.try_open(small()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let names = |files: &[(Name, Vec<u8>)]| files.iter().map(|file| file.0).collect::<Vec<_>>();
        assert_eq!(names(&machine.disk.snapshot_files()), names(&before));
    }
}
