//! Keys of Deno KV: lists of parts, and their encoding, whose byte order is the order of keys.
//!
//! ```text
//! key     := part*
//! part    := 01 escaped 00         bytes
//!          | 02 escaped 00         a string, in UTF-8
//!          | 0B length magnitude   an integer below −(2^64 − 1); length and magnitude inverted
//!          | 0C…13 magnitude       a negative integer of 14 − tag bytes, inverted
//!          | 14                    0
//!          | 15…1C magnitude       a positive integer of tag − 14 bytes
//!          | 1D length magnitude   an integer above 2^64 − 1
//!          | 21 float              8 bytes: all inverted if the sign is set, else the sign only
//!          | 26 | 27               false, true
//! escaped := the bytes, with 00 FF for every 00
//! ```
//!
//! Numbers of tags are hexadecimal, magnitudes and floats big-endian. It is the tuple layer of
//! FoundationDB, in the part that Deno KV uses.
//!
//! An encoding is valid if and only if every tag is one of these, every string is UTF-8, every
//! magnitude has no leading zero and takes the shortest form, and a NaN has only its sign and the
//! quiet bit. So every key has one encoding, and what decodes encodes to the same bytes.
//!
//! Parts are ordered by kind (bytes, strings, integers, floats, booleans), then by value; −0.0
//! is below 0.0, and the NaNs lie at both ends. A key sorts before its extensions.

use std::cmp::Ordering;

use crate::int::{INT_BYTES_MAX, Int};
use crate::read::{Malformed, Reader};
use crate::stamp::Versionstamp;

const BYTES: u8 = 0x01;
const STRING: u8 = 0x02;
const INT_NEGATIVE_LONG: u8 = 0x0b;
const INT_ZERO: u8 = 0x14;
const INT_POSITIVE_LONG: u8 = 0x1d;
const FLOAT: u8 = 0x21;
const FALSE: u8 = 0x26;
const TRUE: u8 = 0x27;

/// The magnitudes that need no length of their own.
const SHORT_BYTES_MAX: u8 = 8;

/// The bytes of an encoded [versionstamp part](append_versionstamp): tag, twenty digits, end.
pub const VERSIONSTAMP_PART_BYTES: usize = 22;

const SIGN: u64 = 1 << 63;
const QUIET_NAN: u64 = 0x7ff8 << 48;

/// One part of a key.
#[derive(Clone, Debug)]
pub enum Part {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    String(String),
    /// An integer.
    Int(Int),
    /// A floating-point number; all NaNs of one sign are one.
    Float(f64),
    /// A truth value.
    Bool(bool),
}

/// The encoding of a whole key.
pub fn encode(parts: &[Part]) -> Vec<u8> {
    let mut out = Vec::new();
    parts.iter().for_each(|part| encode_part(part, &mut out));
    out
}

/// Appends the encoding of one part.
pub fn encode_part(part: &Part, out: &mut Vec<u8>) {
    match part {
        Part::Bytes(bytes) => encode_bytes(bytes, out),
        Part::String(text) => encode_string(text, out),
        Part::Int(int) => put_integer(out, int.is_negative(), int.magnitude()),
        Part::Float(number) => {
            out.push(FLOAT);
            out.extend_from_slice(&ordered_bits(*number).to_be_bytes());
        }
        Part::Bool(truth) => out.push(if *truth { TRUE } else { FALSE }),
    }
}

/// Appends the part that stands for the commit's own stamp: its twenty digits, as a string.
pub fn append_versionstamp(out: &mut Vec<u8>, stamp: Versionstamp) {
    put_escaped(out, STRING, stamp.to_string().as_bytes());
}

/// Reads a whole key.
pub fn decode(bytes: &[u8]) -> Result<Vec<Part>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut parts = Vec::new();
    while !reader.is_empty() {
        parts.push(read_part(&mut reader)?);
    }
    Ok(parts)
}

/// Appends the encoding of a string part.
pub fn encode_string(text: &str, out: &mut Vec<u8>) {
    put_escaped(out, STRING, text.as_bytes());
}

/// Appends the encoding of a part of bytes.
pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_escaped(out, BYTES, bytes);
}

/// Appends the encoding of an integer part with this sign and this absolute value. A negative zero
/// is zero.
pub fn encode_integer(negative: bool, absolute: u128, out: &mut Vec<u8>) {
    let zeros = absolute.leading_zeros() as usize / 8;
    put_integer(out, negative && absolute > 0, &absolute.to_be_bytes()[zeros..]);
}

/// Reads the first part of a key, and gives the encoding of the others.
pub fn decode_first(bytes: &[u8]) -> Result<(Part, &[u8]), Malformed> {
    let mut reader = Reader::new(bytes);
    let part = read_part(&mut reader)?;
    Ok((part, &bytes[reader.offset()..]))
}

