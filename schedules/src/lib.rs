//! The whole store under a seeded scheduler: all threads, of the store and of its callers, in an
//! order that one number decides.
//!
//! Built with `RUSTFLAGS="--cfg shuttle"` only; `cargo xtask shuttle` does that. Any other build of
//! this crate is empty.
//!
//! - `disk`: a disk at whose calls threads may change.
//! - `machine`: a simulated machine with a store on it, in the time of the model.
//! - `history`: what was committed and what was read, and whether that fits one order of commits.
//! - `cast`: what the threads of a model do.
//! - `callers`: the same for the crate `icecore`, and its watchers, followers and receivers.
//! - `models`: who plays with whom, and what must hold at the end.
//!
//! To run any closure over a store in this way:
//!
//! ```text
//! use icecore_schedules::machine::Machine;
//! use icecore_sync::{model, shuttle::thread};
//!
//! let seeds = (0..1000).map(|number| model::seed(17, number));
//! model::explore(seeds, || {
//!     let machine = Machine::new(model::current());
//!     let kv = icecore::Kv::builder_in(machine.env()).open().unwrap();
//!     let other = kv.clone();
//!     let thread = thread::spawn(move || other.set(key!["a"], 1));
//!     // ... and at the end no thread is left:
//!     thread.join().unwrap().unwrap();
//!     kv.close().unwrap();
//! })?;
//! ```
//!
//! An `Err` holds the seed of the schedule that failed; `model::explore` with this seed alone does
//! exactly the same again.

#![cfg(shuttle)]

pub mod callers;
pub mod cast;
pub mod disk;
pub mod history;
pub mod machine;
pub mod models;
