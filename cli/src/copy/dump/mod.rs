//! Dumps: one JSON object a line, for people, for `grep`, and to be read back exactly.
//!
//! `docs/dump.md` describes the lines. The first says what it is, the last how much there was, with
//! a hash over all bytes before it.
//!
//! A dump is valid if and only if every line is such an object and no longer than [`LINE_BYTES_MAX`],
//! keys of entries grow, messages come after entries, and the last line has the counts and the hash
//! of those before it, and nothing follows it.

mod line;
mod read;
mod write;

pub(crate) use self::read::DumpSource;
pub(crate) use self::write::DumpSink;

/// The version of the format that is written and read.
const VERSION: u32 = 1;
/// Twice the largest commit of a store: base64 and names need less.
const LINE_BYTES_MAX: usize = 128 << 20;