fn put_escaped(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    for run in bytes.split_inclusive(|byte| *byte == 0) {
        out.extend_from_slice(run);
        if run.ends_with(&[0]) {
            out.push(0xff);
        }
    }
    out.push(0);
}

fn put_integer(out: &mut Vec<u8>, negative: bool, magnitude: &[u8]) {
    let length = u8::try_from(magnitude.len()).expect("a magnitude has at most 255 bytes");
    let mask = if negative { 0xff } else { 0 };
    if length > SHORT_BYTES_MAX {
        out.push(if negative { INT_NEGATIVE_LONG } else { INT_POSITIVE_LONG });
        out.push(length ^ mask);
    } else if negative {
        out.push(INT_ZERO - length);
    } else {
        out.push(INT_ZERO + length);
    }
    out.extend(magnitude.iter().map(|byte| byte ^ mask));
}

/// Bits that sort like the number.
fn ordered_bits(number: f64) -> u64 {
    let bits = if number.is_nan() { QUIET_NAN | number.to_bits() & SIGN } else { number.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

fn read_part(reader: &mut Reader<'_>) -> Result<Part, Malformed> {
    let malformed = reader.malformed("a tag of a key part");
    match reader.u8("a tag of a key part")? {
        BYTES => Ok(Part::Bytes(read_escaped(reader)?)),
        STRING => {
            let malformed = reader.malformed("a string in UTF-8");
            String::from_utf8(read_escaped(reader)?).map(Part::String).map_err(|_| malformed)
        }
        tag @ INT_NEGATIVE_LONG..=INT_POSITIVE_LONG => read_int(reader, tag).map(Part::Int),
        FLOAT => read_float(reader).map(Part::Float),
        FALSE => Ok(Part::Bool(false)),
        TRUE => Ok(Part::Bool(true)),
        _ => Err(malformed),
    }
}

fn read_escaped(reader: &mut Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let mut content = Vec::new();
    loop {
        match reader.u8("the end of a key part")? {
            0 => {
                if reader.clone().u8("the end of a key part") != Ok(0xff) {
                    return Ok(content);
                }
                reader.u8("the end of a key part")?;
                content.push(0);
            }
            byte => content.push(byte),
        }
    }
}

fn read_int(reader: &mut Reader<'_>, tag: u8) -> Result<Int, Malformed> {
    let malformed = reader.malformed("an integer in its shortest form");
    let negative = tag < INT_ZERO;
    let mask = if negative { 0xff } else { 0 };
    let long = tag == INT_NEGATIVE_LONG || tag == INT_POSITIVE_LONG;
    let length = if long { reader.u8("a length")? ^ mask } else { tag.abs_diff(INT_ZERO) };
    if long && length <= SHORT_BYTES_MAX {
        return Err(malformed);
    }
    let mut magnitude = [0; INT_BYTES_MAX];
    let magnitude = &mut magnitude[..usize::from(length)];
    magnitude.copy_from_slice(reader.bytes(usize::from(length), "an integer")?);
    magnitude.iter_mut().for_each(|byte| *byte ^= mask);
    if magnitude.first() == Some(&0) {
        return Err(malformed);
    }
    Int::from_magnitude(negative, magnitude).map_err(|_| malformed)
}

fn read_float(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    let malformed = reader.malformed("a number");
    let bytes = reader.bytes(8, "a number")?.try_into().map_err(|_| malformed)?;
    let ordered = u64::from_be_bytes(bytes);
    let bits = if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN };
    let number = f64::from_bits(bits);
    if ordered_bits(number) == ordered { Ok(number) } else { Err(malformed) }
}

impl Part {
    /// The bytes, if it is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Part::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Part::String(text) = self { Some(text) } else { None }
    }

    /// The integer, if it is one. Rust's integers can be made from it:
    /// `part.as_int().and_then(|int| u64::try_from(int).ok())`.
    pub fn as_int(&self) -> Option<&Int> {
        if let Part::Int(int) = self { Some(int) } else { None }
    }

    /// The number, if it is a floating-point number.
    pub fn as_float(&self) -> Option<f64> {
        if let Part::Float(number) = self { Some(*number) } else { None }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Part::Bool(truth) = self { Some(*truth) } else { None }
    }

    fn kind(&self) -> u8 {
        match self {
            Part::Bytes(_) => 0,
            Part::String(_) => 1,
            Part::Int(_) => 2,
            Part::Float(_) => 3,
            Part::Bool(_) => 4,
        }
    }
}

impl Ord for Part {
    fn cmp(&self, other: &Part) -> Ordering {
        match (self, other) {
            (Part::Bytes(a), Part::Bytes(b)) => a.cmp(b),
            (Part::String(a), Part::String(b)) => a.cmp(b),
            (Part::Int(a), Part::Int(b)) => a.cmp(b),
            (Part::Float(a), Part::Float(b)) => ordered_bits(*a).cmp(&ordered_bits(*b)),
            (Part::Bool(a), Part::Bool(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Part) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Part) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

#[cfg(test)]
mod tests;
