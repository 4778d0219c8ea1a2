//! Any file in the place of a table, tables that were built, and tables of any blocks.
//!
//! 1. A file opens as a table or is refused; what opens is read from both ends, entry by entry and
//!    by whole checks, without a panic and in a bounded number of steps.
//! 2. Where the whole check holds, keys ascend, a walk backwards is the walk forwards turned round,
//!    and every key that a walk shows is found by a read.
//! 3. A table that was built shows what was put in; with any bytes of it changed it shows the same,
//!    or an error: in the modes that verify each copy, damage is never read as data.
//!
//! The tables of any blocks have right checksums, so that they reach the decoders behind them.

use std::sync::Arc;

use icecore_disk::Name;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_model::entry::order;
use icecore_model::hash::{crc32, hash64};
use icecore_model::read::varint_bytes;
use icecore_model::{Change, DatabaseId, Entry, RangeTombstone, Timestamp, Versionstamp};
use icecore_sstable::parts::{Indexed, build_block, build_filter, build_index, build_packed};
use icecore_sstable::{
    BlockCache, Compression, Cursor, Error, ReadMode, Table, TableEnv, TableId, TableOptions,
    TableSummary, TableWriter, WarmStep,
};

use crate::allocation::{MARGIN_BYTES, bounded_by};
use crate::choices::Choices;

const DATABASE: DatabaseId = DatabaseId([0; 16]);
const NUMBER: u64 = 1;
const ENTRIES_MAX: usize = 64;
/// What LZ4 makes of one byte.
const EXPANSION_MAX: usize = 255;

/// An entry with bytes of its own; `None` is a deletion.
type Kept = (Vec<u8>, Versionstamp, Option<(Vec<u8>, Option<Timestamp>)>);

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.byte() % 4 {
        0 => any_file(choices.rest()),
        1 => any_blocks(&mut choices),
        _ => built(&mut choices),
    }
}

/// A machine at rest on which `file` is the table.
fn machine(file: &[u8]) -> Arc<SimDisk> {
    let disk = SimDisk::new(1, Rules::none());
    disk.kill();
    disk.write_file(Name::Table(NUMBER), file);
    disk.reopen()
}

fn open(disk: &SimDisk, expected: &TableSummary, mode: ReadMode) -> Result<Arc<Table>, Error> {
    let cache = Arc::new(BlockCache::new(1 << 14));
    let env = TableEnv { read_mode: mode, cache, accepted: vec![DATABASE] };
    Table::open(disk, expected, &env).map(Arc::new)
}

fn any_file(file: &[u8]) {
    let disk = machine(file);
    let expected =
        TableSummary { number: NUMBER, bytes: file.len() as u64, ..TableSummary::default() };
    for mode in [ReadMode::Mmap, ReadMode::Read] {
        read_all(&disk, &expected, mode, file.len());
    }
}

/// Reads a table in every way, if it opens.
fn read_all(disk: &SimDisk, expected: &TableSummary, mode: ReadMode, bytes: usize) {
    bounded_by(EXPANSION_MAX * bytes + MARGIN_BYTES, || {
        let Ok(table) = open(disk, expected, mode) else { return };
        let steps_max = EXPANSION_MAX * bytes;
        let mut cursor = table.cursor(Versionstamp::MAX);
        let forwards = walk(&mut cursor, Cursor::seek_first, Cursor::next, steps_max);
        let backwards = walk(&mut cursor, Cursor::seek_last, Cursor::prev, steps_max);
        let shown = forwards.as_ref().map(Vec::as_slice).unwrap_or_default();
        for (key, _, _) in shown.iter().take(8) {
            for at in [0, 3, u64::MAX].map(Versionstamp::new) {
                WarmStep::ALL.iter().for_each(|step| table.warm(hash64(key), *step));
                drop(table.get(key, at));
            }
            cursor.seek(key).ok();
            cursor.seek_before(key).ok();
        }
        let verified = table.verify();
        if verified.is_ok() {
            let forwards = forwards.expect("a table that was checked is read");
            let mut backwards = backwards.expect("a table that was checked is read");
            backwards.reverse();
            assert_eq!(forwards, backwards);
            assert!(forwards.is_sorted_by(|a, b| a.0 < b.0), "keys ascend");
            for (key, stamp, _) in &forwards {
                let hit = table.get(key, Versionstamp::MAX).expect("it was checked");
                assert_eq!(
                    hit.map(|hit| hit.stamp()),
                    Some(*stamp),
                    "a walk shows what reads find"
                );
            }
        }
    });
}

