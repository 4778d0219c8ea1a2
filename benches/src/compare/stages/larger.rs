//! More data than memory: values of 1 KiB, three times as much as a memory cgroup allows the process
//! that reads them. Needs a cgroup of the caller's own, which usually means root; otherwise the rows
//! are skipped.

use crate::compare::child::{self, Ending};
use crate::compare::figure::Figure;
use crate::compare::memory_group::MemoryGroup;
use crate::compare::model::Model;
use crate::compare::random::Random;
use crate::compare::stages::load::{load, number};
use crate::compare::stages::reads::{self, Choice};
use crate::compare::stages::{Bench, Part, Task};
use crate::compare::store::{Durability, Setup};
use crate::compare::{Result, process};

/// The length of the values.
const BYTES: usize = 1 << 10;

/// So many times the memory.
const TIMES: u64 = 3;

/// The cache of a peer takes one part in so many of the memory; the rest is page cache.
const CACHE_SHARE: u64 = 4;

/// The rows, or the part that reads.
///
/// # Errors
/// Those of the store.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    match bench.task.part {
        Part::Reopen => read(bench),
        _ => fill_and_read(bench),
    }
}

fn keys(task: &Task) -> u64 {
    task.memory_bytes * TIMES / BYTES as u64
}

fn setup(task: &Task) -> Result<Setup> {
    let cache_bytes = usize::try_from(task.memory_bytes / CACHE_SHARE)?;
    Ok(Setup { durability: Durability::Buffered, cache_bytes })
}

fn fill_and_read(bench: &mut Bench<'_>) -> Result<()> {
    let group = match MemoryGroup::create(bench.task.memory_bytes) {
        Ok(group) => group,
        Err(reason) => {
            for row in &bench.task.rows {
                bench.tell(row, Figure::skipped(&reason));
            }
            return Ok(());
        }
    };
    let model = Model::empty(number(keys(bench.task)));
    let order = Random::new(bench.seed("X-G")).shuffled(keys(bench.task));
    // The load is not what is measured: it has the usual cache, and no limit.
    let store = (bench.peer.open)(&bench.task.directory, Setup::of(Durability::Buffered))?;
    load(&*store, &model, &order, BYTES)?;
    store.settle()?;
    model.compare(&*store)?;
    store.close()?;
    process::forget_pages(&bench.task.directory)?;
    let task = Task { part: Part::Reopen, group: Some(group.path()), ..bench.task.clone() };
    let ended = child::spawn(&task, |figure| bench.tell(&figure.row.clone(), figure))?;
    group.remove()?;
    match ended {
        Ending::Done => Ok(()),
        Ending::Killed => Err("killed: it does not get by with this memory".into()),
    }
}

fn read(bench: &mut Bench<'_>) -> Result<()> {
    let task = bench.task;
    MemoryGroup::enter(task.group.as_deref().ok_or("a part without a memory group")?)?;
    let store = (bench.peer.open)(&task.directory, setup(task)?)?;
    let (keys, seconds) = (keys(task), task.seconds);
    for (row, threads) in [("X-G", 1), ("X-G2", 2)] {
        let seed = bench.seed(row);
        let choice = Choice::Uniform(keys);
        bench.row(row, |_| Ok(Figure::of(&reads::gets(&*store, threads, seconds, seed, choice)?)));
    }
    let seed = bench.seed("X-G10");
    bench.row("X-G10", |_| Ok(Figure::of(&reads::many(&*store, seconds, seed, keys)?)));
    store.close()
}
