//! The crate as its users see it.

#![expect(clippy::unwrap_used, reason = "a test that fails should say where")]

mod atomic;
mod expiry;
mod feed;
mod limits;
mod machine;
mod paging;
mod queue;
mod reads;
mod visit;
mod watch;
