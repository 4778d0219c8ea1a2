//! `cargo xtask miri` (B18): the tests over unsafe code in Rust's interpreter, which finds undefined
//! behaviour, leaks and data races, with another schedule for each seed.
//!
//! Seeds come two at a time, the crate whose code is hardest first: a budget of time cuts off the
//! last seeds, and then the last crates. There is no operating system in the interpreter, so what
//! is about files on a real disk stays outside; there, a mapping is one of memory.

use std::ops::Range;

use crate::nightly::{self, Tally};
use crate::report::{Budget, Ending, Run, grouped};

/// Seeds that run side by side.
const SIDE_BY_SIDE: u32 = 2;

/// Of seeds and addresses the strictest reading: a pointer is good only for what it was made from.
const FLAGS: &str = "-Zmiri-strict-provenance";

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// Schedules to try.
    #[arg(long, default_value_t = 16)]
    seeds: u32,
    /// Only this package.
    #[arg(long)]
    package: Option<String>,
}

/// Tests of one package that are about unsafe code, or lie on it.
struct Part {
    package: &'static str,
    /// What their names begin with, or contain; nothing for all.
    filter: &'static [&'static str],
}

const PARTS: [Part; 3] = [
    Part { package: "icecore-memtable", filter: &[] },
    Part { package: "icecore-engine", filter: &["epoch::"] },
    Part { package: "icecore-disk", filter: &["real::watched", "region", "buffer"] },
];

impl Part {
    /// Runs its tests once for each of `seeds`. The second part says whether all was well.
    fn run(&self, seeds: &Range<u32>) -> (Tally, bool) {
        println!("== {} under Miri, seeds {} to {}", self.package, seeds.start, seeds.end - 1);
        let mut command = nightly::cargo();
        command.args(["miri", "test", "--target-dir", "target/miri", "--lib", "-p", self.package]);
        command.arg("--").args(self.filter);
        let many = format!("{FLAGS} -Zmiri-many-seeds={}..{}", seeds.start, seeds.end);
        let (tally, ended_well) = nightly::run(command.env("MIRIFLAGS", many));
        if !ended_well {
            let (package, filter) = (self.package, self.filter.join(" "));
            println!(
                "VIOLATED: {package}, one of the seeds {seeds:?}; again: MIRIFLAGS=\"{FLAGS} \
                 -Zmiri-many-seeds={}..{}\" cargo +nightly miri test -p {package} --lib -- {filter}",
                seeds.start, seeds.end
            );
        }
        (tally, ended_well)
    }
}

/// How far it got.
#[derive(Default)]
struct Reached {
    tally: Tally,
    /// Seeds of each part.
    seeds: [u32; PARTS.len()],
    failures: u64,
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    if let Some(reason) = nightly::missing(&["miri", "rust-src"]) {
        return run.conclude("B18", "miri", "", &Ending::Skipped(reason));
    }
    let reached = try_seeds(arguments, &run);
    let parts = PARTS.iter().zip(reached.seeds).filter(|(_, seeds)| *seeds > 0);
    let parts: Vec<_> = parts.map(|(part, seeds)| format!("{} {seeds}", part.package)).collect();
    let counts = format!(
        "{} tests passed, {} failures; seeds: {}",
        grouped(reached.tally.passed),
        reached.failures,
        if parts.is_empty() { "none".to_owned() } else { parts.join(", ") },
    );
    let ending = Ending::of(reached.tally.passed, reached.failures == 0);
    run.conclude("B18", "miri", &counts, &ending)
}

fn try_seeds(arguments: &Arguments, run: &Run) -> Reached {
    let mut reached = Reached::default();
    // Every run of the check may begin at other seeds; `--seed 0` begins at the first.
    let first = u32::try_from(run.seed() % 1_000_000).unwrap_or(0);
    for batch in (0..arguments.seeds).step_by(SIDE_BY_SIDE as usize) {
        let size = SIDE_BY_SIDE.min(arguments.seeds - batch);
        for (part, done) in PARTS.iter().zip(&mut reached.seeds) {
            if run.is_over() {
                return reached;
            }
            if arguments.package.as_deref().is_some_and(|package| package != part.package) {
                continue;
            }
            let (tally, ended_well) = part.run(&(first + batch..first + batch + size));
            reached.tally.add(tally);
            *done += size;
            reached.failures += u64::from(!ended_well).max(tally.failed);
        }
    }
    reached
}
