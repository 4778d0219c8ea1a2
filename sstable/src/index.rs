//! The index: which block holds a key.
//!
//! ```text
//! body  := entry* head* end* place* prefix count prefix-length
//! entry := length key stamp                  varints; the key without the shared prefix
//! head  := the first eight bytes of that key (u64; the first byte is the highest, zeros at the end)
//! end   := offset (u64) in the file at which the block ends, its trailer included
//! place := offset (u32) of the entry in the body
//! prefix := what all keys start with;  count, prefix-length := u32
//! ```
//!
//! The entry of a block is a separator (key, stamp): at or after the block's last entry and before
//! the next block's first, in the order of entries. So each (key, stamp) belongs to exactly one
//! block, also when the versions of a key fill several. A block begins where the one before ends, the
//! first one at the start of the file: whoever knows a block's number finds it with one look.
//!
//! The heads make the search a binary search in one flat array of numbers; keys are compared only
//! where heads are equal. An index is valid if and only if the parts fill the body, separators are
//! in strict order, heads are those of their keys, and the ends rise up to where the data end.

use std::cmp::Ordering;

use bytes::Bytes;
use icecore_model::entry::order;
use icecore_model::limits::KEY_BYTES_MAX;
use icecore_model::read::put_varint;
use icecore_model::{Malformed, Reader, Versionstamp};

use crate::block::common;
use crate::format::Handle;

const HEAD_BYTES: usize = 8;
const END_BYTES: usize = 8;
const PLACE_BYTES: usize = 4;
const TAIL_BYTES: usize = 8;

/// Collects separators while a table is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    keys: Vec<u8>,
    blocks: Vec<Separator>,
}

#[derive(Debug)]
struct Separator {
    key_end: usize,
    stamp: Versionstamp,
    /// Where the block ends in the file.
    end: u64,
}

impl IndexBuilder {
    /// Adds the block that follows the last one and ends at `end`. Its last entry is `last`; `next` is
    /// the key of the entry after it, if there is one.
    pub(crate) fn add(&mut self, last: (&[u8], Versionstamp), next: Option<&[u8]>, end: u64) {
        let (key, stamp) = last;
        // A stamp of zero comes after all versions of the key.
        let (separator, stamp) = match next {
            Some(next) if next == key => (key.to_vec(), stamp),
            Some(next) => (shortest_between(key, next), Versionstamp::ZERO),
            None => (key.to_vec(), Versionstamp::ZERO),
        };
        self.keys.extend_from_slice(&separator);
        self.blocks.push(Separator { key_end: self.keys.len(), stamp, end });
    }

    /// About how long the body will be.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.len()
            + self.blocks.len() * (HEAD_BYTES + END_BYTES + PLACE_BYTES + 4)
            + TAIL_BYTES
    }

    pub(crate) fn finish(&self) -> Vec<u8> {
        let starts = std::iter::once(0).chain(self.blocks.iter().map(|b| b.key_end));
        let keys: Vec<&[u8]> =
            starts.zip(&self.blocks).map(|(start, b)| &self.keys[start..b.key_end]).collect();
        let prefix = match (keys.first(), keys.last()) {
            (Some(first), Some(last)) => &first[..common(first, last)],
            _ => &[],
        };
        let (mut body, mut places) = (Vec::new(), Vec::new());
        for (key, block) in keys.iter().zip(&self.blocks) {
            places.push(index_u32(body.len()));
            let rest = &key[prefix.len()..];
            put_varint(&mut body, rest.len() as u64);
            body.extend_from_slice(rest);
            put_varint(&mut body, block.stamp.get());
        }
        for key in &keys {
            body.extend_from_slice(&head(&key[prefix.len()..]).to_le_bytes());
        }
        for block in &self.blocks {
            body.extend_from_slice(&block.end.to_le_bytes());
        }
        for place in &places {
            body.extend_from_slice(&place.to_le_bytes());
        }
        body.extend_from_slice(prefix);
        body.extend_from_slice(&index_u32(keys.len()).to_le_bytes());
        body.extend_from_slice(&index_u32(prefix.len()).to_le_bytes());
        body
    }
}

fn index_u32(number: usize) -> u32 {
    u32::try_from(number).expect("an index is below 4 GiB")
}

