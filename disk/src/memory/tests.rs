//! Random operations on files in memory, beside plain vectors, and what files cost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One operation on one of a few files.
#[derive(Clone, Debug)]
enum Step {
    Write { name: u64, offset: u64, data: Vec<u8> },
    SetLen { name: u64, bytes: u64 },
    Allocate { name: u64, bytes: u64 },
    Map { name: u64 },
    Rename { from: u64, to: u64 },
    Remove { name: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, place) = (0..3u64, 0..200u64);
    let data = proptest::collection::vec(any::<u8>(), 0..50);
    let step = prop_oneof![
        4 => (name.clone(), place.clone(), data)
            .prop_map(|(name, offset, data)| Step::Write { name, offset, data }),
        1 => (name.clone(), place.clone()).prop_map(|(name, bytes)| Step::SetLen { name, bytes }),
        1 => (name.clone(), place).prop_map(|(name, bytes)| Step::Allocate { name, bytes }),
        2 => name.clone().prop_map(|name| Step::Map { name }),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => name.prop_map(|name| Step::Remove { name }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn handle(disk: &MemoryDisk, name: u64) -> Box<dyn File> {
    let opened = disk.open(Name::Table(name), OpenMode::ReadWrite);
    opened.or_else(|_| disk.create(Name::Table(name))).unwrap()
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap()
}

/// Does `step` to the disk and to the model, which has the bytes of each file.
fn perform(disk: &MemoryDisk, model: &mut BTreeMap<u64, Vec<u8>>, step: Step) -> Option<Region> {
    match step {
        Step::Write { name, offset, data } => {
            handle(disk, name).write_all_at(offset, &data).unwrap();
            let file = model.entry(name).or_default();
            let end = size(offset) + data.len();
            if !data.is_empty() {
                file.resize(file.len().max(end), 0);
                file[size(offset)..end].copy_from_slice(&data);
            }
        }
        Step::SetLen { name, bytes } => {
            handle(disk, name).set_len(bytes).unwrap();
            model.entry(name).or_default().resize(size(bytes), 0);
        }
        Step::Allocate { name, bytes } => {
            handle(disk, name).allocate(bytes).unwrap();
            let file = model.entry(name).or_default();
            file.resize(file.len().max(size(bytes)), 0);
        }
        Step::Map { name } => {
            model.entry(name).or_default();
            return Some(handle(disk, name).map().unwrap());
        }
        Step::Rename { from, to } => {
            let renamed = disk.rename(Name::Table(from), Name::Table(to));
            assert_eq!(renamed.is_ok(), model.contains_key(&from));
            if let Some(file) = model.remove(&from) {
                model.insert(to, file);
            }
        }
        Step::Remove { name } => {
            assert_eq!(disk.remove(Name::Table(name)).is_ok(), model.remove(&name).is_some());
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn files_in_memory_are_like_vectors_and_mappings_never_change(steps in steps()) {
        let disk = MemoryDisk::new();
        let mut model = BTreeMap::new();
        let mut mapped = Vec::new();
        for step in steps {
            let name = if let Step::Map { name } = step { name } else { 0 };
            if let Some(region) = perform(&disk, &mut model, step) {
                mapped.push((region, model[&name].clone()));
            }
            let listed = disk.list().unwrap().into_iter();
            let listed: Vec<_> = listed.map(|l| (l.name.unwrap(), size(l.bytes))).collect();
            let expected: Vec<_> =
                model.iter().map(|(name, file)| (Name::Table(*name), file.len())).collect();
            prop_assert_eq!(listed, expected);
            for (name, file) in &model {
                let mut read = vec![0xee; file.len() + 1];
                let got = handle(&disk, *name).read_full_at(0, &mut read).unwrap();
                prop_assert_eq!(&read[..got], &file[..]);
            }
        }
        for (region, file) in mapped {
            prop_assert_eq!(region.view(0..file.len()), Ok(&file[..]));
        }
    }
}

#[test]
fn what_is_only_reserved_takes_no_memory() {
    let inode = Arc::new(Inode::default());
    let file = MemoryFile { inode: Arc::clone(&inode), mode: OpenMode::ReadWrite };
    file.allocate(1 << 40).unwrap();
    file.write_all_at(0, b"ice").unwrap();
    assert_eq!(file.len().unwrap(), 1 << 40);
    inode.read(|content| assert_eq!(content.data(), b"ice"));
}

#[test]
fn a_mapping_copies_nothing() {
    let disk = MemoryDisk::new();
    let file = disk.create(Name::Table(1)).unwrap();
    file.write_all_at(0, b"ice").unwrap();
    let [first, second] = [(); 2].map(|()| file.map().unwrap().slice(0..3).unwrap());
    assert_eq!(first.as_ptr(), second.as_ptr());
}

#[test]
fn the_memory_of_a_file_goes_with_its_last_name_handle_and_mapping() {
    let disk = MemoryDisk::new();
    let file = disk.create(Name::Table(1)).unwrap();
    file.write_all_at(0, b"ice").unwrap();
    let inode = Arc::downgrade(lock(&disk.directory.files).get(&Name::Table(1)).unwrap());
    let region = file.map().unwrap();
    disk.remove(Name::Table(1)).unwrap();
    assert!(inode.upgrade().is_some());
    drop(file);
    assert!(inode.upgrade().is_none());
    let bytes = region.slice(0..3).unwrap();
    drop(region);
    assert!(bytes.is_unique());
}

#[test]
fn too_much_memory_is_a_full_disk() {
    let disk = MemoryDisk::new();
    let file = disk.create(Name::Wal(1)).unwrap();
    let full = file.write_at(1 << 62, b"x").unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    file.allocate(1 << 62).unwrap();
    assert_eq!(file.map().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_directory_of_the_family_is_found_by_its_path() {
    let disk = MemoryDisk::new();
    let made = disk.create_directory(Path::new("copy")).unwrap();
    made.create(Name::Wal(1)).unwrap();
    drop(made);
    let found = disk.directory("copy").unwrap();
    assert_eq!(found.list().unwrap().len(), 1);
    assert!(MemoryDisk::new().directory("copy").is_none());
}
