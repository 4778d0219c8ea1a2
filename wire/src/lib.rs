//! The bytes of KV Connect, for both ends of it: the server of `icecore-connect`, and the client of
//! `icecore-remote`.
//!
//! A client begins with the [metadata] exchange and learns where the data path is. There it asks
//! with the [messages](message) of the protocol, and gets messages, or, for a watch, a stream of
//! [frames](frame) of them.
//!
//! ```
//! use icecore_wire::message::{ReadRange, SnapshotRead};
//! use prost::Message;
//!
//! let range = ReadRange { start: "a".into(), end: "b".into(), limit: 1, reverse: false };
//! let bytes = SnapshotRead { ranges: vec![range] }.encode_to_vec();
//! assert_eq!(bytes, b"\x0a\x08\x0a\x01a\x12\x01b\x18\x01");
//! # Ok::<(), prost::DecodeError>(())
//! ```
//!
//! Nothing here does I/O, and nothing knows of the store: keys and values are bytes.

#![forbid(unsafe_code)]

pub mod frame;
pub mod message;
pub mod metadata;
pub mod moment;