/// A key as short as can be from `low` on and below `high`, which is greater.
fn shortest_between(low: &[u8], high: &[u8]) -> Vec<u8> {
    let shared = common(low, high);
    let shortened = match (low.get(shared), high.get(shared)) {
        // Raising this byte leaves it below the byte of `high`, or makes a proper prefix of it.
        (Some(a), Some(b)) if *a + 1 < *b || high.len() > shared + 1 => {
            let mut key = low[..shared].to_vec();
            key.push(a + 1);
            key
        }
        _ => return low.to_vec(),
    };
    if shortened.len() < low.len() { shortened } else { low.to_vec() }
}

/// The first eight bytes of a key as a number that sorts like them.
#[inline]
fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; HEAD_BYTES];
    let length = key.len().min(HEAD_BYTES);
    bytes[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(bytes)
}

/// An index that was read back.
#[derive(Debug)]
pub(crate) struct Index {
    body: Bytes,
    count: usize,
    heads: usize,
    ends: usize,
    places: usize,
    prefix: usize,
}

impl Index {
    /// Reads an index whose blocks must fill the file up to `data_end`.
    pub(crate) fn decode(body: Bytes, data_end: u64) -> Result<Index, Malformed> {
        let index = Index::layout(body)?;
        let malformed = Malformed { what: "the order of an index", offset: 0 };
        let mut end = 0;
        let mut at = 0;
        let mut last: Option<(&[u8], Versionstamp)> = None;
        for ordinal in 0..index.count {
            let entry = index.entry(ordinal)?;
            let separator = (entry.key, entry.stamp);
            let rises = last.is_none_or(|last| order(last, separator) == Ordering::Less);
            let follows = index.place(ordinal)? == at && index.end(ordinal) > end;
            if !rises || !follows || index.head(ordinal) != head(entry.key) {
                return Err(Malformed { offset: at, ..malformed });
            }
            end = index.end(ordinal);
            at = entry.end;
            last = Some(separator);
        }
        if end == data_end && at == index.heads { Ok(index) } else { Err(malformed) }
    }

    fn layout(body: Bytes) -> Result<Index, Malformed> {
        let malformed = Malformed { what: "the layout of an index", offset: body.len() };
        let (before, tail) = body.split_last_chunk::<TAIL_BYTES>().ok_or(malformed)?;
        let mut reader = Reader::new(tail);
        let count = reader.u32("index count")? as usize;
        let prefix_bytes = reader.u32("index prefix")? as usize;
        let start = |end: usize, bytes: Option<usize>| {
            bytes.and_then(|bytes| end.checked_sub(bytes)).ok_or(malformed)
        };
        let prefix = start(before.len(), Some(prefix_bytes))?;
        let places = start(prefix, count.checked_mul(PLACE_BYTES))?;
        let ends = start(places, count.checked_mul(END_BYTES))?;
        let heads = start(ends, count.checked_mul(HEAD_BYTES))?;
        if prefix_bytes > KEY_BYTES_MAX {
            return Err(malformed);
        }
        Ok(Index { body, count, heads, ends, places, prefix })
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn prefix(&self) -> &[u8] {
        &self.body[self.prefix..self.body.len() - TAIL_BYTES]
    }

    fn heads(&self) -> &[[u8; HEAD_BYTES]] {
        self.body[self.heads..self.ends].as_chunks().0
    }

    #[inline]
    fn end(&self, ordinal: usize) -> u64 {
        let ends: &[[u8; END_BYTES]] = self.body[self.ends..self.places].as_chunks().0;
        u64::from_le_bytes(ends[ordinal])
    }

    fn head(&self, ordinal: usize) -> u64 {
        u64::from_le_bytes(self.heads()[ordinal])
    }

    fn place(&self, ordinal: usize) -> Result<usize, Malformed> {
        let places: &[[u8; PLACE_BYTES]] = self.body[self.places..self.prefix].as_chunks().0;
        let malformed = Malformed { what: "the place of an index entry", offset: self.places };
        let place = u32::from_le_bytes(*places.get(ordinal).ok_or(malformed)?) as usize;
        if place < self.heads { Ok(place) } else { Err(malformed) }
    }

    /// The separator of a block, without the shared prefix.
    fn entry(&self, ordinal: usize) -> Result<IndexEntry<'_>, Malformed> {
        let place = self.place(ordinal)?;
        let at = |e: Malformed| Malformed { offset: e.offset + place, ..e };
        let mut reader = Reader::new(&self.body[place..self.heads]);
        let mut read = || {
            let length = reader.length(KEY_BYTES_MAX, "a separator length")?;
            let key = reader.bytes(length, "a separator")?;
            let stamp = Versionstamp::new(reader.varint("a separator stamp")?);
            Ok(IndexEntry { key, stamp, end: place + reader.offset() })
        };
        read().map_err(at)
    }

