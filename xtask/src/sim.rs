//! `cargo xtask sim`: the store on the simulated disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, FromArgMatches};
use icecore_sim::exhaust::{
    every_crash, every_failing_creation, every_failing_recovery, every_failure,
};
use icecore_sim::script::{self, Script};
use icecore_sim::trouble::TROUBLES;
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
    /// With --exhaustive and --failures: only the scripts whose names contain this. The creation of
    /// a store, with --failures, is called "creation".
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

    /// Whether what has this name is to be examined.
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }
}

/// Says whether all went well.
pub(crate) fn run(arguments: &Arguments) -> bool {
    match arguments.seed {
        Some(seed) => replay(seed, arguments.trace),
        None if arguments.exhaustive => scripts(arguments, "exhaustive", every_crash),
        None if arguments.failures => failures(arguments),
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

/// The name under which the creation of a store is examined.
const CREATION: &str = "creation";

fn failures(arguments: &Arguments) -> bool {
    let created = !arguments.wants(CREATION) || failing_creations();
    // One that names the creation alone is not to fail for want of a script.
    let alone = arguments.wants(CREATION) && !script::all().iter().any(|s| arguments.wants(s.name));
    created & (alone || scripts(arguments, "failures", every_trouble))
}

fn failing_creations() -> bool {
    let created = TROUBLES.into_iter().try_for_each(|t| every_failing_creation(t).map(drop));
    match created {
        Ok(()) => println!("{CREATION}: holds"),
        Err(ref violation) => {
            println!("{violation}\n  cargo xtask sim --failures --only {CREATION:?}");
        }
    }
    created.is_ok()
}

/// Examines all scripts, on several threads.
fn scripts(
    arguments: &Arguments,
    what: &str,
    examine: fn(&Script) -> Result<Totals, Violation>,
) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let mut scripts = script::all();
    scripts.retain(|s| arguments.wants(s.name));
    if scripts.is_empty() {
        println!("no script has such a name");
        return false;
    }
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
