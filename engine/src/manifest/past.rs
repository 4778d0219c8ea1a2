//! What the store no longer knows of its past, so that it can say since when it can tell changes.
//!
//! Somebody who knew everything at a stamp can be brought up to date from what the store holds, as
//! long as nothing is missing that happened after that stamp. Two things can be missing:
//!
//! - *Deletions that were dropped.* When nothing below can hold a key, a flush or a compaction drops
//!   its tombstone, and a deletion of a range or an expired value likewise. [`Forgotten`] is the
//!   newest stamp of these, for each keyspace by itself: what comes and goes in a queue must not
//!   make the store forget about other data.
//! - *Commits that a crash took.* Stamps after the last one recovered, up to the ceiling, may have
//!   been seen. Whoever knows the state at such a stamp may know of something that never was. A
//!   [`Gap`] holds these stamps.
//!
//! Invariants:
//! 1. What is forgotten only grows, and a flush or a compaction notes it in the edit that installs
//!    the tables without it. So a reader of these tables always finds it noted.
//! 2. Gaps ascend and do not overlap. The stamp after a gap is the first that the next life shows:
//!    whoever knows the state at that stamp knows what was recovered, and is in no gap.
//! 3. Nothing was there at stamp zero, so whoever starts there misses no deletion.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use icecore_model::Versionstamp;

/// How many gaps are kept apart. One more, and the two oldest become one, with all between them.
pub(crate) const GAPS_MAX: usize = 16;

/// The newest deletion that was dropped for good, for each keyspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Forgotten {
    spaces: BTreeMap<u8, Versionstamp>,
}

/// Stamps above `after`, up to and including `last`, whose commits a crash may have taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gap {
    pub(crate) after: Versionstamp,
    pub(crate) last: Versionstamp,
}

/// See the [module](self).
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Past {
    pub(crate) forgotten: Forgotten,
    pub(crate) gaps: Vec<Gap>,
}

/// The keyspaces of the keys in `[start, end)`.
fn spaces(start: &[u8], end: &[u8]) -> RangeInclusive<u8> {
    let first = start.first().copied().unwrap_or(0);
    match end {
        [] | [0] => RangeInclusive::new(1, 0),
        [space] => first..=space - 1,
        [space, ..] => first..=*space,
    }
}

impl Forgotten {
    /// Notes that the deletion of a key of `space` by the commit `stamp` was dropped.
    pub(crate) fn note(&mut self, space: u8, stamp: Versionstamp) {
        let newest = self.spaces.entry(space).or_default();
        *newest = stamp.max(*newest);
    }

    /// Notes that the deletion of `[start, end)` by the commit `stamp` was dropped.
    pub(crate) fn note_range(&mut self, start: &[u8], end: &[u8], stamp: Versionstamp) {
        spaces(start, end).for_each(|space| self.note(space, stamp));
    }

    /// Notes what `other` holds, too.
    pub(crate) fn merge(&mut self, other: &Forgotten) {
        other.iter().for_each(|(space, stamp)| self.note(space, stamp));
    }

    /// The newest deletion of a key in `[start, end)`, or near it, that was dropped.
    fn newest(&self, start: &[u8], end: &[u8]) -> Versionstamp {
        let spaces = spaces(start, end);
        let newest = self.iter().filter(|(space, _)| spaces.contains(space)).map(|(_, at)| at);
        newest.max().unwrap_or(Versionstamp::ZERO)
    }

    /// The keyspaces, ascending, each with its stamp.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (u8, Versionstamp)> {
        self.spaces.iter().map(|(space, stamp)| (*space, *stamp))
    }
}

impl Past {
    /// Notes that a crash may have taken the commits above `after`, up to and including `last`.
    pub(crate) fn note_lost(&mut self, after: Versionstamp, last: Versionstamp) {
        let after = self.gaps.last().map_or(after, |newest| newest.last.max(after));
        if after >= last {
            return;
        }
        self.gaps.push(Gap { after, last });
        if self.gaps.len() > GAPS_MAX {
            let oldest = self.gaps.remove(0);
            self.gaps[0].after = oldest.after;
        }
    }

