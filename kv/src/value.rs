//! Values and their stored form.
//!
//! ```text
//! value := 01 byte*       a value of JavaScript, as V8's serializer writes it
//!        | 02 number      an unsigned integer, eight bytes, little-endian
//!        | 03 byte*       bytes
//! ```
//!
//! A stored value is valid if and only if its tag is one of these and a number has eight bytes.
//! The tags are those of the KV Connect protocol. Values of JavaScript are carried untouched.

use std::borrow::Cow;
use std::ops::Deref;

use bytes::{Buf, Bytes};
use icecore_model::int::Int;
use icecore_v8::Number;
use num_bigint::{BigInt, Sign};

use crate::lent::ValueRef;

/// What the stored form adds to the content of a value.
pub(crate) const TAG_BYTES: usize = 1;

pub(crate) const V8: u8 = 1;
pub(crate) const U64: u8 = 2;
pub(crate) const BYTES: u8 = 3;

/// The value of a key, in one of Deno KV's three kinds.
///
/// Large [`Bytes`] that were read may keep a piece of memory or a file of the store alive: copy
/// them to let go.
///
/// ```
/// use icecore::{Kv, Value, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["text"], "hello")?;
/// kv.set(key!["count"], 7)?;
/// kv.set(key!["level"], Value::number(7.0))?;
/// let [text, count, level] = kv.get_many([key!["text"], key!["count"], key!["level"]])?;
/// assert_eq!(text.value, Some(Value::Bytes("hello".into())));
/// assert_eq!(count.value, Some(Value::U64(7)));
/// assert!(matches!(level.value, Some(Value::V8(_))));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes. Text is stored as its UTF-8.
    Bytes(Bytes),
    /// An unsigned 64-bit integer, which [`Atomic::sum`](crate::Atomic::sum) and its kin change in
    /// place. In JavaScript it is a `Deno.KvU64`.
    U64(u64),
    /// Any other value of JavaScript, as V8's serializer writes it: what Deno and Node programs
    /// store.
    V8(Bytes),
}

/// A value as the engine holds it.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Number([u8; TAG_BYTES + size_of::<u64>()]),
    Content(Vec<u8>),
}

impl Deref for Stored {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Stored::Number(stored) => stored,
            Stored::Content(stored) => stored,
        }
    }
}

/// Why stored bytes are not a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadValue {
    /// The tag is not known.
    UnknownTag(u8),
    /// There is no tag, or the content does not fit it.
    Malformed(&'static str),
}

impl Value {
    /// The stored form. A number needs no memory of its own.
    pub(crate) fn stored(&self) -> Stored {
        let (tag, content) = match self {
            Value::U64(number) => {
                let mut stored = [U64; TAG_BYTES + size_of::<u64>()];
                stored[TAG_BYTES..].copy_from_slice(&number.to_le_bytes());
                return Stored::Number(stored);
            }
            Value::Bytes(bytes) => (BYTES, bytes),
            Value::V8(serialized) => (V8, serialized),
        };
        let mut stored = Vec::with_capacity(TAG_BYTES + content.len());
        stored.push(tag);
        stored.extend_from_slice(content);
        Stored::Content(stored)
    }

    /// Reads the stored form, without copying what it holds. It is taken whole: a slice of it would
    /// cost a count of who holds it, and memory for that count.
    #[inline]
    pub(crate) fn decode(mut stored: Bytes) -> Result<Value, BadValue> {
        let is_bytes = match ValueRef::decode(&stored)? {
            ValueRef::U64(number) => return Ok(Value::U64(number)),
            ValueRef::Bytes(_) => true,
            ValueRef::V8(_) => false,
        };
        stored.advance(TAG_BYTES);
        Ok(if is_bytes { Value::Bytes(stored) } else { Value::V8(stored) })
    }

    /// A number of JavaScript.
    ///
    /// ```
    /// use icecore::Value;
    /// assert_eq!(Value::number(0.5).to_string(), "0.5");
    /// assert_ne!(Value::number(7.0), Value::U64(7));
    /// ```
    pub fn number(number: f64) -> Value {
        Value::V8(Number::Float(number).write().into())
    }

    /// A bigint of JavaScript.
    ///
    /// ```
    /// use icecore::{Int, Value};
    ///
    /// let value = Value::bigint(u128::MAX);
    /// assert_eq!(value.as_bigint(), Some(Int::from(u128::MAX)));
    /// ```
    pub fn bigint(int: impl Into<Int>) -> Value {
        let int = int.into();
        let sign = if int.is_negative() { Sign::Minus } else { Sign::Plus };
        let int = BigInt::from_bytes_be(sign, int.magnitude());
        Value::V8(Number::BigInt(int).write().into())
    }

    /// The number, if it is one of JavaScript.
    ///
    /// ```
    /// use icecore::Value;
    /// assert_eq!(Value::number(0.5).as_number(), Some(0.5));
    /// assert_eq!(Value::U64(7).as_number(), None);
    /// ```
    pub fn as_number(&self) -> Option<f64> {
        match self.read_number()? {
            Number::Float(number) => Some(number),
            Number::BigInt(_) => None,
        }
    }

