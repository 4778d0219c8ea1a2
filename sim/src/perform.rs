//! From operation to operation of a history.
//!
//! The operations themselves are in `commits`, `reads`, `follow`, `upkeep` and `revive`.

use icecore_engine::Engine;

use crate::follow::REPLICAS;
use crate::history::{Fate, Op, Revival};
use crate::violation::Violation;
use crate::world::World;

impl World {
    /// Performs `ops`, with a recovery after each stop, and at the end an orderly reopening.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self, ops: &[Op]) -> Result<(), Violation> {
        self.run_while(ops, &|| true).map(drop)
    }

    /// The same, for as long as `goes_on` says so before each operation. Says whether the history came
    /// to its end.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run_while(&mut self, ops: &[Op], goes_on: &dyn Fn() -> bool) -> Result<bool, Violation> {
        let ended = self.live(ops, goes_on)?;
        if ended {
            self.finish().map_err(|v| v.at("at the end"))?;
        }
        Ok(ended)
    }

    /// Performs `ops`, with a recovery after each stop, and at the end one stop more, from which the
    /// store is recovered: less than [`World::run`] does, and in half the time.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run_to_a_stop(&mut self, ops: &[Op], revival: Revival) -> Result<(), Violation> {
        self.live(ops, &|| true)?;
        self.perform_and_revive(&Op::Stop(revival)).map_err(|v| v.at("at the end"))
    }

    /// Performs `ops` for as long as `goes_on` says so. Says whether these were all.
    fn live(&mut self, ops: &[Op], goes_on: &dyn Fn() -> bool) -> Result<bool, Violation> {
        self.begin()?;
        if !self.disk.is_running() {
            self.revive().map_err(|v| v.at("at birth"))?;
        }
        for (index, op) in ops.iter().enumerate() {
            if !goes_on() {
                return Ok(false);
            }
            self.perform_and_revive(op).map_err(|v| v.at(place(index, op)))?;
        }
        Ok(true)
    }

    /// Performs `ops` until the machine stops. Says whether it did.
    pub fn run_until_stop(&mut self, ops: &[Op]) -> Result<bool, Violation> {
        for (index, op) in ops.iter().enumerate() {
            self.note(|| format!("{index} {op:?}"));
            self.perform(op).map_err(|v| v.at(place(index, op)))?;
            if self.given_up {
                return Ok(false);
            }
            if !self.disk.is_running() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn perform_and_revive(&mut self, op: &Op) -> Result<(), Violation> {
        if self.given_up {
            return Ok(());
        }
        self.note(|| format!("{op:?}"));
        self.totals.operations += 1;
        self.perform(op)?;
        if !self.disk.is_running() && !self.given_up {
            self.revive()?;
        }
        Ok(())
    }

    /// Ends a history in an orderly way: what is there must be there after reopening, too.
    pub(crate) fn finish(&mut self) -> Result<(), Violation> {
        self.calm();
        let options = None;
        let reopen = Op::Reopen { close: true, look_first: true, failure: None, options };
        self.perform_and_revive(&Op::CheckSnapshots { keep: 0 })?;
        self.perform_and_revive(&reopen)?;
        self.perform_and_revive(&Op::Quiesce)?;
        for replica in 0..REPLICAS {
            self.perform_and_revive(&Op::Follow(replica))?;
        }
        if self.given_up { Ok(()) } else { self.check_copies() }
    }

    /// A stop as far as the rules of the disk allow it.
    pub(crate) fn allowed(&self, revival: &Revival) -> Revival {
        let rules = self.disk.rules();
        let allowed = |fate| if rules.kills { fate } else { Fate::Power };
        let nested = revival.nested.iter().filter(|_| rules.nested);
        Revival {
            fate: allowed(revival.fate),
            nested: nested.map(|(at, fate)| (*at, allowed(*fate))).collect(),
            options: revival.options.clone(),
        }
    }

    /// Performs one operation. If the machine stops meanwhile, that is no violation.
    pub(crate) fn perform(&mut self, op: &Op) -> Result<(), Violation> {
        match op {
            Op::Commit { checks, mutations, durability, wait } => {
                self.commit(checks, mutations, *durability, *wait)
            }
            Op::Poll => self.poll(),
            Op::Get(key) => self.get_many(std::slice::from_ref(key), false),
            Op::GetMany(keys) => self.get_many(keys, true),
            Op::Scan { start, end, sides } => self.scan(start, end, *sides),
            Op::Snapshot => self.snapshot(),
            Op::CheckSnapshots { keep } => self.check_snapshots(*keep),
            Op::Follow(replica) => self.follow(*replica),
            Op::Flush => self.flush(Engine::flush),
            Op::Compact => self.flush(Engine::compact),
            Op::Step(choice) => self.step(*choice).map(drop),
            Op::Quiesce => self.quiesce(),
            Op::Checkpoint => self.checkpoint(),
            Op::Check => self.check(),
            Op::Clock(ms) => self.move_clock(*ms),
            Op::Reopen { close, look_first, failure, options } => {
                self.reopen(*close, *look_first, *failure, options.as_deref())
            }
            Op::Stop(revival) => {
                self.armed = Some(self.allowed(revival));
                self.stop();
                Ok(())
            }
            Op::StopAfter { operations, revival } => {
                self.armed = Some(self.allowed(revival));
                self.disk.crash_at(self.disk.operations() + operations);
                Ok(())
            }
            Op::Fail { kind, failure, times } => {
                self.life.faults = true;
                self.disk.fail_next(*kind, *failure, *times);
                Ok(())
            }
            Op::Space(room) => {
                self.life.faults |= room.is_some();
                self.space_is_short = room.is_some();
                self.disk.set_space(room.map(|room| self.disk.used_bytes() + room));
                Ok(())
            }
            Op::Resume => self.resume(),
            Op::Rival { anew } => self.rival(*anew),
            Op::Damage { close, fate, seeds } => self.suffer(*close, *fate, seeds),
        }
    }
}

/// An operation in few words.
fn place(index: usize, op: &Op) -> String {
    let mut text = format!("operation {index}, {op:?}");
    if let Some((cut, _)) = text.char_indices().nth(100) {
        text.truncate(cut);
        text.push('…');
    }
    text
}
