//! The fuzz targets about whole stores.
//!
//! They are a crate of their own because libFuzzer looks at every counter of its program after each
//! input: what these programs never call, as the codecs that are compared with others, must not be
//! linked into them.
//!
//! Bytes become structure by [`choices`], and histories of the simulation by `plan`.

#![forbid(unsafe_code)]

pub mod choices;
pub mod dir_mutate;
pub mod engine_crash;
pub mod engine_ops;

mod plan;
