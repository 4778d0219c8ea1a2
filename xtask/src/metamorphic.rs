//! `cargo xtask metamorphic`: long histories on stores of many settings, which must not differ.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use icecore_sim::Totals;
use icecore_sim::metamorphic::{SETTINGS, compare};

use crate::report::{Budget, Ending, grouped};

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
    let next = AtomicU64::new(0);
    let sum = Mutex::new((Totals::default(), true));
    let work = || {
        while !run.is_over() {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= arguments.histories {
                return;
            }
            let seed = run.seed() + n;
            let compared = compare(seed, arguments.operations);
            let mut sum = sum.lock().expect("no thread panics while it adds up");
            match compared {
                Ok(totals) => sum.0 += totals,
                Err(violation) => {
                    println!("seed {seed}: {violation}\n  {}", arguments.replay(seed));
                    sum.1 = false;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(work);
        }
    });
    let (totals, held) = sum.into_inner().expect("no thread panics while it adds up");
    let counts = format!(
        "{} histories of {} operations on {SETTINGS} settings, {} openings, {} commits",
        grouped(totals.seeds),
        grouped(arguments.operations as u64),
        grouped(totals.reopenings + totals.recoveries),
        grouped(totals.commits),
    );
    let ending = if held { Ending::Held } else { Ending::Violated };
    run.conclude("B6", "metamorphic", &counts, &ending)
}

impl Arguments {
    fn replay(&self, seed: u64) -> String {
        let operations = self.operations;
        format!("cargo xtask metamorphic --histories 1 --operations {operations} --seed {seed}")
    }
}
