//! From a stopped machine to an open store, and what is demanded of it then.
//!
//! What a recovery must find:
//!
//! 1. It opens (I1), and what it shows is the state after some prefix of the commits, in stamp
//!    order (I3, I4).
//! 2. The prefix holds all that was promised: after a power cut every visible `Sync` commit and all
//!    before it; after a kill every visible commit (I2).
//! 3. What it shows is durable from then on: the oracle forgets what was lost, and promises the
//!    rest for ever (I6, I8).
//! 4. The last stamp is not below any that was ever shown (I7).
//! 5. Reads of single keys, walks in both directions and the engine's own check agree.
//! 6. Opened for reading only, it shows the same and writes nothing (I14).

use icecore_disk::Clock;
use icecore_disk::sim::{Crash, Failure};
use icecore_engine::{Access, Create, Engine, Error, ErrorKind, Options, ReadMode};

use crate::history::{Fate, Revival};
use crate::model::State;
use crate::reads::{ALL_KEYS, compare, seen_record, walk};
use crate::violation::{Violation, ensure};
use crate::world::{Copied, Life, World};

/// No recovery of the simulation takes so many operations.
pub(crate) const NEVER: u64 = u64::MAX;

impl World {
    pub(crate) fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Stops the machine while the store is created.
    pub(crate) fn stop_at_birth(&mut self, operation: u64, revival: Revival) {
        self.disk.crash_at(operation);
        self.armed = Some(revival);
    }

    /// Creates the store.
    pub(crate) fn begin(&mut self) -> Result<(), Violation> {
        let opened = self.open(&self.options.clone());
        if !self.disk.is_running() {
            return Ok(());
        }
        match self.admit(opened).map_err(|v| v.at("creation"))? {
            Some(engine) => self.audit(engine),
            None => Ok(()),
        }
    }

    /// Opens the store. A mapping whose content changes is for the strict mode alone: the plain one
    /// promises less.
    pub(crate) fn open(&self, options: &Options) -> Result<Engine, Error> {
        let mut options = options.clone();
        if self.rules.is_on("mutating_maps") && options.read_mode == ReadMode::Mmap {
            options.read_mode = ReadMode::MmapStrict;
        }
        Engine::open(self.environment(), options)
    }

    /// Takes back everything that could still go wrong.
    pub(crate) fn calm(&mut self) {
        self.disk.disarm();
        self.disk.set_space(None);
        self.disk.set_read_only(false);
        self.rules = self.rules.calm();
        self.disk.set_rules(self.rules);
        self.disk.crash_at(NEVER);
        self.armed = None;
        self.trouble = None;
        self.space_is_short = false;
    }

    /// The highest stamp that must be found if the process ends now, in this way.
    pub(crate) fn promised(&self, fate: Fate) -> u64 {
        let visible = self.engine.as_ref().map_or(self.visible_at_end, |e| e.visible().get());
        match fate {
            // After a failed sync the kernel may forget what it had taken.
            Fate::Kill if !self.life.faults => visible.max(self.model.durable()),
            _ => self.model.must_survive_power_cut(visible),
        }
    }

    /// The machine stops, if it has not yet, and it is settled what survives.
    pub(crate) fn stop(&mut self) {
        let fate = self.armed.as_ref().map_or(Fate::Power, |revival| revival.fate);
        let worst = self.armed.as_ref().map_or(Fate::Power, Revival::worst);
        self.model.note_durable(self.promised(worst));
        // The machine stops first: a store that is dropped while it runs closes itself, as far as
        // it can, and that would hide what a stop leaves behind.
        if self.disk.is_running() {
            self.disk.crash_at(self.disk.operations());
        }
        self.let_go();
        self.judge(fate);
        self.settled = true;
    }

    fn judge(&mut self, fate: Fate) {
        match fate {
            Fate::Power => {
                self.totals.power_cuts += 1;
                self.disk.crash(Crash::Random);
            }
            Fate::Kill => {
                self.totals.kills += 1;
                self.disk.kill();
            }
        }
    }

    /// Lets go of everything that is open. A commit whose caller was not told stays open: the next
    /// recovery shows what became of it.
    pub(crate) fn let_go(&mut self) {
        if self.engine.is_some() {
            self.visible_at_end = self.visible();
        }
        self.collect_counts();
        self.in_flight.clear();
        self.held.clear();
        self.engine = None;
    }

