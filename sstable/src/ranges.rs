//! The block of deleted ranges.
//!
//! ```text
//! ranges   := fragment+
//! fragment := length start length end stamp      varints and bytes
//! ```
//!
//! The ranges are stored as the fragments of [`RangeSet`], so that reading them back costs no more
//! memory than the block. They are valid if and only if every start < end, and every fragment
//! either repeats the bounds of the one before with a lower stamp, or starts at or after its end.

use icecore_model::limits::KEY_BYTES_MAX;
use icecore_model::read::put_varint;
use icecore_model::{Malformed, RangeSet, RangeTombstone, Reader, Versionstamp};

pub(crate) fn encode(set: &RangeSet) -> Vec<u8> {
    let mut out = Vec::new();
    for (start, end, stamp) in set.iter() {
        for key in [start, end] {
            put_varint(&mut out, key.len() as u64);
            out.extend_from_slice(key);
        }
        put_varint(&mut out, stamp.get());
    }
    out
}

pub(crate) fn decode(body: &[u8]) -> Result<RangeSet, Malformed> {
    let mut reader = Reader::new(body);
    let mut tombstones: Vec<RangeTombstone> = Vec::new();
    while !reader.is_empty() {
        let malformed = reader.malformed("a deleted range");
        let mut key = || {
            let length = reader.length(KEY_BYTES_MAX, "a key length")?;
            Ok(reader.bytes(length, "a key")?.to_vec())
        };
        let (start, end) = (key()?, key()?);
        let stamp = Versionstamp::new(reader.varint("a stamp")?);
        let follows = tombstones.last().is_none_or(|last| {
            last.end <= start || (last.start == start && last.end == end && last.stamp > stamp)
        });
        if start >= end || !follows {
            return Err(malformed);
        }
        tombstones.push(RangeTombstone { start, end, stamp });
    }
    if tombstones.is_empty() {
        return Err(reader.malformed("deleted ranges"));
    }
    Ok(RangeSet::new(tombstones))
}
