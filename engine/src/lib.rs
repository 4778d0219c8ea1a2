//! The storage engine: it joins log, memtable and tables into one store.
//!
//! The write path can be walked from [`Engine::commit`] down: [`batch`] (what a caller asks for),
//! `commit` (checks, effects, stamp), `resolve` (mutations become effects), then the log and the
//! memtable. The read path starts at [`Engine::get`]: `epoch` (pinning a view), `view` (the sources
//! by age), `levels` (tables). Scans go through `scan`, `merge` and `source`; [`changes`] since a
//! stamp, too. Whoever wants to hear of commits uses [`observe`].
//!
//! What keeps the store in shape: `flush`, `compact`, `expiry`, `worker` (threads), `stall`
//! (pacing writers). What makes it survive: `manifest` (which files count), `open` (recovery);
//! [`salvage`](mod@salvage) is for what did not.

pub mod batch;
pub mod changes;
pub mod check;
pub mod commit;
pub mod engine;
pub mod error;
pub mod keyspace;
pub mod observe;
pub mod options;
#[doc(hidden)]
pub mod parts;
pub mod salvage;
pub mod scan;
pub mod snapshot;
pub mod stats;
pub mod worker;

mod checkpoint;
mod compact;
mod convert;
mod core;
mod epoch;
mod expiry;
mod flush;
mod levels;
mod manifest;
mod merge;
mod open;
mod pace;
mod resolve;
mod roster;
mod source;
mod stall;
mod view;

pub use batch::{Batch, Check, Current, Mutation, Outcome, UpdateFn, Updated};
pub use changes::{ChangedItem, Changes, DeletedRange};
pub use check::CheckReport;
pub use commit::CommitFuture;
pub use core::Environment;
pub use engine::{Engine, Record};
pub use error::{Error, ErrorKind};
pub use icecore_sstable::{Compression, ReadMode, TableOptions};
pub use icecore_wal::{Durability, LogOptions, LogStats};
pub use observe::{Observation, Observer, Touched};
pub use options::{Access, Create, Options, Workers};
pub use salvage::{
    SalvageDamage, SalvageLoss, SalvagePhase, SalvageProgress, SalvageReport, salvage, salvage_path,
};
pub use scan::{Item, Keys, Scan, Seen};
pub use snapshot::Snapshot;
pub use stats::{LevelStats, Stats};
pub use worker::Step;
