//! `cargo xtask sim`: the store on the simulated disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, FromArgMatches};
use icecore_sim::exhaust::{
    TROUBLES, every_crash, every_failing_creation, every_failing_recovery, every_failure,
};
use icecore_sim::script::{self, Script};
use icecore_sim::{Totals, Violation, run_seed};

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
    /// Stops each script at every operation, instead of random histories.
    #[arg(long)]
    exhaustive: bool,
    /// Lets each call of each script fail, instead of random histories.
    #[arg(long)]
    failures: bool,
    /// With --exhaustive and --failures: only the scripts whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Runs only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints the operations, and the calls to the disk.
    #[arg(long)]
    trace: bool,
}

impl Arguments {
    /// What these words on the command line mean.
    pub(crate) fn of(words: &[&str]) -> Arguments {
        let command = Arguments::augment_args(clap::Command::new("sim").no_binary_name(true));
        let matches = command.get_matches_from(words);
        Arguments::from_arg_matches(&matches).expect("the words were parsed for these arguments")
    }
}

/// Says whether all went well.
pub(crate) fn run(arguments: &Arguments) -> bool {
    match arguments.seed {
        Some(seed) => replay(seed, arguments.trace),
        None if arguments.exhaustive => scripts(arguments, "exhaustive", every_crash),
        None if arguments.failures => {
            failing_creations() & scripts(arguments, "failures", every_trouble)
        }
        None => search(arguments),
    }
}

fn every_trouble(script: &Script) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for trouble in TROUBLES {
        totals += every_failure(script, trouble)?;
        totals += every_failing_recovery(script, trouble)?;
    }
    Ok(totals)
}

fn failing_creations() -> bool {
    let created = TROUBLES.into_iter().try_for_each(|t| every_failing_creation(t).map(drop));
    created.inspect_err(|violation| println!("{violation}")).is_ok()
}

/// Examines all scripts, on several threads.
fn scripts(
    arguments: &Arguments,
    what: &str,
    examine: fn(&Script) -> Result<Totals, Violation>,
) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let mut scripts = script::all();
    scripts.retain(|s| arguments.only.as_ref().is_none_or(|only| s.name.contains(only)));
    let next = AtomicUsize::new(0);
    let sum = Mutex::new((Totals::default(), true));
    let work = || {
        while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = examine(script);
            let mut sum = sum.lock().expect("no thread panics while it adds up");
            match result {
                Ok(totals) => {
                    println!("{}: {} recoveries", script.name, totals.recoveries);
                    sum.0 += totals;
                }
                Err(violation) => {
                    println!("{violation}\n  cargo xtask sim --{what} --only {:?}", script.name);
                    sum.1 = false;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(work);
        }
    });
    let (totals, held) = sum.into_inner().expect("no thread panics while it adds up");
    println!("{} scripts, {} recoveries: {totals}", scripts.len(), totals.recoveries);
    held
}

fn replay(seed: u64, trace: bool) -> bool {
    let finished = run_seed(seed, None, trace);
    for line in finished.disk_lines.iter().chain(&finished.lines) {
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
    let found = Search { start, seeds, threads, keep_going, verbose: true, bug: None }.run();
    println!("{}", found.totals);
    found.failures.is_empty()
}
