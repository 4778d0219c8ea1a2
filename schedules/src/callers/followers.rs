//! Those who follow the keys by a feed, and keep a copy: it is what the store held at each stamp up
//! to which it was told, also for one that goes away and resumes from there, in this life or the
//! next.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, PoisonError};

use icecore::{Error, Event, Feed, Selector, Versionstamp, key};
use icecore_sync::model::Dice;

use super::ledger::{Found, KEYS, Key, Look, found, key_of, stored};
use super::{Scene, block_on, now_ms};

/// What somebody knows who follows the keys.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    /// Up to where it was told, and what it knew then.
    since: Option<Versionstamp>,
    known: BTreeMap<Key, Found>,
}

/// One that is on its way.
#[derive(Debug)]
struct Copy {
    follower: Follower,
    now: BTreeMap<Key, Found>,
    /// The newest that it was told of each key since it began last.
    newest: BTreeMap<Key, u64>,
    chain: Vec<Look>,
    begun_ms: u64,
}

/// Follows as a thread.
pub fn blocked(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    follow(scene, dice, |feed, _| feed.next())
}

/// Follows as a task, as a thread, and by looking now and then.
pub fn fickle(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    follow(scene, dice, |feed, dice| match dice.below(4) {
        0 => match feed.try_next() {
            Ok(None) => feed.next(),
            told => told.transpose(),
        },
        1 => feed.next(),
        _ => {
            let polls = (dice.below(4) == 0).then_some(1);
            let told = block_on(poll_fn(|context| feed.poll_next(context)), polls);
            told.unwrap_or_else(|| feed.next())
        }
    })
}

/// Whether so many follow, and all know what will be.
pub fn know(scene: &Scene, followers: usize, outlook: &[Option<Found>]) -> bool {
    let all = scene.memory.followers.lock().unwrap_or_else(PoisonError::into_inner);
    let knows = |follower: &Follower| {
        let knows_key = |key| follower.known.get(&key).copied() == outlook[usize::from(key)];
        follower.since.is_some() && (0..KEYS).all(knows_key)
    };
    all.len() == followers && all.iter().all(knows)
}

/// How often a follower may go away in one life.
const LEAVES: u64 = 4;

/// Follows until the store is closed.
fn follow(
    scene: &Scene,
    dice: &mut Dice,
    next: impl Fn(&mut Feed, &mut Dice) -> Option<Result<Event, Error>>,
) -> Result<(), Error> {
    let (place, follower) = scene.memory.enter();
    let now = follower.known.clone();
    let newest = BTreeMap::new();
    let mut copy = Copy { follower, now, newest, chain: Vec::new(), begun_ms: now_ms() };
    let mut leaves = LEAVES;
    let ended = 'life: loop {
        let selector =
            if dice.below(2) == 0 { Selector::all() } else { Selector::prefix(key!["k"]) };
        copy.begun_ms = now_ms();
        let mut feed = match scene.kv.changes(selector, copy.follower.since) {
            Ok(feed) => feed,
            Err(error) => break Err(error),
        };
        loop {
            match next(&mut feed, dice) {
                None => break 'life Ok(()),
                Some(Err(error)) => break 'life Err(error),
                Some(Ok(event)) => copy.take(event),
            }
            if copy.follower.since != scene.memory.update(place, &copy.follower) {
                scene.ring();
            }
            if leaves > 0 && dice.below(5) == 0 {
                leaves -= 1;
                copy.leave();
                break;
            }
        }
    };
    scene.memory.ledger.note(copy.chain);
    ended
}

impl super::Memory {
    /// The next follower that is not on its way; a new one if all are.
    fn enter(&self) -> (usize, Follower) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = self.entered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if place == followers.len() {
            followers.push(Follower::default());
        }
        (place, followers[place].clone())
    }

    /// Gives up to where it was told before.
    fn update(&self, place: usize, follower: &Follower) -> Option<Versionstamp> {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut followers[place], follower.clone()).since
    }
}

impl Copy {
    /// Carries out an event.
    fn take(&mut self, event: Event) {
        match event {
            Event::Reset => {
                self.now.clear();
                self.newest.clear();
            }
            Event::Set(entry) => {
                let Some(key) = key_of(&entry.key) else { return };
                let found = found(&entry).expect("what is set is there");
                self.note(key, found.stamp);
                self.now.insert(key, found);
            }
            Event::Deleted { key, versionstamp } => {
                let Some(key) = key_of(&key) else { return };
                self.note(key, versionstamp.get());
                self.now.remove(&key);
            }
            Event::DeletedRange { range, .. } => {
                self.now.retain(|key, _| !range.contains(&stored(*key)));
            }
            Event::UpTo(stamp) => {
                let keys = (0..KEYS).map(|key| (key, self.now.get(&key).copied())).collect();
                let times_ms = self.begun_ms..now_ms();
                self.chain.push(Look {
                    after: 0,
                    at: Some(stamp.get()),
                    times_ms,
                    keys,
                    is_copy: true,
                });
                self.follower = Follower { since: Some(stamp), known: self.now.clone() };
            }
        }
    }

    /// For one key, stamps do not go back.
    fn note(&mut self, key: Key, stamp: u64) {
        let before = self.newest.insert(key, stamp).unwrap_or(0);
        assert!(before <= stamp, "{key} was told of at {before}, then at {stamp}");
    }

    /// Goes away, and forgets what it was told since it was up to a stamp: whoever resumes from a
    /// stamp has the copy of that stamp.
    fn leave(&mut self) {
        self.newest.clear();
        self.now.clone_from(&self.follower.known);
    }
}
