//! The messages of KV Connect's data path, package `com.deno.kv.datapath`.
//!
//! They are kept by hand: fifteen small messages need no generator in the build. Numbers of fields
//! and of variants are those of the protocol and never change. Enumerations are plain integers
//! here, so that a number that is not known can be told from one that is.
//!
//! Keys are in Deno's encoding of their parts, versionstamps are ten bytes, big-endian.

use bytes::Bytes;
use prost::Message;

/// How values are encoded.
pub mod encoding {
    /// A value of JavaScript, in V8's format.
    pub const V8: i32 = 1;
    /// A number in eight bytes, little-endian: `Deno.KvU64`.
    pub const LE64: i32 = 2;
    /// The bytes themselves.
    pub const BYTES: i32 = 3;
}

/// What a mutation does.
pub mod mutation_type {
    /// Gives the key the value.
    pub const SET: i32 = 1;
    /// Makes the key absent.
    pub const DELETE: i32 = 2;
    /// Adds the value to what the key holds.
    pub const SUM: i32 = 3;
    /// Gives the key the larger of both numbers.
    pub const MAX: i32 = 4;
    /// Gives the key the smaller of both numbers.
    pub const MIN: i32 = 5;
    /// Gives the value to the key with the versionstamp of the write as one part more.
    pub const SET_SUFFIX_VERSIONSTAMPED_KEY: i32 = 9;
}

/// What became of an atomic write.
pub mod write_status {
    /// It took effect.
    pub const SUCCESS: i32 = 1;
    /// A check did not hold, and nothing took effect.
    pub const CHECK_FAILURE: i32 = 2;
    /// Nothing is written here.
    pub const WRITE_DISABLED: i32 = 5;
}

/// What became of a read.
pub mod read_status {
    /// It was carried out.
    pub const SUCCESS: i32 = 1;
    /// Nothing is read here.
    pub const READ_DISABLED: i32 = 2;
}

/// Reads of several ranges, all of one moment.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotRead {
    /// The ranges.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<ReadRange>,
}

/// The keys in `[start, end)`.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRange {
    /// The first key that is read.
    #[prost(bytes = "bytes", tag = "1")]
    pub start: Bytes,
    /// The first key that is not read any more.
    #[prost(bytes = "bytes", tag = "2")]
    pub end: Bytes,
    /// How many entries at most; at least one.
    #[prost(int32, tag = "3")]
    pub limit: i32,
    /// Whether the last entries are wanted first.
    #[prost(bool, tag = "4")]
    pub reverse: bool,
}

/// The answer to a [`SnapshotRead`]; numbers 3, 5, 6 and 7 are reserved.
#[derive(Clone, PartialEq, Message)]
pub struct SnapshotReadOutput {
    /// One for each range of the request, in its order.
    #[prost(message, repeated, tag = "1")]
    pub ranges: Vec<ReadRangeOutput>,
    /// What clients of versions 1 and 2 look at.
    #[prost(bool, tag = "2")]
    pub read_disabled: bool,
    /// Whether everything was seen that was committed before the read.
    #[prost(bool, tag = "4")]
    pub read_is_strongly_consistent: bool,
    /// What clients of version 3 look at: a [`read_status`].
    #[prost(int32, tag = "8")]
    pub status: i32,
}

/// The entries of one range.
#[derive(Clone, PartialEq, Message)]
pub struct ReadRangeOutput {
    /// The entries, in the order that was asked for. Fewer than the limit say that there are no
    /// more.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KvEntry>,
}

/// One entry.
#[derive(Clone, PartialEq, Message)]
pub struct KvEntry {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// The value.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The [`encoding`] of the value.
    #[prost(int32, tag = "3")]
    pub encoding: i32,
    /// The versionstamp of the commit that set it.
    #[prost(bytes = "bytes", tag = "4")]
    pub versionstamp: Bytes,
}

