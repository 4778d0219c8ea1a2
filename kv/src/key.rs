//! Keys: lists of parts, at least one, in the encoding whose byte order is their order.
//!
//! A [`Key`] holds its encoding with the engine's keyspace byte in front, so that no read or
//! write has to put the two together. Keys that the store gives back were written by this crate
//! and are not decoded until somebody asks for their [parts](Key::parts); [`Kv::check`] decodes
//! them all.
//!
//! [`Kv::check`]: crate::Kv::check

use std::fmt;

use icecore_engine::keyspace::DATA;
use icecore_model::int::Int;
use icecore_model::key::{Part, decode, encode_part};

use crate::error::Error;

/// A key: one or more parts. Keys are ordered part by part; bytes come before strings, then
/// integers, floats and booleans.
///
/// ```
/// use icecore::{Key, key};
///
/// let name = String::from("alice");
/// assert!(key!["account", &name, 9] < key!["account", &name, 10]);
/// assert_eq!(key!["account", name, 9], Key::of("account").with("alice").with(9));
/// assert_eq!(key!["a", 1, true, &b"\xff"[..]].to_string(), r#"["a", 1n, true, b"\xff"]"#);
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The keyspace byte and the encoded parts.
    stored: Vec<u8>,
}

/// What can be a part of a key.
pub trait IntoPart {
    /// The part.
    fn into_part(self) -> Part;
}

impl Key {
    /// The key with this one part.
    pub fn of(part: impl IntoPart) -> Key {
        Key { stored: vec![DATA] }.with(part)
    }

    /// The key with one part more.
    #[must_use]
    pub fn with(mut self, part: impl IntoPart) -> Key {
        encode_part(&part.into_part(), &mut self.stored);
        self
    }

    /// The parts, taken apart again.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when the key was read from a store and is damaged in
    /// a way that no checksum has seen.
    pub fn parts(&self) -> Result<Vec<Part>, Error> {
        decode(self.encoded()).map_err(|malformed| Error::bad_key(self.clone(), malformed))
    }

    /// Whether there is no part.
    pub fn is_empty(&self) -> bool {
        self.encoded().is_empty()
    }

    /// The encoding: its bytes sort like the keys.
    pub fn encoded(&self) -> &[u8] {
        &self.stored[1..]
    }

    /// The key as the engine knows it, keyspace byte included.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// A key that the engine gave back from the keyspace of user data.
    pub(crate) fn from_stored(stored: Vec<u8>) -> Key {
        debug_assert_eq!(stored.first(), Some(&DATA));
        Key { stored }
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Key {
        key.clone()
    }
}

/// As a JavaScript program would write it; a damaged key as its bytes.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(parts) = decode(self.encoded()) else {
            return write!(f, "malformed key {}", self.encoded().escape_ascii());
        };
        f.write_str("[")?;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match part {
                Part::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii())?,
                Part::String(text) => write!(f, "{text:?}")?,
                Part::Int(int) => write!(f, "{int}n")?,
                Part::Float(number) => write!(f, "{number:?}")?,
                Part::Bool(truth) => write!(f, "{truth}")?,
            }
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Conversions by the expression on the right, in which `it` is the value.
macro_rules! into_part {
    ($($kind:ty: $it:ident => $part:expr;)*) => {$(
        impl IntoPart for $kind {
            fn into_part(self) -> Part {
                let $it = self;
                $part
            }
        }
    )*};
}

into_part! {
    Part: it => it;
    &Part: it => it.clone();
    &str: it => Part::String(it.to_owned());
    String: it => Part::String(it);
    &String: it => Part::String(it.clone());
    &[u8]: it => Part::Bytes(it.to_vec());
    Vec<u8>: it => Part::Bytes(it);
    &Vec<u8>: it => Part::Bytes(it.clone());
    f64: it => Part::Float(it);
    bool: it => Part::Bool(it);
    Int: it => Part::Int(it);
    i8: it => Part::Int(Int::from(i64::from(it)));
    i16: it => Part::Int(Int::from(i64::from(it)));
    i32: it => Part::Int(Int::from(it));
    i64: it => Part::Int(Int::from(it));
    i128: it => Part::Int(Int::from(it));
    isize: it => Part::Int(Int::from(it as i64));
    u8: it => Part::Int(Int::from(it));
    u16: it => Part::Int(Int::from(u64::from(it)));
    u32: it => Part::Int(Int::from(it));
    u64: it => Part::Int(Int::from(it));
    u128: it => Part::Int(Int::from(it));
    usize: it => Part::Int(Int::from(it as u64));
}

impl<const N: usize> IntoPart for &[u8; N] {
    fn into_part(self) -> Part {
        Part::Bytes(self.to_vec())
    }
}

/// The [`Key`] with these parts, at least one: text, bytes, integers, floats or booleans.
///
/// ```
/// use icecore::key;
/// assert_eq!(key!["user", 42].to_string(), r#"["user", 42n]"#);
/// ```
#[macro_export]
macro_rules! key {
    () => {
        compile_error!("a key has at least one part")
    };
    ($first:expr $(, $part:expr)* $(,)?) => {
        $crate::Key::of($first)$(.with($part))*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_keep_their_kind_and_value() {
        let made = key!["text", &b"\x00\xff"[..], -1, u64::MAX, 0.5, false, 7usize];
        let read = crate::Key::from_stored(made.stored().to_vec());
        assert_eq!(
            read.to_string(),
            r#"["text", b"\x00\xff", -1n, 18446744073709551615n, 0.5, false, 7n]"#
        );
        assert_eq!(read, made);
    }

    #[test]
    fn keys_sort_by_their_parts_and_before_their_extensions() {
        let keys = [key!["a"], key!["a", ""], key!["a", 2], key!["a", 10], key!["a\0"], key!["b"]];
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
    }

    #[test]
    fn a_damaged_key_is_shown_as_bytes() {
        let key = crate::Key::from_stored(vec![super::DATA, 0x7f]);
        assert!(key.parts().is_err());
        assert_eq!(key.to_string(), "malformed key \\x7f");
    }
}
