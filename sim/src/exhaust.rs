//! Crashes at every point: a script is stopped at each of its operations, each stopped machine suffers
//! many different blows ([`Effort`]), and the recoveries from some of them are stopped in turn.
//!
//! 1. From each blow, the store is recovered and compared; and what was recovered must survive
//!    another crash in which nothing pending survives.
//! 2. A recovery that was stopped is followed by one that ends, whose outcome is compared, too.
//! 3. All chance is drawn from the seed, the script, the place and the blows before. So a [`Chain`]
//!    of blows happens again without those that were tried before it.

use std::fmt;
use std::str::FromStr;

use icecore_disk::sim::{Crash, Rules};
use icecore_model::hash::hash64;

pub use crate::blow::{Blow, Effort};
use crate::dice::Dice;
use crate::history::{Fate, Op};
use crate::revive::NEVER;
use crate::script::Script;
use crate::search::guarded;
use crate::totals::Totals;
use crate::violation::{Violation, ensure};
use crate::world::World;

/// A recovery that does not end after so many operations is none.
const OPERATIONS_MAX: u64 = 100_000;

/// A blow, and those to the recoveries that follow, each with the operation at which it is stopped.
/// Written as `none,12:kill,4:only-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    first: Blow,
    then: Vec<(u64, Blow)>,
}

impl Chain {
    fn new(first: Blow) -> Chain {
        Chain { first, then: Vec::new() }
    }

    fn and(&self, operation: u64, blow: Blow) -> Chain {
        let mut longer = self.clone();
        longer.then.push((operation, blow));
        longer
    }

    /// How many stops it has.
    fn stops(&self) -> u32 {
        u32::try_from(self.then.len() + 1).expect("few stops follow one another")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.then.iter().try_for_each(|(operation, blow)| write!(f, ",{operation}:{blow}"))
    }
}

impl FromStr for Chain {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Chain, Violation> {
        let mut parts = text.split(',');
        let mut chain = Chain::new(parts.next().unwrap_or_default().parse()?);
        for part in parts {
            let unknown = || Violation::new(format!("{part:?} is no stop of a recovery"));
            let (operation, blow) = part.split_once(':').ok_or_else(unknown)?;
            chain.then.push((operation.parse().map_err(|_| unknown())?, blow.parse()?));
        }
        Ok(chain)
    }
}

/// An invariant that does not hold, and where.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The operation at which the script was stopped.
    pub operation: u64,
    /// What the machine suffered; `None` if the script did not come so far.
    pub chain: Option<Chain>,
    /// What does not hold.
    pub violation: Violation,
}

/// A script under examination.
#[derive(Clone, Copy, Debug)]
pub struct Exam<'a> {
    /// The script.
    pub script: &'a Script,
    /// How much it suffers.
    pub effort: Effort,
    /// Where all chance begins.
    pub seed: u64,
}

/// Stops `script` at every operation, as the gate does. The counts tell how many crashes were
/// examined.
///
/// # Errors
/// The first invariant that does not hold.
pub fn every_crash(script: &Script) -> Result<Totals, Violation> {
    let exam = Exam { script, effort: Effort::GATE, seed: 0 };
    let mut totals = Totals::default();
    for operation in 0..exam.operations()? {
        totals += exam.stop_at(operation).map_err(|found| {
            let chain = found.chain.map(|chain| format!(" by {chain}")).unwrap_or_default();
            found.violation.at(format!("{}, stopped at {operation}{chain}", script.name))
        })?;
    }
    Ok(totals)
}

