//! Tables that are damaged, exchanged or unreadable: right data or an error, never a panic.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use icecore_disk::sim::{Chance, Crash, Damage, Failure, OpKind, Rules, SimDisk};
use icecore_disk::{Disk, Name, OpenMode};
use icecore_model::{DatabaseId, Entry, RangeTombstone, Timestamp, Versionstamp};
use icecore_sstable::{Compression, Error, ReadMode, Table, TableOptions, TableSummary};

use crate::support::{HOME, MODES, Model, disk, entries, env, open, write};

const NEWEST: Versionstamp = Versionstamp::MAX;

/// A few blocks, versions that span them, deletions, expiries and deleted ranges.
pub(crate) fn small_model() -> (Model, Vec<RangeTombstone>) {
    let mut model = Model::new();
    for number in 0..12u64 {
        let key = format!("key/{:02}", number / 2 * 3).into_bytes();
        let expires_at = if number % 3 == 0 { Timestamp::from_ms(1000 + number) } else { None };
        let value = vec![b'a' + u8::try_from(number).unwrap(); 20];
        let version = (number % 5 != 4).then_some((value, expires_at));
        model.entry(key).or_default().insert(Versionstamp::new(10 + number), version);
    }
    let range = RangeTombstone {
        start: b"key/03".to_vec(),
        end: b"key/10".to_vec(),
        stamp: Versionstamp::new(13),
    };
    (model, vec![range])
}

pub(crate) fn small_options(compression: Compression) -> TableOptions {
    TableOptions { block_bytes: 120, compression, ..TableOptions::default() }
}

/// The bytes of the small table, and what the manifest would know of it.
pub(crate) fn small_table(compression: Compression) -> (Vec<u8>, TableSummary) {
    let disk = disk();
    let (model, ranges) = small_model();
    let summary = write(&*disk, 1, &small_options(compression), &model, &ranges).unwrap();
    (disk.read_file(Name::Table(1)).unwrap(), summary)
}

pub(crate) fn place(disk: &dyn Disk, name: Name, bytes: &[u8]) {
    disk.create(name).unwrap().write_all_at(0, bytes).unwrap();
}

/// Reads all of a table, in every way; what can be read must be right.
fn read_everything(table: &Arc<Table>, model: &Model) -> Result<(), Error> {
    let newest: BTreeMap<&[u8], Entry<'_>> =
        entries(model).into_iter().rev().map(|entry| (entry.key, entry)).collect();
    let mut first = Ok(());
    for entry in newest.values() {
        match table.get(entry.key, NEWEST) {
            Ok(hit) => {
                let hit = hit.expect("a key that was put in");
                assert_eq!((hit.stamp(), hit.change()), (entry.stamp, entry.change));
            }
            Err(e) => first = first.and(Err(e)),
        }
    }
    let forward = (|| {
        let mut cursor = table.cursor(NEWEST);
        cursor.seek_first()?;
        for entry in newest.values() {
            assert_eq!(cursor.entry().as_ref(), Some(entry));
            cursor.next()?;
        }
        assert_eq!(cursor.entry(), None);
        Ok(())
    })();
    let back = (|| {
        let mut cursor = table.cursor(NEWEST);
        cursor.seek_last()?;
        for entry in newest.values().rev() {
            assert_eq!(cursor.entry().as_ref(), Some(entry));
            cursor.prev()?;
        }
        assert_eq!(cursor.entry(), None);
        Ok(())
    })();
    first.and(forward).and(back).and(run_through(table, &newest))
}

/// The same by runs, there and back.
fn run_through(table: &Arc<Table>, newest: &BTreeMap<&[u8], Entry<'_>>) -> Result<(), Error> {
    let mut cursor = table.cursor(NEWEST);
    let mut entries = newest.values();
    cursor.seek_first()?;
    let see = |entry: Entry<'_>| {
        assert_eq!(Some(&entry), entries.next());
        ControlFlow::<()>::Continue(())
    };
    assert_eq!(cursor.run(see)?, None);
    assert_eq!(entries.next(), None);
    let mut entries = newest.values().rev();
    cursor.seek_last()?;
    let see = |entry: Entry<'_>| {
        assert_eq!(Some(&entry), entries.next());
        ControlFlow::<()>::Continue(())
    };
    assert_eq!(cursor.run_back(see)?, None);
    assert_eq!(entries.next(), None);
    Ok(())
}

