//! Damage at rest after a script.
//!
//! 1. Copies of what it leaves behind suffer every kind of damage, closed or not ([`every_rot`]).
//! 2. After a beacon, and after the store was closed, no damage to the log goes by in silence: it is
//!    reported, or nothing is missing ([`every_provable_loss`]). So says invariant I5.

use icecore_disk::Name;
use icecore_disk::sim::{Damage, Filler, Rules};
use icecore_engine::ErrorKind;

use crate::history::{Fate, Op, Revival};
use crate::script::Script;
use crate::search::guarded;
use crate::totals::Totals;
use crate::violation::{Violation, ensure};
use crate::world::World;

/// Copies that are damaged, of a store that is closed and of one that is not.
const COPIES: u64 = 400;

/// What is damaged at once.
const SECTOR: usize = 512;

/// A step that begins with the beacon.
const BEACON: Op = Op::Step(5);

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
        let mut world = run(script, rules)?;
        for close in [false, true] {
            let seeds = (0..COPIES).collect();
            world.perform_and_revive(&Op::Damage { close, fate: Fate::Kill, seeds })?;
        }
        world.finish()?;
        Ok(world.totals)
    })
    .map_err(|v| v.at(script.name))
}

/// Runs `script`, kills the process after a beacon or after closing the store, and destroys each sector
/// of the log; and all from there on, if the store was closed.
///
/// # Errors
/// The first loss that the store does not tell.
pub fn every_provable_loss(script: &Script) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for close in [false, true] {
        totals += guarded(|| provable_losses(script, close))
            .map_err(|v| v.at(format!("{} (closed: {close})", script.name)))?;
    }
    Ok(totals)
}

fn run(script: &Script, rules: Rules) -> Result<World, Violation> {
    let mut world = World::new(1, rules, script.options.clone(), None);
    world.begin()?;
    for op in script.prelude.iter().chain(&script.ops) {
        world.perform_and_revive(op)?;
    }
    world.calm();
    Ok(world)
}

fn provable_losses(script: &Script, close: bool) -> Result<Totals, Violation> {
    let mut world = run(script, Rules::power_cut())?;
    world.poll()?;
    if close {
        let closed = world.engine()?.close();
        closed.map_err(|e| Violation::new(format!("it does not close: {e}")))?;
        world.show(world.life.last);
    } else {
        world.perform(&BEACON)?;
    }
    world.armed = Some(Revival::plain(Fate::Kill));
    world.stop();
    let mut totals = Totals::default();
    let mut segments = world.disk.snapshot_files();
    segments.retain(|(name, _)| matches!(name, Name::Wal(_)));
    for (name, content) in segments {
        let bytes = content.len() as u64;
        for at in (0..bytes).step_by(SECTOR) {
            totals += told(&world, &format!("{name} without the sector at {at}"), |world| {
                world.disk.corrupt(name, at, Damage::ZeroSector)
            })?;
            if close {
                totals += told(&world, &format!("{name} with zeros from {at} on"), |world| {
                    world.disk.truncate_file(name, at)?;
                    world.disk.extend_file(name, bytes - at, Filler::Zeros)
                })?;
            }
        }
    }
    Ok(totals)
}

/// Opens a copy that was damaged: it refuses, or all that was promised is there.
fn told(
    world: &World,
    what: &str,
    damage: impl FnOnce(&World) -> std::io::Result<()>,
) -> Result<Totals, Violation> {
    let mut copy = world.fork(1);
    damage(&copy).map_err(|e| Violation::new(format!("{what}: {e}")))?;
    copy.disk = copy.disk.reopen();
    copy.settled = false;
    copy.totals.harms += 1;
    match copy.open(&copy.options.clone()) {
        Ok(engine) => copy.audit(engine).map_err(|v| v.at(what))?,
        Err(error) => {
            copy.totals.refused_openings += 1;
            let told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::UnknownFormat);
            ensure(told, || format!("{what}: it opens with {error:?}"))?;
        }
    }
    Ok(copy.totals)
}
