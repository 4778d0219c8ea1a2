//! Commits of one value, each thread on keys of its own.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_lite::future::block_on;

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan, drive};
use crate::compare::key::Key;
use crate::compare::model::Model;
use crate::compare::random::Random;
use crate::compare::store::{Change, Pending, Store};
use crate::compare::value;

/// Random keys of one thread, and contents that count upwards.
struct Sets<'a> {
    model: &'a Model,
    random: Random,
    thread: u64,
    threads: u64,
    count: u64,
    sets: [(Key, Vec<u8>); 1],
    bytes: usize,
}

impl<'a> Sets<'a> {
    fn new(model: &'a Model, seed: u64, thread: usize, threads: usize, bytes: usize) -> Sets<'a> {
        Sets {
            model,
            random: Random::stream(seed, thread as u64),
            thread: thread as u64,
            threads: threads as u64,
            count: 0,
            sets: [(Key::of(0), Vec::new())],
            bytes,
        }
    }

    fn next(&mut self) -> &[(Key, Vec<u8>)] {
        let own = self.random.below(self.model.keys() / self.threads);
        self.count += 1;
        let [(key, value)] = &mut self.sets;
        *key = Key::of(own * self.threads + self.thread);
        value::write(value, key, self.count, self.bytes);
        &self.sets
    }

    /// The last set is on its way to the store.
    fn note(&self) {
        self.model.set(self.sets[0].0.number(), self.count);
    }
}

/// Threads that commit and wait.
///
/// # Errors
/// Those of the store.
pub(super) fn waiting(
    store: &dyn Store,
    model: &Model,
    plan: Plan,
    seed: u64,
    bytes: usize,
) -> Result<Measure> {
    drive(plan, |thread| {
        let mut sets = Sets::new(model, seed, thread, plan.threads, bytes);
        move || {
            // Only a conflict that the store sees and nobody else can end in another try.
            while !store.commit(Change::setting(sets.next()))? {}
            sets.note();
            Ok(1)
        }
    })
}

/// One thread that keeps `depth` commits under way. `None` if the store has no such form.
///
/// # Errors
/// Those of the store.
pub(super) fn pending(
    store: &dyn Store,
    model: &Model,
    seconds: f64,
    seed: u64,
    depth: usize,
    bytes: usize,
) -> Result<Option<Measure>> {
    let Some(first) = store.submit(&[]) else { return Ok(None) };
    block_on(first)?;
    let under_way: Mutex<VecDeque<Pending>> = Mutex::default();
    let plan = Plan::lasting(seconds);
    let mut measure = drive(plan, |_| {
        let mut sets = Sets::new(model, seed, 0, 1, bytes);
        let under_way = &under_way;
        move || {
            let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
            while under_way.len() < depth {
                under_way.extend(store.submit(sets.next()));
                sets.note();
            }
            let oldest = under_way.pop_front().ok_or("nothing is under way")?;
            confirm(block_on(oldest)?)
        }
    })?;
    for rest in under_way.into_inner().unwrap_or_else(PoisonError::into_inner) {
        confirm(block_on(rest)?)?;
    }
    // The time from one answer to the next is not the time of a commit.
    measure.latency.reset();
    Ok(Some(measure))
}

fn confirm(committed: bool) -> Result<u64> {
    if committed { Ok(1) } else { Err("a commit without checks has failed them".into()) }
}
