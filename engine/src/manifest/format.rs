//! The bytes of a manifest file and of `CURRENT`.
//!
//! ```text
//! manifest  := header frame*                the frames stand without gaps; zeros may follow
//! header    := offset size
//!                   0    8  magic "ICEMANI1"
//!                   8    4  format version, 1
//!                  12    4  zero
//!                  16   16  database id
//!                  32    8  number of the manifest, as in its name
//!                  40    8  salt of the frames
//!                  48    4  CRC-32 of the 48 bytes before
//! frame     := as in the model; kind 1 (snapshot) first, then kind 2 (edit) only.
//!              Its durable position says how far this file was durable when it was written.
//! snapshot  := database id (16) count id* flushed ceiling closed next_table count segment*
//!              count table* count forgotten* count gap*
//!                                       closed is one byte, 0 or 1
//! edit      := field*
//! field     := 01 table | 02 level number | 03 flushed | 04 ceiling | 05 segment | 06 segment
//!            | 07 next_table | 08 | 09 forgotten
//! table     := level length (varint) summary
//! forgotten := keyspace (1) stamp       keyspaces ascend in a snapshot
//! gap       := after last
//! ```
//! Numbers in snapshots and edits are varints. A summary has its home in the table crate.
//!
//! ```text
//! CURRENT   := offset size
//!                   0    8  magic "ICECURR1"
//!                   8    4  format version, 1
//!                  12    4  zero
//!                  16   16  database id
//!                  32    8  number of the manifest that counts
//!                  40    4  CRC-32 of the 40 bytes before
//! ```
//!
//! A manifest is valid if and only if its header is, its first frame is a snapshot that leaves
//! nothing over, and each further frame is an edit that fits the catalog before it. An unknown
//! field is an error, never skipped. What does not verify after the last valid frame is a torn
//! tail, unless a later frame knew it to be durable.

use icecore_model::frame::Salt;
use icecore_model::read::put_varint;
use icecore_model::{DatabaseId, Malformed, Planted, Reader, Versionstamp, planted};
use icecore_sstable::TableSummary;

use super::catalog::{Catalog, Edit, LEVELS};
use super::past::{Forgotten, GAPS_MAX, Gap, Past};

pub(crate) const HEADER_BYTES: usize = 52;
pub(crate) const CURRENT_BYTES: usize = 44;
pub(crate) const KIND_SNAPSHOT: u8 = 1;
pub(crate) const KIND_EDIT: u8 = 2;

const MANIFEST_MAGIC: &[u8; 8] = b"ICEMANI1";
const CURRENT_MAGIC: &[u8; 8] = b"ICECURR1";
const VERSION: u32 = 1;
/// The fewest bytes of a listed table, so that a count can be compared with what is left.
const TABLE_BYTES_MIN: usize = 2;
/// A keyspace is one byte.
const SPACES_MAX: usize = 256;

/// The header of a manifest file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) database: DatabaseId,
    pub(crate) number: u64,
    pub(crate) salt: Salt,
}

/// Why a header or `CURRENT` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BadHeader {
    /// It is damaged, or something else.
    Malformed(Malformed),
    /// It is of this format version.
    Version(u32),
}

impl From<Malformed> for BadHeader {
    fn from(malformed: Malformed) -> BadHeader {
        BadHeader::Malformed(malformed)
    }
}

impl Header {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = start(MANIFEST_MAGIC, self.database);
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.salt.0.to_le_bytes());
        seal(out)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let mut reader = open(bytes, HEADER_BYTES, MANIFEST_MAGIC)?;
        Ok(Header {
            database: DatabaseId(reader.array("a database id")?),
            number: reader.u64("a manifest number")?,
            salt: Salt(reader.u64("a salt")?),
        })
    }
}

/// The content of `CURRENT`.
pub(crate) fn encode_current(database: DatabaseId, manifest: u64) -> Vec<u8> {
    let mut out = start(CURRENT_MAGIC, database);
    out.extend_from_slice(&manifest.to_le_bytes());
    seal(out)
}

/// Reads `CURRENT`.
pub(crate) fn decode_current(bytes: &[u8]) -> Result<(DatabaseId, u64), BadHeader> {
    if bytes.len() > CURRENT_BYTES {
        return Err(Malformed { what: "the end of the file", offset: CURRENT_BYTES }.into());
    }
    let mut reader = open(bytes, CURRENT_BYTES, CURRENT_MAGIC)?;
    Ok((DatabaseId(reader.array("a database id")?), reader.u64("a manifest number")?))
}

