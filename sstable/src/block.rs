//! Data blocks: entries in order, each found by its number.
//!
//! ```text
//! body    := count prefix-length width zero end* prefix record*
//! count   := number of records (u32);  prefix-length := u16
//! width   := 2 or 4 (u8), the bytes of each end;  zero := u8
//! end     := offset in the body at which the record ends (u16 or u32)
//! prefix  := what all keys of the block start with
//! record  := head stamp expires? key-bytes value-bytes                 head, stamp, expires: varints
//! head    := key length without the prefix x 4 + tag;  tag: 0 deletion, 1 value, 2 value that expires
//! expires := present with tag 2: ms since the epoch, not 0
//! ```
//!
//! A value goes on to the end of its record. A body is valid if and only if there is at least one
//! record; the width is the smallest for the body's length; records follow the prefix and one another
//! without gaps up to the end of the body; the prefix is as long as it can be; no key or value is
//! longer than the model allows; deletions have no value; and the entries are in strict order.
//! Lookups rest on this but stay in bounds without it.
//!
//! Any record can be read without those before it, so steps back cost what steps forward do, and a
//! search touches the ends and the records that it compares. This is the order of an LMDB page and of
//! SQLite's cells, with the prefix taken out.

use std::cmp::Ordering;
use std::ops::Range;

use icecore_model::entry::order;
use icecore_model::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use icecore_model::read::{VARINT_BYTES_MAX, put_varint};
use icecore_model::time::ms_or_zero;
use icecore_model::{Change, Entry, Malformed, Reader, Timestamp, Versionstamp};

const TAG_DELETE: usize = 0;
const TAG_PUT: usize = 1;
const TAG_PUT_EXPIRING: usize = 2;
const TAG_BITS: u32 = 2;

const HEADER_BYTES: usize = 8;
const NARROW: usize = 2;
const WIDE: usize = 4;

/// Builds the body of one block after another.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    /// Keys and values of the entries, one after the other.
    bytes: Vec<u8>,
    entries: Vec<Held>,
    /// How long the records are, with whole keys.
    records: usize,
    prefix: usize,
    body: Vec<u8>,
}

/// An entry that waits for the end of its block.
#[derive(Debug)]
struct Held {
    stamp: Versionstamp,
    tag: usize,
    expires_at: Option<Timestamp>,
    key: Range<usize>,
    /// Where its value ends in the bytes.
    end: usize,
}

