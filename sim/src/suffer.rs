//! What is demanded of a store whose files were damaged at rest.
//!
//! The damage is done to a copy of the machine, so that the history itself goes on unharmed.
//!
//! 1. The store opens or refuses by a typed error. If it opens, every read gives what belongs
//!    there, or a typed error: all of it is the state after *one* prefix of the commits.
//! 2. If the loss can be proven, the prefix has all that was promised (I5): the store was closed in
//!    an orderly way, so that its log says how far it went, and the damage lies below that; or what
//!    is damaged is no log at all.
//! 3. What a reader meets, the check finds; and it finds each damaged table that is in use (I17).
//! 4. Maintenance neither panics nor launders the damage: after it, reads still fit the same prefix.

use std::collections::BTreeSet;

use icecore_disk::Name;
use icecore_engine::{Engine, ErrorKind, Scan};

use crate::dice::Dice;
use crate::harm::{Files, Harm, Rest};
use crate::history::{Fate, Revival};
use crate::model::{Model, State, Value};
use crate::reads::{ALL_KEYS, seen_record};
use crate::violation::{Violation, ensure};
use crate::world::World;

/// How many moments of rest are remembered.
const OLDER_MAX: usize = 3;

/// A key, and the stamp and value that it was found to have.
type Point = (Vec<u8>, Option<(u64, Value)>);

/// What could be read of a damaged store.
struct Seen {
    /// In key order, up to an error if there was one.
    forwards: State,
    forwards_ended: bool,
    /// The same from the other end.
    backwards: State,
    backwards_ended: bool,
    /// Point reads that were answered.
    points: Vec<Point>,
    /// Some read failed.
    failed: bool,
}

impl World {
    /// The store rests: closed, or only stopped. Copies of it are damaged and opened.
    pub(crate) fn suffer(
        &mut self,
        close: bool,
        fate: Fate,
        seeds: &[u64],
    ) -> Result<(), Violation> {
        let mut closed = false;
        if close {
            self.poll()?;
            let last = self.life.last;
            match self.engine()?.close() {
                Ok(()) => {
                    self.show(last);
                    self.model.note_durable(last);
                    closed = self.model.possible_ends().count() == 1;
                }
                Err(error) => self.refused(&error)?,
            }
        }
        if !self.disk.is_running() {
            return Ok(());
        }
        self.armed = Some(self.allowed(&Revival::plain(fate)));
        self.stop();
        let files = self.disk.snapshot_files();
        // A disk that broke its word has done damage of its own.
        if self.is_trusted() {
            for seed in seeds {
                self.suffer_once(*seed, closed, &files)?;
            }
        }
        self.older.push(Rest { files, model: self.model.clone() });
        if self.older.len() > OLDER_MAX {
            self.older.remove(0);
        }
        Ok(())
    }

    fn suffer_once(&mut self, seed: u64, closed: bool, files: &Files) -> Result<(), Violation> {
        let harm = Harm::draw(&Dice::new(seed), self.disk.rules(), files, &self.older);
        let Some(harm) = harm else { return Ok(()) };
        let end_of_log = self.end_of_log(files).filter(|_| closed);
        let provable = closed && harm.is_provable(end_of_log);
        self.note(|| format!("  damage {seed}: {harm}, provable: {provable}"));
        let mut copy = self.fork(seed);
        copy.disk.set_rules(self.disk.rules().calm());
        copy.totals = self.totals;
        if harm.strike(&copy.disk).is_err() {
            return Ok(());
        }
        copy.totals.harms += 1;
        let result = copy.open_harmed(&harm, provable);
        self.totals = copy.totals;
        result.map_err(|v| v.at(format!("{harm} (closed: {closed}, provable: {provable})")))
    }

    /// The last segment of the log, and where the last write to it began.
    fn end_of_log(&self, files: &Files) -> Option<(Name, u64)> {
        let segments = files.iter().map(|(name, _)| *name);
        let last = segments.filter(|name| matches!(name, Name::Wal(_))).filter_map(|name| {
            let (order, start) = self.disk.last_write(name)?;
            Some((order, name, start))
        });
        last.max().map(|(_, name, start)| (name, start))
    }

    fn open_harmed(&mut self, harm: &Harm, provable: bool) -> Result<(), Violation> {
        self.disk = self.disk.reopen();
        let engine = match self.open(&self.options.clone()) {
            Ok(engine) => engine,
            Err(error) => {
                self.totals.refused_openings += 1;
                return ensure(is_typed(error.kind()), || format!("it opens with {error:?}"));
            }
        };
        let seen = self.read_harmed(&engine)?;
        let (model, end) = self.prefix(harm, provable, &seen)?;
        self.check_harmed(harm, &engine, seen.failed)?;
        // Whatever these say, they say it in an orderly way.
        for work in [Engine::flush, Engine::compact] {
            if let Err(error) = work(&engine) {
                ensure(is_typed(error.kind()), || format!("maintenance fails with {error:?}"))?;
            }
        }
        let seen = self.read_harmed(&engine)?;
        self.fits(&model, end, &seen).map_err(|v| v.at("after maintenance"))?;
        if let Err(error) = engine.close() {
            ensure(is_typed(error.kind()), || format!("it closes with {error:?}"))?;
        }
        Ok(())
    }

