//! Whether an atomic operation stays within the limits.
//!
//! The order is that in which Deno looks at things, so that of several faults the same one is
//! told: numbers of checks and of mutations, empty keys, long keys, long values, the whole.

use icecore_model::Versionstamp;
use icecore_model::key::VERSIONSTAMP_PART_BYTES;

use crate::error::Error;
use crate::key::Key;
use crate::limits::{Counting, Limit, Limits, at_most};
use crate::mutation::Mutation;

/// The bytes of an operation.
#[derive(Debug, Default)]
struct Weight {
    keys: usize,
    all: usize,
}

impl Weight {
    fn add_keys(&mut self, bytes: usize) {
        self.keys = self.keys.saturating_add(bytes);
        self.add(bytes);
    }

    fn add(&mut self, bytes: usize) {
        self.all = self.all.saturating_add(bytes);
    }
}

/// Refuses an operation that exceeds one of `limits`.
pub(crate) fn check(
    limits: &Limits,
    checks: &[(Key, Option<Versionstamp>)],
    mutations: &[Mutation],
) -> Result<(), Error> {
    let count = |limit, max, got| at_most(limit, max, got, String::new);
    count(Limit::Checks, limits.checks, checks.len())?;
    count(Limit::Mutations, limits.mutations, mutations.len())?;
    let checked = checks.iter().map(|(key, _)| key);
    let mutated = mutations.iter().filter_map(Mutation::key);
    if checked.clone().chain(mutated).any(Key::is_empty) {
        return Err(Error::invalid("key cannot be empty", ""));
    }
    for key in checked {
        check_key(limits, key, 0)?;
    }
    for mutation in mutations {
        check_mutated_key(limits, mutation)?;
    }
    for mutation in mutations {
        check_value(limits, mutation)?;
    }
    check_whole(limits, checks, mutations)
}

fn check_key(limits: &Limits, key: &Key, more: usize) -> Result<(), Error> {
    let bytes = key.encoded().len() + more;
    at_most(Limit::KeyBytes, limits.key_bytes, bytes, || shown(key))
}

fn check_mutated_key(limits: &Limits, mutation: &Mutation) -> Result<(), Error> {
    // The key as it will be: one that is only short before it is stamped could not be read.
    let stamp = match mutation {
        Mutation::SetVersionstamped { .. } => VERSIONSTAMP_PART_BYTES,
        _ => 0,
    };
    mutation.key().map_or(Ok(()), |key| check_key(limits, key, stamp))
}

fn check_value(limits: &Limits, mutation: &Mutation) -> Result<(), Error> {
    let (Some(key), Some(value)) = (mutation.key(), mutation.value()) else { return Ok(()) };
    at_most(Limit::ValueBytes, limits.value_bytes, value.byte_len(), || shown(key))
}

fn check_whole(
    limits: &Limits,
    checks: &[(Key, Option<Versionstamp>)],
    mutations: &[Mutation],
) -> Result<(), Error> {
    let mut weight = Weight::default();
    for (key, _) in checks {
        match limits.counting {
            Counting::Manual => weight.add_keys(key.encoded().len()),
            Counting::Runtime => weight.add(key.encoded().len()),
        }
    }
    for mutation in mutations {
        weight.add_mutation(limits.counting, mutation)?;
    }
    at_most(Limit::CommitBytes, limits.commit_bytes, weight.all, String::new)?;
    at_most(Limit::CommitKeyBytes, limits.commit_key_bytes, weight.keys, String::new)
}

impl Weight {
    fn add_mutation(&mut self, counting: Counting, mutation: &Mutation) -> Result<(), Error> {
        let key_bytes = match mutation {
            Mutation::DeleteRange { selector } => {
                let (start, end) = selector.bounds()?;
                start.len() + end.len()
            }
            _ => mutation.key().map_or(0, |key| key.encoded().len()),
        };
        let value_bytes = mutation.value().map(crate::Value::byte_len);
        match (counting, value_bytes) {
            (Counting::Manual, _) => self.add_keys(key_bytes),
            (Counting::Runtime, None) => self.add(key_bytes),
            (Counting::Runtime, Some(_)) => {
                self.add(key_bytes);
                self.add_keys(key_bytes);
            }
        }
        self.add(value_bytes.unwrap_or(0));
        Ok(())
    }
}

/// The key, for a message; the beginning of a long one.
fn shown(key: &Key) -> String {
    const SHOWN_MAX: usize = 80;
    let text = key.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
