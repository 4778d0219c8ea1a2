//! The records that are written and read.
//!
//! ```text
//! ["bench", number]     the number in eight bytes, then bytes of which half are random
//! ```

use icecore::{Entry, Key, key};
use icecore_disk::random::SeededRandom;

use crate::failure::Failure;

/// The records below a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    pub(crate) keys: u64,
    pub(crate) value_bytes: u32,
}

impl Data {
    pub(crate) fn key(number: u64) -> Key {
        key!["bench", number]
    }

    /// What no record has.
    pub(crate) fn missing_key(number: u64) -> Key {
        key!["bench", number, "no"]
    }

    /// What all records lie under.
    pub(crate) fn prefix() -> Key {
        key!["bench"]
    }

    pub(crate) fn value(&self, number: u64) -> Vec<u8> {
        let bytes = self.value_bytes as usize;
        let mut value = number.to_le_bytes().to_vec();
        let random = SeededRandom::new(number);
        while value.len() < bytes {
            value.extend_from_slice(&random.next().to_le_bytes());
            value.extend_from_slice(&[b'-'; 8]);
        }
        value.truncate(bytes);
        value
    }

    /// Whether `entry` is the record of this number.
    pub(crate) fn verify(&self, number: u64, entry: &Entry) -> Result<(), Failure> {
        let right = entry.is_present() && {
            let bytes = entry.bytes()?;
            bytes.len() == self.value_bytes as usize && bytes[..8] == number.to_le_bytes()
        };
        if right {
            return Ok(());
        }
        let found = if entry.is_present() { "a value of another record" } else { "nothing" };
        Err(Failure::damaged(format!("{} has {found}", entry.key)))
    }

    /// All numbers, in an order of chance.
    pub(crate) fn shuffled(&self, random: &SeededRandom) -> Vec<u64> {
        let mut numbers: Vec<u64> = (0..self.keys).collect();
        for place in (1..numbers.len()).rev() {
            let other = random.below(place as u64 + 1);
            numbers.swap(place, usize::try_from(other).expect("it is below a usize"));
        }
        numbers
    }
}
