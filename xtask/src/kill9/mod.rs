//! `cargo xtask kill9`: does a store survive the violent death of its process?
//!
//! A child process lets several threads commit, and tells its parent of every acknowledgement. The
//! parent is the witness: it kills the child at a random moment, or when the child's disk stands
//! still at a named [failpoint](strike), which is the only way to hit moments that are over in
//! microseconds. The next child tells what it found, and the parent [judges](judge) it; every so
//! often the parent opens the store itself, and checks every byte.
//!
//! Several stores live at a time, each in a lane of its own.
//!
//! A kill leaves the page cache: whatever was acknowledged must be there, buffered commits too.

mod child;
mod judge;
mod pipe;
mod place;
pub(crate) mod strike;

use std::collections::BTreeSet;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// How many stores live at a time.
    #[arg(long, default_value_t = 4)]
    lanes: u64,
}

/// A child is killed at a random moment until about so long after it has reported.
const WORK: Duration = Duration::from_millis(60);
/// So long after it has reported, a child that has not come to its failpoint is killed.
const STRIKE_PATIENCE: Duration = Duration::from_millis(120);
/// A child that says nothing at all for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// Once in so many kills the parent opens the store itself.
const AUDIT_ONE_IN: u64 = 24;

/// With so many kills, every failpoint was struck, or it is none.
const KILLS_FOR_ALL: u64 = 1_000;

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

/// What the lanes share.
struct Shared<'a> {
    arguments: &'a Arguments,
    run: &'a Run,
    kills: AtomicU64,
    struck: Mutex<BTreeSet<&'static str>>,
    /// One lane has found something: that is enough.
    violated: AtomicBool,
}

/// What the lives of one lane came to.
#[derive(Default)]
struct Lane {
    judge: Judge,
    /// Kills before the child had reported.
    kills_in_opening: u64,
    audits: u64,
}

pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let shared = Shared {
        arguments,
        run: &run,
        kills: AtomicU64::new(0),
        struck: Mutex::default(),
        violated: AtomicBool::new(false),
    };
    let lanes: Vec<Lane> = thread::scope(|scope| {
        let shared = &shared;
        let start = |number| scope.spawn(move || Lane::run(shared, number));
        let lanes: Vec<_> = (0..arguments.lanes.max(1)).map(start).collect();
        lanes.into_iter().map(|lane| lane.join().expect("a lane does not panic")).collect()
    });
    let sum = |of: fn(&Lane) -> u64| grouped(lanes.iter().map(of).sum());
    let kills = shared.kills.load(Ordering::SeqCst);
    let struck = shared.struck.into_inner().expect("nobody panics with it");
    let missing: Vec<_> = FAILPOINTS.iter().filter(|point| !struck.contains(*point)).collect();
    let is_blind = kills >= KILLS_FOR_ALL && !missing.is_empty();
    if is_blind {
        println!("no child came to {missing:?}");
    }
    let counts = format!(
        "{} kills, {} in opening, {} of {} failpoints struck, {} acknowledged commits \
         verified, {} copies, {} audits, {} violations",
        grouped(kills),
        sum(|lane| lane.kills_in_opening),
        struck.len(),
        FAILPOINTS.len(),
        sum(|lane| lane.judge.verified),
        sum(|lane| lane.judge.copies),
        sum(|lane| lane.audits),
        sum(|lane| lane.judge.problems.len() as u64),
    );
    let held = !is_blind && !shared.violated.load(Ordering::SeqCst);
    let ending = Ending::of(kills, held);
    run.conclude("B8", "kill9", &counts, &ending)
}

impl Lane {
    /// Life after life of one store.
    fn run(shared: &Shared<'_>, number: u64) -> Lane {
        let mut lane = Lane::default();
        let place = match Place::new() {
            Ok(place) => place,
            Err(error) => {
                shared.violated.store(true, Ordering::SeqCst);
                lane.judge.problem(format!("there is no temporary directory: {error}"));
                println!("{}", lane.judge.problems[0]);
                return lane;
            }
        };
        if let Err(error) = lane.lives(shared, &place, number) {
            lane.judge.problem(format!("the run cannot go on: {error}"));
        }
        if !lane.judge.problems.is_empty() {
            shared.violated.store(true, Ordering::SeqCst);
            lane.judge.problems.iter().for_each(|problem| println!("{problem}"));
            let kept = place.keep();
            let (seed, kills) = (shared.run.seed(), shared.arguments.kills);
            println!("the store is in {}; `before` is what its last opening found", kept.display());
            println!("  cargo xtask kill9 --seed {seed} --kills {kills}");
        }
        lane
    }

    fn lives(&mut self, shared: &Shared<'_>, place: &Place, number: u64) -> io::Result<()> {
        let random = SeededRandom::new(shared.run.seed() << 8 | number);
        let store = place.store();
        // What an opening takes, as far as is known.
        let mut opening = Duration::from_millis(20);
        for life in 0.. {
            if shared.is_over() || !self.judge.problems.is_empty() {
                break;
            }
            let moment = shared.draw_moment(&random, opening);
            place.note()?;
            let lived = live_and_die(shared.run, &store, life, random.next(), &moment)?;
            shared.kills.fetch_add(1, Ordering::SeqCst);
            if let Some(took) = lived.opening {
                opening = (opening * 7 + took) / 8;
            }
            if let Moment::Point(point) = moment
                && lived.struck
            {
                shared.struck.lock().expect("nobody panics with it").insert(point.name);
            }
            let reported = self.judge.hear(&store, life, lived.messages);
            self.kills_in_opening += u64::from(!reported);
            place.remove_copy(life)?;
            if random.one_in(AUDIT_ONE_IN) {
                self.audit(place, random.one_in(2))?;
            }
        }
        self.audit(place, true)
    }

    fn audit(&mut self, place: &Place, close: bool) -> io::Result<()> {
        if self.judge.problems.is_empty() {
            place.note()?;
            self.judge.audit(&place.store(), close);
            self.audits += 1;
        }
        Ok(())
    }
}

impl Shared<'_> {
    fn is_over(&self) -> bool {
        self.kills.load(Ordering::SeqCst) >= self.arguments.kills
            || self.run.is_over()
            || self.violated.load(Ordering::SeqCst)
    }

    /// Half of the lives end at a failpoint, at first one that was not struck yet.
    fn draw_moment(&self, random: &SeededRandom, opening: Duration) -> Moment<'static> {
        if random.one_in(2) {
            let longest = u64::try_from((opening * 2 + WORK).as_micros()).unwrap_or(u64::MAX);
            return Moment::Time(Duration::from_micros(random.below(longest)));
        }
        let struck = self.struck.lock().expect("nobody panics with it").clone();
        let missing: Vec<_> = FAILPOINTS.iter().filter(|point| !struck.contains(*point)).collect();
        let all: Vec<_> = FAILPOINTS.iter().collect();
        let nth = 1 + random.below(12);
        let (from, nth) = if missing.is_empty() { (&all, nth) } else { (&missing, 1) };
        let index = usize::try_from(random.below(from.len() as u64)).expect("they are few");
        Moment::Point(Point { name: from[index], nth, working: random.one_in(2) })
    }
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
