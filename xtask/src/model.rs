//! `cargo xtask model`: a million keys through thousands of flushes and compactions, against a model.
//!
//! Every key is written, then, round by round, most are overwritten or deleted in random order,
//! and ranges of them deleted. Every few rounds the store is compared in whole, forward, backward and
//! key by key; at last it is compacted, closed, reopened and compared again.

use clap::Args;
use icecore_engine::Engine;

#[path = "../../engine/tests/it/million.rs"]
mod million;

use million::{Failure, History, options};

use crate::report::{Budget, Ending, Run, grouped};

/// How often the store is compared, in rounds.
const COMPARED_EVERY: u32 = 4;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// How many keys.
    #[arg(long, default_value_t = 1_000_000)]
    keys: usize,
    /// How often three quarters of them are overwritten or deleted.
    #[arg(long, default_value_t = 24)]
    rounds: u32,
}

/// What was done.
#[derive(Default)]
struct Done {
    rounds: u32,
    commits: u64,
    flushes: u64,
    compactions: u64,
}

/// Says whether the store was equal to the model.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let mut done = Done::default();
    let ending = match churn(arguments, &run, &mut done) {
        Ok(()) => Ending::of(done.commits, true),
        Err(failure) => {
            println!(
                "{failure}\n  cargo xtask model --keys {} --seed {}",
                arguments.keys,
                run.seed()
            );
            Ending::Violated
        }
    };
    let counts = format!(
        "{} keys, {} rounds, {} commits, {} flushes, {} compactions",
        grouped(arguments.keys as u64),
        done.rounds,
        grouped(done.commits),
        grouped(done.flushes),
        grouped(done.compactions),
    );
    run.conclude("B7", "model", &counts, &ending)
}

fn churn(arguments: &Arguments, run: &Run, done: &mut Done) -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open_path(directory.path(), options())?;
    let mut history = History::new(run.seed(), arguments.keys);
    history.fill(&engine)?;
    while done.rounds < arguments.rounds && !run.is_over() {
        done.rounds += 1;
        // The first round of values is that of the filling.
        history.churn(&engine, done.rounds + 1)?;
        if done.rounds.is_multiple_of(COMPARED_EVERY) {
            history.compare(&engine)?;
        }
        let stats = engine.stats()?;
        (done.commits, done.flushes, done.compactions) =
            (stats.commits, stats.flushes, stats.compactions);
    }
    history.compare(&engine)?;
    engine.compact()?;
    history.compare(&engine)?;
    engine.close()?;
    let engine = Engine::open_path(directory.path(), options())?;
    history.compare(&engine)
}
