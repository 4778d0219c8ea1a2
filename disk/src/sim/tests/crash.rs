//! Power cuts and kills: C1 to C9, K1.

use std::collections::BTreeSet;

use super::*;
use crate::{LockError, LockMode, OpenMode};

#[test]
fn c1_each_sector_becomes_any_of_its_versions() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 3, 1);
        file.write_all_at(512, &[2; 1024]).unwrap();
        file.write_all_at(512, &[3; 1024]).unwrap();
        assert_eq!(disk.pending(), 4);
        disk.crash(Crash::Random);
        let after = fills(&disk.read_file(WAL).unwrap());
        assert_eq!(after[0], 1, "a durable sector changed");
        seen.insert((after[1], after[2]));
    }
    assert_eq!(seen.len(), 9, "every pair of versions comes up: {seen:?}");
}

#[test]
fn c1_a_disk_without_rules_loses_nothing() {
    let disk = SimDisk::new(1, Rules::none());
    let file = disk.create(WAL).unwrap();
    file.write_all_at(0, &[5; 1000]).unwrap();
    disk.crash(Crash::Random);
    assert_eq!(disk.read_file(WAL).unwrap(), [5; 1000]);
}

#[test]
fn c2_one_sector_is_cut_at_a_byte() {
    let mut cuts = BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed, Rules::torn());
        let file = durable_file(&disk, WAL, 4, 1);
        file.write_all_at(512, &[2; 1024]).unwrap();
        disk.crash(Crash::Random);
        let after = disk.read_file(WAL).unwrap();
        assert_eq!(after[..512], [1; 512]);
        assert_eq!(after[1536..], [1; 512]);
        let torn: Vec<_> = after.chunks(512).filter(|s| s.iter().any(|b| *b != s[0])).collect();
        assert_eq!(torn.len(), 1);
        let cut = torn[0].iter().position(|b| *b == 1).unwrap();
        assert!(torn[0][..cut].iter().all(|b| *b == 2) && torn[0][cut..].iter().all(|b| *b == 1));
        cuts.insert(cut);
    }
    assert!(cuts.len() > 50);
}

#[test]
fn c3_a_length_survives_without_its_data_and_data_without_its_length() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = SimDisk::new(seed, Rules { fresh: false, ..Rules::power_cut() });
        let file = durable_file(&disk, WAL, 1, 1);
        file.write_all_at(512, &[2; 512]).unwrap();
        file.write_all_at(1024, &[3; 512]).unwrap();
        disk.crash(Crash::Random);
        seen.insert(fills(&disk.read_file(WAL).unwrap()));
    }
    let all: [&[u8]; 7] = [&[1], &[1, 0], &[1, 2], &[1, 0, 0], &[1, 2, 0], &[1, 0, 3], &[1, 2, 3]];
    assert_eq!(seen, all.into_iter().map(<[u8]>::to_vec).collect());
}

#[test]
fn c3_a_lost_truncation_shows_each_sector_old_or_empty() {
    let disk = SimDisk::new(3, Rules::power_cut());
    let file = durable_file(&disk, WAL, 3, 1);
    file.set_len(512).unwrap();
    file.set_len(700).unwrap();
    assert_eq!(content(file.as_ref())[512..], [0; 188], "what was cut off comes back as zeros");
    let fork = disk.fork();
    fork.crash(Crash::KeepNone);
    assert_eq!(fills(&fork.read_file(WAL).unwrap()), [1, 1, 1]);
    disk.crash(Crash::KeepAll);
    assert_eq!(disk.read_file(WAL).unwrap(), content_of_kept_truncation());
}

fn content_of_kept_truncation() -> Vec<u8> {
    let mut bytes = vec![1; 512];
    bytes.resize(700, 0);
    bytes
}