    /// The integer, if it is a bigint of JavaScript of at most 255 bytes.
    ///
    /// ```
    /// use icecore::{Int, Value};
    /// assert_eq!(Value::bigint(-7).as_bigint(), Some(Int::from(-7)));
    /// assert_eq!(Value::number(7.0).as_bigint(), None);
    /// ```
    pub fn as_bigint(&self) -> Option<Int> {
        match self.read_number()? {
            Number::Float(_) => None,
            Number::BigInt(int) => {
                let (sign, magnitude) = int.to_bytes_be();
                Int::from_magnitude(sign == Sign::Minus, &magnitude).ok()
            }
        }
    }

    fn read_number(&self) -> Option<Number> {
        match self {
            Value::V8(serialized) => Number::read(serialized).ok().flatten(),
            Value::Bytes(_) | Value::U64(_) => None,
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Bytes(_) => "bytes",
            Value::U64(_) => "a u64",
            Value::V8(_) => "a JavaScript value",
        }
    }

    /// The bytes that count for the limits: those of the content.
    ///
    /// ```
    /// use icecore::Value;
    /// assert_eq!(Value::from("hello").byte_len(), 5);
    /// assert_eq!(Value::U64(7).byte_len(), 8);
    /// ```
    pub fn byte_len(&self) -> usize {
        match self {
            Value::Bytes(bytes) | Value::V8(bytes) => bytes.len(),
            Value::U64(_) => size_of::<u64>(),
        }
    }
}

impl<'a> ValueRef<'a> {
    /// Reads the stored form.
    #[inline]
    pub(crate) fn decode(stored: &'a [u8]) -> Result<ValueRef<'a>, BadValue> {
        match stored.split_first() {
            Some((&U64, number)) => match number.try_into() {
                Ok(number) => Ok(ValueRef::U64(u64::from_le_bytes(number))),
                Err(_) => Err(BadValue::Malformed("a number has eight bytes")),
            },
            Some((&BYTES, bytes)) => Ok(ValueRef::Bytes(bytes)),
            Some((&V8, serialized)) => Ok(ValueRef::V8(serialized)),
            Some((&tag, _)) => Err(BadValue::UnknownTag(tag)),
            None => Err(BadValue::Malformed("a value has a tag")),
        }
    }

    /// As [`Value::kind`].
    pub(crate) fn kind(self) -> &'static str {
        match self {
            ValueRef::Bytes(_) => "bytes",
            ValueRef::U64(_) => "a u64",
            ValueRef::V8(_) => "a JavaScript value",
        }
    }
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadValue::UnknownTag(tag) => write!(f, "a value with the tag {tag}"),
            BadValue::Malformed(what) => f.write_str(what),
        }
    }
}

// Only from u64: with a second integer type, `kv.set(key, 5)` would no longer compile.
impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::U64(number)
    }
}

impl From<&Value> for Value {
    fn from(value: &Value) -> Value {
        value.clone()
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Value {
        Value::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes.into())
    }
}

impl From<&Bytes> for Value {
    fn from(bytes: &Bytes) -> Value {
        Value::Bytes(bytes.clone())
    }
}

impl From<&Vec<u8>> for Value {
    fn from(bytes: &Vec<u8>) -> Value {
        Value::from(&bytes[..])
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::Bytes(Bytes::copy_from_slice(bytes))
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Value {
        Value::from(&bytes[..])
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Value {
        Value::from(&bytes[..])
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::from(text.as_bytes())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::from(text.into_bytes())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::from(text.as_bytes())
    }
}

impl From<Cow<'_, str>> for Value {
    fn from(text: Cow<'_, str>) -> Value {
        Value::from(text.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_documented_bytes_and_read_back() {
        let golden: [(Value, &[u8]); 5] = [
            (Value::V8(Bytes::from_static(&[0xff, 0x0f, 0x30])), &[1, 0xff, 0x0f, 0x30]),
            (Value::from(258), &[2, 2, 1, 0, 0, 0, 0, 0, 0]),
            (Value::from("hi"), &[3, b'h', b'i']),
            (Value::from(&[0xff, 0][..]), &[3, 0xff, 0]),
            (Value::from(Vec::new()), &[3]),
        ];
        for (value, stored) in golden {
            assert_eq!(&*value.stored(), stored);
            assert_eq!(Value::decode(Bytes::from_static(stored)), Ok(value));
        }
    }

    #[test]
    fn whatever_holds_text_or_bytes_is_a_value_owned_or_borrowed() {
        let (text, bytes) = (String::from("hi"), b"hi".to_vec());
        let value = Value::from("hi");
        let shared = Bytes::from_static(b"hi");
        let made = [
            Value::from(&text),
            Value::from(Cow::Borrowed("hi")),
            Value::from(&bytes),
            Value::from(&shared),
            Value::from(*b"hi"),
            Value::from(b"hi"),
            Value::from(&value),
            Value::from(shared),
            Value::from(bytes),
            Value::from(text),
        ];
        assert!(made.iter().all(|made| *made == value), "{made:?}");
    }

    #[test]
    fn other_bytes_are_refused() {
        let decode = |stored: &'static [u8]| Value::decode(Bytes::from_static(stored));
        assert!(matches!(decode(&[]), Err(BadValue::Malformed(_))));
        assert!(matches!(decode(&[2, 1]), Err(BadValue::Malformed(_))));
        assert!(matches!(decode(&[2, 1, 1, 1, 1, 1, 1, 1, 1, 1]), Err(BadValue::Malformed(_))));
        assert_eq!(decode(&[4, 0xff]), Err(BadValue::UnknownTag(4)));
        assert_eq!(decode(&[0]), Err(BadValue::UnknownTag(0)));
    }
}