/// Checks, mutations and messages that take effect together or not at all.
#[derive(Clone, PartialEq, Message)]
pub struct AtomicWrite {
    /// What has to hold.
    #[prost(message, repeated, tag = "1")]
    pub checks: Vec<Check>,
    /// What is changed.
    #[prost(message, repeated, tag = "2")]
    pub mutations: Vec<Mutation>,
    /// What is sent.
    #[prost(message, repeated, tag = "3")]
    pub enqueues: Vec<Enqueue>,
}

/// Only if the key has this versionstamp; none for an absent key.
#[derive(Clone, PartialEq, Message)]
pub struct Check {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Ten bytes, or none.
    #[prost(bytes = "bytes", tag = "2")]
    pub versionstamp: Bytes,
}

/// One change.
#[derive(Clone, PartialEq, Message)]
pub struct Mutation {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// The value, for all but deletions.
    #[prost(message, optional, tag = "2")]
    pub value: Option<KvValue>,
    /// A [`mutation_type`].
    #[prost(int32, tag = "3")]
    pub mutation_type: i32,
    /// When a value that is set expires, in milliseconds since the beginning of 1970; 0 for never.
    #[prost(int64, tag = "4")]
    pub expire_at_ms: i64,
    /// The least that a sum may be, as a value of V8; empty for none.
    #[prost(bytes = "bytes", tag = "5")]
    pub sum_min: Bytes,
    /// The most that a sum may be, as a value of V8; empty for none.
    #[prost(bytes = "bytes", tag = "6")]
    pub sum_max: Bytes,
    /// Whether a sum beyond these becomes the nearer of them.
    #[prost(bool, tag = "7")]
    pub sum_clamp: bool,
}

/// A value and how it is encoded.
#[derive(Clone, PartialEq, Message)]
pub struct KvValue {
    /// The value.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: Bytes,
    /// Its [`encoding`].
    #[prost(int32, tag = "2")]
    pub encoding: i32,
}

/// A message to the queue.
#[derive(Clone, PartialEq, Message)]
pub struct Enqueue {
    /// A value in V8's format.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// When it is ready, in milliseconds since the beginning of 1970.
    #[prost(int64, tag = "2")]
    pub deadline_ms: i64,
    /// Where the payload goes when the last attempt has failed.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub keys_if_undelivered: Vec<Bytes>,
    /// The waits before further attempts, in milliseconds; none stand for the usual ones.
    #[prost(uint32, repeated, tag = "4")]
    pub backoff_schedule: Vec<u32>,
}

/// The answer to an [`AtomicWrite`]; number 3 is reserved.
#[derive(Clone, PartialEq, Message)]
pub struct AtomicWriteOutput {
    /// A [`write_status`].
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// Of what was written; empty if nothing was.
    #[prost(bytes = "bytes", tag = "2")]
    pub versionstamp: Bytes,
    /// Which checks did not hold, by their places in the request.
    #[prost(uint32, repeated, tag = "4")]
    pub failed_checks: Vec<u32>,
}

/// Keys to be watched.
#[derive(Clone, PartialEq, Message)]
pub struct Watch {
    /// The keys.
    #[prost(message, repeated, tag = "1")]
    pub keys: Vec<WatchKey>,
}

/// One of them.
#[derive(Clone, PartialEq, Message)]
pub struct WatchKey {
    /// The key.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
}

/// One frame of a watch: all keys, in the order of the request.
#[derive(Clone, PartialEq, Message)]
pub struct WatchOutput {
    /// A [`read_status`].
    #[prost(int32, tag = "1")]
    pub status: i32,
    /// The states of the keys.
    #[prost(message, repeated, tag = "2")]
    pub keys: Vec<WatchKeyOutput>,
}

/// The state of one watched key; changed without an entry is an absent key.
#[derive(Clone, PartialEq, Message)]
pub struct WatchKeyOutput {
    /// Whether anything is said of the key.
    #[prost(bool, tag = "1")]
    pub changed: bool,
    /// Its entry, if it is present.
    #[prost(message, optional, tag = "2")]
    pub entry_if_changed: Option<KvEntry>,
}
