//! Any operations on a disk without faults: every answer is the oracle's.
//!
//! Commits with checks and read-modify-writes, queues, reads, lists from both ends, snapshots,
//! change lists, expiry under a clock that jumps, flushes, compactions, checkpoints, and reopening
//! with other settings. The histories are longer than those of `engine_crash`.

use icecore_sim::World;

use crate::plan::{Plan, Weather};

/// Long enough for several levels of tables.
const OPERATIONS_MAX: usize = 96;

/// # Panics
/// When an answer is not the oracle's.
pub fn run(bytes: &[u8]) {
    let plan = Plan::of(bytes, Weather::Fair, OPERATIONS_MAX);
    let mut world = World::new(plan.seed, plan.rules, plan.options, None);
    if let Err(violation) = world.run(&plan.ops) {
        panic!("{violation}");
    }
}

#[cfg(test)]
mod tests {
    use icecore_disk::random::SeededRandom;

    use super::run;

    #[test]
    fn histories_without_a_fuzzer_that_leads_them_hold() {
        for seed in 0..60 {
            let random = SeededRandom::new(seed);
            let bytes: Vec<u8> = (0..40).flat_map(|_| random.next().to_be_bytes()).collect();
            run(&bytes);
        }
    }
}