    fn collect_counts(&mut self) {
        let Some(Ok(stats)) = self.engine.as_ref().map(Engine::stats) else { return };
        self.totals.flushes += stats.flushes;
        self.totals.merges += stats.compactions;
        self.totals.moves += stats.moves;
        self.totals.segments += stats.log.segments;
    }

    /// After a stop: recovers, as often as recoveries are stopped themselves.
    pub(crate) fn revive(&mut self) -> Result<(), Violation> {
        if !self.settled {
            self.stop();
        }
        let revival = self.armed.take().unwrap_or_else(|| Revival::plain(Fate::Power));
        if let Some(options) = revival.options {
            self.options = *options;
        }
        let mut nested = revival.nested.into_iter();
        let (mut stop_at, mut fate) = nested.next().unwrap_or((NEVER, Fate::Power));
        while !self.recover(stop_at)? {
            self.totals.stops_in_recovery += 1;
            self.judge(fate);
            (stop_at, fate) = nested.next().unwrap_or((NEVER, Fate::Power));
        }
        if self.given_up { Ok(()) } else { self.check_copies() }
    }

    /// Begins the next life of a machine whose stop is settled, and opens the store. Says whether
    /// that went through; if not, the machine has stopped again, at the operation `stop_at`.
    pub(crate) fn recover(&mut self, stop_at: u64) -> Result<bool, Violation> {
        self.disk = self.disk.reopen();
        self.settled = false;
        // A store that was created can be read without being recovered.
        let looks =
            stop_at == NEVER && self.disk.life() % 4 == 1 && self.shown > 0 && !self.life.faults;
        let looked = if looks && self.is_trusted() { Some(self.look()?) } else { None };
        self.disk.crash_at(stop_at);
        let opened = self.open(&self.options.clone());
        if !self.disk.is_running() {
            return Ok(false);
        }
        self.disk.crash_at(NEVER);
        let Some(engine) = self.admit(opened)? else { return Ok(self.given_up) };
        self.totals.recoveries += 1;
        self.audit(engine)?;
        if self.given_up {
            return Ok(true);
        }
        self.compare_look(looked.as_ref())?;
        let again = self.disk.life() % 4 == 3 && !self.life.faults && self.is_trusted();
        if again {
            self.recover_a_copy()?;
        }
        Ok(true)
    }

    /// Compares what was seen without recovery with what was recovered.
    fn compare_look(&self, looked: Option<&State>) -> Result<(), Violation> {
        let Some(looked) = looked else { return Ok(()) };
        let found = self.model.state(self.life.last, self.life.now);
        compare(looked, &found).map_err(|v| v.at("opened for reading only"))
    }

    /// An opening that failed for an error with a cause is tried again without the cause. `None`
    /// when the machine stopped then.
    pub(crate) fn admit(
        &mut self,
        opened: Result<Engine, Error>,
    ) -> Result<Option<Engine>, Violation> {
        let error = match opened {
            Ok(engine) => return Ok(Some(engine)),
            Err(error) => error,
        };
        let noisy = self.opening_fails || self.is_noisy();
        let excused = match error.kind() {
            ErrorKind::Io => noisy,
            ErrorKind::OutOfSpace => noisy || self.space_is_short,
            _ => false,
        };
        let excused = excused || self.is_damage(error.kind());
        ensure(excused, || format!("the store does not open: {error} ({:?})", error.kind()))?;
        self.totals.refused += 1;
        self.disk.disarm();
        self.disk.set_space(None);
        self.disk.set_read_only(false);
        self.space_is_short = false;
        self.opening_fails = false;
        match self.quietly(|world| world.open(&world.options.clone())) {
            // Some failures are borne in silence, as that of removing what is left over.
            _ if !self.disk.is_running() => Ok(None),
            Ok(engine) => Ok(Some(engine)),
            Err(e) if self.is_damage(e.kind()) => {
                self.give_up(&e);
                Ok(None)
            }
            Err(e) => Err(Violation::new(format!("the store does not open a second time: {e}"))),
        }
    }

