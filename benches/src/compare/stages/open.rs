//! Opening a store, in a process that has not seen it before: after a clean end, and after a process
//! that was killed when all of its commits were synced but none needed to be in its final place.

use crate::compare::Result;
use crate::compare::child::{self, Ending};
use crate::compare::figure::Figure;
use crate::compare::model::Model;
use crate::compare::process;
use crate::compare::random::Random;
use crate::compare::stages::load::{LOADED, load_in, number};
use crate::compare::stages::{Bench, Part, Task, reads};
use crate::compare::store::{Durability, Setup};
use crate::compare::value::VALUE_BYTES;

/// Keys of a commit: few, so that there are many commits to replay.
const BATCH: usize = 10;

/// The rows, or one part of them.
///
/// # Errors
/// Those of the store.
pub(super) fn run(bench: &mut Bench<'_>) -> Result<()> {
    match bench.task.part {
        Part::Whole => {
            for (row, fill) in [("open", Part::Fill), ("open-kill", Part::FillAndDie)] {
                bench.row(row, |bench| both(bench, row, fill));
            }
            Ok(())
        }
        part @ (Part::Fill | Part::FillAndDie) => fill(bench, part),
        Part::Reopen => reopen(bench),
    }
}

/// One process fills a store, the next one opens it.
fn both(bench: &Bench<'_>, row: &str, fill: Part) -> Result<Figure> {
    let directory = bench.task.directory.join(row);
    process::create_directory(&directory)?;
    let rows = vec![row.to_owned()];
    let task = Task { part: fill, directory, rows, ..bench.task.clone() };
    let ended = child::spawn(&task, drop)?;
    if ended != (if fill == Part::Fill { Ending::Done } else { Ending::Killed }) {
        return Err(format!("the process that filled the store has ended as {ended:?}").into());
    }
    let mut told = None;
    let ended = child::spawn(&Task { part: Part::Reopen, ..task }, |figure| told = Some(figure))?;
    told.ok_or_else(|| format!("the process that opened the store has ended as {ended:?}").into())
}

fn fill(bench: &Bench<'_>, part: Part) -> Result<()> {
    let (task, keys) = (bench.task, bench.task.keys);
    let model = Model::empty(number(keys));
    let order = Random::new(bench.seed("open")).shuffled(keys);
    let store = (bench.peer.open)(&task.directory, Setup::of(Durability::Buffered))?;
    load_in(&*store, &model, &order, VALUE_BYTES, BATCH)?;
    if part == Part::FillAndDie {
        process::kill_self();
    }
    store.close()
}

fn reopen(bench: &mut Bench<'_>) -> Result<()> {
    let (task, keys) = (bench.task, bench.task.keys);
    let model = Model::empty(number(keys));
    (0..keys).for_each(|place| model.set(number(place), LOADED));
    let begin = process::now();
    let store = (bench.peer.open)(&task.directory, Setup::of(Durability::Buffered))?;
    reads::read(&*store, number(keys / 2))?;
    let taken = begin.elapsed();
    model.compare(&*store)?;
    bench.tell(&task.rows[0], Figure::number(taken.as_secs_f64() * 1e3));
    store.close()
}
