//! `snapshot_read`: several ranges, all of one moment.
//!
//! 1. *Fewer entries than a range asks for say that there are no more.* So an answer is whole or
//!    refused, never cut.
//! 2. *An answer is made of pieces of memory of their own*, so that what was sent is given back
//!    while the rest waits for a slow client.
//! 3. Reads are of the store's snapshot, which lives as long as the read, not as long as the answer.

mod buffer;

use std::collections::VecDeque;

use bytes::Bytes;
use icecore::{Error, Key, Kv, Selector, Snapshot};
use icecore_wire::message::{KvEntry, ReadRange, SnapshotRead, SnapshotReadOutput, read_status};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, message};

use buffer::{Buffer, PIECE_BYTES};

use crate::client::Reader;
use crate::error::Refusal;
use crate::limits::{ENTRIES_MAX, RANGES_MAX, READ_KEY_BYTES_MAX};

/// The number of a field and a length.
const RANGE_HEAD_BYTES: usize = 16;

/// The field of the ranges in the answer, and of the entries in a range.
const RANGES: u32 = 1;
const VALUES: u32 = 1;

/// An encoded answer.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) pieces: VecDeque<Bytes>,
    pub(crate) bytes: usize,
}

/// The ranges that a client asks for, once they make sense.
#[derive(Clone, Debug)]
pub(crate) struct Ranges(Vec<Range>);

#[derive(Clone, Debug)]
struct Range {
    start: Bytes,
    end: Bytes,
    limit: usize,
    reverse: bool,
}

impl Ranges {
    /// Reads a request.
    pub(crate) fn decode(body: Bytes) -> Result<Ranges, Refusal> {
        let SnapshotRead { ranges } = SnapshotRead::decode(body).map_err(malformed)?;
        if ranges.len() > RANGES_MAX {
            return Err(Refusal::bad("Too many read ranges requested in one read request."));
        }
        let total: i64 = ranges.iter().map(|range| i64::from(range.limit.max(0))).sum();
        let ranges = ranges.into_iter().map(Range::checked).collect::<Result<_, Refusal>>()?;
        if total > ENTRIES_MAX {
            let text = "The total number of entries requested across read ranges in the read \
                        request is too large.";
            return Err(Refusal::bad(text));
        }
        Ok(Ranges(ranges))
    }

    /// Reads them; `None` if the answer would be longer than `bytes_max`.
    pub(crate) fn read(
        &self,
        kv: &Kv,
        reader: Reader,
        bytes_max: usize,
    ) -> Result<Option<Answer>, Error> {
        let snapshot = kv.snapshot()?;
        let (mut writer, mut left) = (Writer::default(), bytes_max);
        for range in &self.0 {
            let Some((entries, bytes)) = range.entries(&snapshot, reader, left)? else {
                return Ok(None);
            };
            left -= bytes;
            writer.put_range(&entries, bytes);
        }
        Ok(Some(writer.end()))
    }
}

impl Range {
    fn checked(range: ReadRange) -> Result<Range, Refusal> {
        let ReadRange { start, end, limit, reverse } = range;
        if start.len().max(end.len()) > READ_KEY_BYTES_MAX {
            return Err(Refusal::bad("A key exceeds the key size limit."));
        }
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        let limit = limit.ok_or_else(|| {
            Refusal::bad("The read range limit of the snapshot read request is invalid.")
        })?;
        Ok(Range { start, end, limit, reverse })
    }

    /// The entries, and the bytes that they take; `None` if those are more than `bytes_max`.
    fn entries(
        &self,
        snapshot: &Snapshot,
        reader: Reader,
        bytes_max: usize,
    ) -> Result<Option<(Vec<KvEntry>, usize)>, Error> {
        if let Some(key) = self.only_key() {
            let entry = reader.entry(&snapshot.get(key)?);
            let bytes = entry.as_ref().map_or(0, encoded_len);
            return Ok((bytes <= bytes_max).then(|| (entry.into_iter().collect(), bytes)));
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        if self.start >= self.end {
            return Ok(Some((entries, bytes)));
        }
        let list = snapshot.list(Selector::encoded(&self.start, &self.end)).limit(self.limit);
        let list = if self.reverse { list.reverse() } else { list };
        for entry in list {
            if let Some(entry) = reader.entry(&entry?) {
                bytes += encoded_len(&entry);
                if bytes > bytes_max {
                    return Ok(None);
                }
                entries.push(entry);
            }
        }
        Ok(Some((entries, bytes)))
    }

    /// The key, if the range can hold no other: a read of a point is cheaper than a walk.
    fn only_key(&self) -> Option<Key> {
        let start = self.end.strip_suffix(&[0])?;
        (start == self.start && !start.is_empty()).then(|| Key::from_encoded(start).ok())?
    }
}

/// The length of an entry as a field of its range.
fn encoded_len(entry: &KvEntry) -> usize {
    message::encoded_len(VALUES, entry)
}

/// Encodes an answer as it comes.
#[derive(Debug, Default)]
struct Writer {
    answer: Answer,
    piece: Buffer,
}

impl Writer {
    fn put_range(&mut self, entries: &[KvEntry], bytes: usize) {
        debug_assert!(encoded_len_varint(bytes as u64) <= 5, "an answer is small");
        self.make_room(RANGE_HEAD_BYTES, bytes);
        self.piece.put(|mut buffer| {
            encode_key(RANGES, WireType::LengthDelimited, &mut buffer);
            encode_varint(bytes as u64, &mut buffer);
        });
        let mut left = bytes;
        for entry in entries {
            let length = encoded_len(entry);
            self.make_room(length, left);
            self.piece.put(|mut buffer| message::encode(VALUES, entry, &mut buffer));
            left -= length;
        }
    }

    /// Makes room for the next `bytes`, of `left` that will follow all in all.
    fn make_room(&mut self, bytes: usize, left: usize) {
        if self.piece.len() < PIECE_BYTES && self.piece.has_room(bytes) && self.piece.len() > 0 {
            return;
        }
        self.cut();
        self.piece = Buffer::new(bytes, left);
    }

    fn cut(&mut self) {
        let piece = std::mem::take(&mut self.piece).freeze();
        if !piece.is_empty() {
            self.answer.bytes += piece.len();
            self.answer.pieces.push_back(piece);
        }
    }

    fn end(mut self) -> Answer {
        let status = SnapshotReadOutput {
            ranges: Vec::new(),
            read_disabled: false,
            read_is_strongly_consistent: true,
            status: read_status::SUCCESS,
        };
        self.make_room(status.encoded_len(), 0);
        self.piece.put(|mut buffer| {
            status.encode(&mut buffer).expect("there is room for it");
        });
        self.cut();
        self.answer
    }
}

/// The refusal of what is no message.
pub(crate) fn malformed(error: prost::DecodeError) -> Refusal {
    Refusal::bad(format!("Request protobuf is invalid: {error}."))
}

#[cfg(test)]
mod tests;
