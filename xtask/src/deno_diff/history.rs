//! Histories and what comes of them, as JSON: `xtask/deno/runner.ts` reads the one and writes the
//! other.
//!
//! A history is about one store that is empty at its beginning. It never names a versionstamp or
//! a cursor that the store has yet to make, but says where it comes from.

use serde::{Deserialize, Serialize};

use super::tagged::Tagged;

/// A key: its parts.
pub(crate) type Parts = Vec<Tagged>;

/// What is done to one store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// Its name; JavaScript has no integers of 64 bits.
    pub(crate) seed: String,
    pub(crate) steps: Vec<Step>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Step {
    Get {
        key: Parts,
    },
    GetMany {
        keys: Vec<Parts>,
    },
    Set {
        key: Parts,
        value: Tagged,
        #[serde(skip_serializing_if = "Option::is_none")]
        expire_in: Option<u64>,
    },
    Delete {
        key: Parts,
    },
    Atomic {
        checks: Vec<Check>,
        mutations: Vec<Mutation>,
    },
    Enqueue(Message),
    List(List),
    /// Watches these keys from now on, and no longer what was watched before; the first frame.
    Watch {
        keys: Vec<Parts>,
    },
    /// What is watched, once its watcher knows of everything, or after so many milliseconds; done
    /// if there is no watch.
    Look {
        patience: u64,
    },
    /// Lets up to [`PASSING_MS`] pass.
    Pass,
    /// Delivers all messages whose delay is at most [`PASSING_MS`]; once in a history.
    Deliver,
}

/// What a step lets pass, at most, in milliseconds.
pub(crate) const PASSING_MS: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) key: Parts,
    /// `None`: the key is absent.
    pub(crate) stamp: Option<Stamp>,
}

/// Where a versionstamp comes from. One that is not there means that the key is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Stamp {
    /// An entry that an earlier step has read.
    Entry { step: usize, entry: usize },
    /// The commit of an earlier step.
    Step { step: usize },
    /// The present state of a key.
    Now { now: Parts },
    /// Given as it is.
    Text { text: String },
}

/// Where a cursor comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Cursor {
    /// An earlier list.
    Step { step: usize },
    /// Given as it is.
    Text { text: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Mutation {
    Set {
        key: Parts,
        value: Tagged,
        #[serde(skip_serializing_if = "Option::is_none")]
        expire_in: Option<u64>,
    },
    /// `key` is what stands before the versionstamp.
    SetVersionstamped {
        key: Parts,
        value: Tagged,
        #[serde(skip_serializing_if = "Option::is_none")]
        expire_in: Option<u64>,
    },
    Delete {
        key: Parts,
    },
    Sum {
        key: Parts,
        value: Tagged,
    },
    Min {
        key: Parts,
        value: Tagged,
    },
    Max {
        key: Parts,
        value: Tagged,
    },
    Enqueue(Message),
}

/// A message for the queue. No two payloads of a history are equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    pub(crate) value: Tagged,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay: Option<u64>,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) backoff: Option<Vec<u64>>,
    /// Where it goes when nobody takes it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) keys: Vec<Parts>,
    /// How often the handler refuses it.
    pub(crate) fails: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct List {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<Parts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Parts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<Parts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    pub(crate) reverse: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) consistency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Cursor>,
    /// How many entries are taken before the cursor is asked for; `None`: until the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) take: Option<usize>,
    /// The order of the entries' versionstamps means nothing, so they are left out.
    pub(crate) unordered: bool,
}

/// What came of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    pub(crate) seed: String,
    /// One for each step.
    pub(crate) outcomes: Vec<Outcome>,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// `None`: a check did not hold.
    Commit {
        stamp: Option<String>,
    },
    Done,
    Entries {
        entries: Vec<Entry>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        cursor: Option<String>,
    },
    Delivered {
        messages: Vec<Delivery>,
    },
    Error {
        text: String,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) key: Parts,
    pub(crate) value: Option<Tagged>,
    pub(crate) stamp: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) value: Tagged,
    /// From 1.
    pub(crate) attempt: usize,
}
