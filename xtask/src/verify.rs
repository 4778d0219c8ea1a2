//! `cargo xtask verify`: all that CI runs, and a short run of the simulation. It changes no file.
//!
//! A check that cannot run here is counted as skipped, with its reason, and not as passed.

use std::process::Command;

use crate::deno_diff::{self, Verdict};
use crate::sim;

/// Random histories in a short run.
const SEEDS: &str = "2000";

/// Random histories beside Deno; as many as CI runs.
const DENO_HISTORIES: u64 = 20;

#[derive(Default)]
struct Tally {
    passed: Vec<String>,
    failed: Vec<String>,
    skipped: Vec<String>,
}

impl Tally {
    fn note(&mut self, name: &str, passed: bool) {
        let list = if passed { &mut self.passed } else { &mut self.failed };
        list.push(name.to_owned());
    }

    fn skip(&mut self, name: &str, reason: &str) {
        println!("skipped: {name} ({reason})");
        self.skipped.push(name.to_owned());
    }

    /// Runs a command, given as one line whose words have no spaces in them.
    fn command(&mut self, line: &str, variables: &[(&str, &str)]) {
        println!("\n== {line}");
        let mut words = line.split_whitespace();
        let Some(program) = words.next() else { return self.skip(line, "it is empty") };
        let program = if program == "cargo" { env!("CARGO") } else { program };
        let status = Command::new(program).args(words).envs(variables.iter().copied()).status();
        let passed =
            status.inspect_err(|e| println!("cannot start: {e}")).is_ok_and(|s| s.success());
        self.note(line, passed);
    }

    fn simulate(&mut self, arguments: &[&str]) {
        let line = format!("cargo xtask sim {}", arguments.join(" "));
        println!("\n== {line}");
        self.note(&line, sim::run(&sim::Arguments::of(arguments)));
    }

    fn compare_with_deno(&mut self) {
        let line = format!("cargo xtask deno-diff --histories {DENO_HISTORIES}");
        println!("\n== {line}");
        match deno_diff::compare_histories(DENO_HISTORIES) {
            Verdict::Same => self.note(&line, true),
            Verdict::Different => self.note(&line, false),
            Verdict::NotCompared(reason) => self.skip(&line, &reason),
        }
    }
}

/// Says whether nothing failed.
pub(crate) fn run() -> bool {
    let mut tally = Tally::default();
    tally.command("cargo fmt --all --check", &[]);
    tally.command("cargo clippy --workspace --all-targets -- -D warnings", &[]);
    match test_command() {
        Some(line) => tally.command(&line, &[]),
        None => tally.note("the README states the test command", false),
    }
    tally.command("cargo doc --workspace --no-deps", &[("RUSTDOCFLAGS", "-D warnings")]);
    let deny = "cargo deny check bans licenses sources";
    if is_installed("deny") {
        tally.command(deny, &[]);
    } else {
        tally.skip(deny, "cargo-deny is not installed");
    }
    tally.command("cargo xtask api", &[]);
    tally.compare_with_deno();
    tally.simulate(&["--seeds", SEEDS]);
    tally.simulate(&["--exhaustive"]);
    tally.simulate(&["--failures"]);
    println!("\n== {} passed, {} failed", tally.passed.len(), tally.failed.len());
    for name in &tally.failed {
        println!("failed: {name}");
    }
    for name in &tally.skipped {
        println!("skipped: {name}");
    }
    tally.failed.is_empty()
}

/// The test command that the README states: the line that CI takes, too.
fn test_command() -> Option<String> {
    const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
    README.lines().find(|line| line.starts_with("cargo test")).map(str::to_owned)
}

fn is_installed(subcommand: &str) -> bool {
    let asked = Command::new(env!("CARGO")).args([subcommand, "--version"]).output();
    asked.is_ok_and(|output| output.status.success())
}
