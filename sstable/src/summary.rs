//! What is known of a table without opening it: the manifest keeps it, and the table's own
//! properties repeat it.
//!
//! ```text
//! summary    := number bytes hash (u64) properties
//! properties := entries tombstones range_tombstones key_bytes value_bytes never_expires
//!               min_stamp max_stamp min_expiry max_expiry
//!               (smallest largest)      if entries > 0
//!               (start end)             if range_tombstones > 0
//! smallest, largest, start, end := length bytes
//! ```
//!
//! Numbers are varints unless said otherwise; an expiry of 0 is none. Properties are valid if and
//! only if no key is longer than the model allows, the counts agree (tombstones and never_expires
//! are among the entries), each pair of bounds is in order, and no expiry means no bound of it.

use std::ops::Bound;

use icecore_model::limits::KEY_BYTES_MAX;
use icecore_model::read::put_varint;
use icecore_model::time::ms_or_zero;
use icecore_model::{Malformed, Reader, Timestamp, Versionstamp};

/// What a table holds, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSummary {
    /// The number of its file.
    pub number: u64,
    /// The length of the file.
    pub bytes: u64,
    /// XXH3-64 of the file without its footer.
    pub hash: u64,
    /// The smallest key of an entry; empty without entries.
    pub smallest: Vec<u8>,
    /// The largest key of an entry, inclusive; empty without entries.
    pub largest: Vec<u8>,
    /// The first key of the first deleted range, and the first key after the last one.
    pub range_extent: Option<(Vec<u8>, Vec<u8>)>,
    /// Entries of all kinds, every version counted.
    pub entries: u64,
    /// Entries that are deletions.
    pub tombstones: u64,
    /// Deletions of ranges, after overlapping ones were cut at each other's bounds.
    pub range_tombstones: u64,
    /// The sum of the lengths of the keys of all entries.
    pub key_bytes: u64,
    /// The sum of the lengths of all values.
    pub value_bytes: u64,
    /// The lowest stamp of an entry or deleted range; zero in an empty table.
    pub min_stamp: Versionstamp,
    /// The highest stamp of an entry or deleted range; zero in an empty table.
    pub max_stamp: Versionstamp,
    /// The first moment at which an entry expires.
    pub min_expiry: Option<Timestamp>,
    /// The last moment at which an entry expires.
    pub max_expiry: Option<Timestamp>,
    /// Entries that are values without an expiry.
    pub never_expires: u64,
}

impl TableSummary {
    /// The keys that the table says anything about: entries and deleted ranges. An empty table has
    /// an empty range.
    pub fn bounds(&self) -> (&[u8], Bound<&[u8]>) {
        let points = (self.entries > 0).then_some((&self.smallest[..], &self.largest[..]));
        let ranges = self.range_extent.as_ref().map(|(start, end)| (&start[..], &end[..]));
        match (points, ranges) {
            (None, None) => (&[], Bound::Excluded(&[])),
            (Some((smallest, largest)), None) => (smallest, Bound::Included(largest)),
            (None, Some((start, end))) => (start, Bound::Excluded(end)),
            (Some((smallest, largest)), Some((start, end))) => {
                let end =
                    if end > largest { Bound::Excluded(end) } else { Bound::Included(largest) };
                (smallest.min(start), end)
            }
        }
    }

    /// Whether the table says anything about a key from `start` to `end`.
    pub fn overlaps(&self, start: &[u8], end: Bound<&[u8]>) -> bool {
        let (own_start, own_end) = self.bounds();
        if self.entries == 0 && self.range_extent.is_none() {
            return false;
        }
        let reaches = |key: &[u8], end: Bound<&[u8]>| match end {
            Bound::Included(last) => key <= last,
            Bound::Excluded(after) => key < after,
            Bound::Unbounded => true,
        };
        reaches(own_start, end) && reaches(start, own_end) && reaches(start, end)
    }

    /// Appends everything, for the manifest.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        put_varint(out, self.bytes);
        out.extend_from_slice(&self.hash.to_le_bytes());
        self.encode_properties(out);
    }

    /// The inverse of [`TableSummary::encode`], from the front of `reader`.
    ///
    /// # Errors
    /// When the bytes are not a summary.
    pub fn decode(reader: &mut Reader<'_>) -> Result<TableSummary, Malformed> {
        let number = reader.varint("a table number")?;
        let bytes = reader.varint("a table length")?;
        let hash = reader.u64("a table hash")?;
        Ok(TableSummary { number, bytes, hash, ..TableSummary::decode_properties(reader)? })
    }

    /// Appends all but number, length and hash, which the table's footer holds.
    pub(crate) fn encode_properties(&self, out: &mut Vec<u8>) {
        let numbers = [
            self.entries,
            self.tombstones,
            self.range_tombstones,
            self.key_bytes,
            self.value_bytes,
            self.never_expires,
            self.min_stamp.get(),
            self.max_stamp.get(),
            ms_or_zero(self.min_expiry),
            ms_or_zero(self.max_expiry),
        ];
        for number in numbers {
            put_varint(out, number);
        }
        let mut key = |key: &[u8]| {
            put_varint(out, key.len() as u64);
            out.extend_from_slice(key);
        };
        if self.entries > 0 {
            key(&self.smallest);
            key(&self.largest);
        }
        if let Some((start, end)) = &self.range_extent {
            key(start);
            key(end);
        }
    }

    /// The inverse of [`TableSummary::encode_properties`]; number, length and hash are zero.
    pub(crate) fn decode_properties(reader: &mut Reader<'_>) -> Result<TableSummary, Malformed> {
        let start = reader.malformed("table properties");
        let mut number = || reader.varint("a table property");
        let mut summary = TableSummary {
            entries: number()?,
            tombstones: number()?,
            range_tombstones: number()?,
            key_bytes: number()?,
            value_bytes: number()?,
            never_expires: number()?,
            min_stamp: Versionstamp::new(number()?),
            max_stamp: Versionstamp::new(number()?),
            min_expiry: Timestamp::from_ms(number()?),
            max_expiry: Timestamp::from_ms(number()?),
            ..TableSummary::default()
        };
        let mut key = || {
            let length = reader.length(KEY_BYTES_MAX, "a key length")?;
            Ok(reader.bytes(length, "a key")?.to_vec())
        };
        if summary.entries > 0 {
            (summary.smallest, summary.largest) = (key()?, key()?);
        }
        if summary.range_tombstones > 0 {
            summary.range_extent = Some((key()?, key()?));
        }
        if summary.is_consistent() { Ok(summary) } else { Err(start) }
    }

    fn is_consistent(&self) -> bool {
        let values = self.entries.checked_sub(self.tombstones);
        self.smallest <= self.largest
            && self.range_extent.as_ref().is_none_or(|(start, end)| start < end)
            && values.is_some_and(|values| self.never_expires <= values)
            && self.min_stamp <= self.max_stamp
            && self.min_expiry <= self.max_expiry
            && self.min_expiry.is_some() == self.max_expiry.is_some()
            && self.min_expiry.is_some() == (values != Some(self.never_expires))
    }
}

#[cfg(test)]
mod tests;
