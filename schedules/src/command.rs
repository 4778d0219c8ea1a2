//! The command line: which models, how many schedules, and what is printed.
//!
//! The last line is for the program that started this one: how many models, schedules and steps
//! there were, and how many models failed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
#[cfg(feature = "planted")]
use icecore_model::planted::{Planted, plant};
use icecore_schedules::models::{MODELS, Model};
use icecore_sync::model::{Failure, Walk, explore, seed};

#[derive(Parser)]
struct Arguments {
    /// The most schedules of each model.
    #[arg(long, default_value_t = 1000)]
    schedules: u64,
    /// Nothing new is begun after so many seconds, of which each model has its part.
    #[arg(long)]
    seconds: Option<f64>,
    /// Where the dice begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of so many programs that share the models, this one has the models of its number.
    #[arg(long, default_value_t = 1)]
    programs: usize,
    #[arg(long, default_value_t = 0)]
    program: usize,
    /// Only this model.
    #[arg(long)]
    model: Option<String>,
    /// Only the schedule with this seed of its own, as it was printed.
    #[arg(long, requires = "model")]
    schedule: Option<u64>,
    /// Looks for the bugs that were planted for the models, instead.
    #[cfg(feature = "planted")]
    #[arg(long)]
    planted: bool,
    /// Plants this bug.
    #[cfg(feature = "planted")]
    #[arg(long)]
    bug: Option<String>,
}

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |model: &&Model| arguments.model.as_deref().is_none_or(|m| m == model.name);
    let models = MODELS.iter().filter(wanted).skip(arguments.program);
    let models: Vec<&Model> = models.step_by(arguments.programs.max(1)).collect();
    if models.is_empty() && arguments.program > 0 {
        println!("total 0 0 0 0");
        return ExitCode::SUCCESS;
    }
    if models.is_empty() {
        eprintln!("no model has that name");
        return ExitCode::from(2);
    }
    #[cfg(feature = "planted")]
    if arguments.planted {
        return hunt(&arguments, &models);
    }
    #[cfg(feature = "planted")]
    if let Some(name) = &arguments.bug {
        let Some(bug) = Planted::ALL.iter().find(|bug| format!("{bug:?}") == *name) else {
            eprintln!("no bug has that name");
            return ExitCode::from(2);
        };
        plant(Some(*bug));
    }
    let time = arguments.seconds.map(Duration::from_secs_f64);
    let all_begun = now();
    let (mut schedules, mut steps, mut failed) = (0, 0, 0);
    if arguments.schedule.is_none() && !models.iter().all(|model| repeats(&arguments, model)) {
        return ExitCode::FAILURE;
    }
    for (at, model) in models.iter().enumerate() {
        let begun = now();
        // What the models before have left over is shared by those that follow.
        let left = time.map(|time| time.saturating_sub(all_begun.elapsed()));
        let share = left.map(|left| left.div_f64((models.len() - at) as f64));
        let run = run(&arguments, share, model);
        let walk = run.as_ref().map_or_else(|failure| failure.walk, |walk| *walk);
        let pace = walk.executions as f64 / begun.elapsed().as_secs_f64();
        println!(
            "{}: {} schedules, {} steps each, {pace:.0} schedules/s, trace {:016x}",
            model.name,
            walk.executions,
            walk.steps / walk.executions.max(1),
            walk.trace
        );
        if let Err(failure) = &run {
            failed += 1;
            report(model, failure);
        }
        schedules += walk.executions;
        steps += walk.steps;
    }
    println!("total {} {schedules} {steps} {failed}", models.len());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Schedules of each model that are run twice.
const TWICE: u64 = 3;

/// Whether the same seeds do the same again: the same turns, and the same calls of the disk.
fn repeats(arguments: &Arguments, model: &Model) -> bool {
    let first = arguments.seed;
    let walk = || explore((0..TWICE).map(move |number| seed(first, number)), model.run);
    match (walk(), walk()) {
        // A failure is found again, and reported, by the run.
        (Err(_), _) | (_, Err(_)) => true,
        (Ok(once), Ok(again)) if once == again => true,
        (Ok(once), Ok(again)) => {
            println!("{}: the same seeds do not do the same: {once:?}, {again:?}", model.name);
            false
        }
    }
}

fn report(model: &Model, failure: &Failure) {
    println!("{}: FAILED: {}", model.name, failure.message);
    println!(
        "{}: again with: cargo xtask shuttle --model {} --schedule {}",
        model.name, model.name, failure.seed
    );
}

/// Runs one model as far as the arguments say.
fn run(
    arguments: &Arguments,
    limit: Option<Duration>,
    model: &Model,
) -> Result<Walk, Box<Failure>> {
    if let Some(schedule) = arguments.schedule {
        return explore(std::iter::once(schedule), model.run);
    }
    let begun = now();
    let first = arguments.seed;
    let seeds = (0..arguments.schedules)
        // However short the time is, no model is left out.
        .take_while(move |number| *number == 0 || limit.is_none_or(|limit| begun.elapsed() < limit))
        .map(move |number| seed(first, number));
    explore(seeds, model.run)
}

#[expect(clippy::disallowed_methods, reason = "a search is bounded by real time")]
fn now() -> Instant {
    Instant::now()
}

/// The bugs that are a matter of schedules.
#[cfg(feature = "planted")]
const PREY: &[Planted] = Planted::RACES;

/// Searches each of the planted bugs with all models.
#[cfg(feature = "planted")]
fn hunt(arguments: &Arguments, models: &[&'static Model]) -> ExitCode {
    let parts = (PREY.len() * models.len()) as f64;
    let limit = arguments.seconds.map(|seconds| Duration::from_secs_f64(seconds / parts));
    let (mut survivors, mut schedules, mut steps) = (0, 0, 0);
    for bug in PREY {
        let mut killed = false;
        for model in models {
            plant(Some(*bug));
            let found = run(arguments, limit, model);
            plant(None);
            let walk = found.as_ref().map_or_else(|failure| failure.walk, |walk| *walk);
            schedules += walk.executions;
            steps += walk.steps;
            let Err(failure) = found else { continue };
            if let Err(own) = explore(std::iter::once(failure.seed), model.run) {
                println!("{}: fails without any bug", model.name);
                report(model, &own);
                continue;
            }
            println!(
                "{bug:?}: killed by {} after {} schedules, seed {}: {}",
                model.name,
                failure.walk.executions,
                failure.seed,
                failure.message.lines().next().unwrap_or_default()
            );
            killed = true;
            break;
        }
        if !killed {
            println!("{bug:?}: SURVIVES");
            survivors += 1;
        }
    }
    println!("total {} {schedules} {steps} {survivors}", PREY.len());
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
