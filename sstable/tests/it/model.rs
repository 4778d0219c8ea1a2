//! Tables compared with a map, over options and read modes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use icecore_model::hash::hash64;
use icecore_model::{Entry, RangeSet, RangeTombstone, Timestamp, Versionstamp};
use icecore_sstable::{Compression, Table, TableOptions, WarmStep};
use proptest::prelude::*;
use std::sync::Arc;

use crate::support::{MODES, Model, Version, change, disk, entries, open, write};

fn options() -> impl Strategy<Value = TableOptions> {
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Lz4)];
    let bits = prop_oneof![Just(0u32), Just(1), Just(10)];
    (prop_oneof![1usize..200, Just(4096)], compression, any::<bool>(), bits).prop_map(
        |(block_bytes, compression, hash_index, filter_bits_per_key)| TableOptions {
            block_bytes,
            compression,
            hash_index,
            filter_bits_per_key,
        },
    )
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let letters = prop::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(255)], 0..5);
    (prop_oneof![Just(&b""[..]), Just(&b"prefix/"[..])], letters)
        .prop_map(|(prefix, rest)| [prefix, &rest].concat())
}

fn version() -> impl Strategy<Value = Version> {
    let value = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..30),
        1 => (any::<u8>(), 0usize..3000).prop_map(|(byte, length)| vec![byte; length]),
    ];
    prop::option::weighted(0.8, (value, prop::option::of((1u64..99).prop_map(moment))))
}

fn moment(ms: u64) -> Timestamp {
    Timestamp::from_ms(ms).unwrap()
}

fn model() -> impl Strategy<Value = Model> {
    let versions = prop_oneof![
        3 => prop::collection::btree_map((1u64..12).prop_map(Versionstamp::new), version(), 1..3),
        1 => prop::collection::btree_map((1u64..90).prop_map(Versionstamp::new), version(), 1..40),
    ];
    prop::collection::btree_map(key(), versions, 0..40)
}

fn ranges() -> impl Strategy<Value = Vec<RangeTombstone>> {
    let range = (key(), key(), 1u64..20).prop_map(|(start, end, stamp)| RangeTombstone {
        start,
        end,
        stamp: Versionstamp::new(stamp),
    });
    prop::collection::vec(range, 0..4)
}

/// What is visible at a stamp.
fn visible(model: &Model, at: Versionstamp) -> BTreeMap<&[u8], Entry<'_>> {
    let newest = model.iter().filter_map(|(key, versions)| newest(key, versions, at));
    newest.map(|entry| (entry.key, entry)).collect()
}

fn newest<'a>(
    key: &'a [u8],
    versions: &'a BTreeMap<Versionstamp, Version>,
    at: Versionstamp,
) -> Option<Entry<'a>> {
    let (stamp, version) = versions.range(..=at).next_back()?;
    Some(Entry { key, stamp: *stamp, change: change(version) })
}

fn check_gets(
    table: &Table,
    expected: &BTreeMap<&[u8], Entry<'_>>,
    keys: &[Vec<u8>],
    at: Versionstamp,
) {
    for key in keys {
        WarmStep::ALL.iter().for_each(|step| table.warm(hash64(key), *step));
        let hit = table.get(key, at).unwrap();
        let found = hit.as_ref().map(|hit| Entry { key, stamp: hit.stamp(), change: hit.change() });
        assert_eq!(found.as_ref(), expected.get(&key[..]), "{key:?}");
        if let Some(hit) = hit {
            hit.check().unwrap();
            if let icecore_model::Change::Put { value, .. } = hit.change() {
                assert_eq!(hit.value_bytes().unwrap(), value);
            }
        }
    }
}

fn check_scans(table: &Arc<Table>, expected: &BTreeMap<&[u8], Entry<'_>>, at: Versionstamp) {
    let mut cursor = table.cursor(at);
    cursor.seek_first().unwrap();
    for entry in expected.values() {
        assert_eq!(cursor.entry().as_ref(), Some(entry));
        cursor.next().unwrap();
    }
    assert_eq!(cursor.entry(), None);
    cursor.seek_last().unwrap();
    for entry in expected.values().rev() {
        assert_eq!(cursor.entry().as_ref(), Some(entry));
        cursor.prev().unwrap();
    }
    assert_eq!(cursor.entry(), None);
}

