//! `icecore salvage`: copies what is intact of a damaged store into a new one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use icecore_engine::{
    Error, Options, SalvageDamage, SalvagePhase, SalvageProgress, SalvageReport, salvage_path,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::Failure;
use crate::{print, print_json};

/// Copy what is provably intact of a damaged store into a new one, and say what was lost.
///
/// The damaged store stays as it is. Entries keep their versionstamps and expiries, queues their
/// messages. Exits with 0 when nothing was lost, with 4 when something was lost or may be stale,
/// and with 1 when nothing can be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the damaged store.
    store: PathBuf,
    /// A new or empty directory for what is left of it.
    out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// So many damaged places are printed one by one; `--json` gives all.
const PRINTED_MAX: usize = 100;

#[derive(Serialize)]
struct Answer<'a> {
    complete: bool,
    data_entries: u64,
    queue_entries: u64,
    stale_entries: u64,
    newest: String,
    found: Found,
    lost: Lost,
    damage: Vec<Place<'a>>,
    ignored: &'a [String],
    copy_is_clean: bool,
}

#[derive(Serialize)]
struct Found {
    tables: u64,
    versions: u64,
    segments: u64,
    commits: u64,
    range_deletions: u64,
}

#[derive(Serialize)]
struct Lost {
    versions: u64,
    deletions: u64,
    range_deletions: u64,
    commits_at_most: u64,
    more_than_that: bool,
    /// How many damaged places cost what.
    places: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    offset: u64,
    what: &'a str,
    lost: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let bar = ProgressBar::no_length().with_style(style());
    let mut show = |progress: SalvageProgress| show(&bar, progress);
    let result = salvage_path(&args.store, &args.out, &Options::default(), &mut show);
    bar.finish_and_clear();
    let report = result.map_err(failure)?;
    if args.json {
        print_json(&answer(&report))?;
    } else {
        print_text(&report)?;
    }
    verdict(&report, args)
}

/// The bar draws to standard error, and only if that is a terminal.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {wide_bar} {percent}%")
        .expect("the template is well formed")
}

fn show(bar: &ProgressBar, progress: SalvageProgress) {
    let message = match progress.phase {
        SalvagePhase::Tables => "reading tables",
        SalvagePhase::Log => "reading the log",
        SalvagePhase::Copy => "writing the copy",
        SalvagePhase::Check => "checking the copy",
        _ => "working",
    };
    bar.set_message(message);
    bar.set_length(progress.total.max(progress.done));
    bar.set_position(progress.done);
}

fn print_text(report: &SalvageReport) -> Result<(), Failure> {
    print(&report.to_string())?;
    for damage in report.damage.iter().take(PRINTED_MAX) {
        print(&format!("  {damage}"))?;
    }
    let more = report.damage.len().saturating_sub(PRINTED_MAX);
    if more > 0 {
        print(&format!("  and {more} other places: see --json"))?;
    }
    for ignored in &report.ignored {
        print(&format!("  not used: {ignored}"))?;
    }
    Ok(())
}

fn verdict(report: &SalvageReport, args: &Args) -> Result<(), Failure> {
    let out = args.out.display();
    if let Some(problem) = report.check.problems.first() {
        return Err(Failure::problem(format!("the copy in {out} is not in order: {problem}")));
    }
    if report.is_complete() {
        return Ok(());
    }
    let what = "something of the store was lost, or may be stale";
    Err(Failure::damaged(what).hint(format!("compare {out} with what you know, then use it")))
}

fn failure(error: Error) -> Failure {
    let hint = match &error {
        Error::Locked { .. } => {
            return Failure::locked(error.to_string())
                .hint("close the store in the other process, or wait until it has ended");
        }
        Error::NotFound { .. } => "name the directory of a store",
        Error::Corrupt { .. } => "restore the directory from a copy",
        Error::OutOfSpace { .. } => "make room on the disk, then run it again",
        _ => "name a new or empty directory outside of the store for the copy",
    };
    Failure::problem(error.to_string()).hint(hint)
}

fn answer(report: &SalvageReport) -> Answer<'_> {
    let mut places = BTreeMap::new();
    for damage in &report.damage {
        *places.entry(damage.loss.to_string()).or_default() += 1;
    }
    Answer {
        complete: report.is_complete(),
        data_entries: report.data_entries,
        queue_entries: report.queue_entries,
        stale_entries: report.stale_entries,
        newest: report.newest.to_string(),
        found: Found {
            tables: report.tables,
            versions: report.versions,
            segments: report.segments,
            commits: report.commits,
            range_deletions: report.range_deletions,
        },
        lost: Lost {
            versions: report.versions_lost,
            deletions: report.deletions_lost,
            range_deletions: report.range_deletions_lost,
            commits_at_most: report.commits_lost,
            more_than_that: report.losses_are_unknown,
            places,
        },
        damage: report.damage.iter().map(place).collect(),
        ignored: &report.ignored,
        copy_is_clean: report.check.is_clean(),
    }
}

fn place(damage: &SalvageDamage) -> Place<'_> {
    let lost = damage.loss.to_string();
    Place { file: &damage.file, offset: damage.offset, what: &damage.what, lost }
}