fn start(magic: &[u8; 8], database: DatabaseId) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&database.0);
    out
}

fn seal(mut out: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

fn checksum(bytes: &[u8]) -> u32 {
    icecore_model::hash::crc32(bytes)
}

/// Checks what the two files have in common and gives a reader that stands after it.
fn open<'a>(bytes: &'a [u8], length: usize, magic: &[u8; 8]) -> Result<Reader<'a>, BadHeader> {
    let mut reader = Reader::new(bytes);
    if reader.array::<8>("a magic number")? != *magic {
        return Err(Malformed { what: "a magic number", offset: 0 }.into());
    }
    let version = reader.u32("a format version")?;
    if version != VERSION {
        return Err(BadHeader::Version(version));
    }
    let end = length - 4;
    let whole = bytes.get(..length).ok_or(Malformed { what: "a header", offset: bytes.len() })?;
    if whole[end..] != checksum(&whole[..end]).to_le_bytes() {
        return Err(Malformed { what: "a header checksum", offset: end }.into());
    }
    if reader.u32("zero")? != 0 {
        return Err(Malformed { what: "zero", offset: 12 }.into());
    }
    Ok(reader)
}

impl Catalog {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.database.0.to_vec();
        put_varint(&mut out, self.accepted.len() as u64);
        for id in &self.accepted {
            out.extend_from_slice(&id.0);
        }
        put_varint(&mut out, self.flushed.get());
        put_varint(&mut out, self.ceiling.get());
        out.push(u8::from(self.closed));
        put_varint(&mut out, self.next_table);
        put_varint(&mut out, self.segments.len() as u64);
        for segment in &self.segments {
            put_varint(&mut out, u64::from(*segment));
        }
        put_varint(&mut out, self.tables().count() as u64);
        for (level, table) in self.tables() {
            put_table(&mut out, level, table);
        }
        put_past(&mut out, &self.past);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Catalog, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut catalog = Catalog::empty(DatabaseId(reader.array("a database id")?));
        let ids = reader.length(reader.left() / 16, "a count of ids")?;
        catalog.accepted =
            (0..ids).map(|_| reader.array("an id").map(DatabaseId)).collect::<Result<_, _>>()?;
        catalog.flushed = Versionstamp::new(reader.varint("a stamp")?);
        catalog.ceiling = Versionstamp::new(reader.varint("a stamp")?);
        let flag = reader.malformed("a flag");
        catalog.closed = match reader.u8("a flag")? {
            0 => false,
            1 => true,
            _ => return Err(flag),
        };
        catalog.next_table = reader.varint("a table number")?;
        let segments = reader.length(reader.left(), "a count of segments")?;
        catalog.segments =
            (0..segments).map(|_| read_segment(&mut reader)).collect::<Result<_, _>>()?;
        let tables = reader.length(reader.left() / TABLE_BYTES_MIN, "a count of tables")?;
        for _ in 0..tables {
            let (level, table) = read_table(&mut reader)?;
            catalog.levels[level].push(table);
        }
        catalog.past = read_past(&mut reader)?;
        reader.finish("the end of a snapshot")?;
        catalog.validate().map_err(|what| Malformed { what, offset: 0 })?;
        Ok(catalog)
    }
}

const ADDED: u8 = 1;
const REMOVED: u8 = 2;
const FLUSHED: u8 = 3;
const CEILING: u8 = 4;
const SEGMENT_ADDED: u8 = 5;
const SEGMENTS_BELOW: u8 = 6;
const NEXT_TABLE: u8 = 7;
const CLOSED: u8 = 8;
const FORGOTTEN: u8 = 9;

