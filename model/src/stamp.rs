//! The versionstamp: the sequence number of a commit, and the one number that orders everything.

use std::fmt;
use std::str::FromStr;

/// The sequence number of a commit, strictly increasing for the whole life of a store.
///
/// Numbers may be skipped, many of them after a crash: a stamp that may have been shown before it is
/// never given to other content.
///
/// At the edge it is ten bytes (eight big-endian, two zero) or twenty lower-case hexadecimal
/// digits, as in Deno KV. [`Versionstamp::ZERO`] is never issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Versionstamp(u64);

impl Versionstamp {
    /// Before every commit.
    pub const ZERO: Versionstamp = Versionstamp(0);
    /// After every commit.
    pub const MAX: Versionstamp = Versionstamp(u64::MAX);
    /// No store comes so far: at a million commits a second this takes 292,000 years. A larger
    /// stamp in a file is damage, so that counting on from what was read never overflows.
    pub const ISSUED_MAX: Versionstamp = Versionstamp(u64::MAX / 2);

    /// The stamp with this sequence number.
    pub const fn new(number: u64) -> Versionstamp {
        Versionstamp(number)
    }

    /// The sequence number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The stamp that follows this one.
    ///
    /// # Panics
    /// After [`Versionstamp::MAX`], which a store reaches in no lifetime.
    pub const fn next(self) -> Versionstamp {
        assert!(self.0 != u64::MAX, "versionstamps are exhausted");
        Versionstamp(self.0 + 1)
    }

    /// The ten bytes of the edge form.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.0.to_be_bytes());
        bytes
    }

    /// Reads the ten bytes of the edge form; `None` if they are not of the form that
    /// [`Versionstamp::to_bytes`] gives, so that no such stamp was ever issued.
    pub fn from_bytes(bytes: &[u8]) -> Option<Versionstamp> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        (rest == [0, 0]).then_some(Versionstamp(u64::from_be_bytes(*number)))
    }
}

impl fmt::Display for Versionstamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}0000", self.0)
    }
}

/// Why a text is not a versionstamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseStampError;

impl fmt::Display for ParseStampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a versionstamp is 20 hexadecimal digits, the last four of them zero")
    }
}

impl std::error::Error for ParseStampError {}

impl FromStr for Versionstamp {
    type Err = ParseStampError;

    fn from_str(text: &str) -> Result<Versionstamp, ParseStampError> {
        if text.len() != 20 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseStampError);
        }
        let (number, rest) = text.split_at(16);
        if rest != "0000" {
            return Err(ParseStampError);
        }
        u64::from_str_radix(number, 16).map(Versionstamp).map_err(|_| ParseStampError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_edge_forms_read_back_and_sort_like_the_number() {
        let stamps = [0, 1, 255, 256, 0x1234_5678_9abc_def0, u64::MAX].map(Versionstamp::new);
        for stamp in stamps {
            assert_eq!(Versionstamp::from_bytes(&stamp.to_bytes()), Some(stamp));
            assert_eq!(stamp.to_string().parse(), Ok(stamp));
        }
        assert!(stamps.windows(2).all(|w| w[0].to_bytes() < w[1].to_bytes()));
        assert!(stamps.windows(2).all(|w| w[0].to_string() < w[1].to_string()));
        assert_eq!(Versionstamp::new(0xab).to_string(), "00000000000000ab0000");
    }

    #[test]
    fn other_texts_and_bytes_are_refused() {
        for text in
            ["", "0", "00000000000000ab000g", "00000000000000ab0001", "+0000000000000ab0000"]
        {
            assert_eq!(text.parse::<Versionstamp>(), Err(ParseStampError), "{text}");
        }
        assert!(ParseStampError.to_string().contains("20 hexadecimal digits"));
        assert_eq!(Versionstamp::from_bytes(&[0; 9]), None);
        assert_eq!(Versionstamp::from_bytes(&[0; 11]), None);
        assert_eq!(Versionstamp::from_bytes(&[0, 0, 0, 0, 0, 0, 0, 1, 0, 1]), None);
    }
}
