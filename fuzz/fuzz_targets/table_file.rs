//! Any bytes in the place of a table open and read without a panic; what reads, reads in order.
#![no_main]

use std::sync::Arc;

use icecore_disk::Name;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_model::{DatabaseId, Versionstamp};
use icecore_sstable::{BlockCache, ReadMode, Table, TableEnv, TableSummary};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let disk = SimDisk::new(1, Rules::none());
    disk.kill();
    disk.write_file(Name::Table(1), bytes);
    let disk = disk.reopen();
    let env = TableEnv {
        read_mode: ReadMode::MmapStrict,
        cache: Arc::new(BlockCache::new(1 << 16)),
        accepted: vec![DatabaseId([0; 16])],
    };
    let expected = TableSummary { number: 1, bytes: bytes.len() as u64, ..Default::default() };
    let Ok(table) = Table::open(&*disk, &expected, &env) else { return };
    let table = Arc::new(table);
    let mut cursor = table.cursor(Versionstamp::MAX);
    let mut before: Option<Vec<u8>> = None;
    let mut moved = cursor.seek_first();
    while let (Ok(()), Some(entry)) = (&moved, cursor.entry()) {
        assert!(before.as_deref().is_none_or(|key| key < entry.key));
        before = Some(entry.key.to_vec());
        moved = cursor.next();
    }
    let _ = (table.get(b"k", Versionstamp::MAX), table.verify());
});
