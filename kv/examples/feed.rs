//! One thread writes readings of sensors, another follows them and keeps the highest of each.
//!
//! ```text
//! cargo run -p icecore --example feed
//! ```

use std::collections::BTreeMap;
use std::thread;

use icecore::{Atomic, Error, Event, Feed, Key, Kv, key, prefix};

const READINGS: u64 = 1_000;

/// Writes readings, and now and then forgets the older half of one sensor's.
fn write(kv: &Kv) -> Result<(), Error> {
    for number in 0..READINGS {
        let sensor = ["attic", "cellar", "garden"][usize::try_from(number % 3).unwrap_or(0)];
        let reading = number * 7_919 % 1_009;
        commit(kv.atomic().set(key!["reading", sensor, number], reading))?;
        if number % 250 == 249 {
            let half = key!["reading", sensor]..key!["reading", sensor, number / 2];
            commit(kv.atomic().delete_range(half))?;
        }
    }
    commit(kv.atomic().set(key!["reading", "end"], 0))
}

/// Commits what nothing speaks against.
fn commit(atomic: Atomic<'_>) -> Result<(), Error> {
    atomic.commit_buffered().map(drop)
}

/// Carries out what the feed tells on a copy, until the writer has said that it is done.
fn follow(feed: Feed) -> Result<BTreeMap<Key, u64>, Error> {
    let mut copy = BTreeMap::new();
    for event in feed {
        match event? {
            Event::Reset => copy.clear(),
            Event::Set(entry) => {
                let reading = entry.u64()?;
                copy.insert(entry.key, reading);
            }
            Event::Deleted { key, .. } => {
                copy.remove(&key);
            }
            Event::DeletedRange { range, .. } => copy.retain(|key, _| !range.contains(key)),
            // A program that must survive its end would save the copy here, with this stamp, and
            // go on later with `kv.changes(prefix!["reading"], Some(stamp))`.
            Event::UpTo(_stamp) if copy.contains_key(&key!["reading", "end"]) => break,
            Event::UpTo(_) => {}
        }
    }
    Ok(copy)
}

fn main() -> Result<(), Error> {
    let kv = Kv::in_memory()?;
    let feed = kv.watch_prefix(prefix!["reading"])?;
    let copy = thread::scope(|scope| {
        let follower = scope.spawn(|| follow(feed));
        write(&kv)?;
        follower.join().expect("the follower does not panic")
    })?;
    assert_eq!(copy.len() as u64, kv.count(prefix!["reading"])?);

    let mut highest: BTreeMap<Key, u64> = BTreeMap::new();
    for (key, reading) in &copy {
        let [_, sensor, _] = &key.parts()?[..] else { continue };
        let highest = highest.entry(key!["reading", sensor]).or_default();
        *highest = (*highest).max(*reading);
    }
    for (sensor, reading) in highest {
        println!("{sensor}: {reading}");
    }
    Ok(())
}
