//! `cargo xtask sim`: the store on the simulated disk.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use clap::Args;
use icecore_sim::{Totals, run_seed};

/// What is to be simulated.
#[derive(Args)]
pub(crate) struct Arguments {
    /// How many random histories.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The seed of the first one.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Runs only this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: prints the operations.
    #[arg(long)]
    trace: bool,
}

/// Says whether all went well.
pub(crate) fn run(arguments: &Arguments) -> bool {
    match arguments.seed {
        Some(seed) => replay(seed, arguments.trace),
        None => search(arguments),
    }
}

fn replay(seed: u64, trace: bool) -> bool {
    let finished = run_seed(seed, None, trace);
    for line in &finished.lines {
        println!("{line}");
    }
    println!("seed {seed}: trace hash {:016x}; {}", finished.trace_hash, finished.totals);
    match &finished.violation {
        Some(violation) => println!("seed {seed} fails: {violation}"),
        None => println!("seed {seed} holds"),
    }
    finished.violation.is_none()
}

fn search(arguments: &Arguments) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicU64::new(arguments.start);
    let end = arguments.start + arguments.seeds;
    let failed = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    let work = || {
        let mut mine = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end || (failed.load(Ordering::Relaxed) && !arguments.keep_going) {
                break;
            }
            let finished = run_seed(seed, None, false);
            mine += finished.totals;
            if let Some(violation) = finished.violation {
                failed.store(true, Ordering::Relaxed);
                println!("seed {seed}: {violation}\n  cargo xtask sim --trace --seed {seed}");
            }
        }
        *totals.lock().expect("no thread panics while it adds up") += mine;
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(work);
        }
    });
    println!("{}", totals.into_inner().expect("no thread panics while it adds up"));
    !failed.into_inner()
}
