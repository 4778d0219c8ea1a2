//! Histories by chance, the same for the same seed.
//!
//! Keys come from small pools, so that steps meet:
//!
//! ```text
//! anything   a few keys of all kinds of parts, and any value
//! ["n", i]   numbers of 64 bits        ["f", i]   numbers        ["g", i]   bigints
//! ["x", i]   what expires              ["log"]    versionstamped keys
//! ["dead"]   messages that nobody took
//! ```
//!
//! A mutation may fail only if it is the first of its operation: after one that comes later Deno's
//! store has kept the earlier ones (see [`super::defects`]), and nothing could be compared.

use icecore_disk::random::SeededRandom;

use super::history::{Check, Cursor, History, List, Message, Mutation, Parts, Stamp, Step};
use super::tagged::{Tagged, key_of};

mod large;
mod pool;

/// The history of `seed`.
pub(crate) fn history(seed: u64) -> History {
    let mut maker = Maker::new(seed);
    let steps = 20 + maker.below(36);
    while maker.steps.len() < steps {
        maker.step();
    }
    maker.finish();
    History { seed: seed.to_string(), steps: maker.steps }
}

/// Longer than any watcher needs.
const LOOK: Step = Step::Look { patience: 10_000 };

/// A history that is being put together.
struct Maker {
    dice: SeededRandom,
    steps: Vec<Step>,
    /// The keys that may hold anything.
    keys: Vec<Parts>,
    /// Messages so far: part of each payload.
    messages: usize,
}

