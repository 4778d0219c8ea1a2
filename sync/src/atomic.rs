//! Atomics.

pub use crate::imp::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};
pub use std::sync::atomic::Ordering;