/// Seeks to each key, and from there some steps in both directions.
fn check_seeks(
    table: &Arc<Table>,
    expected: &BTreeMap<&[u8], Entry<'_>>,
    keys: &[Vec<u8>],
    at: Versionstamp,
    turns: u64,
) {
    let list: Vec<&Entry<'_>> = expected.values().collect();
    let mut cursor = table.cursor(at);
    for (number, key) in keys.iter().enumerate() {
        let after = list.partition_point(|entry| entry.key < &key[..]);
        let mut place = if number % 2 == 0 {
            cursor.seek(key).unwrap();
            Some(after)
        } else {
            cursor.seek_before(key).unwrap();
            after.checked_sub(1)
        };
        for turn in 0..12 {
            let entry = place.and_then(|place| list.get(place).copied());
            assert_eq!(cursor.entry().as_ref(), entry, "{key:?}, turn {turn}");
            let (Some(at), Some(_)) = (place, entry) else { break };
            if turns >> ((number + turn) % 64) & 1 == 0 {
                cursor.next().unwrap();
                place = Some(at + 1);
            } else {
                cursor.prev().unwrap();
                place = at.checked_sub(1);
            }
        }
    }
}

/// From each key runs of all lengths in both directions, and a step from where they stopped.
fn check_runs(
    table: &Arc<Table>,
    expected: &BTreeMap<&[u8], Entry<'_>>,
    keys: &[Vec<u8>],
    at: Versionstamp,
) {
    let list: Vec<&Entry<'_>> = expected.values().collect();
    let mut cursor = table.cursor(at);
    for (number, key) in keys.iter().enumerate() {
        let after = list.partition_point(|entry| entry.key < &key[..]);
        let count = number % (list.len() + 2) + 1;
        let mut left = count;
        let mut ahead = list[after..].iter();
        let mut behind = list[..after].iter().rev();
        let mut see = |entry: Entry<'_>, wanted: Option<&&Entry<'_>>| {
            assert_eq!(Some(&entry), wanted.copied(), "{key:?}");
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (forward, last, next) = (number % 2 == 0, count - 1, count);
        let (broken, last, next) = if forward {
            cursor.seek(key).unwrap();
            let broken = cursor.run(|entry| see(entry, ahead.next())).unwrap();
            (broken, after.checked_add(last), after.checked_add(next))
        } else {
            cursor.seek_before(key).unwrap();
            let broken = cursor.run_back(|entry| see(entry, behind.next())).unwrap();
            let back = |steps: usize| after.checked_sub(1 + steps);
            (broken, back(last), back(next))
        };
        let entry = |place: Option<usize>| place.and_then(|place| list.get(place).copied());
        assert_eq!(broken.is_some(), entry(last).is_some(), "{key:?}");
        assert_eq!(cursor.entry().as_ref(), entry(last), "{key:?}");
        if broken.is_none() {
            let left = if forward { ahead.next() } else { behind.next() };
            assert_eq!(left, None, "{key:?}");
            continue;
        }
        if forward {
            cursor.next().unwrap()
        } else {
            cursor.prev().unwrap()
        }
        assert_eq!(cursor.entry().as_ref(), entry(next), "{key:?}");
    }
}

fn check_versions(table: &Arc<Table>, model: &Model) {
    let mut versions = table.versions();
    versions.seek_first().unwrap();
    for entry in entries(model) {
        assert_eq!(versions.entry(), Some(entry));
        versions.next().unwrap();
    }
    assert_eq!(versions.entry(), None);
    for key in model.keys() {
        versions.seek(key).unwrap();
        let (stamp, _) = model[key].last_key_value().unwrap();
        assert_eq!(versions.entry().map(|e| (e.key, e.stamp)), Some((&key[..], *stamp)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_table_says_what_was_put_into_it(
        options in options(),
        model in model(),
        ranges in ranges(),
        strangers in prop::collection::vec(key(), 8),
        at in prop_oneof![3 => 0u64..100, 1 => Just(u64::MAX)],
        turns: u64,
    ) {
        let disk = disk();
        let at = Versionstamp::new(at);
        let summary = write(&*disk, 5, &options, &model, &ranges).unwrap();
        let keys: Vec<Vec<u8>> = model.keys().cloned().chain(strangers).collect();
        let expected = visible(&model, at);
        for mode in MODES {
            let table = open(&*disk, &summary, mode).unwrap();
            prop_assert_eq!(table.verify().unwrap(), summary.clone());
            prop_assert_eq!(table.ranges(), &RangeSet::new(ranges.clone()));
            check_gets(&table, &expected, &keys, at);
            check_scans(&table, &expected, at);
            check_seeks(&table, &expected, &keys, at, turns);
            check_runs(&table, &expected, &keys, at);
            check_versions(&table, &model);
        }
    }
}