#[test]
fn every_changed_byte_is_found_and_nothing_wrong_is_ever_read() {
    let (model, _) = small_model();
    for compression in [Compression::None, Compression::Lz4] {
        let (bytes, summary) = small_table(compression);
        assert!(bytes.len() < 2000, "{} bytes", bytes.len());
        for at in 0..bytes.len() {
            let (flip, mode) = ([1, 0x80, 0xff][at % 3], MODES[at / 3 % 3]);
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let disk = disk();
            place(&*disk, Name::Table(1), &damaged);
            let Ok(table) = open(&*disk, &summary, mode) else { continue };
            let read = read_everything(&table, &model);
            assert!(read.is_err(), "byte {at}: every data block was read");
            assert!(table.verify().is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_table_of_any_other_length_is_refused() {
    let (bytes, summary) = small_table(Compression::None);
    for length in (0..bytes.len()).chain([bytes.len() + 1, bytes.len() + 4096]) {
        let mut other = bytes.clone();
        other.resize(length, 0);
        let disk = disk();
        place(&*disk, Name::Table(1), &other);
        for mode in MODES {
            let result = open(&*disk, &summary, mode);
            assert!(matches!(result, Err(Error::Corrupt { .. })), "{length} bytes: {result:?}");
            // Nor does a manifest of this length make a table of it.
            let believed = TableSummary { bytes: length as u64, ..summary.clone() };
            let result = open(&*disk, &believed, mode);
            assert!(matches!(result, Err(Error::Corrupt { .. })), "{length} bytes: {result:?}");
        }
    }
}

fn reason(result: Result<Arc<Table>, Error>) -> String {
    match result {
        Err(Error::Corrupt { file: Name::Table(1), what, .. }) => what.into_owned(),
        other => panic!("not a corrupt table 1: {other:?}"),
    }
}

#[test]
fn opening_names_how_a_file_differs_from_the_one_that_is_expected() {
    let (bytes, summary) = small_table(Compression::None);
    let (mut model, ranges) = small_model();
    for mode in MODES {
        let missing = reason(open(&*disk(), &summary, mode));
        assert!(missing.contains("missing"), "{missing}");

        let swapped_disk = disk();
        let options = small_options(Compression::None);
        write(&*swapped_disk, 2, &options, &model, &ranges).unwrap();
        swapped_disk.rename(Name::Table(2), Name::Table(1)).unwrap();
        let swapped = reason(open(&*swapped_disk, &summary, mode));
        assert!(swapped.contains("it is table 2"), "{swapped}");

        let foreign_disk = disk();
        place(&*foreign_disk, Name::Table(1), &bytes);
        let mut env = env(mode);
        env.accepted = vec![DatabaseId([8; 16]), DatabaseId([9; 16])];
        let foreign = reason(Table::open(&*foreign_disk, &summary, &env).map(Arc::new));
        assert!(foreign.contains("another store"), "{foreign}");
        env.accepted.push(HOME);
        Table::open(&*foreign_disk, &summary, &env).unwrap();
    }
    let versions = model.values_mut().next().unwrap();
    *versions.values_mut().next().unwrap() = Some((vec![b'?'; 20], Timestamp::from_ms(1000)));
    for mode in MODES {
        let older_disk = disk();
        write(&*older_disk, 1, &small_options(Compression::None), &model, &ranges).unwrap();
        let older = reason(open(&*older_disk, &summary, mode));
        assert!(older.contains("another version of itself"), "{older}");
    }
}

#[test]
fn verify_finds_what_is_damaged_after_opening() {
    let (bytes, summary) = small_table(Compression::None);
    for at in (0..bytes.len()).step_by(7) {
        let disk = disk();
        place(&*disk, Name::Table(1), &bytes);
        let table = open(&*disk, &summary, ReadMode::Read).unwrap();
        table.verify().unwrap();
        let file = disk.open(Name::Table(1), OpenMode::ReadWrite).unwrap();
        file.write_all_at(at as u64, &[!bytes[at]]).unwrap();
        assert!(table.verify().is_err(), "byte {at}");
    }
}

#[test]
fn a_sector_that_cannot_be_read_is_an_io_error_in_every_mode() {
    let (model, ranges) = small_model();
    let mut model = model;
    let large = Some((vec![b'x'; 5000], None));
    model.entry(b"z".to_vec()).or_default().insert(Versionstamp::new(50), large);
    let first = disk();
    let summary = write(&*first, 1, &small_options(Compression::None), &model, &ranges).unwrap();
    first.sync_dir().unwrap();
    first.crash(Crash::KeepAll);
    first.corrupt(Name::Table(1), 3000, Damage::BadSector).unwrap();
    let disk = first.reopen();
    for mode in MODES {
        let table = open(&*disk, &summary, mode).unwrap();
        table.get(b"key/00", NEWEST).unwrap().unwrap();
        let unreadable = [
            table.get(b"z", NEWEST).err().unwrap(),
            table.verify().unwrap_err(),
            read_everything(&table, &model).unwrap_err(),
        ];
        assert!(unreadable.iter().all(|e| matches!(e, Error::Io { .. })), "{unreadable:?}");
    }
}

#[test]
fn a_page_that_goes_bad_while_it_is_borrowed_is_told_afterwards() {
    let (mut model, ranges) = small_model();
    let large = Some((vec![b'x'; 5000], None));
    model.entry(b"z".to_vec()).or_default().insert(Versionstamp::new(50), large);
    let disk = disk();
    let options = small_options(Compression::None);
    let summary = write(&*disk, 1, &options, &model, &ranges).unwrap();
    let table = open(&*disk, &summary, ReadMode::Mmap).unwrap();
    let hit = table.get(b"z", NEWEST).unwrap().unwrap();
    let mut cursor = table.cursor(NEWEST);
    cursor.seek(b"z").unwrap();
    hit.check().unwrap();
    cursor.check().unwrap();

    disk.set_rules(Rules { bad_sectors: Chance::one_in(1), ..Rules::none() });
    let file = disk.open(Name::Table(1), OpenMode::Read).unwrap();
    assert!(file.read_at(3000, &mut [0; 10]).is_err());
    disk.set_rules(Rules::none());
    let told = [
        hit.check().unwrap_err(),
        hit.value_bytes().unwrap_err(),
        cursor.check().unwrap_err(),
        cursor.value_bytes().unwrap_err(),
        table.get(b"z", NEWEST).unwrap_err(),
        table.verify().unwrap_err(),
    ];
    assert!(told.iter().all(|e| matches!(e, Error::Io { .. })), "{told:?}");
    table.get(b"key/00", NEWEST).unwrap().unwrap();
}

#[test]
fn what_a_flaky_disk_gives_is_right_or_an_error() {
    let (model, ranges) = small_model();
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..200 {
        let rules = Rules {
            short_writes: Chance::one_in(2),
            short_reads: Chance::one_in(2),
            interruptions: Chance::one_in(3),
            ..Rules::none()
        };
        let disk = SimDisk::new(seed, rules);
        let options = small_options(Compression::Lz4);
        let summary = write(&*disk, 1, &options, &model, &ranges).unwrap();
        disk.set_rules(Rules { bit_flips: Chance::one_in(10), ..rules });
        match open(&*disk, &summary, ReadMode::Read)
            .and_then(|table| read_everything(&table, &model))
        {
            Ok(()) => right += 1,
            Err(e) => {
                assert!(!matches!(e, Error::Io { .. }), "{e}");
                wrong += 1;
            }
        }
    }
    assert!(right > 10 && wrong > 10, "{right} right, {wrong} wrong");
}

#[test]
fn a_cursor_that_has_failed_repeats_its_error_for_ever() {
    let (bytes, summary) = small_table(Compression::None);
    let mut damaged = bytes;
    damaged[200] ^= 1;
    for mode in MODES {
        let disk = disk();
        place(&*disk, Name::Table(1), &damaged);
        let table = open(&*disk, &summary, mode).unwrap();
        let mut cursor = table.cursor(NEWEST);
        cursor.seek_first().unwrap();
        let error = loop {
            if let Err(e) = cursor.next() {
                break e.to_string();
            }
            assert!(cursor.entry().is_some(), "the damage is on the way");
        };
        assert_eq!(cursor.entry(), None);
        assert_eq!(cursor.next().unwrap_err().to_string(), error);
        assert_eq!(cursor.seek_first().unwrap_err().to_string(), error);
        assert_eq!(cursor.prev().unwrap_err().to_string(), error);
        assert_eq!(cursor.value_bytes().unwrap_err().to_string(), error);
    }
}

#[test]
fn every_call_of_the_disk_may_fail_and_says_so() {
    let (model, ranges) = small_model();
    for mode in MODES {
        for call in 0.. {
            let disk = disk();
            disk.fail_call(call, Failure::Io);
            let options = small_options(Compression::Lz4);
            let result = write(&*disk, 1, &options, &model, &ranges).and_then(|summary| {
                let table = open(&*disk, &summary, mode)?;
                read_everything(&table, &model)?;
                table.verify()
            });
            match result {
                Ok(_) if disk.calls() <= call => break,
                Ok(_) => panic!("the failure of call {call} went unnoticed"),
                Err(e) => assert!(matches!(e, Error::Io { .. }), "call {call}: {e}"),
            }
        }
    }
}

#[test]
fn short_writes_and_interruptions_do_no_harm() {
    let (model, ranges) = small_model();
    let disk = disk();
    disk.fail_next(OpKind::Write, Failure::Interrupted, 2);
    let summary = write(&*disk, 1, &small_options(Compression::None), &model, &ranges).unwrap();
    let table = open(&*disk, &summary, ReadMode::Read).unwrap();
    disk.fail_next(OpKind::Read, Failure::Interrupted, 2);
    assert_eq!(table.verify().unwrap(), summary);
}
