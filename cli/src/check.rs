//! `icecore check`: reads everything in a store and says what is wrong.

use std::path::PathBuf;

use icecore::{CheckReport, Error, ErrorKind};
use serde::Serialize;

use crate::failure::Failure;
use crate::{print, print_json, store};

/// Read every byte of a store, and say what is wrong with it. Changes nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the store.
    store: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    clean: bool,
    keys: u64,
    messages: u64,
    tables: u64,
    table_entries: u64,
    table_bytes: u64,
    log_commits: u64,
    problems: Vec<Problem>,
}

#[derive(Serialize)]
struct Problem {
    what: String,
    /// The damaged file and where in it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kv = store::open_to_look(&args.store)?;
    let report = kv.check()?;
    kv.close()?;
    if args.json {
        print_json(&answer(&report))?;
    } else {
        print(&report.to_string())?;
        for problem in &report.problems {
            print(&format!("  {problem}"))?;
        }
    }
    worst(report.problems).map_or(Ok(()), |error| Err(Failure::from(error)))
}

/// The problem that decides how the command ends: damage, if there is any.
fn worst(problems: Vec<Error>) -> Option<Error> {
    let harmless = |error: &Error| !matches!(error.kind(), ErrorKind::Corrupt { .. });
    problems.into_iter().min_by_key(harmless)
}

fn answer(report: &CheckReport) -> Answer {
    Answer {
        clean: report.is_clean(),
        keys: report.keys,
        messages: report.messages,
        tables: report.tables,
        table_entries: report.table_entries,
        table_bytes: report.table_bytes,
        log_commits: report.log_commits,
        problems: report.problems.iter().map(problem).collect(),
    }
}

fn problem(error: &Error) -> Problem {
    let (file, offset) = match error.kind() {
        ErrorKind::Corrupt { file, offset } => (Some(file), Some(offset)),
        _ => (None, None),
    };
    Problem { what: error.to_string(), file, offset }
}
