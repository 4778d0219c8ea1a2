//! Loads: batches of a thousand keys, one after the other.

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan, drive};
use crate::compare::figure::Figure;
use crate::compare::key::Key;
use crate::compare::model::Model;
use crate::compare::process::now;
use crate::compare::random::Random;
use crate::compare::stages::Bench;
use crate::compare::store::{Change, Durability, Store};
use crate::compare::value::{self, VALUE_BYTES};

/// The keys of a batch.
const BATCH: usize = 1000;

/// A batch of larger values has fewer keys.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The content of every key after a load.
pub(super) const LOADED: u64 = 1;

/// The number of the `place`th loaded key. The odd numbers between are missing keys.
pub(super) fn number(place: u64) -> u64 {
    place * 2
}

/// Loads all places of `order` and ends with a sync; the time of the sync counts.
///
/// # Errors
/// Those of the store.
pub(super) fn load(
    store: &dyn Store,
    model: &Model,
    order: &[u64],
    bytes: usize,
) -> Result<Measure> {
    let size = BATCH.min(BATCH_BYTES_MAX / bytes);
    load_in(store, model, order, bytes, size)
}

/// The same in batches of so many keys.
///
/// # Errors
/// As [`load`].
pub(super) fn load_in(
    store: &dyn Store,
    model: &Model,
    order: &[u64],
    bytes: usize,
    size: usize,
) -> Result<Measure> {
    let plan =
        Plan { steps_max: order.len().div_ceil(size) as u64, ..Plan::lasting(f64::from(u32::MAX)) };
    let mut measure = drive(plan, |_| {
        let mut batches = order.chunks(size);
        let mut sets = vec![(Key::of(0), Vec::new()); size];
        move || {
            let batch = batches.next().ok_or("there are more steps than batches")?;
            for (set, place) in sets.iter_mut().zip(batch) {
                set.0 = Key::of(number(*place));
                value::write(&mut set.1, &set.0, LOADED, bytes);
            }
            while !store.commit(Change::setting(&sets[..batch.len()]))? {}
            batch.iter().for_each(|place| model.set(number(*place), LOADED));
            Ok(batch.len() as u64)
        }
    })?;
    let synced = now();
    store.sync()?;
    measure.lengthen(synced.elapsed());
    Ok(measure)
}

/// The loads that nobody reads afterwards.
///
/// # Errors
/// None: each row fails by itself.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    let keys = bench.task.keys;
    let sequential: Vec<u64> = (0..keys).collect();
    let shuffled = Random::new(bench.seed("L-durable")).shuffled(keys);
    for (row, durability, order) in
        [("L-seq", Durability::Buffered, sequential), ("L-durable", Durability::Durable, shuffled)]
    {
        bench.row(row, |bench| {
            let store = bench.open(durability)?;
            let model = Model::empty(number(keys));
            let measure = load(&*store, &model, &order, VALUE_BYTES)?;
            model.compare(&*store)?;
            store.close()?;
            Ok(Figure::of(&measure))
        });
    }
    Ok(())
}