#[test]
fn c4_a_sector_that_was_never_durable_shows_a_removed_file() {
    let (mut stale, mut noise, mut zeros) = (0, 0, 0);
    for seed in 0..300 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        durable_file(&disk, Name::Table(9), 40, 0xdd);
        disk.remove(Name::Table(9)).unwrap();
        let file = durable_file(&disk, WAL, 2, 1);
        file.allocate(40 * 512).unwrap();
        file.write_all_at(1024, &[2; 1024]).unwrap();
        disk.crash(Crash::Random);
        let after = disk.read_file(WAL).unwrap();
        assert_eq!(after[..1024], [1; 1024]);
        for sector in after[1024..].chunks(512) {
            match sector[0] {
                0xdd if sector == [0xdd; 512] => stale += 1,
                0 if sector == [0; 512] => zeros += 1,
                2 if sector == [2; 512] => {}
                _ => noise += 1,
            }
        }
    }
    assert!(stale > 50 && noise > 50 && zeros > 50, "{stale} {noise} {zeros}");
}

#[test]
fn c4_a_synced_allocation_is_zeros_for_good() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        durable_file(&disk, Name::Table(9), 40, 0xdd);
        disk.remove(Name::Table(9)).unwrap();
        let file = durable_file(&disk, WAL, 1, 1);
        file.allocate(8 * 512).unwrap();
        file.sync().unwrap();
        file.write_all_at(512, &[2; 512]).unwrap();
        disk.crash(Crash::Random);
        let after = fills(&disk.read_file(WAL).unwrap());
        assert!(after[1] == 0 || after[1] == 2, "an unwritten extent is zeros");
        assert_eq!(after[2..], [0; 6]);
    }
}

#[test]
fn c5_names_survive_in_any_subset_and_order() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        durable_file(&disk, Name::Table(1), 1, 1);
        durable_file(&disk, Name::Temp(2), 1, 2);
        durable_file(&disk, Name::Table(7), 1, 7);
        disk.create(Name::Wal(3)).unwrap();
        disk.rename(Name::Temp(2), Name::Current).unwrap();
        disk.remove(Name::Table(1)).unwrap();
        disk.crash(Crash::Random);
        let after = names(&disk);
        assert!(after.contains(&Name::Table(7)), "a durable name is gone");
        assert_ne!(after.contains(&Name::Temp(2)), after.contains(&Name::Current));
        seen.insert(after);
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn c5_syncing_a_file_does_not_make_its_name_durable() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let file = disk.create(WAL).unwrap();
    file.write_all_at(0, b"ice").unwrap();
    file.sync().unwrap();
    disk.crash(Crash::KeepNone);
    assert_eq!(names(&disk), []);
}

#[test]
fn c5_syncing_one_directory_leaves_the_others_pending() {
    let disk = SimDisk::new(1, Rules::power_cut());
    durable_file(&disk, Name::Table(1), 1, 1);
    let copy = disk.create_directory(Path::new("copy")).unwrap();
    disk.link(Name::Table(1), copy.as_ref()).unwrap();
    disk.sync_dir().unwrap();
    disk.crash(Crash::KeepNone);
    let copy = disk.directory(Path::new("copy")).unwrap();
    assert_eq!((names(&disk).len(), names(&copy).len()), (1, 0));
}

#[test]
fn c5_without_atomic_renames_both_names_may_survive() {
    let mut both = 0;
    for seed in 0..100 {
        let disk = SimDisk::new(seed, Rules::alice());
        durable_file(&disk, Name::Current, 1, 1);
        durable_file(&disk, Name::Temp(2), 1, 2);
        disk.rename(Name::Temp(2), Name::Current).unwrap();
        disk.crash(Crash::Random);
        match names(&disk)[..] {
            [Name::Current] => {
                assert_eq!(fills(&disk.read_file(Name::Current).unwrap()), [2]);
            }
            [Name::Current, Name::Temp(2)] => {
                both += u32::from(disk.read_file(Name::Current).unwrap()[0] == 2);
            }
            ref other => panic!("the target of a rename was lost: {other:?}"),
        }
    }
    assert!(both > 10);
}

