//! Keys: lists of parts in the encoding whose byte order is their order.
//!
//! A [`Key`] holds its encoding with the engine's keyspace byte in front, so that no read or
//! write has to put the two together. Keys that the store gives back were written by this crate
//! and are not decoded until somebody asks for their [parts](Key::parts); [`Kv::check`] decodes
//! them all. The form in which keys are printed and parsed is in `literal.rs`.
//!
//! 1. The encoding of a prefix is a prefix of the encoding. The reverse does not hold: `"a"` is
//!    encoded as `02 61 00`, and `"a\0b"` as `02 61 00 FF 62 00`. But no part begins with `FF`, so
//!    this byte tells the two cases apart.
//!
//! [`Kv::check`]: crate::Kv::check

use std::borrow::Cow;

use bytes::Bytes;
use icecore_engine::keyspace::DATA;
use icecore_model::Versionstamp;
use icecore_model::int::Int;
use icecore_model::key::{
    Part, append_versionstamp, decode, encode_bytes, encode_integer, encode_part, encode_string,
};

use crate::error::Error;
use crate::lent::KeyRef;

/// Most keys fit without growing.
const STORED_BYTES_EXPECTED: usize = 48;

/// Follows a zero byte inside of a string or of bytes; no part begins with it.
pub(crate) const ESCAPE: u8 = 0xff;

/// A key: a list of parts. Keys are ordered part by part; bytes come before strings, then
/// integers, floats and booleans. A key comes before its extensions.
///
/// An empty key, `key![]`, can be named, but nothing can be stored under it.
///
/// Printed, a key looks as in JavaScript, and what is printed parses again:
///
/// ```
/// use icecore::{Key, key};
///
/// let name = String::from("alice");
/// assert!(key!["account", &name, 9] < key!["account", &name, 10]);
/// assert_eq!(key!["account", name, 9], Key::from(("account", "alice", 9)));
///
/// let key = key!["a", 1, 1.0, true, &b"\x00\xff"[..]];
/// assert_eq!(key.to_string(), r#"["a", 1n, 1.0, true, u8"00ff"]"#);
/// assert_eq!(key.to_string().parse::<Key>()?, key);
/// # Ok::<(), icecore::ParseKeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The keyspace byte and the encoded parts.
    stored: Vec<u8>,
}

/// What can be a part of a key: text, bytes, integers, floats and booleans.
///
/// A [`Versionstamp`] becomes the string of its twenty digits, as at the end of a key that
/// was set with the versionstamp of its own commit.
///
/// ```
/// use icecore::{IntoPart, Key, Part};
///
/// struct UserId(u64);
///
/// impl IntoPart for UserId {
///     fn into_part(self) -> Part {
///         self.0.into_part()
///     }
/// }
///
/// assert_eq!(Key::from(("users", UserId(7))), Key::from(("users", 7)));
/// ```
pub trait IntoPart: Sized {
    /// The part.
    fn into_part(self) -> Part;

    /// Appends the encoding of the part: without making it, where that saves memory.
    #[doc(hidden)]
    fn encode_into(self, encoded: &mut Vec<u8>) {
        encode_part(&self.into_part(), encoded);
    }
}

impl Key {
    /// The empty key.
    ///
    /// ```
    /// use icecore::{Key, key};
    /// assert_eq!(Key::new(), key![]);
    /// assert_eq!(Key::new().with("users").with(7), key!["users", 7]);
    /// ```
    pub fn new() -> Key {
        let mut stored = Vec::with_capacity(STORED_BYTES_EXPECTED);
        stored.push(DATA);
        Key { stored }
    }

    /// The key with this one part.
    ///
    /// ```
    /// use icecore::{Key, key};
    /// assert_eq!(Key::of("config"), key!["config"]);
    /// ```
    pub fn of(part: impl IntoPart) -> Key {
        Key::new().with(part)
    }

    /// The key with one part more.
    ///
    /// ```
    /// use icecore::{Key, key};
    ///
    /// let path = "src/queue/line.rs";
    /// let key = path.split('/').fold(key!["file"], Key::with);
    /// assert_eq!(key, key!["file", "src", "queue", "line.rs"]);
    /// ```
    #[must_use]
    pub fn with(mut self, part: impl IntoPart) -> Key {
        part.encode_into(&mut self.stored);
        self
    }

