//! `cargo xtask fuzz`: every fuzz target for a while, led by coverage.
//!
//! The targets are built as `cargo fuzz` builds them, with the address sanitizer, where that tool
//! and a nightly toolchain are there; otherwise by plain cargo with the same instrumentation and
//! without the sanitizer. Both need a C++ compiler, for libFuzzer.
//!
//! What a target has learnt stays in `target/fuzz/corpus`, so that the next run goes on there; the
//! seeds in `fuzz/corpus` are only read. Inputs that fail are put into `target/fuzz/artifacts`.

#![expect(clippy::disallowed_methods, reason = "a tool runs programs and reads what they wrote")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;

use crate::nightly;
use crate::report::{Budget, Ending, Run, grouped};

/// How many targets run at once.
const AT_ONCE: usize = 2;
/// How long a target runs if nothing else is said.
const SECONDS: u64 = 20;
/// The target whose speed is told.
const PACE: &str = "engine_crash";

/// What `cargo fuzz` tells the compiler, but for the sanitizer.
const INSTRUMENTATION: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-sanitizer-coverage-stack-depth \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1";

/// What is to be fuzzed.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// How many seconds each target runs; without it, the targets share the time that
    /// --seconds gives, or run for 20 seconds each.
    #[arg(long)]
    each: Option<u64>,
    /// Only the targets whose names contain this.
    #[arg(long)]
    only: Option<String>,
}

/// Says whether no target failed. A check that cannot run here has not failed.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let place = Place { root, output: output.join("fuzz") };
    // Building takes as long as it takes: the clock of the budget starts afterwards.
    let built = place.targets(arguments.only.as_deref()).and_then(|targets| {
        let programs = place.build(&targets)?;
        Ok((targets, programs))
    });
    let run = arguments.budget.begin();
    let (targets, programs) = match built {
        Ok(built) => built,
        Err(Unbuilt::Missing(what)) => {
            return run.conclude("B15", "fuzz", "", &Ending::Skipped(what));
        }
        Err(Unbuilt::Broken(what)) => {
            println!("{what}");
            return run.conclude("B15", "fuzz", "nothing was built", &Ending::Violated);
        }
    };
    let shared = arguments.budget.seconds().map(|seconds| {
        let rounds = targets.len().div_ceil(AT_ONCE) as u64;
        // A second for the start of each: else the last ones would come too late.
        (seconds / rounds.max(1)).saturating_sub(1).max(1)
    });
    let each = arguments.each.or(shared).unwrap_or(SECONDS);
    let tally = fuzz(&place, &targets, &programs, each, &run);
    if tally.targets < targets.len() {
        println!("no time was left for {} targets", targets.len() - tally.targets);
    }
    let ending = Ending::of(tally.executions, tally.findings == 0);
    run.conclude("B15", "fuzz", &tally.to_string(), &ending)
}

/// Where things are.
struct Place {
    root: PathBuf,
    /// Where everything goes that a run writes.
    output: PathBuf,
}

/// Why there are no programs.
enum Unbuilt {
    /// It cannot be built here.
    Missing(String),
    /// It could be, and does not compile.
    Broken(String),
}

/// The programs that were built.
struct Programs {
    folder: PathBuf,
    sanitized: bool,
}

impl Place {
    /// The names of the targets, as their files are called.
    fn targets(&self, only: Option<&str>) -> Result<Vec<String>, Unbuilt> {
        let folder = self.root.join("fuzz/fuzz_targets");
        let unread = |e| Unbuilt::Broken(format!("{}: {e}", folder.display()));
        let files = fs::read_dir(&folder).map_err(unread)?;
        let names = files.filter_map(|file| {
            let path = file.ok()?.path();
            Some(path.file_stem()?.to_str()?.to_owned())
        });
        let mut names: Vec<_> =
            names.filter(|name| only.is_none_or(|only| name.contains(only))).collect();
        names.sort();
        let unknown = || Unbuilt::Broken("no target has such a name".to_owned());
        if names.is_empty() { Err(unknown()) } else { Ok(names) }
    }

    /// Builds the programs in the best way that is possible here.
    fn build(&self, targets: &[String]) -> Result<Programs, Unbuilt> {
        if !answers(Command::new("c++").arg("--version")) {
            let what = "there is no C++ compiler for libFuzzer (apt install g++)";
            return Err(Unbuilt::Missing(what.to_owned()));
        }
        let tool = answers(nightly::cargo().args(["fuzz", "--version"]));
        if tool && let Some(host) = nightly::host() {
            let mut command = nightly::cargo();
            command.args(["fuzz", "build", "--target-dir"]).arg(&self.output);
            if let [target] = targets {
                command.arg(target);
            }
            if succeeds(command.current_dir(&self.root)) {
                return Ok(Programs { folder: self.folder(&host), sanitized: true });
            }
            return Err(Unbuilt::Broken("cargo +nightly fuzz build has failed".to_owned()));
        }
        let unknown = "the compiler does not say which machine it builds for";
        let host = host().ok_or_else(|| Unbuilt::Broken(unknown.to_owned()))?;
        let mut command = Command::new("cargo");
        command.args(["build", "--release", "--target", &host, "--target-dir"]);
        command.arg(&self.output).arg("--manifest-path").arg(self.root.join("fuzz/Cargo.toml"));
        for target in targets {
            command.args(["--bin", target]);
        }
        // The profile of the targets names flags that a stable compiler must be talked into.
        command.env("RUSTC_BOOTSTRAP", "1");
        if succeeds(command.env("RUSTFLAGS", INSTRUMENTATION)) {
            return Ok(Programs { folder: self.folder(&host), sanitized: false });
        }
        Err(Unbuilt::Broken("the targets cannot be built with these instruments".to_owned()))
    }

