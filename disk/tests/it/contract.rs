//! What every disk owes to the layers above, as tests that take any disk.
//!
//! [`contract_tests!`] makes one test of each for a function that makes an empty disk: it returns
//! `(keep, disk)`, where `keep` is dropped after the test.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use icecore_disk::{
    Buffer, Disk, File, Listed, LockError, LockMode, Name, OpenMode, Region, Ticket, Write,
};

/// Runs the whole contract against the disks that `$make` makes.
macro_rules! contract_tests {
    ($make:path) => {
        $crate::contract::contract_tests!($make:
            a_created_file_is_empty_and_listed,
            a_name_is_created_once,
            a_missing_file_is_not_found,
            what_was_written_is_read_back_through_every_handle,
            reading_stops_at_the_end,
            writing_beyond_the_end_leaves_zeros_between,
            the_length_can_be_cut_and_extended_with_zeros,
            allocating_extends_with_zeros_and_keeps_what_is_there,
            allocating_never_shortens,
            a_handle_for_reading_does_not_write,
            an_offset_that_no_file_reaches_is_refused,
            submitted_writes_are_done_in_any_order_of_completion,
            submitted_writes_give_their_buffer_back,
            a_durable_write_extends_the_file,
            a_completed_write_is_read_back_at_once,
            writes_in_flight_may_be_completed_by_several_threads,
            a_rename_replaces_its_target,
            a_renamed_file_is_the_same_file,
            a_removed_file_stays_usable_through_its_handles,
            a_mapping_shows_the_whole_file,
            an_empty_file_maps_to_an_empty_region,
            a_mapping_is_the_same_whatever_part_of_it_is_expected_to_be_read,
            a_mapping_outlives_its_handle_and_its_name,
            the_directory_can_be_synced_at_any_time,
            there_is_free_space_to_ask_for,
            an_exclusive_lock_excludes_everybody,
            shared_locks_exclude_only_writers,
            a_shared_lock_leaves_no_file_behind,
            a_lock_survives_the_removal_of_its_file,
            a_directory_is_created_only_where_nothing_is,
            a_link_gives_the_file_to_both_directories,
            a_link_replaces_nothing,
        );
    };
    ($make:path: $($test:ident,)*) => {
        $(
            #[test]
            fn $test() {
                let (_keep, disk) = $make();
                $crate::contract::$test(disk);
            }
        )*
    };
}
pub(crate) use contract_tests;

type Handle = Arc<dyn Disk>;

fn write(offset: u64, data: &[u8], durable: bool) -> Write {
    Write { offset, data: Buffer::from(data), durable }
}

fn create(disk: &Handle, name: Name, content: &[u8]) -> Box<dyn File> {
    let file = disk.create(name).unwrap();
    file.write_all_at(0, content).unwrap();
    file
}

/// All of a file, read through `file`.
fn content(file: &dyn File) -> Vec<u8> {
    let mut content = vec![0xee; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_full_at(0, &mut content).unwrap(), content.len());
    content
}

fn content_of(disk: &dyn Disk, name: Name) -> Vec<u8> {
    content(disk.open(name, OpenMode::Read).unwrap().as_ref())
}

fn all(region: &Region) -> &[u8] {
    region.view(0..region.len()).unwrap()
}

fn listed(disk: &dyn Disk) -> Vec<Listed> {
    let mut listed = disk.list().unwrap();
    listed.sort_by_key(|l| l.name.clone().ok());
    listed
}

fn ours(name: Name, bytes: u64) -> Listed {
    Listed { name: Ok(name), bytes, regular: true }
}

/// A directory beside that of `disk`.
fn beside(disk: &dyn Disk) -> PathBuf {
    PathBuf::from(format!("{}.copy", disk.label()))
}

pub(crate) fn a_created_file_is_empty_and_listed(disk: Handle) {
    assert_eq!(listed(disk.as_ref()), []);
    let names = [
        Name::Lock,
        Name::Current,
        Name::Manifest(1),
        Name::Wal(icecore_disk::name::NUMBER_MAX),
        Name::Table(0),
        Name::Temp(7),
    ];
    for name in names {
        let file = disk.create(name).unwrap();
        assert!(file.is_empty().unwrap());
    }
    assert_eq!(listed(disk.as_ref()), names.map(|name| ours(name, 0)));
    create(&disk, Name::Wal(3), b"12345");
    assert!(disk.list().unwrap().contains(&ours(Name::Wal(3), 5)));
}