/// All that a cursor shows on its way.
fn walk(
    cursor: &mut Cursor,
    begin: fn(&mut Cursor) -> Result<(), Error>,
    step: fn(&mut Cursor) -> Result<(), Error>,
    steps_max: usize,
) -> Result<Vec<Kept>, Error> {
    let mut shown = Vec::new();
    let mut steps = 0;
    begin(cursor)?;
    while let Some(entry) = cursor.entry() {
        shown.push(keep(&entry));
        steps += 1;
        assert!(steps <= steps_max, "a walk over a table comes to an end");
        step(cursor)?;
    }
    cursor.check()?;
    Ok(shown)
}

fn keep(entry: &Entry<'_>) -> Kept {
    let change = match entry.change {
        Change::Put { value, expires_at } => Some((value.to_vec(), expires_at)),
        Change::Delete => None,
    };
    (entry.key.to_vec(), entry.stamp, change)
}

fn lent((key, stamp, change): &Kept) -> Entry<'_> {
    let change = match change {
        Some((value, expires_at)) => Change::Put { value, expires_at: *expires_at },
        None => Change::Delete,
    };
    Entry { key, stamp: *stamp, change }
}

/// Entries in order.
fn entries(choices: &mut Choices<'_>) -> Vec<Kept> {
    let mut kept: Vec<Kept> = Vec::new();
    for _ in 0..choices.below(ENTRIES_MAX) {
        let shape = choices.byte();
        let mut key = kept.last().map(|(key, _, _)| key.clone()).unwrap_or_default();
        key.truncate(usize::from(shape % 8));
        key.extend_from_slice(choices.take(1 + usize::from(shape >> 6)));
        let stamp = Versionstamp::new(u64::from(choices.byte() % 16) + 1);
        let change = (shape & 0x30 != 0x30).then(|| {
            let value = vec![shape; choices.below(64)];
            (value, Timestamp::from_ms(u64::from(shape & 8)))
        });
        kept.push((key, stamp, change));
    }
    kept.sort_by(|(a, at, _), (b, of, _)| order((a, *at), (b, *of)));
    kept.dedup_by(|(a, at, _), (b, of, _)| (&*a, at) == (b, of));
    kept
}

/// The newest version of each key at or below `at`.
fn newest(kept: &[Kept], at: Versionstamp) -> Vec<Kept> {
    let mut newest: Vec<Kept> = kept.iter().filter(|(_, stamp, _)| *stamp <= at).cloned().collect();
    newest.dedup_by(|later, first| later.0 == first.0);
    newest
}

fn built(choices: &mut Choices<'_>) {
    let options = TableOptions {
        block_bytes: choices.pick(&[64, 256, 1024]),
        compression: choices.pick(&[Compression::None, Compression::Lz4]),
        hash_index: choices.pick(&[true, false]),
        filter_bits_per_key: choices.pick(&[0, 10, 30]),
    };
    let mode = choices.pick(&[ReadMode::MmapStrict, ReadMode::Read]);
    let at = Versionstamp::new(u64::from(choices.byte() % 20));
    let kept = entries(choices);
    let disk = SimDisk::new(1, Rules::none());
    let id = TableId { database: DATABASE, number: NUMBER };
    let mut writer = TableWriter::create(&*disk, id, &options).expect("the directory is empty");
    for entry in &kept {
        writer.add(&lent(entry)).expect("the disk has no faults");
    }
    if choices.one_in(2) || kept.is_empty() {
        let (start, end) = (vec![choices.byte() / 2], vec![0xff]);
        writer.add_range(&RangeTombstone { start, end, stamp: at });
    }
    let summary = writer.finish().expect("the disk has no faults");
    let table = open(&disk, &summary, mode).expect("what was written opens");
    assert_eq!(table.verify().expect("what was written is whole"), summary);
    assert_eq!(shown(&table, at).expect("it is whole"), newest(&kept, at));
    for (key, _, _) in &kept {
        let hit = table.get(key, at).expect("it is whole");
        let hit = hit.map(|hit| keep(&Entry { key, stamp: hit.stamp(), change: hit.change() }));
        let expected = newest(&kept, at).into_iter().find(|(other, _, _)| other == key);
        assert_eq!(hit, expected, "{key:?} at {at:?}");
    }
    disk.kill();
    damaged(choices, &disk, &summary, mode, &newest(&kept, at), at);
}

