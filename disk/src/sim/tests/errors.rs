//! Errors while the machine runs: E1, E2, E3, E7, E10.

use std::io::ErrorKind;

use super::*;
use crate::OpenMode;

#[test]
fn e1_a_patient_writer_and_reader_do_not_notice_short_and_interrupted_calls() {
    let disk = SimDisk::new(1, Rules::impatient());
    let data: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let file = disk.create(WAL).unwrap();
    for (i, part) in data.chunks(500).enumerate() {
        file.write_all_at(i as u64 * 500, part).unwrap();
    }
    assert!(disk.calls() > 50, "some calls were short or interrupted");
    assert_eq!(content(file.as_ref()), data);
}

#[test]
fn e1_a_failing_write_stores_any_part_and_leaves_the_rest_alone() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let disk = SimDisk::new(seed, Rules::none());
        let file = durable_file(&disk, WAL, 2, 1);
        disk.fail_next(OpKind::Write, Failure::Io, 1);
        let error = file.write_at(256, &[2; 256]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
        let after = content(file.as_ref());
        let part = after.iter().filter(|b| **b == 2).count();
        assert!(after[256..256 + part].iter().all(|b| *b == 2));
        assert_eq!((&after[..256], &after[512..]), (&[1; 256][..], &[1; 512][..]));
        lengths.insert(part);
    }
    assert!(lengths.len() > 20);
}

#[test]
fn e1_a_failing_durable_write_is_never_acknowledged_and_spares_its_neighbours() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 6, 1);
        disk.fail_op(disk.operations() + 1, Failure::Io);
        assert!(file.complete(file.submit(write(1024, &[2; 1024], true))).1.is_err());
        disk.crash(Crash::Random);
        let after = fills(&disk.read_file(WAL).unwrap());
        assert_eq!((&after[..2], &after[4..]), (&[1, 1][..], &[1, 1][..]));
    }
}

#[test]
fn e2_space_is_counted_to_the_byte() {
    let disk = SimDisk::new(1, Rules::none());
    disk.set_space(Some(1000));
    let file = disk.create(WAL).unwrap();
    file.allocate(600).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 400);
    let other = disk.create(Name::Wal(2)).unwrap();
    assert_eq!(other.write_all_at(0, &[1; 401]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(content(other.as_ref()), [1; 400], "what fits is written");
    file.write_all_at(0, &[2; 600]).unwrap();
    assert_eq!(other.allocate(401).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_all_at(0, &[3; 10]).unwrap();
    disk.remove(Name::Wal(2)).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 0, "an open file keeps its space");
    drop(other);
    assert_eq!(disk.free_bytes().unwrap(), 400);
    file.set_len(100).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 900);
    disk.set_space(None);
    file.write_all_at(0, &[3; 10_000]).unwrap();
    assert_eq!(disk.used_bytes(), 10_000);
    assert_eq!(disk.read_file(WAL).unwrap(), [3; 10_000]);
}

#[test]
fn e2_space_is_counted_again_after_a_crash_brings_a_file_back() {
    let disk = SimDisk::new(1, Rules::power_cut());
    drop(durable_file(&disk, WAL, 4, 1));
    disk.remove(WAL).unwrap();
    assert_eq!(disk.used_bytes(), 0);
    disk.crash(Crash::KeepNone);
    assert_eq!(disk.used_bytes(), 2048);
    assert_eq!(fills(&disk.read_file(WAL).unwrap()), [1; 4]);
}

#[test]
fn e3_a_failed_sync_drops_writes_and_the_next_one_says_that_all_is_well() {
    let mut evicted = 0;
    for seed in 0..100 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 4, 1);
        file.write_all_at(512, &[2; 1024]).unwrap();
        disk.fail_next(OpKind::Sync, Failure::Io, 1);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        if fills(&content(file.as_ref())) != [1, 2, 2, 1] {
            evicted += 1;
        }
        disk.crash(Crash::KeepAll);
        let after = fills(&disk.read_file(WAL).unwrap());
        assert_eq!((after[0], after[3]), (1, 1), "a durable sector changed");
        assert!(after[1] == 1 || after[2] == 1, "at least one sector was dropped");
    }
    assert!((1..60).contains(&evicted), "reads show the new bytes at first: {evicted}");
}

#[test]
fn e3_what_was_dropped_reaches_the_disk_when_it_is_written_again() {
    for seed in 0..50 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 2, 1);
        file.write_all_at(0, &[2; 1024]).unwrap();
        disk.fail_next(OpKind::Sync, Failure::Io, 1);
        assert!(file.sync().is_err());
        file.write_all_at(0, &[3; 1024]).unwrap();
        file.sync().unwrap();
        disk.crash(Crash::KeepNone);
        assert_eq!(fills(&disk.read_file(WAL).unwrap()), [3, 3]);
    }
}

