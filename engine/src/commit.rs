//! The write path: from a batch to a visible commit.
//!
//! 1. Sizes are checked, and the pace of writers is kept, before any lock is taken.
//! 2. Under the writer lock: the clock is read, checks are compared with the newest state (also
//!    with what is not yet durable), mutations are resolved into effects, and log space is
//!    reserved. Up to here any error leaves no trace.
//! 3. The commit takes the next stamp, its effects enter the memtable, still invisible, and it is
//!    appended to the log. The memtable comes first: once a frame is in the log, any thread may
//!    complete the write and make the stamp visible.
//! 4. Observers are told ([`crate::observe`]), still under the lock, so in the order of stamps.
//! 5. Without the lock: the caller waits for its durability, or drives the log itself.
//!
//! A commit whose check failed waits until the stamp that failed it is visible, so that a caller
//! who reads again sees the newer state.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use icecore_model::key::VERSIONSTAMP_PART_BYTES;
use icecore_model::{Planted, Timestamp, Versionstamp, planted};
use icecore_sync::{MutexGuard, lock};
use icecore_wal::{Claim, Durability};

use crate::batch::{Batch, Check, Current, Mutation, Outcome};
use crate::core::{Core, Writer};
use crate::error::Error;
use crate::keyspace;
use crate::resolve::{self, Base, Look};

/// What the part under the lock came to.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// The commit is in the log, and becomes visible later.
    Appended(Versionstamp),
    /// These checks do not hold against the state of `seen`.
    CheckFailed { indexes: Vec<usize>, seen: Versionstamp },
}

/// Computes the effects of a commit that gets this stamp.
pub(crate) type Fill<'f> = dyn FnMut(&Core, Versionstamp, &mut Vec<u8>) -> Result<(), Error> + 'f;

impl Core {
    pub(crate) fn commit(
        &self,
        batch: Batch<'_>,
        durability: Durability,
    ) -> Result<Outcome, Error> {
        match self.submit(batch, durability)? {
            Submitted::Appended(stamp) => {
                self.log()?.wait(stamp).map_err(|e| self.outcome_unknown(e))?;
                Ok(Outcome::Committed(stamp))
            }
            Submitted::CheckFailed { indexes, seen } => {
                if planted(Planted::FailureToldEarly) {
                    return Ok(Outcome::CheckFailed { indexes });
                }
                self.log()?.wait(seen)?;
                Ok(Outcome::CheckFailed { indexes })
            }
        }
    }

    /// Everything up to the point where a commit only waits for its durability.
    pub(crate) fn submit(
        &self,
        batch: Batch<'_>,
        durability: Durability,
    ) -> Result<Submitted, Error> {
        self.validate(batch)?;
        let claim = claim(batch.mutations);
        self.keep_pace(claim)?;
        let mut guard = self.lock_writer()?;
        let writer = guard.writer().ok_or_else(|| self.why_not_writable())?;
        let now_ms = self.now_ms();
        let failed = self.failed_checks(batch.checks, writer.last, now_ms);
        if let Some(failed) = failed.map_err(|error| self.poison_first(error))? {
            return Ok(failed);
        }
        let base = NewestState { core: self, now_ms };
        let mut expires_at = None;
        // Before the memtable may be frozen: the note belongs to the one that takes the deletions.
        writer.deletions |= batch.mutations.iter().any(deletes);
        let stamp = self.append(writer, durability, claim, now_ms, &mut |_, stamp, effects| {
            let resolved = resolve::resolve(batch.mutations, stamp, &base, effects);
            expires_at = resolved.map_err(|error| self.poison_first(error))?;
            limit("a commit's encoded effects", self.options.commit_bytes_max, effects.len())
        })?;
        if let Some(moment) = expires_at {
            self.expect_expiry(moment, now_ms);
        }
        self.tell(writer, stamp);
        Ok(Submitted::Appended(stamp))
    }

