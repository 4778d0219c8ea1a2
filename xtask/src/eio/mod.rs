//! `cargo xtask eio`: what does a store do when the system refuses a call?
//!
//! A child works on a store while `strace` lets a system call of its fail: one call, or all from one
//! on ([`scenario`]). Then:
//!
//! 1. *Fail-stop*: after a commit whose outcome is unknown, nothing is acknowledged until the store
//!    is opened again, and every error until then says so.
//! 2. Every error is an error of the system, not one of damaged files, and the child ends well.
//! 3. Reads go on and show what was acknowledged, and nothing else.
//! 4. Opened again without errors, the store has all that was acknowledged.
//!
//! One scenario needs no `strace`: tables are cut under a reader that has them mapped.

mod scenario;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Durability, Engine, Mutation, Outcome};
use icecore_sim::dice::Dice;

use self::scenario::{ALL, Fault, Scenario};
use crate::chronicle::batch::Origin;
use crate::chronicle::child::PROBES;
use crate::chronicle::event::Event;
use crate::chronicle::model::Chronicle;
use crate::chronicle::settings::settings;
use crate::chronicle::teller::{Next, Teller};
use crate::mounts::{self, Failure};
use crate::report::{Budget, Ending, grouped};

/// Nothing that a child does takes so long, also when it is watched.
const HANG: Duration = Duration::from_secs(60);

/// So many commits a child does, if it can.
const COMMITS: u64 = 300;

/// Points that are tried for each that is wanted: a run may make fewer calls than thought.
const TRIES: u64 = 10;

/// How much.
#[derive(Args)]
pub(crate) struct Arguments {
    /// At how many points each scenario is tried.
    #[arg(long, default_value_t = 3)]
    points: u64,
    /// Only the scenarios whose names contain this.
    #[arg(long)]
    only: Option<String>,
    #[command(flatten)]
    budget: Budget,
}

/// What a run of a child came to.
#[derive(Debug, Default)]
struct Heard {
    /// Errors that it told of.
    errors: u64,
    /// Commits that were refused because one before them had failed.
    refused: u64,
    acknowledged: u64,
}

/// Says whether every scenario held.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let traced = mounts::has_tool("strace") && mounts::has_tool("setpriv");
    let (mut held, mut skipped, mut violated) = (0, 0, false);
    let (mut points, mut errors, mut acknowledged) = (0, 0, 0);
    let named = |s: &&Scenario| arguments.only.as_ref().is_none_or(|part| s.name.contains(part));
    for (number, scenario) in (0..).zip(ALL).filter(|(_, scenario)| named(scenario)) {
        if run.is_over() || (!traced && scenario.is_traced()) {
            skipped += 1;
            continue;
        }
        let seed = run.seed() + 1_000_000 * number;
        match try_points(scenario, seed, arguments.points) {
            Ok(all) => {
                held += 1;
                points += all.len() as u64;
                errors += all.iter().map(|heard| heard.errors).sum::<u64>();
                acknowledged += all.iter().map(|heard| heard.acknowledged).sum::<u64>();
            }
            Err(failure) => {
                violated = true;
                println!("{}: {failure}", scenario.name);
                let (seed, name) = (run.seed(), scenario.name);
                println!("replay: cargo xtask eio --seed {seed} --only {name:?}");
            }
        }
    }
    let why = if traced { "no time" } else { "no strace" };
    let rest = if skipped > 0 { format!(", {skipped} skipped: {why}") } else { String::new() };
    let counts = format!(
        "{held} scenarios held at {points} points, {} errors told, {} acknowledged commits{rest}",
        grouped(errors),
        grouped(acknowledged)
    );
    let ending = match (violated, held) {
        (true, _) => Ending::Violated,
        (false, 0) => Ending::Skipped(format!("every scenario: {why}")),
        (false, _) => Ending::Held,
    };
    run.conclude("B12", "eio", &counts, &ending)
}