pub(crate) fn a_name_is_created_once(disk: Handle) {
    create(&disk, Name::Wal(1), b"first");
    let error = disk.create(Name::Wal(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(content_of(disk.as_ref(), Name::Wal(1)), b"first");
}

pub(crate) fn a_missing_file_is_not_found(disk: Handle) {
    let kinds = [
        disk.open(Name::Wal(1), OpenMode::Read).unwrap_err().kind(),
        disk.open(Name::Wal(1), OpenMode::ReadWrite).unwrap_err().kind(),
        disk.remove(Name::Wal(1)).unwrap_err().kind(),
        disk.rename(Name::Wal(1), Name::Wal(2)).unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::NotFound; 4]);
    assert_eq!(listed(disk.as_ref()), []);
}

pub(crate) fn what_was_written_is_read_back_through_every_handle(disk: Handle) {
    let writer = create(&disk, Name::Table(1), b"0123456789");
    let reader = disk.open(Name::Table(1), OpenMode::Read).unwrap();
    let other = disk.open(Name::Table(1), OpenMode::ReadWrite).unwrap();
    other.write_all_at(4, b"ice").unwrap();
    for file in [&writer, &reader, &other] {
        assert_eq!(content(file.as_ref()), b"0123ice789");
    }
}

pub(crate) fn reading_stops_at_the_end(disk: Handle) {
    let file = create(&disk, Name::Wal(1), b"12345");
    let mut into = [0xee; 10];
    assert_eq!(file.read_full_at(3, &mut into).unwrap(), 2);
    assert_eq!(into, *b"45\xee\xee\xee\xee\xee\xee\xee\xee");
    assert_eq!(file.read_at(5, &mut into).unwrap(), 0);
    assert_eq!(file.read_at(1 << 40, &mut into).unwrap(), 0);
    assert_eq!(file.read_at(0, &mut []).unwrap(), 0);
}

pub(crate) fn writing_beyond_the_end_leaves_zeros_between(disk: Handle) {
    let file = create(&disk, Name::Wal(1), b"ice");
    file.write_all_at(10_000, b"core").unwrap();
    let mut expected = vec![0; 10_004];
    expected[..3].copy_from_slice(b"ice");
    expected[10_000..].copy_from_slice(b"core");
    assert_eq!(content(file.as_ref()), expected);
}

pub(crate) fn the_length_can_be_cut_and_extended_with_zeros(disk: Handle) {
    let file = create(&disk, Name::Wal(1), b"0123456789");
    file.set_len(4).unwrap();
    assert_eq!(content(file.as_ref()), b"0123");
    file.set_len(8).unwrap();
    assert_eq!(content(file.as_ref()), b"0123\0\0\0\0");
    assert_eq!(listed(disk.as_ref()), [ours(Name::Wal(1), 8)]);
}

pub(crate) fn allocating_extends_with_zeros_and_keeps_what_is_there(disk: Handle) {
    let file = create(&disk, Name::Wal(1), b"ice");
    file.allocate(100_000).unwrap();
    let mut expected = vec![0; 100_000];
    expected[..3].copy_from_slice(b"ice");
    assert_eq!(content(file.as_ref()), expected);
    file.write_all_at(99_999, b"!").unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
}

pub(crate) fn allocating_never_shortens(disk: Handle) {
    let file = create(&disk, Name::Wal(1), b"0123456789");
    file.allocate(5).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(content(file.as_ref()), b"0123456789");
}

pub(crate) fn a_handle_for_reading_does_not_write(disk: Handle) {
    create(&disk, Name::Table(1), b"ice");
    let file = disk.open(Name::Table(1), OpenMode::Read).unwrap();
    assert!(file.write_at(0, b"x").is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.complete(file.submit(write(0, b"x", true))).1.is_err());
    assert_eq!(content(file.as_ref()), b"ice");
}

pub(crate) fn an_offset_that_no_file_reaches_is_refused(disk: Handle) {
    let file = create(&disk, Name::Table(1), b"ice");
    for offset in [u64::MAX, u64::MAX - 1, i64::MAX as u64] {
        let error = file.write_at(offset, b"core").unwrap_err();
        let known = [ErrorKind::InvalidInput, ErrorKind::FileTooLarge, ErrorKind::StorageFull];
        assert!(known.contains(&error.kind()), "{offset}: {error}");
    }
    assert_eq!(content(file.as_ref()), b"ice");
}

pub(crate) fn submitted_writes_are_done_in_any_order_of_completion(disk: Handle) {
    let file = disk.create(Name::Wal(1)).unwrap();
    let blocks = 0..8u8;
    let mut tickets: Vec<Ticket> = blocks
        .clone()
        .map(|n| file.submit(write(u64::from(n) * 4096, &[n + 1; 4096], n % 2 == 0)))
        .collect();
    while !tickets.is_empty() {
        let middle = tickets.len() / 2;
        file.complete(tickets.swap_remove(middle)).1.unwrap();
    }
    let expected: Vec<u8> = blocks.flat_map(|n| [n + 1; 4096]).collect();
    assert_eq!(content(file.as_ref()), expected);
}

pub(crate) fn submitted_writes_give_their_buffer_back(disk: Handle) {
    let file = disk.create(Name::Wal(1)).unwrap();
    for durable in [false, true] {
        let mut data = Buffer::with_capacity(8192);
        data.extend(b"ice");
        let capacity = data.capacity();
        let ticket = file.submit(Write { offset: 0, data, durable });
        let (data, written) = file.complete(ticket);
        written.unwrap();
        assert_eq!((&data[..], data.capacity()), (&b"ice"[..], capacity));
    }
}

pub(crate) fn a_durable_write_extends_the_file(disk: Handle) {
    let file = disk.create(Name::Wal(1)).unwrap();
    file.complete(file.submit(write(5000, b"ice", true))).1.unwrap();
    file.complete(file.submit(write(0, b"core", true))).1.unwrap();
    assert_eq!(file.len().unwrap(), 5003);
    assert_eq!(content(file.as_ref())[..6], *b"core\0\0");
}

pub(crate) fn a_completed_write_is_read_back_at_once(disk: Handle) {
    let file = disk.create(Name::Wal(1)).unwrap();
    let reader = disk.open(Name::Wal(1), OpenMode::Read).unwrap();
    for n in 0..20u8 {
        let at = u64::from(n) * 512;
        file.complete(file.submit(write(at, &[n; 512], false))).1.unwrap();
        let mut into = [0xee; 512];
        assert_eq!(reader.read_full_at(at, &mut into).unwrap(), 512);
        assert_eq!(into, [n; 512]);
    }
}

pub(crate) fn writes_in_flight_may_be_completed_by_several_threads(disk: Handle) {
    let file = disk.create(Name::Wal(1)).unwrap();
    let file = file.as_ref();
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                for round in 0..4u8 {
                    let n = round * 4 + thread;
                    let ticket = file.submit(write(u64::from(n) * 4096, &[n; 4096], true));
                    file.complete(ticket).1.unwrap();
                }
            });
        }
    });
    let expected: Vec<u8> = (0..16).flat_map(|n| [n; 4096]).collect();
    assert_eq!(content(file), expected);
}

