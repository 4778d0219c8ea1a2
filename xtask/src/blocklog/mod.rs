//! `cargo xtask blocklog`: does the store survive a power cut after any write to the block device?
//!
//! A child commits to a store on a file system whose device logs every write and every flush
//! ([`record`]). From that log, crash images are built: the device after each prefix of the writes,
//! and after some of the writes that no flush had made durable yet, cut at sectors ([`crash`]). Each
//! image is mounted, opened and compared with [what it must hold](crate::chronicle).

mod crash;
mod log;
mod record;

use std::fmt;

use clap::{Args, ValueEnum};
use icecore_engine::{Durability, Engine};
use icecore_sim::dice::Dice;

use self::crash::Crash;
pub(crate) use self::log::ENTRIES_AT;
use self::record::Recording;
use crate::chronicle::batch::{Origin, submit};
use crate::chronicle::child::wait;
use crate::chronicle::settings::settings;
use crate::mounts::{self, Failure, FileSystem, Inside, Stage};
use crate::report::{Budget, Ending, Run, grouped};

/// The life of a store that an image is opened in; no child has it.
const AFTERWARDS: u64 = 1_000_000;

/// How much.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The most crash images; all that the log gives if it is less.
    #[arg(long, default_value_t = 300)]
    images: u64,
    /// How many commits one recording has at least.
    #[arg(long, default_value_t = 500)]
    commits: u64,
    /// How many crash images come from one recording.
    #[arg(long, default_value_t = 2_000)]
    each: u64,
    /// The file system.
    #[arg(long, value_enum, default_value_t = Kind::Ext4)]
    file_system: Kind,
    #[command(flatten)]
    budget: Budget,
    #[command(flatten)]
    inside: Inside,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    fn file_system(self) -> FileSystem {
        match self {
            Kind::Ext4 => FileSystem::Ext4,
            Kind::Xfs => FileSystem::Xfs,
            Kind::Btrfs => FileSystem::Btrfs,
        }
    }
}

/// What was examined.
#[derive(Debug, Default)]
struct Totals {
    recordings: u64,
    commits: u64,
    entries: u64,
    prefixes: u64,
    subsets: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefixes, subsets) = (grouped(self.prefixes), grouped(self.subsets));
        let (entries, commits) = (grouped(self.entries), grouped(self.commits));
        write!(
            f,
            "{} images ({prefixes} prefixes, {subsets} subsets) of {entries} writes and flushes, \
             {commits} acknowledged commits, {} recordings",
            grouped(self.prefixes + self.subsets),
            self.recordings
        )
    }
}

/// Says whether nothing was violated.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let file_system = arguments.file_system.file_system();
    let missing = file_system.missing().or_else(record::missing);
    let stage = match missing.map_or_else(|| mounts::enter(&arguments.inside), Err) {
        Ok(stage) => stage,
        Err(reason) => return run.conclude("B10", "blocklog", "", &Ending::Skipped(reason)),
    };
    let mut totals = Totals::default();
    let examined = examine(arguments, &stage, &run, &mut totals);
    let ending = match examined {
        Ok(()) => Ending::of(totals.prefixes + totals.subsets, true),
        Err(failure) => {
            println!("{failure}");
            let (seed, name) = (run.seed(), file_system.name());
            println!("replay: cargo xtask blocklog --file-system {name} --seed {seed}");
            Ending::Violated
        }
    };
    let counts = format!("{}: {totals}", file_system.name());
    run.conclude("B10", "blocklog", &counts, &ending)
}

/// Records and examines until there are enough images.
fn examine(
    arguments: &Arguments,
    stage: &Stage,
    run: &Run,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let file_system = arguments.file_system.file_system();
    while totals.prefixes + totals.subsets < arguments.images && !run.is_over() {
        totals.recordings += 1;
        let seed = run.seed() + totals.recordings - 1;
        let recording = record::record(stage, run, file_system, seed, arguments.commits)?;
        totals.entries += recording.entries.len() as u64;
        totals.commits += recording.chronicle.durable();
        let dice = Dice::new(seed);
        let left = arguments.images - totals.prefixes - totals.subsets;
        let crashes = crash::choose(&recording.entries, &dice);
        let most = usize::try_from(left.min(arguments.each))?;
        for crash in crashes.iter().take(most) {
            if run.is_over() {
                break;
            }
            examine_image(stage, file_system, &recording, crash)
                .map_err(|failure| format!("store {seed} after {crash}: {failure}"))?;
            *(if crash.is_prefix() { &mut totals.prefixes } else { &mut totals.subsets }) += 1;
        }
    }
    Ok(())
}

/// Mounts, opens, compares, and commits once more.
fn examine_image(
    stage: &Stage,
    file_system: FileSystem,
    recording: &Recording,
    crash: &Crash,
) -> Result<(), Failure> {
    let image = stage.path("crash");
    let device = crash.device(&recording.base, &recording.entries, &file_system.superblock());
    device.write(&image, file_system.bytes())?;
    let mounted = stage.mount(&image, "disk", "")?;
    let mut chronicle = recording.chronicle.clone();
    chronicle.lower_floor(recording.floor(crash.durable()));
    let origin = Origin { seed: recording.seed, life: AFTERWARDS };
    let engine = Engine::open_path(mounted.path().join("store"), settings(origin))
        .map_err(|e| format!("the store cannot be opened: {e}"))?;
    let number = chronicle.verify(&engine)?;
    let next = submit(&engine, &origin.batch(number + 1), Durability::Sync);
    wait(next).map_err(|e| format!("the store takes no commits: {e}"))?;
    engine.close().map_err(|e| format!("the store cannot be closed: {e}"))?;
    drop(engine);
    mounted.unmount()
}
