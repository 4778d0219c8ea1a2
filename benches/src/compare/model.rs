//! What a store must hold: the content of every key, as the commits that returned have set it.
//!
//! 1. A key that is written with [`Model::set`] has one writer at a time, so that the last content
//!    is known. Workloads with several threads give each its own keys.
//! 2. What several threads write at once is checked otherwise: by totals that are conserved, or, for
//!    blind writes, by the values themselves ([`Model::forget`]).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::Result;
use crate::compare::key::Key;
use crate::compare::store::Store;
use crate::compare::value;

/// Nothing is stored under this key.
const ABSENT: u64 = u64::MAX;

/// Something is, but nobody knows what.
const UNKNOWN: u64 = u64::MAX - 1;

/// The contents of the keys below a bound.
#[derive(Debug)]
pub struct Model {
    contents: Vec<AtomicU64>,
}

impl Model {
    /// Nothing yet, with room for so many keys.
    pub fn empty(keys: u64) -> Model {
        Model { contents: (0..keys).map(|_| AtomicU64::new(ABSENT)).collect() }
    }

    /// So many keys have room.
    pub fn keys(&self) -> u64 {
        self.contents.len() as u64
    }

    fn place(&self, number: u64) -> &AtomicU64 {
        &self.contents[usize::try_from(number).expect("a key of the model is a place in memory")]
    }

    /// A commit that sets this key has returned.
    pub fn set(&self, number: u64, content: u64) {
        self.place(number).store(content, Ordering::Relaxed);
    }

    /// Some content is stored under this key, whose last writer is not known.
    pub fn forget(&self, number: u64) {
        self.place(number).store(UNKNOWN, Ordering::Relaxed);
    }

    /// Whether the key must be there.
    pub fn has(&self, number: u64) -> bool {
        self.place(number).load(Ordering::Relaxed) != ABSENT
    }

    /// Reads the whole store and compares it: no key is missing, none too many, the order is right,
    /// and every byte of every value follows from its key and content. The result is the sum of all
    /// contents, for totals that must be conserved.
    ///
    /// # Errors
    /// What differs first.
    pub fn compare(&self, store: &dyn Store) -> Result<u64> {
        let (mut sum, mut expected_next, mut scratch) = (0_u64, 0, Vec::new());
        store.list(&Key::of(0), usize::MAX, &mut |key, _, value| {
            let number = Key::number_of(key)?;
            self.none_between(expected_next, number)?;
            expected_next = number + 1;
            let found = value::verify(number, value, &mut scratch)?;
            let expected = self.contents.get(usize::try_from(number)?);
            match expected.map(|content| content.load(Ordering::Relaxed)) {
                Some(UNKNOWN) => {}
                Some(content) if content == found => {}
                Some(ABSENT) | None => return Err(format!("key {number} was never set").into()),
                Some(content) => {
                    let text = format!("key {number} holds {found} instead of {content}");
                    return Err(text.into());
                }
            }
            sum = sum.wrapping_add(found);
            Ok(())
        })?;
        self.none_between(expected_next, self.keys())?;
        Ok(sum)
    }

    /// No key from `start` to `end` must be there.
    fn none_between(&self, start: u64, end: u64) -> Result<()> {
        if start > end {
            return Err(format!("keys are out of order: {end} after {}", start - 1).into());
        }
        match (start..end.min(self.keys())).find(|number| self.has(*number)) {
            Some(number) => Err(format!("key {number} is missing").into()),
            None => Ok(()),
        }
    }
}