pub(crate) fn a_rename_replaces_its_target(disk: Handle) {
    create(&disk, Name::Temp(1), b"new");
    let replaced = create(&disk, Name::Current, b"replaced");
    disk.rename(Name::Temp(1), Name::Current).unwrap();
    assert_eq!(content_of(disk.as_ref(), Name::Current), b"new");
    assert_eq!(listed(disk.as_ref()), [ours(Name::Current, 3)]);
    assert_eq!(content(replaced.as_ref()), b"replaced");
}

pub(crate) fn a_renamed_file_is_the_same_file(disk: Handle) {
    let file = create(&disk, Name::Wal(1), b"ice");
    disk.rename(Name::Wal(1), Name::Wal(2)).unwrap();
    file.write_all_at(3, b"core").unwrap();
    assert_eq!(content_of(disk.as_ref(), Name::Wal(2)), b"icecore");
    disk.rename(Name::Wal(2), Name::Wal(2)).unwrap();
    assert_eq!(content_of(disk.as_ref(), Name::Wal(2)), b"icecore");
}

pub(crate) fn a_removed_file_stays_usable_through_its_handles(disk: Handle) {
    let file = create(&disk, Name::Table(1), b"ice");
    disk.remove(Name::Table(1)).unwrap();
    assert_eq!(listed(disk.as_ref()), []);
    create(&disk, Name::Table(1), b"another");
    file.write_all_at(3, b"core").unwrap();
    file.sync().unwrap();
    assert_eq!(content(file.as_ref()), b"icecore");
    assert_eq!(content_of(disk.as_ref(), Name::Table(1)), b"another");
}

pub(crate) fn a_mapping_shows_the_whole_file(disk: Handle) {
    let bytes: Vec<u8> = (0..=250u8).cycle().take(10_000).collect();
    let file = create(&disk, Name::Table(1), &bytes);
    file.sync().unwrap();
    let region = disk.open(Name::Table(1), OpenMode::Read).unwrap().map().unwrap();
    assert_eq!(all(&region), bytes);
    assert_eq!(region.slice(4090..4100).unwrap(), bytes[4090..4100]);
    assert!(region.view(9_999..10_001).is_err());
}

pub(crate) fn an_empty_file_maps_to_an_empty_region(disk: Handle) {
    let region = disk.create(Name::Table(1)).unwrap().map().unwrap();
    assert!(region.is_empty());
    assert_eq!(region.view(0..0), Ok(&[][..]));
}

