//! `cargo xtask sim`: the store on the simulated disk.
//!
//! Random histories, or short scripts that are stopped ([`exhaustive`]) or meet errors ([`failures`]) at
//! every point. Whatever fails is printed with the command that lets it happen again.

mod exhaustive;
mod failures;
mod pool;
mod random;

use clap::Args;
use icecore_sim::exhaust::Chain;
use icecore_sim::minimise::{Kept, Part};
use icecore_sim::script::{self, Script};
use icecore_sim::trouble::TroubleKind;
use icecore_sim::{Violation, run_part};

use crate::report::Budget;

/// What is to be simulated.
#[derive(Args)]
pub(crate) struct Arguments {
    /// With neither a number of seeds nor a time, the only seed that is run.
    #[command(flatten)]
    budget: Budget,
    /// How many random histories; 1000, or as many as the time allows.
    #[arg(long)]
    seeds: Option<u64>,
    /// The seed of the first one, instead of --seed.
    #[arg(long)]
    start: Option<u64>,
    /// Runs so many random histories twice, and compares what they did.
    #[arg(long)]
    twice: Option<u64>,
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
    /// With --exhaustive: many more crashes at each operation; with --failures: pairs of errors,
    /// too. Goes on with other chances until the time is over.
    #[arg(long)]
    thorough: bool,
    /// With --exhaustive: how many stops in a row; 2 for a recovery that is stopped.
    #[arg(long, default_value_t = 2)]
    depth: u32,
    /// With --exhaustive or --failures: only this operation, or call.
    #[arg(long)]
    at: Option<u64>,
    /// With --exhaustive and --at: only this crash, as it was printed.
    #[arg(long, requires = "at")]
    crash: Option<Chain>,
    /// With --failures: only this kind of trouble, as it was printed.
    #[arg(long)]
    trouble: Option<TroubleKind>,
    /// With --failures, --at and --trouble: a second call that fails.
    #[arg(long, requires = "at", requires = "trouble")]
    and: Option<u64>,
    /// With --seed: prints the operations, and the calls to the disk.
    #[arg(long)]
    trace: bool,
    /// With --seed: only these operations of the history, as in "3-7,19".
    #[arg(long)]
    keep_ops: Option<Kept>,
    /// With --seed: the rules of the disk without these, as in "torn,alice".
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// With --seed: at most so many recoveries in a row are stopped.
    #[arg(long)]
    nested: Option<usize>,
    /// With --seed: the machine does not stop while the store is created.
    #[arg(long)]
    calm_birth: bool,
}

impl Arguments {
    /// The scripts that are to be examined.
    fn scripts(&self) -> Vec<Script> {
        let mut scripts = script::all();
        scripts.retain(|script| self.wants(script.name));
        scripts
    }

    /// Whether what has this name is to be examined.
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }

    fn part(&self) -> Part {
        Part {
            kept: self.keep_ops.clone(),
            without: self.without.clone(),
            nested: self.nested,
            calm_birth: self.calm_birth,
        }
    }
}

/// Says whether all went well.
pub(crate) fn run(arguments: &Arguments) -> bool {
    // A panic in the store is a finding, which is printed with the way to it.
    std::panic::set_hook(Box::new(|_| {}));
    let many = arguments.seeds.is_some() || arguments.start.is_some();
    match arguments.budget.seed() {
        _ if arguments.exhaustive => exhaustive::run(arguments),
        _ if arguments.failures => failures::run(arguments),
        _ if arguments.twice.is_some() => random::run_twice(arguments),
        Some(seed) if !many && !arguments.budget.is_bounded() => replay(arguments, seed),
        _ => random::run(arguments),
    }
}

fn replay(arguments: &Arguments, seed: u64) -> bool {
    let finished = run_part(seed, &arguments.part(), None, arguments.trace);
    for line in finished.disk_lines.iter().chain(&finished.lines) {
        println!("{line}");
    }
    println!("seed {seed}: trace hash {:016x}; {}", finished.trace_hash, finished.totals);
    tell(&format!("seed {seed}"), finished.violation.map_or(Ok(()), Err))
}

/// Prints whether `what` holds.
fn tell<T>(what: &str, outcome: Result<T, Violation>) -> bool {
    match &outcome {
        Ok(_) => println!("{what} holds"),
        Err(violation) => println!("{what} fails: {violation}"),
    }
    outcome.is_ok()
}

/// A share in percent, rounded down, so that only all of it is 100 %.
fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1_000).checked_div(whole).unwrap_or(1_000);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} %"),
        (whole, tenths) => format!("{whole}.{tenths} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn only_all_of_it_is_a_hundred_percent() {
        assert_eq!(percent(9_999, 10_000), "99.9 %");
        assert_eq!(percent(10_000, 10_000), "100 %");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(0, 0), "100 %");
    }
}
