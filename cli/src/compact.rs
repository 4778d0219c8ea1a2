//! `icecore compact`: gives back the space of what is deleted, overwritten or expired.

use std::path::PathBuf;

use serde::Serialize;

use crate::failure::Failure;
use crate::{print, print_json, store};

/// Merge the tables of a store until there is nothing left to gain.
///
/// A store does so by itself while it is written to; this is for the moment after many deletions, or
/// before a copy is made. It needs room for the largest merge.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the store.
    store: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What the tables took, in bytes.
#[derive(Serialize)]
struct Answer {
    table_bytes_before: u64,
    table_bytes_after: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kv = store::open_to_work(&args.store)?;
    let table_bytes =
        || -> Result<u64, Failure> { Ok(kv.stats()?.levels.iter().map(|level| level.bytes).sum()) };
    let table_bytes_before = table_bytes()?;
    kv.compact()?;
    let table_bytes_after = table_bytes()?;
    kv.close()?;
    if args.json {
        print_json(&Answer { table_bytes_before, table_bytes_after })
    } else {
        print(&format!("table bytes       {table_bytes_before} before, {table_bytes_after} after"))
    }
}
