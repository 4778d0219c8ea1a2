//! The random search: one seed after the other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::generate::History;
use crate::minimise::Part;
use crate::mutant_disk::DiskBug;
use crate::totals::Totals;
use crate::violation::Violation;
use crate::world::World;

/// What became of one seed.
#[derive(Debug, Default)]
pub struct Finished {
    /// What was done.
    pub totals: Totals,
    /// The hash of everything that was asked of the disk, and of its answers.
    pub trace_hash: u64,
    /// The operations, if they were to be kept.
    pub lines: Vec<String>,
    /// The calls to the disk, if they were to be kept.
    pub disk_lines: Vec<String>,
    /// The invariant that does not hold, if any.
    pub violation: Option<Violation>,
}

/// Runs the history of `seed`, on a disk with `bug` if there is one.
pub fn run_seed(seed: u64, bug: Option<DiskBug>, keep_lines: bool) -> Finished {
    run_part(seed, &Part::default(), bug, keep_lines)
}

/// Runs a part of the history of `seed`, on a disk with `bug` if there is one.
pub fn run_part(seed: u64, part: &Part, bug: Option<DiskBug>, keep_lines: bool) -> Finished {
    let history = match part.reduce(History::new(seed)) {
        Ok(history) => history,
        Err(violation) => return Finished { violation: Some(violation), ..Finished::default() },
    };
    let mut world = World::new(seed, history.rules, history.options, bug);
    if keep_lines {
        world.keep_lines();
    }
    if let Some((stop_at, revival)) = history.birth {
        world.stop_at_birth(stop_at, revival);
    }
    let outcome = guarded(|| world.run(&history.ops));
    let mut totals = world.totals;
    totals.seeds += 1;
    let mut finished = Finished {
        totals,
        trace_hash: world.disk().trace_hash(),
        lines: world.lines().to_vec(),
        disk_lines: world.disk().trace(),
        violation: outcome.err(),
    };
    // What a panic has left behind may panic again when it is dropped.
    let dropped = guarded(|| {
        drop(world);
        Ok(())
    });
    finished.violation = finished.violation.or(dropped.err());
    finished
}

/// Runs `run`; a panic in it is a violation, too.
pub fn guarded<T>(run: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(Violation::new(format!("a panic: {}", message(&*panic)))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
