//! Keys: the tuple `("users", "0000000000000042")` in its encoding, 25 bytes.

use crate::compare::Result;

/// The first part of every key.
pub const TABLE: &str = "users";

/// How many digits the second part has.
const DIGITS: usize = 16;

/// `02` opens a string, `00` ends it.
const PREFIX: &[u8; 8] = b"\x02users\x00\x02";

/// The length of an encoded key.
pub const KEY_BYTES: usize = PREFIX.len() + DIGITS + 1;

/// A key, encoded such that its bytes sort like its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    number: u64,
    encoded: [u8; KEY_BYTES],
}

impl Key {
    /// The key with this number, of which sixteen decimal digits count.
    pub fn of(number: u64) -> Key {
        let mut encoded = [0; KEY_BYTES];
        encoded[..PREFIX.len()].copy_from_slice(PREFIX);
        let mut rest = number;
        for digit in encoded[PREFIX.len()..PREFIX.len() + DIGITS].iter_mut().rev() {
            *digit = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
        }
        Key { number, encoded }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its bytes, for stores whose keys are bytes.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Its second part, for a store whose keys have parts.
    pub fn digits(&self) -> &str {
        std::str::from_utf8(&self.encoded[PREFIX.len()..PREFIX.len() + DIGITS])
            .expect("digits are ASCII")
    }

    /// The number of an encoded key that a store gave back.
    ///
    /// # Errors
    /// When no such key was ever stored.
    pub fn number_of(encoded: &[u8]) -> Result<u64> {
        let digits = encoded
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_suffix(b"\x00"))
            .filter(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_digit))
            .ok_or_else(|| format!("a key that was never stored: {encoded:02x?}"))?;
        Ok(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_store_and_sorts_like_the_numbers() {
        for number in [0, 9, 10, 123_456] {
            let key = Key::of(number);
            let same = icecore::key![TABLE, key.digits()];
            assert_eq!(key.encoded(), same.encoded());
            assert_eq!(Key::number_of(key.encoded()).expect("it is a key"), number);
        }
        assert!(Key::of(9).encoded() < Key::of(10).encoded());
        assert!(Key::number_of(b"\x02users\x00\x02nineteen-bytes-no\x00").is_err());
    }
}
