//! Damage at rest after a script: copies of what it leaves behind suffer every kind of it, closed or not.

use icecore_disk::sim::Rules;

use crate::history::{Fate, Op};
use crate::script::Script;
use crate::search::guarded;
use crate::totals::Totals;
use crate::violation::Violation;
use crate::world::World;

/// Copies that are damaged, of a store that is closed and of one that is not.
const COPIES: u64 = 400;

/// Runs `script`, and damages what it leaves behind.
///
/// # Errors
/// The first damage after which the store shows what it must not show.
pub fn every_rot(script: &Script) -> Result<Totals, Violation> {
    let rules = Rules {
        missing: true,
        truncated: true,
        extended: true,
        swapped: true,
        older: true,
        rotten: true,
        ..Rules::power_cut()
    };
    guarded(|| {
        let mut world = World::new(1, rules, script.options.clone(), None);
        world.begin()?;
        for op in script.prelude.iter().chain(&script.ops) {
            world.perform_and_revive(op)?;
        }
        for close in [false, true] {
            // The log says by itself how far it went, without being closed.
            world.perform_and_revive(&Op::Quiesce)?;
            let seeds = (0..COPIES).collect();
            world.perform_and_revive(&Op::Damage { close, fate: Fate::Kill, seeds })?;
        }
        world.finish()?;
        Ok(world.totals)
    })
    .map_err(|v| v.at(script.name))
}
