//! Damage at rest: F1 to F8.

use super::*;
use crate::{Listed, OpenMode};

/// A stopped machine with two files.
fn at_rest() -> Arc<SimDisk> {
    let disk = SimDisk::new(1, Rules::power_cut());
    durable_file(&disk, Name::Wal(1), 2, 1);
    durable_file(&disk, Name::Wal(2), 3, 2);
    disk.crash(Crash::KeepNone);
    disk
}

#[test]
fn files_are_removed_cut_extended_copied_swapped_and_restored() {
    let disk = at_rest();
    let before = disk.snapshot_files();
    disk.truncate_file(Name::Wal(1), 700).unwrap();
    assert_eq!(disk.read_file(Name::Wal(1)).unwrap(), [1; 700]);
    disk.extend_file(Name::Wal(1), 100, Filler::Zeros).unwrap();
    assert_eq!(disk.read_file(Name::Wal(1)).unwrap()[700..], [0; 100]);
    disk.extend_file(Name::Wal(1), 100, Filler::Garbage).unwrap();
    assert_ne!(disk.read_file(Name::Wal(1)).unwrap()[800..], [0; 100]);
    disk.duplicate_file(Name::Wal(2), Name::Wal(3)).unwrap();
    disk.swap_files(Name::Wal(1), Name::Wal(3)).unwrap();
    assert_eq!(fills(&disk.read_file(Name::Wal(1)).unwrap()), [2, 2, 2]);
    assert_eq!(disk.read_file(Name::Wal(3)).unwrap().len(), 900);
    disk.remove_file(Name::Wal(3)).unwrap();
    disk.write_file(Name::Wal(2), b"of another store");
    disk.restore_older(&before, |name| name == Name::Wal(1));
    let next = disk.reopen();
    assert_eq!(next.read_file(Name::Wal(1)).unwrap(), before[0].1);
    assert_eq!(names(&next), [Name::Wal(1), Name::Wal(2)]);
    assert_eq!(next.used_bytes(), 1024 + 16);
    next.crash(Crash::KeepNone);
    assert_eq!(next.read_file(Name::Wal(2)).unwrap(), b"of another store", "it is durable");
}

#[test]
fn bytes_at_rest_are_damaged_where_it_was_asked_and_nowhere_else() {
    let disk = at_rest();
    disk.corrupt(Name::Wal(2), 700, Damage::FlipBit(3)).unwrap();
    let after = disk.read_file(Name::Wal(2)).unwrap();
    assert_eq!(after[700], 2 ^ 8);
    assert_eq!(after.iter().filter(|b| **b != 2).count(), 1);
    disk.corrupt(Name::Wal(2), 700, Damage::ZeroSector).unwrap();
    assert_eq!(fills(&disk.read_file(Name::Wal(2)).unwrap()), [2, 0, 2]);
    disk.corrupt(Name::Wal(2), 0, Damage::RandomSector).unwrap();
    disk.corrupt(Name::Wal(2), 1500, Damage::FlipBits(9)).unwrap();
    let after = disk.read_file(Name::Wal(2)).unwrap();
    assert_ne!(after[..512], [2; 512]);
    assert_eq!(after[512..1024], [0; 512]);
    assert_ne!(after[1024..], [2; 512]);
    assert!(disk.corrupt(Name::Wal(2), 1536, Damage::ZeroSector).is_err());
    assert_eq!(fills(&disk.read_file(Name::Wal(1)).unwrap()), [1, 1]);
}

#[test]
fn foreign_entries_are_listed_and_refused() {
    let disk = at_rest();
    disk.add_foreign_entry("notes.txt", Foreign::File(b"buy milk".to_vec()));
    disk.add_foreign_entry("0000000002.wal", Foreign::Symlink);
    disk.add_foreign_entry("CURRENT", Foreign::Directory);
    let disk = disk.reopen();
    let listed = disk.list().unwrap();
    let entry = |name, bytes, regular| Listed { name, bytes, regular };
    assert_eq!(listed.len(), 4);
    assert!(listed.contains(&entry(Err("notes.txt".to_owned()), 8, true)));
    assert!(listed.contains(&entry(Ok(Name::Wal(2)), 0, false)));
    assert!(listed.contains(&entry(Ok(Name::Current), 0, false)));
    assert!(disk.open(Name::Wal(2), OpenMode::Read).is_err());
    assert!(disk.create(Name::Current).is_err());
    assert!(disk.rename(Name::Wal(1), Name::Current).is_err());
}

#[test]
#[should_panic(expected = "stop the machine first")]
fn a_running_machine_is_not_damaged_at_rest() {
    SimDisk::new(1, Rules::none()).write_file(WAL, b"x");
}
