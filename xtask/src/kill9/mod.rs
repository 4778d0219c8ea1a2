//! `cargo xtask kill9`: does a store survive the violent death of its process?
//!
//! A child process lets several threads commit, and tells its parent of every acknowledgement. The
//! parent is the witness: it kills the child at a random moment, or when the child's disk stands
//! still at a named [failpoint](strike), which is the only way to hit moments that are over in
//! microseconds. The next child tells what it found, and the parent [judges](judge) it; every so
//! often the parent opens the store itself, and checks every byte.
//!
//! A kill leaves the page cache: whatever was acknowledged must be there, buffered commits too.

mod child;
mod judge;
mod pipe;
mod place;
mod strike;

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use clap::Args;
use icecore_disk::random::SeededRandom;

pub(crate) use self::child::{Arguments as ChildArguments, run as run_child};
use self::judge::Judge;
use self::pipe::Message;
use self::place::Place;
use self::strike::FAILPOINTS;
use crate::report::{Budget, Ending, Run, grouped};

/// How often.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// How many children are killed.
    #[arg(long, default_value_t = 2_000)]
    kills: u64,
}

/// A child is killed at a random moment until about so long after it has reported.
const WORK: Duration = Duration::from_millis(60);
/// So long after it has reported, a child that has not come to its failpoint is killed.
const STRIKE_PATIENCE: Duration = Duration::from_millis(120);
/// A child that says nothing at all for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Once in so many kills the parent opens the store itself.
const AUDIT_ONE_IN: u64 = 24;

/// When a child is killed.
enum Moment<'a> {
    /// So long after its start.
    Time(Duration),
    /// When it stands at a failpoint; or, should it not come there, some time after it has reported.
    Point(Point<'a>),
}

/// A failpoint for the n-th time.
struct Point<'a> {
    name: &'a str,
    nth: u64,
    /// Counted from the report on.
    working: bool,
}

/// How a life went.
struct Life {
    messages: Vec<Message>,
    /// How long it took to report, if it did.
    opening: Option<Duration>,
    /// Whether it came to its failpoint.
    struck: bool,
}

/// What all lives came to.
#[derive(Default)]
struct Tally {
    kills: u64,
    /// Before the child had reported.
    kills_in_opening: u64,
    struck: BTreeSet<&'static str>,
    audits: u64,
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let mut judge = Judge::default();
    let mut tally = Tally::default();
    let place = match Place::new() {
        Ok(place) => place,
        Err(error) => {
            println!("kill9: there is no temporary directory: {error}");
            return run.conclude("B8", "kill9", "0 kills", &Ending::Violated);
        }
    };
    if let Err(error) = lives(arguments, &run, &place, &mut judge, &mut tally) {
        judge.problem(format!("the run cannot go on: {error}"));
    }
    let ending = if judge.problems.is_empty() { Ending::Held } else { Ending::Violated };
    if let Ending::Violated = ending {
        judge.problems.iter().for_each(|problem| println!("{problem}"));
        let kept = place.keep();
        println!(
            "the store is kept in {}; `before` is what its last opening found",
            kept.display()
        );
        println!("  cargo xtask kill9 --seed {} --kills {}", run.seed(), arguments.kills);
    }
    let counts = format!(
        "{} kills, {} in opening, {} of {} failpoints struck, {} acknowledged commits verified, {} \
         copies, {} audits, {} violations",
        grouped(tally.kills),
        grouped(tally.kills_in_opening),
        tally.struck.len(),
        FAILPOINTS.len(),
        grouped(judge.verified),
        grouped(judge.copies),
        grouped(tally.audits),
        judge.problems.len(),
    );
    run.conclude("B8", "kill9", &counts, &ending)
}

