//! What a disk does that a store cannot see at once: E2 to E10 beyond plain errors, and L1.

use std::io::ErrorKind;

use super::*;
use crate::{LockError, LockMode, OpenMode};

#[test]
fn e2_names_and_lengths_cost_room_if_entries_do() {
    let disk = SimDisk::new(1, Rules { entries: true, ..Rules::none() });
    let file = durable_file(&disk, WAL, 1, 1);
    disk.set_space(Some(disk.used_bytes()));
    assert_eq!(disk.create(Name::Wal(2)).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.rename(WAL, Name::Wal(3)).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.set_len(5_000).unwrap_err().kind(), ErrorKind::StorageFull);
    file.set_len(100).unwrap();
    file.set_len(200).unwrap();
    disk.set_space(None);
    disk.rename(WAL, Name::Wal(3)).unwrap();
    assert_eq!(names(&disk), [Name::Wal(3)]);
}

#[test]
fn e2_without_the_switch_the_bound_does_not_hold() {
    let disk = SimDisk::new(1, Rules::none().without("space"));
    disk.set_space(Some(0));
    durable_file(&disk, WAL, 3, 1);
    assert_eq!(disk.read_file(WAL).unwrap().len(), 1536);
}

#[test]
fn e2_late_allocation_lets_the_sync_fail_and_drops_what_has_no_room() {
    let disk = SimDisk::new(1, Rules { late_space: true, ..Rules::power_cut() });
    let file = durable_file(&disk, WAL, 2, 1);
    disk.set_space(Some(disk.used_bytes() + 512));
    file.write_all_at(1024, &[2; 1024]).unwrap();
    assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::StorageFull);
    file.sync().unwrap();
    disk.crash(Crash::KeepAll);
    let after = fills(&disk.read_file(WAL).unwrap());
    assert_eq!(&after[..3], [1, 1, 2], "what fits is stored");
    assert!(after.get(3).is_none_or(|fill| *fill != 2), "the rest is not");
}

#[test]
fn e2_what_was_allocated_has_room_when_it_is_written_late() {
    let disk = SimDisk::new(1, Rules { late_space: true, ..Rules::power_cut() });
    let file = disk.create(WAL).unwrap();
    file.allocate(1024).unwrap();
    disk.sync_dir().unwrap();
    disk.set_space(Some(disk.used_bytes()));
    file.write_all_at(0, &[2; 1024]).unwrap();
    file.sync().unwrap();
    disk.crash(Crash::KeepNone);
    assert_eq!(fills(&disk.read_file(WAL).unwrap()), [2, 2]);
}

#[test]
fn e3_every_handle_that_was_open_is_told_once() {
    let disk = SimDisk::new(1, Rules::none());
    let file = durable_file(&disk, WAL, 2, 1);
    let other = disk.open(WAL, OpenMode::ReadWrite).unwrap();
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_next(OpKind::Sync, Failure::Io, 1);
    assert!(file.sync().is_err());
    assert!(file.sync().is_ok());
    let later = disk.open(WAL, OpenMode::ReadWrite).unwrap();
    assert!(later.sync().is_ok(), "it was not open at the time");
    assert!(other.sync().is_err());
    assert!(other.sync().is_ok());
    assert_eq!(disk.betrayals(), 0, "the caller was told");
}

#[test]
fn e4_reads_see_the_old_bytes_at_once() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed, Rules { sync_reverts: true, ..Rules::none() });
        let file = durable_file(&disk, WAL, 1, 1);
        file.write_all_at(0, &[2; 512]).unwrap();
        disk.fail_next(OpKind::Sync, Failure::Io, 1);
        assert!(file.sync().is_err());
        assert_eq!(fills(&content(file.as_ref())), [1]);
    }
}

#[test]
fn e5_a_sync_that_fails_says_so_the_next_time() {
    for durable in [false, true] {
        let disk = SimDisk::new(1, Rules::none());
        let file = durable_file(&disk, WAL, 1, 1);
        let store = |fill| {
            if durable {
                return file.complete(file.submit(write(0, &[fill; 512], true))).1;
            }
            file.write_all_at(0, &[fill; 512])?;
            file.sync()
        };
        let kind = if durable { OpKind::Complete } else { OpKind::Sync };
        disk.fail_next(kind, Failure::Late, 1);
        assert!(store(2).is_ok(), "nothing is told");
        assert_eq!((disk.betrayals(), disk.failed_syncs()), (1, 0));
        let copy = disk.fork();
        copy.crash(Crash::KeepAll);
        assert_eq!(fills(&copy.read_file(WAL).unwrap()), [1], "and nothing is stored");
        assert!(store(3).is_err());
        assert_eq!(disk.failed_syncs(), 1);
        assert!(store(4).is_ok());
    }
}

#[test]
fn e6_a_sync_that_fails_tells_only_the_other_handles() {
    let disk = SimDisk::new(1, Rules::none());
    let file = durable_file(&disk, WAL, 1, 1);
    let other = disk.open(WAL, OpenMode::ReadWrite).unwrap();
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_next(OpKind::Sync, Failure::Stray, 1);
    assert!(file.sync().is_ok());
    assert!(file.sync().is_ok());
    assert!(other.sync().is_err());
    assert!(other.sync().is_ok());
    assert_eq!(disk.betrayals(), 1);
    disk.crash(Crash::KeepAll);
    assert_eq!(fills(&disk.read_file(WAL).unwrap()), [1]);
}

