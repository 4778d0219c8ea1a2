//! Crashes at every point: each script is stopped at each of its operations, and each stopped
//! machine suffers many crashes.
//!
//! For every operation: nothing pending survives, all of it, each single item, all but each single
//! item, some random subsets; and the process is killed instead. From each, the store is
//! recovered and compared. From some, recovery itself is stopped at each of its operations, and the
//! store recovered again. Last, what was recovered must survive another crash in which nothing
//! pending survives.

use icecore_disk::sim::{Crash, Rules, SimDisk};

use crate::history::{Fate, Op, Revival};
use crate::revive::NEVER;
use crate::script::{self, Script};
use crate::search::guarded;
use crate::totals::Totals;
use crate::trouble::{Trouble, TroubleKind};
use crate::violation::{Violation, ensure};
use crate::world::World;

/// Beyond so many pending items, only every so-manieth is singled out.
const SINGLES_MAX: usize = 24;
/// Random crashes at each operation.
const RANDOM_CRASHES: u64 = 4;
/// A script that does not end after so many operations is no script.
const OPERATIONS_MAX: u64 = 100_000;

/// What a machine suffers.
#[derive(Clone, Debug)]
enum Blow {
    Power(Crash),
    Kill,
}

/// Stops `script` at every operation. The counts tell how many crashes were examined.
///
/// # Errors
/// The first invariant that does not hold.
pub fn every_crash(script: &Script) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for operation in 0..OPERATIONS_MAX {
        let place = || format!("{}, stopped at {operation}", script.name);
        let world = guarded(|| stopped_at(script, operation)).map_err(|v| v.at(place()))?;
        let Some(world) = world else { return Ok(totals) };
        totals += crashes_of(&world, operation).map_err(|v| v.at(place()))?;
    }
    Err(Violation::new(format!("{} does not end", script.name)))
}

/// A world in which `script` was stopped at an operation; `None` if it ended before.
fn stopped_at(script: &Script, operation: u64) -> Result<Option<World>, Violation> {
    let mut world = World::new(operation, Rules::power_cut(), script.options.clone(), None);
    // Without a prelude, creating the store is part of the script.
    if script.prelude.is_empty() {
        world.disk.crash_at(operation);
        world.begin()?;
    } else {
        world.begin()?;
        for op in &script.prelude {
            world.perform_and_revive(op)?;
        }
        world.disk.crash_at(world.disk.operations() + operation);
    }
    let stopped = !world.disk.is_running() || world.run_until_stop(&script.ops)?;
    if !stopped {
        world.disk.crash_at(NEVER);
        return world.finish().map(|()| None);
    }
    world.poll()?;
    world.let_go();
    Ok(Some(world))
}

fn crashes_of(stopped: &World, operation: u64) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    let pending = stopped.disk.pending();
    let stride = pending.div_ceil(SINGLES_MAX).max(1);
    let first = usize::try_from(operation).unwrap_or(0) % stride;
    let singles = (first..pending).step_by(stride);
    let blows = [Blow::Power(Crash::KeepNone), Blow::Power(Crash::KeepAll), Blow::Kill]
        .into_iter()
        .chain((0..RANDOM_CRASHES).map(|_| Blow::Power(Crash::Random)))
        .chain(singles.clone().map(|i| Blow::Power(Crash::Only(i))))
        .chain(singles.map(|i| Blow::Power(Crash::AllBut(i))));
    for (n, blow) in blows.enumerate() {
        let seed = operation << 16 | n as u64;
        let fate = if let Blow::Kill = blow { Fate::Kill } else { Fate::Power };
        let crashed = strike(stopped, &blow, fate, seed);
        let place = || format!("{blow:?}, the {n}th of {pending} items");
        totals += guarded(|| examine(&crashed, n)).map_err(|v| v.at(place()))?;
        // The recoveries of the first four are stopped in turn, also by power cuts.
        if n < 4 {
            let crashed = strike(stopped, &blow, Fate::Power, seed);
            totals += guarded(|| stops_in_recovery(&crashed, seed)).map_err(|v| v.at(place()))?;
        }
    }
    Ok(totals)
}

/// A copy of a stopped world after a blow, where `worst` is the worst that is to come.
fn strike(stopped: &World, blow: &Blow, worst: Fate, seed: u64) -> World {
    let mut world = stopped.fork(seed);
    let promised = world.promised(worst);
    world.model.note_durable(promised);
    hit(&world.disk, blow);
    world.settled = true;
    match blow {
        Blow::Power(_) => world.totals.power_cuts += 1,
        Blow::Kill => world.totals.kills += 1,
    }
    world
}

fn hit(disk: &SimDisk, blow: &Blow) {
    match blow {
        Blow::Power(crash) => disk.crash(crash.clone()),
        Blow::Kill => disk.kill(),
    }
}

/// Recovers, and checks that what was recovered stays.
fn examine(crashed: &World, n: usize) -> Result<Totals, Violation> {
    let mut world = crashed.fork(n as u64);
    world.totals = crashed.totals;
    must_open(&mut world)?;
    world.check_copies()?;
    if n.is_multiple_of(4) {
        world.perform(&Op::Quiesce)?;
    }
    world.let_go();
    hit(&world.disk, &Blow::Power(Crash::KeepNone));
    world.totals.power_cuts += 1;
    must_open(&mut world).map_err(|v| v.at("after a second crash"))?;
    Ok(world.totals)
}

