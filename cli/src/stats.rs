//! `icecore stats`: what a store holds, in numbers.
//!
//! The store is opened for reading, so the counters of its life as a writer are not among them.

use std::fmt::Write;
use std::path::PathBuf;

use icecore::Stats;
use serde::Serialize;

use crate::failure::Failure;
use crate::{print, print_json, store};

/// Say what a store holds, in numbers. Changes nothing.
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
    /// The newest commit.
    versionstamp: String,
    /// Every commit up to this one is in tables.
    flushed: String,
    /// The memory that the commits take that are only in the log.
    memtable_bytes: u64,
    table_bytes: u64,
    levels: Vec<Level>,
}

#[derive(Serialize)]
struct Level {
    tables: u64,
    bytes: u64,
    entries: u64,
    tombstones: u64,
    range_tombstones: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kv = store::open_to_look(&args.store)?;
    let answer = answer(&kv.stats()?);
    kv.close()?;
    if args.json { print_json(&answer) } else { print(table(&answer).trim_end()) }
}

fn answer(stats: &Stats) -> Answer {
    let levels = stats.levels.iter().map(|level| Level {
        tables: level.tables,
        bytes: level.bytes,
        entries: level.entries,
        tombstones: level.tombstones,
        range_tombstones: level.range_tombstones,
    });
    Answer {
        versionstamp: stats.visible.to_string(),
        flushed: stats.flushed.to_string(),
        memtable_bytes: stats.memtable_bytes,
        table_bytes: stats.levels.iter().map(|level| level.bytes).sum(),
        levels: levels.collect(),
    }
}

fn table(answer: &Answer) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        writeln!(text, "{name:<18}{value}").expect("a string takes all that is written");
    };
    line("versionstamp", &answer.versionstamp);
    line("flushed", &answer.flushed);
    line("memtable bytes", &answer.memtable_bytes.to_string());
    line("table bytes", &answer.table_bytes.to_string());
    line("level", "    tables          bytes      entries   tombstones");
    for (number, level) in answer.levels.iter().enumerate().filter(|(_, level)| level.tables > 0) {
        let Level { tables, bytes, entries, tombstones, range_tombstones } = level;
        let tombstones = tombstones + range_tombstones;
        line(
            &number.to_string(),
            &format!("{tables:>10} {bytes:>14} {entries:>12} {tombstones:>12}"),
        );
    }
    text
}
