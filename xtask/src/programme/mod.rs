//! `cargo xtask programme` and `cargo xtask soak`: the crash-safety programme, check by check.
//!
//! Each check runs as a process of its own, one after the other, because most of them use all cores.
//! The *gate* gives each its share of a few minutes, so that every change meets all of them; the *soak*
//! gives them hours and writes a report. Both come from one table, [`checks::ALL`].
//!
//! 1. A check counts as passed only if its own last line says that it held. A skipped one is counted
//!    as skipped, with its reason.
//! 2. A check that does not end long after its time is over is killed, with everything that it
//!    started, and has failed.
//! 3. Time that one check leaves over goes to those that follow.

mod checks;
mod child;
mod report;

use std::time::{Duration, Instant};

use clap::Args;

use checks::{Check, Form};
use child::{Ended, Finished, Program};

use crate::report::grouped;

/// What the gate runs.
#[derive(Args)]
pub(crate) struct Gate {
    /// For all checks together, without what they have to build.
    #[arg(long, default_value_t = 12)]
    minutes: u64,
    /// Only the checks of these ids, as in "B1,B8".
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The seed of every check; each draws its own if it is left out.
    #[arg(long)]
    seed: Option<u64>,
}

/// What the soak runs.
#[derive(Args)]
pub(crate) struct Soak {
    /// For all checks together, without what they have to build.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Only the checks of these ids, as in "B1,B8".
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the report goes.
    #[arg(long, default_value = "target/soak/report.md")]
    report: std::path::PathBuf,
}

/// Says whether no check failed.
pub(crate) fn gate(arguments: &Gate) -> bool {
    let time = Duration::from_secs(arguments.minutes * 60);
    let finished = run_all(|check| check.gate, &arguments.only, time, arguments.seed, |_| ());
    summarize(&finished)
}

/// Says whether no check failed, and the report is written.
pub(crate) fn soak(arguments: &Soak) -> bool {
    let time = Duration::from_secs_f64(arguments.hours * 3600.0);
    let begun = report::Beginning::now();
    // Written after each check, so that a soak which is stopped has a report of what it did.
    let write = |finished: &[Finished]| {
        if let Err(error) = report::write(&arguments.report, &begun, finished) {
            println!("cannot write {}: {error}", arguments.report.display());
        }
    };
    let finished = run_all(|check| check.soak, &arguments.only, time, None, write);
    let written = report::write(&arguments.report, &begun, &finished);
    if let Err(error) = &written {
        println!("cannot write {}: {error}", arguments.report.display());
    }
    summarize(&finished) & written.is_ok()
}

#[expect(clippy::disallowed_methods, reason = "the programme is bounded by real time")]
fn run_all(
    form: impl Fn(&Check) -> Option<Form>,
    only: &[String],
    time: Duration,
    seed: Option<u64>,
    after_each: impl Fn(&[Finished]),
) -> Vec<Finished> {
    let wanted = |check: &&Check| only.is_empty() || only.iter().any(|id| id == check.id);
    let chosen = checks::ALL.iter().filter(wanted).filter_map(|check| Some((check, form(check)?)));
    let chosen: Vec<_> = chosen.collect();
    let begun = Instant::now();
    let program = match Program::copy() {
        Ok(program) => program,
        Err(error) => {
            println!("this program cannot be copied: {error}");
            return Vec::new();
        }
    };
    let mut building = Duration::ZERO;
    let mut finished: Vec<Finished> = Vec::new();
    for (at, (check, form)) in chosen.iter().enumerate() {
        let weights: u32 = chosen[at..].iter().map(|(_, form)| form.weight).sum();
        let left = time.saturating_sub(begun.elapsed().saturating_sub(building));
        let share = left.mul_f64(f64::from(form.weight) / f64::from(weights.max(1)));
        let ended = child::run(&program, check, *form, share, seed);
        building += ended.building(share);
        finished.push(ended);
        after_each(&finished);
    }
    finished
}

/// Prints what became of the checks.
fn summarize(finished: &[Finished]) -> bool {
    let count = |wanted: fn(&Ended) -> bool| finished.iter().filter(|f| wanted(&f.ended)).count();
    println!("\n== the programme");
    for one in finished {
        println!("{}", one.line());
    }
    let (held, failed, skipped) = (
        count(|ended| matches!(ended, Ended::Held)),
        count(|ended| matches!(ended, Ended::Failed(_))),
        count(|ended| matches!(ended, Ended::Skipped)),
    );
    let all = grouped(finished.len() as u64);
    println!("== {all} checks: {held} held, {failed} failed, {skipped} skipped");
    failed == 0 && held > 0
}
