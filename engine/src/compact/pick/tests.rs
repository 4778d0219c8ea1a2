//! The choice as a table, and in a model of the levels that performs the jobs.

use proptest::prelude::*;

use super::*;

mod model;

const SHAPE: Shape = Shape { level0_tables: 4, level_base_bytes: 100, level_multiplier: 10 };

/// A horizon at which everything is at or below the floor.
fn horizon(expired_ms: Option<u64>) -> Horizon {
    let expired = expired_ms.map(|ms| Expired {
        moment: Timestamp::from_ms(ms).unwrap(),
        stamp: Versionstamp::new(1000),
    });
    Horizon { floor: Versionstamp::new(1000), expired }
}

/// A table of values, from the key `start` to the key `last`; newer with a higher number.
fn table(number: u64, bytes: u64, start: u8, last: u8) -> TableMeta {
    TableMeta {
        number,
        bytes,
        start: vec![start],
        end: Bound::Included(vec![last]),
        entries: 100,
        tombstones: 0,
        range_tombstones: 0,
        never_expires: 100,
        expiry: None,
        max_stamp: Versionstamp::new(number),
    }
}

fn deletions(meta: TableMeta, tombstones: u64) -> TableMeta {
    TableMeta { tombstones, never_expires: meta.entries - tombstones, ..meta }
}

fn expiring(meta: TableMeta, first: u64, last: u64) -> TableMeta {
    let moment = |ms| Timestamp::from_ms(ms).unwrap();
    TableMeta { never_expires: 0, expiry: Some((moment(first), moment(last))), ..meta }
}

fn choose(levels: &[Vec<TableMeta>], horizon: &Horizon, busy: &[u64]) -> Option<Job> {
    pick(levels, &SHAPE, horizon, &busy.iter().copied().collect())
}

fn job(inputs: &[(usize, u64)], output_level: usize, kind: Kind, bottommost: bool) -> Job {
    Job { inputs: inputs.to_vec(), output_level, kind, bottommost, reason: "" }
}

/// The job that is picked when everything is at or below the floor, without its reason.
fn picked(levels: &[Vec<TableMeta>], busy: &[u64]) -> Option<Job> {
    choose(levels, &horizon(Some(100)), busy).map(|job| Job { reason: "", ..job })
}

#[test]
fn levels_below_their_targets_are_left_alone() {
    let zero = vec![table(3, 50, 0, 9), table(2, 50, 0, 9), table(1, 50, 0, 9)];
    let one = vec![table(4, 50, 0, 4), table(5, 50, 5, 9)];
    assert_eq!(picked(&[zero, one, vec![], vec![]], &[]), None);
    assert_eq!(picked(&[], &[]), None);
    assert_eq!(picked(&[vec![], vec![table(1, 10_000, 0, 9)]], &[]), None, "the last level");
}

#[test]
fn a_full_level_0_gives_its_largest_group_with_all_that_it_overlaps() {
    let zero = vec![table(1, 9, 20, 30), table(2, 9, 0, 4), table(3, 9, 6, 9), table(4, 9, 4, 6)];
    let one = vec![table(5, 9, 1, 1), table(6, 9, 9, 15), table(7, 9, 16, 40)];
    let levels = [zero, one, vec![table(8, 9, 16, 40)]];
    let mut found = picked(&levels, &[]).unwrap();
    found.inputs.sort_unstable();
    let inputs = [(0, 2), (0, 3), (0, 4), (1, 5), (1, 6)];
    assert_eq!(found, job(&inputs, 1, Kind::Merge, true));
    // With one of its tables busy, level 0 counts as having three tables.
    assert_eq!(picked(&levels, &[5]), Some(job(&[(0, 1), (1, 7)], 1, Kind::Merge, false)));
    assert_eq!(picked(&levels, &[4]), None);
}

#[test]
fn a_table_that_overlaps_nothing_in_the_next_level_moves() {
    let zero = (1u8..5).map(|n| table(n.into(), 9, n * 10, n * 10 + 5)).collect();
    let levels = [zero, vec![table(8, 9, 0, 9)], vec![table(9, 9, 10, 10)]];
    assert_eq!(picked(&levels, &[]), Some(job(&[(0, 1)], 1, Kind::Move, false)));
}

#[test]
fn a_full_level_gives_the_table_that_costs_least() {
    let one = vec![table(1, 60, 0, 9), table(2, 60, 10, 19), table(3, 60, 20, 29)];
    let two = vec![table(4, 90, 0, 9), table(5, 20, 12, 13), table(6, 20, 19, 20)];
    let levels = [vec![], one, two, vec![]];
    assert_eq!(picked(&levels, &[]), Some(job(&[(1, 3), (2, 6)], 2, Kind::Merge, true)));
    let expected = job(&[(1, 1), (2, 4)], 2, Kind::Merge, true);
    assert_eq!(picked(&levels, &[6]), Some(expected), "a busy table in the way is avoided");
}

