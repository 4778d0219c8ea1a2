//! Any records in a manifest.
//!
//! The frames have right checksums and any payload: snapshots, edits, and bytes that are neither.
//!
//! 1. A manifest reads as a catalog or is refused.
//! 2. The catalog, written as a snapshot, reads as the same catalog.
//! 3. A frame of an unknown kind and a field of an unknown kind are refused, never skipped.
//! 4. A torn last edit is cut off; what it followed counts.

use icecore_disk::Name;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_engine::Error;
use icecore_engine::parts::replay_manifest;
use icecore_model::frame::{FrameHeader, Salt};
use icecore_model::hash::crc32;
use icecore_model::read::put_varint;
use icecore_model::{LogPosition, Timestamp, Versionstamp};
use icecore_sstable::TableSummary;

use crate::allocation::{MARGIN_BYTES, bounded_by};
use crate::choices::Choices;

const DATABASE: [u8; 16] = [7; 16];
const NUMBER: u64 = 5;
const SALT: Salt = Salt(0x5a17);
const SNAPSHOT: u8 = 1;
const EDIT: u8 = 2;
/// The first field that no edit has.
const UNKNOWN_FIELD: u8 = 10;
/// A listed table is far larger in memory than the few bytes that its numbers take.
const TIMES: usize = 128;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    if choices.byte().is_multiple_of(8) {
        let file = choices.rest();
        if let Ok(snapshot) = replay(file) {
            reads_back(&snapshot);
        }
        return;
    }
    let unknown = choices.byte();
    let mut file = header();
    append(&mut file, SNAPSHOT, &snapshot(&mut choices));
    let Ok(mut catalog) = replay(&file) else { return };
    reads_back(&catalog);
    while !choices.is_empty() {
        let kind = if choices.one_in(16) { choices.byte() } else { EDIT };
        let before = file.len();
        append(&mut file, kind, &edit(&mut choices));
        let answer = replay(&file);
        assert!(kind == EDIT || answer.is_err(), "a frame of kind {kind} is an edit");
        let Ok(next) = answer else { return };
        reads_back(&next);
        let torn = &file[..file.len() - 1];
        assert_eq!(replay(torn).ok(), Some(catalog), "a torn edit after byte {before} is cut off");
        catalog = next;
    }
    let mut payload = Vec::new();
    payload.push(unknown.max(UNKNOWN_FIELD));
    put_varint(&mut payload, 1);
    append(&mut file, EDIT, &payload);
    assert!(replay(&file).is_err(), "field {} is unknown", unknown.max(UNKNOWN_FIELD));
}

/// What a manifest with the content `file` says, as the payload of a snapshot.
fn replay(file: &[u8]) -> Result<Vec<u8>, Error> {
    let disk = SimDisk::new(1, Rules::none());
    disk.kill();
    disk.write_file(Name::Manifest(NUMBER), file);
    let disk = disk.reopen();
    bounded_by(TIMES * file.len() + MARGIN_BYTES, || replay_manifest(&*disk, NUMBER))
}

/// A catalog, written and read, is the same.
fn reads_back(snapshot: &[u8]) {
    let mut file = header();
    // A snapshot may be of any store, as long as its file is.
    file[16..32].copy_from_slice(&snapshot[..16]);
    seal(&mut file);
    append(&mut file, SNAPSHOT, snapshot);
    assert_eq!(replay(&file).expect("what was read can be written"), snapshot);
}

