//! Any history on a disk with any faults: all invariants of the simulation hold.
//!
//! The oracle, the invariants and the fault model are those of `icecore_sim`; here the bytes decide
//! what happens, so that coverage can lead the search where random histories seldom come.

use icecore_sim::mutant_disk::DiskBug;
use icecore_sim::{Violation, World};

use crate::plan::{Plan, Weather};

/// Short histories: there are many of them.
const OPERATIONS_MAX: usize = 16;

/// # Panics
/// When an invariant does not hold.
pub fn run(bytes: &[u8]) {
    if let Err(violation) = happens(bytes, None) {
        panic!("{violation}");
    }
}

fn happens(bytes: &[u8], bug: Option<DiskBug>) -> Result<(), Violation> {
    let plan = Plan::of(bytes, Weather::Foul, OPERATIONS_MAX);
    let mut world = World::new(plan.seed, plan.rules, plan.options, bug);
    let outcome = match plan.end {
        Some(revival) => world.run_to_a_stop(&plan.ops, revival),
        None => world.run(&plan.ops),
    };
    // Dropped on a machine that runs, the store would be closed, and nobody would look at it.
    if world.disk().is_running() {
        world.disk().kill();
    }
    outcome
}

#[cfg(test)]
mod tests {
    use icecore_disk::random::SeededRandom;

    use super::*;

    /// As many bytes as a history needs, without a fuzzer that leads them.
    fn input(number: u64) -> Vec<u8> {
        let random = SeededRandom::new(number);
        (0..10).flat_map(|_| random.next().to_be_bytes()).collect()
    }

    /// So many inputs at most until a bug is noticed.
    const INPUTS: u64 = 2_000;

    #[test]
    fn duties_that_are_neglected_are_noticed() {
        let bugs =
            [DiskBug::NoDurableWrites, DiskBug::NoDirectorySync, DiskBug::FailedWriteIgnored];
        for bug in bugs {
            let fails = |number| happens(&input(number), Some(bug)).is_err();
            let found = (0..INPUTS).find(|number| fails(*number));
            let found = found.unwrap_or_else(|| panic!("no input notices {bug:?}"));
            assert!(happens(&input(found), None).is_ok(), "{bug:?}, {found}");
        }
    }
}
