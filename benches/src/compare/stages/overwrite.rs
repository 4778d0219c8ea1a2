//! Overwrites of what was loaded: every key up to five times, in random order, in batches of a
//! hundred. A store that cannot keep up with its own garbage stalls here.

use crate::compare::Result;
use crate::compare::drive::{Plan, drive};
use crate::compare::figure::Figure;
use crate::compare::key::Key;
use crate::compare::model::Model;
use crate::compare::random::Random;
use crate::compare::stages::Bench;
use crate::compare::stages::load::{LOADED, number};
use crate::compare::store::{Change, Store};
use crate::compare::value::{self, VALUE_BYTES};

/// Keys of a batch.
const BATCH: usize = 100;

/// How often every key is overwritten, if there is time.
const PASSES: u64 = 5;

/// A row of this stage takes so many times as long as others: stalls come late.
const PATIENCE: f64 = 8.0;

/// The percentile that is a row of its own.
const TAIL: f64 = 99.9;

/// The three rows.
///
/// # Errors
/// Those of the store.
pub(super) fn run(bench: &mut Bench<'_>, store: &dyn Store, model: &Model) -> Result<()> {
    if !["O", "O-worst", "O-p99.9"].into_iter().any(|row| bench.wants(row)) {
        return Ok(());
    }
    let keys = bench.task.keys;
    let order = Random::new(bench.seed("O")).shuffled(keys);
    let batches = order.len().div_ceil(BATCH) as u64;
    let plan = Plan { steps_max: batches * PASSES, ..Plan::lasting(bench.task.seconds * PATIENCE) };
    let measure = drive(plan, |_| {
        let mut chunks = order.chunks(BATCH).cycle();
        let (mut step, mut sets) = (0, vec![(Key::of(0), Vec::new()); BATCH]);
        move || {
            let content = LOADED + 1 + step / batches;
            step += 1;
            let chunk = chunks.next().ok_or("there are no keys")?;
            for (set, place) in sets.iter_mut().zip(chunk) {
                set.0 = Key::of(number(*place));
                value::write(&mut set.1, &set.0, content, VALUE_BYTES);
            }
            while !store.commit(Change::setting(&sets[..chunk.len()]))? {}
            chunk.iter().for_each(|place| model.set(number(*place), content));
            Ok(chunk.len() as u64)
        }
    })?;
    bench.tell("O", Figure::of(&measure));
    bench.tell(
        "O-worst",
        measure.worst_second().map_or_else(
            || Figure::skipped("the row has lasted less than a second"),
            Figure::number,
        ),
    );
    let tail = measure.latency.value_at_percentile(TAIL) as f64 / 1e6;
    bench.tell("O-p99.9", Figure::number(tail));
    Ok(())
}
