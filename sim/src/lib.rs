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
//!   and `revive` carry out operations and hold the invariants; `adversity`, `harm` and `suffer` bring
//!   rivals, full disks and damage at rest; `demand` says what may be asked of a store after what
//!   its disk has done.
//! - [`search`]: one seed after the other; [`minimise`]: what of a failing history is needed.
//! - [`exhaust`]: crashes at every point; `blow`: what a machine suffers then. [`failures`]:
//!   failing calls at every point; [`trouble`]: how a call fails. [`rot`]: damage at rest after scripts.
//! - [`metamorphic`]: the same history under many settings.
//! - [`mutant_disk`]: bugs on purpose, together with those of [`icecore_model::planted`](mod@icecore_model::planted).
//!
//! # Which function holds which invariant
//!
//! The numbers are those of `docs/crash-safety.md`. All are methods of [`World`].
//!
//! - I1 opens: `admit` (errors that have a cause are retried without it), `audit` in `revive`; on a
//!   disk that broke its word, `audit_warily` and `give_up` say what is left to demand (`demand`).
//! - I2 durability, I3 atomicity, I4 prefix: `promised` and `find_end`; `find_any_end` when promises
//!   cannot be kept.
//! - I5 disentangle: `open_harmed` in `suffer`, with `Harm::is_provable`.
//! - I6 stability: `recover_a_copy` in `adversity`, and every life after a recovery.
//! - I7 stamps: `commit` (none comes again, in any life), `audit` (the store goes on above all).
//! - I8 no resurrection: every comparison with [`model::Model::state`], which knows the sweeper's
//!   mark; `move_clock` moves the clock by years in both directions.
//! - I9 serialisable: `commit`, `told` and `show_failure`, against [`model::Model::resolve`].
//! - I10 snapshots: `check_snapshots`.
//! - I11 queues, I12 watches: not here but in the tests of the crate `icecore`; changes since a
//!   stamp: `follow`.
//! - I13 no leaks: `take_inventory` in `upkeep`, and `check_nothing_is_open`.
//! - I14 idempotent recovery: `recover_a_copy`, `compare_reopened`, `compare_look`, `finish`.
//! - I15 fail-stop: `check_fail_stop` and `commit`; `unread` lets no read fail for it.
//! - I16 full disk: `resume`, after [`history::Op::Space`] with reads, snapshots and reopenings.
//! - I17 the check: `audit_fully` (clean when it must be), `check_harmed` (and only then).
//! - The lock (L1): `rival`.
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
pub mod metamorphic;
pub mod minimise;
pub mod model;
pub mod mutant_disk;
mod perform;
mod profile;
mod reads;
mod revive;
pub mod rot;
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