    /// The prefix that was seen: by what is known now, or was known when the files were so.
    fn prefix(&self, harm: &Harm, provable: bool, seen: &Seen) -> Result<(Model, u64), Violation> {
        let then = match harm {
            Harm::Older(_, rest) if !provable => Some(&self.older[*rest].model),
            _ => None,
        };
        let mut wrong = None;
        for model in std::iter::once(&self.model).chain(then) {
            let ends: BTreeSet<u64> = match provable {
                true => model.possible_ends().collect(),
                false => model.all_ends(),
            };
            let fits = |end: &u64| self.fits(model, *end, seen);
            if let Some(end) = ends.iter().rev().copied().find(|end| fits(end).is_ok()) {
                return Ok((model.clone(), end));
            }
            let last = fits(&ends.last().copied().unwrap_or(0));
            wrong =
                wrong.or(last.err().map(|v| v.at(format!("none of {} prefixes fits", ends.len()))));
        }
        Err(wrong.expect("what fits has been returned"))
    }

    /// The check finds what a reader met, and each damaged table in use.
    fn check_harmed(
        &mut self,
        harm: &Harm,
        engine: &Engine,
        failed: bool,
    ) -> Result<(), Violation> {
        let clean = match engine.check() {
            Ok(report) => report.is_clean(),
            Err(error) => {
                ensure(is_typed(error.kind()), || format!("the check fails with {error:?}"))?;
                false
            }
        };
        // Opening has removed what is not in use.
        let in_use = harm.table().is_some_and(|table| self.disk.read_file(table).is_ok());
        self.totals.found_by_check += u64::from(!clean);
        self.totals.harmless += u64::from(clean);
        ensure(!clean || !failed, || "the check is content with what cannot be read".to_owned())?;
        ensure(!clean || !in_use, || "the check does not find a damaged table".to_owned())
    }

    fn read_harmed(&self, engine: &Engine) -> Result<Seen, Violation> {
        let (forwards, forwards_ended) = walk_harmed(engine, Scan::next)?;
        let (backwards, backwards_ended) = walk_harmed(engine, Scan::next_back)?;
        let mut points = Vec::new();
        let mut failed = !forwards_ended || !backwards_ended;
        for key in self.model.known_keys() {
            match engine.get(key) {
                Ok(record) => points.push((key.clone(), record.as_ref().map(seen_record))),
                Err(error) => {
                    ensure(is_typed(error.kind()), || format!("a read fails with {error:?}"))?;
                    failed = true;
                }
            }
        }
        Ok(Seen { forwards, forwards_ended, backwards, backwards_ended, points, failed })
    }

    /// Whether all that was seen belongs to the state of `model` at `end`.
    fn fits(&self, model: &Model, end: u64, seen: &Seen) -> Result<(), Violation> {
        let expected = model.state(end, self.wall_ms());
        let last = seen.forwards.last_key_value().map(|(key, _)| key);
        let first = seen.backwards.first_key_value().map(|(key, _)| key);
        let front = expected
            .iter()
            .filter(|(key, _)| seen.forwards_ended || last.is_some_and(|last| *key <= last));
        ensure(front.eq(seen.forwards.iter()), || format!("a walk is wrong at {end}"))?;
        let back = expected
            .iter()
            .filter(|(key, _)| seen.backwards_ended || first.is_some_and(|first| *key >= first));
        ensure(back.eq(seen.backwards.iter()), || format!("a walk back is wrong at {end}"))?;
        for (key, found) in &seen.points {
            ensure(found.as_ref() == expected.get(key), || {
                format!("{} is wrong at {end}", key.escape_ascii())
            })?;
        }
        Ok(())
    }
}

type Step = fn(&mut Scan) -> Option<Result<icecore_engine::Item, icecore_engine::Error>>;

/// Walks until the end, or to the first error. Says which.
fn walk_harmed(engine: &Engine, step: Step) -> Result<(State, bool), Violation> {
    let mut state = State::new();
    let typed = |error: icecore_engine::Error| {
        ensure(is_typed(error.kind()), || format!("a walk fails with {error:?}"))
    };
    let mut scan = match engine.scan(ALL_KEYS.0, ALL_KEYS.1) {
        Ok(scan) => scan,
        Err(error) => return typed(error).map(|()| (state, false)),
    };
    while let Some(item) = step(&mut scan) {
        let item = match item {
            Ok(item) => item,
            Err(error) => return typed(error).map(|()| (state, false)),
        };
        let expires_at = item.expires_at.map(|moment| moment.ms());
        let value = Value { bytes: item.value.to_vec(), expires_at };
        let stamp = item.stamp.get();
        state.insert(item.into_key(), (stamp, value));
    }
    Ok((state, true))
}

/// Whether damage may be told in this way.
fn is_typed(kind: ErrorKind) -> bool {
    use ErrorKind::{Corrupt, Io, NotFound, OutOfSpace, Poisoned, UnknownFormat};
    matches!(kind, Corrupt | Io | NotFound | Poisoned | UnknownFormat | OutOfSpace)
}
