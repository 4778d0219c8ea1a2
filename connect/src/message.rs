//! The messages of KV Connect's data path, package `com.deno.kv.datapath`.
//!
//! They are kept by hand: fifteen small messages need no generator in the build. Numbers of fields
//! and of variants are those of the protocol and never change. Enumerations are plain integers
//! here, so that a number that is not known can be told from one that is.

use bytes::Bytes;
use prost::Message;

/// How values are encoded.
pub(crate) mod encoding {
    pub(crate) const V8: i32 = 1;
    pub(crate) const LE64: i32 = 2;
    pub(crate) const BYTES: i32 = 3;
}

/// What a mutation does.
pub(crate) mod mutation_type {
    pub(crate) const SET: i32 = 1;
    pub(crate) const DELETE: i32 = 2;
    pub(crate) const SUM: i32 = 3;
    pub(crate) const MAX: i32 = 4;
    pub(crate) const MIN: i32 = 5;
    pub(crate) const SET_SUFFIX_VERSIONSTAMPED_KEY: i32 = 9;
}

/// What became of an atomic write.
pub(crate) mod write_status {
    pub(crate) const SUCCESS: i32 = 1;
    pub(crate) const CHECK_FAILURE: i32 = 2;
    pub(crate) const WRITE_DISABLED: i32 = 5;
}

/// What became of a read.
pub(crate) const SR_SUCCESS: i32 = 1;

/// Reads of several ranges, all of one moment.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotRead {
    #[prost(message, repeated, tag = "1")]
    pub(crate) ranges: Vec<ReadRange>,
}

/// The keys in `[start, end)`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadRange {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) start: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) end: Bytes,
    #[prost(int32, tag = "3")]
    pub(crate) limit: i32,
    #[prost(bool, tag = "4")]
    pub(crate) reverse: bool,
}

/// The answer to a [`SnapshotRead`]; numbers 3, 5, 6 and 7 are reserved.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SnapshotReadOutput {
    #[prost(message, repeated, tag = "1")]
    pub(crate) ranges: Vec<ReadRangeOutput>,
    /// What clients of versions 1 and 2 look at.
    #[prost(bool, tag = "2")]
    pub(crate) read_disabled: bool,
    #[prost(bool, tag = "4")]
    pub(crate) read_is_strongly_consistent: bool,
    /// What clients of version 3 look at.
    #[prost(int32, tag = "8")]
    pub(crate) status: i32,
}

/// The entries of one range.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReadRangeOutput {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<KvEntry>,
}

/// One entry.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KvEntry {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
    #[prost(int32, tag = "3")]
    pub(crate) encoding: i32,
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) versionstamp: Bytes,
}

/// Checks, mutations and messages that take effect together or not at all.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AtomicWrite {
    #[prost(message, repeated, tag = "1")]
    pub(crate) checks: Vec<Check>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) mutations: Vec<Mutation>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) enqueues: Vec<Enqueue>,
}

/// Only if the key has this versionstamp; none for an absent key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Check {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) versionstamp: Bytes,
}

/// One change.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mutation {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<KvValue>,
    #[prost(int32, tag = "3")]
    pub(crate) mutation_type: i32,
    #[prost(int64, tag = "4")]
    pub(crate) expire_at_ms: i64,
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) sum_min: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) sum_max: Bytes,
    #[prost(bool, tag = "7")]
    pub(crate) sum_clamp: bool,
}

/// A value and how it is encoded.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KvValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) data: Bytes,
    #[prost(int32, tag = "2")]
    pub(crate) encoding: i32,
}

/// A message to the queue.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Enqueue {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
    #[prost(int64, tag = "2")]
    pub(crate) deadline_ms: i64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) keys_if_undelivered: Vec<Bytes>,
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) backoff_schedule: Vec<u32>,
}

/// The answer to an [`AtomicWrite`]; number 3 is reserved.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AtomicWriteOutput {
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) versionstamp: Bytes,
    /// Which checks did not hold, by their places in the request.
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) failed_checks: Vec<u32>,
}

/// Keys to be watched.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Watch {
    #[prost(message, repeated, tag = "1")]
    pub(crate) keys: Vec<WatchKey>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchKey {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) key: Bytes,
}

/// One frame of a watch: all keys, in the order of the request.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchOutput {
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
    #[prost(message, repeated, tag = "2")]
    pub(crate) keys: Vec<WatchKeyOutput>,
}

/// The state of one watched key; changed without an entry is an absent key.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchKeyOutput {
    #[prost(bool, tag = "1")]
    pub(crate) changed: bool,
    #[prost(message, optional, tag = "2")]
    pub(crate) entry_if_changed: Option<KvEntry>,
}
