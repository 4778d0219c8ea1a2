//! What tables leave behind, and tables on the real disk.

use icecore_disk::real::RealDisk;
use icecore_disk::{Disk, Name};
use icecore_model::{Timestamp, Versionstamp};
use icecore_sstable::{
    BlockCache, Compression, Cursor, Error, Table, TableId, TableOptions, TableWriter, Versions,
};

use crate::support::{HOME, MODES, Model, disk, entries, open, write};

const NEWEST: Versionstamp = Versionstamp::MAX;

#[test]
fn a_kept_value_outlives_its_table() {
    for compression in [Compression::None, Compression::Lz4] {
        for mode in MODES {
            let mut model = Model::new();
            for (key, bytes) in [(b"a", 10), (b"b", 1024), (b"c", 1025), (b"d", 100_000)] {
                let value = Some((vec![key[0]; bytes], None));
                model.entry(key.to_vec()).or_default().insert(Versionstamp::new(1), value);
            }
            let disk = disk();
            let options = TableOptions { compression, ..TableOptions::default() };
            let summary = write(&*disk, 1, &options, &model, &[]).unwrap();
            let table = open(&*disk, &summary, mode).unwrap();
            let mut cursor = table.cursor(NEWEST);
            cursor.seek_first().unwrap();
            let mut kept = Vec::new();
            for key in model.keys() {
                kept.push((key, table.get(key, NEWEST).unwrap().unwrap().value_bytes().unwrap()));
                kept.push((key, cursor.value_bytes().unwrap()));
                cursor.next().unwrap();
            }
            drop((cursor, table));
            disk.remove(Name::Table(1)).unwrap();
            drop(disk);
            for (key, value) in kept {
                let Some((expected, _)) = &model[key][&Versionstamp::new(1)] else { panic!() };
                assert_eq!(value, expected);
            }
        }
    }
}

#[test]
fn tables_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Table>();
    shared::<Cursor>();
    shared::<Versions>();
    shared::<Error>();
    shared::<BlockCache>();
    shared::<TableWriter<'_>>();
}

#[test]
fn an_abandoned_table_leaves_no_file() {
    let disk = disk();
    let id = TableId { database: HOME, number: 1 };
    let options = TableOptions::default();
    let writer = TableWriter::create(&*disk, id, &options).unwrap();
    assert!(matches!(TableWriter::create(&*disk, id, &options), Err(Error::Io { .. })));
    writer.abandon().unwrap();
    assert_eq!(disk.list().unwrap(), []);
}

#[test]
fn a_larger_table_on_the_real_disk_reads_the_same_in_every_mode() {
    let mut model = Model::new();
    for number in 0..20_000u64 {
        let key = format!("user/{:05}/name", number / 2).into_bytes();
        let value = number.to_le_bytes().repeat(usize::try_from(number % 9).unwrap());
        let expires_at = Timestamp::from_ms(number % 7);
        let version = (number % 11 > 0).then_some((value, expires_at));
        model.entry(key).or_default().insert(Versionstamp::new(1 + number), version);
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    for (number, compression) in [(1, Compression::None), (2, Compression::Lz4)] {
        let options = TableOptions { compression, ..TableOptions::default() };
        let summary = write(&disk, number, &options, &model, &[]).unwrap();
        for mode in MODES {
            let table = open(&disk, &summary, mode).unwrap();
            assert_eq!(table.verify().unwrap(), summary);
            let mut versions = table.versions();
            versions.seek_first().unwrap();
            for entry in entries(&model) {
                assert_eq!(versions.entry(), Some(entry));
                versions.next().unwrap();
            }
            let mut cursor = table.cursor(NEWEST);
            cursor.seek_last().unwrap();
            for (key, list) in model.iter().rev() {
                let stamp = *list.last_key_value().unwrap().0;
                assert_eq!(cursor.entry().map(|e| (e.key, e.stamp)), Some((&key[..], stamp)));
                assert_eq!(table.get(key, NEWEST).unwrap().map(|hit| hit.stamp()), Some(stamp));
                cursor.prev().unwrap();
            }
            assert_eq!(cursor.entry(), None);
        }
    }
}
