//! `cargo xtask replay`: does a store survive every power cut that its own disk calls allow?
//!
//! A real engine with its threads runs for a moment on real files, and all that it does to them is
//! [recorded](recording), and every acknowledgement in between. The recording is then done again on
//! a [simulated machine](machine), which is stopped after each note and crashed in several ways.
//! What survives is laid out as real files, and opened as a store is opened every day, with
//! mappings and all. It must hold what was acknowledged as durable before the crash.
//!
//! A recording depends on how threads were scheduled and is never the same again, so one in which
//! something is wrong is kept in a file.

mod machine;
mod recording;
mod state;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::Args;
use icecore_disk::random::SeededRandom;
use icecore_disk::record::Note;
use icecore_disk::sim::{Crash, Rules};

use self::machine::Machine;
use self::state::{Expected, Verdict};
use crate::report::{Budget, Ending, Run, grouped};

/// How much.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// How many states after a crash are opened.
    #[arg(long, default_value_t = 20_000)]
    states: u64,
    /// Looks again at a recording that was kept.
    #[arg(long)]
    recording: Option<PathBuf>,
    /// Crashes it only after this note.
    #[arg(long, requires = "recording")]
    at: Option<usize>,
}

/// Threads that crash and open.
const THREADS: usize = 2;

/// About so many states come from one recording, wherever in it.
const STATES_PER_RECORDING: u64 = 1_500;

/// How many crashes there are after one note.
const CRASHES: u64 = 3;

