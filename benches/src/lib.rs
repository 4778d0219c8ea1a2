//! What the benches share: keys, values, and a store in a temporary directory; and [`compare`], the
//! suite that compares the store with others; and [`large`], a load of more than fits into memory.
//!
//! Keys are about 25 bytes and values 100, half of them random, so that the figures of all layers
//! can be laid side by side.

#![deny(unsafe_code)]

pub mod compare;
pub mod large;

use icecore_disk::random::SeededRandom;
use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Durability, Engine, Mutation, Options};
use tempfile::TempDir;

/// The length of every value in bytes.
pub const VALUE_BYTES: usize = 100;

/// The key with this number: 25 bytes, keyspace byte included.
pub fn key(number: u64) -> Vec<u8> {
    let mut key = vec![DATA];
    key.extend_from_slice(format!("account-{number:016}").as_bytes());
    key
}

/// A value, half of which is random.
pub fn value(random: &SeededRandom) -> Vec<u8> {
    let mut value = vec![b'v'; VALUE_BYTES];
    for chunk in value[..VALUE_BYTES / 2].chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
    }
    value
}

/// The numbers from 0 to `count`, shuffled.
pub fn shuffled(count: u64, random: &SeededRandom) -> Vec<u64> {
    let mut numbers: Vec<u64> = (0..count).collect();
    for place in (1..numbers.len()).rev() {
        let other = usize::try_from(random.below(place as u64 + 1)).expect("it is below a usize");
        numbers.swap(place, other);
    }
    numbers
}

/// A store that is deleted with its directory.
#[derive(Debug)]
pub struct Store {
    /// The open store.
    pub engine: Engine,
    /// Where it is.
    pub directory: TempDir,
}

/// Opens an empty store.
///
/// # Panics
/// When the temporary directory cannot be used: a bench has nobody to report to.
pub fn store(options: Options) -> Store {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::open_path(directory.path(), options).expect("an empty store opens");
    Store { engine, directory }
}

/// Fills a store with `count` keys in random order, in batches of 1,000, and leaves it settled.
///
/// # Panics
/// As [`store`].
pub fn filled(count: u64, options: Options) -> Store {
    let store = store(options);
    let random = SeededRandom::new(1);
    for numbers in shuffled(count, &random).chunks(1000) {
        let entries: Vec<_> = numbers.iter().map(|n| (key(*n), value(&random))).collect();
        let mutations: Vec<_> = entries
            .iter()
            .map(|(key, value)| Mutation::Set { key, value, expires_at: None })
            .collect();
        let batch = Batch { checks: &[], mutations: &mutations };
        let outcome = store.engine.commit_with(batch, Durability::Buffered);
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    store.engine.compact().expect("the store settles");
    store
}
