//! Kills a child again and again, and verifies what it acknowledged.
//!
//! One round:
//! 1. a child opens the store and transfers;
//! 2. it gets SIGKILL: mostly a random time after its first acknowledgement, in a third of the
//!    rounds so soon after its start that it is likely to be opening the store;
//! 3. the store is [verified](super::verify). In half of the rounds it is opened for reading only,
//!    so that the next child has to recover what the kill has left, and may be killed while it
//!    does; in the others the verifier recovers, and closes the store.
//!
//! The first round that finds a violation is the last one.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use icecore_disk::Clock;
use icecore_disk::clock::SystemClock;
use icecore_disk::random::SeededRandom;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Args;
use super::journal::{Acknowledgement, NotAnAcknowledgement};
use super::verify::{Look, Verifier};
use crate::failure::Failure;
use crate::{print, print_json};

/// A child that acknowledges nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a child lives after its first acknowledgement, in milliseconds.
const LIFE_MS: std::ops::RangeInclusive<u64> = 20..=300;

/// How long a child lives after its start, in microseconds, when it is to be killed while it opens
/// the store.
const OPENING_US: u64 = 20_000;

/// One in so many children is killed while it opens the store.
const OPENING_ONE_IN: u64 = 3;

/// What `kill -9` sends.
const SIGKILL: i32 = 9;

/// So many violations are shown to people; all of them are counted.
const VIOLATIONS_SHOWN_MAX: usize = 20;

/// What came of all rounds, as it is printed with `--json`.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    seed: u64,
    kills: u32,
    /// Kills of children that had not acknowledged anything.
    kills_before_transfers: u32,
    acknowledged: u64,
    violations: Vec<String>,
}

/// When a child is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after its start.
    Opening(Duration),
    /// So long after its first acknowledgement.
    Working(Duration),
}

impl Moment {
    fn draw(random: &SeededRandom) -> Moment {
        if random.one_in(OPENING_ONE_IN) {
            Moment::Opening(Duration::from_micros(random.below(OPENING_US + 1)))
        } else {
            Moment::draw_working(random)
        }
    }

    fn draw_working(random: &SeededRandom) -> Moment {
        let ms = LIFE_MS.start() + random.below(LIFE_MS.end() - LIFE_MS.start() + 1);
        Moment::Working(Duration::from_millis(ms))
    }
}

pub(super) fn run(args: &Args, path: &Path, kills: u32) -> Result<(), Failure> {
    let mut outcome = Outcome { seed: args.seed()?, ..Outcome::default() };
    if let Err(failure) = rounds(args, path, kills, &mut outcome) {
        if outcome.violations.is_empty() {
            return Err(failure.during(&format!("a run with --seed {}", outcome.seed)));
        }
        // What was found before is the cause, and must be told.
        outcome.violations.push(format!("the store cannot be verified: {}", failure.what()));
    }
    tell(args, &outcome)
}

fn rounds(args: &Args, path: &Path, kills: u32, outcome: &mut Outcome) -> Result<(), Failure> {
    let random = SeededRandom::new(outcome.seed);
    let mut verifier = Verifier::new(args, path, random.next())?;
    let bar = progress_bar(kills);
    while outcome.kills < kills && outcome.violations.is_empty() {
        let life = verifier.first_life() + u64::from(outcome.kills);
        // The first child works, so that every run has something to verify.
        let is_first = outcome.kills == 0;
        let moment = if is_first { Moment::draw_working(&random) } else { Moment::draw(&random) };
        let acknowledged = live_and_die(args, path, life, random.next(), moment)?;
        outcome.kills += 1;
        outcome.kills_before_transfers += u32::from(acknowledged.is_empty());
        outcome.acknowledged += acknowledged.len() as u64;
        let look = if random.one_in(2) { Look::Only } else { Look::Recover };
        verifier.verify(&acknowledged, look, &mut outcome.violations)?;
        bar.set_message(format!("{} transfers verified", outcome.acknowledged));
        bar.inc(1);
    }
    if outcome.violations.is_empty() {
        verifier.balance_the_books(&mut outcome.violations)?;
    }
    bar.finish_and_clear();
    Ok(())
}

