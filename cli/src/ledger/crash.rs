//! Kills a child again and again, and verifies what it acknowledged.
//!
//! One round:
//! 1. a child opens the store and transfers;
//! 2. it gets SIGKILL: mostly a random time after its first acknowledgement, in a third of the
//!    rounds so soon after its start that it is likely to be opening the store, which takes as long
//!    as the disk and the kill before make it: the time of the child before is the measure;
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

/// What a child has left to its parent.
#[derive(Debug, Default)]
struct Life {
    acknowledged: Vec<Acknowledgement>,
    /// How long it took from the start to the first acknowledgement, if that was waited for.
    opening: Option<Duration>,
}

impl Moment {
    /// `opening` is how long an opening takes, if that is known.
    fn draw(random: &SeededRandom, opening: Option<Duration>) -> Moment {
        if let Some(opening) = opening
            && random.one_in(OPENING_ONE_IN)
        {
            let us = u64::try_from(opening.as_micros()).unwrap_or(u64::MAX - 1);
            return Moment::Opening(Duration::from_micros(random.below(us + 1)));
        }
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
    // Not known before the first child, which works: every run has something to verify.
    let mut opening = None;
    let bar = progress_bar(kills);
    while outcome.kills < kills && outcome.violations.is_empty() {
        let number = verifier.first_life() + u64::from(outcome.kills);
        let moment = Moment::draw(&random, opening);
        let life = live_and_die(args, path, number, random.next(), moment)?;
        opening = life.opening.or(opening);
        let acknowledged = life.acknowledged;
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
) -> Result<Life, Failure> {
    let clock = SystemClock::new();
    let mut child = start(args, path, life, seed)?;
    let pipe = child.stdout.take().expect("the child's standard output is a pipe");
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let listener = thread::Builder::new().name("listener".to_owned());
        let listening = listener.spawn_scoped(scope, move || listen(pipe, &sender));
        let heard = listening
            .map_err(|e| Failure::io("start a thread", &e))
            .and_then(|_| hear(&receiver, &clock, moment));
        // Also when something went wrong: the listener ends only when the child does.
        let killed = kill(&mut child);
        let mut life = heard?;
        killed?;
        for line in receiver {
            life.acknowledged.push(parse(&line)?);
        }
        Ok(life)
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

/// Collects acknowledgements until the moment has come. The clock was started with the child.
fn hear(receiver: &Receiver<String>, clock: &SystemClock, moment: Moment) -> Result<Life, Failure> {
    let early = || Failure::problem("the child ended by itself");
    let mut life = Life::default();
    let end = match moment {
        Moment::Opening(lifetime) => lifetime,
        Moment::Working(lifetime) => {
            let first = receiver.recv_timeout(PATIENCE).map_err(|error| match error {
                RecvTimeoutError::Timeout => {
                    Failure::problem(format!("the child acknowledged nothing in {PATIENCE:?}"))
                }
                RecvTimeoutError::Disconnected => early(),
            })?;
            life.acknowledged.push(parse(&first)?);
            let opening = clock.monotonic();
            life.opening = Some(opening);
            opening + lifetime
        }
    };
    loop {
        let left = end.saturating_sub(clock.monotonic());
        if left.is_zero() {
            return Ok(life);
        }
        match receiver.recv_timeout(left) {
            Ok(line) => life.acknowledged.push(parse(&line)?),
            Err(RecvTimeoutError::Timeout) => return Ok(life),
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
