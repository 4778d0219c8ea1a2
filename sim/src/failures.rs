//! Failures at every point: each call that a script makes to the disk fails in turn, and so does each
//! call of the recovery after it, and of the creation of a store.
//!
//! The store is compared while it runs, after a power cut or a kill, and after the recovery from
//! that. What fails once may fail a second time, at a later call.

use icecore_disk::sim::Rules;
use icecore_model::hash::hash64;

use crate::history::{Fate, Revival};
use crate::script::{self, Script};
use crate::search::guarded;
use crate::totals::Totals;
use crate::trouble::{Trouble, TroubleKind};
use crate::violation::{Violation, ensure};
use crate::world::World;

/// In which calls the trouble is.
#[derive(Clone, Copy, Debug)]
pub enum Victim<'a> {
    /// The creation of a store.
    Creation,
    /// What a script does, behind its prelude.
    Script(&'a Script),
    /// The recovery after a script, and after a power cut.
    Recovery(&'a Script),
}

impl Victim<'_> {
    /// What to call it.
    pub fn name(self) -> String {
        match self {
            Victim::Creation => "creation".to_owned(),
            Victim::Script(script) => script.name.to_owned(),
            Victim::Recovery(script) => format!("recovery after {}", script.name),
        }
    }

    /// How many calls it makes to the disk when none fails: each of them can fail.
    ///
    /// # Errors
    /// An invariant that does not hold even without a failure.
    pub fn calls(self) -> Result<u64, Violation> {
        guarded(|| match self {
            Victim::Script(script) => {
                let mut world = begun(script, 0)?;
                let before = world.disk.calls();
                let stopped = world.run_until_stop(&script.ops)?;
                ensure(!stopped, || "the machine stopped by itself".to_owned())?;
                Ok(world.disk.calls() - before)
            }
            Victim::Creation | Victim::Recovery(_) => {
                let mut world = self.stopped(0)?;
                world.disk = world.disk.reopen();
                drop(world.open(&world.options.clone()));
                Ok(world.disk.calls())
            }
        })
        .map_err(|v| v.at(self.name()))
    }

    /// Lets this call fail, and perhaps a `second`, later one. A store that was stopped by a kill
    /// is compared, too.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn fail(
        self,
        kind: TroubleKind,
        call: u64,
        second: Option<u64>,
    ) -> Result<Totals, Violation> {
        let trouble = Trouble { second, ..Trouble::new(kind, call) };
        let mut totals = Totals::default();
        match self {
            Victim::Script(script) => {
                for fate in [Fate::Power, Fate::Kill] {
                    let run = guarded(|| failing_script(script, trouble, fate));
                    totals += run.map_err(|v| v.at(format!("then {fate:?}")))?;
                }
            }
            Victim::Creation | Victim::Recovery(_) => {
                totals += guarded(|| failing_opening(&self.stopped(call)?, trouble))?;
            }
        }
        Ok(totals)
    }

    /// Lets each call fail in turn.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn fail_each(self, kind: TroubleKind) -> Result<Totals, Violation> {
        let mut totals = Totals::default();
        for call in 0..self.calls()? {
            let place = || format!("{}, {kind} at call {call}", self.name());
            totals += self.fail(kind, call, None).map_err(|v| v.at(place()))?;
        }
        Ok(totals)
    }

    /// A machine that has stopped, whose next opening is the victim.
    fn stopped(self, number: u64) -> Result<World, Violation> {
        let mut world = match self {
            Victim::Creation => {
                World::new(seed("creation", number), Rules::power_cut(), script::quiet(), None)
            }
            Victim::Script(script) | Victim::Recovery(script) => {
                let mut world = begun(script, number)?;
                for op in &script.ops {
                    world.perform_and_revive(op)?;
                }
                world
            }
        };
        world.stop();
        Ok(world)
    }
}

/// Where the chance of a world begins.
fn seed(name: &str, number: u64) -> u64 {
    hash64(format!("{name} {number}").as_bytes())
}

/// A world behind the prelude of `script`.
fn begun(script: &Script, number: u64) -> Result<World, Violation> {
    let seed = seed(script.name, number);
    let mut world = World::new(seed, Rules::power_cut(), script.options.clone(), None);
    world.begin()?;
    for op in &script.prelude {
        world.perform_and_revive(op)?;
    }
    Ok(world)
}

fn failing_script(script: &Script, trouble: Trouble, fate: Fate) -> Result<Totals, Violation> {
    let mut world = begun(script, trouble.call)?;
    let trouble = trouble.later_by(world.disk.calls());
    world.trouble = Some(trouble);
    world.arm(trouble);
    world.run_until_stop(&script.ops)?;
    if world.given_up {
        return Ok(world.totals);
    }
    world.calm();
    world.perform(&crate::history::Op::CheckSnapshots { keep: 0 })?;
    world.armed = Some(Revival::plain(fate));
    world.stop();
    world.revive()?;
    world.finish()?;
    Ok(world.totals)
}

fn failing_opening(stopped: &World, trouble: Trouble) -> Result<Totals, Violation> {
    let mut world = stopped.fork(trouble.call);
    world.disk = world.disk.reopen();
    world.settled = false;
    world.opening_fails = true;
    trouble.arm(&world.disk);
    let opened = world.open(&world.options.clone());
    if opened.is_ok() {
        world.disk.disarm();
    }
    let Some(engine) = world.admit(opened)? else {
        ensure(world.given_up, || "the machine stopped".to_owned())?;
        return Ok(world.totals);
    };
    world.totals.recoveries += 1;
    world.audit(engine)?;
    world.opening_fails = false;
    world.finish()?;
    Ok(world.totals)
}
