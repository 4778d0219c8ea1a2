//! The rule as a table, and against a model of a reader.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::Verdict::{Drop, Keep, KeepAsTombstone};
use super::*;

fn stamp(number: u64) -> Versionstamp {
    Versionstamp::new(number)
}

fn put(expires_ms: u64) -> Change<'static> {
    Change::Put { value: b"v", expires_at: Timestamp::from_ms(expires_ms) }
}

fn range(start: u8, end: u8, at: u64) -> RangeTombstone {
    RangeTombstone { start: vec![start], end: vec![end], stamp: stamp(at) }
}

/// What becomes of versions of one key `[5]`, newest first, at floor 10, with what expired by
/// moment 100 of what was written up to stamp 8.
fn judge(versions: &[(u64, Change<'_>)], ranges: &[RangeTombstone], below: bool) -> Vec<Verdict> {
    let ranges = RangeSet::new(ranges.iter().cloned());
    let moment = Timestamp::from_ms(100).unwrap();
    let expired = Some(Expired { moment, stamp: stamp(8) });
    let mut rule = Garbage::new(stamp(10), expired, &ranges, |_: &[u8]| !below);
    let entry = |&(at, change)| Entry { key: &[5], stamp: stamp(at), change };
    versions.iter().map(|version| rule.judge(&entry(version)).unwrap()).collect()
}

#[test]
fn of_the_versions_at_or_below_the_floor_only_the_newest_stays() {
    let versions = [(12, put(0)), (11, Change::Delete), (10, put(0)), (9, put(0)), (2, put(0))];
    for below in [false, true] {
        assert_eq!(judge(&versions, &[], below), [Keep, Keep, Keep, Drop, Drop]);
    }
}

#[test]
fn a_tombstone_stays_while_something_below_may_hold_its_key() {
    let versions = [(11, Change::Delete), (9, Change::Delete), (8, put(0))];
    assert_eq!(judge(&versions, &[], true), [Keep, Keep, Drop]);
    assert_eq!(judge(&versions, &[], false), [Keep, Drop, Drop]);
}

#[test]
fn a_range_tombstone_at_or_below_the_floor_counts_as_a_newer_version() {
    let versions = [(11, put(0)), (8, put(0)), (7, put(0))];
    for (ranges, second) in [
        (range(0, 9, 9), Drop),
        (range(5, 6, 9), Drop),
        (range(0, 9, 11), Keep),
        (range(0, 9, 8), Keep),
        (range(0, 5, 9), Keep),
        (range(6, 9, 9), Keep),
    ] {
        assert_eq!(judge(&versions, std::slice::from_ref(&ranges), true), [Keep, second, Drop]);
    }
}

#[test]
fn an_expired_value_is_a_tombstone_if_the_watermark_covers_it() {
    assert_eq!(judge(&[(8, put(100))], &[], true), [KeepAsTombstone]);
    assert_eq!(judge(&[(8, put(100))], &[], false), [Drop]);
    assert_eq!(judge(&[(8, put(101))], &[], false), [Keep]);
    assert_eq!(judge(&[(9, put(100))], &[], false), [Keep]);
    assert_eq!(judge(&[(11, put(1))], &[], false), [Keep]);
    assert_eq!(judge(&[(8, put(1)), (7, put(0))], &[], true), [KeepAsTombstone, Drop]);
}

#[test]
fn a_watermark_above_the_floor_expires_nothing() {
    let ranges = RangeSet::default();
    let expired = Some(Expired { moment: Timestamp::from_ms(100).unwrap(), stamp: stamp(11) });
    let mut rule = Garbage::new(stamp(10), expired, &ranges, |_: &[u8]| true);
    assert_eq!(rule.judge(&Entry { key: &[1], stamp: stamp(3), change: put(50) }), Ok(Keep));
}

#[test]
fn an_entry_that_does_not_follow_the_one_before_is_refused() {
    let ranges = RangeSet::default();
    for (key, at) in [(&[5][..], 9), (&[5], 7), (&[4], 1), (&[4, 9], 1), (&[], 1)] {
        let mut rule = Garbage::new(stamp(10), None, &ranges, |_: &[u8]| true);
        let mut judge = |key, at| rule.judge(&Entry { key, stamp: stamp(at), change: put(0) });
        assert_eq!(judge(&[5], 7), Ok(Keep));
        assert_eq!(judge(key, at), Err(OutOfOrder), "{key:?} at {at}");
    }
}

#[test]
fn each_key_is_judged_for_itself() {
    let ranges = RangeSet::default();
    let mut rule = Garbage::new(stamp(10), None, &ranges, |key: &[u8]| key == [2]);
    let mut judge = |key: u8, at| {
        rule.judge(&Entry { key: &[key], stamp: stamp(at), change: Change::Delete }).unwrap()
    };
    assert_eq!([judge(1, 3), judge(1, 2), judge(2, 9), judge(3, 9)], [Keep, Drop, Drop, Keep]);
}

#[test]
fn range_tombstones_are_joined_again_and_dropped_when_idle_or_outdone() {
    let kept = |list: &[RangeTombstone], below: std::ops::Range<u8>| {
        surviving_ranges(&RangeSet::new(list.iter().cloned()), stamp(10), |start, end| {
            below.end <= start[0] || end[0] <= below.start
        })
        .0
    };
    assert_eq!(kept(&[range(1, 9, 5)], 0..9), [range(1, 9, 5)]);
    assert_eq!(kept(&[range(1, 9, 5)], 9..12), []);
    assert_eq!(kept(&[range(1, 9, 11)], 9..12), [range(1, 9, 11)]);
    assert_eq!(kept(&[range(1, 9, 11), range(3, 5, 12)], 0..9), [range(1, 9, 11), range(3, 5, 12)]);
    let outdone = [range(1, 9, 5), range(3, 5, 6), range(3, 5, 12)];
    let expected = [range(1, 3, 5), range(3, 5, 12), range(3, 5, 6), range(5, 9, 5)];
    assert_eq!(kept(&outdone, 0..9), expected);
}

#[test]
fn only_what_leaves_nothing_newer_behind_is_forgotten() {
    let forgotten = |versions: &[(u64, Change<'_>)], ranges: &[RangeTombstone], below: bool| {
        let set = RangeSet::new(ranges.iter().cloned());
        let expired = Expired { moment: Timestamp::from_ms(100).unwrap(), stamp: stamp(8) };
        let mut rule = Garbage::new(stamp(10), Some(expired), &set, |_: &[u8]| !below);
        for &(at, change) in versions {
            rule.judge(&Entry { key: &[5], stamp: stamp(at), change }).unwrap();
        }
        let (_, mut all) = surviving_ranges(&set, stamp(10), |_, _| !below);
        all.merge(&rule.forgotten());
        all.iter().map(|(space, at)| (space, at.get())).collect::<Vec<_>>()
    };
    let deleted = [(9, Change::Delete), (8, Change::Delete)];
    assert_eq!(forgotten(&deleted, &[], false), [(5, 9)]);
    assert_eq!(forgotten(&deleted, &[], true), []);
    assert_eq!(forgotten(&[(9, put(0)), (8, Change::Delete)], &[], false), []);
    assert_eq!(forgotten(&[(11, Change::Delete)], &[], false), []);
    assert_eq!(forgotten(&[(7, put(100))], &[], false), [(5, 7)], "an expired value");
    assert_eq!(forgotten(&[(7, put(101))], &[], false), []);
    let range = [range(4, 7, 9), range(5, 6, 8)];
    assert_eq!(forgotten(&[(7, Change::Delete)], &range, false), [(4, 9), (5, 9), (6, 9)]);
    assert_eq!(forgotten(&[(7, Change::Delete)], &range, true), []);
}

/// One version in the model: key, stamp, and its expiry (0: never) unless it is a deletion.
type Version = (u8, u64, Option<u64>);

/// What a reader sees of each key: the stamp of its value.
fn seen(versions: &[Version], ranges: &[RangeTombstone], at: u64, now_ms: u64) -> Vec<Option<u64>> {
    let read = |key: u8| {
        let of_key = versions.iter().filter(|(k, s, _)| *k == key && *s <= at);
        let &(_, newest, change) = of_key.max_by_key(|(_, s, _)| *s)?;
        let hidden = ranges.iter().any(|t| {
            t.start[0] <= key && key < t.end[0] && (newest + 1..=at).contains(&t.stamp.get())
        });
        let expires = change?;
        (!hidden && (expires == 0 || expires > now_ms)).then_some(newest)
    };
    (0..6).map(read).collect()
}

fn versions(stamps: std::ops::Range<u64>) -> impl Strategy<Value = Vec<Version>> {
    let change = prop_oneof![Just(None), Just(Some(0)), (1u64..20).prop_map(Some)];
    proptest::collection::btree_map((0u8..6, stamps), change, 0..24)
        .prop_map(|map| map.into_iter().map(|((key, at), change)| (key, at, change)).collect())
}

proptest! {
    #[test]
    fn no_reader_at_or_above_the_floor_sees_a_difference(
        inputs in versions(10..30),
        below in versions(1..10),
        ranges in proptest::collection::vec((0u8..6, 1u8..7, 10u64..30), 0..6),
        floor in 8u64..32,
        (moment, noted) in (1u64..20, 8u64..32),
    ) {
        let ranges: Vec<_> = ranges.into_iter().map(|(s, e, at)| range(s, e, at)).collect();
        let set = RangeSet::new(ranges.clone());
        let held: BTreeSet<u8> = below.iter().map(|(key, ..)| *key).collect();
        let expired = Expired { moment: Timestamp::from_ms(moment).unwrap(), stamp: stamp(noted) };
        let mut rule =
            Garbage::new(stamp(floor), Some(expired), &set, |key: &[u8]| !held.contains(&key[0]));
        let mut sorted = inputs.clone();
        sorted.sort_by_key(|(key, at, _)| (*key, std::cmp::Reverse(*at)));
        let mut after = below.clone();
        for &(key, at, change) in &sorted {
            let model = change.map_or(Change::Delete, put);
            match rule.judge(&Entry { key: &[key], stamp: stamp(at), change: model }).unwrap() {
                Keep => after.push((key, at, change)),
                KeepAsTombstone => after.push((key, at, None)),
                Drop => {}
            }
        }
        let kept = surviving_ranges(&set, stamp(floor), |start, end| {
            !held.iter().any(|key| (start[0]..end[0]).contains(key))
        })
        .0;
        let before: Vec<_> = inputs.iter().chain(&below).copied().collect();
        for at in floor..33 {
            // A reader that sees the watermark's commit has a clock reading at least as late.
            let earliest = if at >= noted { moment } else { 1 };
            for now_ms in earliest..21 {
                prop_assert_eq!(seen(&before, &ranges, at, now_ms), seen(&after, &kept, at, now_ms));
            }
        }
        prop_assert!(kept.len() <= set.iter().count());
        // What nothing lies below leaves no tombstone at or below the floor.
        if below.is_empty() {
            prop_assert!(after.iter().all(|(_, at, change)| *at > floor || change.is_some()));
            prop_assert!(kept.iter().all(|t| t.stamp > stamp(floor)));
        }
    }
}