#[test]
fn the_fullest_level_comes_first() {
    let one = vec![table(1, 101, 0, 9)];
    let two = vec![table(2, 5000, 20, 29)];
    let levels = [vec![], one, two, vec![]];
    assert_eq!(picked(&levels, &[]), Some(job(&[(2, 2)], 3, Kind::Move, true)));
    assert_eq!(picked(&levels, &[2]), Some(job(&[(1, 1)], 2, Kind::Move, true)));
}

#[test]
fn the_end_of_a_deleted_range_is_not_part_of_a_table() {
    let ranged = TableMeta { end: Bound::Excluded(vec![10]), ..table(1, 120, 0, 0) };
    let levels = [vec![], vec![ranged], vec![table(2, 9, 10, 12)], vec![]];
    assert_eq!(picked(&levels, &[]), Some(job(&[(1, 1)], 2, Kind::Move, true)));
}

#[test]
fn a_table_full_of_deletions_is_rewritten_where_nothing_lies_below() {
    let alone =
        |tombstones| [vec![], vec![], vec![deletions(table(1, 9, 0, 9), tombstones)], vec![]];
    assert_eq!(picked(&alone(25), &[]), Some(job(&[(2, 1)], 2, Kind::Merge, true)));
    assert_eq!(picked(&alone(24), &[]), None);
    assert_eq!(picked(&alone(25), &[1]), None);
}

#[test]
fn a_table_full_of_deletions_is_pushed_towards_what_they_hide() {
    let levels = |tombstones| {
        let deleted = vec![deletions(table(1, 9, 0, 9), tombstones)];
        [vec![], deleted, vec![table(2, 9, 20, 29)], vec![table(3, 9, 5, 5)]]
    };
    assert_eq!(picked(&levels(50), &[]), Some(job(&[(1, 1)], 2, Kind::Move, false)));
    assert_eq!(picked(&levels(49), &[]), None);
    let zero = vec![deletions(table(1, 9, 0, 9), 90), table(2, 9, 5, 15)];
    let levels = [zero, vec![table(3, 9, 12, 14)]];
    assert_eq!(picked(&levels, &[]), Some(job(&[(0, 1), (0, 2), (1, 3)], 1, Kind::Merge, true)));
    assert_eq!(picked(&levels, &[3]), None);
}

#[test]
fn a_range_deletion_is_worth_a_push_however_small_its_table() {
    let ranged = TableMeta { range_tombstones: 1, ..table(1, 9, 0, 9) };
    let levels = [vec![], vec![ranged], vec![table(3, 9, 5, 5)]];
    let found = choose(&levels, &horizon(None), &[]).unwrap();
    assert_eq!((found.inputs, found.reason), (vec![(1, 1), (2, 3)], "range deletions"));
}

#[test]
fn a_table_with_anything_above_the_floor_waits() {
    let deleted = deletions(table(1001, 9, 0, 9), 100);
    let levels = [vec![], vec![TableMeta { range_tombstones: 1, ..deleted }]];
    assert_eq!(choose(&levels, &horizon(None), &[]), None);
}

#[test]
fn a_mostly_expired_table_is_rewritten() {
    let reason = |first, last, ms| {
        let levels = [vec![], vec![expiring(table(1, 9, 0, 9), first, last)]];
        choose(&levels, &horizon(ms), &[]).map(|job| job.reason)
    };
    assert_eq!(reason(101, 200, None), None);
    assert_eq!(reason(101, 200, Some(100)), None);
    assert_eq!(reason(101, 200, Some(124)), None);
    assert_eq!(reason(101, 200, Some(125)), Some("expiry"));
    assert_eq!(reason(101, 200, Some(900)), Some("expiry"));
    assert_eq!(reason(1, u64::MAX, Some(900)), None);
}

#[test]
fn what_is_owed_grows_with_what_lies_above_the_targets() {
    let owed = |tables, bytes: &[u64]| owed_bytes(tables, bytes, &SHAPE);
    assert_eq!(owed(0, &[]), 0);
    assert_eq!(owed(3, &[30, 100, 0]), 0);
    // 40 down, 60 there already: 100 are written, and level 1 is then at its target.
    assert_eq!(owed(4, &[40, 60, 0]), 100);
    // 40 are too many then, and each meets three in level 2 (450 / 140).
    assert_eq!(owed(4, &[40, 100, 450, 0]), 140 + 40 * 4);
    assert_eq!(owed(4, &[0, 0, 9999]), 0, "the last level is never too large");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn jobs_change_nothing_for_readers_and_come_to_rest(
        flushes in proptest::collection::vec(model::flush(), 1..12),
        (behind, expired) in (0u64..6, proptest::option::of(1u64..20)),
    ) {
        model::run(&flushes, behind, expired)?;
    }
}
