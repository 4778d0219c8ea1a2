//! Many small entries within little memory: a load in random order, then reads.
//!
//! 1. All of it happens within a memory cgroup, page cache included. Whoever may make none is told so,
//!    and measures without a limit.
//! 2. Every value says which key it belongs to. Reads look at that, and at the end a walk over all
//!    entries compares all of them.

use std::path::PathBuf;

use clap::Parser;
use icecore::{Commit, Kv, Limits, Value, key};
use tempfile::TempDir;

use crate::compare::Result;
use crate::compare::drive::{Measure, Plan, SAMPLED, drive};
use crate::compare::key::{Key, TABLE};
use crate::compare::memory_group::MemoryGroup;
use crate::compare::process;
use crate::compare::random::Random;
use crate::compare::value;

mod order;

use order::Order;

/// Keys that are committed at once.
const BATCH: u64 = 1000;
/// The loaded numbers are even; the odd ones are missing.
const STEP: u64 = 2;
/// What every entry says.
const CONTENT: u64 = 1;
/// How many keys are read at once.
const MANY: usize = 10;
/// How often the load says how far it is.
const REPORTS: u64 = 10;

/// What is to be loaded.
#[derive(Debug, Parser)]
#[command(about = "Loads many small entries within little memory, and reads them")]
pub struct Arguments {
    /// How many entries.
    #[arg(long, default_value_t = 100_000_000)]
    keys: u64,
    /// MiB of memory for all of it, page cache included; 0 for no limit.
    #[arg(long, default_value_t = 2048)]
    memory: u64,
    /// Seconds for each kind of read.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The order of the keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where a temporary directory is made for the store; its disk is what is measured.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Loads, reads, compares, and prints what it took.
///
/// # Errors
/// Those of the store, and whatever is not what it must be.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.keys == 0 {
        return Err("a load has at least one key".into());
    }
    let group = match arguments.memory {
        0 => None,
        mebibytes => match MemoryGroup::create(mebibytes << 20) {
            Ok(group) => Some(group),
            Err(reason) => {
                println!("no limit of memory: {reason}");
                None
            }
        },
    };
    if let Some(group) = &group {
        MemoryGroup::enter(&group.path())?;
    }
    let done = run_within(arguments);
    if let Some(group) = group {
        if let Some(peak) = group.peak() {
            println!("peak of the cgroup: {} MiB of {}", peak >> 20, arguments.memory);
        }
        group.leave()?;
        group.remove()?;
    }
    done
}

