//! Numbers and bigints that stand alone: what a sum adds and what it writes.
//!
//! A sum needs no tree. It reads one number, or learns that the value is something else, and
//! writes one number:
//!
//! 1. A number of JavaScript is written as eight bytes whatever its value, so that a sum's result
//!    has one form.
//! 2. Digits of a bigint are written in multiples of eight bytes, as V8 writes them.

use num_bigint::{BigInt, Sign};

use crate::cursor::{Cursor, Malformed};
use crate::format;

/// A number or a bigint of JavaScript.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A `number`.
    Float(f64),
    /// A `bigint`.
    BigInt(BigInt),
}

impl Number {
    /// Reads a stored value that is a number or a bigint.
    ///
    /// Gives `None` for a value of another type. Such a value is not read to its end, so that
    /// `None` does not say that it is well-formed.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the header is missing or of a version other than 13 to 16, if no value
    /// begins after it, if the number ends too early, or if anything follows it.
    ///
    /// ```
    /// use icecore_v8::Number;
    ///
    /// assert_eq!(Number::read(&[0xff, 0x10, b'I', 0x0a])?, Some(Number::Float(5.0)));
    /// assert_eq!(Number::read(&[0xff, 0x0f, b'T'])?, None);
    /// assert!(Number::read(b"hello").is_err());
    /// # Ok::<(), icecore_v8::Malformed>(())
    /// ```
    pub fn read(bytes: &[u8]) -> Result<Option<Number>, Malformed> {
        let mut cursor = Cursor::new(bytes);
        cursor.header()?;
        let tag = cursor.peek_tag()?;
        if format::begins_other(tag) {
            return Ok(None);
        }
        let malformed = cursor.malformed("has a tag that is not known");
        cursor.tag()?;
        let number = Number::read_after(tag, &mut cursor)?.ok_or(malformed)?;
        cursor.end()?;
        Ok(Some(number))
    }

    /// Reads what follows `tag`, if that announces a number or a bigint.
    pub(crate) fn read_after(
        tag: u8,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<Number>, Malformed> {
        Ok(Some(match tag {
            format::INT32 => Number::Float(cursor.zigzag()?.into()),
            format::UINT32 => Number::Float(cursor.varint32()?.into()),
            format::DOUBLE => Number::Float(cursor.f64()?),
            format::BIGINT => Number::BigInt(cursor.bigint()?),
            _ => return Ok(None),
        }))
    }

    /// The stored form: header, tag and number.
    ///
    /// ```
    /// use icecore_v8::Number;
    ///
    /// let five = Number::Float(5.0);
    /// assert_eq!(five.write(), [0xff, 0x0f, b'N', 0, 0, 0, 0, 0, 0, 0x14, 0x40]);
    /// assert_eq!(Number::BigInt(0.into()).write(), [0xff, 0x0f, b'Z', 0]);
    /// ```
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        format::put_header(&mut out);
        match self {
            Number::Float(number) => {
                out.push(format::DOUBLE);
                // The sign of a computed NaN depends on the processor, and JavaScript has one NaN.
                let number = if number.is_nan() { f64::NAN } else { *number };
                out.extend(number.to_le_bytes());
            }
            Number::BigInt(number) => {
                out.push(format::BIGINT);
                put_bigint(&mut out, number);
            }
        }
        out
    }

    /// What errors call it: `"Number"` or `"BigInt"`.
    ///
    /// ```
    /// assert_eq!(icecore_v8::Number::Float(0.5).kind(), "Number");
    /// ```
    pub fn kind(&self) -> &'static str {
        match self {
            Number::Float(_) => "Number",
            Number::BigInt(_) => "BigInt",
        }
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Number {
        Number::Float(number)
    }
}

impl From<BigInt> for Number {
    fn from(number: BigInt) -> Number {
        Number::BigInt(number)
    }
}

/// Appends the bitfield and the digits of a bigint.
pub(crate) fn put_bigint(out: &mut Vec<u8>, number: &BigInt) {
    if number.sign() == Sign::NoSign {
        return out.push(0);
    }
    let (sign, digits) = number.to_bytes_le();
    let padded = digits.len().next_multiple_of(8);
    format::put_varint(out, (padded as u64) << 1 | u64::from(sign == Sign::Minus));
    out.extend(&digits);
    out.resize(out.len() + padded - digits.len(), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(hex: &[u8]) -> Option<Number> {
        Number::read(hex).expect("well-formed")
    }

    fn big(number: i64) -> Number {
        Number::BigInt(number.into())
    }

    #[test]
    fn every_form_of_a_number_is_read() {
        assert_eq!(read(&[0xff, 15, 0x49, 0x0a]), Some(Number::Float(5.0)));
        assert_eq!(read(&[0xff, 15, 0x49, 0x09]), Some(Number::Float(-5.0)));
        let least = [0xff, 15, 0x49, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(read(&least), Some(Number::Float(i32::MIN.into())));
        let most = [0xff, 15, 0x55, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(read(&most), Some(Number::Float(u32::MAX.into())));
        assert_eq!(read(&Number::Float(-0.1).write()), Some(Number::Float(-0.1)));
    }

    #[test]
    fn every_form_of_a_bigint_is_read() {
        assert_eq!(read(&[0xff, 15, 0x5a, 0x00]), Some(big(0)));
        assert_eq!(read(&[0xff, 15, 0x5a, 0x10, 5, 0, 0, 0, 0, 0, 0, 0]), Some(big(5)));
        assert_eq!(read(&[0xff, 15, 0x5a, 0x11, 5, 0, 0, 0, 0, 0, 0, 0]), Some(big(-5)));
        assert_eq!(read(&[0xff, 15, 0x5a, 0x02, 5]), Some(big(5)));
    }

    #[test]
    fn bigints_are_written_in_whole_words() {
        assert_eq!(big(0).write(), [0xff, 15, 0x5a, 0]);
        assert_eq!(big(-5).write(), [0xff, 15, 0x5a, 0x11, 5, 0, 0, 0, 0, 0, 0, 0]);
        let number = Number::BigInt(BigInt::from(1) << 64);
        assert_eq!(number.write()[..4], [0xff, 15, 0x5a, 0x20]);
        assert_eq!(read(&number.write()), Some(number));
    }

    #[test]
    fn versions_13_to_16_are_read_and_no_others() {
        for version in 0..=0x7f {
            let read = Number::read(&[0xff, version, 0x49, 0x0a]);
            assert_eq!(read.is_ok(), (13..=16).contains(&version), "version {version}");
        }
    }

    #[test]
    fn padding_is_passed() {
        assert_eq!(read(&[0xff, 15, 0, 0, 0x49, 0x0a]), Some(Number::Float(5.0)));
    }

    #[test]
    fn other_types_are_not_numbers() {
        for other in [&b"\xff\x0fT"[..], b"\xff\x0f\"\x01a", b"\xff\x10o{\0", b"\xff\x0fn"] {
            assert_eq!(read(other), None);
        }
    }

    #[test]
    fn what_is_no_value_is_malformed() {
        let wrong = [
            &b""[..],
            b"I\x0a",
            b"\xff",
            b"\xff\x0f",
            b"\xff\x0fI",
            b"\xff\x0fI\xff\xff\xff\xff\x1f",
            b"\xff\x0fN\0\0",
            b"\xff\x0fZ\x10\x05",
            b"\xff\x0f^\0",
            b"\xff\x0f*",
            b"\xff\x0fI\x0a\x0a",
        ];
        for bytes in wrong {
            assert!(Number::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