impl BlockBuilder {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }

    /// The length of the body so far, or a little more.
    pub(crate) fn bytes(&self) -> usize {
        let count = self.entries.len();
        let repeated = count.saturating_sub(1) * self.prefix;
        HEADER_BYTES + count * NARROW + self.records - repeated
    }

    /// At most how much longer the body gets by this entry, if it shares what the others share.
    pub(crate) fn cost(entry: &Entry<'_>) -> usize {
        let value = match entry.change {
            Change::Put { value, .. } => value.len(),
            Change::Delete => 0,
        };
        entry.key.len() + value + 3 * VARINT_BYTES_MAX + WIDE
    }

    /// Adds an entry, which must follow the last one in order.
    ///
    /// # Panics
    /// When key or value is longer than the model allows.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) {
        let (tag, value, expires_at) = match entry.change {
            Change::Delete => (TAG_DELETE, &[][..], None),
            Change::Put { value, expires_at: None } => (TAG_PUT, value, None),
            Change::Put { value, expires_at } => (TAG_PUT_EXPIRING, value, expires_at),
        };
        assert!(entry.key.len() <= KEY_BYTES_MAX, "keys are limited before they get here");
        assert!(value.len() <= VALUE_BYTES_MAX, "values are limited before they get here");
        self.prefix = match self.entries.first() {
            Some(first) => {
                let prefix = &self.bytes[first.key.clone()][..self.prefix];
                // Mostly the key begins like all others, which is compared faster.
                if entry.key.starts_with(prefix) { self.prefix } else { common(prefix, entry.key) }
            }
            None => entry.key.len(),
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.key);
        let key = start..self.bytes.len();
        self.bytes.extend_from_slice(value);
        let end = self.bytes.len();
        let held = Held { stamp: entry.stamp, tag, expires_at, key, end };
        self.records += held.record_bytes(0);
        self.entries.push(held);
    }

    /// Completes the body; [`BlockBuilder::clear`] then begins another.
    ///
    /// # Panics
    /// When there is no entry.
    pub(crate) fn finish(&mut self) -> &[u8] {
        let first = self.entries.first().expect("a block has an entry");
        let prefix = &self.bytes[first.key.start..first.key.start + self.prefix];
        let records: usize = self.entries.iter().map(|held| held.record_bytes(prefix.len())).sum();
        let bytes = |width| HEADER_BYTES + self.entries.len() * width + prefix.len() + records;
        let width = if bytes(NARROW) <= usize::from(u16::MAX) { NARROW } else { WIDE };
        let count = u32::try_from(self.entries.len()).expect("a block is below 4 GiB");
        let prefix_length = u16::try_from(prefix.len()).expect("keys are limited");
        let body = &mut self.body;
        body.clear();
        body.extend_from_slice(&count.to_le_bytes());
        body.extend_from_slice(&prefix_length.to_le_bytes());
        body.extend_from_slice(&[if width == NARROW { 2 } else { 4 }, 0]);
        let mut end = bytes(width) - records;
        for held in &self.entries {
            end += held.record_bytes(prefix.len());
            let end = u32::try_from(end).expect("a block is below 4 GiB");
            body.extend_from_slice(&end.to_le_bytes()[..width]);
        }
        body.extend_from_slice(prefix);
        for held in &self.entries {
            held.encode(body, &self.bytes, prefix.len());
        }
        body
    }

    /// Begins another block.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.records = 0;
    }
}

impl Held {
    /// How long the record is behind a prefix of so many bytes.
    fn record_bytes(&self, prefix: usize) -> usize {
        let head = varint_bytes(((self.key.len() - prefix) << TAG_BITS) as u64);
        let expires = self.expires_at.map_or(0, |at| varint_bytes(at.ms()));
        head + varint_bytes(self.stamp.get()) + expires + self.end - self.key.start - prefix
    }

    fn encode(&self, out: &mut Vec<u8>, bytes: &[u8], prefix: usize) {
        put_varint(out, ((self.key.len() - prefix) << TAG_BITS | self.tag) as u64);
        put_varint(out, self.stamp.get());
        if self.expires_at.is_some() {
            put_varint(out, ms_or_zero(self.expires_at));
        }
        out.extend_from_slice(&bytes[self.key.start + prefix..self.end]);
    }
}

/// How many bytes a varint has.
fn varint_bytes(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// How many bytes two keys have in common at the front.
pub(crate) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// An entry's place in its body: everything but the bytes themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    pub(crate) stamp: Versionstamp,
    is_put: bool,
    expires_at: Option<Timestamp>,
    key: usize,
    value: usize,
    end: usize,
}

impl Raw {
    /// The key behind the prefix.
    #[inline]
    pub(crate) fn rest<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.key..self.value).unwrap_or_default()
    }

    /// The place of the value.
    pub(crate) fn value_range(&self) -> Range<usize> {
        self.value..self.end
    }

    /// What the entry says.
    #[inline]
    pub(crate) fn change<'a>(&self, body: &'a [u8]) -> Change<'a> {
        if self.is_put {
            let value = body.get(self.value..self.end).unwrap_or_default();
            Change::Put { value, expires_at: self.expires_at }
        } else {
            Change::Delete
        }
    }
}

/// Where the parts of a body lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many records there are; not 0.
    pub(crate) count: usize,
    width: usize,
    /// Where the prefix starts.
    prefix: usize,
    /// Where the records start.
    records: usize,
}

/// A body that can be searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataBlock<'a> {
    body: &'a [u8],
    shape: Shape,
}

