//! What is copied: entries and messages, one at a time.

use icecore::{Key, Value, Versionstamp};

/// One thing that a place holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Entry(Entry),
    Message(Message),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Value,
    /// Milliseconds since 1970.
    pub(crate) expires_ms: Option<u64>,
    /// Dumps record it; no destination can give it to another commit.
    pub(crate) versionstamp: Option<Versionstamp>,
}

/// A message that was not delivered yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) queue: String,
    pub(crate) payload: Value,
    /// Milliseconds since 1970, at least 1.
    pub(crate) ready_ms: u64,
    /// The retries that are left.
    pub(crate) backoff_ms: Vec<u64>,
    pub(crate) keys_if_undelivered: Vec<Key>,
}

impl Record {
    /// What a commit that carries it weighs: no less than by the limits of Deno's clients.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Record::Entry(entry) => 2 * entry.key.encoded().len() + entry.value.byte_len(),
            Record::Message(message) => {
                let keys = message.keys_if_undelivered.iter().map(|key| key.encoded().len());
                message.payload.byte_len() + 4 * message.backoff_ms.len() + keys.sum::<usize>()
            }
        }
    }

    /// The bytes of the key that it sets.
    pub(crate) fn key_bytes(&self) -> usize {
        match self {
            Record::Entry(entry) => entry.key.encoded().len(),
            Record::Message(_) => 0,
        }
    }
}
