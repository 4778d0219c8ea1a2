//! A memtable against a sorted map of all versions, alone and with readers beside the inserter.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;

use icecore_model::{RangeTombstone, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::arena::CHUNK_BYTES_MIN;

/// Key, value (`None` for a deletion), expiry in ms (0 for never).
type Write = (Vec<u8>, Option<Vec<u8>>, u64);
/// Key, stamp, value.
type Seen<'a> = (&'a [u8], u64, Option<Vec<u8>>);
type Model = BTreeMap<(Vec<u8>, Reverse<u64>), (Option<Vec<u8>>, u64)>;

const CASES: u32 = if cfg!(miri) { 1 } else { 192 };
/// Miri is slower by a thousand times, and draws other cases with each seed.
const COMMITS_MAX: usize = if cfg!(miri) { 12 } else { 40 };
const WRITES_MAX: usize = if cfg!(miri) { 4 } else { 6 };
const VALUE_BYTES_MAX: usize = if cfg!(miri) { 24 } else { 300 };
const MOVES_MAX: usize = if cfg!(miri) { 25 } else { 60 };

fn change(write: &Write) -> Change<'_> {
    match &write.1 {
        Some(value) => Change::Put { value, expires_at: Timestamp::from_ms(write.2) },
        None => Change::Delete,
    }
}

fn apply(inserter: &mut Inserter, stamp: u64, writes: &[Write], floor: u64) {
    let mut effects = Vec::new();
    for write in writes {
        Effect::Point { key: &write.0, change: change(write) }.encode(&mut effects);
    }
    let (stamp, floor) = (Versionstamp::new(stamp), Versionstamp::new(floor));
    inserter.apply(stamp, Effects::new(&effects), floor).unwrap();
}

fn put(inserter: &mut Inserter, stamp: u64, key: &[u8], value: &[u8], floor: u64) {
    apply(inserter, stamp, &[(key.to_vec(), Some(value.to_vec()), 0)], floor);
}

/// Short keys over few letters, so that they repeat and are prefixes of each other.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(0u8..3, 1..4),
        1 => proptest::collection::vec(any::<u8>(), 1..40),
    ]
}

fn writes() -> impl Strategy<Value = Write> {
    let value =
        proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..VALUE_BYTES_MAX));
    (keys(), value, prop_oneof![Just(0u64), any::<u64>()])
}

fn commits() -> impl Strategy<Value = Vec<Vec<Write>>> {
    let commit = proptest::collection::vec(writes(), 0..WRITES_MAX).prop_map(|mut writes| {
        let mut seen = BTreeSet::new();
        writes.retain(|write| seen.insert(write.0.clone()));
        writes
    });
    proptest::collection::vec(commit, 0..COMMITS_MAX)
}

/// What a reader at `at` sees: of each key the newest version.
fn visible(model: &Model, at: u64) -> Vec<Seen<'_>> {
    let mut seen: Vec<Seen<'_>> = Vec::new();
    for ((key, Reverse(stamp)), (value, _)) in model {
        if *stamp <= at && seen.last().is_none_or(|last| last.0 != key) {
            seen.push((key, *stamp, value.clone()));
        }
    }
    seen
}

