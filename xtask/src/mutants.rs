//! `cargo xtask mutants`: does the simulation notice bugs that were made on purpose?
//!
//! Each bug is switched on by itself. Then random histories are searched, and scripts are put through
//! crashes, failures and damage at every point, until something fails that holds without the bug.

use clap::Args;

use crate::report::Budget;

/// How far each bug is searched for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The first seed for each bug; 0 if it is left out.
    #[command(flatten)]
    budget: Budget,
    /// The most seeds for each bug.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// How many threads.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only the bugs whose names contain this.
    #[arg(long)]
    only: Option<String>,
}

#[cfg(feature = "planted")]
pub(crate) use hunt::run;

#[cfg(feature = "planted")]
mod hunt {
    use std::fmt;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use icecore_model::planted::{Planted, plant};
    use icecore_sim::exhaust::every_crash;
    use icecore_sim::failures::Victim;
    use icecore_sim::mutant_disk::DiskBug;
    use icecore_sim::rot::{every_provable_loss, every_rot};
    use icecore_sim::script::{self, Script};
    use icecore_sim::trouble::TROUBLES;
    use icecore_sim::{Totals, Violation, run_seed};

    use super::Arguments;
    use crate::report::{Ending, Run, grouped};
    use crate::search::Search;

    /// A bug to be found.
    #[derive(Clone, Copy)]
    enum Prey {
        Disk(DiskBug),
        Engine(Planted),
    }

    /// How a bug was found.
    enum Kill {
        /// By so many seeds.
        Seeds(u64),
        Script,
    }

    /// So many seeds come before the scripts, and all others after them: seeds are cheaper.
    const FIRST_SEEDS: u64 = 2_500;

    /// A hunt that takes so long is worth a line.
    const SLOW: Duration = Duration::from_secs(5);

    impl Prey {
        fn all() -> impl Iterator<Item = Prey> {
            let disk = DiskBug::ALL.into_iter().map(Prey::Disk);
            disk.chain(Planted::ALL.iter().copied().map(Prey::Engine))
        }

        fn disk_bug(self) -> Option<DiskBug> {
            if let Prey::Disk(bug) = self { Some(bug) } else { None }
        }

        /// The examination, by its place in [`EXAMS`], and the script in which it shows first, if random
        /// histories meet it too seldom. It is only a matter of time: nothing else is left out.
        fn haunt(self) -> Option<(usize, &'static str)> {
            let Prey::Engine(bug) = self else { return None };
            match bug {
                Planted::DurableUnnoted | Planted::BeaconsLeftOut | Planted::EndNotMissed => {
                    Some((0, "commits one by one"))
                }
                Planted::CeilingUnwritten => Some((2, "more commits than a segment has stamps")),
                Planted::UndurableSweepTrusted => Some((2, "sweeps that are not durable")),
                Planted::OpenedOverUnsyncedNames => Some((4, "commits one by one")),
                Planted::RoomMadeEarly => Some((4, "no room for a compaction")),
                _ => None,
            }
        }

        /// Runs `run` with the bug.
        fn planted<T>(self, run: impl FnOnce() -> T) -> T {
            if let Prey::Engine(bug) = self {
                plant(Some(bug));
            }
            let result = run();
            plant(None);
            result
        }
    }