impl Exam<'_> {
    /// How many operations of the disk the script takes: at each of them it can be stopped.
    ///
    /// # Errors
    /// An invariant that does not hold even without a stop.
    pub fn operations(&self) -> Result<u64, Violation> {
        guarded(|| {
            let (mut world, before) = self.begin(NEVER)?;
            let stopped = world.run_until_stop(&self.script.ops)?;
            ensure(!stopped, || "the machine stopped by itself".to_owned())?;
            let operations = world.disk.operations() - before;
            world.finish()?;
            Ok(operations)
        })
        .map_err(|v| v.at(self.script.name))
    }

    /// Stops the script at this operation, and examines all that the effort asks for.
    ///
    /// # Errors
    /// The first invariant that does not hold, and the chain of blows that shows it.
    pub fn stop_at(&self, operation: u64) -> Result<Totals, Box<Finding>> {
        let before = |violation| Box::new(Finding { operation, chain: None, violation });
        let stopped = guarded(|| self.stopped(operation)).map_err(before)?;
        let mut totals = Totals::default();
        let dice = Dice::new(self.number(operation, "blows"));
        let blows = self.effort.blows(stopped.disk.pending(), &dice);
        for (n, blow) in blows.into_iter().enumerate() {
            let chain = Chain::new(blow);
            totals += at(operation, &chain, || {
                let struck = self.strike(&stopped, operation, &chain, chain.first.fate());
                self.examine(&struck, operation, &chain)
            })?;
            if self.effort.depth > 1 && n < self.effort.followed {
                let struck = self.strike(&stopped, operation, &chain, Fate::Power);
                totals += self.stop_recoveries(&struck, operation, &chain)?;
            }
        }
        Ok(totals)
    }

    /// Lets one chain of blows happen again.
    ///
    /// # Errors
    /// The invariant that does not hold then.
    pub fn replay(&self, operation: u64, chain: &Chain) -> Result<Totals, Violation> {
        guarded(|| {
            let stopped = self.stopped(operation)?;
            let mut so_far = Chain::new(chain.first.clone());
            let worst = if chain.then.is_empty() { chain.first.fate() } else { Fate::Power };
            let mut struck = self.strike(&stopped, operation, &so_far, worst);
            if chain.then.is_empty() {
                return self.examine(&struck, operation, chain);
            }
            for (at, blow) in &chain.then {
                let world = self.stop_recovery(&struck, operation, &so_far, *at)?;
                let world = world.ok_or_else(|| Violation::new("the recovery ends before"))?;
                so_far = so_far.and(*at, blow.clone());
                struck = self.strike_again(&world, operation, &so_far);
            }
            self.recover(struck)
        })
    }

    /// A world in which everything before the script's operations has happened and that is going
    /// to stop at this one; and how many operations came before.
    fn begin(&self, operation: u64) -> Result<(World, u64), Violation> {
        // The same for every operation: where a disk is full, chance decides how many there are.
        let seed = self.number(NEVER, "script");
        let mut world = World::new(seed, Rules::power_cut(), self.script.options.clone(), None);
        // Without a prelude, creating the store is part of the script.
        if self.script.prelude.is_empty() {
            world.disk.crash_at(operation);
            world.begin()?;
            return Ok((world, 0));
        }
        world.begin()?;
        for op in &self.script.prelude {
            world.perform_and_revive(op)?;
        }
        let before = world.disk.operations();
        world.disk.crash_at(before.saturating_add(operation));
        Ok((world, before))
    }

    /// A world in which the script was stopped at this operation.
    fn stopped(&self, operation: u64) -> Result<World, Violation> {
        let (mut world, _) = self.begin(operation)?;
        let stopped = !world.disk.is_running() || world.run_until_stop(&self.script.ops)?;
        ensure(stopped, || format!("the script ends before operation {operation}"))?;
        world.poll()?;
        world.let_go();
        Ok(world)
    }

    /// A copy of a stopped world after the first blow, where `worst` is the worst that is to come.
    fn strike(&self, stopped: &World, operation: u64, chain: &Chain, worst: Fate) -> World {
        let mut world = stopped.fork(self.number(operation, &chain.to_string()));
        let promised = world.promised(worst);
        world.model.note_durable(promised);
        chain.first.hit(&mut world);
        world.settled = true;
        world
    }

    /// A copy of a world whose recovery was stopped, after the last blow of `chain`.
    fn strike_again(&self, stopped: &World, operation: u64, chain: &Chain) -> World {
        let mut world = stopped.fork(self.number(operation, &chain.to_string()));
        let (_, blow) = chain.then.last().expect("a recovery was stopped");
        blow.hit(&mut world);
        world.totals.stops_in_recovery += 1;
        world
    }

    /// A copy of a struck world whose recovery is stopped; `None` if it ends before.
    fn stop_recovery(
        &self,
        struck: &World,
        operation: u64,
        chain: &Chain,
        stop_at: u64,
    ) -> Result<Option<World>, Violation> {
        let mut world = struck.fork(self.number(operation, &format!("{chain},{stop_at}")));
        Ok((!world.recover(stop_at)?).then_some(world))
    }

    /// Stops the recovery at each of its operations, and recovers from that.
    fn stop_recoveries(
        &self,
        struck: &World,
        operation: u64,
        chain: &Chain,
    ) -> Result<Totals, Box<Finding>> {
        let mut totals = Totals::default();
        for stop_at in 0..OPERATIONS_MAX {
            let stopped = at(operation, chain, || {
                let stopped = self.stop_recovery(struck, operation, chain, stop_at);
                stopped.map_err(|v| v.at(format!("recovery stopped at {stop_at}")))
            })?;
            let Some(stopped) = stopped else { return Ok(totals) };
            let dice = Dice::new(self.number(operation, &format!("{chain},{stop_at}:")));
            for blow in self.effort.nested_blows(stopped.disk.pending(), &dice) {
                let longer = chain.and(stop_at, blow);
                let again = self.strike_again(&stopped, operation, &longer);
                let deeper = longer.stops() < self.effort.depth;
                let before = deeper.then(|| again.fork(0));
                totals += at(operation, &longer, || self.recover(again))?;
                if let Some(before) = before {
                    totals += self.stop_recoveries(&before, operation, &longer)?;
                }
            }
        }
        let violation = Violation::new("the recovery does not end");
        Err(Box::new(Finding { operation, chain: Some(chain.clone()), violation }))
    }

    /// Recovers, and checks that what was recovered stays.
    fn examine(&self, struck: &World, operation: u64, chain: &Chain) -> Result<Totals, Violation> {
        let dice = Dice::new(self.number(operation, &format!("{chain}, then")));
        let mut world = struck.fork(dice.next());
        world.totals = struck.totals;
        must_open(&mut world)?;
        world.check_copies()?;
        if dice.one_in(4) {
            world.perform(&Op::Quiesce)?;
        }
        world.let_go();
        Blow::Power(Crash::KeepNone).hit(&mut world);
        must_open(&mut world).map_err(|v| v.at("after a second crash"))?;
        Ok(world.totals)
    }

    fn recover(&self, mut world: World) -> Result<Totals, Violation> {
        must_open(&mut world)?;
        Ok(world.totals)
    }

    /// A seed for what happens at a place of the script.
    fn number(&self, operation: u64, what: &str) -> u64 {
        let text = format!("{} {} {operation} {what}", self.seed, self.script.name);
        hash64(text.as_bytes())
    }
}

fn at<T>(
    operation: u64,
    chain: &Chain,
    run: impl FnOnce() -> Result<T, Violation>,
) -> Result<T, Box<Finding>> {
    guarded(run)
        .map_err(|violation| Box::new(Finding { operation, chain: Some(chain.clone()), violation }))
}

fn must_open(world: &mut World) -> Result<(), Violation> {
    let opened = world.recover(NEVER)?;
    ensure(opened, || "the machine stopped by itself".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_read_as_it_is_written() {
        let chain = Chain::new(Blow::Kill).and(12, Blow::Torn).and(3, Blow::Power(Crash::Only(4)));
        assert_eq!(chain.to_string(), "kill,12:torn,3:only-4");
        assert_eq!(chain.to_string().parse(), Ok(chain));
        for wrong in ["", "kill,", "kill,12", "kill,x:torn", "12:kill"] {
            assert!(wrong.parse::<Chain>().is_err(), "{wrong}");
        }
    }
}
