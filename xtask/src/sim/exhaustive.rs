//! B1: every script is stopped at every operation.

use icecore_sim::exhaust::{Effort, Exam, Finding};
use icecore_sim::script::Script;

use super::pool::{Done, Pool, shuffle};
use super::{Arguments, percent, tell};
use crate::report::{Ending, Run, grouped};

/// An operation of a script.
struct Point<'a> {
    script: &'a Script,
    operation: u64,
}

pub(super) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let scripts = arguments.scripts();
    if scripts.is_empty() {
        println!("no script has such a name");
        return false;
    }
    let thorough = arguments.thorough;
    if let Some(operation) = arguments.at {
        return scripts.iter().all(|script| {
            let exam = Exam { script, effort: effort(arguments, thorough), seed: run.seed() };
            replay(arguments, &exam, operation)
        });
    }
    let mut points = match points(&scripts, run.seed()) {
        Ok(points) => points,
        Err(message) => {
            println!("{message}");
            return run.conclude("B1", "sim", "nothing was examined", &Ending::Violated);
        }
    };
    shuffle(&mut points, run.seed());
    let (threads, keep_going) = (arguments.threads, arguments.keep_going);
    let repeats = arguments.thorough && arguments.budget.is_bounded();
    let rounds = if repeats { u64::MAX } else { 1 };
    let done =
        Pool { run: &run, threads, keep_going, rounds }.work(&points, |point, round, seed| {
            // Every operation comes first, and more of each then.
            let thorough = arguments.thorough && (round > 0 || !repeats);
            let exam = Exam { script: point.script, effort: effort(arguments, thorough), seed };
            exam.stop_at(point.operation).map_err(|found| tell_how(thorough, &exam, &found))
        });
    println!("{}", done.totals);
    conclude(&run, &scripts, points.len() as u64, arguments.depth, &done)
}

fn effort(arguments: &Arguments, thorough: bool) -> Effort {
    let effort = if thorough { Effort::SOAK } else { Effort::GATE };
    Effort { depth: arguments.depth, ..effort }
}

/// All operations of all scripts.
fn points(scripts: &[Script], seed: u64) -> Result<Vec<Point<'_>>, String> {
    let mut points = Vec::new();
    for script in scripts {
        let operations =
            Exam { script, effort: Effort::GATE, seed }.operations().map_err(|v| v.to_string())?;
        points.extend((0..operations).map(|operation| Point { script, operation }));
    }
    Ok(points)
}

/// What was found, and the command that shows it again.
fn tell_how(thorough: bool, exam: &Exam<'_>, found: &Finding) -> String {
    let Finding { operation, chain, violation } = found;
    let (name, seed) = (exam.script.name, exam.seed);
    let thorough = if thorough { " --thorough" } else { "" };
    let crash = chain.as_ref().map(|chain| format!(" --crash {chain}")).unwrap_or_default();
    format!(
        "{name}, stopped at {operation}: {violation}\n  cargo xtask sim --exhaustive{thorough} \
         --depth {} --only {name:?} --at {operation}{crash} --seed {seed}",
        exam.effort.depth
    )
}

fn replay(arguments: &Arguments, exam: &Exam<'_>, operation: u64) -> bool {
    let what = format!("{}, stopped at {operation},", exam.script.name);
    match &arguments.crash {
        Some(chain) => tell(&what, exam.replay(operation, chain)),
        None => {
            let found = exam.stop_at(operation);
            if let Err(found) = &found {
                println!("{}", tell_how(arguments.thorough, exam, found));
            }
            tell(&what, found.map_err(|found| found.violation))
        }
    }
}

fn conclude(run: &Run, scripts: &[Script], points: u64, depth: u32, done: &Done) -> bool {
    let counts = format!(
        "{} images of {} scripts, {} of {} operations, depth {}",
        grouped(done.totals.recoveries),
        scripts.len(),
        percent(done.items, points),
        grouped(points),
        depth,
    );
    let rounds = if done.rounds > 1 { format!(", {} times", done.rounds) } else { String::new() };
    let ending = if done.failures == 0 { Ending::Held } else { Ending::Violated };
    run.conclude("B1", "sim", &format!("{counts}{rounds}"), &ending)
}