    /// Commits deletions that the engine itself computes, under the writer lock. The setting for
    /// the largest commit is for callers only: what just fits in it takes a little more to delete.
    pub(crate) fn commit_effects(
        &self,
        durability: Durability,
        fill: &mut Fill<'_>,
    ) -> Result<Versionstamp, Error> {
        let stamp = {
            let mut guard = self.lock_writer()?;
            let writer = guard.writer().ok_or_else(|| self.why_not_writable())?;
            let now_ms = self.now_ms();
            writer.deletions = true;
            let stamp = self.append(writer, durability, Claim::Freeing, now_ms, fill)?;
            self.tell(writer, stamp);
            stamp
        };
        self.log()?.wait(stamp).map_err(|e| self.outcome_unknown(e))?;
        Ok(stamp)
    }

    fn lock_writer(&self) -> Result<WriterGuard<'_>, Error> {
        let guard = WriterGuard { core: self, writer: Some(lock(&self.writer)) };
        // Asked under the lock: after `close` has had it, no commit begins.
        self.check_open()?;
        Ok(guard)
    }

    /// Tells observers what the commit `stamp`, which was just appended, has done. This comes last:
    /// if an observer panics, nothing is half done.
    fn tell(&self, writer: &mut Writer, stamp: Versionstamp) {
        self.observers.tell(stamp, &writer.effects);
        writer.effects.clear();
        writer.effects.shrink_to(EFFECTS_BYTES_KEPT);
    }

    /// Steps 2 (from the resolution on) to 4. The effects stay with the writer.
    fn append(
        &self,
        writer: &mut Writer,
        durability: Durability,
        claim: Claim,
        now_ms: u64,
        fill: &mut Fill<'_>,
    ) -> Result<Versionstamp, Error> {
        let log = self.log()?;
        let stamp = writer.last.next();
        let mut effects = std::mem::take(&mut writer.effects);
        effects.clear();
        let filled = fill(self, stamp, &mut effects);
        let filled = filled.and_then(|()| self.reserve(effects.len(), claim, writer));
        let appended = filled.and_then(|()| {
            let armed = PoisonUnlessDisarmed(log);
            writer
                .inserter
                .apply(stamp, icecore_model::Effects::new(&effects), self.memtable_floor(stamp))
                .expect("the engine encodes effects that decode");
            let ranges = |effect| matches!(effect, Ok(icecore_model::Effect::DeleteRange { .. }));
            let unlogged = planted(Planted::RangesUnlogged)
                && icecore_model::Effects::new(&effects).any(ranges);
            log.append(stamp, now_ms, if unlogged { &[] } else { &effects }, durability)?;
            std::mem::forget(armed);
            Ok(())
        });
        if appended.is_ok() {
            let bytes = effects.len() as u64;
            writer.log_bytes += bytes.next_multiple_of(LOG_BYTES_PER_COMMIT_MIN);
            writer.last = stamp;
            if self.is_full(writer) {
                self.freeze(writer);
            }
            self.counters.committed();
        }
        writer.effects = effects;
        appended.map(|()| stamp)
    }

    /// Makes room in the log.
    fn reserve(&self, bytes: usize, claim: Claim, writer: &mut Writer) -> Result<(), Error> {
        let log = self.log()?;
        match log.reserve(bytes, claim).map_err(Error::from) {
            Ok(()) => Ok(()),
            Err(error) => {
                let full = matches!(error, Error::OutOfSpace { .. });
                if full && claim == Claim::Freeing && !writer.inserter.memtable().is_empty() {
                    // The flush gives back what the log has taken, and compaction what was deleted.
                    self.freeze(writer);
                }
                if log.is_poisoned() {
                    self.poison(&error);
                }
                Err(error)
            }
        }
    }

    /// What a commit says that could not read what it needs: where the log has failed, another
    /// attempt is in vain, and the caller must hear so.
    fn poison_first(&self, error: Error) -> Error {
        match self.log.as_ref().and_then(icecore_wal::Log::failure) {
            Some(cause) => Error::Poisoned { cause },
            None => error,
        }
    }

    /// The floor for dropping versions in the memtable. Reading all slots costs more than a small
    /// commit, so it is done once in a while; an older floor is only more careful.
    fn memtable_floor(&self, stamp: Versionstamp) -> Versionstamp {
        if stamp.get().is_multiple_of(FLOOR_EVERY) { self.floor() } else { Versionstamp::ZERO }
    }

    /// After the append, a failure of the log leaves it open whether the commit is stored.
    fn outcome_unknown(&self, error: icecore_wal::Error) -> Error {
        let failure = self.log.as_ref().and_then(icecore_wal::Log::failure);
        let cause = failure.unwrap_or_else(|| error.to_string());
        let error = Error::OutcomeUnknown { cause };
        if self.log.as_ref().is_some_and(icecore_wal::Log::is_poisoned) {
            self.poison(&error);
        }
        error
    }

    fn failed_checks(
        &self,
        checks: &[Check<'_>],
        last: Versionstamp,
        now_ms: u64,
    ) -> Result<Option<Submitted>, Error> {
        let mut indexes = Vec::new();
        let mut seen = Versionstamp::ZERO;
        for (index, check) in checks.iter().enumerate() {
            let pinned = self.published.pin(|| self.visible());
            let visible_only = planted(Planted::ChecksSeeOnlyVisible);
            let at = if visible_only { pinned.at() } else { Versionstamp::MAX };
            let found = pinned
                .get(check.key, at, &self.access)?
                .filter(|f| !self.has_expired(f.stamp(), f.expires_at(), || now_ms));
            let actual = found.as_ref().map(|f| f.stamp());
            if actual != check.expected {
                indexes.push(index);
                // An absent key does not tell which commit made it so: wait for all of them.
                seen = seen.max(actual.unwrap_or(last));
            }
        }
        Ok((!indexes.is_empty()).then_some(Submitted::CheckFailed { indexes, seen }))
    }

    fn validate(&self, batch: Batch<'_>) -> Result<(), Error> {
        for check in batch.checks {
            self.validate_key(check.key)?;
        }
        for mutation in batch.mutations {
            match *mutation {
                Mutation::Set { key, value, .. } => {
                    self.validate_key(key)?;
                    limit("a value", self.options.value_bytes_max, value.len())?;
                }
                Mutation::SetVersionstamped { prefix, suffix, value, .. } => {
                    self.validate_key(prefix)?;
                    let stamped = prefix.len() + VERSIONSTAMP_PART_BYTES + suffix.len();
                    limit("a key", self.options.key_bytes_max, stamped)?;
                    limit("a value", self.options.value_bytes_max, value.len())?;
                }
                Mutation::Delete { key } | Mutation::Update { key, .. } => {
                    self.validate_key(key)?
                }
                Mutation::DeleteRange { start, end } => self.validate_range(start, end)?,
            }
        }
        Ok(())
    }

    fn validate_key(&self, key: &[u8]) -> Result<(), Error> {
        limit("a key", self.options.key_bytes_max, key.len())?;
        match key.first() {
            Some(space) if keyspace::is_open_to_callers(*space) => Ok(()),
            Some(space) => Err(Error::invalid(format!("there is no keyspace {space:#04x}"))),
            None => Err(Error::invalid("a key cannot be empty")),
        }
    }

    fn validate_range(&self, start: &[u8], end: &[u8]) -> Result<(), Error> {
        self.validate_key(start)?;
        limit("a key", self.options.key_bytes_max, end.len())?;
        if start >= end {
            return Err(Error::invalid("a range to delete must end after it starts"));
        }
        if end[0] == start[0] || *end == [start[0] + 1] {
            Ok(())
        } else {
            Err(Error::invalid("a range to delete must stay in one keyspace"))
        }
    }
}

