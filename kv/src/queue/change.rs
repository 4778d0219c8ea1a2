//! What is committed for a message: the steps of its life.
//!
//! A message costs three commits: it is sent with the operation of its sender; *begun* before it
//! is given to a receiver, so that the attempt counts although the process may end by it; and
//! *finished*. A receiver that takes one message after the other finishes each in the commit that
//! begins the next. A failure *moves* a message to another deadline, and the last one *gives it up*.
//!
//! 1. Every step checks that the message is as the last step has left it: it begins, or is given up
//!    by one who has not begun it, only where it is and if nobody else has begun it, and all other
//!    steps ask for the attempt record of their own beginning. So a step that comes late changes
//!    nothing.
//! 2. A message and its attempt record go in one commit, and dead letters come in the same.

use icecore_engine::{Batch, Check, CommitFuture, Engine, Mutation, Outcome};
use icecore_model::Versionstamp;

use super::format::{MessageRow, Spot, encode_attempts};
use super::line::{Line, Ready};
use crate::error::Error;
use crate::key::Key;

/// Checks and mutations that own their bytes.
#[derive(Debug, Default)]
pub(crate) struct Change {
    checks: Vec<(Vec<u8>, Option<Versionstamp>)>,
    deleted: Vec<Vec<u8>>,
    /// After the deletions.
    set: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Change {
    /// Notes that this is attempt `attempts`; `before` is the stamp of the record of the one before.
    pub(crate) fn begin(
        line: &Line,
        ready: &Ready,
        before: Option<Versionstamp>,
        attempts: u32,
    ) -> Change {
        let attempt_key = ready.spot.id.attempt_key(&line.name);
        Change {
            checks: vec![
                (ready.spot.message_key(&line.messages), Some(ready.stamp)),
                (attempt_key.clone(), before),
            ],
            deleted: Vec::new(),
            set: vec![(attempt_key, encode_attempts(attempts))],
        }
    }

    /// Takes a beginning back, of which nobody has heard; its commit was `begun`.
    pub(crate) fn unbegin(line: &Line, spot: Spot, attempts: u32, begun: Versionstamp) -> Change {
        let attempt_key = spot.id.attempt_key(&line.name);
        let checks = vec![(attempt_key.clone(), Some(begun))];
        match attempts.checked_sub(1).filter(|before| *before > 0) {
            Some(before) => {
                let set = vec![(attempt_key, encode_attempts(before))];
                Change { checks, deleted: Vec::new(), set }
            }
            None => Change { checks, deleted: vec![attempt_key], set: Vec::new() },
        }
    }

    /// Removes the message, whose attempt record has the stamp `attempt`.
    pub(crate) fn finish(line: &Line, spot: Spot, attempt: Option<Versionstamp>) -> Change {
        let attempt_key = spot.id.attempt_key(&line.name);
        Change {
            checks: vec![(attempt_key.clone(), attempt)],
            deleted: vec![spot.message_key(&line.messages), attempt_key],
            set: Vec::new(),
        }
    }

    /// Has the message wait at another spot.
    pub(crate) fn move_to(
        line: &Line,
        (spot, to): (Spot, Spot),
        row: &MessageRow,
        attempt: Versionstamp,
    ) -> Change {
        Change {
            checks: vec![(spot.id.attempt_key(&line.name), Some(attempt))],
            deleted: vec![spot.message_key(&line.messages)],
            set: vec![(to.message_key(&line.messages), row.encode())],
        }
    }

    /// Gives up a message whose attempts are used up, and of which the one who does it has begun
    /// none: `attempt` is the stamp of another's record.
    pub(crate) fn bury(
        line: &Line,
        ready: &Ready,
        row: &MessageRow,
        attempt: Option<Versionstamp>,
    ) -> Change {
        let mut change = Change::give_up(line, ready.spot, row, attempt);
        // It may have been moved since it was read, and somebody be at work on it at its new spot.
        change.checks.push((ready.spot.message_key(&line.messages), Some(ready.stamp)));
        change
    }

    /// Removes the message and stores its payload under its dead-letter keys.
    pub(crate) fn give_up(
        line: &Line,
        spot: Spot,
        row: &MessageRow,
        attempt: Option<Versionstamp>,
    ) -> Change {
        let letter = |key: &Key| (key.stored().to_vec(), row.payload.to_vec());
        let set = row.dead_letters.iter().map(letter).collect();
        Change { set, ..Change::finish(line, spot, attempt) }
    }

    /// Commits it, and returns when that is visible.
    pub(crate) fn commit(&self, engine: &Engine) -> Result<Outcome, Error> {
        Ok(with_batch(&[self], |batch| engine.commit(batch))?)
    }

    /// Commits it together with a change of another message.
    pub(crate) fn commit_with(&self, other: &Change, engine: &Engine) -> Result<Outcome, Error> {
        Ok(with_batch(&[self, other], |batch| engine.commit(batch))?)
    }

    /// Submits it, with the store's default durability.
    pub(crate) fn submit(&self, engine: &Engine) -> CommitFuture {
        let durability = engine.options().durability;
        with_batch(&[self], |batch| engine.commit_async(batch, durability))
    }

    fn mutations(&self) -> impl Iterator<Item = Mutation<'_>> {
        let deletes = self.deleted.iter().map(|key| Mutation::Delete { key });
        let sets = self.set.iter();
        deletes.chain(sets.map(|(key, value)| Mutation::Set { key, value, expires_at: None }))
    }
}

fn with_batch<T>(changes: &[&Change], hand_over: impl FnOnce(Batch<'_>) -> T) -> T {
    let checks = changes.iter().flat_map(|change| &change.checks);
    let checks = checks.map(|(key, expected)| Check { key, expected: *expected });
    let checks: Vec<_> = checks.collect();
    let mutations: Vec<_> = changes.iter().flat_map(|change| change.mutations()).collect();
    hand_over(Batch { checks: &checks, mutations: &mutations })
}
