//! The disks, seen through the seam.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod fault;
mod foreign;
mod lock;
mod memory;
mod real;
mod record;
mod simulated;
mod unreadable;
