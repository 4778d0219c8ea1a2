//! One load in random order, and all that is done with what it loaded: reads right after it,
//! settling, reads, YCSB, overwrites. One store for all of it.

use crate::compare::Result;
use crate::compare::figure::Figure;
use crate::compare::key::KEY_BYTES;
use crate::compare::model::Model;
use crate::compare::process;
use crate::compare::random::Random;
use crate::compare::stages::load::{load, number};
use crate::compare::stages::reads::{self, Choice};
use crate::compare::stages::{Bench, overwrite, ycsb};
use crate::compare::store::{Durability, Store};
use crate::compare::value::VALUE_BYTES;
use crate::compare::zipf::Zipf;

/// All rows of this stage.
///
/// # Errors
/// When the store cannot be loaded, or does not hold what it must.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    let keys = bench.task.keys;
    let model = Model::empty(number(keys));
    let order = Random::new(bench.seed("L")).shuffled(keys);
    let (written, memory) = (process::bytes_written(), process::own_memory());
    let store = bench.open(Durability::Buffered)?;
    let loaded = load(&*store, &model, &order, VALUE_BYTES)?;
    drop(order);
    bench.tell("L", Figure::of(&loaded));
    let seed = bench.seed("G-fresh");
    bench.row("G-fresh", |bench| {
        let choice = Choice::Uniform(keys);
        Ok(Figure::of(&reads::gets(&*store, 1, bench.task.seconds, seed, choice)?))
    });
    store.settle()?;
    let data = (keys * (KEY_BYTES + VALUE_BYTES) as u64) as f64;
    let written = process::bytes_written() - written;
    bench.tell("written", Figure::number(written as f64 / data));
    let space = process::space(&bench.directory())?;
    bench.tell("space", Figure::number(space as f64 / data));
    let memory = process::peak_memory().saturating_sub(memory);
    bench.tell("memory", Figure::number(memory as f64 / f64::from(1 << 20)));
    model.compare(&*store)?;
    reads(bench, &*store);
    ycsb::run(bench, &*store, &model)?;
    overwrite::run(bench, &*store, &model)?;
    model.compare(&*store)?;
    store.close()
}

/// Rows that change nothing.
fn reads(bench: &mut Bench<'_>, store: &dyn Store) {
    let (keys, seconds) = (bench.task.keys, bench.task.seconds);
    let zipf = Zipf::new(keys);
    bench.row("G", |bench| {
        let seed = bench.seed("G");
        Ok(Figure::of(&reads::gets(store, 1, seconds, seed, Choice::Uniform(keys))?))
    });
    bench.row("G-zipf", |bench| {
        let seed = bench.seed("G-zipf");
        Ok(Figure::of(&reads::gets(store, 2, seconds, seed, Choice::Zipfian(&zipf))?))
    });
    bench
        .row("G10", |bench| Ok(Figure::of(&reads::many(store, seconds, bench.seed("G10"), keys)?)));
    bench.row("M", |bench| Ok(Figure::of(&reads::missing(store, seconds, bench.seed("M"), keys)?)));
    for (row, reverse) in [("S", false), ("S-rev", true)] {
        bench.row(row, |_| Ok(Figure::of(&reads::scans(store, seconds, keys, reverse)?)));
    }
    for (row, reverse) in [("R", false), ("R-rev", true)] {
        bench.row(row, |bench| {
            Ok(Figure::of(&reads::lists(store, seconds, bench.seed(row), keys, reverse)?))
        });
    }
}
