//! What each operation of a history does, and what is demanded of its outcome.

use std::task::Poll;

use icecore_disk::{Disk, Name};
use icecore_engine::{Durability, Engine, Error, ErrorKind, Outcome, Record, Scan, Step};
use icecore_model::Versionstamp;

use crate::batch::{BatchSpec, CheckSpec, MutationSpec};
use crate::history::{CheckPlan, Op};
use crate::model::{Fruitless, State, Value};
use crate::violation::{Violation, ensure};
use crate::world::{Copied, Held, InFlight, World, poll_once};

/// A store that still finds work after so many steps will never rest.
const STEPS_MAX: usize = 20_000;

/// Everything that a store holds lies between these two keys.
pub(crate) const ALL_KEYS: (&[u8], &[u8]) = (&[0x01], &[0xff]);

impl World {
    /// Performs `ops`, with a recovery after each stop, and at the end an orderly reopening.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(&mut self, ops: &[Op]) -> Result<(), Violation> {
        self.begin()?;
        if !self.disk.is_running() {
            self.revive().map_err(|v| v.at("at birth"))?;
        }
        for (index, op) in ops.iter().enumerate() {
            self.perform_and_revive(op).map_err(|v| v.at(place(index, op)))?;
        }
        self.finish().map_err(|v| v.at("at the end"))
    }

    /// Performs `ops` until the machine stops. Says whether it did.
    pub fn run_until_stop(&mut self, ops: &[Op]) -> Result<bool, Violation> {
        for (index, op) in ops.iter().enumerate() {
            self.note(|| format!("{index} {op:?}"));
            self.perform(op).map_err(|v| v.at(place(index, op)))?;
            if !self.disk.is_running() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn perform_and_revive(&mut self, op: &Op) -> Result<(), Violation> {
        self.note(|| format!("{op:?}"));
        self.totals.operations += 1;
        self.perform(op)?;
        if !self.disk.is_running() {
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
        self.perform_and_revive(&Op::Quiesce)
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
                self.armed = Some(revival.clone());
                self.stop();
                Ok(())
            }
            Op::StopAfter { operations, revival } => {
                self.armed = Some(revival.clone());
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
        }
    }

    fn commit(
        &mut self,
        checks: &[CheckPlan],
        mutations: &[MutationSpec],
        durability: Durability,
        wait: bool,
    ) -> Result<(), Violation> {
        let now = self.life.now;
        let checks = checks.iter().map(|plan| self.settle(plan)).collect();
        let batch = BatchSpec { checks, mutations: mutations.to_vec() };
        let stamp = self.life.last + 1;
        let resolved = self.model.resolve(&batch, stamp, now);
        let was_poisoned = self.life.poisoned;
        let engine = self.engine()?;
        let answer = if wait {
            Poll::Ready(batch.with(|batch| engine.commit_with(batch, durability)))
        } else {
            let mut future = batch.with(|batch| engine.commit_async(batch, durability));
            let answer = poll_once(&mut future);
            if answer.is_pending() {
                let expected = match &resolved {
                    Ok(_) => Outcome::Committed(Versionstamp::new(stamp)),
                    Err(Fruitless::CheckFailed(indexes)) => {
                        Outcome::CheckFailed { indexes: indexes.clone() }
                    }
                    Err(Fruitless::Refused) => {
                        return Err(Violation::new("a commit that must be refused is under way"));
                    }
                };
                self.in_flight.push(InFlight { future, expected });
            }
            answer
        };
        self.note(|| format!("  at {stamp}: {answer:?}"));
        let appended = match &answer {
            Poll::Pending => resolved.is_ok(),
            Poll::Ready(Ok(Outcome::Committed(_))) => true,
            Poll::Ready(Err(error)) => error.kind() == ErrorKind::OutcomeUnknown,
            Poll::Ready(Ok(_)) => false,
        };
        let shown = self.shown;
        ensure(!appended || stamp > shown, || format!("{stamp} comes again, {shown} was shown"))?;
        let fruitless = match resolved {
            Ok(effects) if appended => {
                self.model.apply(effects, stamp, durability == Durability::Sync);
                self.life.last = stamp;
                None
            }
            Ok(_) => None,
            Err(fruitless) => Some(fruitless),
        };
        ensure(!(appended && was_poisoned), || "a poisoned store took a commit".to_owned())?;
        match answer {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(outcome)) => {
                let expected = match fruitless {
                    None => Outcome::Committed(Versionstamp::new(stamp)),
                    Some(Fruitless::CheckFailed(indexes)) => {
                        self.totals.failed_checks += 1;
                        self.show_failure(&batch, &indexes)?;
                        Outcome::CheckFailed { indexes }
                    }
                    Some(Fruitless::Refused) => {
                        return Err(Violation::new(format!("not refused, but {outcome:?}")));
                    }
                };
                self.told(&outcome, &expected)
            }
            Poll::Ready(Err(error)) => match (error.kind(), fruitless) {
                (ErrorKind::TypeMismatch, Some(Fruitless::Refused)) => Ok(()),
                _ => self.refused(&error),
            },
        }
    }

    /// A caller who is told that a check failed must see why.
    fn show_failure(&self, batch: &BatchSpec, indexes: &[usize]) -> Result<(), Violation> {
        let (now, visible) = (self.life.now, self.visible());
        for index in indexes {
            let check = &batch.checks[*index];
            let seen = self.model.get(&check.key, visible, now).map(|(stamp, _)| stamp);
            ensure(seen != check.expected, || {
                format!("check {index} failed because of a state that is not visible")
            })?;
        }
        Ok(())
    }

    fn settle(&self, plan: &CheckPlan) -> CheckSpec {
        let actual = self.model.get(&plan.key, u64::MAX, self.life.now).map(|(stamp, _)| stamp);
        let expected = match (plan.right, actual) {
            (true, actual) => actual,
            (false, Some(stamp)) if stamp % 2 == 0 => None,
            (false, Some(stamp)) => Some(stamp - 1),
            (false, None) => Some(self.life.last.max(1)),
        };
        CheckSpec { key: plan.key.clone(), expected }
    }

    fn get_many(&mut self, keys: &[Vec<u8>], together: bool) -> Result<(), Violation> {
        let (engine, at, now) = (self.engine()?, self.visible(), self.life.now);
        let answer = match (keys, together) {
            ([key], false) => engine.get(key).map(|record| vec![record]),
            _ => engine.get_many(keys),
        };
        let records = match answer {
            Ok(records) => records,
            Err(error) => return self.refused(&error),
        };
        for (key, record) in keys.iter().zip(&records) {
            let expected = self.model.get(key, at, now).map(|(s, value)| (s, value.clone()));
            let found = record.as_ref().map(seen_record);
            ensure(found == expected, || {
                let key = key.escape_ascii();
                format!("{key} at {at} reads as {}, not {}", brief(&found), brief(&expected))
            })?;
        }
        self.show(at);
        Ok(())
    }

    fn scan(&mut self, start: &[u8], end: &[u8], sides: u64) -> Result<(), Violation> {
        let (at, now) = (self.visible(), self.life.now);
        let walked = self.engine()?.scan(start, end).and_then(|scan| walk(scan, sides));
        let found = match walked {
            Ok(found) => found,
            Err(error) => return self.refused(&error),
        };
        let mut expected = self.model.state(at, now);
        expected.retain(|key, _| start <= &key[..] && &key[..] < end);
        compare(&found, &expected).map_err(|v| v.at(format!("a scan at {at}")))?;
        self.show(at);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), Violation> {
        let snapshot = match self.engine()?.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return self.refused(&error),
        };
        let (at, visible) = (snapshot.at().get(), self.visible());
        ensure(at == visible, || format!("a snapshot at {at} while {visible} is visible"))?;
        let expected = self.model.state(at, self.life.now);
        self.held.push(Held { snapshot, expected });
        self.show(at);
        Ok(())
    }

    /// Reads the snapshots that are held, and lets all but `keep` go.
    pub(crate) fn check_snapshots(&mut self, keep: usize) -> Result<(), Violation> {
        for index in 0..self.held.len() {
            let held = &self.held[index];
            let at = held.snapshot.at().get();
            let read = walk(held.snapshot.scan(ALL_KEYS.0, ALL_KEYS.1), at)
                .and_then(|state| Ok((state, self.read_points(held)?)));
            match read {
                Ok((state, points)) => {
                    compare(&state, &held.expected)
                        .and_then(|()| compare(&points, &held.expected))
                        .map_err(|v| v.at(format!("the snapshot of {at}")))?;
                    self.totals.snapshots += 1;
                }
                Err(error) => self.refused(&error)?,
            }
        }
        let surplus = self.held.len().saturating_sub(keep);
        self.held.drain(..surplus);
        Ok(())
    }

    fn read_points(&self, held: &Held) -> Result<State, Error> {
        let mut state = State::new();
        for key in self.model.known_keys() {
            if let Some(record) = held.snapshot.get(key)? {
                state.insert(key.clone(), seen_record(&record));
            }
        }
        Ok(state)
    }

    fn flush(&mut self, flush: fn(&Engine) -> Result<(), Error>) -> Result<(), Violation> {
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
    fn step(&mut self, choice: u64) -> Result<Option<Step>, Violation> {
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

    fn quiesce(&mut self) -> Result<(), Violation> {
        self.check_snapshots(0)?;
        if !self.step_until_idle()? {
            return Ok(());
        }
        self.poll()?;
        self.flush(Engine::flush)?;
        let segments = self.segments()?;
        let quiet = self.step_until_idle()?;
        let begun = self.segments()? - segments;
        if quiet && self.disk.is_running() && !self.life.faults {
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

    fn checkpoint(&mut self) -> Result<(), Violation> {
        self.copies_made += 1;
        let path = format!("copy-{}", self.copies_made);
        let visible = self.visible();
        match self.engine()?.checkpoint(&path) {
            Ok(stamp) => {
                let at = stamp.get();
                ensure(at == visible, || format!("copied at {at} while {visible} is visible"))?;
                let mut model = self.model.clone();
                model.recovered(at);
                let copy = Copied { path, model, at };
                if at % 2 == 0 {
                    self.check_copy(&copy)?;
                }
                self.copies.push(copy);
                Ok(())
            }
            Err(error) => self.refused(&error),
        }
    }

    fn check(&mut self) -> Result<(), Violation> {
        if self.life.faults {
            return Ok(());
        }
        match self.engine()?.check() {
            Ok(report) => ensure(report.is_clean(), || {
                let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
                format!("the check finds {problems:?}")
            }),
            Err(error) => self.refused(&error),
        }
    }

    fn move_clock(&mut self, ms: i64) -> Result<(), Violation> {
        let wall = self.wall_ms().saturating_add_signed(ms).max(1);
        self.clock.set_wall_ms(wall);
        self.life.now = self.life.now.max(wall);
        // A snapshot reads the clock, so the engine has seen what the oracle has seen.
        match self.engine()?.snapshot() {
            Ok(_) => Ok(()),
            Err(error) => self.refused(&error),
        }
    }
}

pub(crate) fn seen_record(record: &Record) -> (u64, Value) {
    let expires_at = record.expires_at.map(|moment| moment.ms());
    (record.stamp.get(), Value { bytes: record.value.to_vec(), expires_at })
}

/// Walks over a scan from both ends, as `sides` says, bit by bit.
pub(crate) fn walk(mut scan: Scan, sides: u64) -> Result<State, Error> {
    let mut state = State::new();
    let mut turn = 0u32;
    loop {
        let back = sides.rotate_right(turn % 64) & 1 == 1;
        turn += 1;
        let Some(item) = (if back { scan.next_back() } else { scan.next() }) else { break };
        let item = item?;
        let expires_at = item.expires_at.map(|moment| moment.ms());
        let value = Value { bytes: item.value.to_vec(), expires_at };
        let stamp = item.stamp.get();
        state.insert(item.into_key(), (stamp, value));
    }
    Ok(state)
}

/// Whether two states are the same; if not, where they differ first.
pub(crate) fn compare(found: &State, expected: &State) -> Result<(), Violation> {
    if found == expected {
        return Ok(());
    }
    let keys = expected.keys().chain(found.keys());
    let key = keys.filter(|key| found.get(*key) != expected.get(*key)).min();
    let key = key.expect("states that differ do so at a key");
    let (found, expected) = (found.get(key).cloned(), expected.get(key).cloned());
    let name = key.escape_ascii();
    Err(Violation::new(format!("{name} is {}, not {}", brief(&found), brief(&expected))))
}

fn brief(value: &Option<(u64, Value)>) -> String {
    let Some((stamp, value)) = value else { return "absent".to_owned() };
    let front = value.bytes.get(..12).unwrap_or(&value.bytes).escape_ascii();
    let expiry = value.expires_at.map_or(String::new(), |ms| format!(" until {ms}"));
    format!("\"{front}\" ({} bytes) of {stamp}{expiry}", value.bytes.len())
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
