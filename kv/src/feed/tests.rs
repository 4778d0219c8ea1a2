//! Batches, and what a feed holds while nobody takes its events.

use super::pass::{BATCH_BYTES, BATCH_EVENTS};
use super::*;
use crate::{Atomic, Key, Limits, Value, key};

/// More keys than go into three batches.
const KEYS: u64 = 3 * BATCH_EVENTS as u64 + 10;

fn store() -> Kv {
    Kv::builder_in_memory().limits(Limits::none()).open().unwrap()
}

fn commit(atomic: Atomic<'_>) -> Versionstamp {
    let committed = atomic.commit_buffered().unwrap();
    committed.versionstamp().expect("there is no check")
}

fn fill(kv: &Kv) {
    let all = (0..KEYS).fold(kv.atomic(), |atomic, n| atomic.set(key![n], n));
    commit(all);
}

fn take(feed: &mut Feed, events: usize) -> Vec<Event> {
    feed.by_ref().take(events).map(|event| event.unwrap()).collect()
}

/// Takes what there is, and says how much it was.
fn drain(feed: &mut Feed) -> usize {
    std::iter::from_fn(|| feed.try_next().unwrap()).count()
}

fn key_of(event: &Event) -> &Key {
    let Event::Set(entry) = event else { panic!("{event:?}") };
    &entry.key
}

#[test]
fn a_slow_consumer_costs_no_more_than_one_batch() {
    let kv = store();
    let mut feed = kv.watch_prefix(..).unwrap();
    drain(&mut feed);
    fill(&kv);
    for round in 0..20 {
        fill(&kv);
        let ranges =
            (0..KEYS).fold(kv.atomic(), |all, n| all.delete_range(key![n]..key![n, round]));
        commit(ranges);
        take(&mut feed, 1);
        assert!(feed.events.len() <= BATCH_EVENTS, "{} events are held", feed.events.len());
    }
}

#[test]
fn a_batch_ends_with_the_value_that_fills_it() {
    let kv = store();
    let half = Value::from(vec![7; BATCH_BYTES / 2]);
    let large = (0..5).fold(kv.atomic(), |atomic, n| atomic.set(key![n], half.clone()));
    commit(large);
    let mut feed = kv.watch_prefix(..).unwrap();
    assert_eq!(take(&mut feed, 1), [Event::Reset]);
    assert_eq!(feed.events.len(), 2);
    assert_eq!(drain(&mut feed), 5 + 1);
}

#[test]
fn a_pass_goes_on_in_a_later_snapshot_and_the_next_one_makes_good_for_the_rest() {
    let kv = store();
    fill(&kv);
    let mut feed = kv.watch_prefix(..).unwrap();
    take(&mut feed, 2);
    // The first is told already, the last is not.
    let after = commit(kv.atomic().set(key![0], "new").set(key![KEYS - 1], "new"));
    let rest: Vec<Event> = take(&mut feed, usize::try_from(KEYS).unwrap() - 1);
    let last = rest.last().unwrap();
    assert_eq!(last, &Event::Set(kv.get(key![KEYS - 1]).unwrap()));
    // The pass was not exact: the last key was told as it was after its beginning.
    let next = take(&mut feed, 3);
    assert_eq!([key_of(&next[0]), key_of(&next[1])], [&key![0], &key![KEYS - 1]]);
    assert_eq!(next[2], Event::UpTo(after));
}

#[test]
fn a_range_is_told_once_in_a_pass_also_when_there_are_many() {
    let kv = store();
    let known = kv.set(key!["before"], 1).unwrap();
    // As long as this is read, no compaction in the background forgets a deletion after it.
    let _held = kv.snapshot().unwrap();
    // The ranges are apart from each other, and in front of the keys.
    let ranges = (0..KEYS).fold(kv.atomic(), |all, n| all.delete_range(key![n, 1]..key![n, 2]));
    commit(ranges);
    fill(&kv);
    let mut feed = kv.changes(.., Some(known)).unwrap();
    let told: Vec<Event> = std::iter::from_fn(|| feed.try_next().unwrap()).collect();
    let count = usize::try_from(KEYS).unwrap();
    assert_eq!(told.len(), 2 * count + 1);
    let is_range = |event: &Event| matches!(event, Event::DeletedRange { .. });
    assert!(told[..count].iter().all(is_range));
    let starts: Vec<&[u8]> = told[..count].iter().map(start).collect();
    assert!(starts.is_sorted_by(|a, b| a < b));
}

fn start(event: &Event) -> &[u8] {
    let Event::DeletedRange { range, .. } = event else { panic!("{event:?}") };
    range.start_encoded()
}

#[test]
fn a_range_that_is_deleted_during_a_pass_removes_only_what_is_not_told_yet() {
    let kv = store();
    let known = kv.set(key!["before"], 1).unwrap();
    // As long as this is read, no compaction in the background forgets a deletion after it.
    let _held = kv.snapshot().unwrap();
    fill(&kv);
    let mut feed = kv.changes(.., Some(known)).unwrap();
    let first = take(&mut feed, BATCH_EVENTS);
    commit(kv.atomic().delete_range(..key![KEYS - 1]));
    let next = take(&mut feed, 2);
    let Event::DeletedRange { range, .. } = &next[0] else { panic!("{next:?}") };
    assert!(!range.contains(key_of(first.last().unwrap())));
    assert!(range.contains(&key![BATCH_EVENTS]) && !range.contains(&key![KEYS - 1]));
    assert_eq!(key_of(&next[1]), &key![KEYS - 1]);
    let next = take(&mut feed, 1);
    let Event::DeletedRange { range, .. } = &next[0] else { panic!("{next:?}") };
    assert!(range.contains(&key![0]), "the next pass makes good for it");
}

#[test]
fn a_pass_of_many_batches_is_exact_if_nothing_changes_meanwhile() {
    let kv = store();
    fill(&kv);
    let begun = kv.snapshot().unwrap().versionstamp();
    let mut feed = kv.watch_prefix(..key![KEYS]).unwrap();
    take(&mut feed, 2);
    commit(kv.atomic().set(key![KEYS], "elsewhere"));
    assert_eq!(take(&mut feed, usize::try_from(KEYS).unwrap()).last(), Some(&Event::UpTo(begun)));
    assert_eq!(feed.try_next().unwrap(), None);
}
