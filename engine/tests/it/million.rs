//! Many keys in random order, through many flushes and compactions, against a model.
//!
//! The history: every key once; then overwriting, deleting and deleting ranges of keys, in random
//! order. The model is one number for each key: which of its values is the present one, if any.
//! The test here runs it with few keys; `cargo xtask model` with as many as one likes.

use std::error::Error;

use icecore_disk::random::SeededRandom;
use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Durability, Engine, Item, Mutation, Options, Outcome};

/// Small memtables and tables, so that a flush and a compaction are never far.
pub(crate) fn options() -> Options {
    Options {
        memtable_bytes: 256 << 10,
        table_bytes: 1 << 20,
        level_base_bytes: 4 << 20,
        ..Options::default()
    }
}

/// What can be wrong with a store.
pub(crate) type Failure = Box<dyn Error>;

/// A store, and what it must hold.
pub(crate) struct History {
    random: SeededRandom,
    /// For each key which value it has; 0 for none.
    rounds: Vec<u32>,
}

fn key(number: usize) -> [u8; 9] {
    let mut key = [DATA; 9];
    key[1..].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

/// From 20 to 220 bytes that tell key and round.
fn value(number: usize, round: u32) -> Vec<u8> {
    let tag = (number as u64 ^ (u64::from(round) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = 20 + u8::try_from(tag % 200).expect("it is below 200");
    (0..bytes).map(|at| tag.to_le_bytes()[usize::from(at % 8)] ^ (at / 8)).collect()
}

impl History {
    /// A history of so many keys.
    pub(crate) fn new(seed: u64, keys: usize) -> History {
        History { random: SeededRandom::new(seed), rounds: vec![0; keys] }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("below a usize")
    }

    fn shuffled(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..self.rounds.len()).collect();
        for place in (1..numbers.len()).rev() {
            numbers.swap(place, self.below(place + 1));
        }
        numbers
    }

    /// Writes every key once, in random order.
    pub(crate) fn fill(&mut self, engine: &Engine) -> Result<(), Failure> {
        let mut left = &self.shuffled()[..];
        while !left.is_empty() {
            let (batch, rest) = left.split_at(left.len().min(100 + self.below(900)));
            let changes: Vec<_> = batch.iter().map(|number| (*number, Some(1))).collect();
            self.commit(engine, &changes)?;
            left = rest;
        }
        Ok(())
    }

    /// Overwrites half of the keys and deletes a quarter, in random order, and a few ranges.
    pub(crate) fn churn(&mut self, engine: &Engine, round: u32) -> Result<(), Failure> {
        let mut left = &self.shuffled()[..self.rounds.len() / 4 * 3];
        let mut batches = 0;
        while !left.is_empty() {
            let (batch, rest) = left.split_at(left.len().min(100 + self.below(900)));
            let fate = |_| (!self.random.one_in(3)).then_some(round);
            let changes: Vec<_> = batch.iter().map(|number| (*number, fate(*number))).collect();
            self.commit(engine, &changes)?;
            left = rest;
            batches += 1;
            if batches % 40 == 0 {
                self.delete_range(engine)?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, engine: &Engine, changes: &[(usize, Option<u32>)]) -> Result<(), Failure> {
        let owned = changes
            .iter()
            .map(|(number, round)| (key(*number), round.map(|round| value(*number, round))));
        let owned: Vec<_> = owned.collect();
        let mutations = owned.iter().map(|(key, value)| match value {
            Some(value) => Mutation::Set { key, value, expires_at: None },
            None => Mutation::Delete { key },
        });
        let mutations: Vec<_> = mutations.collect();
        self.send(engine, &mutations)?;
        for (number, round) in changes {
            self.rounds[*number] = round.unwrap_or(0);
        }
        Ok(())
    }

    fn delete_range(&mut self, engine: &Engine) -> Result<(), Failure> {
        let start = self.below(self.rounds.len());
        let end = (start + 1 + self.below(200)).min(self.rounds.len());
        self.send(engine, &[Mutation::DeleteRange { start: &key(start), end: &key(end) }])?;
        self.rounds[start..end].fill(0);
        Ok(())
    }

    fn send(&self, engine: &Engine, mutations: &[Mutation<'_>]) -> Result<(), Failure> {
        match engine.commit_with(Batch { checks: &[], mutations }, Durability::Buffered)? {
            Outcome::Committed(_) => Ok(()),
            Outcome::CheckFailed { .. } => Err("a check failed, but there was none".into()),
        }
    }

    /// Compares everything, forward, backward and key by key.
    pub(crate) fn compare(&self, engine: &Engine) -> Result<(), Failure> {
        let scan = || engine.scan(&[DATA], &[DATA + 1]);
        let present = || (0..self.rounds.len()).filter(|number| self.rounds[*number] != 0);
        self.compare_items(scan()?, present())?;
        self.compare_items(scan()?.rev(), present().rev())?;
        for number in (0..self.rounds.len()).step_by(17) {
            let found = engine.get(&key(number))?.map(|record| record.value.to_vec());
            let round = self.rounds[number];
            if found != (round != 0).then(|| value(number, round)) {
                return Err(format!("key {number}: {} is wrong", found.is_some()).into());
            }
        }
        let report = engine.check()?;
        if report.is_clean() { Ok(()) } else { Err(format!("{:?}", report.problems).into()) }
    }

    fn compare_items(
        &self,
        mut items: impl Iterator<Item = Result<Item, icecore_engine::Error>>,
        numbers: impl Iterator<Item = usize>,
    ) -> Result<(), Failure> {
        for number in numbers {
            let item = items.next().ok_or_else(|| format!("key {number} is missing"))??;
            if item.key() != key(number) {
                let found = item.key().escape_ascii();
                return Err(format!("instead of key {number} there is {found}").into());
            }
            if item.value != value(number, self.rounds[number]) {
                return Err(format!("key {number} has another value than the last one").into());
            }
        }
        match items.next() {
            None => Ok(()),
            Some(item) => Err(format!("beyond the last key there is {:?}", item?.key()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_keys_survive_flushes_compactions_and_reopening() {
        let directory = tempfile::tempdir().unwrap();
        // An eighth of the sizes: nearly every commit fills a memtable.
        let options = Options { memtable_bytes: 32 << 10, table_bytes: 128 << 10, ..options() };
        let options = Options { level_base_bytes: 512 << 10, ..options };
        let engine = Engine::open_path(directory.path(), options.clone()).unwrap();
        let mut history = History::new(7, 60_000);
        history.fill(&engine).unwrap();
        history.churn(&engine, 2).unwrap();
        history.compare(&engine).unwrap();
        let stats = engine.stats().unwrap();
        assert!(stats.flushes > 100 && stats.compactions > 10, "{stats:?}");
        engine.close().unwrap();
        let engine = Engine::open_path(directory.path(), options).unwrap();
        history.compare(&engine).unwrap();
    }
}
