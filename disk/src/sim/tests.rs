//! Each rule, the damage it can do, and that it spares what is durable.

use super::*;
use crate::{Disk, File, LockError, LockMode, Name, OpenMode};

const WAL: Name = Name::Wal(1);
const CURRENT: Name = Name::Current;

/// A durable file of `sectors` sectors, each full of the byte `fill`.
fn durable_file(disk: &SimDisk, name: Name, sectors: usize, fill: u8) -> Box<dyn File> {
    let file = disk.create(name).unwrap();
    file.write_all_at(0, &vec![fill; sectors * 512]).unwrap();
    file.sync().unwrap();
    disk.sync_dir().unwrap();
    file
}

/// The first byte of each sector; the whole sector must be equal to it.
fn fills(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks(512)
        .map(|sector| {
            assert!(sector.iter().all(|b| *b == sector[0]), "a sector is torn");
            sector[0]
        })
        .collect()
}

#[test]
fn c1_each_sector_becomes_any_of_its_versions() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let disk = SimDisk::new(seed, Rules::power_cut());
        let file = durable_file(&disk, WAL, 3, 1);
        file.write_all_at(512, &[2; 1024]).unwrap();
        file.write_all_at(512, &[3; 1024]).unwrap();
        assert_eq!(disk.pending(), 4);
        disk.crash(Crash::Random);
        let after = fills(&disk.read_file(WAL).unwrap());
        assert_eq!(after[0], 1, "a durable sector changed");
        seen.insert((after[1], after[2]));
    }
    assert_eq!(seen.len(), 9, "every pair of versions comes up: {seen:?}");
}

#[test]
fn what_is_synced_survives_and_what_is_not_can_be_lost() {
    let disk = SimDisk::new(1, Rules::power_cut());
    let file = durable_file(&disk, WAL, 2, 7);
    file.write_all_at(0, &[8; 512]).unwrap();
    let lock = disk.lock(LockMode::Exclusive).unwrap();
    disk.crash(Crash::KeepNone);
    assert!(file.write_at(0, &[9]).is_err());
    assert!(disk.list().is_err());
    let next = disk.reopen();
    assert_eq!(fills(&next.read_file(WAL).unwrap()), [7, 7]);
    drop((file, lock));
    assert!(next.lock(LockMode::Exclusive).is_ok());
}