    /// Whether the key has no parts.
    ///
    /// ```
    /// use icecore::key;
    /// assert!(key![].is_empty());
    /// assert!(!key![""].is_empty(), "empty text is a part");
    /// ```
    pub fn is_empty(&self) -> bool {
        self.encoded().is_empty()
    }

    /// Whether the first parts of the key are those of `prefix`. A key starts with itself.
    ///
    /// ```
    /// use icecore::key;
    /// assert!(key!["users", 1].starts_with(&key!["users"]));
    /// assert!(!key!["users2"].starts_with(&key!["users"]));
    /// ```
    pub fn starts_with(&self, prefix: &Key) -> bool {
        self.lent().starts_with(prefix)
    }

    /// The parts, taken apart again.
    ///
    /// ```
    /// use icecore::key;
    /// let parts = key!["users", 42].parts()?;
    /// assert_eq!(parts[0].as_str(), Some("users"));
    /// assert_eq!(parts[1].as_int().map(u64::try_from), Some(Ok(42)));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) when the key was read from a store and is damaged in
    /// a way that no checksum has seen.
    pub fn parts(&self) -> Result<Vec<Part>, Error> {
        decode(self.encoded()).map_err(|malformed| Error::bad_key(self.clone(), malformed))
    }

    /// The encoding: its bytes sort like the keys. It is the encoding of Deno KV.
    ///
    /// ```
    /// use icecore::key;
    /// assert_eq!(key!["hello"].encoded(), b"\x02hello\x00");
    /// assert!(key!["a", 9].encoded() < key!["a", 10].encoded());
    /// ```
    pub fn encoded(&self) -> &[u8] {
        &self.stored[1..]
    }

    /// The key with this [encoding](Key::encoded).
    ///
    /// ```
    /// use icecore::{Key, key};
    /// assert_eq!(Key::from_encoded(b"\x02hello\x00")?, key!["hello"]);
    /// assert!(Key::from_encoded(b"\x02hello").is_err());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when no key is encoded like this.
    pub fn from_encoded(encoded: &[u8]) -> Result<Key, Error> {
        match decode(encoded) {
            Ok(_) => Ok(Key { stored: [&[DATA], encoded].concat() }),
            Err(malformed) => {
                Err(Error::invalid("not an encoded key", format!("expected {malformed}")))
            }
        }
    }

    /// The key as the engine knows it, keyspace byte included.
    pub(crate) fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The key, lent.
    pub(crate) fn lent(&self) -> KeyRef<'_> {
        KeyRef::new(&self.stored)
    }

    /// A key that the engine gave back from the keyspace of user data.
    pub(crate) fn from_stored(stored: Vec<u8>) -> Key {
        debug_assert_eq!(stored.first(), Some(&DATA));
        Key { stored }
    }
}

impl Default for Key {
    fn default() -> Key {
        Key::new()
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Key {
        key.clone()
    }
}

impl<P: IntoPart> FromIterator<P> for Key {
    fn from_iter<T: IntoIterator<Item = P>>(parts: T) -> Key {
        parts.into_iter().fold(Key::new(), Key::with)
    }
}

impl From<&[Part]> for Key {
    fn from(parts: &[Part]) -> Key {
        parts.iter().collect()
    }
}

impl From<Vec<Part>> for Key {
    fn from(parts: Vec<Part>) -> Key {
        Key::from(&parts[..])
    }
}

/// Keys from tuples, with a name of one letter for each part.
macro_rules! from_tuples {
    ($(($($part:ident)+))*) => {$(
        impl<$($part: IntoPart),+> From<($($part,)+)> for Key {
            #[expect(non_snake_case, reason = "a part is named as its type is")]
            fn from(($($part,)+): ($($part,)+)) -> Key {
                Key::new()$(.with($part))+
            }
        }
    )*};
}

from_tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
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
    f32: it => Part::Float(f64::from(it));
    f64: it => Part::Float(it);
    bool: it => Part::Bool(it);
    Int: it => Part::Int(it);
    &Int: it => Part::Int(it.clone());
}

