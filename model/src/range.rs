//! Deletions of whole ranges of keys.
//!
//! A range tombstone hides every version older than its own stamp of every key in `[start, end)`.
//! A set of them is kept as *fragments*: disjoint ranges in key order, each with the stamps of all
//! tombstones that cover it, so that a lookup is one binary search (after Pebble's
//! `keyspan.Fragmenter`).

use crate::stamp::Versionstamp;

/// The deletion of every key in `[start, end)` by one commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeTombstone {
    /// The first key of the range.
    pub start: Vec<u8>,
    /// The first key after the range; greater than `start`.
    pub end: Vec<u8>,
    /// The commit that deleted it.
    pub stamp: Versionstamp,
}

/// Range tombstones, prepared for lookups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSet {
    fragments: Vec<Fragment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fragment {
    start: Vec<u8>,
    end: Vec<u8>,
    /// Newest first, never empty.
    stamps: Vec<Versionstamp>,
}

impl RangeSet {
    /// Cuts `tombstones`, in any order, into fragments. Empty ranges are dropped.
    pub fn new(tombstones: impl IntoIterator<Item = RangeTombstone>) -> RangeSet {
        let tombstones: Vec<_> = tombstones.into_iter().filter(|t| t.start < t.end).collect();
        let mut bounds: Vec<&[u8]> =
            tombstones.iter().flat_map(|t| [&t.start[..], &t.end[..]]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut fragments: Vec<Fragment> = bounds
            .windows(2)
            .map(|w| Fragment { start: w[0].to_vec(), end: w[1].to_vec(), stamps: Vec::new() })
            .collect();
        for tombstone in &tombstones {
            let first = fragments.partition_point(|f| f.start < tombstone.start);
            for fragment in fragments[first..].iter_mut().take_while(|f| f.start < tombstone.end) {
                fragment.stamps.push(tombstone.stamp);
            }
        }
        fragments.retain(|f| !f.stamps.is_empty());
        for fragment in &mut fragments {
            fragment.stamps.sort_unstable_by(|a, b| b.cmp(a));
            fragment.stamps.dedup();
        }
        RangeSet { fragments }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// The newest tombstone at or below `at` that covers `key`.
    pub fn covering(&self, key: &[u8], at: Versionstamp) -> Option<Versionstamp> {
        let after = self.fragments.partition_point(|f| f.start.as_slice() <= key);
        let fragment = self.fragments[..after].last().filter(|f| key < f.end.as_slice())?;
        fragment.stamps.iter().copied().find(|stamp| *stamp <= at)
    }

    /// Every fragment once for each of its stamps: in key order, newest first.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Versionstamp)> {
        self.fragments
            .iter()
            .flat_map(|f| f.stamps.iter().map(|stamp| (&f.start[..], &f.end[..], *stamp)))
    }

    /// The tombstones cut to `[start, end)`; `None` is unbounded.
    pub fn clipped(&self, start: Option<&[u8]>, end: Option<&[u8]>) -> Vec<RangeTombstone> {
        self.iter()
            .map(|(s, e, stamp)| RangeTombstone {
                start: start.map_or(s, |low| low.max(s)).to_vec(),
                end: end.map_or(e, |high| high.min(e)).to_vec(),
                stamp,
            })
            .filter(|t| t.start < t.end)
            .collect()
    }

    /// The first key of the first range and the first key after the last one.
    pub fn extent(&self) -> Option<(&[u8], &[u8])> {
        Some((&self.fragments.first()?.start, &self.fragments.last()?.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tombstones() -> impl Strategy<Value = Vec<RangeTombstone>> {
        let one = (0u8..20, 0u8..20, 1u64..9).prop_map(|(a, b, stamp)| RangeTombstone {
            start: vec![a],
            end: vec![b],
            stamp: Versionstamp::new(stamp),
        });
        proptest::collection::vec(one, 0..12)
    }

    proptest! {
        #[test]
        fn a_set_covers_exactly_what_its_tombstones_cover(list in tombstones(), at in 0u64..10) {
            let at = Versionstamp::new(at);
            let set = RangeSet::new(list.clone());
            for key in 0u8..22 {
                let expected = list
                    .iter()
                    .filter(|t| t.start[0] <= key && key < t.end[0] && t.stamp <= at)
                    .map(|t| t.stamp)
                    .max();
                prop_assert_eq!(set.covering(&[key], at), expected);
            }
        }

        #[test]
        fn clipping_keeps_what_lies_inside_and_nothing_else(list in tombstones(), a in 0u8..20, b in 0u8..20) {
            let set = RangeSet::new(list);
            let clipped = RangeSet::new(set.clipped(Some(&[a]), Some(&[b])));
            for key in 0u8..22 {
                let expected = set.covering(&[key], Versionstamp::MAX).filter(|_| a <= key && key < b);
                prop_assert_eq!(clipped.covering(&[key], Versionstamp::MAX), expected);
            }
        }
    }
}
