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

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::scheduler::Seeded;
use super::time;

pub use super::scheduler::Dice;

/// More than an execution over a store takes, by far: one that takes more spins.
const STEPS_MAX: usize = 2_000_000;

/// The deepest calls are those of a flush inside of a commit.
const STACK_BYTES: usize = 512 << 10;

std::thread_local! {
    /// While a model runs, what the last panic said.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
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
    /// A hash of all these decisions, and of what was [noted](note).
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

/// The seed of the execution at hand: for dice of its own.
#[must_use]
pub fn current() -> u64 {
    WALK.get().seed
}

/// How often, in the execution at hand, every thread waited and a time limit was all that could end
/// it. Where nothing is to be waited for by time, this is a wake-up that was lost.
#[must_use]
pub fn idles() -> u64 {
    time::idles()
}

/// The time since the execution began. It goes on only when a wait times out.
#[must_use]
pub fn now() -> Duration {
    time::now()
}

/// Mixes something that the execution has done into the trace of the [walk](Walk::trace).
pub fn note(hash: u64) {
    mix(hash);
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
///
/// # Panics
/// When the system gives no thread.
#[expect(
    clippy::disallowed_methods,
    reason = "what a failed execution leaves ends with its thread"
)]
pub fn explore(
    seeds: impl Iterator<Item = u64> + Send + 'static,
    body: impl Fn() + Send + Sync + 'static,
) -> Result<Walk, Box<Failure>> {
    let explorer = std::thread::spawn(|| explore_here(seeds, body));
    explorer.join().expect("an explorer catches the panics of its executions")
}

fn explore_here(
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
    PANIC.set(Some(String::new()));
    listen();
    let run = catch_unwind(AssertUnwindSafe(|| runner.run(execution)));
    time::reset();
    let walk = WALK.get();
    let message = PANIC.take().unwrap_or_default();
    match run {
        Ok(_) => Ok(walk),
        Err(_) => Err(Box::new(Failure { seed: walk.seed, message, walk })),
    }
}

/// Keeps what panics say while a model runs, instead of printing it: the last one is the failure.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| match PANIC.take() {
            // Shuttle's own, which it raises once the execution has stopped.
            Some(said) if !said.is_empty() && is_early_return(info) => PANIC.set(Some(said)),
            Some(_) => PANIC.set(Some(info.to_string().replace('\n', " "))),
            None => print(info),
        }));
    });
}

fn is_early_return(info: &PanicHookInfo<'_>) -> bool {
    info.payload_as_str().is_some_and(|text| text.contains("early return is enabled"))
}

fn begin(seed: u64) {
    time::reset();
    let walk = WALK.get();
    WALK.set(Walk { seed, executions: walk.executions + 1, ..walk });
}

fn step(task: u64) {
    mix(task);
    let walk = WALK.get();
    WALK.set(Walk { steps: walk.steps + 1, ..walk });
}

fn mix(number: u64) {
    let walk = WALK.get();
    WALK.set(Walk { trace: (walk.trace ^ number).wrapping_mul(0x0100_0000_01b3), ..walk });
}