    fn folder(&self, host: &str) -> PathBuf {
        self.output.join(host).join("release")
    }
}

/// The machine that this toolchain builds for.
fn host() -> Option<String> {
    let output = Command::new("rustc").arg("-vV").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

fn answers(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// What was done.
#[derive(Default)]
struct Tally {
    targets: usize,
    executions: u64,
    /// Executions in a second of the target that runs the whole store, if it ran.
    pace: Option<u64>,
    findings: usize,
    sanitized: bool,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} targets, {} executions", self.targets, grouped(self.executions))?;
        if let Some(pace) = self.pace {
            write!(f, ", {} a second of {PACE}", grouped(pace))?;
        }
        let sanitizer = if self.sanitized { "with" } else { "without" };
        write!(f, ", {sanitizer} a sanitizer, {} findings", self.findings)
    }
}

/// Runs all targets, a few at a time.
fn fuzz(place: &Place, targets: &[String], programs: &Programs, each: u64, run: &Run) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally { sanitized: programs.sanitized, ..Tally::default() });
    let work = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            if run.is_over() {
                break;
            }
            let done = Job { place, programs, target, each, seed: run.seed() }.run();
            let mut tally = tally.lock().expect("no thread panics while it adds up");
            match done {
                Ok(done) => {
                    println!("{target}: {} executions", grouped(done.executions));
                    tally.targets += 1;
                    tally.executions += done.executions;
                    if target == PACE {
                        tally.pace = Some(done.a_second);
                    }
                    tally.findings += usize::from(done.failed);
                }
                Err(e) => {
                    println!("{target} does not run: {e}");
                    tally.findings += 1;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    tally.into_inner().expect("no thread panics while it adds up")
}

/// One run of one target.
struct Job<'a> {
    place: &'a Place,
    programs: &'a Programs,
    target: &'a str,
    each: u64,
    seed: u64,
}

/// What libFuzzer says at its end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    executions: u64,
    a_second: u64,
    failed: bool,
}

impl Job<'_> {
    fn run(&self) -> io::Result<Done> {
        let output = &self.place.output;
        let learnt = output.join("corpus").join(self.target);
        let artifacts = output.join("artifacts").join(self.target);
        fs::create_dir_all(&learnt)?;
        fs::create_dir_all(&artifacts)?;
        let seeds = self.place.root.join("fuzz/corpus").join(self.target);
        let mut command = Command::new(self.programs.folder.join(self.target));
        command.arg(&learnt);
        // A clone without seeds begins from nothing.
        if seeds.is_dir() {
            command.arg(&seeds);
        }
        let ended = command
            .arg(format!("-max_total_time={}", self.each))
            .arg(format!("-seed={}", self.seed.max(1)))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
            .output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        let done = Done { failed: !ended.status.success(), ..Done::parse(&said) };
        if done.failed {
            self.tell(&said);
        }
        Ok(done)
    }

    /// Prints what a failing run said that helps, and how to see it again.
    fn tell(&self, said: &str) {
        println!("{} fails:", self.target);
        let telling = ["panicked at", "ERROR:", "SUMMARY:", "Test unit written to"];
        let mut lines = said.lines();
        while let Some(line) = lines.next() {
            if telling.iter().any(|word| line.contains(word)) {
                println!("  {line}");
            }
            // What a panic says stands on the line below the place.
            if let Some(message) = line.contains("panicked at").then(|| lines.next()).flatten() {
                println!("  {message}");
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                let program = self.programs.folder.join(self.target);
                println!("  {} {path}", program.display());
            }
        }
    }
}

impl Done {
    fn parse(said: &str) -> Done {
        let number = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').trim().parse().ok()).unwrap_or(0)
        };
        Done {
            executions: number("stat::number_of_executed_units"),
            a_second: number("stat::average_exec_per_sec"),
            failed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_libfuzzer_are_counted() {
        let said = "#2 INITED\nDone 5331 runs in 11 second(s)\n\
            stat::number_of_executed_units: 5331\nstat::average_exec_per_sec:     484\n";
        let done = Done { executions: 5331, a_second: 484, failed: false };
        assert_eq!(Done::parse(said), done);
        assert_eq!(Done::parse("Segmentation fault"), Done::default());
    }

    #[test]
    fn the_tally_is_told_in_one_line() {
        let tally = Tally { targets: 12, executions: 5331, pace: Some(700), ..Tally::default() };
        let line = "12 targets, 5,331 executions, 700 a second of engine_crash, without a \
            sanitizer, 0 findings";
        assert_eq!(tally.to_string(), line);
    }
}
