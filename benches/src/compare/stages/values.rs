//! Larger values: a load in random order, and point reads that touch all of a value.

use crate::compare::Result;
use crate::compare::figure::Figure;
use crate::compare::key::KEY_BYTES;
use crate::compare::model::Model;
use crate::compare::random::Random;
use crate::compare::stages::Bench;
use crate::compare::stages::load::{load, number};
use crate::compare::stages::reads::{self, Choice};
use crate::compare::store::Durability;

/// The rows of one length.
struct Rows {
    load: &'static str,
    read: &'static str,
    bytes: usize,
    /// One key for so many of other stages.
    share: u64,
}

/// Values of 1 KiB and of 16 KiB.
///
/// # Errors
/// When a store cannot be loaded, or does not hold what it must.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    for rows in [
        Rows { load: "V1K-load", read: "V1K-read", bytes: 1 << 10, share: 4 },
        Rows { load: "V16K-load", read: "V16K-read", bytes: 16 << 10, share: 32 },
    ] {
        if bench.wants(rows.load) || bench.wants(rows.read) {
            run_rows(bench, &rows)?;
        }
    }
    Ok(())
}

fn run_rows(bench: &mut Bench<'_>, rows: &Rows) -> Result<()> {
    let keys = (bench.task.keys / rows.share).max(1);
    let model = Model::empty(number(keys));
    let order = Random::new(bench.seed(rows.load)).shuffled(keys);
    let store = bench.open(Durability::Buffered)?;
    let loaded = load(&*store, &model, &order, rows.bytes)?;
    let mut figure = Figure::of(&loaded);
    figure.value *= (rows.bytes + KEY_BYTES) as f64 / 1e6;
    bench.tell(rows.load, figure);
    store.settle()?;
    let seed = bench.seed(rows.read);
    bench.row(rows.read, |bench| {
        let choice = Choice::Uniform(keys);
        Ok(Figure::of(&reads::gets(&*store, 1, bench.task.seconds, seed, choice)?))
    });
    model.compare(&*store)?;
    store.close()
}