/// Integers of Rust, all of which fit in 128 bits.
macro_rules! into_integer {
    (signed: $($signed:ty)*; unsigned: $($unsigned:ty)*) => {
        $(impl IntoPart for $signed {
            fn into_part(self) -> Part {
                Part::Int(Int::from(self as i128))
            }

            fn encode_into(self, encoded: &mut Vec<u8>) {
                encode_integer(self < 0, (self as i128).unsigned_abs(), encoded);
            }
        })*
        $(impl IntoPart for $unsigned {
            fn into_part(self) -> Part {
                Part::Int(Int::from(self as u128))
            }

            fn encode_into(self, encoded: &mut Vec<u8>) {
                encode_integer(false, self as u128, encoded);
            }
        })*
    };
}

into_integer! {
    signed: i8 i16 i32 i64 i128 isize;
    unsigned: u8 u16 u32 u64 u128 usize
}

impl IntoPart for &Part {
    fn into_part(self) -> Part {
        self.clone()
    }

    fn encode_into(self, encoded: &mut Vec<u8>) {
        encode_part(self, encoded);
    }
}

impl IntoPart for Versionstamp {
    fn into_part(self) -> Part {
        Part::String(self.to_string())
    }

    fn encode_into(self, encoded: &mut Vec<u8>) {
        append_versionstamp(encoded, self);
    }
}

/// Strings and bytes, which are encoded where they are.
macro_rules! into_part_in_place {
    ($($kind:ty: $it:ident => $borrowed:expr, $variant:ident($owned:expr), $encode:ident;)*) => {$(
        impl IntoPart for $kind {
            fn into_part(self) -> Part {
                let $it = self;
                Part::$variant($owned)
            }

            fn encode_into(self, encoded: &mut Vec<u8>) {
                let $it = &self;
                $encode($borrowed, encoded);
            }
        }
    )*};
}

into_part_in_place! {
    &str: it => it, String(it.to_owned()), encode_string;
    String: it => it, String(it), encode_string;
    &String: it => it, String(it.clone()), encode_string;
    Box<str>: it => it, String(it.into_string()), encode_string;
    Cow<'_, str>: it => it, String(it.into_owned()), encode_string;
    &[u8]: it => it, Bytes(it.to_vec()), encode_bytes;
    Vec<u8>: it => it, Bytes(it), encode_bytes;
    &Vec<u8>: it => it, Bytes(it.clone()), encode_bytes;
    Bytes: it => it, Bytes(it.to_vec()), encode_bytes;
    &Bytes: it => it, Bytes(it.to_vec()), encode_bytes;
}

impl<const N: usize> IntoPart for &[u8; N] {
    fn into_part(self) -> Part {
        Part::Bytes(self.to_vec())
    }

    fn encode_into(self, encoded: &mut Vec<u8>) {
        encode_bytes(self, encoded);
    }
}

impl<const N: usize> IntoPart for [u8; N] {
    fn into_part(self) -> Part {
        Part::Bytes(self.to_vec())
    }

    fn encode_into(self, encoded: &mut Vec<u8>) {
        encode_bytes(&self, encoded);
    }
}

/// The string of this one character.
impl IntoPart for char {
    fn into_part(self) -> Part {
        Part::String(self.to_string())
    }

    fn encode_into(self, encoded: &mut Vec<u8>) {
        encode_string(self.encode_utf8(&mut [0; 4]), encoded);
    }
}

/// References, as iterators give them, to what is copied for nothing.
macro_rules! into_part_by_copy {
    ($($kind:ty)*) => {$(
        impl IntoPart for &$kind {
            fn into_part(self) -> Part {
                (*self).into_part()
            }

            fn encode_into(self, encoded: &mut Vec<u8>) {
                (*self).encode_into(encoded);
            }
        }
    )*};
}

into_part_by_copy! {
    i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize
    f32 f64 bool char Versionstamp &str
}

/// The [`Key`] with these parts: text, bytes, integers, floats or booleans. `key![]` is the empty
/// key.
///
/// ```
/// use icecore::key;
/// assert_eq!(key!["user", 42].to_string(), r#"["user", 42n]"#);
/// assert!(key![].is_empty());
/// ```
#[macro_export]
macro_rules! key {
    ($($part:expr),* $(,)?) => {
        $crate::Key::new()$(.with($part))*
    };
}

#[cfg(test)]
pub(crate) mod tests;
