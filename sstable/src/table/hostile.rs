//! Tables whose checksums agree and whose content is nonsense: a program that knows the format
//! wrote them. Nothing may panic, run for ever, or take more memory than the file is long.

use std::sync::Arc;

use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_model::hash::hash64;
use icecore_model::{Change, DatabaseId, Entry, RangeTombstone, Reader, Versionstamp};
use proptest::prelude::*;

use crate::block::DataBlock;
use crate::filter::Filter;
use crate::format::{FOOTER_BYTES, Footer, Handle, Kind, Seal, Sealed, TRAILER_BYTES};
use crate::index::Index;
use crate::{
    BlockCache, Compression, ReadMode, Table, TableEnv, TableId, TableOptions, TableSummary,
    TableWriter, ranges,
};

const HOME: DatabaseId = DatabaseId([3; 16]);
const FILE: Name = Name::Table(1);
const ID: TableId = TableId { database: HOME, number: 1 };

fn seal() -> Seal {
    Seal::of(ID)
}

fn keys() -> Vec<Vec<u8>> {
    (0..40u8).map(|n| format!("key/{:03}", n / 2 * 7).into_bytes()).collect()
}

fn honest() -> (Vec<u8>, TableSummary) {
    let disk = SimDisk::new(1, Rules::none());
    let options = TableOptions { block_bytes: 150, ..TableOptions::default() };
    let mut writer = TableWriter::create(&*disk, ID, &options).unwrap();
    for (number, key) in keys().iter().enumerate() {
        let stamp = Versionstamp::new(100 - number as u64);
        let change = Change::Put { value: b"some value", expires_at: None };
        writer.add(&Entry { key, stamp, change }).unwrap();
    }
    for (start, end, stamp) in [(b"a", b"c", 7), (b"b", b"d", 9)] {
        let stamp = Versionstamp::new(stamp);
        writer.add_range(&RangeTombstone { start: start.to_vec(), end: end.to_vec(), stamp });
    }
    let summary = writer.finish().unwrap();
    (disk.read_file(FILE).unwrap(), summary)
}

fn footer(file: &[u8]) -> Footer {
    let (_, footer) = file.split_last_chunk::<FOOTER_BYTES>().unwrap();
    Footer::decode(footer, FILE, file.len() as u64).unwrap()
}

/// All blocks of a table in their order.
fn blocks(file: &[u8]) -> Vec<(Handle, Kind)> {
    let footer = footer(file);
    let body = body(file, footer.index);
    let index = Index::decode(body.to_vec().into(), footer.data_end()).unwrap();
    let mut blocks: Vec<_> =
        (0..index.count()).map(|n| (index.handle(n).unwrap(), Kind::Data)).collect();
    blocks.push((footer.ranges.unwrap(), Kind::Ranges));
    blocks.push((footer.filter.unwrap(), Kind::Filter));
    blocks.push((footer.index, Kind::Index));
    blocks.push((footer.properties, Kind::Properties));
    blocks
}

fn place(handle: Handle) -> std::ops::Range<usize> {
    let start = usize::try_from(handle.offset).unwrap();
    start..start + usize::try_from(handle.bytes).unwrap()
}

fn body(file: &[u8], handle: Handle) -> &[u8] {
    let range = place(handle);
    &file[range.start..range.end - TRAILER_BYTES]
}

/// Puts `change`d bytes into a block and makes all checksums agree again.
fn forge(
    file: &[u8],
    (handle, kind): (Handle, Kind),
    compression: Compression,
    change: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut block = body(file, handle).to_vec();
    let length = block.len();
    change(&mut block);
    block.resize(length, 0);
    seal().close(&mut block, 0, handle.offset, kind, compression);
    let mut forged = file.to_vec();
    forged[place(handle)].copy_from_slice(&block);
    let end = forged.len() - FOOTER_BYTES;
    let sealed = Footer { hash: hash64(&forged[..end]), ..footer(file) }.encode();
    forged[end..].copy_from_slice(&sealed);
    forged
}

/// Does everything that can be done with a table; every error is fine.
fn use_table(forged: &[u8], honest: &TableSummary, read_mode: ReadMode) {
    let disk = SimDisk::new(1, Rules::none());
    disk.create(FILE).unwrap().write_all_at(0, forged).unwrap();
    let expected = TableSummary { hash: footer(forged).hash, ..honest.clone() };
    let cache = Arc::new(BlockCache::new(1 << 20));
    let env = TableEnv { read_mode, cache, accepted: vec![HOME] };
    let Ok(table) = Table::open(&*disk, &expected, &env).map(Arc::new) else { return };
    let steps = forged.len() * 2;
    let mut cursor = table.cursor(Versionstamp::new(80));
    for key in keys() {
        for at in [0, 75, u64::MAX] {
            if let Ok(Some(hit)) = table.get(&key, Versionstamp::new(at)) {
                assert!(hit.value_bytes().is_ok());
            }
        }
        let moves = (|| {
            cursor.seek(&key)?;
            cursor.prev()?;
            cursor.prev()?;
            cursor.next()
        })();
        if moves.is_err() {
            cursor = table.cursor(Versionstamp::new(80));
        }
    }
    let mut cursor = table.cursor(Versionstamp::MAX);
    if cursor.seek_first().is_ok() {
        assert!((0..steps).any(|_| cursor.next().is_err() || cursor.entry().is_none()));
    }
    let mut cursor = table.cursor(Versionstamp::MAX);
    if cursor.seek_last().is_ok() {
        assert!((0..steps).any(|_| cursor.prev().is_err() || cursor.entry().is_none()));
    }
    if let Ok(found) = table.verify() {
        assert_eq!(&found, table.summary());
    }
}

