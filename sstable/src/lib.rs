//! Immutable sorted tables.
//!
//! A table is one file: data blocks in key order, the deletions of ranges, a filter, an index, the
//! properties and a footer. It is written once, synced, and never changes again.
//!
//! - [`error`]: what can go wrong, and where.
//! - [`options`]: how tables are written and read.
//! - [`summary`]: what is known of a table without opening it.
//! - [`writer`]: writes a table.
//! - [`table`]: opens one, and reads points.
//! - [`cursor`]: reads in order, in both directions; [`versions`] reads every version.
//! - [`cache`]: blocks that were costly to make.
//!
//! Inside: `format` is the grammar of the file; `block`, `index`, `filter` and `ranges` are the
//! contents of its blocks, `tally` counts entries, `source` and `blocks` bring bytes in and check
//! them, `walk` moves over entries, `verify` reads everything.

#![forbid(unsafe_code)]

pub mod cache;
pub mod cursor;
pub mod error;
pub mod options;
pub mod summary;
pub mod table;
pub mod versions;
pub mod writer;

mod block;
mod blocks;
mod filter;
mod format;
mod index;
mod ranges;
mod source;
mod tally;
mod verify;
mod walk;

pub use cache::BlockCache;
pub use cursor::Cursor;
pub use error::Error;
pub use options::{Compression, ReadMode, TableEnv, TableId, TableOptions};
pub use summary::TableSummary;
pub use table::{Hit, Table};
pub use versions::Versions;
pub use writer::TableWriter;
