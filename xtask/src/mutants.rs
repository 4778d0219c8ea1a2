//! `cargo xtask mutants`: does the simulation notice bugs that were made on purpose?

use clap::Args;

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

/// Says whether every bug was found.
#[cfg(feature = "planted")]
pub(crate) fn run(arguments: &Arguments) -> bool {
    use icecore_model::planted::{Planted, plant};
    use icecore_sim::mutant_disk::DiskBug;

    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|part| name.contains(part));
    let mut all = true;
    for bug in DiskBug::ALL {
        let name = format!("{bug:?}");
        if wanted(&name) {
            all &= hunt(arguments, &name, Some(bug));
        }
    }
    for bug in Planted::ALL {
        let name = format!("{bug:?}");
        if wanted(&name) {
            plant(Some(*bug));
            all &= hunt(arguments, &name, None);
            plant(None);
        }
    }
    all
}

#[cfg(feature = "planted")]
fn hunt(arguments: &Arguments, name: &str, bug: Option<icecore_sim::mutant_disk::DiskBug>) -> bool {
    let Arguments { seeds, threads, .. } = *arguments;
    let search = crate::search::Search {
        start: 0,
        seeds,
        threads,
        keep_going: false,
        verbose: false,
        bug,
    };
    let found = search.run();
    match found.failures.first() {
        Some((seed, violation)) => {
            println!("{name}: killed by seed {seed}: {violation}");
            true
        }
        None => {
            println!("{name}: SURVIVES {seeds} seeds");
            false
        }
    }
}

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