impl Edit {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (level, table) in &self.added {
            out.push(ADDED);
            put_table(&mut out, *level, table);
        }
        for (level, number) in &self.removed {
            out.push(REMOVED);
            put_varint(&mut out, *level as u64);
            put_varint(&mut out, *number);
        }
        let mut put = |tag, value: Option<u64>| {
            if let Some(value) = value {
                out.push(tag);
                put_varint(&mut out, value);
            }
        };
        put(FLUSHED, self.flushed.map(Versionstamp::get));
        put(CEILING, self.ceiling.map(Versionstamp::get));
        put(SEGMENT_ADDED, self.segment_added.map(u64::from));
        put(SEGMENTS_BELOW, self.segments_below.map(u64::from));
        put(NEXT_TABLE, self.next_table);
        if self.closed {
            out.push(CLOSED);
        }
        for (space, stamp) in written(&self.forgotten) {
            out.push(FORGOTTEN);
            put_forgotten(&mut out, space, stamp);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Edit, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut edit = Edit::default();
        while !reader.is_empty() {
            let unknown = reader.malformed("a known field");
            match reader.u8("a field")? {
                ADDED => edit.added.push(read_table(&mut reader)?),
                REMOVED => {
                    let level = reader.length(LEVELS - 1, "a level")?;
                    edit.removed.push((level, reader.varint("a table number")?));
                }
                FLUSHED => edit.flushed = Some(Versionstamp::new(reader.varint("a stamp")?)),
                CEILING => edit.ceiling = Some(Versionstamp::new(reader.varint("a stamp")?)),
                SEGMENT_ADDED => edit.segment_added = Some(read_segment(&mut reader)?),
                SEGMENTS_BELOW => edit.segments_below = Some(read_segment(&mut reader)?),
                NEXT_TABLE => edit.next_table = Some(reader.varint("a table number")?),
                CLOSED => edit.closed = true,
                FORGOTTEN => {
                    let (space, stamp) = read_forgotten(&mut reader)?;
                    edit.forgotten.note(space, stamp);
                }
                _ => return Err(unknown),
            }
        }
        Ok(edit)
    }
}

fn put_table(out: &mut Vec<u8>, level: usize, table: &TableSummary) {
    put_varint(out, level as u64);
    let mut summary = Vec::new();
    table.encode(&mut summary);
    put_varint(out, summary.len() as u64);
    out.extend_from_slice(&summary);
}

fn read_table(reader: &mut Reader<'_>) -> Result<(usize, TableSummary), Malformed> {
    let level = reader.length(LEVELS - 1, "a level")?;
    let length = reader.length(reader.left(), "the length of a table's summary")?;
    let mut summary = Reader::new(reader.bytes(length, "a table's summary")?);
    let table = TableSummary::decode(&mut summary)?;
    summary.finish("the end of a table's summary")?;
    Ok((level, table))
}

/// What of `forgotten` goes into a manifest: all of it.
fn written(forgotten: &Forgotten) -> impl ExactSizeIterator<Item = (u8, Versionstamp)> {
    let left_out = if planted(Planted::ForgottenUnwritten) { usize::MAX } else { 0 };
    forgotten.iter().skip(left_out)
}

fn put_past(out: &mut Vec<u8>, past: &Past) {
    let forgotten = written(&past.forgotten);
    put_varint(out, forgotten.len() as u64);
    for (space, stamp) in forgotten {
        put_forgotten(out, space, stamp);
    }
    put_varint(out, past.gaps.len() as u64);
    for gap in &past.gaps {
        put_varint(out, gap.after.get());
        put_varint(out, gap.last.get());
    }
}

fn read_past(reader: &mut Reader<'_>) -> Result<Past, Malformed> {
    let mut past = Past::default();
    let mut above = None;
    for _ in 0..reader.length(SPACES_MAX, "a count of keyspaces")? {
        let disorder = reader.malformed("a keyspace in ascending order");
        let (space, stamp) = read_forgotten(reader)?;
        if above.replace(space).is_some_and(|before| before >= space) {
            return Err(disorder);
        }
        past.forgotten.note(space, stamp);
    }
    for _ in 0..reader.length(GAPS_MAX, "a count of gaps")? {
        let after = Versionstamp::new(reader.varint("a stamp")?);
        past.gaps.push(Gap { after, last: Versionstamp::new(reader.varint("a stamp")?) });
    }
    Ok(past)
}

fn put_forgotten(out: &mut Vec<u8>, space: u8, stamp: Versionstamp) {
    out.push(space);
    put_varint(out, stamp.get());
}

fn read_forgotten(reader: &mut Reader<'_>) -> Result<(u8, Versionstamp), Malformed> {
    Ok((reader.u8("a keyspace")?, Versionstamp::new(reader.varint("a stamp")?)))
}

fn read_segment(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let malformed = reader.malformed("a segment number");
    u32::try_from(reader.varint("a segment number")?).map_err(|_| malformed)
}
