//! Rust's types as values of JavaScript, by serde.
//!
//! What is written is what a programmer of JavaScript would have written by hand:
//!
//! | Rust | JavaScript |
//! |---|---|
//! | `bool`, `f32`, `f64` | boolean, number |
//! | integers from −2⁵³ to 2⁵³ | number |
//! | integers beyond, which a number cannot hold | bigint |
//! | `char`, `str` | string |
//! | bytes, as those of `serde_bytes` | `Uint8Array` |
//! | `None`, `()`, unit structs | `null` |
//! | `Some(x)`, newtypes | as `x` |
//! | sequences, tuples | array |
//! | structs, and maps of which all keys are strings | plain object |
//! | other maps | `Map` |
//! | `Enum::Unit` | `"Unit"` |
//! | `Enum::Newtype(x)`, `Enum::Tuple(x, y)`, `Enum::Struct { x }` | `{ Newtype: x }`, `{ Tuple: [x, y] }`, `{ Struct: { x } }` |
//!
//! More is read, because JavaScript writes more:
//!
//! - `undefined`, and a hole, is read as `null`, so that a property may be left undefined where an
//!   `Option` is.
//! - A bigint, and a number without a fraction up to 2⁵³, is any integer that it fits.
//! - A map is read from a plain object and from a `Map`. Names of properties are parsed where the
//!   map's keys are numbers.
//! - A sequence is read from an array, a `Set` or a typed array; other properties of an array are
//!   passed over. Bytes are read from an `ArrayBuffer` or any view of one.
//! - A `Date` is text in the form of ISO 8601 where text is asked for, and otherwise its
//!   milliseconds since 1970. A boxed primitive is the primitive.
//!
//! Not read are regular expressions, errors, objects of Deno's own, strings with lone surrogates,
//! and objects that hold themselves.

mod de;
mod ser;

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, DeserializeOwned};

use crate::cursor::Malformed;
use crate::value::JsValue;

/// The furthest integer up to which a number of JavaScript holds every one.
pub(crate) const INTEGER_MAX: u64 = 1 << 53;

/// Why a type could not be written or read.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The bytes are no value.
    Malformed(Malformed),
    /// It is nested too deep: more than [`DEPTH_MAX`](crate::read::DEPTH_MAX).
    TooDeep,
    /// It has few objects, but so often that it looks made to be endless.
    TooLong,
    /// The value is nothing that serde could carry.
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// The type refuses the value, or itself.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(malformed) => malformed.fmt(f),
            Error::TooDeep => f.write_str("nested too deep"),
            Error::TooLong => f.write_str("repeats its objects too often"),
            Error::Unsupported { what } => write!(f, "cannot be read as a type of Rust: {what}"),
            Error::Refused(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Malformed(malformed) => Some(malformed),
            _ => None,
        }
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::Refused(message.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Error {
        Error::Refused(message.to_string())
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Error {
        Error::Malformed(malformed)
    }
}

/// Writes a value of a Rust type so that JavaScript reads it: see the [module](self).
///
/// # Errors
///
/// [`Error::TooDeep`], or what the type's `Serialize` says.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// struct User {
///     name: String,
///     id: u64,
/// }
///
/// let ada = User { name: "Ada".into(), id: u64::MAX };
/// let stored = icecore_v8::to_vec(&ada)?;
/// let shown = icecore_v8::read(&stored)?.to_string();
/// assert_eq!(shown, "{ name: \"Ada\", id: 18446744073709551615n }");
/// assert_eq!(icecore_v8::from_slice::<User>(&stored)?, ada);
/// # Ok::<(), icecore_v8::typed::Error>(())
/// ```
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    Ok(crate::write(&to_value(value)?))
}

/// Makes a value of a Rust type one of JavaScript: see the [module](self).
///
/// # Errors
///
/// As [`to_vec`].
///
/// ```
/// let value = icecore_v8::to_value(&(1, "a", Some(true), ()))?;
/// assert_eq!(value.to_string(), "[ 1, \"a\", true, null ]");
/// # Ok::<(), icecore_v8::typed::Error>(())
/// ```
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<JsValue, Error> {
    ser::value(value)
}

/// Reads a value of a Rust type, as [`to_vec`] or JavaScript wrote it: see the [module](self).
///
/// # Errors
///
/// [`Error::Malformed`] if the bytes are no value; the others if it is none of type `T`.
///
/// ```
/// // new Map([[1, "a"], [2, "b"]])
/// let stored = b"\xff\x0f;I\x02\"\x01aI\x04\"\x01b:\x04";
/// let map: std::collections::BTreeMap<u32, String> = icecore_v8::from_slice(stored)?;
/// assert_eq!(map[&2], "b");
/// # Ok::<(), icecore_v8::typed::Error>(())
/// ```
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    de::value(&crate::read(bytes)?)
}

/// Reads a value of a Rust type, which may borrow from the value of JavaScript.
///
/// # Errors
///
/// As [`from_slice`].
///
/// ```
/// let value = icecore_v8::JsValue::from(icecore_v8::Item::from("ice"));
/// assert_eq!(icecore_v8::from_value::<&str>(&value)?, "ice");
/// # Ok::<(), icecore_v8::typed::Error>(())
/// ```
pub fn from_value<'de, T: Deserialize<'de>>(value: &'de JsValue) -> Result<T, Error> {
    de::value(value)
}

#[cfg(test)]
mod tests;
