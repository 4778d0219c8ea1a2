//! `cargo xtask shuttle`: the whole store under a seeded scheduler of its threads.
//!
//! The models are in the crate `icecore-schedules`, and in a build of their own, which this starts:
//! there, locks, atomics and threads are those of the scheduler. A schedule that fails is printed
//! with the command that lets it happen again.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use clap::Args;

use crate::report::{Budget, Ending, grouped};

/// Where the build goes: other builds have other flags, and would undo it.
const TARGET: &str = "target/shuttle";

/// What is to be run.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// The most schedules of each model; as many as the time allows, if that is bounded.
    #[arg(long)]
    schedules: Option<u64>,
    /// Only this model.
    #[arg(long)]
    model: Option<String>,
    /// Only this schedule of the model, as it was printed.
    #[arg(long, requires = "model")]
    schedule: Option<u64>,
    /// Looks for bugs that were planted, instead.
    #[arg(long)]
    planted: bool,
}

/// Schedules of each model when neither their number nor the time is given.
const SCHEDULES: u64 = 1_000;

/// Says whether everything held.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let built = cargo("build").status();
    if !built.as_ref().is_ok_and(std::process::ExitStatus::success) {
        println!("the models were not built: {built:?}");
        return false;
    }
    // Building takes minutes the first time, and is not what the time is given for.
    let run = arguments.budget.begin();
    let (schedules, seconds) = match (arguments.schedules, arguments.budget.seconds()) {
        (schedules, Some(seconds)) => (schedules.unwrap_or(u64::MAX), Some(seconds)),
        (schedules, None) => (schedules.unwrap_or(SCHEDULES), None),
    };
    let mut words = vec![format!("--seed={}", run.seed()), format!("--schedules={schedules}")];
    for (name, value) in [("--seconds", seconds), ("--schedule", arguments.schedule)] {
        words.extend(value.map(|value| format!("{name}={value}")));
    }
    words.extend(arguments.model.as_ref().map(|model| format!("--model={model}")));
    words.extend(arguments.planted.then(|| "--planted".to_owned()));
    let is_shared = arguments.model.is_none() && !arguments.planted;
    let counted = match run_programs(&words, if is_shared { cores() } else { 1 }) {
        Ok(counted) => counted,
        Err(error) => {
            println!("the models cannot be run: {error}");
            return false;
        }
    };
    let Some([models, schedules, steps, failed]) = counted else {
        println!("the models have ended before their time");
        return false;
    };
    let ending = Ending::of(if arguments.planted { models } else { schedules }, failed == 0);
    let (id, name, counts) = if arguments.planted {
        let counts = format!("{models} bugs planted, {failed} not found");
        ("B3", "shuttle-planted", counts)
    } else {
        let counts =
            format!("{models} models, {} schedules, {} steps", grouped(schedules), grouped(steps));
        ("B16", "shuttle", counts)
    };
    run.conclude(id, name, &counts, &ending)
}

/// Cargo, with the flags of the models.
fn cargo(task: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args([task, "--quiet", "--release", "--package", "icecore-schedules"]);
    command.args(["--features", "planted", "--target-dir", TARGET]);
    command.env("RUSTFLAGS", "--cfg shuttle").env("RUST_BACKTRACE", "0");
    command.env_remove("CARGO_ENCODED_RUSTFLAGS");
    command
}

/// How many programs share the models: a program runs all its threads on one core.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs the models in so many programs, passes on what they print, and gives the sums of their last
/// lines; nothing if one of them has none.
fn run_programs(words: &[String], programs: usize) -> io::Result<Option<[u64; 4]>> {
    let mut outputs = Vec::new();
    for program in 0..programs {
        let mut command = cargo("run");
        command.arg("--").args(words);
        command.args([format!("--programs={programs}"), format!("--program={program}")]);
        outputs.push(command.stdout(Stdio::piped()).spawn()?);
    }
    let mut sums = Some([0; 4]);
    let ended: Vec<_> = std::thread::scope(|scope| {
        let listeners = outputs.into_iter().map(|child| scope.spawn(|| listen(child)));
        let listeners: Vec<_> = listeners.collect();
        listeners.into_iter().map(|l| l.join().expect("a listener does not panic")).collect()
    });
    for counted in ended {
        let added =
            |(sums, counted): ([u64; 4], [u64; 4])| std::array::from_fn(|i| sums[i] + counted[i]);
        sums = sums.zip(counted?).map(added);
    }
    Ok(sums)
}

/// Passes on what a program prints, and gives the numbers of its last line.
fn listen(mut child: Child) -> io::Result<Option<[u64; 4]>> {
    let mut counted = None;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            match line.strip_prefix("total ") {
                Some(numbers) => counted = parse(numbers),
                None => println!("{line}"),
            }
        }
    }
    child.wait()?;
    Ok(counted)
}

fn parse(numbers: &str) -> Option<[u64; 4]> {
    let numbers: Option<Vec<u64>> = numbers.split(' ').map(|n| n.parse().ok()).collect();
    numbers?.try_into().ok()
}
