//! What a thread of the bank has done and seen.

use icecore::{Commit, Entry, Key, Value, Versionstamp};

/// The bounds of one call, in real time.
///
/// Everything that was acknowledged before the call began has a stamp of at most `acknowledged`;
/// everything that was visible when it returned has one of at most `visible`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) acknowledged: Versionstamp,
    pub(crate) visible: Versionstamp,
    /// The store's clock before and after.
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
}

/// What a commit does to one key.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// It has this value, until `lifetime_ms` after the commit, if that is given.
    Set { key: Key, value: Value, lifetime_ms: Option<u64> },
    /// The key below this prefix that ends in the commit's stamp has this value.
    SetVersionstamped { prefix: Key, value: Value },
    /// It is absent.
    Delete { key: Key },
    /// Its number has grown.
    Sum { key: Key, operand: u64 },
    /// A message with this number was sent, to be received not before this long after the commit.
    Send { number: u64, delay_ms: u64 },
}

/// A commit that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Tried {
    pub(crate) span: Span,
    pub(crate) checks: Vec<(Key, Option<Versionstamp>)>,
    pub(crate) changes: Vec<Change>,
    pub(crate) commit: Commit,
}

/// What a read showed of one key.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) key: Key,
    /// Value and stamp, if it was there.
    pub(crate) found: Option<(Value, Versionstamp)>,
}

/// Some keys that were read at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) span: Span,
    /// The stamp of the snapshot, if it was one.
    pub(crate) at: Option<Versionstamp>,
    /// Of a list: the keys below this prefix that are not in `seen` were absent.
    pub(crate) all_of: Option<Key>,
    pub(crate) seen: Vec<Seen>,
}

/// A message that was received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) number: u64,
    /// The store's clock when it was there.
    pub(crate) at_ms: u64,
}

/// All that one thread has done and seen, in its order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) tried: Vec<Tried>,
    pub(crate) looked: Vec<Looked>,
    /// The frames of a watch, each of one moment, and not before the one before.
    pub(crate) frames: Vec<Vec<Seen>>,
    pub(crate) received: Vec<Received>,
}

impl Seen {
    pub(crate) fn of(entry: &Entry) -> Seen {
        let found = entry.value.clone().zip(entry.versionstamp);
        Seen { key: entry.key.clone(), found }
    }
}
