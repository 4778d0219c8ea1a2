//! Values that say what they are, so that a store which mixes them up is found out.
//!
//! ```text
//! key number (8 bytes) ‖ content (8 bytes) ‖ random bytes up to half of the length ‖ filler
//! ```
//!
//! All of it follows from key, content and length: [`verify`] needs nothing else. What the content
//! means is the workload's affair: a version, a balance, a counter.

use crate::compare::Result;
use crate::compare::key::Key;
use crate::compare::random::{Random, mix};

/// The length of a value unless a row says otherwise.
pub const VALUE_BYTES: usize = 100;

/// Key number and content.
const HEAD_BYTES: usize = 16;

/// Writes the value of `key` with `content` into `value`, `bytes` long.
pub fn write(value: &mut Vec<u8>, key: &Key, content: u64, bytes: usize) {
    assert!(bytes >= HEAD_BYTES, "a value holds its key and its content");
    value.clear();
    value.extend_from_slice(&key.number().to_le_bytes());
    value.extend_from_slice(&content.to_le_bytes());
    let mut random = Random::new(mix(key.number()) ^ content);
    while value.len() < bytes / 2 {
        value.extend_from_slice(&random.draw().to_le_bytes());
    }
    value.resize(bytes, b'.');
}

/// The processor fetches memory in lines of so many bytes.
const LINE_BYTES: usize = 64;

/// The number of the key that a value belongs to. Touches all of the value, so that a store that
/// only points to it does not look faster than one that has brought it.
///
/// # Errors
/// When it is too short to belong to a key.
pub fn owner(value: &[u8]) -> Result<u64> {
    let lines = value.iter().step_by(LINE_BYTES).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    std::hint::black_box(lines);
    let head = value.first_chunk().ok_or("a value without a key")?;
    Ok(u64::from_le_bytes(*head))
}

/// The content of a value that was read for `key`. Cheap enough for a timed read.
///
/// # Errors
/// When it is the value of another key, or none of this suite.
pub fn content(number: u64, value: &[u8]) -> Result<u64> {
    let (owner, content) = (owner(value)?, value.get(8..HEAD_BYTES));
    let content = content.and_then(|bytes| bytes.first_chunk()).ok_or("a value without content")?;
    if owner == number {
        Ok(u64::from_le_bytes(*content))
    } else {
        Err(format!("the value of key {number} belongs to {owner}").into())
    }
}

/// The content of the value, if every byte of it is right.
///
/// # Errors
/// When one is not.
pub fn verify(number: u64, value: &[u8], expected: &mut Vec<u8>) -> Result<u64> {
    let content = content(number, value)?;
    write(expected, &Key::of(number), content, value.len());
    if value == expected.as_slice() {
        Ok(content)
    } else {
        Err(format!("the value of key {number} with content {content} is damaged").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_and_another_keys_value_are_found_out() {
        let (mut value, mut scratch) = (Vec::new(), Vec::new());
        write(&mut value, &Key::of(7), 3, VALUE_BYTES);
        assert_eq!(value.len(), VALUE_BYTES);
        assert_eq!(verify(7, &value, &mut scratch).expect("it is whole"), 3);
        assert!(verify(8, &value, &mut scratch).is_err());
        for at in 0..VALUE_BYTES {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert!(verify(7, &damaged, &mut scratch).is_err(), "byte {at}");
        }
        assert!(content(7, &value[..12]).is_err());
    }
}
