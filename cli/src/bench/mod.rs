//! `icecore bench`: how fast the store is on this machine, in half a minute.
//!
//! - [`data`]: the records, and how to tell that one is right.
//! - [`drive`]: threads that do one thing again and again, and the times that it takes.
//! - [`workloads`]: what is measured.
//! - [`report`]: what came of it.
//!
//! 1. Whatever is read is looked at: a wrong answer ends the run, however fast it came.
//! 2. Reads are measured after a flush and a new start, so that they come from tables.
//! 3. A durable row asks for a sync before each commit returns; a buffered row for none.

mod data;
mod drive;
mod report;
mod workloads;

use std::path::PathBuf;
use std::time::Duration;

use icecore_disk::clock::SystemClock;
use tempfile::TempDir;

use self::workloads::Bench;
use crate::failure::Failure;
use crate::figures::parse_seconds;

/// Measure how fast the store is on this machine.
///
/// All is done in a new directory, which is removed afterwards. How Icecore compares with other
/// stores is another program's business: see docs/performance.md.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory in which a temporary store is made, on the disk that is to be measured
    /// [default: the current one].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many records are loaded and read.
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    keys: u64,
    /// The size of a value in bytes.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(8..=65_536))]
    value_bytes: u32,
    /// For how long each row is measured; loads and scans take what they take.
    #[arg(long, default_value = "1", value_parser = parse_seconds)]
    seconds: Duration,
    /// How many threads the rows with several commits at once have.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=1024))]
    threads: u32,
    /// Only rows whose names contain this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Print one JSON object for each row.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|text| name.contains(text.as_str()))
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let parent = args.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    let directory: TempDir = tempfile::Builder::new()
        .prefix("icecore-bench-")
        .tempdir_in(&parent)
        .map_err(|e| Failure::io(&format!("create a directory in {}", parent.display()), &e))?;
    let clock = SystemClock::new();
    let bench = Bench::new(args, directory.path(), &clock);
    if !args.json {
        report::head(args)?;
    }
    let measured = bench.run();
    let gone = directory.close().map_err(|e| Failure::io("remove the temporary store", &e));
    measured.and(gone)
}