/// A frame's header and, for a durable commit, the padding of its block.
const LOG_BYTES_PER_COMMIT_MIN: u64 = 512;

fn deletes(mutation: &Mutation<'_>) -> bool {
    matches!(mutation, Mutation::Delete { .. } | Mutation::DeleteRange { .. })
}

/// A commit that only deletes leads to room. An update may turn out to delete, but that is known only
/// under the lock.
fn claim(mutations: &[Mutation<'_>]) -> Claim {
    let frees = !mutations.is_empty() && mutations.iter().all(deletes);
    if frees { Claim::Freeing } else { Claim::Ordinary }
}

/// The memory for encoded effects that is kept from one commit to the next.
const EFFECTS_BYTES_KEPT: usize = 1 << 20;

/// How many commits share one look at the readers.
const FLOOR_EVERY: u64 = 64;

fn limit(limit: &'static str, max: usize, got: usize) -> Result<(), Error> {
    if got <= max {
        Ok(())
    } else {
        Err(Error::LimitExceeded { limit, max: max as u64, got: got as u64 })
    }
}

/// Poisons the log when a panic leaves a commit half applied.
struct PoisonUnlessDisarmed<'l>(&'l icecore_wal::Log);

impl Drop for PoisonUnlessDisarmed<'_> {
    fn drop(&mut self) {
        self.0.poison_and_leave_wakers();
    }
}

