//! The nouns of Icecore and their bytes. No input, no output: every other crate speaks in these.
//!
//! - [`stamp`]: the versionstamp, the one number that orders everything.
//! - [`time`]: points in time.
//! - [`read`]: the bounds-checked reader under all decoders, and varints.
//! - [`entry`]: what a source of data holds for a key.
//! - [`effect`]: what one commit does, as bytes.
//! - [`range`]: deletions of whole ranges of keys.
//! - [`frame`]: checksummed records of the log and of the manifest.
//! - [`key`]: key parts and their order-preserving encoding.
//! - [`int`]: integers of arbitrary size, as key parts.
//! - [`hash`]: the stable hash of a key.
//! - [`id`]: the identity of a store.
//! - [`position`]: places in the log.
//! - [`limits`]: how large things may be.
//! - [`planted`](mod@planted): bugs on purpose, for the simulation.

#![forbid(unsafe_code)]

pub mod effect;
pub mod entry;
pub mod frame;
pub mod hash;
pub mod id;
pub mod int;
pub mod key;
pub mod limits;
pub mod planted;
pub mod position;
pub mod range;
pub mod read;
pub mod stamp;
pub mod time;

pub use effect::{Effect, Effects};
pub use entry::{Change, Entry};
pub use id::DatabaseId;
pub use planted::{Planted, planted};
pub use position::LogPosition;
pub use range::{RangeSet, RangeTombstone};
pub use read::{Malformed, Reader};
pub use stamp::Versionstamp;
pub use time::Timestamp;
