//! Stores in memory.

use std::sync::Arc;

use icecore_disk::{Disk, MemoryDisk, Name};
use icecore_engine::{Access, Engine, ErrorKind, Options};

use crate::support::{Machine, assert_clean, contents, delete, get, set, small};

#[test]
fn a_store_in_memory_works_like_any_other_and_ends_with_its_last_handle() {
    let engine = Engine::open_in_memory(small()).unwrap();
    for round in 0..4 {
        for i in 0..100 {
            set(&engine, &format!("{i:02}"), &[round; 500]);
        }
        engine.flush().unwrap();
    }
    engine.compact().unwrap();
    assert_eq!(contents(&engine).len(), 100);
    assert_eq!(get(&engine, "07").unwrap(), [3; 500]);
    assert_clean(&engine);
    drop(engine);
    let engine = Engine::open_in_memory(Options::default()).unwrap();
    assert_eq!(contents(&engine).len(), 0, "every store has a memory of its own");
    engine.close().unwrap();
    let read_only = Options { access: Access::ReadOnly, ..Options::default() };
    let refused = Engine::open_in_memory(read_only).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
}

#[test]
fn a_disk_in_memory_can_be_opened_again_and_its_checkpoints_too() {
    let (machine, disk) = (Machine::new(1), MemoryDisk::new());
    let open =
        |disk: &MemoryDisk| Engine::open(machine.env_on(Arc::new(disk.clone())), small()).unwrap();
    let engine = open(&disk);
    set(&engine, "a", b"1");
    engine.checkpoint("copy").unwrap();
    set(&engine, "b", b"2");
    drop(engine);
    let engine = open(&disk);
    assert_eq!(contents(&engine).len(), 2);
    assert_eq!(contents(&open(&disk.directory("copy").unwrap())).len(), 1);
}

#[test]
fn the_memory_of_deleted_values_is_given_back() {
    let (machine, disk) = (Machine::new(1), MemoryDisk::new());
    let engine = Engine::open(machine.env_on(Arc::new(disk.clone())), small()).unwrap();
    let tables = || -> u64 {
        let listed = disk.list().unwrap().into_iter();
        listed.filter(|l| matches!(l.name, Ok(Name::Table(_)))).map(|l| l.bytes).sum()
    };
    let names: Vec<_> = (0..200).map(|i| format!("{i:03}")).collect();
    for (i, name) in names.iter().enumerate() {
        set(&engine, name, &[i as u8; 1_000]);
    }
    engine.compact().unwrap();
    let before = tables();
    for name in &names {
        delete(&engine, name);
    }
    engine.compact().unwrap();
    assert!(tables() < before / 4);
}
