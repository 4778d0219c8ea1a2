//! B2 and B5: random histories, and some of them twice.

use std::time::Duration;

use icecore_sim::minimise::minimise;
use icecore_sim::run_seed;

use super::Arguments;
use super::pool::Pool;
use crate::report::{Ending, Run, grouped};
use crate::search::Search;

/// So long a history that fails is made smaller.
const MINIMISE: Duration = Duration::from_secs(30);

/// Histories without a number or a time on the command line.
const SEEDS: u64 = 1_000;

pub(super) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin_at(arguments.start);
    let unbounded = if arguments.budget.is_bounded() { u64::MAX } else { SEEDS };
    let Arguments { threads, keep_going, .. } = *arguments;
    let seeds = arguments.seeds.unwrap_or(unbounded);
    let search = Search { start: run.seed(), seeds, threads, keep_going, verbose: true, bug: None };
    let found = search.run(&|| run.is_over());
    println!("{}", found.totals);
    if let Some((seed, _)) = found.failures.first() {
        tell_smaller(&run, *seed);
    }
    let recoveries = found.totals.recoveries;
    let core_seconds = run.elapsed().as_secs_f64() * threads.max(1) as f64;
    let counts = format!(
        "{} seeds, {} recoveries, {:.0} a second on each of {threads} cores",
        grouped(found.totals.seeds),
        grouped(recoveries),
        recoveries as f64 / core_seconds.max(0.001),
    );
    let ending = Ending::of(found.totals.seeds, found.failures.is_empty());
    run.conclude("B2", "sim", &counts, &ending)
}

/// Prints the command for the smallest part of a failing history that is found in a short time.
fn tell_smaller(run: &Run, seed: u64) {
    let until = run.elapsed() + MINIMISE;
    let part = minimise(seed, None, &|| run.elapsed() >= until);
    println!("smaller:\n  cargo xtask sim --seed {seed}{part}");
}

pub(super) fn run_twice(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin_at(arguments.start);
    let seeds: Vec<u64> = (0..arguments.twice.unwrap_or(SEEDS)).collect();
    let (threads, keep_going) = (arguments.threads, arguments.keep_going);
    let done =
        Pool { run: &run, threads, keep_going, rounds: 1 }.work(&seeds, |number, _, first| {
            let seed = first.wrapping_add(*number);
            let (one, other) = (run_seed(seed, None, false), run_seed(seed, None, false));
            if one.trace_hash == other.trace_hash && one.totals == other.totals {
                return Ok(one.totals);
            }
            let hashes = format!("{:016x}, then {:016x}", one.trace_hash, other.trace_hash);
            Err(format!("seed {seed}: {hashes}\n  cargo xtask sim --seed {seed} --trace"))
        });
    let counts = format!("{} seeds twice, equal traces", grouped(done.items));
    let ending = Ending::of(done.items, done.failures == 0);
    run.conclude("B5", "sim", &counts, &ending)
}