fn run_within(arguments: &Arguments) -> Result<()> {
    let directory = match &arguments.dir {
        Some(dir) => TempDir::new_in(dir)?,
        None => TempDir::new()?,
    };
    let path = directory.path().join("store");
    let kv = Kv::builder(&path)
        .durability(icecore::Durability::Buffered)
        .limits(Limits::none())
        .open()?;
    let keys = arguments.keys;
    let entries_bytes = keys * (crate::compare::key::KEY_BYTES + value::VALUE_BYTES) as u64;
    let (begin, written) = (process::now(), process::bytes_written());
    load(&kv, keys, arguments.seed)?;
    say("load", keys as f64 / begin.elapsed().as_secs_f64(), "entries a second, with its sync");
    kv.flush()?;
    process::quiet(|| Ok(kv.stats()?.levels))?;
    let seconds = begin.elapsed().as_secs_f64();
    say("load, settled", keys as f64 / seconds, "entries a second");
    let written = (process::bytes_written() - written) as f64 / entries_bytes as f64;
    let space = process::space(&path)? as f64 / entries_bytes as f64;
    println!("written {written:.2} times, space {space:.2} times {} MiB", entries_bytes >> 20);
    process::forget_pages(&path)?;
    reads(&kv, arguments)?;
    let begin = process::now();
    compare(&kv, keys)?;
    say("all in order", keys as f64 / begin.elapsed().as_secs_f64(), "entries a second, all right");
    println!("resident memory of the process: {} MiB at most", process::peak_memory() >> 20);
    kv.close()?;
    let begin = process::now();
    let kv = Kv::builder(&path).open()?;
    read(&kv, 0)?;
    println!("opened and read: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    Ok(kv.close()?)
}

fn say(what: &str, rate: f64, unit: &str) {
    println!("{what}: {rate:.0} {unit}");
}

fn key_of(number: u64) -> icecore::Key {
    key![TABLE, Key::of(number).digits()]
}

fn load(kv: &Kv, keys: u64, seed: u64) -> Result<()> {
    let order = Order::new(keys, seed);
    let mut bytes = Vec::new();
    let (mut begin, mut reported) = (process::now(), 0);
    for first in (0..keys).step_by(usize::try_from(BATCH)?) {
        let mut atomic = kv.atomic();
        for place in first..keys.min(first + BATCH) {
            let key = Key::of(order.at(place) * STEP);
            value::write(&mut bytes, &key, CONTENT, value::VALUE_BYTES);
            atomic = atomic.set(key![TABLE, key.digits()], &bytes);
        }
        if !matches!(atomic.commit()?, Commit::Done { .. }) {
            return Err("a commit without checks has failed one".into());
        }
        if (first + BATCH - reported) * REPORTS >= keys {
            let rate = (first + BATCH - reported) as f64 / begin.elapsed().as_secs_f64();
            let memory = process::own_memory() >> 20;
            println!("  {} loaded, {rate:.0} a second, {memory} MiB resident", first + BATCH);
            (begin, reported) = (process::now(), first + BATCH);
        }
    }
    let mark = kv.atomic().delete(key!["mark"]);
    Ok(mark.commit_with(icecore::Durability::Sync).map(drop)?)
}

/// Reads one loaded key, which must be there.
fn read(kv: &Kv, number: u64) -> Result<()> {
    look(number, kv.get(key_of(number))?.value.as_ref())
}

fn look(number: u64, found: Option<&Value>) -> Result<()> {
    match found {
        Some(Value::Bytes(bytes)) if value::content(number, bytes)? == CONTENT => Ok(()),
        other => Err(format!("key {number} has {other:?}").into()),
    }
}

fn reads(kv: &Kv, arguments: &Arguments) -> Result<()> {
    let Arguments { keys, seconds, seed, .. } = *arguments;
    let timed = |threads| Plan { threads, stride: SAMPLED, ..Plan::lasting(seconds) };
    for threads in [1, 2] {
        let measure = drive(timed(threads), |thread| {
            let mut random = Random::stream(seed, thread as u64);
            move || read(kv, random.below(keys) * STEP).map(|()| 1)
        })?;
        tell(&format!("gets of {threads} threads"), &measure);
    }
    let measure = drive(Plan::lasting(seconds), |_| {
        let mut random = Random::stream(seed, 2);
        move || {
            let numbers = [(); MANY].map(|()| random.below(keys) * STEP);
            let entries = kv.get_many(numbers.map(key_of))?;
            for (number, entry) in numbers.iter().zip(&entries) {
                look(*number, entry.value.as_ref())?;
            }
            Ok(MANY as u64)
        }
    })?;
    tell("keys of gets of ten", &measure);
    let measure = drive(timed(1), |_| {
        let mut random = Random::stream(seed, 3);
        move || match kv.get(key_of(random.below(keys) * STEP + 1))?.value {
            None => Ok(1),
            Some(_) => Err("a key that was never set".into()),
        }
    })?;
    tell("gets of missing keys", &measure);
    Ok(())
}

fn tell(what: &str, measure: &Measure) {
    let us = |quantile| measure.latency.value_at_quantile(quantile) as f64 / 1e3;
    let rate = measure.rate();
    println!("{what}: {rate:.0} a second, p50 {:.1} µs, p99 {:.1} µs", us(0.5), us(0.99));
}

/// Walks over all entries, which must be those that were loaded, byte by byte.
fn compare(kv: &Kv, keys: u64) -> Result<()> {
    let (mut next, mut expected) = (0, Vec::new());
    for entry in kv.list(key_of(0)..) {
        let entry = entry?;
        let number = Key::number_of(entry.key.encoded())?;
        let Some(Value::Bytes(bytes)) = &entry.value else {
            return Err(format!("{:?} is not what was stored", entry.key).into());
        };
        if number != next || value::verify(number, bytes, &mut expected)? != CONTENT {
            return Err(format!("key {number} came where {next} must come").into());
        }
        next += STEP;
    }
    if next == keys * STEP { Ok(()) } else { Err(format!("the walk ended before {next}").into()) }
}
