//! Each rule: the damage it can do, and that it spares what is durable.

mod betray;
mod crash;
mod determinism;
mod errors;
mod property;
mod rest;

use super::*;
use crate::{Buffer, Disk, File, Write};

const WAL: Name = Name::Wal(1);

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
    let fill = |sector: &[u8]| {
        assert!(sector.iter().all(|b| *b == sector[0]), "a sector is torn");
        sector[0]
    };
    bytes.chunks(512).map(fill).collect()
}

fn write(offset: u64, data: &[u8], durable: bool) -> Write {
    Write { offset, data: Buffer::from(data), durable }
}

fn content(file: &dyn File) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let read = file.read_full_at(0, &mut content).unwrap();
    content.truncate(read);
    content
}

fn names(disk: &SimDisk) -> Vec<Name> {
    disk.snapshot_files().into_iter().map(|(name, _)| name).collect()
}

/// The invariants of the files, and that the space is counted right.
fn check(disk: &SimDisk) {
    let world = disk.world();
    let mut used = 0;
    for inode in world.inodes.values() {
        if inode.links > 0 || !inode.handles.is_empty() {
            used += inode.charged;
        }
        let end = usize::try_from(inode.len).unwrap();
        for (index, page) in inode.pages.iter().enumerate() {
            let Some(page) = page else { continue };
            let listed = inode.unsettled.iter().filter(|i| **i as usize == index).count();
            assert!(listed == usize::from(page.listed) && (page.listed || page.is_clean()));
            let beyond = end.saturating_sub(index * 4096).min(4096);
            assert!(page.bytes[beyond..].iter().all(|b| *b == 0), "bytes beyond the end");
        }
        if let Some(last) = inode.lengths.last() {
            assert_eq!(*last, inode.len);
        } else {
            assert_eq!(inode.durable_len, inode.len);
        }
    }
    assert_eq!(used, world.used);
    assert_eq!(
        world.directories.iter().map(|d| d.names.len()).sum::<usize>(),
        world.inodes.values().map(|inode| inode.links as usize).sum(),
    );
}
