use icecore_disk::sim::{Rules, SimDisk};
use icecore_model::{Change, DatabaseId};

use super::*;

const ID: TableId = TableId { database: DatabaseId([1; 16]), number: 4 };

fn entry(key: &[u8], stamp: u64) -> Entry<'_> {
    let change = Change::Put { value: b"value", expires_at: None };
    Entry { key, stamp: Versionstamp::new(stamp), change }
}

fn add_in_turn(entries: &[(&[u8], u64)]) {
    let disk = SimDisk::new(1, Rules::none());
    let mut writer = TableWriter::create(&*disk, ID, &TableOptions::default()).unwrap();
    for (key, stamp) in entries {
        writer.add(&entry(key, *stamp)).unwrap();
    }
}

#[test]
#[should_panic(expected = "strict order")]
fn a_key_that_does_not_follow_is_our_bug() {
    add_in_turn(&[(b"b", 1), (b"a", 2)]);
}

#[test]
#[should_panic(expected = "strict order")]
fn a_version_that_comes_twice_is_our_bug() {
    add_in_turn(&[(b"a", 2), (b"a", 1), (b"a", 1)]);
}

#[test]
#[should_panic(expected = "strict order")]
fn an_older_version_before_a_newer_one_is_our_bug() {
    add_in_turn(&[(b"a", 1), (b"a", 2)]);
}

#[test]
fn the_estimate_of_the_length_is_close_to_the_file() {
    for bits in [0, 10] {
        let disk = SimDisk::new(1, Rules::none());
        let options = TableOptions { filter_bits_per_key: bits, ..TableOptions::default() };
        let mut writer = TableWriter::create(&*disk, ID, &options).unwrap();
        for number in 0..20_000u64 {
            writer.add(&entry(&number.to_be_bytes(), number + 1)).unwrap();
        }
        let estimate = writer.written_bytes();
        let bytes = writer.finish().unwrap().bytes;
        assert!(estimate.abs_diff(bytes) < bytes / 50, "{estimate} for {bytes}");
    }
}

#[test]
fn what_is_finished_survives_a_power_cut_once_its_name_does() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let mut writer = TableWriter::create(&*disk, ID, &TableOptions::default()).unwrap();
    for number in 0..20_000u64 {
        writer.add(&entry(&number.to_be_bytes(), number + 1)).unwrap();
    }
    let summary = writer.finish().unwrap();
    disk.sync_dir().unwrap();
    disk.crash(icecore_disk::sim::Crash::KeepNone);
    let disk = disk.reopen();
    let env = crate::TableEnv {
        read_mode: crate::ReadMode::Mmap,
        cache: std::sync::Arc::new(crate::BlockCache::new(0)),
        accepted: vec![ID.database],
    };
    let table = crate::Table::open(&*disk, &summary, &env).unwrap();
    assert_eq!(table.verify().unwrap(), summary);
}
