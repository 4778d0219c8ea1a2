//! Counts what goes into a table: once when it is written, again when it is verified.

use icecore_model::{Change, Entry, RangeSet, Timestamp, Versionstamp};

use crate::summary::TableSummary;

/// The properties of the entries seen so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    summary: TableSummary,
    /// Lowest and highest, of entries and ranges.
    stamps: Option<(Versionstamp, Versionstamp)>,
}

impl Tally {
    /// Counts an entry; entries come in order.
    pub(crate) fn entry(&mut self, entry: &Entry<'_>) {
        let summary = &mut self.summary;
        if summary.entries == 0 {
            summary.smallest = entry.key.to_vec();
        }
        summary.entries += 1;
        summary.key_bytes += entry.key.len() as u64;
        match entry.change {
            Change::Delete => summary.tombstones += 1,
            Change::Put { value, expires_at } => {
                summary.value_bytes += value.len() as u64;
                match expires_at {
                    None => summary.never_expires += 1,
                    Some(moment) => {
                        let earlier = |m: Timestamp| m.min(moment);
                        summary.min_expiry = Some(summary.min_expiry.map_or(moment, earlier));
                        summary.max_expiry = summary.max_expiry.max(Some(moment));
                    }
                }
            }
        }
        self.stamp(entry.stamp);
    }

    fn stamp(&mut self, stamp: Versionstamp) {
        let (low, high) = self.stamps.unwrap_or((stamp, stamp));
        self.stamps = Some((low.min(stamp), high.max(stamp)));
    }

    /// The properties; `largest` is the key of the last entry. Number, length and hash are zero.
    pub(crate) fn finish(mut self, largest: &[u8], ranges: &RangeSet) -> TableSummary {
        for (_, _, stamp) in ranges.iter() {
            self.summary.range_tombstones += 1;
            self.stamp(stamp);
        }
        let (min_stamp, max_stamp) = self.stamps.unwrap_or_default();
        TableSummary {
            largest: largest.to_vec(),
            range_extent: ranges.extent().map(|(start, end)| (start.to_vec(), end.to_vec())),
            min_stamp,
            max_stamp,
            ..self.summary
        }
    }
}
