//! `cargo xtask loom`: every interleaving of a few threads over the lock-free parts and over the log.

use std::process::Command;
use std::time::Duration;

use clap::Args;

use crate::report::{Budget, Ending};

/// Where the build goes: other builds have other flags, and would undo it.
const TARGET: &str = "target/loom";

/// A model may take so long; all of a set run in one process, one after the other.
const MODEL_SECONDS: u64 = 60;

/// The sets of models: the package, and where in it they are.
const SETS: [(&str, &[&str]); 3] = [
    ("icecore-memtable", &["--lib", "loom"]),
    ("icecore-engine", &["--lib", "loom"]),
    ("icecore-wal", &["--test", "loom"]),
];

/// What is to be run: all models are exhaustive, so there is nothing to choose.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
}

/// Says whether every model holds, in its time.
pub(crate) fn run(arguments: &Arguments) -> bool {
    for (package, place) in SETS {
        if !cargo(package, place, &["--no-run"]).status().is_ok_and(|status| status.success()) {
            println!("the models of {package} were not built");
            return false;
        }
    }
    let run = arguments.budget.begin_at(Some(0));
    let (mut models, mut longest) = (0, Duration::ZERO);
    let mut ending = Ending::Held;
    for (package, place) in SETS {
        let before = run.elapsed();
        let output = match cargo(package, place, &["--", "--test-threads=1"]).output() {
            Ok(output) => output,
            Err(error) => {
                println!("the models of {package} cannot be run: {error}");
                return false;
            }
        };
        let took = run.elapsed() - before;
        let printed = String::from_utf8_lossy(&output.stdout);
        let passed = printed.matches(" ... ok").count();
        let limit = Duration::from_secs(MODEL_SECONDS * passed as u64);
        if !output.status.success() || passed == 0 || took > limit {
            println!("{printed}{}", String::from_utf8_lossy(&output.stderr));
            println!("{package}: {passed} models held, in {} s", took.as_secs());
            ending = Ending::Violated;
        }
        models += passed;
        longest = longest.max(took);
    }
    let counts =
        format!("{models} models of loom, exhaustive; {} s for the longest set", longest.as_secs());
    run.conclude("B16", "loom", &counts, &ending)
}

fn cargo(package: &str, place: &[&str], rest: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--release", "--target-dir", TARGET, "--package", package]);
    command.args(place).args(rest).env("RUSTFLAGS", "--cfg loom");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}
