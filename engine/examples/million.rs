//! A million keys in random order against a model, with small memtables and small tables:
//! `cargo run --release -p icecore-engine --example million [-- KEYS]`.
//!
//! Prints how long each part took, and how many flushes and compactions there were. Exits with 1
//! on any difference.

use std::process::ExitCode;

use icecore_disk::Clock;
use icecore_disk::clock::SystemClock;
use icecore_engine::Engine;

#[path = "../tests/it/million.rs"]
mod million;

use million::{Failure, History, options};

/// How often three quarters of the keys are overwritten or deleted: often enough that flushes and
/// compactions both go into the thousands.
const ROUNDS: u32 = 24;

fn main() -> ExitCode {
    let keys = std::env::args().nth(1).map_or(Ok(1_000_000), |keys| keys.parse());
    let ran = keys.map_err(Failure::from).and_then(run);
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(keys: usize) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let timed = |part: &str, work: &mut dyn FnMut() -> Result<(), Failure>| {
        let start = clock.monotonic();
        let done = work();
        println!("{part:<24} {:8.2} s", (clock.monotonic() - start).as_secs_f64());
        done
    };
    let directory = tempfile::tempdir()?;
    let engine = Engine::open_path(directory.path(), options())?;
    let mut history = History::new(1, keys);
    timed("fill", &mut || history.fill(&engine))?;
    for round in 2..2 + ROUNDS {
        timed("overwrite and delete", &mut || history.churn(&engine, round))?;
    }
    timed("compare", &mut || history.compare(&engine))?;
    let stats = engine.stats()?;
    let Some(deepest) = stats.levels.iter().rposition(|level| level.tables > 0) else {
        return Err("nothing reached the tables".into());
    };
    println!(
        "{} commits, {} flushes, {} compactions, {} moves, deepest level {deepest}",
        stats.commits, stats.flushes, stats.compactions, stats.moves,
    );
    println!(
        "{} MiB flushed, {} MiB rewritten; {} stops, {} ms of delays",
        stats.flushed_bytes >> 20,
        stats.compacted_bytes_written >> 20,
        stats.stops,
        stats.delayed_us / 1_000,
    );
    timed("compact", &mut || Ok(engine.compact()?))?;
    timed("compare", &mut || history.compare(&engine))?;
    timed("close", &mut || Ok(engine.close()?))?;
    let mut reopened = None;
    timed("reopen", &mut || {
        reopened = Some(Engine::open_path(directory.path(), options())?);
        Ok(())
    })?;
    let engine = reopened.ok_or("it was just opened")?;
    timed("compare", &mut || history.compare(&engine))?;
    Ok(())
}