    pub(crate) fn reopen(
        &mut self,
        close: bool,
        look_first: bool,
        failure: Option<(u64, Failure)>,
        options: Option<&Options>,
    ) -> Result<(), Violation> {
        self.poll()?;
        let last = self.life.last;
        if close {
            self.check_snapshots(usize::MAX)?;
            self.collect_counts();
            match self.engine()?.close() {
                Ok(()) => {
                    self.show(last);
                    self.model.note_durable(last);
                }
                Err(error) => self.refused(&error)?,
            }
        }
        if !self.disk.is_running() {
            return Ok(());
        }
        self.let_go();
        if self.disk.is_running() {
            self.check_nothing_is_open()?;
        }
        if !self.disk.is_running() {
            return Ok(());
        }
        self.model.note_durable(self.promised(Fate::Kill));
        if let Some(options) = options {
            self.options = options.clone();
        }
        let trouble = self.trouble.filter(|trouble| trouble.is_to_come(&self.disk));
        match trouble {
            Some(_) => self.opening_fails = true,
            None => self.disk.disarm(),
        }
        // A kernel that dropped writes after an error may show them to one opening and not to the
        // next; only the opening for writing makes what it found durable.
        let looks = look_first && !self.life.faults && self.is_trusted();
        let looked = if looks { Some(self.look()?) } else { None };
        if let Some((call, failure)) = failure {
            self.opening_fails = true;
            self.disk.fail_call(self.disk.calls() + call, failure);
        }
        let opened = self.open(&self.options.clone());
        if !self.disk.is_running() {
            return Ok(());
        }
        let trouble = trouble.filter(|trouble| opened.is_ok() && trouble.is_to_come(&self.disk));
        let Some(engine) = self.admit(opened)? else { return Ok(()) };
        self.disk.disarm();
        self.totals.reopenings += 1;
        let calls = self.disk.calls();
        self.audit(engine)?;
        self.opening_fails = false;
        if self.given_up {
            return Ok(());
        }
        // The oracle's own calls do not count, and do not fail.
        self.trouble = trouble.map(|trouble| trouble.later_by(self.disk.calls() - calls));
        if let Some(trouble) = self.trouble {
            self.arm(trouble);
        }
        self.compare_look(looked.as_ref())
    }

    /// Opens the store for reading only and reads it.
    fn look(&self) -> Result<State, Violation> {
        let operations = self.disk.operations();
        let options =
            Options { access: Access::ReadOnly, create: Create::Never, ..self.options.clone() };
        let state = self.open(&options).and_then(|engine| {
            let state = engine.scan(ALL_KEYS.0, ALL_KEYS.1).and_then(|scan| walk(scan, 0))?;
            engine.close().map(|()| state)
        });
        let state = state.map_err(|e| Violation::new(format!("opened for reading only: {e}")))?;
        let writes = self.disk.operations() - operations;
        ensure(writes == 0, || format!("opened for reading only, it wrote {writes} times"))?;
        Ok(state)
    }

    /// Compares a store that was just opened with the oracle, and takes it over.
    pub(crate) fn audit(&mut self, engine: Engine) -> Result<(), Violation> {
        if !self.is_trusted() {
            return self.quietly(|world| world.audit_warily(engine));
        }
        self.quietly(|world| world.audit_fully(engine))
    }

    /// Compares a store whose disk has broken its word: it shows some prefix, or says that it is
    /// damaged.
    fn audit_warily(&mut self, engine: Engine) -> Result<(), Violation> {
        let (now, last) = (self.wall_ms(), engine.visible().get());
        self.begin_life(now, last);
        let scan = || engine.scan(ALL_KEYS.0, ALL_KEYS.1);
        let found = match scan().and_then(|scan| walk(scan, now)) {
            Ok(found) => found,
            Err(error) if self.is_damage(error.kind()) => {
                drop(engine);
                self.give_up(&error);
                return Ok(());
            }
            Err(error) => return Err(Violation::new(format!("a store just opened: {error}"))),
        };
        let (end, former) = self.find_any_end(&found, now)?;
        self.roll_back(end, last, former);
        self.note(|| format!("  opened through {end}, going on after {last}"));
        self.engine = Some(engine);
        Ok(())
    }

