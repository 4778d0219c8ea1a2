//! Rounds of stages of peers.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::compare::arguments::Arguments;
use crate::compare::child::Ending;
use crate::compare::figure::Figure;
use crate::compare::machine::Machine;
use crate::compare::report::{self, Settings};
use crate::compare::stages::{Part, STAGES, Stage, Task};
use crate::compare::store::Peer;
use crate::compare::{Result, child, process, row, table};

/// Where the report is written if nothing else is said.
const REPORT: &str = "compare-report";

/// Runs what the arguments ask for, prints the table and writes the report. Tells whether nothing
/// failed.
///
/// # Errors
/// When the arguments make no sense, or files cannot be written.
pub fn run(arguments: &Arguments) -> Result<bool> {
    let (rows, peers) = (arguments.rows()?, arguments.peers()?);
    let place = arguments.dir.clone().unwrap_or_else(|| PathBuf::from("."));
    process::create_directory(&place)?;
    let machine = Machine::describe(&place);
    println!("{}", machine.line());
    println!(
        "{} keys, {} s a row, {} rounds, seed {}",
        arguments.keys(),
        arguments.seconds(),
        arguments.rounds(),
        arguments.seed
    );
    let settings = Settings {
        machine,
        keys: arguments.keys(),
        seconds_per_row: arguments.seconds(),
        rounds: arguments.rounds(),
        seed: arguments.seed,
        peers: peers.iter().map(|peer| peer.name).collect(),
    };
    let passing = TempDir::with_prefix_in("compare-", &place)?;
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None if arguments.smoke => passing.path().join("report"),
        None => PathBuf::from(REPORT),
    };
    let begin = process::now();
    let mut figures = Vec::new();
    for round in 0..arguments.rounds() {
        for stage in STAGES.into_iter().filter(|stage| round < arguments.rounds_of(*stage)) {
            for peer in turns(&peers, round) {
                figures.extend(turn(arguments, &rows, &place, stage, peer, round)?);
            }
            // A long run that is cut off leaves what it has.
            report::write(&out, &settings, &figures)?;
        }
    }
    println!("\n{}", table::render(&figures, &settings.peers));
    let taken = begin.elapsed().as_secs_f64();
    if out.starts_with(passing.path()) {
        println!("{taken:.0} s in all");
    } else {
        println!("{taken:.0} s in all; the report is in {}", out.display());
    }
    passing.close()?;
    Ok(figures.iter().all(|figure| figure.failure.is_none()))
}

/// The peers, beginning with another one in each round.
fn turns<'a>(peers: &'a [&'static Peer], round: u32) -> impl Iterator<Item = &'static Peer> + 'a {
    peers.iter().cycle().skip(round as usize % peers.len()).take(peers.len()).copied()
}

/// One stage of one peer: the figures of all wanted rows, failures included.
fn turn(
    arguments: &Arguments,
    rows: &[&str],
    place: &Path,
    stage: Stage,
    peer: &Peer,
    round: u32,
) -> Result<Vec<Figure>> {
    let of_stage = |name: &&&str| row::find(name).is_some_and(|row| row.stage == stage);
    let rows: Vec<String> = rows.iter().filter(of_stage).map(|name| (*name).to_owned()).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    eprintln!("round {} of {}: {stage:?} of {}", round + 1, arguments.rounds(), peer.name);
    let directory = TempDir::with_prefix_in("compare-", place)?;
    let task = Task {
        stage,
        peer: peer.name.to_owned(),
        rows,
        round,
        seed: arguments.seed,
        keys: arguments.keys(),
        seconds: arguments.seconds(),
        directory: directory.path().to_owned(),
        memory_bytes: arguments.memory_bytes(),
        group: None,
        part: Part::Whole,
    };
    let mut figures = Vec::new();
    let ended = child::spawn(&task, |figure| figures.push(figure));
    directory.close()?;
    // A failed check at the end takes the figures of the whole stage: nobody knows which of them
    // came of doing less than was asked.
    let failure = match ended {
        Err(failure) => Some(failure.to_string()),
        Ok(Ending::Killed) => Some("the process was killed: is there enough memory?".to_owned()),
        Ok(Ending::Done) => None,
    };
    let told: HashSet<String> = figures.iter().map(|figure: &Figure| figure.row.clone()).collect();
    let silent = task.rows.iter().filter(|row| !told.contains(*row));
    figures.extend(silent.map(|row| {
        let figure = Figure::failed("the stage has ended without a figure");
        Figure { row: row.clone(), peer: peer.name.to_owned(), round, ..figure }
    }));
    if let Some(failure) = failure {
        eprintln!("{stage:?} of {}: {failure}", peer.name);
        figures.iter_mut().for_each(|figure| figure.failure = Some(failure.clone()));
    }
    Ok(figures)
}
