//! A copy that is kept by feeds, through random commits, flushes, crashes and pauses.
//!
//! The store is the oracle: whenever the copy is up to a stamp, it must be what a list gave at that
//! stamp. The copy is saved now and then, as a program would save it, and goes on from there after
//! the store was opened again.

use std::collections::BTreeMap;
use std::sync::Arc;

use icecore::{Entry, Event, Feed, Key, Kv, Versionstamp, key};
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Crash, Rules, SimDisk};

use super::Copy;
use crate::machine::{Machine, commit};

const SEEDS: u64 = 12;

/// More than two batches of a feed.
const KEYS: u64 = 700;

/// Keys, and the commits that set them.
type Contents = Vec<(Key, Versionstamp)>;

/// The bytes of a large value: of fifty, a batch is full.
const LARGE: usize = 20 << 10;

struct World {
    machine: Machine,
    dice: Arc<SeededRandom>,
    kv: Kv,
    /// What there was after each commit.
    history: BTreeMap<Versionstamp, Contents>,
    feed: Feed,
    copy: Copy,
    /// What the consumer has on its disk.
    saved: Copy,
    /// Nothing was taken from the feed yet.
    is_fresh: bool,
    /// How often the copy went on from what was saved, and how often from nothing.
    resumed: u64,
    resets: u64,
}

fn contents<'e>(entries: impl Iterator<Item = &'e Entry>) -> Contents {
    entries.map(|entry| (entry.key.clone(), entry.versionstamp.unwrap())).collect()
}

fn nth(n: u64) -> Key {
    key!["k", n % 7, n]
}

impl World {
    fn new(seed: u64) -> World {
        let disk = SimDisk::new(seed, Rules::power_cut());
        // Where flushes are rare, deletions are seldom forgotten.
        let memtable_bytes = if seed.is_multiple_of(2) { 32 << 10 } else { 4 << 20 };
        let machine = Machine { disk, memtable_bytes, ..Machine::new(seed) };
        let kv = machine.open();
        let feed = kv.watch_prefix(..).unwrap();
        let dice = Arc::new(SeededRandom::new(seed));
        let (copy, saved) = (Copy::default(), Copy::default());
        World {
            machine,
            dice,
            kv,
            history: BTreeMap::new(),
            feed,
            copy,
            saved,
            is_fresh: true,
            resumed: 0,
            resets: 0,
        }
    }

    fn commit(&mut self) {
        let mut atomic = self.kv.atomic();
        let many = if self.dice.one_in(4) { 300 } else { 4 };
        for _ in 0..self.dice.below(many) {
            let key = nth(self.dice.below(KEYS));
            atomic = match self.dice.below(200) {
                0..160 => atomic.set(key, self.dice.next()),
                160..170 => atomic.set(key, vec![7; LARGE]),
                170..190 => atomic.delete(key),
                190..199 => atomic.delete_range(key.clone()..key.with("end")),
                _ => {
                    let other = nth(self.dice.below(KEYS));
                    atomic.delete_range(key.clone().min(other.clone())..key.max(other))
                }
            };
        }
        commit(atomic);
        self.note();
    }

    /// Notes what there is, for comparison.
    fn note(&mut self) {
        let snapshot = self.kv.snapshot().unwrap();
        let entries: Vec<Entry> = snapshot.list(..).map(|entry| entry.unwrap()).collect();
        self.history.insert(snapshot.versionstamp(), contents(entries.iter()));
    }

    /// Takes some events, or all; and holds that the copy is right if there are no more.
    fn consume(&mut self) {
        let all = self.dice.one_in(3);
        let mut left = if all { u64::MAX } else { self.dice.below(400) };
        while left > 0 {
            let Some(event) = self.feed.try_next().unwrap() else {
                assert!(self.copy.is_of(self.kv.list(..)), "the copy is not the store");
                return;
            };
            let is_reset = event == Event::Reset;
            self.resets += u64::from(is_reset);
            self.resumed += u64::from(!is_reset && self.is_fresh);
            self.is_fresh = false;
            if self.copy.carry_out(event) {
                let then =
                    self.copy.up_to.and_then(|stamp| self.history.range(..=stamp).next_back());
                let expected = then.map_or(&[][..], |(_, contents)| contents);
                assert_eq!(contents(self.copy.entries.values()), expected);
                if self.dice.one_in(2) {
                    self.saved = self.copy.clone();
                }
            }
            left -= 1;
        }
    }

    /// Opens the store again, after its process ended in some way, and goes on from what was saved.
    fn reopen(&mut self) {
        match self.dice.below(3) {
            0 => {
                self.kv.close().unwrap();
                self.machine.disk.kill();
            }
            1 => self.machine.disk.kill(),
            _ => self.machine.disk.crash(Crash::Random),
        }
        // Most often its disk is gone, and nothing can be put in order any more.
        drop(self.kv.close());
        self.machine.disk = self.machine.disk.reopen();
        self.kv = self.machine.open();
        self.history.clear();
        self.note();
        self.resume();
    }

    fn resume(&mut self) {
        self.copy = self.saved.clone();
        self.feed = self.kv.changes(.., self.copy.up_to).unwrap();
        // The first thing told may be that nothing has changed.
        self.copy.up_to = None;
        self.is_fresh = true;
    }
}

#[test]
fn a_copy_follows_the_store_through_everything() {
    let mut resumed = 0;
    let mut resets = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..250 {
            match world.dice.below(40) {
                0 => world.reopen(),
                1 => world.resume(),
                2 => world.kv.flush().unwrap(),
                3..16 => world.consume(),
                _ => world.commit(),
            }
        }
        world.copy.catch_up(&mut world.feed);
        assert!(world.copy.is_of(world.kv.list(..)), "seed {seed}");
        resumed += world.resumed;
        resets += world.resets;
    }
    assert!(resumed > SEEDS && resets > SEEDS, "{resumed} resumed, {resets} resets");
}