/// The writer lock, held for a commit. No waker runs under it: those that became due are called
/// once it is released.
struct WriterGuard<'c> {
    core: &'c Core,
    /// `None` once it is released.
    writer: Option<MutexGuard<'c, Option<Writer>>>,
}

impl WriterGuard<'_> {
    /// `None` when the store takes no commits.
    fn writer(&mut self) -> Option<&mut Writer> {
        self.writer.as_mut()?.as_mut()
    }
}

impl Drop for WriterGuard<'_> {
    fn drop(&mut self) {
        self.writer = None;
        if let Some(log) = &self.core.log {
            log.wake_left();
        }
    }
}

/// The state of all commits so far, also of those that are not visible yet.
struct NewestState<'c> {
    core: &'c Core,
    now_ms: u64,
}

impl Base for NewestState<'_> {
    fn look(&self, key: &[u8], see: &mut Look<'_>) -> Result<(), Error> {
        let core = self.core;
        let pinned = core.published.pin(|| core.visible());
        let found = pinned
            .get(key, Versionstamp::MAX, &core.access)?
            .filter(|f| !core.has_expired(f.stamp(), f.expires_at(), || self.now_ms));
        match found {
            Some(found) => {
                let current = Current { value: found.value(), expires_at: found.expires_at() };
                let seen = see(Some(current));
                // What it says of bytes that could not be read means nothing.
                found.check().and(seen)
            }
            None => see(None),
        }
    }

    fn has_expired(&self, moment: Timestamp) -> bool {
        moment.ms() <= self.now_ms
    }

    fn check_value_bytes(&self, bytes: usize) -> Result<(), Error> {
        limit("a value", self.core.options.value_bytes_max, bytes)
    }
}

/// A commit that has been submitted. It goes on whether or not this future is polled or dropped;
/// the future only tells what became of it. It needs no particular executor.
#[derive(Debug)]
#[must_use = "the outcome of a commit is known only when its future is done"]
pub struct CommitFuture {
    pub(crate) core: Arc<Core>,
    /// `None` once the outcome was given.
    pub(crate) submitted: Option<Result<Submitted, Error>>,
}

impl CommitFuture {
    /// The stamp of the commit, if it is in the log: it stands then, unless the log fails before
    /// it is visible. `None` for one that was refused or whose check failed, and once the outcome
    /// was given.
    pub fn stamp(&self) -> Option<Versionstamp> {
        match self.submitted.as_ref()?.as_ref().ok()? {
            Submitted::Appended(stamp) => Some(*stamp),
            Submitted::CheckFailed { .. } => None,
        }
    }
}

impl Future for CommitFuture {
    type Output = Result<Outcome, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let stamp = match self.submitted.as_ref().expect("a future is not polled after its end") {
            Ok(Submitted::Appended(stamp)) => Some(*stamp),
            Ok(Submitted::CheckFailed { .. }) if planted(Planted::FailureToldEarly) => None,
            Ok(Submitted::CheckFailed { seen, .. }) => Some(*seen),
            Err(_) => None,
        };
        let waited = match (stamp, &self.core.log) {
            (Some(stamp), Some(log)) => match log.poll_visible(stamp, context.waker()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(waited) => waited,
            },
            _ => Ok(()),
        };
        Poll::Ready(match (self.submitted.take().expect("looked at above"), waited) {
            (Err(error), _) => Err(error),
            (Ok(Submitted::Appended(stamp)), Ok(())) => Ok(Outcome::Committed(stamp)),
            (Ok(Submitted::Appended(_)), Err(error)) => Err(self.core.outcome_unknown(error)),
            (Ok(Submitted::CheckFailed { indexes, .. }), Ok(())) => {
                Ok(Outcome::CheckFailed { indexes })
            }
            (Ok(Submitted::CheckFailed { .. }), Err(error)) => Err(error.into()),
        })
    }
}

#[cfg(test)]
mod tests;