/// Tries a scenario until its fault has struck at so many points.
fn try_points(scenario: &Scenario, seed: u64, points: u64) -> Result<Vec<Heard>, Failure> {
    let mut all = Vec::new();
    for seed in (seed..).take(usize::try_from(points * TRIES)?) {
        if all.len() as u64 == points {
            break;
        }
        let tried = try_once(scenario, seed);
        all.extend(tried.map_err(|failure| format!("store {seed}: {failure}"))?);
    }
    if all.is_empty() { Err("its fault never struck".into()) } else { Ok(all) }
}

/// One child and its fault. `None` if the fault did not strike.
fn try_once(scenario: &Scenario, seed: u64) -> Result<Option<Heard>, Failure> {
    let directory = tempfile::tempdir()?;
    let (store, trace) = (directory.path().join("store"), directory.path().join("trace"));
    let dice = Dice::new(seed);
    let origin = scenario.origin(seed);
    let mut command = scenario.command(&store, &trace, origin, &dice);
    command.arg(format!("--commits={COMMITS}"));
    let mut chronicle = Chronicle::new(seed);
    let heard = listen(scenario, Teller::start(command)?, &mut chronicle)?;
    let struck = match scenario.fault {
        Fault::Call { .. } => mounts::read_text(&trace)?.contains("(INJECTED)"),
        Fault::CutTables => true,
    };
    if scenario.fault != Fault::CutTables {
        verify(&store, origin, &mut chronicle)?;
    }
    if struck && heard.errors == 0 && scenario.must_tell {
        return Err("the fault has struck, and nobody was told".into());
    }
    if struck && scenario.stops_commits() && heard.refused < PROBES as u64 {
        return Err("no commit can be durable, and the store has not stopped".into());
    }
    Ok(struck.then_some(heard))
}

/// Without faults, all that was acknowledged is there, and commits go on.
fn verify(store: &Path, origin: Origin, chronicle: &mut Chronicle) -> Result<(), Failure> {
    let engine = Engine::open_path(store, settings(Origin { life: origin.life + 500, ..origin }))
        .map_err(|e| format!("it cannot be opened without faults: {e}"))?;
    chronicle.verify(&engine)?;
    let last = Mutation::Set { key: &[DATA, 0xff], value: b"last", expires_at: None };
    let batch = Batch { checks: &[], mutations: &[last] };
    match engine.commit_with(batch, Durability::Sync) {
        Ok(Outcome::Committed(_)) => {}
        other => return Err(format!("it takes no commit without faults: {other:?}").into()),
    }
    engine.close().map_err(|e| format!("it cannot be closed without faults: {e}"))?;
    Ok(())
}

/// Hears a child to its end.
fn listen(
    scenario: &Scenario,
    mut child: Teller,
    chronicle: &mut Chronicle,
) -> Result<Heard, Failure> {
    let mut heard = Heard::default();
    loop {
        match child.next(HANG)? {
            Next::Event(event) => {
                chronicle.note(&event)?;
                heard.refused += u64::from(is_refusal(&event));
                if let Some(error) = error_of(&event) {
                    heard.errors += 1;
                    if !scenario.allows(&error) {
                        return Err(format!("an error of the wrong kind: {event}").into());
                    }
                }
            }
            Next::Silence => return Err("a child hangs".into()),
            Next::End => break,
        }
    }
    let status = child.wait()?;
    heard.acknowledged = chronicle.durable();
    if status.success() { Ok(heard) } else { Err(format!("a child ended with {status}").into()) }
}

/// The kind of error that an event tells of.
fn error_of(event: &Event) -> Option<String> {
    match event {
        Event::Failed { kind, .. } | Event::Trouble { kind, .. } => Some(kind.clone()),
        Event::Unopened { error } => Some(error.split(':').next().unwrap_or("").to_owned()),
        _ => None,
    }
}

/// Whether a commit was refused because one before it had failed.
fn is_refusal(event: &Event) -> bool {
    matches!(event, Event::Failed { kind, .. } if kind == "Poisoned")
}
