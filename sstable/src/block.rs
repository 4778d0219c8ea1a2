//! Data blocks: entries in order, each key written as what it adds to the one before.
//!
//! ```text
//! body    := entry+ restart+ count
//! entry   := shared unshared stamp head expires? unshared-bytes value-bytes     varints
//! head    := value length × 4 + tag;  tag: 0 deletion, 1 value, 2 value that expires
//! expires := present with tag 2: ms since the epoch, not 0
//! restart := offset (u32) of an entry that shares nothing
//! count   := number of restarts (u32)
//! ```
//!
//! An entry's key is the first `shared` bytes of the key before it and then its own. A body is
//! valid if and only if there is at least one restart, the first one is 0, each leads to an entry
//! with shared = 0 and lies after the one before; the entries fill the space before the restarts;
//! every entry that is no restart shares as much as it can; no key or value is longer than the
//! model allows; deletions have no value; and the entries are in strict order. Lookups rest on
//! this but stay in bounds without it.
//!
//! Shared prefixes and restart points are those of LevelDB's `block_builder`.

use std::cmp::Ordering;

use icecore_model::entry::order;
use icecore_model::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use icecore_model::read::{VARINT_BYTES_MAX, put_varint};
use icecore_model::time::ms_or_zero;
use icecore_model::{Change, Entry, Malformed, Reader, Timestamp, Versionstamp};

const TAG_DELETE: usize = 0;
const TAG_PUT: usize = 1;
const TAG_PUT_EXPIRING: usize = 2;
const TAG_BITS: u32 = 2;

const RESTART_BYTES: usize = 4;

/// Builds the body of one block after another.
#[derive(Debug)]
pub(crate) struct BlockBuilder {
    restart_interval: usize,
    body: Vec<u8>,
    restarts: Vec<u32>,
    since_restart: usize,
    last_key: Vec<u8>,
}

impl BlockBuilder {
    pub(crate) fn new(restart_interval: usize) -> BlockBuilder {
        BlockBuilder {
            restart_interval: restart_interval.max(1),
            body: Vec::new(),
            restarts: Vec::new(),
            since_restart: 0,
            last_key: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.restarts.is_empty()
    }

    /// The length of the body so far.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + (self.restarts.len() + 1) * RESTART_BYTES
    }

    /// At most how much longer the body gets by this entry.
    pub(crate) fn cost(entry: &Entry<'_>) -> usize {
        let value = match entry.change {
            Change::Put { value, .. } => value.len(),
            Change::Delete => 0,
        };
        entry.key.len() + value + 5 * VARINT_BYTES_MAX + RESTART_BYTES
    }

    /// Adds an entry, which must follow the last one in order.
    ///
    /// # Panics
    /// When key or value is longer than the model allows.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) {
        let restart = self.restarts.is_empty() || self.since_restart == self.restart_interval;
        let shared = if restart { 0 } else { common(&self.last_key, entry.key) };
        if restart {
            let offset = u32::try_from(self.body.len()).expect("a block is below 4 GiB");
            self.restarts.push(offset);
            self.since_restart = 0;
        }
        self.since_restart += 1;
        encode_entry(&mut self.body, entry, shared);
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&entry.key[shared..]);
    }

    /// Completes the body; [`BlockBuilder::clear`] then begins another.
    pub(crate) fn finish(&mut self) -> &[u8] {
        for restart in &self.restarts {
            self.body.extend_from_slice(&restart.to_le_bytes());
        }
        let count = u32::try_from(self.restarts.len()).expect("a block is below 4 GiB");
        self.body.extend_from_slice(&count.to_le_bytes());
        &self.body
    }

    /// Begins another block.
    pub(crate) fn clear(&mut self) {
        self.body.clear();
        self.restarts.clear();
    }
}

