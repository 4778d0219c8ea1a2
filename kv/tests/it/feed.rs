//! Feeds: what there is in a range of keys, and then whatever changes.

mod model;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use icecore::{Entry, ErrorKind, Event, Feed, Key, Kv, Versionstamp, key, prefix};

use crate::machine::{Machine, commit};
use crate::watch::block_on;

/// A copy of a range of keys that is kept by carrying out events.
#[derive(Clone, Debug, Default, PartialEq)]
struct Copy {
    entries: BTreeMap<Key, Entry>,
    up_to: Option<Versionstamp>,
    resets: u64,
}

impl Copy {
    /// Carries out one event. Says whether the copy is up to a stamp.
    fn carry_out(&mut self, event: Event) -> bool {
        match event {
            Event::Reset => {
                self.entries.clear();
                self.up_to = None;
                self.resets += 1;
            }
            Event::Set(entry) => {
                let key = entry.key.clone();
                let old = self.entries.insert(key, entry.clone());
                let went_back = old.is_some_and(|old| old.versionstamp > entry.versionstamp);
                assert!(!went_back, "time does not go back: {entry:?}");
            }
            Event::Deleted { key, versionstamp } => {
                let old = self.entries.remove(&key);
                assert!(old.is_none_or(|old| old.versionstamp <= Some(versionstamp)));
            }
            Event::DeletedRange { range, .. } => {
                self.entries.retain(|key, _| !range.contains(key));
            }
            Event::UpTo(stamp) => {
                assert!(self.up_to < Some(stamp) || self.up_to.is_none());
                self.up_to = Some(stamp);
                return true;
            }
        }
        false
    }

    /// Carries out all that there is.
    fn catch_up(&mut self, feed: &mut Feed) {
        while let Some(event) = feed.try_next().unwrap() {
            self.carry_out(event);
        }
    }

    fn is_of(&self, entries: impl Iterator<Item = Result<Entry, icecore::Error>>) -> bool {
        let entries: Vec<Entry> = entries.map(|entry| entry.unwrap()).collect();
        entries.iter().eq(self.entries.values())
    }
}

fn next(feed: &mut Feed) -> Event {
    feed.next().unwrap().unwrap()
}

/// All that there is to tell for now.
fn events(feed: &mut Feed) -> Vec<Event> {
    std::iter::from_fn(|| feed.try_next().unwrap()).collect()
}

#[test]
fn the_full_state_comes_first_and_then_what_changes() {
    let kv = Kv::in_memory().unwrap();
    kv.set(key!["u"], 0).unwrap();
    kv.set(key!["u", "gone"], 0).unwrap();
    kv.delete(key!["u", "gone"]).unwrap();
    let first = kv.set(key!["u", 1], 1).unwrap();
    let mut feed = kv.watch_prefix(prefix!["u"]).unwrap();
    let entry = kv.get(key!["u", 1]).unwrap();
    assert_eq!(events(&mut feed), [Event::Reset, Event::Set(entry), Event::UpTo(first)]);
    kv.set(key!["v"], 1).unwrap();
    assert_eq!(events(&mut feed), []);
    let second = kv.delete(key!["u", 1]).unwrap();
    let deleted = Event::Deleted { key: key!["u", 1], versionstamp: second };
    assert_eq!([next(&mut feed), next(&mut feed)], [deleted, Event::UpTo(second)]);
}

#[test]
fn an_empty_store_is_told_of_too() {
    let kv = Kv::in_memory().unwrap();
    let mut feed = kv.watch_prefix(..).unwrap();
    let told = events(&mut feed);
    assert!(matches!(told[..], [Event::Reset, Event::UpTo(_)]), "{told:?}");
    let Event::UpTo(nothing) = told[1] else { unreachable!() };
    let only = kv.set(key!["a"], 1).unwrap();
    let mut resumed = kv.changes(.., Some(nothing)).unwrap();
    let entry = kv.get(key!["a"]).unwrap();
    assert_eq!(events(&mut resumed), [Event::Set(entry), Event::UpTo(only)]);
}

#[test]
fn whoever_knows_a_state_is_told_only_of_what_came_later() {
    let kv = Kv::in_memory().unwrap();
    kv.set(key!["a"], 1).unwrap();
    let known = kv.set(key!["b"], 1).unwrap();
    let mut feed = kv.changes(.., Some(known)).unwrap();
    assert_eq!(next(&mut feed), Event::UpTo(known), "that it is nothing is told as well");
    let last = kv.set(key!["b"], 2).unwrap();
    let entry = kv.get(key!["b"]).unwrap();
    for mut feed in [feed, kv.changes(.., Some(known)).unwrap()] {
        assert_eq!(
            [next(&mut feed), next(&mut feed)],
            [Event::Set(entry.clone()), Event::UpTo(last)]
        );
    }
}

