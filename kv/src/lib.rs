//! Icecore: an embedded, log-structured, versionstamped key-value store. This crate is its face.
//!
//! Keys are lists of parts, ordered part by part. Every value carries the versionstamp of the
//! commit that set it, and an [atomic operation](Atomic) takes effect only if the versionstamps
//! that it checks still hold:
//!
//! ```
//! use icecore::{Commit, Error, Kv, Versionstamp, key, prefix};
//!
//! fn transfer(kv: &Kv, from: &str, to: &str, amount: u64) -> Result<Versionstamp, Error> {
//!     assert_ne!(from, to, "a transfer has two accounts");
//!     loop {
//!         // Both of one moment.
//!         let [a, b] = kv.get_many([key!["account", from], key!["account", to]])?;
//!         let rest = a.u64()?.checked_sub(amount).expect("the example does not overdraw");
//!         let outcome = kv
//!             .atomic()
//!             .check(&a)
//!             .check(&b)
//!             .set(key!["account", from], rest)
//!             .set(key!["account", to], b.u64()? + amount)
//!             .commit()?;
//!         match outcome {
//!             Commit::Done { versionstamp } => return Ok(versionstamp),
//!             Commit::CheckFailed { .. } => continue, // Somebody moved first: read again.
//!         }
//!     }
//! }
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("ledger.icecore");
//! let kv = Kv::open(path)?;
//! kv.set(key!["account", "alice"], 100)?;
//! kv.set(key!["account", "bob"], 20)?;
//! let versionstamp = transfer(&kv, "alice", "bob", 30)?;
//!
//! let mut sum = 0;
//! for entry in kv.list(prefix!["account"]) {
//!     let entry = entry?;
//!     assert_eq!(entry.versionstamp, Some(versionstamp));
//!     sum += entry.u64()?;
//! }
//! assert_eq!(sum, 120);
//! kv.close()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! A commit returns when it survives a power cut, unless [`Durability::Buffered`] is asked for:
//! then it survives the end of the process.

#![forbid(unsafe_code)]

mod atomic;
mod below;
mod builder;
mod check;
mod children;
mod cursor;
mod entry;
mod error;
mod expiry;
mod feed;
#[cfg(doctest)]
mod guide;
mod javascript;
mod key;
mod keys;
mod kv;
mod lent;
mod limits;
mod list;
mod literal;
mod mutation;
mod outcome;
mod queue;
mod read;
#[cfg(feature = "remote")]
mod remote;
mod selector;
mod signal;
mod snapshot;
mod store;
#[cfg(feature = "stream")]
mod stream;
mod sum;
mod value;
mod walk;
mod watch;
mod weigh;

pub use atomic::Atomic;
pub use below::{
    Durability, Environment, Int, LevelStats, LogStats, ParseStampError, Part, Stats, Versionstamp,
};
pub use builder::Builder;
pub use bytes::Bytes;
pub use check::CheckReport;
pub use children::Children;
pub use entry::Entry;
pub use error::{Error, ErrorKind};
pub use expiry::Expiry;
pub use feed::{Event, Feed, KeyRange};
pub use key::{IntoPart, Key};
pub use keys::Keys;
pub use kv::Kv;
pub use lent::{EntryRef, KeyRef, ValueRef};
pub use limits::{Limit, Limits};
pub use list::{Consistency, List};
pub use literal::ParseKeyError;
pub use mutation::Mutation;
pub use outcome::{Commit, Pending};
pub use queue::{
    Enqueue, ListenOptions, Listener, Message, MessageId, Queue, Receive, Settle, Waiting,
};
pub use selector::Selector;
pub use signal::Canceller;
pub use snapshot::Snapshot;
pub use store::Capabilities;
#[cfg(feature = "stream")]
pub use stream::{FeedStream, WatchStream};
pub use sum::SumRange;
pub use value::Value;
pub use watch::Watch;

/// The examples of the README are tested with those of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
