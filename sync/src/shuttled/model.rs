//! Runs a closure, and all threads that it starts through this crate, under a seeded scheduler.
//!
//! ```text
//! let seeds = (0..1000).map(|number| model::seed(run_seed, number));
//! model::explore(seeds, || {
//!     // Threads of `icecore_sync::shuttle::thread`, and the store with its own.
//! })?;
//! ```
//!
//! The closure begins and ends with no other thread running: it joins what it starts. It must be
//! deterministic: no time but [`now`], no chance but a seeded one, no addresses, no hash maps of
//! `std` that are walked. Then a seed is a schedule, and [`explore`] with that seed alone replays
//! it.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::scheduler::{Dice, Seeded};
use super::time;

/// More than an execution over a store takes, by far: one that takes more spins.
const STEPS_MAX: usize = 2_000_000;

/// The deepest calls are those of a flush inside of a commit.
const STACK_BYTES: usize = 512 << 10;

std::thread_local! {
    static WALK: Cell<Walk> = const { Cell::new(Walk { seed: 0, executions: 0, steps: 0, trace: 0 }) };
}

/// What a run has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The seed of the last execution.
    pub seed: u64,
    /// How many have begun.
    pub executions: u64,
    /// How often it was decided whose turn it is, in all of them.
    pub steps: u64,
    /// A hash of all these decisions.
    pub trace: u64,
}

/// A schedule under which the closure failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed that replays it.
    pub seed: u64,
    /// What the panic said, or which threads waited for each other.
    pub message: String,
    /// All that was run, the failing execution included.
    pub walk: Walk,
}

/// The seed of the execution `number` of a run.
#[must_use]
pub fn seed(run: u64, number: u64) -> u64 {
    // Half of each kind, whatever the dice say.
    Dice::new(run ^ number.rotate_left(32)).next() & !1 | (number & 1)
}

/// The time since the execution began. It goes on only when a wait times out.
#[must_use]
pub fn now() -> Duration {
    time::now()
}

/// Lets other threads have a turn, here and now: for what is to be a point of decision and has no
/// lock or atomic, like a call of the disk.
pub fn turn() {
    // Outside of an execution there is nobody else.
    if time::keeper().is_some() {
        shuttle::thread::sleep(Duration::ZERO);
    }
}

/// Runs `body` once for each of `seeds`, until one fails.
///
/// # Errors
/// The first failure.
pub fn explore(
    seeds: impl Iterator<Item = u64> + 'static,
    body: impl Fn() + Send + Sync + 'static,
) -> Result<Walk, Box<Failure>> {
    WALK.set(Walk { seed: 0, executions: 0, steps: 0, trace: 0xcbf2_9ce4_8422_2325 });
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    let runner = Runner::new(Seeded::new(seeds, begin, step), config);
    let execution = move || {
        let keeper = time::start();
        body();
        time::end(keeper);
    };
    let run = catch_unwind(AssertUnwindSafe(|| runner.run(execution)));
    time::reset();
    let walk = WALK.get();
    match run {
        Ok(_) => Ok(walk),
        Err(panic) => Err(Box::new(Failure { seed: walk.seed, message: message(&*panic), walk })),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

fn begin(seed: u64) {
    time::reset();
    let walk = WALK.get();
    WALK.set(Walk { seed, executions: walk.executions + 1, ..walk });
}

fn step(task: u64) {
    let walk = WALK.get();
    let trace = (walk.trace ^ task).wrapping_mul(0x0100_0000_01b3);
    WALK.set(Walk { steps: walk.steps + 1, trace, ..walk });
}
