//! The stored form of queues.
//!
//! ```text
//! message key := 20 6D name deadline id        'm'
//! attempt key := 20 61 name id                 'a'
//! name        := a string part, as in keys
//! deadline    := u64, big-endian               milliseconds since 1970, below 2^63
//! id          := stamp index
//! stamp       := a string part of twenty digits: the commit that sent the message
//! index       := u32, big-endian               its place among the messages of this commit
//!
//! message     := 01 enqueued intervals keys payload
//! enqueued    := varint                        milliseconds since 1970
//! intervals   := count varint*                 milliseconds
//! keys        := count (length byte*)*         encoded keys; count and length are varints
//! payload     := a stored value, to the end    see value.rs
//! attempt     := 01 varint                     how often the message was given to a receiver
//! ```
//!
//! A message key is valid if and only if its name and its stamp are such parts and it ends after
//! the index. A message is valid if and only if every key in it is an encoded key with at least
//! one part and the payload is a value. An attempt is valid if and only if its number is at least
//! 1 and less than 2^32.
//!
//! 1. *The order of message keys of a queue is that of delivery*: by deadline; then by commit;
//!    then by place in it.
//! 2. *No name is mistaken for another.* After the `00` that ends a name comes a deadline, whose
//!    first byte is below `80`, or the `02` of a stamp; a `00` inside of a name is followed by
//!    `FF`.
//! 3. *The identity of a message never changes*, nor does its value: a retry moves it to another
//!    deadline. So its attempt record stays where it is.

use std::fmt;

use bytes::Bytes;
use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_model::key::{VERSIONSTAMP_PART_BYTES, append_versionstamp, decode, encode_string};
use icecore_model::read::{Malformed, Reader, put_varint};
use icecore_model::{Versionstamp, key as parts};

use crate::key::Key;
use crate::value::Value;

pub(crate) const MESSAGES: u8 = b'm';
pub(crate) const ATTEMPTS: u8 = b'a';
const VERSION: u8 = 1;

const DEADLINE_BYTES: usize = size_of::<u64>();
const ID_BYTES: usize = VERSIONSTAMP_PART_BYTES + size_of::<u32>();

/// No message key of a queue has this behind the name.
const PAST_DEADLINES: u8 = 0xff;

/// The identity of a message: it stays the same through all attempts, and no other message of the
/// store ever has it. Later messages have greater ones.
///
/// ```
/// use icecore::Kv;
///
/// let kv = Kv::in_memory()?;
/// let commit = kv.atomic().enqueue("first").enqueue("second").commit()?;
/// let waiting = kv.queue("").peek(2)?;
/// assert!(waiting[0].id < waiting[1].id);
/// assert_eq!(commit.versionstamp(), Some(waiting[1].id.versionstamp));
/// assert_eq!(waiting[1].id.index, 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The commit that sent it.
    pub versionstamp: Versionstamp,
    /// Its place among the messages of that commit, from 0.
    pub index: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.versionstamp, self.index)
    }
}

/// Where a message stands in its queue: the order is that of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    pub(crate) deadline_ms: u64,
    pub(crate) id: MessageId,
}

impl Spot {
    /// Before every message.
    pub(crate) const FIRST: Spot =
        Spot { deadline_ms: 0, id: MessageId { versionstamp: Versionstamp::ZERO, index: 0 } };

    /// The next spot that a message could have.
    pub(crate) fn next(self) -> Spot {
        let MessageId { versionstamp, index } = self.id;
        let id = match index.checked_add(1) {
            Some(index) => MessageId { versionstamp, index },
            None => MessageId { versionstamp: versionstamp.next(), index: 0 },
        };
        Spot { id, ..self }
    }

    /// The key of the message at this spot; `messages` is what [`messages_of`] gives.
    pub(crate) fn message_key(self, messages: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(messages.len() + DEADLINE_BYTES + ID_BYTES);
        key.extend_from_slice(messages);
        key.extend_from_slice(&self.deadline_ms.to_be_bytes());
        self.id.append_to(&mut key);
        key
    }

    /// Reads what follows the name in a message key.
    pub(crate) fn decode(rest: &[u8]) -> Result<Spot, Malformed> {
        let mut reader = Reader::new(rest);
        let deadline_ms = u64::from_be_bytes(reader.array("a deadline")?);
        let part = reader.bytes(VERSIONSTAMP_PART_BYTES, "a stamp")?;
        let stamp = parts::decode_first(part).ok().and_then(|(part, rest)| {
            let digits = rest.is_empty().then(|| part.as_str().map(str::to_owned))??;
            digits.parse().ok()
        });
        let versionstamp = stamp.ok_or_else(|| reader.malformed("a stamp"))?;
        let index = u32::from_be_bytes(reader.array("an index")?);
        reader.finish("the end of a message key")?;
        Ok(Spot { deadline_ms, id: MessageId { versionstamp, index } })
    }
}