fn shown(entry: Option<icecore_model::Entry<'_>>) -> Option<Seen<'_>> {
    entry.map(|entry| {
        let value = match entry.change {
            Change::Put { value, .. } => Some(value.to_vec()),
            Change::Delete => None,
        };
        (entry.key, entry.stamp.get(), value)
    })
}

fn build(commits: &[Vec<Write>], floors: impl Fn(u64) -> u64) -> (Arc<Memtable>, Model) {
    let (memtable, mut inserter) = create(&ArenaPool::new(CHUNK_BYTES_MIN, 4));
    let mut model = Model::new();
    for (stamp, writes) in (1..).zip(commits) {
        apply(&mut inserter, stamp, writes, floors(stamp));
        for (key, value, expires) in writes {
            model.insert((key.clone(), Reverse(stamp)), (value.clone(), *expires));
        }
    }
    (memtable, model)
}

/// Lets a cursor that stands at `place` show `count` entries and one more, backwards if `count` is
/// odd, and says where it stands then.
fn run(
    cursor: &mut Cursor<Arc<Memtable>>,
    seen: &[Seen<'_>],
    place: Option<usize>,
    count: usize,
) -> Option<usize> {
    let at = |steps: usize| {
        let back = count % 2 == 1;
        let place = if back { place?.checked_sub(steps) } else { Some(place? + steps) };
        place.filter(|place| *place < seen.len())
    };
    let mut steps = 0;
    let see = |entry: icecore_model::Entry<'_>| {
        let expected = at(steps).map(|place| seen[place].clone());
        assert_eq!(shown(Some(entry)), expected);
        steps += 1;
        if steps > count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let broken = if count % 2 == 1 { cursor.run_back(see) } else { cursor.run(see) };
    assert_eq!(broken.is_some(), at(count).is_some());
    at(count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_version_is_kept_in_order_and_read_back(commits in commits()) {
        let (memtable, model) = build(&commits, |_| 0);
        let mut versions = memtable.versions();
        for ((key, Reverse(stamp)), (value, expires)) in &model {
            let entry = versions.next().unwrap();
            prop_assert_eq!((entry.key, entry.stamp.get()), (&key[..], *stamp));
            let expected = (key.clone(), value.clone(), *expires);
            prop_assert_eq!(entry.change, change(&expected));
        }
        prop_assert!(versions.next().is_none());
        prop_assert!(versions.next().is_none());
        let keys: BTreeSet<_> = model.keys().map(|(key, _)| key).collect();
        prop_assert_eq!((memtable.entries(), memtable.keys()), (model.len(), keys.len()));
        prop_assert_eq!(memtable.last_stamp().map_or(0, Versionstamp::get), commits.len() as u64);
    }

    #[test]
    fn a_point_read_finds_the_newest_version_at_its_stamp(
        commits in commits(), absent in keys(), at in 0u64..42,
    ) {
        let (memtable, model) = build(&commits, |_| 0);
        let seen = visible(&model, at);
        for key in model.keys().map(|(key, _)| key).chain([&absent]) {
            let expected = seen.iter().find(|seen| seen.0 == key);
            let hit = memtable.get(key, Versionstamp::new(at));
            prop_assert_eq!(hit.map(|hit| hit.stamp().get()), expected.map(|seen| seen.1));
            if let (Some(hit), Some(seen)) = (hit, expected) {
                prop_assert_eq!(&hit.value_bytes()[..], &seen.2.clone().unwrap_or_default()[..]);
                prop_assert_eq!(hit.change() == Change::Delete, seen.2.is_none());
            }
        }
    }

    #[test]
    fn a_cursor_moves_as_over_a_sorted_list(
        commits in commits(), at in 0u64..42,
        moves in proptest::collection::vec((0u8..8, keys()), 1..MOVES_MAX),
    ) {
        let (memtable, model) = build(&commits, |_| 0);
        let seen = visible(&model, at);
        let mut cursor = memtable.cursor_owned(Versionstamp::new(at));
        let mut place: Option<usize> = None;
        for (step, key) in &moves {
            let from = seen.partition_point(|seen| seen.0 < &key[..]);
            place = match step {
                0 => { cursor.seek_first(); Some(0) }
                1 => { cursor.seek_last(); seen.len().checked_sub(1) }
                2 => { cursor.seek(key); Some(from) }
                3 => { cursor.seek_before(key); from.checked_sub(1) }
                4 | 5 => { cursor.next(); place.map(|place| place + 1) }
                6 => run(&mut cursor, &seen, place, key.len()),
                _ => { cursor.prev(); place.and_then(|place| place.checked_sub(1)) }
            }.filter(|place| *place < seen.len());
            let expected = place.map(|place| seen[place].clone());
            let value = expected.as_ref().map(|(_, _, value)| value.clone().unwrap_or_default());
            prop_assert_eq!(shown(cursor.entry()), expected);
            prop_assert_eq!(cursor.value_bytes().map(|bytes| bytes.to_vec()), value);
        }
    }

    #[test]
    fn dropping_versions_hides_nothing_from_readers_at_or_above_the_floor(
        commits in commits(), lag in 0u64..12, at in 0u64..42,
    ) {
        let floor = |stamp: u64| stamp.saturating_sub(lag);
        let (memtable, model) = build(&commits, floor);
        let at = at.max(floor(commits.len() as u64));
        let mut cursor = memtable.cursor(Versionstamp::new(at));
        cursor.seek_first();
        for (key, stamp, value) in visible(&model, at) {
            prop_assert_eq!(shown(cursor.entry()), Some((key, stamp, value)));
            prop_assert_eq!(memtable.get(key, Versionstamp::new(at)).map(|h| h.stamp().get()), Some(stamp));
            cursor.next();
        }
        prop_assert!(cursor.entry().is_none());
        let mut left = 0;
        let mut versions = memtable.versions();
        while versions.next().is_some() {
            left += 1;
        }
        prop_assert_eq!(memtable.entries(), left);
    }

    #[test]
    fn range_deletions_cover_what_they_say(
        list in proptest::collection::vec((keys(), keys()), 0..12), key in keys(), at in 0u64..14,
    ) {
        let (memtable, mut inserter) = create(&ArenaPool::new(CHUNK_BYTES_MIN, 4));
        let mut tombstones = Vec::new();
        for ((start, end), stamp) in list.into_iter().filter(|(a, b)| a < b).zip(1..) {
            let stamp = Versionstamp::new(stamp);
            let mut effects = Vec::new();
            Effect::DeleteRange { start: &start, end: &end }.encode(&mut effects);
            inserter.apply(stamp, Effects::new(&effects), Versionstamp::ZERO).unwrap();
            tombstones.push(RangeTombstone { start, end, stamp });
            prop_assert!(memtable.ranges().iter().any(|range| range.2 == stamp));
        }
        prop_assert_eq!(memtable.has_ranges(), !tombstones.is_empty());
        let expected = RangeSet::new(tombstones).covering(&key, Versionstamp::new(at));
        prop_assert_eq!(memtable.covering(&key, Versionstamp::new(at)), expected);
        prop_assert_eq!(memtable.entries(), 0);
    }
}

#[test]
fn a_reader_far_behind_a_hot_key_finds_its_version() {
    let versions = if cfg!(miri) { 120 } else { 20_000 };
    let (memtable, mut inserter) = create(&ArenaPool::new(64 << 10, 4));
    for stamp in 1..=versions {
        put(&mut inserter, stamp, b"hot", &stamp.to_le_bytes(), 5);
    }
    for at in 5..=versions {
        let hit = memtable.get(b"hot", Versionstamp::new(at)).unwrap();
        assert_eq!(hit.stamp().get(), at);
    }
    assert_eq!(memtable.entries() as u64, versions - 4);
    put(&mut inserter, versions + 1, b"hot", b"", versions + 1);
    assert_eq!((memtable.entries(), memtable.keys()), (1, 1));
}

#[test]
fn many_keys_in_any_order_are_found_and_walked_both_ways() {
    let count = if cfg!(miri) { 60u64 } else { 30_000 };
    for spread in [1u64, 0x9e37_79b9, u64::MAX] {
        let (memtable, mut inserter) = create(&ArenaPool::new(256 << 10, 4));
        let key = |i: u64| i.wrapping_mul(spread).to_be_bytes();
        for i in 1..=count {
            put(&mut inserter, i, &key(i), b"v", 0);
        }
        let mut expected: Vec<_> = (1..=count).map(key).collect();
        expected.sort_unstable();
        let mut cursor = memtable.cursor(Versionstamp::MAX);
        cursor.seek_first();
        for key in &expected {
            assert_eq!(cursor.entry().map(|entry| entry.key), Some(&key[..]));
            assert!(memtable.newest(key).is_some());
            assert!(memtable.newest(&key[..7]).is_none());
            cursor.next();
        }
        cursor.seek_last();
        for key in expected.iter().rev() {
            assert_eq!(cursor.entry().map(|entry| entry.key), Some(&key[..]));
            cursor.prev();
        }
        assert!(cursor.entry().is_none());
    }
}

#[test]
fn keys_whose_hashes_collide_are_still_found() {
    let (memtable, mut inserter) = create(&ArenaPool::new(64 << 10, 4));
    // More than a segment of the index takes.
    let count = if cfg!(miri) { 90 } else { 200 };
    // To find them is most of the work.
    let bits = if cfg!(miri) { 6 } else { 7 };
    let collide = |i: &u64| hash64(&i.to_be_bytes()) >> (64 - bits) == 0;
    let mut numbers = (0..).filter(collide);
    let keys: Vec<_> = numbers.by_ref().take(count).map(u64::to_be_bytes).collect();
    for (key, stamp) in keys.iter().zip((1..).step_by(2)) {
        put(&mut inserter, stamp, key, b"v", 0);
        put(&mut inserter, stamp + 1, key, b"w", 0);
    }
    assert!(!memtable.index.is_complete());
    assert_eq!((memtable.keys(), memtable.entries()), (count, 2 * count));
    assert!(keys.iter().all(|key| memtable.newest(key).is_some()));
    let absent = numbers.next().unwrap();
    assert!(memtable.newest(&absent.to_be_bytes()).is_none());
}

#[test]
fn used_bytes_are_the_sum_of_what_lies_in_the_arena() {
    let (memtable, mut inserter) = create(&ArenaPool::new(CHUNK_BYTES_MIN, 4));
    assert_eq!((memtable.memory_bytes(), memtable.allocated_bytes()), (0, 0));
    assert!(memtable.is_empty());
    put(&mut inserter, 1, b"k", &[7; 100], 0);
    let first = memtable.memory_bytes();
    // A second version of the same key: header and value, rounded up to the alignment.
    put(&mut inserter, 2, b"k", &[7; 100], 0);
    assert_eq!(memtable.memory_bytes() - first, (40usize + 100).next_multiple_of(16));
    // An expiring value takes eight bytes more, a deletion only the header.
    apply(&mut inserter, 3, &[(b"k".to_vec(), Some(vec![7; 100]), 9)], 0);
    apply(&mut inserter, 4, &[(b"k".to_vec(), None, 0)], 0);
    assert_eq!(memtable.memory_bytes() - first, 144 + 160 + 48);
    let before = memtable.memory_bytes();
    let mut effects = Vec::new();
    Effect::DeleteRange { start: b"aa", end: b"bbb" }.encode(&mut effects);
    inserter.apply(Versionstamp::new(5), Effects::new(&effects), Versionstamp::ZERO).unwrap();
    assert_eq!(memtable.memory_bytes() - before, 5 + size_of::<RangeTombstone>());
    assert_eq!(memtable.allocated_bytes(), CHUNK_BYTES_MIN);
}

#[test]
fn chunks_are_used_again_and_large_values_outlive_their_memtable() {
    let huge = if cfg!(miri) { 65 << 10 } else { 1 << 20 };
    let pool = ArenaPool::new(64 << 10, 4);
    let (memtable, mut inserter) = create(&pool);
    put(&mut inserter, 1, b"small", &[1; 100], 0);
    put(&mut inserter, 2, b"large", &[2; 5000], 0);
    put(&mut inserter, 3, b"huge", &vec![3; huge], 0);
    let values =
        [&b"small"[..], b"large", b"huge"].map(|key| memtable.newest(key).unwrap().value_bytes());
    let mut cursor = memtable.cursor_owned(Versionstamp::MAX);
    cursor.seek(b"l");
    drop((memtable, inserter));
    assert_eq!(cursor.value_bytes().unwrap(), values[1]);
    let live = pool.usage().live_bytes;
    drop(cursor);
    assert_eq!(pool.usage().live_bytes, live);
    assert_eq!(pool.usage().pinned_bytes, live);
    assert_eq!(values.each_ref().map(Bytes::len), [100, 5000, huge]);
    assert!(values.iter().zip(1..).all(|(value, byte)| value.iter().all(|b| *b == byte)));
    drop(values);
    assert_eq!(pool.usage(), crate::PoolUse { free_bytes: 64 << 10, ..Default::default() });
}

#[test]
fn handles_go_where_tasks_go() {
    fn can_be_sent_and_shared<T: Send + Sync + 'static>() {}
    can_be_sent_and_shared::<Arc<Memtable>>();
    can_be_sent_and_shared::<Inserter>();
    can_be_sent_and_shared::<Cursor<Arc<Memtable>>>();
    can_be_sent_and_shared::<Versions<Arc<Memtable>>>();
    can_be_sent_and_shared::<Hit<'static>>();
}

#[test]
#[should_panic(expected = "increase")]
fn a_stamp_that_does_not_increase_is_our_own_bug() {
    let (_memtable, mut inserter) = create(&ArenaPool::new(CHUNK_BYTES_MIN, 4));
    put(&mut inserter, 2, b"k", b"", 0);
    put(&mut inserter, 2, b"k", b"", 0);
}

/// Each commit writes its own number under one shared key and under a key of its own, so a reader
/// at any visible stamp knows exactly what it must see.
#[test]
#[expect(clippy::disallowed_methods, reason = "the readers of this test are real threads")]
fn readers_see_whole_commits_while_the_inserter_works() {
    let commits = if cfg!(miri) { 25u64 } else { 20_000 };
    let (memtable, mut inserter) = create(&ArenaPool::new(64 << 10, 16));
    let visible = Arc::new(AtomicU64::new(0));
    let own = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes();
    let readers: Vec<_> = (0..2)
        .map(|reader: u64| {
            let (memtable, visible) = (Arc::clone(&memtable), Arc::clone(&visible));
            std::thread::spawn(move || {
                let mut rounds = reader;
                loop {
                    let at = visible.load(Ordering::Acquire);
                    let stamp = Versionstamp::new(at);
                    rounds += 1;
                    let shared = memtable.get(b"shared", stamp).map(|hit| hit.stamp().get());
                    assert_eq!(shared, (at > 0).then_some(at));
                    if at > 0 {
                        let i = 1 + rounds.wrapping_mul(0x2545_f491) % at;
                        let hit = memtable.get(&own(i), stamp).unwrap();
                        assert_eq!(hit.change(), Change::Put { value: &own(i), expires_at: None });
                    }
                    if rounds.is_multiple_of(64) || at == commits {
                        let mut cursor = memtable.cursor(stamp);
                        cursor.seek_first();
                        let forward = walk(&mut cursor, Cursor::next);
                        cursor.seek_last();
                        let backward = walk(&mut cursor, Cursor::prev);
                        let expected = if at > 0 { at + 1 } else { 0 };
                        assert_eq!((forward, backward), (expected, expected));
                    }
                    if at == commits {
                        break;
                    }
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    for stamp in 1..=commits {
        let own = own(stamp).to_vec();
        let shared = (b"shared".to_vec(), Some(own.clone()), 0);
        // Both readers may be up to some commits behind: nothing is dropped.
        apply(&mut inserter, stamp, &[shared, (own.clone(), Some(own), 0)], 0);
        visible.store(stamp, Ordering::Release);
    }
    for reader in readers {
        reader.join().unwrap();
    }
}

/// How many keys a cursor passes until its end.
fn walk<'a>(cursor: &mut Cursor<&'a Memtable>, step: fn(&mut Cursor<&'a Memtable>)) -> u64 {
    let mut count = 0;
    while let Some(entry) = cursor.entry() {
        assert!(entry.stamp <= cursor.at());
        count += 1;
        step(cursor);
    }
    count
}