#[test]
fn c6_a_crash_inside_a_sync_leaves_everything_pending_and_after_it_nothing() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let file = durable_file(&disk, WAL, 2, 1);
    file.write_all_at(0, &[2; 1024]).unwrap();
    let fork = disk.fork();
    let other = fork.open(WAL, OpenMode::ReadWrite).unwrap();
    other.sync().unwrap();
    assert_eq!(fork.pending(), 0, "a sync covers the writes through every handle");
    disk.crash_at(disk.operations());
    assert!(file.sync().is_err());
    assert_eq!(disk.pending(), 2);
    disk.crash(Crash::Only(1));
    assert_eq!(fills(&disk.read_file(WAL).unwrap()), [1, 2]);
}

#[test]
fn c7_the_operation_that_the_crash_hits_happens_in_any_part() {
    for (crash, expected) in [
        (Crash::KeepNone, [1, 1, 1]),
        (Crash::KeepAll, [2, 2, 2]),
        (Crash::Only(0), [2, 1, 1]),
        (Crash::AllBut(1), [2, 1, 2]),
        (Crash::First(2), [2, 2, 1]),
        (Crash::From(2), [1, 1, 2]),
        (Crash::Subset(vec![0b110]), [1, 2, 2]),
    ] {
        let disk = SimDisk::new(1, Rules::power_cut());
        let file = durable_file(&disk, WAL, 3, 1);
        disk.crash_at(disk.operations());
        assert!(file.write_at(0, &[2; 1536]).is_err());
        assert!(!disk.is_running());
        assert_eq!(disk.pending(), 3);
        disk.crash(crash.clone());
        assert_eq!(fills(&disk.read_file(WAL).unwrap()), expected, "{crash:?}");
    }
}

#[test]
fn c7_every_kind_of_operation_can_be_the_last() {
    let mut last = 0;
    loop {
        let disk = SimDisk::new(last, Rules::power_cut());
        disk.crash_at(last);
        let done = every_operation(&disk);
        if done.is_ok() {
            assert_eq!(disk.operations(), last);
            assert!(last >= 13, "the script has all operations");
            break;
        }
        disk.crash(Crash::Random);
        assert!(every_operation(&disk).is_err(), "a stopped machine does nothing");
        let next = disk.reopen();
        next.lock(LockMode::Exclusive).map(drop).expect("a crash releases the lock");
        last += 1;
    }
}

fn every_operation(disk: &SimDisk) -> std::io::Result<()> {
    let lock = disk.lock(LockMode::Exclusive).map_err(|e| match e {
        LockError::Io(e) => e,
        LockError::Held { holder } => panic!("held by {holder}"),
    })?;
    let file = disk.create(Name::Temp(1))?;
    file.allocate(8192)?;
    file.complete(file.submit(write(0, &[1; 4096], true))).1?;
    file.write_all_at(100, &[2; 700])?;
    file.set_len(5000)?;
    file.sync()?;
    disk.rename(Name::Temp(1), Name::Table(1))?;
    disk.sync_dir()?;
    let copy = disk.create_directory(Path::new("copy"))?;
    disk.link(Name::Table(1), copy.as_ref())?;
    disk.remove(Name::Table(1))?;
    assert_eq!(file.map()?.len(), 5000);
    assert_eq!(disk.list()?.len(), 1);
    drop(lock);
    Ok(())
}

#[test]
fn c8_a_crash_during_recovery_obeys_the_same_rules() {
    let disk = SimDisk::new(5, Rules::power_cut());
    durable_file(&disk, WAL, 1, 1);
    disk.crash(Crash::KeepNone);
    let second = disk.reopen();
    assert_eq!((second.life(), second.operations()), (1, 0));
    second.open(WAL, OpenMode::ReadWrite).unwrap().write_all_at(0, &[2; 512]).unwrap();
    second.crash(Crash::KeepNone);
    let third = second.reopen();
    assert_eq!(fills(&third.read_file(WAL).unwrap()), [1]);
}

