//! How deletions of ranges are put together. What changes come to is tested at the engine's seam.

use icecore_model::RangeTombstone;

use super::*;

fn range(start: u8, end: u8, stamp: u64) -> RangeTombstone {
    RangeTombstone { start: vec![start], end: vec![end], stamp: Versionstamp::new(stamp) }
}

/// The ranges deleted in `[2, 8)` after stamp 5 and not after 9, as sources with these tombstones
/// tell it.
fn ranges_of(sources: &[&[RangeTombstone]]) -> Vec<(u8, u8, u64)> {
    let sets: Vec<_> =
        sources.iter().map(|list| Arc::new(RangeSet::new(list.iter().cloned()))).collect();
    let (since, at) = (Versionstamp::new(5), Versionstamp::new(9));
    let ranges = deleted_ranges(&sets, (&[2], &[8]), since, at);
    ranges.iter().map(|range| (range.start[0], range.end[0], range.stamp.get())).collect()
}

#[test]
fn ranges_are_cut_to_the_bounds_and_come_by_stamp() {
    assert_eq!(ranges_of(&[&[range(0, 4, 9)], &[range(6, 9, 7)]]), [(6, 8, 7), (2, 4, 9)]);
    assert_eq!(ranges_of(&[&[range(0, 2, 7), range(8, 9, 7)]]), []);
}

#[test]
fn ranges_from_before_and_from_after_the_snapshot_are_left_out() {
    assert_eq!(ranges_of(&[&[range(2, 8, 5), range(3, 4, 6), range(2, 8, 10)]]), [(3, 4, 6)]);
}

#[test]
fn pieces_of_one_tombstone_are_joined_again() {
    let upper = [range(2, 4, 8), range(3, 5, 6)];
    assert_eq!(ranges_of(&[&upper, &[range(4, 7, 8)]]), [(3, 5, 6), (2, 7, 8)]);
    assert_eq!(ranges_of(&[&[range(2, 6, 8)], &[range(3, 5, 8)]]), [(2, 6, 8)]);
    assert_eq!(ranges_of(&[&[range(2, 3, 8), range(4, 5, 8)]]), [(2, 3, 8), (4, 5, 8)]);
}
