//! The client of KV Connect: a store that is elsewhere, in a server of Icecore, a `denokv`, or Deno
//! Deploy. It speaks in the messages of `icecore-wire`; what they mean to a program is a matter of
//! the crate `icecore`.
//!
//! ```no_run
//! use icecore_remote::{Client, Consistency, Settings};
//! use icecore_wire::message::{ReadRange, SnapshotRead};
//!
//! let client = Client::open(Settings::new("https://db.example", "the access token"))?;
//! let range = ReadRange { start: "\x02a\0".into(), end: "\x02b\0".into(), limit: 9, reverse: false };
//! let read = SnapshotRead { ranges: vec![range] };
//! let answer = client.snapshot_read(read, Consistency::Strong).wait()?;
//! println!("{} entries", answer.ranges[0].values.len());
//! # Ok::<(), icecore_remote::Error>(())
//! ```
//!
//! From the caller to the wire: `client` (what there is to call), `pending` (how a caller waits),
//! `worker` (the thread that works), `call` (which calls are sent again, and which never), `watch`
//! (streams that are taken up again), `session` (the metadata exchange), `post` (one request and
//! its answer), `connection` and `tls`, `address` (what the parts of an URL say).

#![forbid(unsafe_code)]

mod address;
mod backoff;
mod call;
mod client;
mod connection;
mod error;
mod pending;
mod post;
mod session;
mod settings;
mod tls;
mod watch;
mod worker;

pub use client::Client;
pub use error::{Error, ErrorKind};
pub use pending::Pending;
pub use session::Consistency;
pub use settings::Settings;
pub use watch::Watching;