fn tell(args: &Args, outcome: &Outcome) -> Result<(), Failure> {
    let violations = outcome.violations.len();
    if args.json {
        print_json(outcome)?;
    } else {
        for violation in outcome.violations.iter().take(VIOLATIONS_SHOWN_MAX) {
            print(&format!("violation: {violation}"))?;
        }
        let Outcome { seed, kills, kills_before_transfers, acknowledged, .. } = outcome;
        print(&format!(
            "seed {seed}, {kills_before_transfers} kills before the first transfer\n\
             {kills} kills, {acknowledged} acknowledged transfers verified, {violations} violations"
        ))?;
    }
    match violations {
        0 => Ok(()),
        _ => Err(Failure::problem("the store broke its word")),
    }
}

fn progress_bar(kills: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} kills, {msg}")
        .expect("the template is valid");
    ProgressBar::new(u64::from(kills)).with_style(style)
}

/// One life of a child, and what it acknowledged.
fn live_and_die(
    args: &Args,
    path: &Path,
    life: u64,
    seed: u64,
    moment: Moment,
) -> Result<Vec<Acknowledgement>, Failure> {
    let mut child = start(args, path, life, seed)?;
    let pipe = child.stdout.take().expect("the child's standard output is a pipe");
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let listener = thread::Builder::new().name("listener".to_owned());
        let listening = listener.spawn_scoped(scope, move || listen(pipe, &sender));
        let heard = listening
            .map_err(|e| Failure::io("start a thread", &e))
            .and_then(|_| hear(&receiver, moment));
        // Also when something went wrong: the listener ends only when the child does.
        let killed = kill(&mut child);
        let mut acknowledged = heard?;
        killed?;
        for line in receiver {
            acknowledged.push(parse(&line)?);
        }
        Ok(acknowledged)
    })
}

fn start(args: &Args, path: &Path, life: u64, seed: u64) -> Result<Child, Failure> {
    let program = std::env::current_exe().map_err(|e| Failure::io("find this program", &e))?;
    let mut command = Command::new(program);
    command.arg("ledger").arg("--store").arg(path);
    for (name, value) in [
        ("--accounts", u64::from(args.accounts)),
        ("--threads", u64::from(args.threads)),
        ("--seed", seed),
        ("--life", life),
    ] {
        command.arg(name).arg(value.to_string());
    }
    if args.buffered {
        command.arg("--buffered");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|e| Failure::io("start a child process", &e))
}

/// Collects acknowledgements until the moment has come.
fn hear(receiver: &Receiver<String>, moment: Moment) -> Result<Vec<Acknowledgement>, Failure> {
    let early = || Failure::problem("the child ended by itself");
    let mut acknowledged = Vec::new();
    let lifetime = match moment {
        Moment::Opening(lifetime) => lifetime,
        Moment::Working(lifetime) => {
            let first = receiver.recv_timeout(PATIENCE).map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    Failure::problem(format!("the child acknowledged nothing in {PATIENCE:?}"))
                }
                RecvTimeoutError::Disconnected => early(),
            })?;
            acknowledged.push(parse(&first)?);
            lifetime
        }
    };
    let clock = SystemClock::new();
    loop {
        let left = lifetime.saturating_sub(clock.monotonic());
        if left.is_zero() {
            return Ok(acknowledged);
        }
        match receiver.recv_timeout(left) {
            Ok(line) => acknowledged.push(parse(&line)?),
            Err(RecvTimeoutError::Timeout) => return Ok(acknowledged),
            Err(RecvTimeoutError::Disconnected) => return Err(early()),
        }
    }
}

fn parse(line: &str) -> Result<Acknowledgement, Failure> {
    line.parse().map_err(|NotAnAcknowledgement| {
        Failure::problem(format!("the child said {line:?}, which is no acknowledgement"))
    })
}

/// Hands on whole lines until the pipe ends.
fn listen(pipe: ChildStdout, sender: &Sender<String>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    // A pipe that cannot be read has ended as far as acknowledgements go, and nobody listens any
    // more when the receiver is gone.
    while pipe.read_until(b'\n', &mut line).is_ok_and(|_| line.pop() == Some(b'\n')) {
        if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            return;
        }
        line.clear();
    }
}

/// Sends SIGKILL and waits for the end.
fn kill(child: &mut Child) -> Result<(), Failure> {
    child.kill().map_err(|e| Failure::io("kill the child", &e))?;
    let status = child.wait().map_err(|e| Failure::io("wait for the child", &e))?;
    match status.signal() {
        Some(SIGKILL) => Ok(()),
        _ => Err(Failure::problem(format!("the child ended by itself, with {status}"))),
    }
}
