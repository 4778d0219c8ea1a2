//! The bounds-checked reader under all decoders of this crate.
//!
//! It checks before it computes, never panics, and hands out slices of what is there, so that no
//! allocation follows from a length that was not compared with what is left.

use std::fmt;

use num_bigint::{BigInt, Sign};

use crate::format;

/// Bytes that are no value in V8's format, or none that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in bytes from the start of the value's bytes.
    pub offset: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed V8 value: {} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// Reads from the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, offset: 0 }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.offset
    }

    pub(crate) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, offset: self.offset }
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or_else(|| self.malformed("ends too early"))?;
        self.offset += 1;
        Ok(byte)
    }

    pub(crate) fn bytes(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let taken = usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.left())
            .map(|count| &self.bytes[self.offset..self.offset + count])
            .ok_or_else(|| self.malformed("is longer than its bytes"))?;
        self.offset += taken.len();
        Ok(taken)
    }

    pub(crate) fn varint64(&mut self) -> Result<u64, Malformed> {
        let start = self.offset;
        let mut value = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed { what: "has an integer that is too large", offset: start })
    }

    pub(crate) fn varint32(&mut self) -> Result<u32, Malformed> {
        let malformed = self.malformed("has an integer that is too large");
        u32::try_from(self.varint64()?).map_err(|_| malformed)
    }

    pub(crate) fn zigzag(&mut self) -> Result<i32, Malformed> {
        let folded = self.varint32()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Malformed> {
        let malformed = self.malformed("ends within a number");
        let bytes = self.bytes(8)?.try_into().map_err(|_| malformed)?;
        Ok(f64::from_le_bytes(bytes))
    }

    pub(crate) fn bigint(&mut self) -> Result<BigInt, Malformed> {
        let bits = self.varint32()?;
        let digits = self.bytes(u64::from(bits >> 1))?;
        let sign = if bits & 1 == 1 { Sign::Minus } else { Sign::Plus };
        Ok(BigInt::from_bytes_le(sign, digits))
    }

    /// Reads the header and gives the version.
    pub(crate) fn header(&mut self) -> Result<u32, Malformed> {
        if self.peek() != Some(format::VERSION) {
            return Err(self.malformed("has no version"));
        }
        self.offset += 1;
        let malformed = self.malformed("has a version that is not known");
        let version = self.varint32()?;
        if (format::VERSION_MIN..=format::VERSION_MAX).contains(&version) {
            Ok(version)
        } else {
            Err(malformed)
        }
    }

    /// Passes what has no meaning and shows the tag after it.
    pub(crate) fn peek_tag(&mut self) -> Result<u8, Malformed> {
        loop {
            match self.peek() {
                None => return Err(self.malformed("ends too early")),
                Some(format::PADDING) => self.offset += 1,
                Some(format::OBJECT_COUNT) => {
                    self.offset += 1;
                    self.varint32()?;
                }
                Some(tag) => return Ok(tag),
            }
        }
    }

    /// Reads the next tag that has a meaning.
    pub(crate) fn tag(&mut self) -> Result<u8, Malformed> {
        let tag = self.peek_tag()?;
        self.offset += 1;
        Ok(tag)
    }

    /// Refuses what was not read.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.left() == 0 { Ok(()) } else { Err(self.malformed("goes on after its end")) }
    }
}
