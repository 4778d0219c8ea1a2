//! Values of JavaScript in the format in which V8 stores them, and Deno KV with it.
//!
//! - [`format`]: the format, and its tags.
//! - [`number`]: numbers and bigints that stand alone.
//!
//! ```
//! use icecore_v8::Number;
//!
//! let stored = Number::Float(2.5).write();
//! assert_eq!(Number::read(&stored)?, Some(Number::Float(2.5)));
//! # Ok::<(), icecore_v8::Malformed>(())
//! ```

#![forbid(unsafe_code)]

mod cursor;
pub mod format;
pub mod number;

pub use cursor::Malformed;
pub use number::Number;
