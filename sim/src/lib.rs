//! The whole engine on a simulated disk, against a model.

#![forbid(unsafe_code)]

pub mod batch;
pub mod dice;
pub mod exhaust;
pub mod generate;
pub mod history;
pub mod model;
pub mod mutant_disk;
mod perform;
mod revive;
pub mod script;
pub mod search;
pub mod totals;
pub mod violation;
pub mod world;

pub use generate::History;
pub use search::{Finished, run_seed};
pub use totals::Totals;
pub use violation::Violation;
pub use world::World;