fn encode_entry(out: &mut Vec<u8>, entry: &Entry<'_>, shared: usize) {
    let (tag, value, expires_at) = match entry.change {
        Change::Delete => (TAG_DELETE, &[][..], None),
        Change::Put { value, expires_at: None } => (TAG_PUT, value, None),
        Change::Put { value, expires_at } => (TAG_PUT_EXPIRING, value, expires_at),
    };
    assert!(entry.key.len() <= KEY_BYTES_MAX, "keys are limited before they get here");
    assert!(value.len() <= VALUE_BYTES_MAX, "values are limited before they get here");
    put_varint(out, shared as u64);
    put_varint(out, (entry.key.len() - shared) as u64);
    put_varint(out, entry.stamp.get());
    put_varint(out, (value.len() << TAG_BITS | tag) as u64);
    if expires_at.is_some() {
        put_varint(out, ms_or_zero(expires_at));
    }
    out.extend_from_slice(&entry.key[shared..]);
    out.extend_from_slice(value);
}

/// How many bytes two keys have in common at the front.
pub(crate) fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// An entry's place in its body: everything but the bytes themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    pub(crate) shared: usize,
    pub(crate) stamp: Versionstamp,
    is_put: bool,
    expires_at: Option<Timestamp>,
    tail: usize,
    value: usize,
    /// Where the entry ends and the next one starts.
    pub(crate) end: usize,
}

impl Raw {
    /// The part of the key that this entry adds.
    #[inline]
    pub(crate) fn tail<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        body.get(self.tail..self.value).unwrap_or_default()
    }

    /// The place of the value.
    pub(crate) fn value_range(&self) -> std::ops::Range<usize> {
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
    /// Where the entries end and the restarts start.
    pub(crate) entries: usize,
    restarts: usize,
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
    pub(crate) offset: usize,
    pub(crate) raw: Raw,
    /// Whether its key is that of the target.
    pub(crate) same_key: bool,
}

