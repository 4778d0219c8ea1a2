//! Atomic operations: checks and mutations that take effect together or not at all.
//!
//! This is optimistic concurrency control as in Deno KV: read without locks, then commit on the
//! condition that what was read is still so.

use icecore_engine::{Batch, Check, Durability, Engine, Mutation, Outcome};
use icecore_model::Versionstamp;

use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;
use crate::value::Value;

/// An atomic operation that is being put together. [`Atomic::commit`] carries it out.
#[derive(Debug)]
#[must_use = "nothing happens before `commit`"]
pub struct Atomic<'kv> {
    engine: &'kv Engine,
    checks: Vec<(Key, Option<Versionstamp>)>,
    /// In the order in which they are carried out.
    changes: Vec<Change>,
}

/// One mutation.
#[derive(Debug)]
enum Change {
    /// The key gets this stored value.
    Set(Key, Vec<u8>),
    /// The key becomes absent.
    Delete(Key),
}

/// What became of an atomic operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a failed check is an outcome, not an error"]
pub enum Commit {
    /// All of it took effect.
    Done {
        /// The versionstamp of everything that it set.
        versionstamp: Versionstamp,
    },
    /// Nothing took effect, because some checks do not hold.
    CheckFailed {
        /// Which ones: places in the order in which they were added, from 0, ascending.
        indexes: Vec<usize>,
    },
}

impl<'kv> Atomic<'kv> {
    pub(crate) fn new(engine: &'kv Engine) -> Atomic<'kv> {
        Atomic { engine, checks: Vec::new(), changes: Vec::new() }
    }

    /// Only if the key of `entry` is still as it was read: no commit has set or deleted it since.
    pub fn check(self, entry: &Entry) -> Atomic<'kv> {
        self.check_versionstamp(&entry.key, entry.versionstamp)
    }

    /// Only if `key` has no value.
    pub fn check_absent(self, key: impl Into<Key>) -> Atomic<'kv> {
        self.check_versionstamp(key, None)
    }

    /// Only if the value of `key` was set by this commit, or is absent for `None`.
    pub fn check_versionstamp(
        mut self,
        key: impl Into<Key>,
        expected: Option<Versionstamp>,
    ) -> Atomic<'kv> {
        self.checks.push((key.into(), expected));
        self
    }

    /// Sets `key` to `value`.
    pub fn set(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Atomic<'kv> {
        self.changes.push(Change::Set(key.into(), value.into().encode()));
        self
    }

    /// Makes `key` absent.
    pub fn delete(mut self, key: impl Into<Key>) -> Atomic<'kv> {
        self.changes.push(Change::Delete(key.into()));
        self
    }

    /// Carries the operation out with the store's default durability, and returns once every
    /// later read sees it.
    ///
    /// # Errors
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for a key, a value or an operation that
    /// is too large, [`OutOfSpace`](crate::ErrorKind::OutOfSpace),
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly), [`Closed`](crate::ErrorKind::Closed),
    /// [`Poisoned`](crate::ErrorKind::Poisoned) after a failed write, and what
    /// [`Kv::get`](crate::Kv::get) may meet when it reads what is checked. After any of these
    /// nothing took effect. Only after [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) it is
    /// open.
    pub fn commit(self) -> Result<Commit, Error> {
        let durability = self.engine.options().durability;
        self.commit_with(durability)
    }

    /// As [`Atomic::commit`], but the operation need not survive a power cut, only the end of
    /// the process.
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn commit_buffered(self) -> Result<Commit, Error> {
        self.commit_with(Durability::Buffered)
    }

    /// As [`Atomic::commit`], with this durability.
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn commit_with(self, durability: Durability) -> Result<Commit, Error> {
        let checks: Vec<Check<'_>> = self
            .checks
            .iter()
            .map(|(key, expected)| Check { key: key.stored(), expected: *expected })
            .collect();
        let mutations: Vec<Mutation<'_>> = self.changes.iter().map(Change::mutation).collect();
        let batch = Batch { checks: &checks, mutations: &mutations };
        match self.engine.commit_with(batch, durability)? {
            Outcome::Committed(versionstamp) => Ok(Commit::Done { versionstamp }),
            Outcome::CheckFailed { indexes } => Ok(Commit::CheckFailed { indexes }),
        }
    }
}

impl Change {
    fn mutation(&self) -> Mutation<'_> {
        match self {
            Change::Set(key, value) => Mutation::Set { key: key.stored(), value, expires_at: None },
            Change::Delete(key) => Mutation::Delete { key: key.stored() },
        }
    }
}
