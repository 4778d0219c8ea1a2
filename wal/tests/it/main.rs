//! The log over the simulated disk.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod commit;
mod damage;
mod ending;
mod failure;
mod flights;
mod power;
mod rotation;
mod support;
