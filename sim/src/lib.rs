//! The whole engine on a simulated disk, against a model.
//!
//! A *history* is a list of operations drawn from a seed: commits, reads, background work, clock
//! jumps, errors of the disk, and stops of the machine at any operation of the disk, recovery included.
//! The *oracle* knows what the store must hold at every stamp. After each operation, the answers are
//! compared; after each stop, the store must open and show a prefix of the commits that
//! contains everything promised.
//!
//! The engine runs in one thread and does its background work when it is told to, so that the same
//! seed always gives the same trace.
//!
//! - [`model`]: the oracle.
//! - [`history`]: operations as values; [`mod@batch`]: commits as values.
//! - [`generate`]: random histories; [`script`]: written ones.
//! - [`world`]: a store, its machine and its oracle. `perform`, `commits`, `reads`, `follow`, `upkeep`
//!   and `revive` carry out operations and hold the invariants.
//! - [`search`]: one seed after the other; [`minimise`]: what of a failing history is needed.
//! - [`exhaust`]: crashes at every point; `blow`: what a machine suffers then. [`failures`]:
//!   failing calls at every point; [`trouble`]: how a call fails.
//! - [`mutant_disk`]: bugs on purpose, together with those of [`icecore_model::planted`](mod@icecore_model::planted).
//!
//! ```
//! let finished = icecore_sim::run_seed(4711, None, false);
//! assert!(finished.violation.is_none());
//! ```
//!
//! What it does not show: races between threads, which the models under loom are for, and what real
//! file systems do beyond the fault model of [`icecore_disk::sim`].

#![forbid(unsafe_code)]

mod adversity;
pub mod batch;
mod blow;
mod commits;
mod demand;
pub mod dice;
pub mod exhaust;
pub mod failures;
mod follow;
pub mod generate;
mod harm;
pub mod history;
pub mod minimise;
pub mod model;
pub mod mutant_disk;
mod perform;
mod reads;
mod revive;
pub mod script;
pub mod search;
mod suffer;
pub mod totals;
pub mod trouble;
mod upkeep;
pub mod violation;
pub mod world;

pub use follow::REPLICAS;
pub use generate::History;
pub use search::{Finished, run_part, run_seed};
pub use totals::Totals;
pub use violation::Violation;
pub use world::World;