    fn begin_life(&mut self, now: u64, last: u64) {
        let faults = self.space_is_short || self.opening_fails || self.is_noisy();
        let failed_syncs = self.disk.failed_syncs();
        self.life = Life { now, last, faults, poisoned: false, failed_syncs };
    }

    fn audit_fully(&mut self, engine: Engine) -> Result<(), Violation> {
        let (now, last) = (self.wall_ms(), engine.visible().get());
        let (shown, faults) =
            (self.shown, self.space_is_short || self.opening_fails || self.is_noisy());
        // On a full disk the store may open for reading, and then does not go on at all.
        ensure(last >= shown || faults, || {
            format!("{shown} was shown, but the store goes on after {last}: stamps come twice")
        })?;
        self.totals.full_openings += u64::from(last < shown);
        self.show(last);
        self.begin_life(now, last);
        let failed = |e: Error| Violation::new(format!("a store just opened fails: {e}"));
        let scan = || engine.scan(ALL_KEYS.0, ALL_KEYS.1);
        let found = scan().and_then(|scan| walk(scan, 0)).map_err(failed)?;
        let backwards = scan().and_then(|scan| walk(scan, u64::MAX)).map_err(failed)?;
        compare(&backwards, &found).map_err(|v| v.at("backwards"))?;
        let end = self.find_end(&found, now)?;
        if self.model.possible_ends().next_back() != Some(end) {
            self.totals.recoveries_with_loss += 1;
        }
        self.model.recovered(end);
        let mut points = State::new();
        for key in self.model.keys_to_read(&found, self.totals.operations) {
            if let Some(record) = engine.get(key).map_err(failed)? {
                points.insert(key.clone(), seen_record(&record));
            }
        }
        compare(&points, &found).map_err(|v| v.at("key by key"))?;
        let report = engine.check().map_err(failed)?;
        ensure(report.is_clean(), || {
            let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
            format!("a store just opened has {problems:?}")
        })?;
        self.note(|| format!("  recovered through {end}, going on after {last}"));
        self.engine = Some(engine);
        Ok(())
    }

    /// The last commit of the prefix that the recovery found.
    fn find_end(&self, found: &State, now: u64) -> Result<u64, Violation> {
        let mut ends = self.model.possible_ends().rev();
        if let Some(end) = ends.find(|end| self.model.state(*end, now) == *found) {
            return Ok(end);
        }
        let promised = self.model.durable();
        let ends: Vec<_> = self.model.possible_ends().collect();
        let expected = self.model.state(promised, now);
        let difference = compare(found, &expected).expect_err("no possible end fits");
        Err(difference.at(format!("no prefix fits, not {ends:?}; at {promised}")))
    }

    /// Opens the copies that were made since the last time and compares them. Those of even stamps
    /// were opened when they were made, too.
    pub(crate) fn check_copies(&mut self) -> Result<(), Violation> {
        for copy in std::mem::take(&mut self.copies) {
            self.check_copy(&copy)?;
        }
        Ok(())
    }

    pub(crate) fn check_copy(&mut self, copy: &Copied) -> Result<(), Violation> {
        let at = copy.at;
        let disk = self.disk.directory(copy.path.as_ref());
        let disk = disk.ok_or_else(|| Violation::new(format!("{} is missing", copy.path)))?;
        let opened = Engine::open(self.environment_over(disk), self.options.clone());
        let read = opened.and_then(|engine| {
            let state = engine.scan(ALL_KEYS.0, ALL_KEYS.1).and_then(|scan| walk(scan, at))?;
            let followed = copy.follow(&engine, self.latest_ms.max(self.wall_ms()))?;
            Ok((state, followed, engine.check()?))
        });
        let (state, followed, report) = match read {
            Ok(read) => read,
            Err(error) => return self.refused(&error).map_err(|v| v.at(&copy.path)),
        };
        let excused = self.life.faults || !self.disk.is_running();
        ensure(report.is_clean() || excused, || {
            format!("{} has {:?}", copy.path, report.problems)
        })?;
        followed.map_err(|v| v.at(&copy.path))?;
        self.totals.copies += 1;
        compare(&state, &copy.model.state(at, self.wall_ms())).map_err(|v| v.at(&copy.path))
    }
}
