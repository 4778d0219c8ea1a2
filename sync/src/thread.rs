//! Threads.

pub use crate::imp::thread::{Builder, JoinHandle, Thread, ThreadId, current, park};
pub use std::thread::Result;

/// A small number that the calling thread keeps for its life, to spread threads over slots.
///
/// In a model of loom it is 0 for all threads: that is the case with the most interleavings.
#[inline]
pub fn number() -> usize {
    crate::imp::thread_number()
}
