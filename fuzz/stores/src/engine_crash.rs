//! Any history on a disk with any faults: all invariants of the simulation hold.
//!
//! The oracle, the invariants and the fault model are those of `icecore_sim`; here the bytes decide
//! what happens, so that coverage can lead the search where random histories seldom come.

use icecore_sim::World;

use crate::plan::{Plan, Weather};

/// Short histories: there are many of them.
const OPERATIONS_MAX: usize = 24;

/// # Panics
/// When an invariant does not hold.
pub fn run(bytes: &[u8]) {
    let plan = Plan::of(bytes, Weather::Foul, OPERATIONS_MAX);
    let mut world = World::new(plan.seed, plan.rules, plan.options, None);
    let held = match plan.end {
        Some(revival) => world.run_to_a_stop(&plan.ops, revival),
        None => world.run(&plan.ops),
    };
    if let Err(violation) = held {
        panic!("{violation}");
    }
}
