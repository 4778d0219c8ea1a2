//! Which versions survive a flush or a compaction: a pure rule, fed with entries in their order.
//!
//! The *floor* is a stamp below which nobody reads, neither now nor later. For every stamp at or
//! above it, a reader must see the same before and after. Of one key, the newest version at or
//! below the floor is therefore the only one of these that matters:
//!
//! 1. Versions above the floor stay as they are.
//! 2. An older version than the newest at or below the floor is dropped.
//! 3. So is one that a range tombstone at or below the floor covers with a higher stamp. (With an
//!    equal one it does not: within a commit, points win over ranges.)
//! 4. A tombstone stays while something below may hold the key, and is dropped otherwise.
//! 5. A value that is expired for every reader counts as a tombstone.
//! 6. A range tombstone at or below the floor is dropped when nothing below overlaps it, or when
//!    another one, newer but also at or below the floor, covers the same keys.
//!
//! What a drop by rule 4 or, for want of anything below, by rule 6 makes the store forget is noted:
//! then it cannot tell any more that something was deleted. The other drops leave something newer
//! behind, which tells as much.
//!
//! What is "below": everything older than the inputs, in sources that are not among the inputs.
//! All versions of a key that lie in the inputs come by in one pass.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use icecore_model::{
    Change, Entry, Planted, RangeSet, RangeTombstone, Timestamp, Versionstamp, planted,
};

use crate::manifest::Forgotten;

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It stays.
    Keep,
    /// A deletion with the same key and stamp takes its place.
    KeepAsTombstone,
    /// It goes.
    Drop,
}

/// An entry does not come after the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

/// What has expired for every reader at or above the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// A value that expires at or before this moment is absent,
    pub(crate) moment: Timestamp,
    /// if its stamp is at or below this one: that of the commit that noted the moment.
    ///
    /// While this stamp lies above the floor, nothing counts as expired: there may be a snapshot
    /// from before that commit, with an older reading of the clock. A snapshot that sees the
    /// commit has a reading that is not older than the moment.
    pub(crate) stamp: Versionstamp,
}

/// The rule, with what it remembers of the current key.
///
/// `bottommost` says of a key that nothing below can hold it.
#[derive(Debug)]
pub(crate) struct Garbage<'a, B> {
    floor: Versionstamp,
    expired: Option<Expired>,
    ranges: &'a RangeSet,
    bottommost: B,
    /// The key and the stamp of the entry before.
    key: Vec<u8>,
    stamp: Versionstamp,
    /// The newest version of `key` at or below the floor has come by.
    settled: bool,
    forgotten: Forgotten,
}

impl<'a, B: Fn(&[u8]) -> bool> Garbage<'a, B> {
    /// `ranges` are the range tombstones of all inputs. `expired` comes from the sweeper's
    /// watermark, never from a raw reading of the clock.
    pub(crate) fn new(
        floor: Versionstamp,
        expired: Option<Expired>,
        ranges: &'a RangeSet,
        bottommost: B,
    ) -> Garbage<'a, B> {
        let expired = expired.filter(|expired| expired.stamp <= floor);
        // No key is empty, so the first entry begins a key.
        let (key, stamp, forgotten) = (Vec::new(), Versionstamp::ZERO, Forgotten::default());
        Garbage { floor, expired, ranges, bottommost, key, stamp, settled: false, forgotten }
    }

    /// What becomes of the next entry, in the order of entries: keys ascending, stamps descending.
    ///
    /// # Errors
    /// [`OutOfOrder`] when it does not come after the one before it: then a table is not what it
    /// seems, although its checksums agree.
    pub(crate) fn judge(&mut self, entry: &Entry<'_>) -> Result<Verdict, OutOfOrder> {
        match entry.key.cmp(&self.key[..]) {
            Ordering::Greater => {
                self.key.clear();
                self.key.extend_from_slice(entry.key);
                self.settled = false;
            }
            Ordering::Equal if entry.stamp < self.stamp => {}
            _ => return Err(OutOfOrder),
        }
        self.stamp = entry.stamp;
        Ok(self.verdict(entry))
    }

    fn verdict(&mut self, entry: &Entry<'_>) -> Verdict {
        if entry.stamp > self.floor {
            return Verdict::Keep;
        }
        if std::mem::replace(&mut self.settled, true) || self.covered(entry) {
            return Verdict::Drop;
        }
        match entry.change {
            Change::Put { expires_at, .. } if !self.expired(entry.stamp, expires_at) => {
                Verdict::Keep
            }
            _ if planted(Planted::TombstoneDroppedEarly) => Verdict::Drop,
            _ if (self.bottommost)(entry.key) => {
                self.forgotten.note(entry.key[0], entry.stamp);
                Verdict::Drop
            }
            Change::Put { .. } => Verdict::KeepAsTombstone,
            Change::Delete => Verdict::Keep,
        }
    }

    /// The deletions, and the expired values, that were dropped for good.
    pub(crate) fn forgotten(self) -> Forgotten {
        self.forgotten
    }

    fn covered(&self, entry: &Entry<'_>) -> bool {
        self.ranges.covering(entry.key, self.floor).is_some_and(|stamp| stamp > entry.stamp)
    }

    fn expired(&self, stamp: Versionstamp, expires_at: Option<Timestamp>) -> bool {
        match (self.expired, expires_at) {
            (Some(expired), Some(moment)) => stamp <= expired.stamp && moment <= expired.moment,
            _ => false,
        }
    }
}

/// The range tombstones that stay, and what was dropped for good of the others. `nothing_below`
/// says of `[start, end)` that nothing below overlaps it.
pub(crate) fn surviving_ranges(
    ranges: &RangeSet,
    floor: Versionstamp,
    nothing_below: impl Fn(&[u8], &[u8]) -> bool,
) -> (Vec<RangeTombstone>, Forgotten) {
    let mut survivors: Vec<RangeTombstone> = Vec::new();
    let mut forgotten = Forgotten::default();
    // The last survivor of each stamp. A tombstone comes as several fragments, cut where another
    // one begins or ends: they are joined again, lest each compaction leave more of them.
    let mut last: BTreeMap<Versionstamp, usize> = BTreeMap::new();
    // The fragment for which a tombstone at or below the floor has come by.
    let mut settled: Option<&[u8]> = None;
    for (start, end, stamp) in ranges.iter() {
        if stamp <= floor {
            if planted(Planted::RangeTombstoneDroppedEarly) || settled == Some(start) {
                continue;
            }
            if nothing_below(start, end) {
                forgotten.note_range(start, end, stamp);
                continue;
            }
            settled = Some(start);
        }
        match last.get(&stamp).map(|index| &mut survivors[*index]) {
            Some(open) if open.end == start => open.end = end.to_vec(),
            _ => {
                last.insert(stamp, survivors.len());
                survivors.push(RangeTombstone { start: start.to_vec(), end: end.to_vec(), stamp });
            }
        }
    }
    (survivors, forgotten)
}

#[cfg(test)]
mod tests;