    /// Whether all changes of keys in `[start, end)` after the stamp `since` are known.
    pub(crate) fn is_known(&self, start: &[u8], end: &[u8], since: Versionstamp) -> bool {
        if since == Versionstamp::ZERO {
            return true;
        }
        let is_lost = |gap: &Gap| gap.after < since && since <= gap.last;
        since >= self.forgotten.newest(start, end) && !self.gaps.iter().any(is_lost)
    }

    /// Holds invariant 2, and that every stamp may have been issued.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        let forgotten = self.forgotten.iter().map(|(_, stamp)| stamp);
        if forgotten
            .chain(self.gaps.iter().map(|gap| gap.last))
            .any(|s| s > Versionstamp::ISSUED_MAX)
        {
            return Err("a stamp is larger than any that is issued");
        }
        if self.gaps.len() > GAPS_MAX || self.gaps.iter().any(|gap| gap.after >= gap.last) {
            return Err("a gap has no stamps, or is one too many");
        }
        if self.gaps.windows(2).any(|pair| pair[0].last > pair[1].after) {
            return Err("two gaps overlap");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(number: u64) -> Versionstamp {
        Versionstamp::new(number)
    }

    fn known(past: &Past, since: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        since.filter(|since| past.is_known(&[0], &[0xff], stamp(*since))).collect()
    }

    #[test]
    fn what_came_before_a_dropped_deletion_is_not_known_but_for_the_beginning() {
        let mut past = Past::default();
        past.forgotten.note(0x10, stamp(5));
        past.forgotten.note(0x10, stamp(3));
        assert_eq!(known(&past, 0..=7), [0, 5, 6, 7]);
    }

    #[test]
    fn each_keyspace_forgets_for_itself() {
        let mut past = Past::default();
        past.forgotten.note(0x20, stamp(5));
        assert!(past.is_known(&[0x10], &[0x20], stamp(1)), "its end belongs to the next keyspace");
        assert!(!past.is_known(&[0x10], &[0x20, 0], stamp(1)));
        assert!(!past.is_known(&[0x20, 7], &[0x20, 8], stamp(4)));
        past.forgotten.note_range(&[0x10, 1], &[0x20], stamp(9));
        assert!(!past.is_known(&[0x10], &[0x11], stamp(8)));
        assert!(past.is_known(&[0x20], &[0x21], stamp(5)));
    }

    #[test]
    fn stamps_that_a_crash_may_have_taken_are_not_known_and_their_neighbours_are() {
        let mut past = Past::default();
        past.note_lost(stamp(3), stamp(5));
        past.note_lost(stamp(8), stamp(8));
        past.note_lost(stamp(9), stamp(10));
        assert_eq!(known(&past, 0..=12), [0, 1, 2, 3, 6, 7, 8, 9, 11, 12]);
    }

    #[test]
    fn beyond_so_many_gaps_the_two_oldest_become_one() {
        let mut past = Past::default();
        for gap in 0..GAPS_MAX as u64 + 1 {
            past.note_lost(stamp(10 * gap + 3), stamp(10 * gap + 5));
        }
        assert_eq!(past.gaps.len(), GAPS_MAX);
        assert_eq!(past.gaps[0], Gap { after: stamp(3), last: stamp(15) });
        assert_eq!(past.validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn whatever_was_lost_is_never_known_again(
            losses in proptest::collection::vec((0u64..400, 0u64..400), 0..40),
        ) {
            let mut past = Past::default();
            for (after, last) in &losses {
                past.note_lost(stamp(*after), stamp(*last));
                prop_assert_eq!(past.validate(), Ok(()));
            }
            let mut reached = 0;
            for (after, last) in losses {
                for since in after.max(reached) + 1..=last {
                    prop_assert!(!past.is_known(&[0], &[9], stamp(since)));
                }
                reached = reached.max(if after.max(reached) < last { last } else { 0 });
            }
        }
    }
}