/// The first entry at or after a target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Its number in the block.
    pub(crate) index: usize,
    pub(crate) raw: Raw,
    /// Whether its key is that of the target.
    pub(crate) same_key: bool,
}

impl<'a> DataBlock<'a> {
    #[inline]
    pub(crate) fn new(body: &'a [u8]) -> Result<DataBlock<'a>, Malformed> {
        let malformed = Malformed { what: "the header of a block", offset: 0 };
        let (header, _) = body.split_first_chunk::<HEADER_BYTES>().ok_or(malformed)?;
        let [c0, c1, c2, c3, p0, p1, width, zero] = *header;
        let count = u32::from_le_bytes([c0, c1, c2, c3]) as usize;
        let prefix_length = usize::from(u16::from_le_bytes([p0, p1]));
        let narrow = body.len() <= usize::from(u16::MAX);
        let width = match (width, zero) {
            (2, 0) if narrow => NARROW,
            (4, 0) if !narrow => WIDE,
            _ => return Err(malformed),
        };
        let prefix = count.checked_mul(width).and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        let prefix = prefix.ok_or(malformed)?;
        let records = prefix + prefix_length;
        if count == 0 || records >= body.len() || prefix_length > KEY_BYTES_MAX {
            return Err(malformed);
        }
        Ok(DataBlock { body, shape: Shape { count, width, prefix, records } })
    }

    /// A body whose shape [`DataBlock::new`] has found before.
    #[inline]
    pub(crate) fn with_shape(body: &'a [u8], shape: Shape) -> DataBlock<'a> {
        DataBlock { body, shape }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// What all keys start with.
    #[inline]
    pub(crate) fn prefix(&self) -> &'a [u8] {
        self.body.get(self.shape.prefix..self.shape.records).unwrap_or_default()
    }

    /// The record of number `index`, which is below the count.
    #[inline]
    pub(crate) fn entry(&self, index: usize) -> Result<Raw, Malformed> {
        let start = match index.checked_sub(1) {
            Some(before) => self.end(before)?,
            None => self.shape.records,
        };
        self.record(index, start)
    }

    /// The record of number `index`, which starts at `start`.
    #[inline]
    fn record(&self, index: usize, start: usize) -> Result<Raw, Malformed> {
        let end = self.end(index)?;
        let malformed = Malformed { what: "the place of a record", offset: start };
        if start < self.shape.records || (index + 1 == self.shape.count) != (end == self.body.len())
        {
            return Err(malformed);
        }
        let record = self.body.get(start..end).ok_or(malformed)?;
        let at = |e: Malformed| Malformed { offset: e.offset + start, ..e };
        decode_record(record, self.shape.records - self.shape.prefix)
            .map(|raw| raw.moved(start))
            .map_err(at)
    }

    /// The record behind `here`, which has the number `index`, if there is one in the block.
    #[inline]
    pub(crate) fn entry_behind(&self, index: usize, here: &Raw) -> Result<Option<Raw>, Malformed> {
        let index = index + 1;
        if index == self.shape.count { Ok(None) } else { self.record(index, here.end).map(Some) }
    }

    /// Whether two records have the same key.
    #[inline]
    pub(crate) fn is_same_key(&self, a: &Raw, b: &Raw) -> bool {
        a.rest(self.body) == b.rest(self.body)
    }

    #[inline]
    fn end(&self, index: usize) -> Result<usize, Malformed> {
        let at = HEADER_BYTES + index * self.shape.width;
        let malformed = Malformed { what: "the end of a record", offset: at };
        let bytes = self.body.get(at..self.shape.prefix).ok_or(malformed)?;
        if self.shape.width == NARROW {
            let end = bytes.first_chunk().ok_or(malformed)?;
            Ok(usize::from(u16::from_le_bytes(*end)))
        } else {
            let end = bytes.first_chunk().ok_or(malformed)?;
            Ok(u32::from_le_bytes(*end) as usize)
        }
    }

    /// The record of number `index`, if it is of this key.
    #[inline]
    pub(crate) fn record_of(&self, index: usize, key: &[u8]) -> Result<Option<Raw>, Malformed> {
        if index >= self.shape.count {
            return Err(Malformed { what: "the number of a record", offset: 0 });
        }
        let raw = self.entry(index)?;
        let (prefix, rest) = (self.prefix(), raw.rest(self.body));
        let same = key.len() == prefix.len() + rest.len()
            && key.ends_with(rest)
            && key.starts_with(prefix);
        Ok(same.then_some(raw))
    }

    /// The first entry at or after (`key`, `stamp`) in the order of entries.
    pub(crate) fn search(
        &self,
        key: &[u8],
        stamp: Versionstamp,
    ) -> Result<Option<Found>, Malformed> {
        let prefix = self.prefix();
        let (front, rest) = key.split_at(prefix.len().min(key.len()));
        match front.cmp(prefix) {
            Ordering::Less => {
                return Ok(Some(Found { index: 0, raw: self.entry(0)?, same_key: false }));
            }
            Ordering::Greater => return Ok(None),
            Ordering::Equal => {}
        }
        // Below `low` all entries are before the target, from `high` on none is.
        let (mut low, mut high) = (0, self.shape.count);
        let mut found = None;
        while low < high {
            let middle = low.midpoint(high);
            let raw = self.entry(middle)?;
            if order((raw.rest(self.body), raw.stamp), (rest, stamp)) == Ordering::Less {
                low = middle + 1;
            } else {
                (high, found) = (middle, Some(raw));
            }
        }
        Ok(found.map(|raw| Found { index: low, raw, same_key: raw.rest(self.body) == rest }))
    }
}

/// Reads a byte of the header, and one of those that say where the record of this number ends.
#[inline]
pub(crate) fn touch_ends(body: &[u8], record: usize) -> u8 {
    let ends = body.get(HEADER_BYTES + record * NARROW).copied().unwrap_or_default();
    ends ^ body.first().copied().unwrap_or_default()
}

/// Reads a byte of the record of this number, if the body is not of the widest kind.
#[inline]
pub(crate) fn touch_record(body: &[u8], record: usize) -> u8 {
    let at = HEADER_BYTES + record.saturating_sub(1) * NARROW;
    let end = body.get(at..).and_then(|ends| ends.first_chunk());
    let start = end.map_or(0, |end| usize::from(u16::from_le_bytes(*end)));
    let byte = |at: usize| body.get(at).copied().unwrap_or_default();
    byte(start) ^ byte(start + LINE_BYTES)
}

/// What a processor reads at once.
const LINE_BYTES: usize = 64;

#[inline]
fn decode_record(record: &[u8], prefix: usize) -> Result<Raw, Malformed> {
    let mut reader = Reader::new(record);
    let malformed = reader.malformed("a record");
    let most = ((KEY_BYTES_MAX - prefix) << TAG_BITS) + TAG_PUT_EXPIRING;
    let head = reader.length(most, "a key length")?;
    let (length, tag) = (head >> TAG_BITS, head & ((1 << TAG_BITS) - 1));
    let stamp = Versionstamp::new(reader.varint("a stamp")?);
    let expires_at = match tag {
        TAG_DELETE | TAG_PUT => None,
        TAG_PUT_EXPIRING => Some(Timestamp::from_ms(reader.varint("an expiry")?).ok_or(malformed)?),
        _ => return Err(malformed),
    };
    let key = reader.offset();
    reader.bytes(length, "a key")?;
    let value = reader.offset();
    let value_bytes = record.len() - value;
    let is_put = tag != TAG_DELETE;
    if value_bytes > VALUE_BYTES_MAX || (!is_put && value_bytes > 0) {
        return Err(malformed);
    }
    Ok(Raw { stamp, is_put, expires_at, key, value, end: record.len() })
}

impl Raw {
    #[inline]
    fn moved(self, by: usize) -> Raw {
        Raw { key: self.key + by, value: self.value + by, end: self.end + by, ..self }
    }
}