#[test]
fn a_stamp_that_the_store_does_not_know_begins_with_a_reset() {
    let kv = Kv::in_memory().unwrap();
    let last = kv.set(key!["a"], 1).unwrap();
    let mut feed = kv.changes(.., Some(last.next())).unwrap();
    let told = events(&mut feed);
    assert_eq!(told[0], Event::Reset);
    assert_eq!(told[2..], [Event::UpTo(last)]);
}

#[test]
fn a_deleted_range_is_cut_to_the_keys_of_the_feed() {
    let kv = Kv::in_memory().unwrap();
    let mut feed = kv.watch_prefix(prefix!["u"]).unwrap();
    events(&mut feed);
    kv.set(key!["u", 1], 1).unwrap();
    let stamp = commit(kv.atomic().delete_range(..).set(key!["u", 2], 2));
    let told = events(&mut feed);
    let [Event::DeletedRange { range, versionstamp }, Event::Set(set), Event::UpTo(up_to)] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((versionstamp, up_to), (&stamp, &stamp));
    assert_eq!(set.key, key!["u", 2]);
    assert!(range.contains(&key!["u", 1]) && range.contains(&key!["u", true]));
    assert!(!range.contains(&key!["u"]) && !range.contains(&key!["v"]));
    assert_eq!(kv.list(range).count(), 1);
}

#[test]
fn what_expires_is_told_as_deleted() {
    let machine = Machine::new(1);
    let kv = machine.open();
    kv.set_expiring(key!["a"], 1, Duration::from_secs(1)).unwrap();
    let mut feed = kv.watch_prefix(..).unwrap();
    let told = events(&mut feed);
    let Event::Set(set) = &told[1] else { panic!("{told:?}") };
    assert!(set.expires_at().is_some());
    machine.clock.advance_ms(1_000);
    let Event::Deleted { key, versionstamp } = next(&mut feed) else { panic!("it is deleted") };
    assert_eq!(key, key!["a"]);
    assert!(Some(versionstamp) > set.versionstamp);
}

#[test]
fn a_feed_ends_with_the_store_and_by_its_canceller() {
    let kv = Kv::in_memory().unwrap();
    let mut closed = kv.watch_prefix(..).unwrap();
    let mut cancelled = kv.watch_prefix(..).unwrap();
    let canceller = cancelled.canceller();
    thread::scope(|scope| {
        scope.spawn(|| assert!(cancelled.by_ref().count() <= 2));
        scope.spawn(|| assert!(closed.by_ref().count() <= 2));
        canceller.cancel();
        kv.close().unwrap();
    });
    for mut feed in [closed, cancelled] {
        assert!(feed.is_ended());
        assert!(feed.next().is_none());
        assert!(feed.try_next().unwrap().is_none());
    }
    assert_eq!(kv.watch_prefix(..).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_selector_that_makes_no_sense_is_refused() {
    let kv = Kv::in_memory().unwrap();
    let error = kv.watch_prefix(key!["b"]..key!["a"]).unwrap_err();
    assert_eq!(error.text(), "Start key is greater than end key");
    let error = kv.watch_prefix(prefix!["x".repeat(2049)]).unwrap_err();
    assert_eq!(error.text(), "Key too large for read (max 2049 bytes)");
}

#[test]
fn a_task_follows_a_writer_to_its_last_commit() {
    const COMMITS: u64 = 600;
    let kv = Kv::in_memory().unwrap();
    let mut feed = kv.watch_prefix(prefix!["n"]).unwrap();
    let follow = async move {
        let mut copy = Copy::default();
        while let Some(event) = std::future::poll_fn(|cx| feed.poll_next(cx)).await {
            let is_up_to = copy.carry_out(event.unwrap());
            if is_up_to && copy.entries.contains_key(&key!["n", COMMITS]) {
                break;
            }
        }
        copy
    };
    let mut copy = thread::scope(|scope| {
        let follower = scope.spawn(|| block_on(follow));
        for n in 1..=COMMITS {
            commit(kv.atomic().set(key!["n", n], n));
            if n % 100 == 0 {
                commit(kv.atomic().delete_range(key!["n", n - 50]..key!["n", n]));
            }
        }
        follower.join().unwrap()
    });
    // The last deletion may have come after the last key.
    let mut rest = kv.changes(prefix!["n"], copy.up_to).unwrap();
    copy.up_to = None;
    copy.catch_up(&mut rest);
    assert!(copy.is_of(kv.list(prefix!["n"])));
    assert_eq!(copy.resets, 1);
}

#[cfg(feature = "stream")]
#[test]
fn a_stream_gives_what_the_feed_would_give() {
    use futures_core::Stream;

    let kv = Kv::in_memory().unwrap();
    let mut events = std::pin::pin!(kv.watch_prefix(..).unwrap().into_stream());
    let mut next = || block_on(std::future::poll_fn(|cx| events.as_mut().poll_next(cx)));
    assert_eq!(next().unwrap().unwrap(), Event::Reset);
    assert!(matches!(next(), Some(Ok(Event::UpTo(_)))));
    kv.close().unwrap();
    assert!(next().is_none());
}