#[test]
fn c9_of_writes_in_flight_any_sectors_survive() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 5, 1);
        let first = file.submit(write(0, &[2; 1024], true));
        let second = file.submit(write(1024, &[3; 1024], true));
        assert_eq!(disk.pending(), 4);
        assert_eq!(fills(&content(file.as_ref())), [1; 5], "a write in flight is not read yet");
        disk.crash(Crash::Random);
        assert!(file.complete(second).1.is_err() && file.complete(first).1.is_err());
        let after = fills(&disk.read_file(WAL).unwrap());
        assert_eq!(after[4], 1);
        seen.insert(after);
    }
    assert_eq!(seen.len(), 16);
}

#[test]
fn c9_a_durable_completion_covers_its_own_sectors_and_nothing_else() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let file = durable_file(&disk, WAL, 1, 1);
    file.write_all_at(0, &[9; 512]).unwrap();
    let first = file.submit(write(512, &[2; 512], true));
    let second = file.submit(write(1024, &[3; 512], true));
    let third = file.submit(write(1536, &[4; 512], false));
    file.complete(second).1.unwrap();
    file.complete(third).1.unwrap();
    disk.crash(Crash::KeepNone);
    assert_eq!(disk.read_file(WAL).unwrap().len(), 1536, "the length needed to read it");
    let after = disk.read_file(WAL).unwrap();
    assert_eq!(after[..512], [1; 512], "an earlier write is not covered");
    assert_eq!(after[1024..], [3; 512], "what was acknowledged is there");
    drop(first);
}

#[test]
#[should_panic(expected = "writes in flight overlap")]
fn c9_writes_in_flight_that_share_a_sector_are_a_bug() {
    let disk = SimDisk::new(1, Rules::none());
    let file = disk.create(WAL).unwrap();
    let _first = file.submit(write(0, &[1; 100], false));
    let _second = file.submit(write(200, &[2; 100], false));
}

#[test]
fn k1_a_kill_keeps_the_cache_and_releases_the_lock() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let guard = disk.lock(LockMode::Exclusive).unwrap();
    assert!(matches!(disk.lock(LockMode::Shared), Err(LockError::Held { .. })));
    let file = disk.create(WAL).unwrap();
    file.write_all_at(0, &[1; 1000]).unwrap();
    let map = file.map().unwrap();
    disk.kill();
    assert!(file.read_at(0, &mut [0]).is_err());
    assert_eq!(map.view(0..1000).unwrap(), [1; 1000], "mappings stay readable");
    let next = disk.reopen();
    let again = next.lock(LockMode::Exclusive).unwrap();
    drop(guard);
    assert!(next.lock(LockMode::Shared).is_err(), "a guard of an old life releases nothing");
    drop(again);
    assert_eq!(next.read_file(WAL).unwrap(), [1; 1000]);
    next.crash(Crash::KeepNone);
    assert_eq!(names(&next), [], "what survived a kill was still not durable");
}

#[test]
fn k1_of_a_write_that_a_kill_interrupts_any_sectors_are_written() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 3, 1);
        disk.crash_at(disk.operations());
        assert!(file.write_at(512, &[2; 1024]).is_err());
        disk.kill();
        seen.insert(fills(&disk.read_file(WAL).unwrap()));
    }
    assert_eq!(seen.len(), 4);
}

#[test]
fn the_rules_of_inside_can_be_off() {
    let disk = SimDisk::new(1, Rules { inside: false, ..Rules::power_cut() });
    disk.crash_at(0);
    assert!(disk.create(WAL).is_err());
    disk.crash(Crash::KeepAll);
    assert_eq!(names(&disk), []);
}

#[test]
fn forks_of_one_machine_meet_different_fates() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let file = durable_file(&disk, WAL, 2, 1);
    file.write_all_at(0, &[2; 1024]).unwrap();
    disk.crash_at(disk.operations());
    assert!(file.sync().is_err());
    for (crash, expected) in [(Crash::KeepNone, [1, 1]), (Crash::Only(1), [1, 2])] {
        let fork = disk.fork();
        fork.crash(crash);
        assert_eq!(fills(&fork.reopen().read_file(WAL).unwrap()), expected);
    }
    assert_eq!(disk.pending(), 2);
}