#[test]
fn any_changed_byte_under_agreeing_checksums_does_no_harm() {
    let (file, summary) = honest();
    for block in blocks(&file) {
        for at in 0..body(&file, block.0).len() {
            for (turn, byte) in [0, 1, 0x7f, 0x80, 0xff].into_iter().enumerate() {
                let forged = forge(&file, block, Compression::None, |body| body[at] = byte);
                let mode = [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read][turn % 3];
                use_table(&forged, &summary, mode);
            }
        }
    }
}

#[test]
fn verify_finds_every_slot_of_the_hash_index_that_was_changed() {
    let (file, summary) = honest();
    let filter = (footer(&file).filter.unwrap(), Kind::Filter);
    let first = 8 + usize::from(body(&file, filter.0)[2]);
    for at in first..body(&file, filter.0).len() {
        for bit in [0x01, 0x80] {
            let forged = forge(&file, filter, Compression::None, |body| body[at] ^= bit);
            let disk = SimDisk::new(1, Rules::none());
            disk.create(FILE).unwrap().write_all_at(0, &forged).unwrap();
            let expected = TableSummary { hash: footer(&forged).hash, ..summary.clone() };
            let cache = Arc::new(BlockCache::new(1 << 20));
            let env = TableEnv { read_mode: ReadMode::Mmap, cache, accepted: vec![HOME] };
            let table = Table::open(&*disk, &expected, &env).unwrap();
            let found = table.verify();
            assert!(matches!(found, Err(crate::Error::Corrupt { .. })), "byte {at}: {found:?}");
        }
    }
}

#[test]
fn what_is_unknown_is_refused_by_name() {
    let (file, _) = honest();
    let (handle, kind) = blocks(&file)[0];
    let stored = &file[place(handle)];
    for (tag, value) in [(0, 0), (0, 6), (1, 2), (2, 1), (3, 1)] {
        let mut block = stored.to_vec();
        let tags = block.len() - TRAILER_BYTES;
        block[tags + tag] = value;
        let end = block.len() - 4;
        let checksum = seal().checksum(handle.offset, &block[..end]);
        block[end..].copy_from_slice(&checksum.to_le_bytes());
        let result = Sealed::verify(&block, &seal(), FILE, handle.offset, kind);
        assert!(matches!(result, Err(crate::Error::UnknownFormat { .. })), "{result:?}");
        let (next, home) = (TableId { number: 2, ..ID }, handle.offset);
        let away = TableId { database: DatabaseId([4; 16]), ..ID };
        for (id, offset) in [(ID, home + 1), (next, home), (away, home)] {
            let elsewhere = Sealed::verify(&block, &Seal::of(id), FILE, offset, kind);
            assert!(matches!(elsewhere, Err(crate::Error::Corrupt { .. })), "{elsewhere:?}");
        }
    }
    assert!(matches!(
        Sealed::verify(stored, &seal(), FILE, handle.offset, Kind::Index),
        Err(crate::Error::Corrupt { .. })
    ));
}

#[test]
fn a_compressed_block_that_claims_too_much_is_refused_before_memory_is_taken() {
    for length in [u32::MAX, 90 << 20, 300_000, 11] {
        let mut block = length.to_le_bytes().to_vec();
        block.extend_from_slice(&lz4_flex::block::compress(&[0; 10]));
        seal().close(&mut block, 0, 0, Kind::Data, Compression::Lz4);
        let sealed = Sealed::verify(&block, &seal(), FILE, 0, Kind::Data).unwrap();
        assert!(matches!(sealed.unpack(FILE, 0), Err(crate::Error::Corrupt { .. })), "{length}");
    }
}

proptest! {
    #[test]
    fn a_forged_block_of_garbage_does_no_harm(
        which in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(prop_oneof![0u8..5, any::<u8>()], 0..400),
        at in any::<prop::sample::Index>(),
        lz4: bool,
    ) {
        let (file, summary) = honest();
        let blocks = blocks(&file);
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let forged = forge(&file, blocks[which.index(blocks.len())], compression, |body| {
            let start = at.index(body.len());
            let length = garbage.len().min(body.len() - start);
            body[start..start + length].copy_from_slice(&garbage[..length]);
        });
        use_table(&forged, &summary, ReadMode::Mmap);
        use_table(&forged, &summary, ReadMode::Read);
    }

    #[test]
    fn decoders_take_any_bytes(bytes in prop::collection::vec(prop_oneof![0u8..5, any::<u8>()], 0..300)) {
        if let Ok(block) = DataBlock::new(&bytes) {
            for key in [&b""[..], b"key", &bytes] {
                let _found = block.search(key, Versionstamp::new(2));
            }
            for index in 0..block.shape().count.min(1000) {
                let _record = block.entry(index);
            }
        }
        let _index = Index::decode(bytes.clone().into(), 100);
        if let Ok(filter) = Filter::decode(bytes.clone().into()) {
            filter.may_contain(hash64(&bytes));
        }
        if let Ok(set) = ranges::decode(&bytes) {
            prop_assert_eq!(ranges::encode(&set), bytes.clone());
        }
        let mut reader = Reader::new(&bytes);
        if let Ok(summary) = TableSummary::decode(&mut reader) {
            let mut again = Vec::new();
            summary.encode(&mut again);
            prop_assert_eq!(&bytes[..reader.offset()], &again[..]);
        }
        let _sealed = Sealed::verify(&bytes, &seal(), FILE, 0, Kind::Data).and_then(|s| s.unpack(FILE, 0));
        if let Some(chunk) = bytes.first_chunk() {
            prop_assert!(Footer::decode(chunk, FILE, 500).is_err());
        }
    }
}