#[test]
fn e7_a_mapping_shows_other_bits_at_the_second_look() {
    let mut changed = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed, Rules { mutating_maps: Chance::one_in(1), ..Rules::none() });
        let file = durable_file(&disk, WAL, 8, 1);
        let map = file.map().unwrap();
        assert_eq!(map.view(10..20).unwrap(), [1; 10], "the first look is right");
        let again = map.slice(0..4096).unwrap();
        let wrong: u32 = again.iter().map(|byte| (byte ^ 1).count_ones()).sum();
        assert!(wrong <= 64, "{wrong} bits");
        assert_eq!(map.view(0..4096).unwrap(), again, "it changes once");
        assert!(map.view(4090..4097).is_err(), "there is no second page");
        assert_eq!(fills(&content(file.as_ref())), [1; 8], "the file itself is right");
        changed += u32::from(wrong > 0);
    }
    assert!((2..19).contains(&changed), "{changed}");
}

#[test]
fn e8_a_write_lands_elsewhere_and_reads_see_it_until_it_is_evicted() {
    let (mut elsewhere, mut other_file) = (0, 0);
    for seed in 0..100 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 4, 1);
        drop(durable_file(&disk, Name::Wal(2), 4, 1));
        disk.fail_next(OpKind::Complete, Failure::Astray, 1);
        assert!(file.complete(file.submit(write(512, &[2; 512], true))).1.is_ok());
        assert_eq!(disk.betrayals(), 1);
        disk.crash(Crash::KeepAll);
        let after = fills(&disk.read_file(WAL).unwrap());
        let other = fills(&disk.read_file(Name::Wal(2)).unwrap());
        assert_eq!(after[1], 1, "it did not land where it should");
        let landed = after.iter().chain(&other).filter(|fill| **fill == 2).count();
        assert_eq!(landed, 1);
        elsewhere += usize::from(after.contains(&2));
        other_file += usize::from(other.contains(&2));
    }
    assert!(elsewhere > 20 && other_file > 20);
}

#[test]
fn e8_a_read_gives_another_sector_once() {
    let disk = SimDisk::new(3, Rules::none());
    let file = durable_file(&disk, WAL, 2, 1);
    file.write_all_at(512, &[2; 512]).unwrap();
    disk.fail_next(OpKind::Read, Failure::Astray, 1);
    let mut sector = [0; 512];
    assert_eq!(file.read_at(0, &mut sector).unwrap(), 512);
    assert_eq!((sector, disk.betrayals()), ([2; 512], 1));
    assert_eq!(file.read_at(0, &mut sector).unwrap(), 512);
    assert_eq!(sector, [1; 512]);
}

#[test]
fn e9_a_sync_that_lies_shows_at_the_next_crash() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let file = durable_file(&disk, WAL, 2, 1);
    disk.set_rules(Rules { lying_syncs: Chance::one_in(1), ..Rules::power_cut() });
    file.write_all_at(0, &[2; 512]).unwrap();
    file.sync().unwrap();
    file.complete(file.submit(write(512, &[2; 512], true))).1.unwrap();
    drop(disk.create(Name::Wal(2)).unwrap());
    disk.sync_dir().unwrap();
    assert_eq!(fills(&content(file.as_ref())), [2, 2]);
    assert_eq!(disk.betrayals(), 3);
    disk.crash(Crash::KeepNone);
    assert_eq!(fills(&disk.read_file(WAL).unwrap()), [1, 1]);
    assert_eq!(names(&disk), [WAL]);
}

#[test]
fn e10_a_file_system_that_became_read_only_changes_nothing_until_the_next_life() {
    let disk = SimDisk::new(1, Rules { remounts: Chance::one_in(3), ..Rules::power_cut() });
    let mut writes = 0;
    let refused = loop {
        writes += 1;
        match disk.create(Name::Wal(writes)) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(disk.sync_dir().unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(disk.list().is_ok(), "reading goes on");
    if writes > 1 {
        let error = disk.open(Name::Wal(1), OpenMode::ReadWrite).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
        assert!(disk.open(Name::Wal(1), OpenMode::Read).is_ok());
    }
    disk.kill();
    let next = disk.reopen();
    next.set_rules(Rules::none());
    assert!(next.create(Name::Wal(1_000)).is_ok());
}

#[test]
fn l1_a_new_file_lock_gives_no_second_owner() {
    let disk = SimDisk::new(1, Rules::none());
    let guard = disk.lock(LockMode::Exclusive).unwrap();
    let held = |mode| matches!(disk.lock(mode), Err(LockError::Held { .. }));
    assert!(held(LockMode::Exclusive) && held(LockMode::Shared));
    disk.remove(Name::Lock).unwrap();
    assert!(held(LockMode::Exclusive), "also while there is no such file");
    drop(disk.create(Name::Lock).unwrap());
    assert!(held(LockMode::Exclusive) && held(LockMode::Shared));
    drop(guard);
    assert!(disk.lock(LockMode::Exclusive).is_ok());
}

#[test]
fn rules_that_are_calm_betray_nobody() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed, Rules::all().calm());
        let file = durable_file(&disk, WAL, 4, 1);
        for _ in 0..50 {
            file.write_all_at(0, &[2; 2048]).unwrap();
            file.sync().unwrap();
            assert_eq!(fills(&content(file.as_ref())), [2; 4]);
        }
        assert_eq!((disk.betrayals(), disk.failed_syncs(), disk.open_files()), (0, 0, 1));
    }
}