fn must_open(world: &mut World) -> Result<(), Violation> {
    let opened = world.recover(NEVER)?;
    ensure(opened, || "the machine stopped by itself".to_owned())
}

/// Stops the recovery at each of its operations, and recovers from that.
fn stops_in_recovery(crashed: &World, seed: u64) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for operation in 0..OPERATIONS_MAX {
        let mut world = crashed.fork(seed ^ operation);
        if world.recover(operation)? {
            return Ok(totals);
        }
        let blow = match (seed ^ operation) % 4 {
            0 => Blow::Power(Crash::KeepNone),
            1 => Blow::Power(Crash::KeepAll),
            2 => Blow::Power(Crash::Random),
            _ => Blow::Kill,
        };
        hit(&world.disk, &blow);
        world.totals.stops_in_recovery += 1;
        let place = || format!("recovery stopped at {operation}, {blow:?}");
        must_open(&mut world).map_err(|v| v.at(place()))?;
        totals += world.totals;
    }
    Err(Violation::new("the recovery does not end"))
}

/// Lets each call of `script` fail in turn, as `kind` says, and compares the store while it runs
/// and after a power cut.
///
/// # Errors
/// The first invariant that does not hold.
pub fn every_failure(script: &Script, kind: TroubleKind) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for call in 0..OPERATIONS_MAX {
        for fate in [Fate::Power, Fate::Kill] {
            let place = || format!("{}, {kind:?} at call {call}, then {fate:?}", script.name);
            let run =
                guarded(|| failing_at(script, kind, call, fate)).map_err(|v| v.at(place()))?;
            let Some(run) = run else { return Ok(totals) };
            totals += run;
        }
    }
    Err(Violation::new(format!("{} does not end", script.name)))
}

fn failing_at(
    script: &Script,
    kind: TroubleKind,
    call: u64,
    fate: Fate,
) -> Result<Option<Totals>, Violation> {
    let mut world = World::new(call, Rules::power_cut(), script.options.clone(), None);
    world.begin()?;
    for op in &script.prelude {
        world.perform_and_revive(op)?;
    }
    let trouble = Trouble { kind, call: world.disk.calls() + call };
    world.trouble = Some(trouble);
    world.arm(trouble);
    world.run_until_stop(&script.ops)?;
    let struck = world.trouble.is_none_or(|trouble| trouble.has_struck(&world.disk));
    world.calm();
    world.perform(&Op::CheckSnapshots { keep: 0 })?;
    world.armed = Some(Revival::plain(fate));
    world.stop();
    world.revive()?;
    world.finish()?;
    Ok(struck.then_some(world.totals))
}

/// Lets each call of the recovery after `script` fail in turn, as `kind` says; the store opens
/// when the trouble is over.
///
/// # Errors
/// The first invariant that does not hold.
pub fn every_failing_recovery(script: &Script, kind: TroubleKind) -> Result<Totals, Violation> {
    let mut crashed = World::new(1, Rules::power_cut(), script.options.clone(), None);
    crashed.begin()?;
    for op in script.prelude.iter().chain(&script.ops) {
        crashed.perform_and_revive(op)?;
    }
    crashed.stop();
    every_failing_opening(&crashed, kind).map_err(|v| v.at(format!("after {}", script.name)))
}

/// Lets each call of the creation of a store fail in turn, as `kind` says.
///
/// # Errors
/// The first invariant that does not hold.
pub fn every_failing_creation(kind: TroubleKind) -> Result<Totals, Violation> {
    let mut empty = World::new(1, Rules::power_cut(), script::quiet(), None);
    empty.stop();
    every_failing_opening(&empty, kind).map_err(|v| v.at("creation"))
}

fn every_failing_opening(stopped: &World, kind: TroubleKind) -> Result<Totals, Violation> {
    let mut totals = Totals::default();
    for call in 0..OPERATIONS_MAX {
        let place = || format!("opening with {kind:?} at call {call}");
        let run = guarded(|| opening_failing_at(stopped, kind, call));
        let Some(run) = run.map_err(|v| v.at(place()))? else { return Ok(totals) };
        totals += run;
    }
    Err(Violation::new("the opening does not end"))
}

fn opening_failing_at(
    stopped: &World,
    kind: TroubleKind,
    call: u64,
) -> Result<Option<Totals>, Violation> {
    let mut world = stopped.fork(call);
    world.disk = world.disk.reopen();
    world.settled = false;
    world.opening_fails = true;
    let trouble = Trouble { kind, call };
    trouble.arm(&world.disk);
    let opened = world.open(&world.options.clone());
    let struck = trouble.has_struck(&world.disk);
    if opened.is_ok() {
        world.disk.disarm();
    }
    let engine = world.admit(opened)?.ok_or_else(|| Violation::new("the machine stopped"))?;
    world.totals.recoveries += 1;
    world.audit(engine)?;
    world.opening_fails = false;
    world.finish()?;
    Ok(struck.then_some(world.totals))
}
