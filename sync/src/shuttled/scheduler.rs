//! Whose turn it is. Everything follows from the seed of the execution, which replays it.
//!
//! Seeds are of two kinds, half each:
//!
//! - *Even*: a random walk. At each step the thread at hand goes on with a probability that the seed
//!   chooses for the whole execution, from never to nearly always; else any thread has the turn.
//! - *Odd*: probabilistic concurrency testing, after Burckhardt et al. (ASPLOS 2010). Each thread
//!   has a random priority, the highest that can run does, and at a few random steps the one that
//!   runs becomes the lowest. A bug that takes *d* such changes is found with a probability of at
//!   least 1 in *n·kᵈ⁻¹* (*n* threads, *k* steps).
//!
//! Beside that the seed decides how often waits with a time limit time out early, up to a number of
//! times: a thread that waits again and again, and goes before all others, would starve them. No
//! parked thread is woken without a reason: a lost wake-up is a deadlock.

use shuttle::scheduler::{Schedule, Scheduler, Task, TaskId};

use super::time;

/// Dice: SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that begin at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    #[expect(clippy::should_implement_trait, reason = "dice do not end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is small: the bias does not matter here.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of `choices`, of which there is at least one.
    #[expect(clippy::cast_possible_truncation, reason = "it is below a length")]
    pub fn among<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// How threads are chosen in one execution.
#[derive(Debug)]
enum Policy {
    /// The thread at hand goes on in `stay` of 64 cases.
    Walk {
        stay: u64,
    },
    Priorities(Priorities),
}

/// The state of probabilistic concurrency testing.
#[derive(Debug)]
struct Priorities {
    /// By the number of the task.
    of: Vec<u64>,
    /// Below all given so far.
    lowest: u64,
    /// At which steps the thread that runs becomes the lowest.
    changes: Vec<u64>,
    step: u64,
}

/// Initial priorities are above this.
const INITIAL: u64 = 1 << 32;

impl Priorities {
    fn new(dice: &mut Dice) -> Priorities {
        // How long the execution will be is not known: each magnitude is tried.
        let steps = 1 << (5 + dice.below(10));
        let changes = (0..dice.below(6)).map(|_| dice.below(steps)).collect();
        Priorities { of: Vec::new(), lowest: INITIAL, changes, step: 0 }
    }

    fn choose(
        &mut self,
        awake: &[TaskId],
        current: Option<TaskId>,
        is_yielding: bool,
        dice: &mut Dice,
    ) -> TaskId {
        for task in awake {
            while self.of.len() <= usize::from(*task) {
                self.of.push(INITIAL + dice.below(INITIAL));
            }
        }
        if awake.len() > 1 {
            if let Some(current) = current.map(usize::from)
                && current < self.of.len()
                && (is_yielding || self.changes.contains(&self.step))
            {
                self.lowest -= 1;
                self.of[current] = self.lowest;
            }
            self.step += 1;
        }
        let highest = awake.iter().max_by_key(|task| self.of[usize::from(**task)]);
        *highest.expect("a choice among at least one")
    }
}

/// So many waits of an execution may time out although other threads could go on.
const EARLY_MAX: u32 = 64;

/// Runs one execution for each seed that it is given.
pub(super) struct Seeded<S> {
    seeds: S,
    dice: Dice,
    policy: Policy,
    /// The keeper of the time has a turn out of order in one of so many cases; 0 is never.
    early: u64,
    /// How many such turns are left to it.
    early_left: u32,
    /// Before so many more choices there is none, so that not all are spent at the beginning.
    quiet: u32,
    on_step: fn(u64),
    on_begin: fn(u64),
    awake: Vec<TaskId>,
}

impl<S: Iterator<Item = u64>> Seeded<S> {
    /// `on_begin` is told each seed, `on_step` each choice.
    pub(super) fn new(seeds: S, on_begin: fn(u64), on_step: fn(u64)) -> Seeded<S> {
        let policy = Policy::Walk { stay: 0 };
        Seeded {
            seeds,
            dice: Dice(0),
            policy,
            early: 0,
            early_left: 0,
            quiet: 0,
            on_step,
            on_begin,
            awake: Vec::new(),
        }
    }
}

impl<S: Iterator<Item = u64>> Scheduler for Seeded<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        let seed = self.seeds.next()?;
        (self.on_begin)(seed);
        self.dice = Dice::new(seed);
        self.early = self.dice.among(&[0, 1000, 200, 50]);
        self.early_left = EARLY_MAX;
        self.quiet = self.dice.among(&[0, 0, 300, 3_000]);
        self.policy = if seed.is_multiple_of(2) {
            Policy::Walk { stay: self.dice.among(&[0, 32, 56, 62, 63]) }
        } else {
            Policy::Priorities(Priorities::new(&mut self.dice))
        };
        Some(Schedule::new(seed))
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let keeper = time::keeper().map(TaskId::from);
        let (mut keeps, mut stays) = (None, false);
        self.awake.clear();
        for task in runnable.iter().filter(|task| task.runnable()).map(|task| task.id()) {
            if Some(task) == keeper {
                keeps = keeper;
            } else {
                self.awake.push(task);
                stays |= Some(task) == current;
            }
        }
        self.quiet = self.quiet.saturating_sub(1);
        let has_early = self.early > 0 && self.early_left > 0;
        let may_be_early = has_early && self.quiet == 0 && keeps.is_some();
        let is_early = may_be_early && self.dice.below(self.early) == 0;
        self.early_left -= u32::from(is_early);
        if keeps.is_some() && self.awake.is_empty() && !time::is_firing() {
            time::note_idle();
        }
        let chosen = match keeps {
            Some(keeper) if self.awake.is_empty() || time::is_firing() || is_early => keeper,
            _ => match &mut self.policy {
                Policy::Walk { stay } if stays && !is_yielding && self.dice.below(64) < *stay => {
                    current?
                }
                Policy::Walk { .. } => self.dice.among(&self.awake),
                Policy::Priorities(priorities) => {
                    priorities.choose(&self.awake, current, is_yielding, &mut self.dice)
                }
            },
        };
        (self.on_step)(usize::from(chosen) as u64);
        Some(chosen)
    }

    fn next_u64(&mut self) -> u64 {
        self.dice.next()
    }
}
