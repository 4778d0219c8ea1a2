//! `cargo xtask coverage`: which lines of the storage crates the tests reach, and whether the error of
//! every call to the disk has been taken by a test.
//!
//! The module [`source`] says what is counted and what is left out, [`mod@measure`] what is run.

mod measure;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use self::measure::measure;
use self::source::Source;
use crate::report::{Budget, Ending, grouped};

/// The crates that hold what users store.
const CRATES: [&str; 6] = ["disk", "model", "wal", "memtable", "sstable", "engine"];

/// An error that no test can take.
struct Waived {
    file: &'static str,
    /// The line, without its indentation.
    line: &'static str,
    reason: &'static str,
}

/// These alone may stay untaken. One that is taken after all is to be struck out.
const WAIVED: [Waived; 2] = [
    Waived {
        file: "disk/src/real/file.rs",
        line: "let mut end = self.len()?;",
        reason: "the system always knows the length of a file that is open here",
    },
    Waived {
        file: "disk/src/real/mod.rs",
        line: "if disk.list()?.is_empty() {",
        reason: "a directory that has just been opened for reading can be read",
    },
];

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// The least share of lines of each crate, in percent.
    #[arg(long, default_value_t = 95.0)]
    least: f64,
    /// Lists the lines that no test reaches.
    #[arg(long)]
    list: bool,
}

/// What was counted.
#[derive(Default)]
struct Sum {
    lines: u64,
    reached: u64,
    questions: u64,
    taken: u64,
    waived: u64,
    /// Waived, but taken.
    idle_waivers: u64,
}

/// Says whether enough is reached.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    if let Some(missing) = missing_tool() {
        let reason = format!("{missing} is not installed");
        return run.conclude("B20", "coverage", "", &Ending::Skipped(reason));
    }
    let (sources, passed) = match measure() {
        Ok(measured) => measured,
        Err(error) => {
            println!("{error}");
            return run.conclude("B20", "coverage", "nothing was measured", &Ending::Violated);
        }
    };
    let mut enough = passed;
    if !passed {
        println!("not all tests pass");
    }
    let mut total = Sum::default();
    for name in CRATES {
        let sum = sum(name, &sources, arguments.list);
        println!("{name}: {}", sum.describe());
        enough &= sum.lines > 0 && sum.percent() >= arguments.least;
        enough &= sum.taken + sum.waived == sum.questions && sum.idle_waivers == 0;
        total.add(&sum);
    }
    // Where the compiler tells nothing of a `?`, the waived ones are missing, too.
    let ending = Ending::of(total.questions, enough);
    run.conclude("B20", "coverage", &total.describe(), &ending)
}

/// What is needed and not there.
fn missing_tool() -> Option<&'static str> {
    let asked = |program: &str, words: [&str; 2]| {
        let output = Command::new(program).args(words).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if asked(env!("CARGO"), ["llvm-cov", "--version"]).is_none() {
        return Some("cargo-llvm-cov");
    }
    let libraries = asked("rustc", ["--print", "target-libdir"]).map(PathBuf::from);
    let tool = libraries.map(|path| path.with_file_name("bin").join("llvm-profdata"));
    let is_there = std::env::var_os("LLVM_PROFDATA").is_some() || tool.is_some_and(|p| p.exists());
    (!is_there).then_some("the rustup component llvm-tools")
}

/// Counts the sources of one crate, and prints what is missing.
fn sum(name: &str, sources: &BTreeMap<PathBuf, Source>, list: bool) -> Sum {
    let mut sum = Sum::default();
    for (path, source) in sources.iter().filter(|(path, _)| path.starts_with(name)) {
        let text = |line: usize| source.lines[line - 1].trim();
        for (line, count) in source.line_counts() {
            sum.lines += 1;
            sum.reached += u64::from(count > 0);
            if count == 0 && list {
                println!("{}:{line}: {}", path.display(), text(line));
            }
        }
        for question in source.questions() {
            sum.questions += 1;
            sum.taken += u64::from(question.count > 0);
            let at = format!("{}:{}", path.display(), question.line);
            let text = text(question.line);
            match (waiver(path, text), question.count) {
                (None, 0) => println!("{at}: this error was never taken: {text}"),
                (None, _) => {}
                (Some(waived), 0) => {
                    sum.waived += 1;
                    println!("{at}: not taken, as {}: {text}", waived.reason);
                }
                (Some(_), _) => {
                    sum.idle_waivers += 1;
                    println!("{at}: this error is waived, but it was taken: {text}");
                }
            }
        }
    }
    sum
}

fn waiver(path: &Path, text: &str) -> Option<&'static Waived> {
    WAIVED.iter().find(|waived| path == Path::new(waived.file) && text == waived.line)
}

impl Sum {
    fn percent(&self) -> f64 {
        100.0 * self.reached as f64 / (self.lines as f64).max(1.0)
    }

    fn add(&mut self, other: &Sum) {
        self.lines += other.lines;
        self.reached += other.reached;
        self.questions += other.questions;
        self.taken += other.taken;
        self.waived += other.waived;
        self.idle_waivers += other.idle_waivers;
    }

    fn describe(&self) -> String {
        let waived = match self.waived {
            0 => String::new(),
            n => format!(", {n} waived"),
        };
        format!(
            "{} of {} lines ({:.1} %), {} of {} errors of disk calls taken{waived}",
            grouped(self.reached),
            grouped(self.lines),
            self.percent(),
            grouped(self.taken),
            grouped(self.questions),
        )
    }
}
