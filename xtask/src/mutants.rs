//! `cargo xtask mutants`: does the simulation notice bugs that were made on purpose?

use clap::Args;
#[cfg(feature = "planted")]
use icecore_model::planted::{Planted, plant};
#[cfg(feature = "planted")]
use icecore_sim::{
    Totals, Violation,
    exhaust::{every_crash, every_failure},
    mutant_disk::DiskBug,
    script::{self, Script},
    trouble::TROUBLES,
};

#[cfg(feature = "planted")]
use crate::search::Search;

/// How far each bug is searched for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The most seeds for each bug.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only the bugs whose names contain this.
    #[arg(long)]
    only: Option<String>,
}

/// A bug to be found.
#[cfg(feature = "planted")]
#[derive(Clone, Copy)]
enum Prey {
    Disk(DiskBug),
    Engine(Planted),
}

#[cfg(feature = "planted")]
impl Prey {
    fn disk_bug(self) -> Option<DiskBug> {
        if let Prey::Disk(bug) = self { Some(bug) } else { None }
    }

    fn plant(self) {
        if let Prey::Engine(bug) = self {
            plant(Some(bug));
        }
    }
}

#[cfg(feature = "planted")]
impl std::fmt::Display for Prey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Prey::Disk(bug) => write!(f, "{bug:?}"),
            Prey::Engine(bug) => write!(f, "{bug:?}"),
        }
    }
}

/// Says whether every bug was found.
#[cfg(feature = "planted")]
pub(crate) fn run(arguments: &Arguments) -> bool {
    let disk = DiskBug::ALL.into_iter().map(Prey::Disk);
    let all = disk.chain(Planted::ALL.iter().copied().map(Prey::Engine));
    let wanted =
        |prey: &Prey| arguments.only.as_ref().is_none_or(|part| prey.to_string().contains(part));
    let prey: Vec<_> = all.filter(wanted).collect();
    if prey.is_empty() {
        println!("no bug has such a name");
        return false;
    }
    let survivors = prey.iter().filter(|prey| !hunt(arguments, **prey)).count();
    println!("{} bugs, {survivors} were not found", prey.len());
    survivors == 0
}

/// Searches until a history fails that holds without the bug.
#[cfg(feature = "planted")]
fn hunt(arguments: &Arguments, prey: Prey) -> bool {
    let (end, threads) = (arguments.seeds, arguments.threads);
    let mut start = 0;
    loop {
        let seeds = end - start;
        let bug = prey.disk_bug();
        let search = Search { start, seeds, threads, keep_going: false, verbose: false, bug };
        prey.plant();
        let found = search.run();
        plant(None);
        let Some((seed, violation)) = found.failures.first() else {
            return hunt_in_scripts(prey, end);
        };
        if icecore_sim::run_seed(*seed, None, false).violation.is_none() {
            println!("{prey}: killed by seed {seed}: {violation}");
            return true;
        }
        println!("seed {seed} fails without any bug: see `cargo xtask sim --seed {seed}`");
        start = seed + 1;
    }
}

/// What no random history has met may still fail a script that holds without the bug.
#[cfg(feature = "planted")]
fn hunt_in_scripts(prey: Prey, seeds: u64) -> bool {
    // The scripts run on the plain simulated disk. Failing calls come first: they are fewer.
    let scripts = if prey.disk_bug().is_none() { script::all() } else { Vec::new() };
    let exams: [Exam; 2] = [|script| every_failure(script, TROUBLES[0]), every_crash];
    for (exam, script) in exams.iter().flat_map(|exam| scripts.iter().map(move |s| (exam, s))) {
        prey.plant();
        let with_bug = exam(script);
        plant(None);
        let Err(violation) = with_bug else { continue };
        match exam(script) {
            Ok(_) => {
                println!("{prey}: killed by a script: {violation}");
                return true;
            }
            Err(own) => println!("a script fails without any bug: {own}"),
        }
    }
    println!("{prey}: SURVIVES {seeds} seeds and all scripts");
    false
}

/// What a script is put through.
#[cfg(feature = "planted")]
type Exam = fn(&Script) -> Result<Totals, Violation>;

/// Bugs are planted only in a build of its own, which this one starts.
#[cfg(not(feature = "planted"))]
pub(crate) fn run(arguments: &Arguments) -> bool {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["run", "--release", "--package", "xtask", "--features", "planted", "--"]);
    command.args(["mutants", "--seeds", &arguments.seeds.to_string()]);
    command.args(["--threads", &arguments.threads.to_string()]);
    if let Some(only) = &arguments.only {
        command.args(["--only", only]);
    }
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot start the build with planted bugs: {error}");
            false
        }
    }
}
