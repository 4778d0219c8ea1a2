//! The format does not change: golden bytes as annotated text.
//!
//! Each line of a golden file holds bytes in hexadecimal and, behind a `#`, what they are.

use icecore_disk::{Disk, Name};
use icecore_model::{RangeTombstone, Timestamp, Versionstamp};
use icecore_sstable::{Compression, TableOptions, TableSummary};

use crate::support::{MODES, Model, disk, entries, open, write};

fn bytes(text: &str) -> Vec<u8> {
    let content = text.lines().map(|line| line.split('#').next().unwrap());
    let digits: Vec<u8> = content.flat_map(str::bytes).filter(|b| *b != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Two blocks, the versions of one key on both sides of the border.
fn fruit() -> (Model, Vec<RangeTombstone>, TableOptions) {
    let mut model = Model::new();
    let mut put = |key: &str, stamp, version| {
        let versions = model.entry(key.as_bytes().to_vec()).or_default();
        versions.insert(Versionstamp::new(stamp), version);
    };
    put("apple", 9, Some((b"red".to_vec(), None)));
    put("apple", 4, None);
    put("apple", 3, Some((b"green".to_vec(), None)));
    put("apricot", 300, Some((b"x".to_vec(), Timestamp::from_ms(1000))));
    let range =
        RangeTombstone { start: b"b".to_vec(), end: b"c".to_vec(), stamp: Versionstamp::new(8) };
    let options = TableOptions {
        block_bytes: 64,
        compression: Compression::None,
        hash_index: true,
        filter_bits_per_key: 0,
    };
    (model, vec![range], options)
}

#[test]
fn the_bytes_of_a_table_are_the_golden_ones() {
    let golden = bytes(include_str!("../golden/fruit.txt"));
    let (model, ranges, options) = fruit();
    let disk = disk();
    let summary: TableSummary = write(&*disk, 7, &options, &model, &ranges).unwrap();
    let written = disk.read_file(Name::Table(7)).unwrap();
    for (at, (found, expected)) in written.iter().zip(&golden).enumerate() {
        assert_eq!(found, expected, "byte {at} of {written:02x?}");
    }
    assert_eq!(written.len(), golden.len());
    let other = crate::support::disk();
    other.create(Name::Table(7)).unwrap().write_all_at(0, &golden).unwrap();
    for mode in MODES {
        let table = open(&*other, &summary, mode).unwrap();
        assert_eq!(table.verify().unwrap(), summary);
        let mut versions = table.versions();
        versions.seek_first().unwrap();
        for entry in entries(&model) {
            assert_eq!(versions.entry(), Some(entry));
            versions.next().unwrap();
        }
    }
}