fn header() -> Vec<u8> {
    let mut file = b"ICEMANI1".to_vec();
    file.extend_from_slice(&1u32.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&DATABASE);
    file.extend_from_slice(&NUMBER.to_le_bytes());
    file.extend_from_slice(&SALT.0.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    seal(&mut file);
    file
}

/// Puts the checksum of a header in.
fn seal(header: &mut [u8]) {
    let checksum = crc32(&header[..48]);
    header[48..52].copy_from_slice(&checksum.to_le_bytes());
}

fn append(file: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let position = u32::try_from(file.len()).expect("manifests are small here");
    let header = FrameHeader {
        kind,
        padding: 0,
        position,
        stamp: Versionstamp::new(1),
        clock_ms: 0,
        durable: LogPosition::new(0, position),
    };
    file.extend_from_slice(&header.encode(payload, SALT));
    file.extend_from_slice(payload);
}

/// The payload of a snapshot: most often one that can be read.
fn snapshot(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.one_in(8) {
        let length = choices.below(200);
        return [&DATABASE, choices.take(length)].concat();
    }
    let mut out = DATABASE.to_vec();
    put_varint(&mut out, 1);
    out.extend_from_slice(&DATABASE);
    put_varint(&mut out, u64::from(choices.byte()));
    put_varint(&mut out, u64::from(choices.byte()) << 8);
    out.push(u8::from(choices.one_in(4)));
    put_varint(&mut out, 40);
    let segments = choices.below(4) as u64;
    put_varint(&mut out, segments);
    (1..=segments).for_each(|segment| put_varint(&mut out, segment));
    let tables = choices.below(5) as u64;
    put_varint(&mut out, tables);
    (0..tables).for_each(|number| put_table(&mut out, choices, number));
    let spaces = choices.below(3);
    put_varint(&mut out, spaces as u64);
    for space in [0x10, 0x20].iter().take(spaces) {
        out.push(*space);
        put_varint(&mut out, u64::from(choices.byte()));
    }
    let gaps = choices.below(3);
    put_varint(&mut out, gaps as u64);
    for gap in 0..gaps as u64 {
        put_varint(&mut out, 100 * gap + u64::from(choices.byte() % 32));
        put_varint(&mut out, 100 * gap + 40 + u64::from(choices.byte() % 32));
    }
    out
}

/// The payload of an edit: fields of all kinds, and some of none.
fn edit(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..choices.below(4) {
        let field = choices.byte() % 12;
        out.push(field);
        match field {
            1 => {
                let number = choices.below(48) as u64;
                put_table(&mut out, choices, number);
            }
            2 => {
                put_varint(&mut out, choices.below(8) as u64);
                put_varint(&mut out, choices.below(48) as u64);
            }
            3 | 4 => put_varint(&mut out, choices.word() >> choices.below(64)),
            5..=7 => put_varint(&mut out, choices.below(64) as u64),
            9 => {
                out.push(choices.byte());
                put_varint(&mut out, choices.below(1_000) as u64);
            }
            _ => {}
        }
    }
    if choices.one_in(8) {
        let length = choices.below(16);
        out.extend_from_slice(choices.take(length));
    }
    out
}

fn put_table(out: &mut Vec<u8>, choices: &mut Choices<'_>, number: u64) {
    let shape = choices.byte();
    let (low, high) = (choices.byte(), choices.byte());
    let entries = u64::from(shape % 8);
    let expires = shape & 8 == 8 && entries > 0;
    let range = (shape & 16 == 16).then(|| (vec![0x10, low], vec![0x10, low, high]));
    let keys = (entries > 0).then(|| (vec![0x10, low.min(high)], vec![0x10, low.max(high)]));
    let (smallest, largest) = keys.unwrap_or_default();
    let summary = TableSummary {
        number,
        bytes: u64::from(shape) << 4,
        hash: u64::from(low) << 32,
        smallest,
        largest,
        range_tombstones: u64::from(range.is_some()),
        range_extent: range,
        entries,
        never_expires: if expires { entries - 1 } else { entries },
        min_stamp: Versionstamp::new(u64::from(low)),
        max_stamp: Versionstamp::new(u64::from(low) + u64::from(high)),
        min_expiry: Timestamp::from_ms(u64::from(expires)),
        max_expiry: Timestamp::from_ms(u64::from(expires)),
        ..TableSummary::default()
    };
    put_varint(out, u64::from(shape >> 5) % 7);
    let mut encoded = Vec::new();
    summary.encode(&mut encoded);
    put_varint(out, encoded.len() as u64);
    out.extend_from_slice(&encoded);
}
