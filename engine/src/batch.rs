//! What a caller asks to be committed.
//!
//! A batch borrows everything: it is resolved and copied into the log before the commit call
//! first waits, so nothing of it needs to live longer.

use icecore_model::{Timestamp, Versionstamp};

use crate::error::Error;

/// Checks and mutations that take effect together or not at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// All of them must hold against the state before the commit.
    pub checks: &'a [Check<'a>],
    /// Carried out in this order, each seeing the effect of those before it.
    pub mutations: &'a [Mutation<'a>],
}

/// A condition on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check<'a> {
    /// The key, with its keyspace byte.
    pub key: &'a [u8],
    /// The stamp that the key's value must have; `None`: the key must be absent.
    pub expected: Option<Versionstamp>,
}

/// A change of one key or of a range of keys. Keys begin with their keyspace byte.
#[derive(Clone, Copy)]
pub enum Mutation<'a> {
    /// Gives the key this value.
    Set {
        /// The key.
        key: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// From this moment on the key is absent again.
        expires_at: Option<Timestamp>,
    },
    /// Gives a value to the key that is `prefix`, then the commit's versionstamp, encoded as a
    /// string part of twenty hexadecimal digits, then `suffix`.
    SetVersionstamped {
        /// The front of the key.
        prefix: &'a [u8],
        /// The end of the key; mostly empty.
        suffix: &'a [u8],
        /// The value.
        value: &'a [u8],
        /// From this moment on the key is absent again.
        expires_at: Option<Timestamp>,
    },
    /// Makes the key absent.
    Delete {
        /// The key.
        key: &'a [u8],
    },
    /// Makes every key in `[start, end)` absent. Costs the same for any number of keys.
    DeleteRange {
        /// The first key of the range.
        start: &'a [u8],
        /// The first key after the range, in the same keyspace or the first of the next.
        end: &'a [u8],
    },
    /// Computes the new state of the key from the present one.
    Update {
        /// The key.
        key: &'a [u8],
        /// Called once, with the state that the mutations before this one have left. An error
        /// fails the whole commit and leaves no trace.
        update: &'a UpdateFn<'a>,
    },
}

/// The computation of a read-modify-write mutation. It runs under the write lock: it must be short
/// and must not call the store.
pub type UpdateFn<'a> = dyn Fn(Option<Current<'_>>) -> Result<Updated, Error> + 'a;

/// The present state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current<'a> {
    /// Its value.
    pub value: &'a [u8],
    /// From this moment on it is absent.
    pub expires_at: Option<Timestamp>,
}

/// What an update makes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Updated {
    /// It has this value.
    Set {
        /// The value.
        value: Vec<u8>,
        /// From this moment on it is absent again.
        expires_at: Option<Timestamp>,
    },
    /// It is absent.
    Delete,
    /// Nothing changes.
    Keep,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a failed check is an outcome, not an error"]
pub enum Outcome {
    /// It is committed.
    Committed(Versionstamp),
    /// Nothing was changed, because these checks do not hold.
    CheckFailed {
        /// Their places in [`Batch::checks`], ascending.
        indexes: Vec<usize>,
    },
}

impl std::fmt::Debug for Mutation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, key) = match self {
            Mutation::Set { key, .. } => ("Set", key),
            Mutation::SetVersionstamped { prefix, .. } => ("SetVersionstamped", prefix),
            Mutation::Delete { key } => ("Delete", key),
            Mutation::DeleteRange { start, .. } => ("DeleteRange", start),
            Mutation::Update { key, .. } => ("Update", key),
        };
        write!(f, "{name}({})", key.escape_ascii())
    }
}
