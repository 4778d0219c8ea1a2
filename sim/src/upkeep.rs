//! What keeps a store in shape, and what is demanded of it: flushes, compactions, single steps of the
//! background work, checkpoints, and that a quiet store has no file too many.

use icecore_disk::{Disk, Name};
use icecore_engine::{Engine, Error, Step};

use crate::violation::{Violation, ensure};
use crate::world::{Copied, World};

/// A store that still finds work after so many steps will never rest.
const STEPS_MAX: usize = 20_000;

impl World {
    pub(crate) fn flush(
        &mut self,
        flush: fn(&Engine) -> Result<(), Error>,
    ) -> Result<(), Violation> {
        let last = self.life.last;
        match flush(self.engine()?) {
            Ok(()) => {
                let visible = self.visible();
                ensure(visible >= last, || format!("{last} was flushed, {visible} is visible"))?;
                self.model.note_durable(last);
                Ok(())
            }
            Err(error) => self.refused(&error),
        }
    }

    /// One piece of background work; `None` if it failed.
    pub(crate) fn step(&mut self, choice: u64) -> Result<Option<Step>, Violation> {
        let visible = self.visible();
        let commits = self.count_commits()?;
        let answer = self.engine()?.step(choice);
        self.note(|| format!("  {answer:?}"));
        if self.count_commits()? > commits {
            self.life.last += 1;
            self.model.sweep(self.life.last, visible, self.life.now)?;
            self.totals.sweeps += 1;
            if answer.is_ok() {
                let visible = self.visible();
                let last = self.life.last;
                ensure(visible >= last, || format!("sweep {last} is not visible at {visible}"))?;
            }
        }
        match answer {
            Ok(step) => Ok(Some(step)),
            Err(error) => self.refused(&error).map(|()| None),
        }
    }

    fn count_commits(&self) -> Result<u64, Violation> {
        let stats = self.engine()?.stats();
        stats.map(|stats| stats.commits).map_err(|e| Violation::new(format!("no statistics: {e}")))
    }

    fn step_until_idle(&mut self) -> Result<bool, Violation> {
        for choice in 0..STEPS_MAX {
            match self.step(choice as u64 * 7)? {
                Some(Step::Idle) => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
        Err(Violation::new(format!("the store is still busy after {STEPS_MAX} steps")))
    }

    pub(crate) fn quiesce(&mut self) -> Result<(), Violation> {
        self.check_snapshots(0)?;
        if !self.step_until_idle()? {
            return Ok(());
        }
        self.poll()?;
        self.flush(Engine::flush)?;
        let segments = self.segments()?;
        let quiet = self.step_until_idle()?;
        let begun = self.segments()? - segments;
        if quiet && self.disk.is_running() && !self.life.faults && self.is_trusted() {
            ensure(self.in_flight.is_empty(), || "a quiet store has commits in flight".to_owned())?;
            self.take_inventory(begun)?;
        }
        Ok(())
    }

    fn segments(&self) -> Result<u64, Violation> {
        let stats = self.engine()?.stats();
        stats.map(|s| s.log.segments).map_err(|e| Violation::new(format!("no statistics: {e}")))
    }

    /// A quiet store has no file that it does not need.
    fn take_inventory(&mut self, segments_begun: u64) -> Result<(), Violation> {
        let stats = self.engine()?.stats().map_err(|e| Violation::new(e.to_string()))?;
        let listed = self.disk.list().map_err(|e| Violation::new(e.to_string()))?;
        let names: Vec<Name> = listed.into_iter().filter_map(|entry| entry.name.ok()).collect();
        let count = |is: fn(&Name) -> bool| names.iter().filter(|name| is(name)).count() as u64;
        let tables = count(|n| matches!(n, Name::Table(_)));
        let logs = count(|n| matches!(n, Name::Wal(_)));
        let in_levels: u64 = stats.levels.iter().map(|level| level.tables).sum();
        let logs_max = 1 + self.options.log.spare_segments as u64 + segments_begun;
        let fits = tables == in_levels
            && (1..=logs_max).contains(&logs)
            && count(|n| matches!(n, Name::Manifest(_))) == 1
            && count(|n| matches!(n, Name::Current)) == 1
            && count(|n| matches!(n, Name::Lock)) == 1
            && count(|n| matches!(n, Name::Temp(_))) == 0;
        self.totals.inventories += 1;
        ensure(fits, || {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            format!("{in_levels} tables, at most {logs_max} segments are in use, but {names:?}")
        })
    }

    pub(crate) fn checkpoint(&mut self) -> Result<(), Violation> {
        self.copies_made += 1;
        let path = format!("copy-{}", self.copies_made);
        let visible = self.visible();
        match self.engine()?.checkpoint(&path) {
            Ok(stamp) => {
                let at = stamp.get();
                ensure(at == visible, || format!("copied at {at} while {visible} is visible"))?;
                let mut model = self.model.clone();
                model.recovered(at);
                let copy = Copied { path, model, at, replicas: self.replicas.clone() };
                if at % 2 == 0 {
                    self.quietly(|world| world.check_copy(&copy))?;
                }
                self.copies.push(copy);
                Ok(())
            }
            Err(error) => self.refused(&error),
        }
    }

    pub(crate) fn check(&mut self) -> Result<(), Violation> {
        if self.life.faults {
            return Ok(());
        }
        match self.engine()?.check() {
            Ok(report) => ensure(report.is_clean() || !self.is_trusted(), || {
                let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
                format!("the check finds {problems:?}")
            }),
            Err(error) => self.refused(&error),
        }
    }

    pub(crate) fn move_clock(&mut self, ms: i64) -> Result<(), Violation> {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let jumps = !(0..DAY_MS).contains(&ms);
        if jumps && !self.disk.rules().clocks {
            return Ok(());
        }
        let wall = self.wall_ms().saturating_add_signed(ms).max(1);
        if !jumps {
            self.clock.advance_ms(ms.unsigned_abs());
        }
        self.clock.set_wall_ms(wall);
        self.life.now = self.life.now.max(wall);
        // A snapshot reads the clock, so the engine has seen what the oracle has seen.
        match self.engine()?.snapshot() {
            Ok(_) => Ok(()),
            Err(error) => self.refused(&error),
        }
    }
}
