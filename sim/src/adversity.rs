//! Adversity that is neither a stop nor an error: a rival who wants the store (L1), a full disk
//! (I16), and recoveries of a store that was just recovered (I14).

use icecore_disk::{Disk, Name};
use icecore_engine::{Access, Create, Durability, Engine, ErrorKind, Options};

use crate::batch::MutationSpec;
use crate::model::Value;
use crate::reads::{ALL_KEYS, compare, walk};
use crate::violation::{Violation, ensure};
use crate::world::World;

impl World {
    /// Somebody else opens the store, which is refused and changes nothing; also after the file
    /// `LOCK` was deleted and made anew.
    pub(crate) fn rival(&mut self, anew: bool) -> Result<(), Violation> {
        if !self.disk.rules().locks {
            return Ok(());
        }
        if anew {
            let made = self.disk.remove(Name::Lock).and_then(|()| self.disk.create(Name::Lock));
            if !self.disk.is_running() {
                return Ok(());
            }
            let failed = made.err().filter(|_| !self.life.faults);
            ensure(failed.is_none(), || format!("LOCK is not made anew: {failed:?}"))?;
        }
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let options = Options { access, create: Create::Never, ..self.options.clone() };
            let operations = self.disk.operations();
            match self.open(&options) {
                Ok(_) => return Err(Violation::new(format!("two owners, {access:?}"))),
                Err(error) if error.kind() == ErrorKind::Locked => {}
                Err(error) => self.refused(&error)?,
            }
            let done = self.disk.operations() - operations;
            ensure(done == 0, || format!("a rival who was refused did {done} operations"))?;
        }
        self.totals.rivals += 1;
        Ok(())
    }

    /// There is room again, and nothing fails any more: the store takes commits, after one
    /// reopening at most.
    pub(crate) fn resume(&mut self) -> Result<(), Violation> {
        self.disk.disarm();
        self.disk.set_space(None);
        self.disk.set_read_only(false);
        self.space_is_short = false;
        self.quietly(|world| {
            let last = world.life.last;
            world.set_resumed()?;
            let stopped = !world.disk.is_running() || world.given_up;
            if stopped || world.life.last > last {
                return Ok(());
            }
            world.reopen(true, false, None, None)?;
            let stopped = !world.disk.is_running() || world.given_up;
            if stopped {
                return Ok(());
            }
            let last = world.life.last;
            world.set_resumed()?;
            let stopped = !world.disk.is_running() || !world.is_trusted();
            ensure(world.life.last > last || stopped, || {
                "there is room again, but the reopened store takes no commit".to_owned()
            })?;
            world.totals.resumed += 1;
            Ok(())
        })
    }

    fn set_resumed(&mut self) -> Result<(), Violation> {
        let value = Value { bytes: b"resumed".to_vec(), expires_at: None };
        let set = MutationSpec::Set { key: vec![0x10, b'a'], value };
        self.commit(&[], &[set], Durability::Sync, true)
    }

    /// I14, I6: a store that was just recovered shows the same after a power cut in which nothing
    /// pending survives, and another recovery. The machine itself is not touched: a copy is.
    pub(crate) fn recover_a_copy(&mut self) -> Result<(), Violation> {
        let (end, last) = (self.model.durable(), self.life.last);
        let mut copy = self.fork(last);
        copy.disk.set_rules(self.disk.rules().calm());
        copy.disk.crash(icecore_disk::sim::Crash::KeepNone);
        copy.disk = copy.disk.reopen();
        let failed = |e| Violation::new(format!("recovered a second time: {e}"));
        let engine = copy.open(&copy.options.clone()).map_err(failed)?;
        let found = engine.scan(ALL_KEYS.0, ALL_KEYS.1).and_then(|scan| walk(scan, 0));
        compare(&found.map_err(failed)?, &copy.model.state(end, copy.wall_ms()))
            .map_err(|v| v.at("recovered a second time"))?;
        let again = engine.visible().get();
        ensure(again >= last, || format!("recovered a second time, {again} follows {last}"))?;
        self.totals.second_recoveries += 1;
        engine.close().map_err(failed)?;
        drop(engine);
        self.compare_reopened(copy, end)
    }

    /// Open, close, open: the same.
    fn compare_reopened(&self, mut copy: World, end: u64) -> Result<(), Violation> {
        let failed = |e| Violation::new(format!("closed and opened again: {e}"));
        copy.check_nothing_is_open()?;
        copy.options = self.options.clone();
        let engine: Engine = copy.open(&copy.options.clone()).map_err(failed)?;
        let found = engine.scan(ALL_KEYS.0, ALL_KEYS.1).and_then(|scan| walk(scan, u64::MAX));
        compare(&found.map_err(failed)?, &copy.model.state(end, copy.wall_ms()))
            .map_err(|v| v.at("closed and opened again"))
    }
}