/// What was done so far.
#[derive(Debug, Default)]
struct Tally {
    recordings: u64,
    states: AtomicU64,
    commits: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl Tally {
    fn is_violated(&self) -> bool {
        !self.violations.lock().expect("nobody panics with it").is_empty()
    }
}

/// What becomes of a machine.
#[derive(Clone, Debug)]
enum Fate {
    Killed,
    PowerCut(Crash),
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let mut tally = Tally::default();
    if let Err(failure) = recordings(arguments, &run, &mut tally) {
        tally.violations.lock().expect("nobody panics with it").push(failure);
    }
    let violations = tally.violations.lock().expect("nobody panics with it");
    violations.iter().for_each(|violation| println!("{violation}"));
    let counts = format!(
        "{} states of {} recordings, {} acknowledged commits verified, {} violations",
        grouped(tally.states.load(Ordering::SeqCst)),
        tally.recordings,
        grouped(tally.commits.load(Ordering::SeqCst)),
        violations.len(),
    );
    let ending = Ending::of(tally.states.load(Ordering::SeqCst), violations.is_empty());
    run.conclude("B11", "replay", &counts, &ending)
}

fn recordings(arguments: &Arguments, run: &Run, tally: &mut Tally) -> Result<(), String> {
    if let Some(path) = &arguments.recording {
        let told = |error| format!("{} cannot be read: {error}", path.display());
        let (notes, seed) = recording::load(path).map_err(told)?;
        tally.recordings = 1;
        crash_everywhere(&notes, seed, arguments, run, tally);
        return Ok(());
    }
    let random = SeededRandom::new(run.seed());
    while tally.states.load(Ordering::SeqCst) < arguments.states && !run.is_over() {
        let seed = random.next() >> 32;
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let recorded = recording::record(directory.path(), seed);
        let notes = recorded.map_err(|error| format!("recording failed: {error}"))?;
        tally.recordings += 1;
        crash_everywhere(&notes, seed, arguments, run, tally);
        if tally.is_violated() {
            let kept = recording::keep(&notes, seed);
            let path = kept.map_err(|error| format!("the recording cannot be kept: {error}"))?;
            println!(
                "all crashes of this recording: cargo xtask replay --recording {}",
                path.display()
            );
            break;
        }
    }
    Ok(())
}

/// Each thread follows the recording, and crashes it after its share of the notes.
fn crash_everywhere(notes: &[Note], seed: u64, arguments: &Arguments, run: &Run, tally: &Tally) {
    thread::scope(|scope| {
        for share in 0..THREADS {
            scope.spawn(move || {
                if let Err(failure) = crash_share(notes, seed, share, arguments, run, tally) {
                    tally.violations.lock().expect("nobody panics with it").push(failure);
                }
            });
        }
    });
}

fn crash_share(
    notes: &[Note],
    seed: u64,
    share: usize,
    arguments: &Arguments,
    run: &Run,
    tally: &Tally,
) -> Result<(), String> {
    let rules = [Rules::power_cut(), Rules::torn(), Rules::alice()][(seed % 3) as usize];
    let mut machine = Machine::new(notes, seed, rules);
    let mut expected = Expected::default();
    let place = state::Place::new().map_err(|error| error.to_string())?;
    for (at, note) in notes.iter().enumerate() {
        machine.follow(note)?;
        expected.follow(note)?;
        if at % THREADS != share || !is_wanted(notes, seed, at, arguments) {
            continue;
        }
        for n in 0..CRASHES {
            let done = tally.states.load(Ordering::SeqCst) >= arguments.states;
            if (done && arguments.recording.is_none()) || run.is_over() || tally.is_violated() {
                return Ok(());
            }
            let dice = SeededRandom::new(seed ^ (at as u64) << 20 ^ n << 60);
            let fork = machine.fork();
            fork.reseed(dice.next());
            let fate = draw_fate(&dice, fork.pending());
            match &fate {
                Fate::Killed => fork.kill(),
                Fate::PowerCut(crash) => fork.crash(crash.clone()),
            }
            let files = fork.reopen().snapshot_files();
            let verdict = place.judge(&files, &expected, matches!(fate, Fate::Killed), &dice);
            let Verdict { commits, problems } = verdict.map_err(|error| error.to_string())?;
            tally.states.fetch_add(1, Ordering::SeqCst);
            tally.commits.fetch_add(commits, Ordering::SeqCst);
            if !problems.is_empty() {
                let text = format!(
                    "seed {seed}, after note {at} ({note:.80?}), {fate:?}:\n    {}\n  with --at {at}",
                    problems.join("\n    ")
                );
                tally.violations.lock().expect("nobody panics with it").push(text);
            }
        }
    }
    Ok(())
}

/// Whether there are crashes after this note: in a recording that is looked at again, after every
/// one, or after the one that was asked for.
fn is_wanted(notes: &[Note], seed: u64, at: usize, arguments: &Arguments) -> bool {
    match (arguments.at, &arguments.recording) {
        (Some(only), _) => at == only,
        (None, Some(_)) => true,
        (None, None) => {
            let dice = SeededRandom::new(!seed ^ (at as u64) << 20);
            dice.below(notes.len() as u64) < STATES_PER_RECORDING / CRASHES
        }
    }
}

fn draw_fate(dice: &SeededRandom, pending: usize) -> Fate {
    let item = || usize::try_from(dice.below(pending.max(1) as u64)).unwrap_or(0);
    let (one, way) = (item(), dice.below(10));
    Fate::PowerCut(match way {
        0 => Crash::KeepNone,
        1 => Crash::KeepAll,
        2 => Crash::Only(one),
        3 => Crash::AllBut(one),
        4 => Crash::First(one),
        5 => Crash::From(one),
        6..9 => Crash::Random,
        _ => return Fate::Killed,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn crash(notes: &[Note], states: &str) -> Tally {
        let Line { arguments } = Line::parse_from(["replay", "--states", states]);
        let tally = Tally::default();
        crash_everywhere(notes, 3, &arguments, &arguments.budget.begin(), &tally);
        tally
    }

    #[test]
    fn a_store_survives_its_crashes_but_not_those_of_a_disk_that_syncs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let notes = recording::record(directory.path(), 9).unwrap();
        let tally = crash(&notes, "150");
        assert!(!tally.is_violated(), "{tally:?}");
        assert!(tally.states.into_inner() >= 150);

        let forget = |note: &Note| match note {
            Note::SyncBegun { .. } | Note::SyncEnded { .. } => None,
            Note::Submit { handle, write, offset, data, .. } => {
                let (handle, write, offset) = (*handle, *write, *offset);
                Some(Note::Submit { handle, write, offset, data: data.clone(), durable: false })
            }
            other => Some(other.clone()),
        };
        let notes: Vec<Note> = notes.iter().filter_map(forget).collect();
        assert!(crash(&notes, "1000").is_violated());
    }
}
