//! Running many seeds on several threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use icecore_sim::mutant_disk::DiskBug;
use icecore_sim::{Totals, Violation, run_seed};

/// Which seeds are to be run, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// The first seed.
    pub(crate) start: u64,
    /// How many.
    pub(crate) seeds: u64,
    /// How many threads.
    pub(crate) threads: usize,
    /// Goes on after a failure.
    pub(crate) keep_going: bool,
    /// Prints failures as they are found.
    pub(crate) verbose: bool,
    /// What is wrong with the disk.
    pub(crate) bug: Option<DiskBug>,
}

/// What the seeds came to.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) totals: Totals,
    /// The seeds that failed, ascending.
    pub(crate) failures: Vec<(u64, Violation)>,
}

impl Search {
    /// Runs the seeds. After a failure, or when the time `is_over`, no further seed is begun, unless
    /// it is to go on after failures.
    pub(crate) fn run(&self, is_over: &(dyn Fn() -> bool + Sync)) -> Found {
        // A panic inside a seed is a finding, reported with its seed.
        std::panic::set_hook(Box::new(|_| {}));
        let next = AtomicU64::new(self.start);
        let end = AtomicU64::new(self.start.saturating_add(self.seeds));
        let found = Mutex::new(Found::default());
        let work = || {
            let mut mine = Found::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end.load(Ordering::Relaxed) || is_over() {
                    break;
                }
                let finished = run_seed(seed, self.bug, false);
                mine.totals += finished.totals;
                if let Some(violation) = finished.violation {
                    if self.verbose {
                        println!(
                            "seed {seed}: {violation}\n  cargo xtask sim --trace --seed {seed}"
                        );
                    }
                    mine.failures.push((seed, violation));
                    if !self.keep_going {
                        end.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            }
            let mut found = found.lock().expect("no thread panics while it adds up");
            found.totals += mine.totals;
            found.failures.extend(mine.failures);
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        let mut found = found.into_inner().expect("no thread panics while it adds up");
        found.failures.sort_by_key(|(seed, _)| *seed);
        found
    }
}
