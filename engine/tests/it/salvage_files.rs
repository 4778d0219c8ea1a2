//! Salvage of directories whose files do not belong together: old ones, those of others, those that
//! nothing uses.

use std::path::Path;

use icecore_disk::Name;
use icecore_engine::{Engine, Options, SalvageLoss, SalvageReport, salvage};

use crate::support::{Machine, contents, set, small};

type Contents = Vec<(String, Vec<u8>)>;

/// Settings under which commits stay in the log, in several segments.
fn logging() -> Options {
    let log = icecore_engine::LogOptions { segment_bytes: 8 << 10, ..Default::default() };
    Options { memtable_bytes: 1 << 20, log, ..small() }
}

fn fill(engine: &Engine, prefix: &str) {
    for i in 0..60 {
        set(engine, &format!("{prefix}{i:02}"), &[7; 300]);
    }
}

/// What a machine has in its files.
fn files(machine: &Machine, wanted: fn(Name) -> bool) -> Vec<(Name, Vec<u8>)> {
    let files = machine.disk.snapshot_files();
    files.into_iter().filter(|(name, _)| wanted(*name)).collect()
}

/// Stops the machine, lets `change` have its way with the files, and salvages what is there.
fn salvaged(mut machine: Machine, change: impl FnOnce(&Machine)) -> (SalvageReport, Contents) {
    machine.disk.kill();
    change(&machine);
    machine.disk = machine.disk.reopen();
    let report = salvage(&machine.env(), Path::new("out"), &small(), &mut |_| {}).unwrap();
    assert!(report.check.is_clean(), "{:?}", report.check);
    let copy = machine.disk.directory(Path::new("out")).unwrap();
    let copy = Engine::open(machine.env_on(copy), small()).unwrap();
    (report, contents(&copy))
}

fn is_manifest(name: Name) -> bool {
    matches!(name, Name::Manifest(_) | Name::Current)
}

fn is_segment(name: Name) -> bool {
    matches!(name, Name::Wal(_))
}

fn remove(machine: &Machine, wanted: fn(Name) -> bool) {
    machine.names(wanted).into_iter().for_each(|name| machine.disk.remove_file(name).unwrap());
}

#[test]
fn a_manifest_that_does_not_know_the_newest_segments_does_not_decide_what_counts() {
    let machine = Machine::new(1);
    let engine = machine.open(logging());
    let old = files(&machine, is_manifest);
    fill(&engine, "a");
    let before = contents(&engine);
    engine.close().unwrap();
    let (report, found) = salvaged(machine, |machine| {
        remove(machine, is_manifest);
        old.iter().for_each(|(name, bytes)| machine.disk.write_file(*name, bytes));
    });
    assert_eq!(found, before);
    let doubt = &report.damage[0];
    assert_eq!(doubt.loss, SalvageLoss::FileSet);
    assert!(
        doubt.what.starts_with("it does not know ")
            && doubt.what.ends_with(", which holds commits")
    );
    assert!(!report.is_complete());
}

#[test]
fn a_manifest_that_knows_other_tables_does_not_decide_what_counts() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    fill(&engine, "a");
    engine.flush().unwrap();
    let old = files(&machine, is_manifest);
    fill(&engine, "a");
    engine.compact().unwrap();
    let before = contents(&engine);
    engine.close().unwrap();
    let (report, found) = salvaged(machine, |machine| {
        remove(machine, is_manifest);
        old.iter().for_each(|(name, bytes)| machine.disk.write_file(*name, bytes));
    });
    assert_eq!(found, before);
    let doubt = &report.damage[0];
    assert_eq!(doubt.loss, SalvageLoss::FileSet);
    assert!(doubt.what.contains(".table is missing, and it does not know "), "{doubt}");
}

#[test]
fn files_that_the_store_does_not_use_are_named_and_left_out() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    fill(&engine, "a");
    engine.flush().unwrap();
    let (table, bytes) = files(&machine, |name| matches!(name, Name::Table(_))).remove(0);
    let before = contents(&engine);
    engine.close().unwrap();
    let (report, found) = salvaged(machine, |machine| {
        machine.disk.write_file(Name::Table(900), &bytes);
        machine.disk.write_file(Name::Wal(900), b"no segment");
    });
    assert_eq!((found, report.damage.len()), (before, 0), "{table}");
    let unused = [Name::Table(900), Name::Wal(900)];
    assert_eq!(report.ignored, unused.map(|name| format!("{name}: the store does not use it")));
}

#[test]
fn without_a_manifest_the_log_of_another_store_is_told_from_its_own() {
    let (machine, other) = (Machine::new(1), Machine::new(2));
    let (engine, stranger) = (machine.open(logging()), other.open(logging()));
    fill(&stranger, "b");
    stranger.close().unwrap();
    fill(&engine, "a");
    let before = contents(&engine);
    engine.close().unwrap();
    let (foreign, bytes) = files(&other, is_segment).remove(0);
    let own = machine.names(is_segment);
    let free = Name::Wal(0);
    assert!(!own.contains(&free), "{own:?}");
    let (report, found) = salvaged(machine, |machine| {
        remove(machine, is_manifest);
        machine.disk.write_file(free, &renumbered(&bytes, 0));
    });
    assert_eq!(found, before, "{foreign}");
    let told = format!("{free}: it belongs to another store");
    assert!(report.ignored.contains(&told), "{:?}", report.ignored);
}

/// The segment under another number, with a header that is valid.
fn renumbered(segment: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = segment.to_vec();
    bytes[32..36].copy_from_slice(&number.to_le_bytes());
    let checksum = icecore_model::hash::hash64(&bytes[..72]);
    bytes[72..80].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn a_closed_log_that_has_lost_its_end_is_told_from_one_that_was_never_closed() {
    let machine = Machine::new(1);
    let engine = machine.open(logging());
    set(&engine, "a", b"kept");
    let before = contents(&engine);
    let old = files(&machine, is_segment);
    set(&engine, "b", b"lost");
    engine.close().unwrap();
    let (report, found) = salvaged(machine, |machine| {
        old.iter().for_each(|(name, bytes)| machine.disk.write_file(*name, bytes));
    });
    assert_eq!(found, before);
    assert!(!report.is_complete() && report.commits_lost > 0, "{report}");
    let lost = &report.damage[0];
    assert_eq!((&*lost.what, lost.loss), ("the end of the log is missing", SalvageLoss::Commits));
}
