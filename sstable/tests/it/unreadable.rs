//! Pages of a table on a real disk that cannot be read: whatever is said then is right, or an error.

use std::ops::ControlFlow;

use icecore_disk::{Disk, Name, OpenMode, RealDisk};
use icecore_model::{Change, Versionstamp};
use icecore_sstable::{Error, ReadMode, TableOptions, TableSummary};

use crate::support::{Model, open, write};

/// A multiple of the size of a page everywhere.
const STEP: usize = 16 << 10;

fn key(n: u32) -> Vec<u8> {
    format!("key {n:05}").into_bytes()
}

/// Small and large values in turn, so that both copies and pins are handed out.
fn value(n: u32) -> Vec<u8> {
    let bytes = if n.is_multiple_of(10) { 20_000 } else { 300 };
    vec![u8::try_from(n % 251).unwrap() + 1; bytes]
}

const COUNT: u32 = 120;

fn table_on(disk: &dyn Disk) -> TableSummary {
    let versions = |n| [(Versionstamp::new(7), Some((value(n), None)))].into();
    let model: Model = (0..COUNT).map(|n| (key(n), versions(n))).collect();
    let options = TableOptions { block_bytes: 5000, ..TableOptions::default() };
    write(disk, 1, &options, &model, &[]).unwrap()
}

/// The whole file of a table.
fn content(disk: &dyn Disk, number: u64) -> Vec<u8> {
    let file = disk.open(Name::Table(number), OpenMode::Read).unwrap();
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_full_at(0, &mut content).unwrap(), content.len());
    content
}

fn is_io(error: &Error) -> bool {
    matches!(error, Error::Io { .. })
}

#[test]
fn a_cut_table_gives_right_values_or_errors_of_the_disk_in_every_mode() {
    for mode in [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read] {
        let directory = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(directory.path()).unwrap();
        let summary = table_on(&disk);
        let all = content(&disk, 1);
        for left in (0..all.len()).step_by(STEP) {
            let table = open(&disk, &summary, mode).unwrap();
            table.verify().unwrap();
            let file = disk.open(Name::Table(1), OpenMode::ReadWrite).unwrap();
            file.set_len(left as u64).unwrap();
            let allowed = |e: &Error| {
                is_io(e) || mode == ReadMode::Read && matches!(e, Error::Corrupt { .. })
            };
            let mut errors = 0;
            for n in 0..COUNT {
                let got = table.get(&key(n), Versionstamp::MAX);
                match got.and_then(|hit| hit.expect("it is there").value_bytes()) {
                    Ok(found) => assert_eq!(found, value(n)),
                    Err(e) => {
                        assert!(allowed(&e), "{e}");
                        errors += 1;
                    }
                }
            }
            assert!(errors > 0, "{mode:?}, {left} bytes left");
            assert!(mode == ReadMode::Read || !table.is_whole());
            let mut cursor = table.cursor(Versionstamp::MAX);
            let mut seen = 0;
            let mut result = cursor.seek_first();
            while result.is_ok() {
                let Some(entry) = cursor.entry().map(|e| e.key.to_vec()) else { break };
                assert_eq!(entry, key(seen));
                result = cursor.value_bytes().map(|found| assert_eq!(found, value(seen)));
                result = result.and_then(|()| cursor.next());
                seen += 1;
            }
            assert!(allowed(&result.unwrap_err()));
            let mut cursor = table.cursor(Versionstamp::MAX);
            let mut run = Vec::new();
            let result = cursor.seek_first().and_then(|()| {
                cursor.run(|entry| {
                    run.push(entry.key.to_vec());
                    ControlFlow::<()>::Continue(())
                })
            });
            assert!(allowed(&result.unwrap_err()));
            assert!(allowed(&cursor.run(|_| ControlFlow::Break(())).unwrap_err()));
            // What it made of the last one must not be used.
            run.pop();
            assert!((0..).map(key).zip(&run).all(|(expected, shown)| expected == *shown));
            assert!(allowed(&table.verify().unwrap_err()));
            file.write_all_at(0, &all).unwrap();
        }
    }
}

/// A page in the middle of a block is lost while a cursor stands in the block; what is left of the
/// last entry's key then looks smaller than it is, and the block as if it did not hold the key.
#[test]
fn a_cursor_in_a_block_that_was_lost_does_not_pass_over_its_entries() {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    let keys = [b'a', b'b', b'c'].map(|letter| vec![letter; 100]);
    let mut errors = 0;
    for (number, first_bytes) in (1..).zip((STEP - 210..STEP).step_by(10)) {
        let put = |bytes| [(Versionstamp::new(7), Some((vec![1; bytes], None)))].into();
        let bytes = [first_bytes, STEP + 4000, 2 * STEP];
        let model: Model = keys.iter().cloned().zip(bytes.map(put)).collect();
        // The first two share a block; the key of the second lies about the border of a page.
        let options = TableOptions { block_bytes: 3 * STEP, ..TableOptions::default() };
        let summary = write(&disk, number, &options, &model, &[]).unwrap();
        let all = content(&disk, number);
        let table = open(&disk, &summary, ReadMode::Mmap).unwrap();
        table.verify().unwrap();
        let mut cursors: Vec<_> = (0..2).map(|_| table.cursor(Versionstamp::MAX)).collect();
        cursors[0].seek(&keys[0]).unwrap();
        cursors[1].seek(&keys[1]).unwrap();
        let file = disk.open(Name::Table(number), OpenMode::ReadWrite).unwrap();
        file.set_len(STEP as u64).unwrap();
        let Change::Put { value, .. } = cursors[1].entry().unwrap().change else { panic!() };
        std::hint::black_box(value[100]);
        assert!(cursors[1].check().is_err());
        // Everything else is there again.
        file.write_all_at(0, &all).unwrap();
        match cursors[0].seek(&keys[1]) {
            Ok(()) => assert_eq!(cursors[0].entry().map(|e| e.key), Some(&keys[1][..])),
            Err(e) => {
                assert!(is_io(&e), "{e}");
                errors += 1;
            }
        }
    }
    assert!(errors > 0);
}
