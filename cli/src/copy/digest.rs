//! Whether two places hold the same: counts, and a hash over all records in their order.
//!
//! Entries that expire while they are copied are on one side and no longer on the other. So what
//! expires within a week of the beginning is hashed apart, by the minute of its expiry, and minutes
//! that have begun when the last record is read back are left out on both sides.
//!
//! 1. *Two digests of the same records in the same order are equal*, whatever has expired between
//!    their making, as long as what is compared expires after both.
//! 2. *Its memory is bounded*: by the minutes of a week.

use std::collections::BTreeMap;

use icecore::Value;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_128};

use super::record::{Entry, Message, Record};

const MS_PER_MINUTE: u64 = 60_000;
const MINUTES_PER_WEEK: u64 = 7 * 24 * 60;
/// The clock of the destination may be this much ahead of ours.
const MINUTES_OF_DOUBT: u64 = 1;

/// Counts and hashes records as they come by.
pub(crate) struct Digest {
    /// The last minute that is hashed apart.
    horizon: u64,
    lasting: Xxh3Default,
    entries: u64,
    messages: u64,
    minutes: BTreeMap<u64, Minute>,
    bytes: Vec<u8>,
}

/// The entries that expire within one minute.
#[derive(Clone, Copy, Default)]
struct Minute {
    entries: u64,
    hash: u128,
}

/// What a digest comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) entries: u64,
    pub(crate) messages: u64,
    pub(crate) hash: u128,
}

impl Digest {
    /// Of nothing, for a copy that began at this moment.
    pub(crate) fn new(began_ms: u64) -> Digest {
        Digest {
            horizon: began_ms / MS_PER_MINUTE + MINUTES_PER_WEEK,
            lasting: Xxh3Default::new(),
            entries: 0,
            messages: 0,
            minutes: BTreeMap::new(),
            bytes: Vec::new(),
        }
    }

    /// Takes the next record.
    pub(crate) fn add(&mut self, record: &Record) {
        self.bytes.clear();
        match record {
            Record::Entry(entry) => self.add_entry(entry),
            Record::Message(message) => {
                self.messages += 1;
                put_message(&mut self.bytes, message);
                self.lasting.update(&self.bytes);
            }
        }
    }

    fn add_entry(&mut self, entry: &Entry) {
        self.bytes.push(b'e');
        put(&mut self.bytes, entry.key.encoded());
        put_value(&mut self.bytes, &entry.value);
        self.bytes.extend_from_slice(&entry.expires_ms.unwrap_or(0).to_le_bytes());
        let minute = entry.expires_ms.map(|ms| ms / MS_PER_MINUTE);
        match minute.filter(|minute| *minute <= self.horizon) {
            None => {
                self.entries += 1;
                self.lasting.update(&self.bytes);
            }
            Some(minute) => {
                let minute = self.minutes.entry(minute).or_default();
                minute.entries += 1;
                self.bytes.extend_from_slice(&minute.hash.to_le_bytes());
                minute.hash = xxh3_128(&self.bytes);
            }
        }
    }

    /// What it comes to for who has read the last record back at this moment.
    pub(crate) fn sum(&self, now_ms: u64) -> Sum {
        let (mut hash, mut entries) = (self.lasting.clone(), self.entries);
        let first = now_ms / MS_PER_MINUTE + MINUTES_OF_DOUBT + 1;
        for (number, minute) in self.minutes.range(first..) {
            entries += minute.entries;
            hash.update(&number.to_le_bytes());
            hash.update(&minute.hash.to_le_bytes());
        }
        Sum { entries, messages: self.messages, hash: hash.digest128() }
    }
}

fn put_message(out: &mut Vec<u8>, message: &Message) {
    out.push(b'm');
    put(out, message.queue.as_bytes());
    put_value(out, &message.payload);
    out.extend_from_slice(&message.ready_ms.to_le_bytes());
    out.extend_from_slice(&(message.backoff_ms.len() as u64).to_le_bytes());
    message.backoff_ms.iter().for_each(|ms| out.extend_from_slice(&ms.to_le_bytes()));
    out.extend_from_slice(&(message.keys_if_undelivered.len() as u64).to_le_bytes());
    message.keys_if_undelivered.iter().for_each(|key| put(out, key.encoded()));
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bytes(bytes) => {
            out.push(b'b');
            put(out, bytes);
        }
        Value::V8(bytes) => {
            out.push(b'j');
            put(out, bytes);
        }
        Value::U64(number) => {
            out.push(b'u');
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use icecore::key;

    use super::*;

    fn entry(number: u64, expires_ms: Option<u64>) -> Record {
        let (key, value) = (key![number], Value::from(number));
        Record::Entry(Entry { key, value, expires_ms, versionstamp: None })
    }

    fn sum(records: &[Record], now_ms: u64) -> Sum {
        let mut digest = Digest::new(0);
        records.iter().for_each(|record| digest.add(record));
        digest.sum(now_ms)
    }

    #[test]
    fn what_has_expired_meanwhile_makes_no_difference() {
        let lasting = [entry(1, None), entry(3, Some(u64::MAX)), entry(4, Some(600_000))];
        let all = [&lasting[..1], &[entry(2, Some(70_000))], &lasting[1..]].concat();
        assert_eq!(sum(&all, 70_000), sum(&lasting, 70_000));
        assert_eq!(sum(&all, 70_000).entries, 3);
        assert_ne!(sum(&all, 0).entries, sum(&all, 600_000).entries);
    }

    #[test]
    fn order_kind_of_value_and_expiry_count() {
        let sorted = sum(&[entry(1, None), entry(2, None)], 0);
        assert_ne!(sorted, sum(&[entry(2, None), entry(1, None)], 0));
        assert_ne!(sorted, sum(&[entry(1, None), entry(2, Some(u64::MAX))], 0));
        let Record::Entry(mut other) = entry(2, None) else { unreachable!("it is an entry") };
        other.value = Value::from(&2_u64.to_le_bytes()[..]);
        assert_ne!(sorted, sum(&[entry(1, None), Record::Entry(other)], 0));
    }
}
