//! YCSB A to F (Cooper et al., "Benchmarking cloud serving systems with YCSB", 2010) on what was
//! loaded, with two threads and buffered commits.
//!
//! Blind updates of two threads leave contents that nobody knows: for them the comparison with the
//! [`Model`] is that of keys, order and every value by itself. F counts: each of its
//! read-modify-writes adds one to the content of a key, by a check of its stamp, and the sum of all
//! contents must have grown by their number.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan, SAMPLED, drive};
use crate::compare::figure::Figure;
use crate::compare::key::Key;
use crate::compare::model::Model;
use crate::compare::random::Random;
use crate::compare::stages::Bench;
use crate::compare::stages::load::{LOADED, number};
use crate::compare::stages::reads::{Choice, read};
use crate::compare::store::{Change, Store};
use crate::compare::value::{self, VALUE_BYTES};
use crate::compare::zipf::Zipf;

/// As many as the machine of the reference figures has cores.
const THREADS: usize = 2;

/// The longest list of E.
const LISTED_MAX: u64 = 100;

/// Inserts go on in steps of this prime, so that they are spread over all keys.
const INSERT_STEP: u64 = 1_000_003;

/// What the workloads share.
struct Mix<'a> {
    store: &'a dyn Store,
    model: &'a Model,
    keys: u64,
    zipf: Zipf,
    /// So many inserts each thread has made. Nobody else writes its number.
    inserted: [AtomicU64; THREADS],
}

/// One thread at its work.
struct Actor<'a, 'm> {
    mix: &'m Mix<'a>,
    random: Random,
    thread: usize,
}

/// All workloads that are wanted, in the order that YCSB proposes, with those that insert last.
///
/// # Errors
/// When the store does not hold what it must.
pub(super) fn run(bench: &mut Bench<'_>, store: &dyn Store, model: &Model) -> Result<()> {
    let keys = bench.task.keys;
    let mix = Mix { store, model, keys, zipf: Zipf::new(keys), inserted: Default::default() };
    row(bench, "Y-C", &mix, |actor| actor.read());
    row(bench, "Y-B", &mix, |actor| if actor.once_in(20) { actor.update() } else { actor.read() });
    row(bench, "Y-A", &mix, |actor| if actor.once_in(2) { actor.update() } else { actor.read() });
    if bench.wants("Y-F") {
        let (before, modified) = (model.compare(store)?, AtomicU64::new(0));
        row(bench, "Y-F", &mix, |actor| {
            if actor.once_in(2) { actor.modify(&modified) } else { actor.read() }
        });
        let (after, modified) = (model.compare(store)?, modified.into_inner());
        let grown = after.wrapping_sub(before);
        if grown != modified {
            return Err(format!("{modified} modifications have added {grown}").into());
        }
    }
    row(
        bench,
        "Y-D",
        &mix,
        |actor| {
            if actor.once_in(20) { actor.insert() } else { actor.read_latest() }
        },
    );
    row(bench, "Y-E", &mix, |actor| if actor.once_in(20) { actor.insert() } else { actor.list() });
    Ok(())
}

/// Threads that repeat `operation`.
fn row(
    bench: &mut Bench<'_>,
    row: &str,
    mix: &Mix<'_>,
    operation: impl Fn(&mut Actor<'_, '_>) -> Result<()> + Sync,
) {
    bench.row(row, |bench| {
        let plan = Plan { threads: THREADS, stride: SAMPLED, ..Plan::lasting(bench.task.seconds) };
        let seed = bench.seed(row);
        let measure: Measure = drive(plan, |thread| {
            let mut actor = Actor { mix, random: Random::stream(seed, thread as u64), thread };
            let operation = &operation;
            move || {
                operation(&mut actor)?;
                Ok(1)
            }
        })?;
        Ok(Figure::of(&measure))
    });
}

impl Actor<'_, '_> {
    fn once_in(&mut self, times: u64) -> bool {
        self.random.below(times) == 0
    }

    /// A popular key.
    fn chosen(&mut self) -> u64 {
        number(Choice::Zipfian(&self.mix.zipf).next(&mut self.random))
    }

    fn read(&mut self) -> Result<()> {
        read(self.mix.store, self.chosen())
    }

    fn update(&mut self) -> Result<()> {
        let number = self.chosen();
        self.mix.model.forget(number);
        let sets = [entry(number, self.random.below(1 << 32))];
        while !self.mix.store.commit(Change::setting(&sets))? {}
        Ok(())
    }

    fn modify(&mut self, modified: &AtomicU64) -> Result<()> {
        let number = self.chosen();
        self.mix.model.forget(number);
        let key = Key::of(number);
        loop {
            let mut read = None;
            self.mix.store.get(&key, &mut |_, stamp, value| {
                read = Some((stamp, value::content(number, value)?));
                Ok(())
            })?;
            let (stamp, content) = read.ok_or_else(|| format!("key {number} is missing"))?;
            let (checks, sets) = ([(key, Some(stamp))], [entry(number, content + 1)]);
            if self.mix.store.commit(Change { checks: &checks, sets: &sets, deletes: &[] })? {
                modified.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// The key of an insert of this thread: between two that were loaded.
    fn inserted_number(&self, place: u64) -> u64 {
        let place = place * THREADS as u64 + self.thread as u64;
        number(place.wrapping_mul(INSERT_STEP) % self.mix.keys) + 1
    }

    fn insert(&mut self) -> Result<()> {
        let place = self.mix.inserted[self.thread].load(Ordering::Relaxed);
        let number = self.inserted_number(place);
        let sets = [entry(number, LOADED)];
        while !self.mix.store.commit(Change::setting(&sets))? {}
        self.mix.model.set(number, LOADED);
        self.mix.inserted[self.thread].store(place + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Reads what this thread has inserted lately, most of all the last; before that comes what was
    /// loaded.
    fn read_latest(&mut self) -> Result<()> {
        let inserted = self.mix.inserted[self.thread].load(Ordering::Relaxed);
        let back = self.mix.zipf.rank(&mut self.random);
        let number = match inserted.checked_sub(back + 1) {
            Some(place) => self.inserted_number(place),
            None => number(self.mix.keys - 1 - (back - inserted)),
        };
        read(self.mix.store, number)
    }

    fn list(&mut self) -> Result<()> {
        let first = self.chosen();
        let limit = 1 + self.random.below(LISTED_MAX);
        let (mut next, mut count) = (first, 0_u64);
        self.mix.store.list(&Key::of(first), usize::try_from(limit)?, &mut |_, _, value| {
            let owner = value::owner(value)?;
            if owner < next {
                return Err(format!("a list goes from {next} back to {owner}").into());
            }
            (next, count) = (owner + 1, count + 1);
            Ok(())
        })?;
        let left = self.mix.keys - first / 2;
        if count < limit.min(left) {
            return Err(format!("a list of {limit} from {first} has only {count}").into());
        }
        Ok(())
    }
}

fn entry(number: u64, content: u64) -> (Key, Vec<u8>) {
    let (key, mut value) = (Key::of(number), Vec::new());
    value::write(&mut value, &key, content, VALUE_BYTES);
    (key, value)
}