    /// Where the block `ordinal` lies.
    #[inline]
    pub(crate) fn handle(&self, ordinal: usize) -> Result<Handle, Malformed> {
        let malformed = Malformed { what: "the place of a block", offset: self.ends };
        if ordinal >= self.count {
            return Err(malformed);
        }
        let offset = if ordinal == 0 { 0 } else { self.end(ordinal - 1) };
        // They rose when they were read first, but a page may have been lost since.
        let bytes = self.end(ordinal).checked_sub(offset).ok_or(malformed)?;
        Ok(Handle { offset, bytes })
    }

    /// The separator after the block `ordinal`.
    pub(crate) fn separator(&self, ordinal: usize) -> Result<(Vec<u8>, Versionstamp), Malformed> {
        let entry = self.entry(ordinal)?;
        Ok(([self.prefix(), entry.key].concat(), entry.stamp))
    }

    /// The block that holds (`key`, `stamp`) if any does; the number of blocks when it lies after
    /// all of them.
    pub(crate) fn find(&self, key: &[u8], stamp: Versionstamp) -> Result<usize, Malformed> {
        let prefix = self.prefix();
        let length = key.len().min(prefix.len());
        match key[..length].cmp(&prefix[..length]) {
            Ordering::Less => return Ok(0),
            Ordering::Greater => return Ok(self.count),
            Ordering::Equal if key.len() < prefix.len() => return Ok(0),
            Ordering::Equal => {}
        }
        let rest = &key[length..];
        let target = head(rest);
        let heads = self.heads();
        let mut low = heads.partition_point(|h| u64::from_le_bytes(*h) < target);
        let same = heads[low..].partition_point(|h| u64::from_le_bytes(*h) == target);
        let mut high = low + same;
        while low < high {
            let middle = low.midpoint(high);
            let entry = self.entry(middle)?;
            if order((entry.key, entry.stamp), (rest, stamp)) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

struct IndexEntry<'a> {
    key: &'a [u8],
    stamp: Versionstamp,
    /// Where the next entry starts.
    end: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), 1u8..4, Just(254), Just(255)], 0..12)
    }

    proptest! {
        #[test]
        fn a_separator_is_no_longer_than_the_key_before_it(a in key(), b in key()) {
            prop_assume!(a != b);
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            let between = shortest_between(&low, &high);
            prop_assert!(low <= between && between < high);
            prop_assert!(between.len() <= low.len());
        }

        #[test]
        fn every_key_is_found_in_the_first_block_that_may_hold_it(
            keys in prop::collection::btree_set((key(), 0u64..3), 1..30),
            targets in prop::collection::vec((key(), 0u64..4), 20),
        ) {
            // One entry a block; versions of a key come newest first.
            let last: Vec<(Vec<u8>, Versionstamp)> =
                keys.iter().map(|(key, n)| (key.clone(), Versionstamp::new(9 - n))).collect();
            let mut builder = IndexBuilder::default();
            let mut end = 0;
            for (number, (key, stamp)) in last.iter().enumerate() {
                let next = last.get(number + 1).map(|(key, _)| &key[..]);
                end += 100;
                builder.add((key, *stamp), next, end);
            }
            let index = Index::decode(builder.finish().into(), end).unwrap();
            for number in 0..last.len() {
                let handle = index.handle(number).unwrap();
                prop_assert_eq!(handle, Handle { offset: number as u64 * 100, bytes: 100 });
            }
            for (key, stamp) in targets.iter().map(|(key, n)| (key, Versionstamp::new(9 - n))) {
                let found = index.find(key, stamp).unwrap();
                let first =
                    last.partition_point(|(k, s)| order((k, *s), (key, stamp)) == Ordering::Less);
                // A separator may reach beyond the last entry, but never to the next block's.
                prop_assert!(found == first || found + 1 == first);
                if last.get(first).is_some_and(|(k, _)| k == key) {
                    prop_assert_eq!(found, first);
                }
            }
        }
    }
}
