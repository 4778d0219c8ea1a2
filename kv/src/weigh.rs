//! Whether an atomic operation stays within the limits.
//!
//! The order is that in which Deno looks at things, so that of several faults the same one is
//! told: what messages say of time; numbers of checks and of mutations; expiries, which are no
//! matter of this file; keys that are empty or long, one after the other; long values; long
//! messages; the whole.

use icecore_model::Versionstamp;
use icecore_model::key::VERSIONSTAMP_PART_BYTES;

use crate::error::Error;
use crate::key::Key;
use crate::limits::{Counting, Limit, Limits, at_most};
use crate::mutation::Mutation;
use crate::queue::Enqueue;

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

/// Refuses an operation of too many checks, mutations or messages, and what these say of time.
pub(crate) fn count(
    limits: &Limits,
    checks: usize,
    mutations: &[Mutation],
    messages: &[Enqueue],
) -> Result<(), Error> {
    messages.iter().try_for_each(|message| message.check_times(limits))?;
    let mutations = mutations.len() + messages.len();
    at_most(Limit::Checks, limits.checks, checks, String::new)?;
    at_most(Limit::Mutations, limits.mutations, mutations, String::new)
}

/// Refuses an operation whose keys and values exceed one of `limits`.
pub(crate) fn check(
    limits: &Limits,
    checks: &[(Key, Option<Versionstamp>)],
    mutations: &[Mutation],
    messages: &[Enqueue],
) -> Result<(), Error> {
    for (key, _) in checks {
        check_key(limits, key, 0)?;
    }
    for mutation in mutations {
        check_mutated_key(limits, mutation)?;
    }
    for key in messages.iter().flat_map(Enqueue::dead_letters) {
        check_key(limits, key, 0)?;
    }
    for mutation in mutations {
        if let (Some(key), Some(value)) = (mutation.key(), mutation.value()) {
            let place = || shown(key);
            at_most(Limit::ValueBytes, limits.value_bytes, value.byte_len(), place)?;
        }
    }
    messages.iter().try_for_each(|message| message.check_sizes(limits))?;
    check_whole(limits, checks, mutations, messages)
}

fn check_mutated_key(limits: &Limits, mutation: &Mutation) -> Result<(), Error> {
    // The key as it will be: one that is only short before it is stamped could not be read.
    let stamp = match mutation {
        Mutation::SetVersionstamped { .. } => VERSIONSTAMP_PART_BYTES,
        _ => 0,
    };
    mutation.key().map_or(Ok(()), |key| check_key(limits, key, stamp))
}

fn check_key(limits: &Limits, key: &Key, more: usize) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::invalid("key cannot be empty", ""));
    }
    let bytes = key.encoded().len() + more;
    at_most(Limit::KeyBytes, limits.key_bytes, bytes, || shown(key))
}

fn check_whole(
    limits: &Limits,
    checks: &[(Key, Option<Versionstamp>)],
    mutations: &[Mutation],
    messages: &[Enqueue],
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
    messages.iter().for_each(|message| weight.add(message.weight(limits.counting)));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{Kv, key};

    #[test]
    fn of_several_faults_the_one_is_told_that_deno_tells() {
        let kv = Kv::in_memory().unwrap();
        let (long, never) = ("k".repeat(2_047), Duration::from_millis(9_007_199_254_740_991));
        let faults = [
            (kv.atomic().delete(key![&long]).delete(key![]), "Key too large"),
            (kv.atomic().delete(key![]).delete(key![&long]), "key cannot be empty"),
            (kv.atomic().delete(key![]).check_absent(key![&long]), "Key too large"),
            (kv.atomic().set(key!["k"], vec![0; 65_537]).delete(key![&long]), "Key too large"),
            (kv.atomic().delete(key![]).set_expiring(key!["k"], 1, never), "Invalid mutation"),
        ];
        for (atomic, expected) in faults {
            let error = atomic.commit().unwrap_err();
            assert!(error.text().starts_with(expected), "{error} is not {expected}");
        }
        let mut many = kv.atomic().set_expiring(key!["k"], 1, never);
        for _ in 0..1_000 {
            many = many.delete(key!["k"]);
        }
        assert_eq!(many.commit().unwrap_err().text(), "Too many mutations (max 1000)");
    }
}
