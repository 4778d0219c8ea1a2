//! Many small examinations on several threads, until the time is over or one of them fails.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use icecore_sim::Totals;
use icecore_sim::dice::Dice;

use crate::report::Run;

/// How the examinations are shared out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool<'a> {
    pub(super) run: &'a Run,
    pub(super) threads: usize,
    /// Goes on after a failure.
    pub(super) keep_going: bool,
    /// How often all items are gone through.
    pub(super) rounds: u64,
}

/// What they came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) totals: Totals,
    /// How many items were examined, each counted once however often that was.
    pub(super) items: u64,
    /// How many times all of them were.
    pub(super) rounds: u64,
    pub(super) failures: u64,
}

impl Pool<'_> {
    /// Calls `examine` with each of `items`, the number of the round and its seed; a failure is what
    /// to print.
    pub(super) fn work<T: Sync>(
        &self,
        items: &[T],
        examine: impl Fn(&T, u64, u64) -> Result<Totals, String> + Sync,
    ) -> Done {
        let next = AtomicU64::new(0);
        let failed = AtomicBool::new(false);
        let sum = Mutex::new(Done::default());
        let count = items.len() as u64;
        let take = || {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let ends = failed.load(Ordering::Relaxed) && !self.keep_going;
            let round = n.checked_div(count)?;
            (!ends && !self.run.is_over() && round < self.rounds).then_some((n % count, round))
        };
        let work = || {
            while let Some((n, round)) = take() {
                let item = &items[usize::try_from(n).expect("it is below the number of items")];
                let result = examine(item, round, self.run.seed().wrapping_add(round));
                let mut sum = sum.lock().expect("no thread panics while it adds up");
                sum.items += 1;
                match result {
                    Ok(totals) => sum.totals += totals,
                    Err(message) => {
                        println!("{message}");
                        sum.failures += 1;
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        let done = sum.into_inner().expect("no thread panics while it adds up");
        let rounds = done.items.checked_div(count).unwrap_or(0);
        Done { items: done.items.min(count), rounds, ..done }
    }
}

/// Puts `items` into an order of chance, so that a search that ends early has met all kinds of them.
pub(super) fn shuffle<T>(items: &mut [T], seed: u64) {
    let dice = Dice::new(seed);
    for n in (1..items.len()).rev() {
        items.swap(n, dice.below(n + 1));
    }
}
