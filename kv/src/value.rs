//! Values and their stored form.
//!
//! ```text
//! value := 02 number      an unsigned integer, eight bytes, little-endian
//!        | 03 byte*       bytes
//! ```
//!
//! A stored value is valid if and only if its tag is one of these and a number has eight bytes.
//! The tags are those of the KV Connect protocol; 01 is reserved for its third kind, values of
//! JavaScript.

use bytes::Bytes;

/// What the stored form adds to the content of a value.
pub(crate) const TAG_BYTES: usize = 1;

const V8: u8 = 1;
const U64: u8 = 2;
const BYTES: u8 = 3;

/// The value of a key.
///
/// Large [`Bytes`] that were read may keep a piece of memory or a file of the store alive: copy
/// them to let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bytes. Text is stored as its UTF-8.
    Bytes(Bytes),
    /// An unsigned 64-bit integer.
    U64(u64),
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
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (tag, number, content) = match self {
            Value::Bytes(bytes) => (BYTES, [0; 8], Some(bytes)),
            Value::U64(number) => (U64, number.to_le_bytes(), None),
        };
        let content = content.map_or(&number[..], |bytes| bytes);
        let mut stored = Vec::with_capacity(1 + content.len());
        stored.push(tag);
        stored.extend_from_slice(content);
        stored
    }

    /// Reads the stored form, without copying what it holds.
    pub(crate) fn decode(stored: &Bytes) -> Result<Value, BadValue> {
        match stored.split_first() {
            Some((&BYTES, _)) => Ok(Value::Bytes(stored.slice(1..))),
            Some((&U64, number)) => match number.try_into() {
                Ok(number) => Ok(Value::U64(u64::from_le_bytes(number))),
                Err(_) => Err(BadValue::Malformed("a number has eight bytes")),
            },
            Some((tag, _)) => Err(BadValue::UnknownTag(*tag)),
            None => Err(BadValue::Malformed("a value has a tag")),
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Bytes(_) => "bytes",
            Value::U64(_) => "a u64",
        }
    }
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadValue::UnknownTag(V8) => f.write_str("a JavaScript value"),
            BadValue::UnknownTag(tag) => write!(f, "a value with the tag {tag}"),
            BadValue::Malformed(what) => f.write_str(what),
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::U64(number)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_documented_bytes_and_read_back() {
        let golden: [(Value, &[u8]); 4] = [
            (Value::from(258), &[2, 2, 1, 0, 0, 0, 0, 0, 0]),
            (Value::from("hi"), &[3, b'h', b'i']),
            (Value::from(&[0xff, 0][..]), &[3, 0xff, 0]),
            (Value::from(Vec::new()), &[3]),
        ];
        for (value, stored) in golden {
            assert_eq!(value.encode(), stored);
            assert_eq!(Value::decode(&Bytes::from_static(stored)), Ok(value));
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let decode = |stored: &'static [u8]| Value::decode(&Bytes::from_static(stored));
        assert!(matches!(decode(&[]), Err(BadValue::Malformed(_))));
        assert!(matches!(decode(&[2, 1]), Err(BadValue::Malformed(_))));
        assert!(matches!(decode(&[2, 1, 1, 1, 1, 1, 1, 1, 1, 1]), Err(BadValue::Malformed(_))));
        assert_eq!(decode(&[1, 0xff]), Err(BadValue::UnknownTag(1)));
        assert_eq!(decode(&[0]), Err(BadValue::UnknownTag(0)));
    }
}
