//! The bounds-checked reader under all decoders, and the variable-length integers.
//!
//! A decoder takes bytes, checks before it computes, never panics, and never allocates from a
//! length that it has not compared with what is left.

use std::fmt;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was expected.
    pub what: &'static str,
    /// Where, in bytes from the start of what was decoded.
    pub offset: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// The most bytes that a 64-bit varint takes.
pub const VARINT_BYTES_MAX: usize = 10;

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, offset: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// An error that names this place.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.offset }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        if count > self.left() {
            return Err(self.malformed(what));
        }
        let taken = &self.bytes[self.offset..self.offset + count];
        self.offset += count;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let malformed = self.malformed(what);
        self.bytes(N, what)?.try_into().map_err(|_| malformed)
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A varint: seven bits a byte, lowest first, in its shortest form only, so that equal values
    /// have equal bytes.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, Malformed> {
        let start = self.malformed(what);
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(start);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(start) } else { Ok(value) };
            }
        }
        Err(start)
    }

    /// A varint that must be at most `max`.
    #[inline]
    pub fn length(&mut self, max: usize, what: &'static str) -> Result<usize, Malformed> {
        let start = self.malformed(what);
        match usize::try_from(self.varint(what)?) {
            Ok(length) if length <= max => Ok(length),
            _ => Err(start),
        }
    }

    /// Succeeds only at the end.
    pub fn finish(&self, what: &'static str) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed(what)) }
    }
}

/// Appends `value` as a varint.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low byte is what is wanted")]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes `value` takes as a varint.
pub const fn varint_bytes(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_reads_back_and_has_the_announced_length(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_bytes(value));
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.varint("value"), Ok(value));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn whatever_reads_as_a_varint_is_its_only_spelling(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.varint("value") {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                prop_assert_eq!(&bytes[..reader.offset()], &out[..]);
            }
        }
    }

    #[test]
    fn a_varint_that_is_longer_than_any_number_is_refused() {
        let mut bytes = [0x80; 11];
        for last in [0x01, 0x02, 0x81] {
            bytes[9] = last;
            let read = Reader::new(&bytes).varint("value");
            assert_eq!(read.is_ok(), last == 0x01, "{last:#x}: {read:?}");
        }
    }

    #[test]
    fn reading_past_the_end_names_the_place() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16("header"), Ok(0x0201));
        let short = Malformed { what: "length", offset: 2 };
        assert_eq!(reader.u32("length"), Err(short));
        assert_eq!(short.to_string(), "length at byte 2");
        assert_eq!(reader.bytes(usize::MAX, "body"), Err(Malformed { what: "body", offset: 2 }));
        assert_eq!(reader.u8("rest"), Ok(3));
        assert_eq!(reader.finish("end"), Ok(()));
    }
}
