//! `cargo xtask enospc`: what becomes of a store when its disk is full?
//!
//! Small file systems are filled again and again, by the store itself or by a foreign file that
//! takes the space, at many points of the store's life. While nothing is free:
//!
//! 1. Reads, snapshots, checks, closing and opening work.
//! 2. A commit, a flush or a compaction succeeds or says `OutOfSpace`, and nothing else.
//! 3. Nothing that was acknowledged is lost, and nothing that was refused is there.
//!
//! Once there is room, commits go on: without reopening, unless the store was opened while the
//! disk was full, when they need one. A store that has filled the disk itself deletes, flushes and
//! compacts from its reserve, also after it was closed and opened on it, and so makes room for other
//! commits.

mod fill;

use std::process;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::Args;
use icecore_sim::dice::Dice;

use self::fill::{Fill, Filler, Totals};
use crate::mounts::{self, Failure, FileSystem, Inside, Stage};
use crate::report::{Budget, Ending, grouped};

/// A fill that takes so long hangs.
const HANG: Duration = Duration::from_secs(60);

/// How much.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How often a disk is filled.
    #[arg(long, default_value_t = 200)]
    fills: u64,
    #[command(flatten)]
    budget: Budget,
    #[command(flatten)]
    inside: Inside,
}

/// Says whether nothing was violated.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let stage = match mounts::enter(&arguments.inside) {
        Ok(stage) => stage,
        Err(reason) => return run.conclude("B13", "enospc", "", &Ending::Skipped(reason)),
    };
    let ext4 = FileSystem::Ext4.missing();
    let mut totals = Totals::default();
    let (mut done, mut held) = (0, true);
    while done < arguments.fills && !run.is_over() {
        let seed = run.seed() + done;
        if let Err(failure) = watched(seed, || fill(&stage, seed, ext4.is_none(), &mut totals)) {
            println!("{failure}");
            println!("replay: cargo xtask enospc --fills 1 --seed {seed}");
            held = false;
            break;
        }
        done += 1;
    }
    let skipped = ext4.map(|missing| format!(", ext4 skipped: {missing}")).unwrap_or_default();
    let counts = format!("{} fills, {totals}{skipped}", grouped(done));
    run.conclude("B13", "enospc", &counts, &Ending::of(done, held))
}

/// Fills one file system, chosen by the seed.
fn fill(stage: &Stage, seed: u64, ext4: bool, totals: &mut Totals) -> Result<(), Failure> {
    let dice = Dice::new(seed);
    let on_ext4 = dice.one_in(2) && ext4;
    let megabytes = dice.between(if on_ext4 { 16 } else { 10 }, 28) as u64;
    let mounted = if on_ext4 {
        let image = stage.image("image", FileSystem::Ext4, megabytes << 20)?;
        stage.mount(&image, "disk", dice.pick(&["", "nodelalloc", "data=journal"]))?
    } else {
        stage.memory("disk", megabytes << 20)?
    };
    let name = if on_ext4 { "ext4" } else { "tmpfs" };
    let filler = if dice.one_in(2) { Filler::Store } else { Filler::Foreign };
    let told = |what| format!("{name} of {megabytes} MiB, filled by {filler:?}: {what}");
    Fill::new(mounted.path(), seed, dice, filler, totals).run().map_err(told)?;
    mounted.unmount()
}

/// Does the work, and ends the process if it hangs: nothing else could be done about it.
fn watched<T>(seed: u64, work: impl FnOnce() -> T) -> T {
    let (done, watch) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if watch.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
                println!("a fill hangs; replay: cargo xtask enospc --fills 1 --seed {seed}");
                process::exit(1);
            }
        });
        let result = work();
        drop(done);
        result
    })
}