impl<'a> DataBlock<'a> {
    #[inline]
    pub(crate) fn new(body: &'a [u8]) -> Result<DataBlock<'a>, Malformed> {
        let malformed = Malformed { what: "the restarts of a block", offset: body.len() };
        let (before, count) = body.split_last_chunk::<RESTART_BYTES>().ok_or(malformed)?;
        let restarts = u32::from_le_bytes(*count) as usize;
        let entries = restarts
            .checked_mul(RESTART_BYTES)
            .and_then(|bytes| before.len().checked_sub(bytes))
            .ok_or(malformed)?;
        if restarts == 0 || entries == 0 {
            return Err(malformed);
        }
        let block = DataBlock { body, shape: Shape { entries, restarts } };
        if block.restart(0)? == 0 { Ok(block) } else { Err(malformed) }
    }

    /// A body whose shape [`DataBlock::new`] has found before.
    #[inline]
    pub(crate) fn with_shape(body: &'a [u8], shape: Shape) -> DataBlock<'a> {
        DataBlock { body, shape }
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn restarts(&self) -> usize {
        self.shape.restarts
    }

    /// The offset of the entry behind a restart.
    #[inline]
    pub(crate) fn restart(&self, index: usize) -> Result<usize, Malformed> {
        let at = self.shape.entries + index * RESTART_BYTES;
        let malformed = Malformed { what: "a restart", offset: at };
        let bytes = self.body.get(at..).and_then(|b| b.first_chunk()).ok_or(malformed)?;
        let offset = u32::from_le_bytes(*bytes) as usize;
        if offset < self.shape.entries { Ok(offset) } else { Err(malformed) }
    }

    /// The last restart that lies before `offset`, which is not 0.
    pub(crate) fn restart_before(&self, offset: usize) -> Result<usize, Malformed> {
        let (mut low, mut high) = (0, self.shape.restarts);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.restart(middle)? < offset { low = middle } else { high = middle }
        }
        self.restart(low)
    }

    /// The entry at `offset`.
    #[inline]
    pub(crate) fn entry(&self, offset: usize) -> Result<Raw, Malformed> {
        let bytes = self.body.get(offset..self.shape.entries).unwrap_or_default();
        let at = |e: Malformed| Malformed { offset: e.offset + offset, ..e };
        decode_entry(&mut Reader::new(bytes)).map(|raw| raw.moved(offset)).map_err(at)
    }

    /// The first entry at or after (`key`, `stamp`) in the order of entries.
    pub(crate) fn search(
        &self,
        key: &[u8],
        stamp: Versionstamp,
    ) -> Result<Option<Found>, Malformed> {
        // Below `low` all restarts are before the target, from `high` on none is.
        let (mut low, mut high) = (0, self.shape.restarts);
        while low < high {
            let middle = low.midpoint(high);
            let raw = self.entry_at_restart(middle)?.1;
            if order((raw.tail(self.body), raw.stamp), (key, stamp)) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let next = if low < self.shape.restarts { Some(self.entry_at_restart(low)?) } else { None };
        if low > 0 {
            let limit = next.map_or(self.shape.entries, |(offset, _)| offset);
            if let Some(found) = self.scan(low - 1, limit, key, stamp)? {
                return Ok(Some(found));
            }
        }
        Ok(next.map(|(offset, raw)| {
            let same_key = raw.tail(self.body) == key;
            Found { offset, raw, same_key }
        }))
    }

    /// The first entry at or after the target, behind a restart that is before it and below
    /// `limit`.
    ///
    /// `matched` is how far the key before agrees with the target. An entry that shares more than
    /// that differs from the target where its predecessor did, so it is before the target, too;
    /// one that shares less is greater than its predecessor at a byte where that one agreed with
    /// the target, so it is after it. Only the others must be compared.
    fn scan(
        &self,
        restart: usize,
        limit: usize,
        key: &[u8],
        stamp: Versionstamp,
    ) -> Result<Option<Found>, Malformed> {
        let (_, mut raw) = self.entry_at_restart(restart)?;
        let mut matched = common(raw.tail(self.body), key);
        while raw.end < limit {
            let offset = raw.end;
            raw = self.entry(offset)?;
            if raw.shared < matched {
                return Ok(Some(Found { offset, raw, same_key: false }));
            }
            if raw.shared == matched {
                let (tail, rest) = (raw.tail(self.body), &key[matched..]);
                match tail.cmp(rest) {
                    Ordering::Less => matched += common(tail, rest),
                    Ordering::Equal if raw.stamp > stamp => matched = key.len(),
                    ordering => {
                        let same_key = ordering == Ordering::Equal;
                        return Ok(Some(Found { offset, raw, same_key }));
                    }
                }
            }
        }
        Ok(None)
    }

    #[inline]
    fn entry_at_restart(&self, index: usize) -> Result<(usize, Raw), Malformed> {
        let offset = self.restart(index)?;
        let raw = self.entry(offset)?;
        if raw.shared == 0 {
            Ok((offset, raw))
        } else {
            Err(Malformed { what: "a restart that shares", offset })
        }
    }
}

#[inline]
fn decode_entry(reader: &mut Reader<'_>) -> Result<Raw, Malformed> {
    let malformed = reader.malformed("an entry");
    let shared = reader.length(KEY_BYTES_MAX, "shared key bytes")?;
    let unshared = reader.length(KEY_BYTES_MAX - shared, "own key bytes")?;
    let stamp = Versionstamp::new(reader.varint("a stamp")?);
    let head = reader.length((VALUE_BYTES_MAX << TAG_BITS) + TAG_PUT_EXPIRING, "a value length")?;
    let (length, tag) = (head >> TAG_BITS, head & ((1 << TAG_BITS) - 1));
    let expires_at = match tag {
        TAG_DELETE if length == 0 => None,
        TAG_PUT => None,
        TAG_PUT_EXPIRING => Some(Timestamp::from_ms(reader.varint("an expiry")?).ok_or(malformed)?),
        _ => return Err(malformed),
    };
    let tail = reader.offset();
    reader.bytes(unshared, "a key")?;
    let value = reader.offset();
    reader.bytes(length, "a value")?;
    let is_put = tag != TAG_DELETE;
    Ok(Raw { shared, stamp, is_put, expires_at, tail, value, end: reader.offset() })
}

impl Raw {
    #[inline]
    fn moved(self, by: usize) -> Raw {
        Raw { tail: self.tail + by, value: self.value + by, end: self.end + by, ..self }
    }
}
