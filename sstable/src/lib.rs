//! Immutable sorted tables.
//!
//! A table is one file: data blocks in key order, the deletions of ranges, a filter, an index, the
//! properties and a footer. It is written once, synced, and never changes again.
//!
//! ```
//! use std::sync::Arc;
//! use icecore_disk::sim::{Rules, SimDisk};
//! use icecore_model::{Change, DatabaseId, Entry, Versionstamp};
//! use icecore_sstable::*;
//!
//! let disk = SimDisk::new(1, Rules::none());
//! let database = DatabaseId([7; 16]);
//! let id = TableId { database, number: 1 };
//! let mut writer = TableWriter::create(&*disk, id, &TableOptions::default())?;
//! let change = Change::Put { value: b"core", expires_at: None };
//! writer.add(&Entry { key: b"ice", stamp: Versionstamp::new(3), change })?;
//! let summary = writer.finish()?;
//!
//! let cache = Arc::new(BlockCache::new(8 << 20));
//! let env = TableEnv { read_mode: ReadMode::Mmap, cache, accepted: vec![database] };
//! let table = Arc::new(Table::open(&*disk, &summary, &env)?);
//! let hit = table.get(b"ice", Versionstamp::MAX)?.expect("it was put in");
//! assert_eq!((hit.stamp(), hit.change()), (Versionstamp::new(3), change));
//!
//! let mut cursor = table.cursor(Versionstamp::MAX);
//! cursor.seek_last()?;
//! assert_eq!(cursor.entry().map(|entry| entry.key), Some(&b"ice"[..]));
//! # Ok::<(), icecore_sstable::Error>(())
//! ```
//!
//! - [`error`]: what can go wrong, and where.
//! - [`options`]: how tables are written and read.
//! - [`summary`]: what is known of a table without opening it.
//! - [`writer`]: writes a table.
//! - [`table`]: opens one, and reads points.
//! - [`cursor`]: reads in order, in both directions; [`versions`] reads every version.
//! - [`cache`]: blocks that were costly to make.
//! - [`salvage`]: reads what is left of a damaged table.
//!
//! Inside: `format` is the grammar of the file; `block`, `index`, `filter`, `hash` and `ranges` are
//! the contents of its blocks, `tally` counts entries, `source` and `blocks` bring bytes in and check
//! them, `walk` moves over entries, `verify` reads everything.

#![forbid(unsafe_code)]

pub mod cache;
pub mod cursor;
pub mod error;
pub mod options;
#[doc(hidden)]
pub mod parts;
pub mod salvage;
pub mod summary;
pub mod table;
pub mod versions;
pub mod writer;

mod ahead;
mod block;
mod blocks;
mod filter;
mod format;
mod hash;
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
pub use salvage::{Origins, Remains};
pub use summary::TableSummary;
pub use table::{Hit, Table, WarmStep};
pub use versions::Versions;
pub use writer::TableWriter;
