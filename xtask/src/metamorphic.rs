//! `cargo xtask metamorphic`: long histories on stores of many settings, which must not differ.
//!
//! The piece of work of a thread is one store; all threads work on the same history until none of its
//! stores is left, so that a few histories keep them busy, too. When the time is over, each store
//! stops before its next operation. What it has done counts, the history does not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Args;
use icecore_sim::metamorphic::{Comparison, Course, SETTINGS};
use icecore_sim::{Totals, Violation};

use crate::report::{Budget, Ending, Run, grouped};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// How many histories.
    #[arg(long, default_value_t = 500)]
    histories: u64,
    /// How many operations each has.
    #[arg(long, default_value_t = 5_000)]
    operations: usize,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// Says whether all stores were equal.
pub(crate) fn run(arguments: &Arguments) -> bool {
    // A panic inside a history is a finding, reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let run = arguments.budget.begin();
    let (queue, done) = (Mutex::new(Queue::default()), Mutex::new(Done::default()));
    let work = || {
        while !run.is_over() {
            let Some(piece) = locked(&queue).next(arguments, &run) else { return };
            piece.work(arguments, &run, &done);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(work);
        }
    });
    let Done { totals, histories, failures } =
        done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts = format!(
        "{} histories of {} operations on {SETTINGS} settings, {} operations in all, {} openings, {} \
         commits",
        grouped(histories),
        grouped(arguments.operations as u64),
        grouped(totals.operations),
        grouped(totals.reopenings + totals.recoveries),
        grouped(totals.commits),
    );
    let ending = Ending::of(totals.operations, failures == 0);
    run.conclude("B6", "metamorphic", &counts, &ending)
}

/// What all threads have done.
#[derive(Default)]
struct Done {
    totals: Totals,
    /// Histories whose stores have all been compared.
    histories: u64,
    failures: u64,
}

/// What is left to do.
#[derive(Default)]
struct Queue {
    /// How many histories have begun.
    begun: u64,
    history: Option<Arc<History>>,
    /// The settings of the next store of the history.
    settings: usize,
}

/// A history, and what its stores have shown.
struct History {
    course: Course,
    comparison: Mutex<Comparison>,
}

/// One store of a history.
struct Piece {
    history: Arc<History>,
    settings: usize,
}

impl Queue {
    /// The next store; `None` when all histories have begun and have no more.
    fn next(&mut self, arguments: &Arguments, run: &Run) -> Option<Piece> {
        if self.history.is_none() || self.settings == SETTINGS {
            if self.begun == arguments.histories {
                return None;
            }
            let course = Course::new(run.seed() + self.begun, arguments.operations);
            self.history = Some(Arc::new(History { course, comparison: Mutex::default() }));
            self.begun += 1;
            self.settings = 0;
        }
        let settings = self.settings;
        self.settings += 1;
        Some(Piece { history: Arc::clone(self.history.as_ref()?), settings })
    }
}

impl Piece {
    fn work(&self, arguments: &Arguments, run: &Run, done: &Mutex<Done>) {
        let History { course, comparison } = &*self.history;
        let ran = course.run(self.settings, &|| !run.is_over());
        let mut done = locked(done);
        let compared = ran.and_then(|(totals, seen)| {
            done.totals += totals;
            let mut comparison = locked(comparison);
            seen.map_or(Ok(()), |seen| comparison.add(self.settings, seen))?;
            done.histories += u64::from(comparison.is_complete());
            Ok::<(), Violation>(())
        });
        if let Err(violation) = compared {
            let seed = course.seed();
            println!("seed {seed}: {violation}\n  {}", arguments.replay(seed));
            done.failures += 1;
        }
    }
}

/// No thread panics while it holds one of these locks.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Arguments {
    fn replay(&self, seed: u64) -> String {
        let operations = self.operations;
        format!("cargo xtask metamorphic --histories 1 --operations {operations} --seed {seed}")
    }
}