    impl fmt::Display for Prey {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Prey::Disk(bug) => write!(f, "{bug:?}"),
                Prey::Engine(bug) => write!(f, "{bug:?}"),
            }
        }
    }

    /// Says whether every bug was found. The time is not obeyed: a bug that is not found within its
    /// seeds and the scripts survives, however long that takes.
    pub(crate) fn run(arguments: &Arguments) -> bool {
        let run = arguments.budget.begin_at(arguments.budget.seed().or(Some(0)));
        let wanted = |prey: &Prey| {
            arguments.only.as_ref().is_none_or(|part| prey.to_string().contains(part))
        };
        let prey: Vec<_> = Prey::all().filter(wanted).collect();
        if prey.is_empty() {
            println!("no bug has such a name");
            return false;
        }
        // A panic in the store is one way to notice a bug.
        std::panic::set_hook(Box::new(|_| {}));
        let mut kills = Vec::new();
        for prey in &prey {
            let begun = run.elapsed();
            kills.extend(hunt(arguments, &run, *prey));
            let took = run.elapsed() - begun;
            if took >= SLOW {
                println!("{prey}: hunted for {} s", took.as_secs());
            }
        }
        let counts = format!("{} of {} bugs killed, {}", kills.len(), prey.len(), by_what(&kills));
        let ending = Ending::of(prey.len() as u64, kills.len() == prey.len());
        run.conclude("B3", "mutants", &counts, &ending)
    }

    fn by_what(kills: &[Kill]) -> String {
        let seeds = |kill: &Kill| if let Kill::Seeds(seeds) = kill { Some(*seeds) } else { None };
        let mut seeds: Vec<u64> = kills.iter().filter_map(seeds).collect();
        seeds.sort_unstable();
        let median = seeds.get(seeds.len() / 2).copied().unwrap_or(0);
        let most = seeds.last().copied().unwrap_or(0);
        format!(
            "{} by random histories (median {} seeds, at most {}), {} by scripts",
            seeds.len(),
            grouped(median),
            grouped(most),
            kills.len() - seeds.len()
        )
    }

    fn hunt(arguments: &Arguments, run: &Run, prey: Prey) -> Option<Kill> {
        let first = arguments.seeds.min(FIRST_SEEDS);
        let found = hunt_where_it_haunts(arguments, prey)
            .or_else(|| hunt_in_seeds(arguments, run, prey, 0..first))
            .or_else(|| hunt_in_scripts(arguments, prey))
            .or_else(|| hunt_in_seeds(arguments, run, prey, first..arguments.seeds));
        if found.is_none() {
            println!("{prey}: SURVIVES {} seeds and all scripts", arguments.seeds);
        }
        found
    }

    /// Searches until a history fails that holds without the bug.
    fn hunt_in_seeds(
        arguments: &Arguments,
        run: &Run,
        prey: Prey,
        range: std::ops::Range<u64>,
    ) -> Option<Kill> {
        let (threads, bug) = (arguments.threads, prey.disk_bug());
        let mut next = range.start;
        while next < range.end {
            let (start, seeds) = (run.seed() + next, range.end - next);
            let search = Search { start, seeds, threads, keep_going: false, verbose: false, bug };
            let found = prey.planted(|| search.run(&|| false));
            let (seed, violation) = found.failures.first()?;
            if run_seed(*seed, None, false).violation.is_none() {
                println!("{prey}: killed by seed {seed}: {violation}");
                return Some(Kill::Seeds(seed - run.seed() + 1));
            }
            println!("seed {seed} fails without any bug: see `cargo xtask sim --seed {seed}`");
            next = seed - run.seed() + 1;
        }
        None
    }

    /// What a script is put through, given what is wrong with the disk.
    type Exam = fn(&Script) -> Result<Totals, Violation>;

    /// The cheapest come first.
    const EXAMS: [Exam; 5] = [
        every_provable_loss,
        every_rot,
        |script| Victim::Script(script).fail_each(TROUBLES[0]),
        |script| Victim::Script(script).fail_each(TROUBLES[1]),
        every_crash,
    ];

    /// The one script that is known to meet the bug.
    fn hunt_where_it_haunts(arguments: &Arguments, prey: Prey) -> Option<Kill> {
        let (exam, name) = prey.haunt()?;
        let scripts = script::all();
        let scripts = scripts.iter().filter(|script| script.name == name).collect();
        hunt_in(arguments, prey, scripts, EXAMS[exam])
    }

    /// What no random history has met may still fail a script that holds without the bug.
    fn hunt_in_scripts(arguments: &Arguments, prey: Prey) -> Option<Kill> {
        // The scripts run on the plain simulated disk.
        let scripts = if prey.disk_bug().is_none() { script::all() } else { Vec::new() };
        let scripts: Vec<&Script> = scripts.iter().collect();
        EXAMS.iter().find_map(|exam| hunt_in(arguments, prey, scripts.clone(), *exam))
    }

    /// Examines scripts until one fails that holds without the bug.
    fn hunt_in(
        arguments: &Arguments,
        prey: Prey,
        mut scripts: Vec<&Script>,
        exam: Exam,
    ) -> Option<Kill> {
        while let Some((at, violation)) = prey.planted(|| first_failure(arguments, &scripts, exam))
        {
            match exam(scripts[at]) {
                Ok(_) => {
                    println!("{prey}: killed by a script: {violation}");
                    return Some(Kill::Script);
                }
                Err(own) => println!("a script fails without any bug: {own}"),
            }
            scripts.remove(at);
        }
        None
    }

    /// The first script that fails.
    fn first_failure(
        arguments: &Arguments,
        scripts: &[&Script],
        exam: Exam,
    ) -> Option<(usize, Violation)> {
        let next = AtomicUsize::new(0);
        let failures = Mutex::new(Vec::new());
        let failed = || failures.lock().expect("no thread panics while it adds one");
        let work = || {
            while failed().is_empty() {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(script) = scripts.get(at) else { return };
                if let Err(violation) = exam(script) {
                    failed().push((at, violation));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..arguments.threads.max(1) {
                scope.spawn(work);
            }
        });
        let failures = failures.into_inner().expect("no thread panics while it adds one");
        failures.into_iter().min_by_key(|(at, _)| *at)
    }
}

/// Bugs are planted only in a build of its own, which this one starts with the same words.
#[cfg(not(feature = "planted"))]
pub(crate) fn run(_arguments: &Arguments) -> bool {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["run", "--release", "--package", "xtask", "--features", "planted", "--"]);
    command.args(std::env::args_os().skip(1));
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot start the build with planted bugs: {error}");
            false
        }
    }
}
