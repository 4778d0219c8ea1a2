//! What the fuzz targets do with their input.
//!
//! Each module is one target: a function of any bytes that must return. A binary of libFuzzer
//! (`fuzz/fuzz_targets`) is nothing but a call of it, and so is the test that replays the seeds
//! with any toolchain.
//!
//! Every target asserts that there is no panic, and its own properties, which its header lists. The
//! decoders' targets assert as well that memory follows the input ([`allocation`]).
//!
//! - The log: [`wal_frames`], [`wal_tail`].
//! - Tables: [`sst_open`], [`block_decode`], [`index_filter`], [`compress`].
//! - What is stored: [`key_codec`], [`v8_value`]; and [`manifest`], which says in which files.
//! - The whole store, in a crate of their own: [`engine_ops`], [`engine_crash`], [`dir_mutate`].
//! - The server: [`kvconnect_pb`], [`http_request`].
//!
//! Bytes become structure by [`choices`]. Where a format has checksums, the target puts the right
//! ones in, because no fuzzer guesses them.

pub mod allocation;
pub mod block_decode;
pub mod compress;
pub mod http_request;
pub mod index_filter;
pub mod key_codec;
pub mod kvconnect_pb;
pub mod manifest;
pub mod sst_open;
pub mod v8_value;
pub mod wal_frames;
pub mod wal_tail;

mod served;
mod wal_image;

pub use icecore_fuzz_stores::{choices, dir_mutate, engine_crash, engine_ops};

/// A target: its name, and what it does with its input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets, in the order of the layers that they are about.
pub const TARGETS: [Target; 14] = [
    ("wal_frames", wal_frames::run),
    ("wal_tail", wal_tail::run),
    ("manifest", manifest::run),
    ("sst_open", sst_open::run),
    ("block_decode", block_decode::run),
    ("index_filter", index_filter::run),
    ("compress", compress::run),
    ("key_codec", key_codec::run),
    ("v8_value", v8_value::run),
    ("engine_ops", engine_ops::run),
    ("engine_crash", engine_crash::run),
    ("dir_mutate", dir_mutate::run),
    ("kvconnect_pb", kvconnect_pb::run),
    ("http_request", http_request::run),
];
