//! Values of JavaScript in the format in which V8 stores them, and Deno KV with it.
//!
//! - [`mod@format`]: the format, and its tags.
//! - [`number`]: numbers and bigints that stand alone.
//! - [`string`]: strings, which may hold what no `str` can.
//! - [`value`]: values as trees.
//! - [`mod@read`]: bytes to values.
//! - [`mod@write`]: values to bytes.
//! - [`show`]: values as a console shows them.
//! - [`normalise`]: stored bytes for another reader.
//! - `typed`, with the feature `serde`: Rust's types as values.
//! - `json`, with the feature `json`: JSON to values and back.
//!
//! ```
//! let stored = b"\xff\x10o\"\x04nameZ\x10\x05\0\0\0\0\0\0\0\"\x01tD\0\0\0\0\0\0\0\0{\x02";
//! let value = icecore_v8::read(stored)?;
//! assert_eq!(value.to_string(), "{ name: 5n, t: new Date(\"1970-01-01T00:00:00.000Z\") }");
//! assert_eq!(icecore_v8::write(&value)[2..], stored[2..]);
//! # Ok::<(), icecore_v8::Malformed>(())
//! ```

#![forbid(unsafe_code)]

mod cursor;
mod element;
pub mod format;
#[cfg(feature = "json")]
pub mod json;
pub mod normalise;
pub mod number;
pub mod read;
pub mod show;
pub mod string;
mod text;
#[cfg(feature = "serde")]
pub mod typed;
pub mod value;
pub mod write;

pub use cursor::Malformed;
#[cfg(feature = "json")]
pub use json::{NotJson, from_json, parse_json, to_json};
pub use normalise::{for_deno, for_node};
pub use number::Number;
pub use read::read;
pub use string::JsString;
#[cfg(feature = "serde")]
pub use typed::{from_slice, from_value, to_value, to_vec};
pub use value::{
    ErrorClass, InvalidObject, Item, JsError, JsObject, JsValue, Key, ObjectId, Property, ViewKind,
};
pub use write::write;