impl MessageId {
    fn append_to(self, key: &mut Vec<u8>) {
        append_versionstamp(key, self.versionstamp);
        key.extend_from_slice(&self.index.to_be_bytes());
    }

    /// The key of the attempt record.
    pub(crate) fn attempt_key(self, name: &str) -> Vec<u8> {
        let mut key = vec![QUEUE, ATTEMPTS];
        encode_string(name, &mut key);
        self.append_to(&mut key);
        key
    }
}

/// What the message keys of the queue `name` begin with.
pub(crate) fn messages_of(name: &str) -> Vec<u8> {
    let mut key = vec![QUEUE, MESSAGES];
    encode_string(name, &mut key);
    key
}

/// The first key after all messages of a queue; `messages` is what [`messages_of`] gives.
pub(crate) fn end_of(messages: &[u8]) -> Vec<u8> {
    [messages, &[PAST_DEADLINES]].concat()
}

/// Takes a message key apart: the name of the queue, and what follows it.
pub(crate) fn split_name(key: &[u8]) -> Result<(String, &[u8]), Malformed> {
    let malformed = Malformed { what: "the name of a queue", offset: 2 };
    let encoded = key.strip_prefix(&[QUEUE, MESSAGES]).ok_or(malformed)?;
    let (part, rest) = parts::decode_first(encoded)?;
    Ok((part.as_str().ok_or(malformed)?.to_owned(), rest))
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MessageRow {
    pub(crate) enqueued_ms: u64,
    pub(crate) backoff_ms: Vec<u64>,
    pub(crate) dead_letters: Vec<Key>,
    /// The stored form of the payload.
    pub(crate) payload: Bytes,
}

impl MessageRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.enqueued_ms);
        put_varint(&mut out, self.backoff_ms.len() as u64);
        self.backoff_ms.iter().for_each(|ms| put_varint(&mut out, *ms));
        put_varint(&mut out, self.dead_letters.len() as u64);
        for key in &self.dead_letters {
            put_varint(&mut out, key.encoded().len() as u64);
            out.extend_from_slice(key.encoded());
        }
        out.extend_from_slice(&self.payload);
        out
    }

    /// Reads a stored message, and its payload as a value.
    pub(crate) fn decode(stored: &Bytes) -> Result<(MessageRow, Value), BadRow> {
        let mut reader = Reader::new(stored);
        let row = MessageRow::read(&mut reader, stored)?;
        let malformed = BadRow::Malformed(reader.malformed("a payload"));
        let payload = Value::decode(row.payload.clone()).map_err(|_| malformed)?;
        Ok((row, payload))
    }

    fn read(reader: &mut Reader<'_>, stored: &Bytes) -> Result<MessageRow, BadRow> {
        read_version(reader)?;
        let enqueued_ms = reader.varint("when the message was sent")?;
        // Each interval and each key takes a byte at least.
        let intervals = reader.length(reader.left(), "a number of intervals")?;
        let backoff_ms = (0..intervals).map(|_| reader.varint("an interval"));
        let backoff_ms = backoff_ms.collect::<Result<_, _>>()?;
        let keys = reader.length(reader.left(), "a number of keys")?;
        let dead_letters = (0..keys).map(|_| read_key(reader)).collect::<Result<_, _>>()?;
        let payload = stored.slice(reader.offset()..);
        Ok(MessageRow { enqueued_ms, backoff_ms, dead_letters, payload })
    }
}

fn read_key(reader: &mut Reader<'_>) -> Result<Key, Malformed> {
    let malformed = reader.malformed("an encoded key");
    let length = reader.length(reader.left(), "the length of a key")?;
    let encoded = reader.bytes(length, "a key")?;
    if encoded.is_empty() || decode(encoded).is_err() {
        return Err(malformed);
    }
    Ok(Key::from_stored([&[DATA], encoded].concat()))
}

/// The value of an attempt record.
pub(crate) fn encode_attempts(attempts: u32) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, u64::from(attempts));
    out
}

