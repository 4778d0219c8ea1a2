//! Commits of one value and transfers, durable and buffered. Each row has a store of its own.

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan};
use crate::compare::figure::Figure;
use crate::compare::model::Model;
use crate::compare::stages::{Bench, commits, transfers};
use crate::compare::store::{Durability, Store};
use crate::compare::value::VALUE_BYTES;

/// So many commits are under way in the asynchronous row.
const DEPTH: usize = 64;

/// The durable rows.
///
/// # Errors
/// None: each row fails by itself.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    for (row, threads, bytes) in [
        ("D1", 1, VALUE_BYTES),
        ("D1-16K", 1, 16 << 10),
        ("D8", 8, VALUE_BYTES),
        ("D64", 64, VALUE_BYTES),
    ] {
        commits_row(bench, row, Durability::Durable, threads, bytes);
    }
    bench.row("D64-async", |bench| {
        let (seconds, seed) = (bench.task.seconds, bench.seed("D64-async"));
        let store = bench.open(Durability::Durable)?;
        let model = Model::empty(bench.task.keys);
        let measure = commits::pending(&*store, &model, seconds, seed, DEPTH, VALUE_BYTES)?;
        model.compare(&*store)?;
        store.close()?;
        Ok(measure.map_or_else(
            || Figure::skipped("commits can only be waited for"),
            |measure| Figure::of(&measure),
        ))
    });
    transfers_row(bench, "T8d", Durability::Durable);
    Ok(())
}

/// The buffered rows.
///
/// # Errors
/// As [`run`].
pub(super) fn run_buffered(bench: &mut Bench<'_>) -> Result<()> {
    for (row, threads) in [("B1", 1), ("B2", 2)] {
        commits_row(bench, row, Durability::Buffered, threads, VALUE_BYTES);
    }
    transfers_row(bench, "T8b", Durability::Buffered);
    Ok(())
}

fn commits_row(
    bench: &mut Bench<'_>,
    row: &str,
    durability: Durability,
    threads: usize,
    bytes: usize,
) {
    let seed = bench.seed(row);
    stored_row(bench, row, durability, |store, seconds, keys| {
        let model = Model::empty(keys);
        let plan = Plan { threads, ..Plan::lasting(seconds) };
        let measure = commits::waiting(store, &model, plan, seed, bytes)?;
        model.compare(store)?;
        Ok(measure)
    });
}

fn transfers_row(bench: &mut Bench<'_>, row: &str, durability: Durability) {
    let seed = bench.seed(row);
    stored_row(bench, row, durability, |store, seconds, _| {
        transfers::run(store, Plan { threads: 8, ..Plan::lasting(seconds) }, seed)
    });
}

/// A row on an empty store that is closed afterwards.
fn stored_row(
    bench: &mut Bench<'_>,
    row: &str,
    durability: Durability,
    measure: impl FnOnce(&dyn Store, f64, u64) -> Result<Measure>,
) {
    bench.row(row, |bench| {
        let store = bench.open(durability)?;
        let measure = measure(&*store, bench.task.seconds, bench.task.keys)?;
        store.close()?;
        Ok(Figure::of(&measure))
    });
}