#[test]
fn e3_dropped_bytes_are_evicted_in_the_end() {
    let disk = SimDisk::new(1, Rules::none());
    let file = durable_file(&disk, WAL, 1, 1);
    file.write_all_at(0, &[2; 512]).unwrap();
    disk.fail_next(OpKind::Sync, Failure::Io, 1);
    assert!(file.sync().is_err());
    let reads: Vec<u8> = (0..100).map(|_| fills(&content(file.as_ref()))[0]).collect();
    assert_eq!(reads.last(), Some(&1));
    assert!(reads.is_sorted_by(|a, b| a >= b), "it does not come back");
}

#[test]
fn e7_reads_fail_for_a_while_or_for_good_until_the_sector_is_written() {
    let disk = SimDisk::new(1, Rules::none());
    let file = durable_file(&disk, WAL, 4, 1);
    disk.fail_next(OpKind::Read, Failure::Io, 1);
    assert!(file.read_at(0, &mut [0; 10]).is_err());
    assert_eq!(file.read_at(0, &mut [0; 10]).unwrap(), 10);

    let map = file.map().unwrap();
    disk.corrupt(WAL, 1030, Damage::BadSector).unwrap();
    let mut data = [0; 2048];
    assert_eq!(file.read_at(0, &mut data).unwrap(), 1024, "the good sectors before it");
    assert!(file.read_at(1024, &mut data).is_err());
    assert_eq!(file.read_at(1536, &mut data).unwrap(), 512);
    assert_eq!(map.view(1000..1100).unwrap_err().offset, 1024, "mappings see it as a fault");
    assert!(map.view(0..1024).is_ok());
    file.write_all_at(1024, &[2; 512]).unwrap();
    assert_eq!(fills(&content(file.as_ref())), [1, 1, 2, 1]);
}

#[test]
fn e7_a_bit_flips_in_what_is_read_or_on_the_disk() {
    let disk = SimDisk::new(1, Rules { bit_flips: Chance::one_in(1), ..Rules::none() });
    let file = durable_file(&disk, WAL, 1, 0);
    let wrong = |bytes: &[u8]| bytes.iter().map(|b| b.count_ones()).sum::<u32>();
    assert_eq!(wrong(&content(file.as_ref())), 1);
    assert_eq!(wrong(&disk.read_file(WAL).unwrap()), 0, "the disk has it right");
    disk.set_rules(Rules { bit_rot: Chance::one_in(1), ..Rules::none() });
    assert_eq!(wrong(&content(file.as_ref())), 1);
    assert_eq!(wrong(&disk.read_file(WAL).unwrap()), 1);
}

#[test]
fn e10_a_failed_operation_on_names_has_changed_nothing() {
    let disk = SimDisk::new(1, Rules::none());
    durable_file(&disk, WAL, 1, 1);
    disk.fail_calls_from(0, Failure::ReadOnly);
    assert_eq!(disk.create(Name::Wal(2)).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert!(disk.rename(WAL, Name::Wal(3)).is_err());
    assert!(disk.remove(WAL).is_err());
    assert!(disk.list().is_err());
    assert!(disk.sync_dir().is_err());
    assert!(disk.open(WAL, OpenMode::Read).is_err());
    disk.disarm();
    disk.fail_call(disk.calls() + 1, Failure::TooManyFiles);
    assert!(disk.list().is_ok());
    assert!(disk.open(WAL, OpenMode::Read).is_err());
    assert!(disk.open(WAL, OpenMode::Read).is_ok());
    assert_eq!(names(&disk), [WAL]);
}

#[test]
fn every_failure_has_a_code_and_is_spent_once() {
    for failure in Failure::ALL {
        let disk = SimDisk::new(1, Rules::none());
        disk.fail_op(0, failure);
        assert!(disk.create(WAL).unwrap_err().raw_os_error().is_some(), "{failure:?}");
        assert!(disk.create(WAL).is_ok());
    }
}

#[test]
fn the_rules_draw_every_error_that_they_name() {
    let disk = SimDisk::new(1, Rules::all());
    let mut codes = std::collections::BTreeSet::new();
    for round in 0..20_000u64 {
        let name = Name::Wal(round % 3);
        let outcome = disk.create(name).and_then(|file| {
            file.write_at(0, &[1; 600])?;
            file.complete(file.submit(write(1024, &[2; 600], true))).1?;
            file.sync()?;
            file.map()?.view(0..600)?;
            disk.rename(name, Name::Current)
        });
        codes.extend(outcome.err().and_then(|e| e.raw_os_error()));
        codes.extend(disk.remove(name).err().and_then(|e| e.raw_os_error()));
        codes.extend(disk.sync_dir().err().and_then(|e| e.raw_os_error()));
    }
    for failure in Failure::ALL {
        let code = std::io::Error::from(failure).raw_os_error().unwrap();
        assert!(codes.contains(&code), "{failure:?} never came up");
    }
}