pub(crate) fn a_mapping_is_the_same_whatever_part_of_it_is_expected_to_be_read(disk: Handle) {
    let bytes: Vec<u8> = (0..=250u8).cycle().take(50_000).collect();
    let file = create(&disk, Name::Table(1), &bytes);
    file.sync().unwrap();
    let region = file.map().unwrap();
    for range in [0..1, 4_095..4_097, 10_000..10_000, 49_999..60_000, 70_000..80_000, 0..usize::MAX]
    {
        region.expect(range);
        assert_eq!(all(&region), bytes);
    }
}

pub(crate) fn a_mapping_outlives_its_handle_and_its_name(disk: Handle) {
    let file = create(&disk, Name::Table(1), b"icecore");
    file.sync().unwrap();
    let region = file.map().unwrap();
    let tail = region.slice(3..7).unwrap();
    drop(file);
    disk.remove(Name::Table(1)).unwrap();
    assert_eq!(all(&region), b"icecore");
    drop((region, disk));
    assert_eq!(tail, &b"core"[..]);
}

pub(crate) fn the_directory_can_be_synced_at_any_time(disk: Handle) {
    disk.sync_dir().unwrap();
    let file = create(&disk, Name::Wal(1), b"ice");
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    disk.remove(Name::Wal(1)).unwrap();
    disk.sync_dir().unwrap();
    assert_eq!(listed(disk.as_ref()), []);
}

pub(crate) fn there_is_free_space_to_ask_for(disk: Handle) {
    assert!(disk.free_bytes().unwrap() > 0);
}

fn assert_held(disk: &dyn Disk, mode: LockMode) {
    match disk.lock(mode) {
        Err(LockError::Held { holder }) => assert!(!holder.is_empty()),
        other => panic!("{mode:?} should be refused: {other:?}"),
    }
}

pub(crate) fn an_exclusive_lock_excludes_everybody(disk: Handle) {
    let guard = disk.lock(LockMode::Exclusive).unwrap();
    assert_held(disk.as_ref(), LockMode::Exclusive);
    assert_held(disk.as_ref(), LockMode::Shared);
    drop(guard);
    drop(disk.lock(LockMode::Exclusive).unwrap());
    drop(disk.lock(LockMode::Shared).unwrap());
}

pub(crate) fn shared_locks_exclude_only_writers(disk: Handle) {
    drop(disk.lock(LockMode::Exclusive).unwrap());
    let first = disk.lock(LockMode::Shared).unwrap();
    let second = disk.lock(LockMode::Shared).unwrap();
    assert_held(disk.as_ref(), LockMode::Exclusive);
    drop(first);
    assert_held(disk.as_ref(), LockMode::Exclusive);
    drop(second);
    drop(disk.lock(LockMode::Exclusive).unwrap());
}

pub(crate) fn a_shared_lock_leaves_no_file_behind(disk: Handle) {
    drop(disk.lock(LockMode::Shared).unwrap());
    assert_eq!(listed(disk.as_ref()), []);
}

pub(crate) fn a_lock_survives_the_removal_of_its_file(disk: Handle) {
    for mode in [LockMode::Exclusive, LockMode::Shared] {
        let _guard = disk.lock(mode).unwrap();
        if disk.list().unwrap().iter().any(|l| l.name == Ok(Name::Lock)) {
            disk.remove(Name::Lock).unwrap();
        }
        assert_held(disk.as_ref(), LockMode::Exclusive);
    }
}

pub(crate) fn a_directory_is_created_only_where_nothing_is(disk: Handle) {
    let path = beside(disk.as_ref());
    let made = disk.create_directory(&path).unwrap();
    assert_eq!(listed(made.as_ref()), []);
    let again = disk.create_directory(&path).unwrap();
    create(&again, Name::Wal(1), b"ice");
    assert_eq!(content_of(made.as_ref(), Name::Wal(1)), b"ice");
    assert!(disk.create_directory(&path).is_err());
    assert_eq!(listed(disk.as_ref()), []);
}

pub(crate) fn a_link_gives_the_file_to_both_directories(disk: Handle) {
    let target = disk.create_directory(&beside(disk.as_ref())).unwrap();
    let file = create(&disk, Name::Table(1), b"ice");
    file.sync().unwrap();
    disk.link(Name::Table(1), target.as_ref()).unwrap();
    target.sync_dir().unwrap();
    assert_eq!(listed(target.as_ref()), [ours(Name::Table(1), 3)]);
    disk.remove(Name::Table(1)).unwrap();
    assert_eq!(content_of(target.as_ref(), Name::Table(1)), b"ice");
    let missing = disk.link(Name::Table(1), target.as_ref()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

pub(crate) fn a_link_replaces_nothing(disk: Handle) {
    let target = disk.create_directory(&beside(disk.as_ref())).unwrap();
    create(&disk, Name::Table(1), b"ours");
    create(&target, Name::Table(1), b"theirs");
    let error = disk.link(Name::Table(1), target.as_ref()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(content_of(target.as_ref(), Name::Table(1)), b"theirs");
}