fn shown(table: &Arc<Table>, at: Versionstamp) -> Result<Vec<Kept>, Error> {
    let mut cursor = table.cursor(at);
    let forwards = walk(&mut cursor, Cursor::seek_first, Cursor::next, ENTRIES_MAX)?;
    let mut backwards = walk(&mut cursor, Cursor::seek_last, Cursor::prev, ENTRIES_MAX)?;
    backwards.reverse();
    assert_eq!(forwards, backwards);
    Ok(forwards)
}

/// Changes bytes of a table at rest and reads it again.
fn damaged(
    choices: &mut Choices<'_>,
    disk: &SimDisk,
    summary: &TableSummary,
    mode: ReadMode,
    expected: &[Kept],
    at: Versionstamp,
) {
    let name = Name::Table(NUMBER);
    let mut file = disk.read_file(name).expect("it is there");
    let whole = file.clone();
    for _ in 0..=choices.below(3) {
        let place = choices.below(file.len());
        file[place] = choices.byte();
    }
    if choices.one_in(8) {
        file.truncate(choices.below(file.len()));
    }
    disk.write_file(name, &file);
    let opened = open(&disk.reopen(), summary, mode);
    let verified = opened.as_ref().is_ok_and(|table| table.verify().is_ok());
    assert_eq!(verified, file == whole, "the whole check finds all damage and nothing else");
    if let Ok(found) = opened.and_then(|table| shown(&table, at)) {
        assert_eq!(found, expected, "damage was read as data");
    }
}

/// A table of blocks that nobody built, with right checksums.
fn any_blocks(choices: &mut Choices<'_>) {
    let kept = entries(choices);
    let per_block = 1 + choices.below(8);
    let mut file = Vec::new();
    let mut blocks = Vec::new();
    for group in kept.chunks(per_block) {
        let lent: Vec<_> = group.iter().map(lent).collect();
        let mut body = build_block(&lent);
        spoil(choices, &mut body);
        let start = file.len();
        put_block(&mut file, 1, &body, choices.one_in(4));
        let (key, stamp, _) = &group[group.len() - 1];
        let bytes = (file.len() - start) as u64;
        blocks.push(Indexed { last: (key, *stamp), next: None, bytes });
    }
    let mut footer = Footer::default();
    if choices.one_in(4) {
        let length = choices.below(40);
        footer.ranges = Some(put_block(&mut file, 2, choices.take(length), false));
    }
    if choices.one_in(2) {
        let hashes: Vec<u64> = kept.iter().map(|(key, _, _)| hash64(key)).collect();
        let mut body = build_filter(&hashes, 10, file.len() as u64);
        spoil(choices, &mut body);
        footer.filter = Some(put_block(&mut file, 3, &body, false));
    }
    let mut body = build_index(&blocks);
    spoil(choices, &mut body);
    footer.index = put_block(&mut file, 4, &body, choices.one_in(8));
    let summary = summary(&kept);
    footer.properties = put_block(&mut file, 5, &properties(&summary), false);
    let hash = footer.append(&mut file);
    let bytes = file.len() as u64;
    let expected = TableSummary { number: NUMBER, bytes, hash, ..summary };
    read_all(&machine(&file), &expected, ReadMode::Mmap, file.len());
}