fn lives(
    arguments: &Arguments,
    run: &Run,
    place: &Place,
    judge: &mut Judge,
    tally: &mut Tally,
) -> io::Result<()> {
    let random = SeededRandom::new(run.seed());
    let store = place.store();
    // What an opening takes, as far as is known.
    let mut opening = Duration::from_millis(20);
    for life in 0.. {
        if tally.kills >= arguments.kills || run.is_over() || !judge.problems.is_empty() {
            break;
        }
        let moment = draw_moment(&random, tally, opening);
        place.note()?;
        let lived = live_and_die(run, &store, life, random.next(), &moment)?;
        tally.kills += 1;
        if let Some(took) = lived.opening {
            opening = (opening * 7 + took) / 8;
        }
        if let Moment::Point(point) = moment
            && lived.struck
        {
            tally.struck.insert(point.name);
        }
        let reported = judge.hear(&store, life, lived.messages);
        tally.kills_in_opening += u64::from(!reported);
        place.remove_copy(life)?;
        if random.one_in(AUDIT_ONE_IN) && judge.problems.is_empty() {
            place.note()?;
            judge.audit(&store, random.one_in(2));
            tally.audits += 1;
        }
    }
    if judge.problems.is_empty() {
        judge.audit(&store, true);
        tally.audits += 1;
    }
    Ok(())
}

/// Half of the lives end at a failpoint, at first one that was not struck yet.
fn draw_moment(random: &SeededRandom, tally: &Tally, opening: Duration) -> Moment<'static> {
    if random.one_in(2) {
        let longest = u64::try_from((opening * 2 + WORK).as_micros()).unwrap_or(u64::MAX);
        return Moment::Time(Duration::from_micros(random.below(longest)));
    }
    let missing: Vec<_> =
        FAILPOINTS.iter().filter(|point| !tally.struck.contains(*point)).collect();
    let all: Vec<_> = FAILPOINTS.iter().collect();
    let (from, nth) = if missing.is_empty() { (&all, 1 + random.below(12)) } else { (&missing, 1) };
    let index = usize::try_from(random.below(from.len() as u64)).expect("there are few failpoints");
    Moment::Point(Point { name: from[index], nth, working: random.one_in(2) })
}

/// One life of a child.
fn live_and_die(
    run: &Run,
    store: &Path,
    life: u32,
    seed: u64,
    moment: &Moment<'_>,
) -> io::Result<Life> {
    let begun = run.elapsed();
    let mut child = start(store, life, seed, moment)?;
    let pipe = child.stdout.take().expect("the child's standard output is a pipe");
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let listening = scope.spawn(move || listen(pipe, &sender));
        let mut life = Life { messages: Vec::new(), opening: None, struck: false };
        life.wait(&receiver, run, begun, moment);
        // The child may have ended by itself, which its last message tells.
        let killed = child.kill();
        let ended = child.wait();
        life.messages.extend(receiver);
        listening.join().expect("listening does not panic")?;
        killed?;
        ended?;
        Ok(life)
    })
}

fn start(store: &Path, life: u32, seed: u64, moment: &Moment<'_>) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("kill9-child").arg("--directory").arg(store);
    command.args(["--life", &life.to_string(), "--seed", &seed.to_string()]);
    if let Moment::Point(Point { name, nth, working }) = moment {
        command.args(["--strike", name, "--nth", &nth.to_string()]);
        command.args(working.then_some("--working"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

fn listen(pipe: ChildStdout, sender: &Sender<Message>) -> io::Result<()> {
    let mut pipe = BufReader::with_capacity(256 << 10, pipe);
    while let Some(message) = pipe::hear(&mut pipe)? {
        // The receiver lives until the child has ended.
        drop(sender.send(message));
    }
    Ok(())
}

impl Life {
    /// Collects what the child tells until its moment has come.
    fn wait(
        &mut self,
        receiver: &Receiver<Message>,
        run: &Run,
        begun: Duration,
        moment: &Moment<'_>,
    ) {
        let mut deadline = match moment {
            Moment::Time(time) => begun + *time,
            Moment::Point(..) => begun + PATIENCE,
        };
        loop {
            let left = deadline.saturating_sub(run.elapsed());
            match receiver.recv_timeout(left) {
                Ok(message) => {
                    match &message {
                        Message::Reported { .. } => {
                            self.opening = Some(run.elapsed() - begun);
                            if let Moment::Point(..) = moment {
                                deadline = run.elapsed() + STRIKE_PATIENCE;
                            }
                        }
                        Message::Struck => self.struck = true,
                        _ => {}
                    }
                    self.messages.push(message);
                    if self.struck {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if run.elapsed() - begun >= PATIENCE {
                        self.messages.push(Message::Failed("it is stuck".to_owned()));
                    }
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let text = "it ended by itself".to_owned();
                    return self.messages.push(Message::Failed(text));
                }
            }
        }
    }
}
