//! Recent commits in memory: every version of every key, in order.
//!
//! One [`Inserter`] applies commits while any number of readers look keys up and walk the order,
//! without locks. Everything lies in chunks drawn from an [`ArenaPool`] and goes back there when
//! the memtable and all values handed out from it are gone.
//!
//! ```
//! use icecore_memtable::{ArenaPool, create};
//! use icecore_model::{Change, Effect, Effects, Versionstamp};
//!
//! # fn main() -> Result<(), icecore_model::Malformed> {
//! let pool = ArenaPool::new(256 << 10, 16);
//! let (memtable, mut inserter) = create(&pool);
//!
//! let mut effects = Vec::new();
//! let change = Change::Put { value: b"milk", expires_at: None };
//! Effect::Point { key: b"shopping", change }.encode(&mut effects);
//! let stamp = Versionstamp::new(7);
//! inserter.apply(stamp, Effects::new(&effects), Versionstamp::ZERO)?;
//!
//! let hit = memtable.get(b"shopping", stamp).expect("it was just applied");
//! assert_eq!((hit.stamp(), hit.change()), (stamp, change));
//! assert!(memtable.get(b"shopping", Versionstamp::new(6)).is_none());
//! # Ok(())
//! # }
//! ```
//!
//! - `table`: the memtable and its inserter.
//! - `cursor`: walks along the order.
//! - `list`: the keys in order; `pages`: where in the order a key is; `index`: from the hash of a
//!   key to the key; `node`: one key; `chain`: its versions; `ranges`: deletions of ranges.
//! - `record`: records and links in the arena; `arena`: the memory. All `unsafe` code is in
//!   these two.

#![deny(unsafe_code)]

mod ahead;
mod arena;
mod chain;
mod cursor;
mod index;
mod list;
mod node;
mod pages;
mod ranges;
mod record;
mod table;

pub use arena::{ArenaPool, CHUNK_BYTES_MIN, PoolUse};
pub use cursor::{Cursor, Versions};
pub use table::{Hit, Inserter, Memtable, PIN_BYTES_MIN, create};
