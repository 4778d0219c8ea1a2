//! A block of one table in the place of another table's (E8): its checksum knows the place and not
//! the table.

use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_engine::{Batch, Durability, Engine, Environment, Mutation, Options, Outcome, Workers};

fn open(disk: &Arc<SimDisk>) -> Engine {
    let environment = Environment {
        disk: Arc::clone(disk) as Arc<dyn Disk>,
        clock: Arc::new(ManualClock::at(1)),
        random: Arc::new(SeededRandom::new(1)),
    };
    let options = Options { workers: Workers::Manual, level0_tables: 8, ..Options::default() };
    Engine::open(environment, options).expect("the store opens")
}

/// Two tables with the same keys and blocks of the same lengths, and their contents.
fn two_tables() -> (Arc<SimDisk>, Vec<(Name, Vec<u8>)>) {
    let disk = SimDisk::new(1, Rules::none());
    let engine = open(&disk);
    for fill in [b'A', b'B'] {
        for n in 0..40u8 {
            let (key, value) = ([0x10, b'a', n], [fill; 100]);
            let set = Mutation::Set { key: &key, value: &value, expires_at: None };
            let batch = Batch { checks: &[], mutations: &[set] };
            let outcome = engine.commit_with(batch, Durability::Sync).expect("it is taken");
            assert!(matches!(outcome, Outcome::Committed(_)));
        }
        engine.flush().expect("there is room");
    }
    engine.close().expect("nothing fails");
    drop(engine);
    disk.kill();
    let mut files = disk.snapshot_files();
    files.retain(|(name, _)| matches!(name, Name::Table(_)));
    (disk, files)
}

#[test]
fn the_check_finds_a_block_of_another_table_in_the_same_place() {
    let (disk, tables) = two_tables();
    let [(_, older), (name, newer)] = &tables[..] else { panic!("two tables were flushed") };
    assert_eq!(older.len(), newer.len());
    for sectors in 1..=newer.len() / 512 {
        let copy = disk.fork();
        let mut mixed = newer.clone();
        mixed[..sectors * 512].copy_from_slice(&older[..sectors * 512]);
        copy.write_file(*name, &mixed);
        let report = open(&copy.reopen()).check().expect("it is a report");
        assert!(!report.is_clean(), "{sectors} sectors of another table were not found");
    }
}
