//! `cargo xtask sim`: the store on the simulated disk.

use clap::Args;
use icecore_sim::run_seed;

use crate::search::Search;

/// What is to be simulated.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How many random histories.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Runs only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints the operations, and the calls to the disk.
    #[arg(long)]
    trace: bool,
}

/// Says whether all went well.
pub(crate) fn run(arguments: &Arguments) -> bool {
    match arguments.seed {
        Some(seed) => replay(seed, arguments.trace),
        None => search(arguments),
    }
}

fn replay(seed: u64, trace: bool) -> bool {
    let finished = run_seed(seed, None, trace);
    for line in &finished.lines {
        println!("{line}");
    }
    println!("seed {seed}: trace hash {:016x}; {}", finished.trace_hash, finished.totals);
    match &finished.violation {
        Some(violation) => println!("seed {seed} fails: {violation}"),
        None => println!("seed {seed} holds"),
    }
    finished.violation.is_none()
}

fn search(arguments: &Arguments) -> bool {
    let Arguments { start, seeds, threads, keep_going, .. } = *arguments;
    let found = Search { start, seeds, threads, keep_going, bug: None }.run();
    for (seed, violation) in &found.failures {
        println!("seed {seed}: {violation}\n  cargo xtask sim --trace --seed {seed}");
    }
    println!("{}", found.totals);
    found.failures.is_empty()
}
