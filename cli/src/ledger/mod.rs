//! `icecore ledger`: agents that move money between accounts, and the proof that none was lost.
//!
//! - [`accounts`]: accounts, transfers, and the sum of all balances.
//! - [`agents`]: threads that transfer until they are told to stop.
//! - [`report`]: what came of it.
//! - [`journal`]: the acknowledgements that a child tells its parent.
//! - [`crash`]: kills a child again and again.
//! - [`verify`]: what a store must still hold after that.

pub(crate) mod accounts;
mod agents;
mod crash;
mod journal;
mod report;
mod verify;

use std::path::{Path, PathBuf};
use std::time::Duration;

use icecore::{Durability, Kv, Limits, Part, prefix};
use icecore_disk::Random;
use icecore_disk::clock::SystemClock;
use icecore_disk::random::SystemRandom;
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;

use self::accounts::Accounts;
use self::agents::{Agents, Progress};
use self::journal::Journal;
use self::report::Report;
use crate::failure::Failure;
use crate::figures::parse_seconds;
use crate::{print, print_json};

/// Let agents move money between accounts, and prove that none was lost.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the store [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How many accounts there are.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    accounts: u32,
    /// How many agents work at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// For how long.
    #[arg(long, default_value = "5", value_parser = parse_seconds)]
    seconds: Duration,
    /// Commits need not survive a power cut, only the end of the process.
    #[arg(long)]
    buffered: bool,
    /// Makes the choices of the agents repeatable.
    #[arg(long)]
    seed: Option<u64>,
    /// Kill a child process at work this many times, and verify after each time that nothing
    /// acknowledged is lost.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..))]
    crash: Option<u32>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// The number of this life of a child; it tells every acknowledgement on standard output.
    #[arg(long, hide = true, conflicts_with_all = ["crash", "json"])]
    life: Option<u64>,
}

impl Args {
    fn durability(&self) -> Durability {
        if self.buffered { Durability::Buffered } else { Durability::Sync }
    }

    fn open(&self, path: &Path) -> Result<Kv, Failure> {
        // One commit makes all accounts, however many there are: a kill leaves all of them or none.
        let builder = Kv::builder(path).limits(Limits::none());
        Ok(builder.durability(self.durability()).open()?)
    }

    fn seed(&self) -> Result<u64, Failure> {
        let drawn = self.seed.map_or_else(|| SystemRandom.next_u64(), Ok);
        drawn.map_err(|e| Failure::io("draw a random number", &e))
    }
}

/// The directory of the store: the one that was asked for, or one that goes when this goes.
enum Directory {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Directory {
    fn new(args: &Args) -> Result<Directory, Failure> {
        match &args.store {
            Some(path) => Ok(Directory::Given(path.clone())),
            None => tempfile::Builder::new()
                .prefix("icecore-ledger-")
                .tempdir()
                .map(Directory::Temporary)
                .map_err(|e| Failure::io("create a temporary directory", &e)),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Directory::Given(path) => path.clone(),
            Directory::Temporary(directory) => directory.path().join("store"),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let directory = Directory::new(args)?;
    match (args.crash, args.life) {
        (Some(kills), _) => crash::run(args, &directory.path(), kills),
        (None, Some(life)) => work_for_parent(args, &directory.path(), life),
        (None, None) => work_and_report(args, &directory.path()),
    }
}

fn work_and_report(args: &Args, path: &Path) -> Result<(), Failure> {
    let kv = args.open(path)?;
    refuse_other_content(&kv)?;
    let accounts = Accounts::open(&kv, args.accounts)?;
    let total_before = accounts.total(&kv)?;
    let bar = progress_bar(args.seconds);
    let clock = SystemClock::new();
    let agents = Agents {
        kv: &kv,
        accounts: &accounts,
        clock: &clock,
        threads: args.threads,
        seed: args.seed()?,
        journal: None,
    };
    let tally = agents.work(args.seconds, &mut |progress| show(&bar, &progress))?;
    bar.finish_and_clear();
    // What counts is what the directory holds, not what is in memory.
    kv.close()?;
    let kv = args.open(path)?;
    let total_after = accounts.total(&kv)?;
    kv.close()?;

    let report = Report::new(&tally, total_before, total_after);
    if args.json {
        print_json(&report)?;
    } else {
        print(&report.text(args))?;
    }
    if report.conserved {
        Ok(())
    } else {
        Err(Failure::problem("the sum of all balances has changed"))
    }
}

/// The life of a child: it works until it is killed.
fn work_for_parent(args: &Args, path: &Path, life: u64) -> Result<(), Failure> {
    let kv = args.open(path)?;
    refuse_other_content(&kv)?;
    let accounts = Accounts::open(&kv, args.accounts)?;
    let clock = SystemClock::new();
    let journal = Journal::new(life);
    let agents = Agents {
        kv: &kv,
        accounts: &accounts,
        clock: &clock,
        threads: args.threads,
        seed: args.seed()?,
        journal: Some(&journal),
    };
    agents.work(Duration::MAX, &mut |_| ())?;
    Ok(())
}

/// The line that shows how far the agents have come; nothing when standard error is no terminal.
fn progress_bar(duration: Duration) -> ProgressBar {
    let length = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let style = ProgressStyle::with_template("{wide_bar} {msg}").expect("the template is valid");
    ProgressBar::new(length).with_style(style)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position(u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX));
    let rate = progress.transfers as f64 / progress.elapsed.as_secs_f64().max(0.001);
    bar.set_message(format!(
        "{} transfers, {rate:.0} per second, {} conflicts",
        progress.transfers, progress.conflicts
    ));
}

/// Refuses a store with anything but a ledger in it: its balances would be added to the sum, and its
/// keys could be those of accounts. The first and the last key tell.
fn refuse_other_content(kv: &Kv) -> Result<(), Failure> {
    let ends = [kv.list(prefix![]).next(), kv.list(prefix![]).next_back()];
    for entry in ends.into_iter().flatten() {
        let key = entry?.key;
        let parts = key.parts()?;
        let is_ours =
            |part: &Part| matches!(part, Part::String(s) if s == "account" || s == "transfer");
        if !parts.first().is_some_and(is_ours) {
            let what = format!("the store holds other data than a ledger: {key}");
            return Err(Failure::problem(what).hint("name an empty or a missing directory"));
        }
    }
    Ok(())
}