impl Maker {
    fn new(seed: u64) -> Maker {
        let dice = SeededRandom::new(seed);
        let keys = pool::some_keys(&dice);
        Maker { dice, steps: Vec::new(), keys, messages: 0 }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.dice.below(bound as u64)).expect("it is below a usize")
    }

    fn one_in(&self, n: u64) -> bool {
        self.dice.one_in(n)
    }

    fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    fn step(&mut self) {
        let step = match self.below(48) {
            0..5 => Step::Get { key: self.any_key() },
            5..7 => Step::GetMany { keys: (0..self.below(6)).map(|_| self.any_key()).collect() },
            7..13 => {
                let (key, value) = self.binding();
                Step::Set { key, value, expire_in: self.expiry() }
            }
            13..15 => Step::Delete { key: self.any_key() },
            15..27 => self.atomic(),
            27..36 => Step::List(self.list()),
            36 => Step::Enqueue(self.message()),
            37 => Step::Pass,
            38 => self.faulty_step(),
            43 => Step::Watch { keys: self.watched() },
            44..47 => LOOK,
            39..43 => self.operation_that_may_fail(),
            _ => self.large_step(),
        };
        self.steps.push(step);
    }

    /// What the store holds in the end, forwards and backwards; then the queue is emptied.
    fn finish(&mut self) {
        let all = |reverse| List { prefix: Some(Vec::new()), reverse, ..List::default() };
        self.steps.push(Step::Pass);
        self.steps.push(LOOK);
        self.steps.push(Step::List(all(false)));
        self.steps.push(Step::List(all(true)));
        self.steps.push(Step::Deliver);
        let dead = Some(vec![Tagged::text(pool::DEAD)]);
        self.steps.push(Step::List(List { prefix: dead, unordered: true, ..List::default() }));
    }

    /// A key of any pool; once in a while the empty one.
    fn any_key(&self) -> Parts {
        match self.below(16) {
            0..7 => self.pick(&self.keys).clone(),
            7..10 => self.numbered(pool::COUNTERS),
            10..13 => self.numbered(pool::EXPIRING),
            13 => self.numbered(pool::FLOATS),
            14 => self.numbered(pool::BIGINTS),
            _ if self.one_in(4) => Vec::new(),
            _ => self.pick(&self.keys).clone(),
        }
    }

    /// A few keys, seldom none, seldom as many as may be watched or one more.
    fn watched(&self) -> Vec<Parts> {
        let keys = if self.one_in(6) { *self.pick(&[0, 10, 11]) } else { 1 + self.below(4) };
        (0..keys).map(|_| self.any_key()).collect()
    }

    fn numbered(&self, pool: &str) -> Parts {
        vec![Tagged::text(pool), Tagged::bigint(self.below(3))]
    }

    /// A key, and a value that its pool allows.
    fn binding(&self) -> (Parts, Tagged) {
        match self.below(8) {
            0 => (self.numbered(pool::COUNTERS), pool::u64(&self.dice)),
            1 => (self.numbered(pool::FLOATS), pool::number(&self.dice)),
            2 => (self.numbered(pool::BIGINTS), pool::bigint(&self.dice)),
            3 => (self.numbered(pool::EXPIRING), pool::u64(&self.dice)),
            _ if self.one_in(40) => (Vec::new(), Tagged::Null),
            _ => (self.pick(&self.keys).clone(), pool::value(&self.dice)),
        }
    }

    /// Mostly never; otherwise soon, or long after the history.
    fn expiry(&self) -> Option<u64> {
        match self.below(12) {
            0..2 => Some(20 + self.dice.below(30)),
            2 => Some(3_600_000),
            3 if self.one_in(6) => Some(9_007_199_254_740_991),
            _ => None,
        }
    }

    fn atomic(&mut self) -> Step {
        let checks = (0..self.below(4)).map(|_| self.check()).collect();
        let mutations = (0..self.below(6)).map(|_| self.mutation()).collect();
        Step::Atomic { checks, mutations }
    }

    fn check(&self) -> Check {
        let key = self.any_key();
        let earlier = self.below(self.steps.len().max(1));
        let stamp = match self.below(24) {
            0..15 => Some(Stamp::Now { now: key.clone() }),
            15..17 => Some(Stamp::Step { step: earlier }),
            17..19 => Some(Stamp::Entry { step: earlier, entry: self.below(3) }),
            19 if self.one_in(2) => {
                Some(Stamp::Text { text: (*self.pick(&pool::STAMPS)).to_owned() })
            }
            _ => None,
        };
        let is_made = !self.steps.is_empty();
        Check { key, stamp: stamp.filter(|_| is_made) }
    }

    /// One that does not fail on account of what the store holds.
    fn mutation(&mut self) -> Mutation {
        match self.below(20) {
            0..6 => {
                let (key, value) = self.binding();
                Mutation::Set { key, value, expire_in: self.expiry() }
            }
            6..9 => Mutation::Delete { key: self.any_key() },
            9..12 => self.count(pool::COUNTERS),
            12..14 => self.count(pool::EXPIRING),
            14 => {
                Mutation::Sum { key: self.numbered(pool::FLOATS), value: pool::number(&self.dice) }
            }
            15..17 => {
                Mutation::Sum { key: self.numbered(pool::BIGINTS), value: pool::bigint(&self.dice) }
            }
            17..19 => Mutation::SetVersionstamped {
                key: self.pick(&pool::log_prefixes()).clone(),
                value: pool::value(&self.dice),
                expire_in: self.expiry(),
            },
            _ => Mutation::Enqueue(self.message()),
        }
    }

    fn count(&self, pool: &str) -> Mutation {
        let (key, value) = (self.numbered(pool), pool::u64(&self.dice));
        match self.below(4) {
            0 => Mutation::Min { key, value },
            1 => Mutation::Max { key, value },
            _ => Mutation::Sum { key, value },
        }
    }

    /// Its first mutation fails unless the key holds what it asks for.
    fn operation_that_may_fail(&mut self) -> Step {
        let Step::Atomic { checks, mut mutations } = self.atomic() else { unreachable!() };
        let (key, value) = (self.pick(&self.keys).clone(), pool::operand(&self.dice));
        let doubtful = match self.below(4) {
            0 => Mutation::Min { key, value },
            1 => Mutation::Max { key, value },
            _ => Mutation::Sum { key, value },
        };
        mutations.insert(0, doubtful);
        Step::Atomic { checks, mutations }
    }

    fn message(&mut self) -> Message {
        self.messages += 1;
        let fails = if self.one_in(2) { 0 } else { self.below(4) };
        let backoff = match self.below(8) {
            0 if fails < 2 => None,
            0..4 => Some(Vec::new()),
            _ => Some((0..self.below(3)).map(|_| self.dice.below(6)).collect()),
        };
        let dead = |index: usize| {
            vec![Tagged::text(pool::DEAD), Tagged::bigint(self.messages), Tagged::bigint(index)]
        };
        Message {
            value: pool::payload(&self.dice, self.messages),
            delay: [None, Some(0), Some(5)][self.below(3)],
            backoff,
            keys: (0..self.below(3)).map(dead).collect(),
            fails,
        }
    }

    fn list(&self) -> List {
        let mut list = List { reverse: self.one_in(3), ..List::default() };
        self.select(&mut list);
        let rare = self.one_in(30);
        if self.one_in(2) {
            list.limit = Some(if rare { 0 } else { 1 + self.below(5) });
        }
        if self.one_in(4) {
            let rare = *self.pick(&[0, 1_000, 1_001]);
            list.batch_size = Some(if self.one_in(6) { rare } else { 1 + self.below(4) });
        }
        if self.one_in(4) {
            list.take = Some(self.below(4));
        }
        if self.one_in(4) {
            list.consistency = Some((*self.pick(&["strong", "eventual"])).to_owned());
        }
        if self.one_in(3) {
            self.go_on(&mut list);
        }
        Maker::avoid_differences(&mut list);
        list
    }

    /// Keeps clear of what differs because Rust is not JavaScript, and of what Deno does wrong.
    fn avoid_differences(list: &mut List) {
        // Behind its first key, if all keys of the range begin with that, a list of Deno has no
        // cursor; see [`super::defects`].
        if let (Some(start), Some(end)) = (&list.start, &list.end) {
            let (start, end) = (key_of(start), key_of(end));
            if start != end && end.encoded().starts_with(start.encoded()) {
                (list.prefix, list.start, list.end) = (Some(Vec::new()), None, None);
            }
        }
        // Deno looks at limit and batch size before anything else, and at the selector when the
        // first entry is asked for; Icecore at the selector first.
        let is_empty = list.limit == Some(0) || list.batch_size == Some(0);
        if is_empty || list.take == Some(0) {
            (list.prefix, list.start, list.end) = (Some(Vec::new()), None, None);
        }
        if is_empty && list.take == Some(0) {
            list.take = None;
        }
    }

    fn select(&self, list: &mut List) {
        let bound = || self.pick(&self.keys).clone();
        let prefix = self.pick(&pool::prefixes()).clone();
        let within = |last: usize| [&prefix[..], &[pool::part(&self.dice, last)]].concat();
        match self.below(24) {
            0..10 => list.prefix = Some(prefix),
            10..12 => (list.start, list.prefix) = (Some(within(self.below(8))), Some(prefix)),
            12..14 => (list.end, list.prefix) = (Some(within(self.below(8))), Some(prefix)),
            14..20 => {
                let (one, other) = (bound(), bound());
                // In this order more often than not.
                let is_ordered = key_of(&one) <= key_of(&other);
                let swap = !is_ordered && !self.one_in(6);
                let (start, end) = if swap { (other, one) } else { (one, other) };
                (list.start, list.end) = (Some(start), Some(end));
            }
            20 => (list.start, list.prefix) = (Some(bound()), Some(prefix)),
            21 => (list.end, list.prefix) = (Some(bound()), Some(prefix)),
            22 => {
                (list.start, list.end, list.prefix) = (Some(bound()), Some(bound()), Some(prefix));
            }
            _ => list.start = self.one_in(2).then(bound),
        }
    }

    /// Where an earlier list has ended: mostly the last one, with what it selects.
    fn go_on(&self, list: &mut List) {
        let is_list = |(index, step): (usize, &Step)| match step {
            Step::List(list) => Some((index, list.clone())),
            _ => None,
        };
        let lists: Vec<(usize, List)> = self.steps.iter().enumerate().filter_map(is_list).collect();
        match lists.last() {
            Some((step, last)) if !self.one_in(4) => {
                let (prefix, start, end) =
                    (last.prefix.clone(), last.start.clone(), last.end.clone());
                (list.prefix, list.start, list.end) = (prefix, start, end);
                list.cursor = Some(Cursor::Step { step: *step });
            }
            Some(_) if self.one_in(2) => {
                let (step, _) = self.pick(&lists);
                list.cursor = Some(Cursor::Step { step: *step });
            }
            _ => list.cursor = Some(Cursor::Text { text: (*self.pick(&pool::CURSORS)).to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_one_history() {
        assert_eq!(history(7), history(7));
        assert_ne!(history(7).steps, history(8).steps);
    }

    #[test]
    fn a_hundred_histories_hold_everything_that_can_be_asked_for() {
        let histories: Vec<History> = (1..=100).map(history).collect();
        let text = serde_json::to_string(&histories).unwrap();
        let steps = "get getMany set delete atomic enqueue list watch look pass deliver";
        for name in steps.split(' ') {
            assert!(text.contains(&format!("\"do\":\"{name}\"")), "no step {name}");
        }
        for name in "set setVersionstamped delete sum min max enqueue".split(' ') {
            assert!(text.contains(&format!("\"kind\":\"{name}\"")), "no mutation {name}");
        }
        let members = "expireIn now entry text prefix start end limit batchSize consistency \
                       cursor take delay backoff keys unordered";
        for name in members.split_whitespace() {
            assert!(text.contains(&format!("\"{name}\":")), "no {name}");
        }
        let values = "undefined null bool number bigint string u64 bytes date regexp map set \
                      array object";
        for name in values.split_whitespace() {
            assert!(text.contains(&format!("\"value\":{{\"t\":\"{name}\"")), "no value {name}");
        }
        let read: Vec<History> = serde_json::from_str(&text).unwrap();
        assert_eq!(read, histories);
    }
}
