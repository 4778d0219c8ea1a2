//! `cargo xtask asan` and `cargo xtask tsan` (B19): the tests of the storage crates under the
//! sanitizers of LLVM.
//!
//! AddressSanitizer looks at every access to memory in all tests. ThreadSanitizer looks for races
//! between threads in the tests that have any; it has to know of the locks of the standard library,
//! so that is built along. Each has a target directory of its own. A budget of time is looked at
//! between the packages.

use crate::nightly::{self, Tally};
use crate::report::{Budget, Ending, grouped};

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// Only this package.
    #[arg(long)]
    package: Option<String>,
}

/// A sanitizer, and what runs under it.
struct Sanitizer {
    /// The name of the command, and of the target directory.
    name: &'static str,
    flags: &'static str,
    /// The variable that it reads, and what it is told: that tests want to see what SIGBUS does, and
    /// that a request for too much memory is refused.
    settings: (&'static str, &'static str),
    builds_std: bool,
    work: &'static [Work],
}

struct Work {
    package: &'static str,
    /// What the names of the tests contain; nothing for all.
    filter: &'static [&'static str],
}

const fn all(package: &'static str) -> Work {
    Work { package, filter: &[] }
}

const ADDRESS: Sanitizer = Sanitizer {
    name: "asan",
    flags: "-Zsanitizer=address",
    settings: (
        "ASAN_OPTIONS",
        "detect_leaks=1:detect_stack_use_after_return=1:handle_sigbus=0:allocator_may_return_null=1",
    ),
    builds_std: false,
    work: &[
        all("icecore-disk"),
        all("icecore-memtable"),
        all("icecore-wal"),
        all("icecore-sstable"),
        all("icecore-engine"),
        all("icecore"),
    ],
};

const THREAD: Sanitizer = Sanitizer {
    name: "tsan",
    flags: "-Zsanitizer=thread",
    settings: (
        "TSAN_OPTIONS",
        "second_deadlock_stack=1:handle_sigbus=0:allocator_may_return_null=1",
    ),
    builds_std: true,
    work: &[
        all("icecore-memtable"),
        Work { package: "icecore-disk", filter: &["real::watched", "unreadable", "lock"] },
        Work {
            package: "icecore-engine",
            filter: &["epoch::", "threads", "gate", "observe", "closing", "unreadable"],
        },
        Work { package: "icecore", filter: &["thread", "queue", "watch", "feed", "stream"] },
    ],
};

pub(crate) fn address(arguments: &Arguments) -> bool {
    ADDRESS.run(arguments)
}

pub(crate) fn thread(arguments: &Arguments) -> bool {
    THREAD.run(arguments)
}

impl Sanitizer {
    fn run(&self, arguments: &Arguments) -> bool {
        let run = arguments.budget.begin();
        let components: &[&str] = if self.builds_std { &["rust-src"] } else { &[] };
        let reason = nightly::missing(components);
        let Some(host) = nightly::host().filter(|_| reason.is_none()) else {
            let reason = reason.unwrap_or_else(|| "rustc +nightly does not answer".to_owned());
            return run.conclude("B19", self.name, "", &Ending::Skipped(reason));
        };
        let (mut tally, mut failures, mut packages) = (Tally::default(), 0, Vec::new());
        for work in self.work {
            let is_wanted = arguments.package.as_deref().is_none_or(|only| only == work.package);
            if !is_wanted || run.is_over() {
                continue;
            }
            let (counted, ended_well) = self.perform(work, &host);
            tally.add(counted);
            failures += u64::from(!ended_well).max(counted.failed);
            packages.push(work.package);
        }
        let (passed, packages) = (grouped(tally.passed), packages.join(", "));
        let counts = format!("{passed} tests passed, {failures} failures; {packages}");
        let ending = Ending::of(tally.passed, failures == 0);
        run.conclude("B19", self.name, &counts, &ending)
    }

    fn perform(&self, work: &Work, host: &str) -> (Tally, bool) {
        let package = work.package;
        println!("== {package} under {}", self.flags);
        let mut command = nightly::cargo();
        let directory = format!("target/{}", self.name);
        command.args(["test", "--target", host, "--target-dir", &directory, "-p", package]);
        if self.builds_std {
            command.arg("-Zbuild-std");
        }
        // Not the examples of the documentation: each is a program of its own.
        command.args(["--lib", "--tests", "--no-fail-fast", "--"]).args(work.filter);
        let (variable, setting) = self.settings;
        // The target is named so that build scripts and macros are built without the sanitizer.
        command.env("RUSTFLAGS", self.flags).env(variable, setting);
        let (tally, ended_well) = nightly::run(&mut command);
        if !ended_well {
            let std = if self.builds_std { " -Zbuild-std" } else { "" };
            println!(
                "VIOLATED: {package}; again: RUSTFLAGS={} {variable}={setting} cargo +nightly test \
                 --target {host} --target-dir {directory}{std} -p {package} --lib --tests -- {}",
                self.flags,
                work.filter.join(" ")
            );
        }
        (tally, ended_well)
    }
}