/// Changes a few bytes of one body in two.
fn spoil(choices: &mut Choices<'_>, body: &mut Vec<u8>) {
    for _ in 0..choices.below(4) {
        let place = choices.below(body.len().max(1));
        if let Some(byte) = body.get_mut(place) {
            *byte = choices.byte();
        }
    }
    if choices.one_in(16) {
        body.truncate(choices.below(body.len() + 1));
    }
}

/// What a table of these entries says about itself.
fn summary(kept: &[Kept]) -> TableSummary {
    let values: Vec<_> = kept.iter().filter_map(|(_, _, change)| change.as_ref()).collect();
    let expiries = values.iter().filter_map(|(_, expires_at)| *expires_at);
    let key_bytes: usize = kept.iter().map(|(key, _, _)| key.len()).sum();
    let value_bytes: usize = values.iter().map(|(value, _)| value.len()).sum();
    let stamps = kept.iter().map(|(_, stamp, _)| *stamp);
    TableSummary {
        smallest: kept.first().map(|(key, _, _)| key.clone()).unwrap_or_default(),
        largest: kept.last().map(|(key, _, _)| key.clone()).unwrap_or_default(),
        entries: kept.len() as u64,
        tombstones: (kept.len() - values.len()) as u64,
        key_bytes: key_bytes as u64,
        value_bytes: value_bytes as u64,
        min_stamp: stamps.clone().min().unwrap_or_default(),
        max_stamp: stamps.max().unwrap_or_default(),
        min_expiry: expiries.clone().min(),
        max_expiry: expiries.clone().max(),
        never_expires: (values.len() - expiries.count()) as u64,
        ..TableSummary::default()
    }
}

/// The body of the block of properties: a summary without what the footer holds.
fn properties(summary: &TableSummary) -> Vec<u8> {
    let mut encoded = Vec::new();
    summary.encode(&mut encoded);
    encoded.split_off(varint_bytes(summary.number) + varint_bytes(summary.bytes) + 8)
}

/// Offset and length of a block.
type Handle = (u64, u64);

/// Appends a block with its trailer.
fn put_block(file: &mut Vec<u8>, kind: u8, body: &[u8], packed: bool) -> Handle {
    let offset = file.len() as u64;
    let mut covered = [&DATABASE.0[..], &NUMBER.to_le_bytes(), &offset.to_le_bytes()].concat();
    let stored = covered.len();
    if packed {
        covered.extend_from_slice(&build_packed(body));
    } else {
        covered.extend_from_slice(body);
    }
    covered.extend_from_slice(&[kind, u8::from(packed), 0, 0]);
    let checksum = crc32(&covered);
    file.extend_from_slice(&covered[stored..]);
    file.extend_from_slice(&checksum.to_le_bytes());
    (offset, file.len() as u64 - offset)
}

/// Where the blocks lie that are not data.
#[derive(Default)]
struct Footer {
    ranges: Option<Handle>,
    filter: Option<Handle>,
    index: Handle,
    properties: Handle,
}

impl Footer {
    /// Appends the footer to the blocks. Gives the hash that it holds.
    fn append(&self, file: &mut Vec<u8>) -> u64 {
        let hash = hash64(file);
        let mut out = DATABASE.0.to_vec();
        out.extend_from_slice(&NUMBER.to_le_bytes());
        let none = Handle::default();
        let handles =
            [self.ranges.unwrap_or(none), self.filter.unwrap_or(none), self.index, self.properties];
        for (offset, bytes) in handles {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&bytes.to_le_bytes());
        }
        out.extend_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(&(file.len() as u64 + 120).to_le_bytes());
        let tail = [&1u32.to_le_bytes()[..], b"ICETABLE"].concat();
        let checksum = crc32(&[&out[..], &tail].concat());
        file.extend_from_slice(&out);
        file.extend_from_slice(&checksum.to_le_bytes());
        file.extend_from_slice(&tail);
        hash
    }
}