pub(crate) fn decode_attempts(stored: &[u8]) -> Result<u32, BadRow> {
    let mut reader = Reader::new(stored);
    read_version(&mut reader)?;
    let malformed = reader.malformed("a number of attempts");
    let attempts = reader.varint("a number of attempts")?;
    reader.finish("the end of an attempt record")?;
    match u32::try_from(attempts) {
        Ok(attempts) if attempts > 0 => Ok(attempts),
        _ => Err(BadRow::Malformed(malformed)),
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<(), BadRow> {
    match reader.u8("a version")? {
        VERSION => Ok(()),
        other => Err(BadRow::UnknownVersion(other)),
    }
}

/// Why stored bytes are not what a queue stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadRow {
    UnknownVersion(u8),
    Malformed(Malformed),
}

impl From<Malformed> for BadRow {
    fn from(malformed: Malformed) -> BadRow {
        BadRow::Malformed(malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key;

    fn spot(deadline_ms: u64, stamp: u64, index: u32) -> Spot {
        Spot { deadline_ms, id: MessageId { versionstamp: Versionstamp::new(stamp), index } }
    }

    #[test]
    fn messages_and_attempts_have_the_documented_bytes() {
        let place = spot(0x0102, 0xab, 3);
        let key = place.message_key(&messages_of("q\0"));
        let golden =
            b"\x20m\x02q\x00\xff\x00\0\0\0\0\0\0\x01\x02\x0200000000000000ab0000\0\0\0\0\x03";
        assert_eq!(key, golden);
        assert_eq!(place.id.attempt_key("q"), b"\x20a\x02q\0\x0200000000000000ab0000\0\0\0\0\x03");
        let (name, rest) = split_name(&key).unwrap();
        assert_eq!((name.as_str(), Spot::decode(rest)), ("q\0", Ok(place)));
        let row = MessageRow {
            enqueued_ms: 300,
            backoff_ms: vec![1, 128],
            dead_letters: vec![key!["d"]],
            payload: Bytes::from_static(b"\x03hello"),
        };
        let stored = Bytes::from(row.encode());
        assert_eq!(stored, &b"\x01\xac\x02\x02\x01\x80\x01\x01\x03\x02d\0\x03hello"[..]);
        assert_eq!(MessageRow::decode(&stored), Ok((row, Value::from("hello"))));
        assert_eq!(encode_attempts(5), b"\x01\x05");
        assert_eq!(decode_attempts(b"\x01\x05"), Ok(5));
    }

    #[test]
    fn other_bytes_are_refused() {
        let decode = |stored: &'static [u8]| MessageRow::decode(&Bytes::from_static(stored));
        assert_eq!(decode(b"\x02\0\0\0\x03"), Err(BadRow::UnknownVersion(2)));
        let malformed: [&[u8]; 7] = [
            b"",
            b"\x01",
            b"\x01\0\x7f\0",
            b"\x01\0\0\x01\0\x03",
            b"\x01\0\0\x01\x01x\x03",
            b"\x01\0\0\0",
            b"\x01\0\0\0\x02\0",
        ];
        for stored in malformed {
            assert!(matches!(decode(stored), Err(BadRow::Malformed(_))), "{stored:?}");
        }
        assert_eq!(decode_attempts(b"\x03\x01"), Err(BadRow::UnknownVersion(3)));
        for stored in [&b"\x01"[..], b"\x01\0", b"\x01\x01\0", b"\x01\x80\x80\x80\x80\x10"] {
            assert!(matches!(decode_attempts(stored), Err(BadRow::Malformed(_))), "{stored:?}");
        }
    }

    #[test]
    fn a_queue_has_no_key_of_another_whose_name_begins_like_its_own() {
        for (name, other) in [("", "\0"), ("a", "a\0"), ("a", "ab"), ("", "a")] {
            let (start, last) = (messages_of(name), spot(u64::MAX / 2, u64::MAX, u32::MAX));
            let end = end_of(&start);
            assert!(last.message_key(&start) < end);
            for place in [Spot::FIRST, last] {
                let key = place.message_key(&messages_of(other));
                assert!(key < start || end <= key, "{name:?} holds {other:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn keys_sort_like_spots(
            a in (0..=u64::MAX / 2, 0..u64::MAX, 0..u32::MAX), b in (0..3u64, 0..3u64, 0..3u32),
            c in (0..3u64, 0..3u64, 0..3u32),
        ) {
            let spots = [a, b, c].map(|(deadline, stamp, index)| spot(deadline, stamp, index));
            for (one, two) in [(0, 1), (1, 2)].map(|(i, j)| (spots[i], spots[j])) {
                let key = |spot: Spot| spot.message_key(&messages_of("q"));
                prop_assert_eq!(key(one).cmp(&key(two)), one.cmp(&two));
                prop_assert!(one < one.next() && !(one < two && two < one.next()));
            }
        }

        #[test]
        fn decoders_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            drop((Spot::decode(&bytes), split_name(&bytes), decode_attempts(&bytes)));
            if let Ok((row, _)) = MessageRow::decode(&Bytes::from(bytes.clone())) {
                prop_assert_eq!(row.encode(), bytes);
            }
        }
    }
}
