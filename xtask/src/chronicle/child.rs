//! The process that writes: `cargo xtask store-child`, which only the checks start.
//!
//! It opens a store and does batches, several under way at once, with flushes, compactions,
//! checkpoints and reopenings between them. When a commit fails, it tries further ones, reads
//! everything, and opens the store again. It compares what it reads with what it has been told.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use clap::Args;
use icecore_engine::keyspace::DATA;
use icecore_engine::{CommitFuture, Durability, Engine, Error, ErrorKind, Options, Outcome};
use icecore_sim::dice::Dice;

use super::batch::{COUNTER, Change, Origin, State, apply, submit};
use super::event::Event;
use super::model::WINDOW;
use super::settings::settings;
use crate::mounts;

/// So many commits are tried after one has failed.
pub(crate) const PROBES: usize = 3;

/// A child that was told a number of commits ends before it when it has failed so often in a row,
/// with nothing acknowledged in between: it can never come so far.
const VAIN_MAX: u32 = 12;

/// The purpose of the dice of what is done when.
const SCRIPT: u64 = 2 << 60;

/// What the process is to do.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// The store.
    #[arg(long)]
    directory: PathBuf,
    /// Where the batches of the store come from.
    #[arg(long)]
    seed: u64,
    /// The life of the store, a multiple of a thousand.
    #[arg(long)]
    life: u64,
    /// Ends after so many commits, or when it makes no more of them.
    #[arg(long)]
    commits: Option<u64>,
    /// Puts into every acknowledgement how many entries this log of a block device has.
    #[arg(long)]
    mark: Option<PathBuf>,
    /// In the end, cuts the tables of the store while they are mapped, and reads on.
    #[arg(long)]
    cut_tables: bool,
}

/// Why the process ends early.
enum End {
    /// The parent is gone.
    Unheard,
    /// The store cannot be opened, which was told.
    Unopened,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Unheard
    }
}

/// Runs the script until its end; says whether the parent heard of it.
pub(crate) fn run(arguments: &Arguments) -> bool {
    if let Err(error) = mounts::die_with_parent() {
        eprintln!("cannot end with its parent: {error}");
        return false;
    }
    match Child::open(arguments).and_then(Child::run) {
        Ok(()) | Err(End::Unopened) => true,
        Err(End::Unheard) => false,
    }
}

struct Child<'a> {
    arguments: &'a Arguments,
    dice: Dice,
    engine: Engine,
    /// Of the present opening.
    origin: Origin,
    /// The last batch that was acknowledged, and what the store must show.
    number: u64,
    state: State,
    commits: u64,
    /// How often commits have failed since the last one that was acknowledged.
    in_vain: u32,
    copies: u64,
}

impl<'a> Child<'a> {
    fn open(arguments: &'a Arguments) -> Result<Child<'a>, End> {
        let origin = Origin { seed: arguments.seed, life: arguments.life };
        let (engine, number, state) = open(arguments, origin)?;
        let dice = origin.dice(SCRIPT);
        let (commits, in_vain, copies) = (0, 0, 0);
        Ok(Child { arguments, dice, engine, origin, number, state, commits, in_vain, copies })
    }

    fn run(mut self) -> Result<(), End> {
        let buffered_percent = self.dice.pick(&[0, 0, 50, 90]);
        while self.arguments.commits.is_none_or(|commits| self.has_more(commits)) {
            match self.dice.below(100) {
                0..=2 => self.tell_trouble(self.engine.flush())?,
                3..=4 => self.tell_trouble(self.engine.compact())?,
                5 => self.copy()?,
                6 => self.reopen()?,
                _ => self.burst(buffered_percent)?,
            }
        }
        if self.arguments.cut_tables {
            self.cut_tables()?;
        }
        self.tell_trouble(self.engine.close())?;
        Ok(tell(&Event::Done)?)
    }

    /// Whether it can and must go on to come to so many commits.
    fn has_more(&self, commits: u64) -> bool {
        self.commits < commits && self.in_vain < VAIN_MAX
    }

    /// What somebody else might do to the files of a store that is open. Reads may fail then, but
    /// must not give anything else than what was there, and the process must live on.
    fn cut_tables(&mut self) -> Result<(), End> {
        self.tell_trouble(self.engine.compact())?;
        self.compare()?;
        for (file, bytes) in mounts::files(&self.arguments.directory)? {
            if file.extension().is_some_and(|extension| extension == "table") {
                mounts::cut_file(&file, bytes / 3)?;
            }
        }
        self.compare()
    }

    /// A few commits, all under way at once.
    fn burst(&mut self, buffered_percent: usize) -> Result<(), End> {
        let size = self.dice.between(1, self.dice.pick(&[1, 3, WINDOW]));
        let mut under_way = Vec::new();
        for number in (self.number + 1..).take(size) {
            let buffered = self.dice.below(100) < buffered_percent;
            let durability = if buffered { Durability::Buffered } else { Durability::Sync };
            let changes = self.origin.batch(number);
            let future = submit(&self.engine, &changes, durability);
            let refused = future.stamp().is_none();
            under_way.push((number, changes, durability, future));
            // The next number must not follow one that is not there.
            if refused {
                break;
            }
        }
        let mut failures = Vec::new();
        for (number, changes, durability, future) in under_way {
            failures.extend(self.finish(number, changes, durability, future)?);
        }
        if failures.is_empty() { Ok(()) } else { self.after_failure(&failures) }
    }

    /// Waits for a commit, and tells what became of it. Gives the kind of its error.
    fn finish(
        &mut self,
        number: u64,
        changes: Vec<Change>,
        durability: Durability,
        future: CommitFuture,
    ) -> Result<Option<ErrorKind>, End> {
        match wait(future) {
            Ok(stamp) => {
                let durable = durability == Durability::Sync;
                let mark = self.mark()?;
                tell(&Event::Committed { number, stamp, durable, mark })?;
                apply(&mut self.state, number, changes);
                (self.number, self.commits, self.in_vain) = (number, self.commits + 1, 0);
                Ok(None)
            }
            Err(error) => {
                let kind = format!("{:?}", error.kind());
                tell(&Event::Failed { number, kind, error: error.to_string() })?;
                Ok(Some(error.kind()))
            }
        }
    }

    fn mark(&self) -> io::Result<u64> {
        let log = self.arguments.mark.as_ref();
        log.map_or(Ok(0), |log| mounts::read_number(log, crate::blocklog::ENTRIES_AT))
    }

    /// Once nobody knows what became of a commit, every further one must be refused for this reason,
    /// and all that was acknowledged must be readable. Then the store is opened again.
    fn after_failure(&mut self, failures: &[ErrorKind]) -> Result<(), End> {
        self.in_vain += 1;
        let stopped = [ErrorKind::OutcomeUnknown, ErrorKind::Poisoned];
        let is_stopped = failures.iter().any(|kind| stopped.contains(kind));
        for _ in 0..PROBES {
            let number = self.number + 1;
            let changes = self.origin.batch(number);
            let future = submit(&self.engine, &changes, Durability::Sync);
            let failure = self.finish(number, changes, Durability::Sync, future)?;
            if is_stopped && failure != Some(ErrorKind::Poisoned) {
                let what = format!("batch {number} got {failure:?} from a store that has stopped");
                tell(&Event::Misread { what })?;
            }
        }
        self.compare()?;
        self.reopen()
    }

    /// Whether the store shows what it must.
    fn compare(&self) -> Result<(), End> {
        match read_all(&self.engine) {
            Err(error) => self.tell_trouble(Err(error)),
            Ok(found) => {
                let expected = self.state.iter().map(|(key, (_, value))| (key, value));
                if expected.eq(found.iter()) {
                    return Ok(());
                }
                let (found, expected) = (found.len(), self.state.len());
                let number = self.number;
                let what = format!("{found} keys after batch {number}, where {expected} must be");
                Ok(tell(&Event::Misread { what })?)
            }
        }
    }

    fn copy(&mut self) -> Result<(), End> {
        self.copies += 1;
        let copy = self.arguments.life + self.copies;
        tell(&Event::Copying { copy })?;
        match self.engine.checkpoint(copy_path(&self.arguments.directory, copy)) {
            Ok(stamp) => Ok(tell(&Event::Copied { copy, stamp: stamp.get() })?),
            Err(error) => self.tell_trouble(Err(error)),
        }
    }

    fn reopen(&mut self) -> Result<(), End> {
        self.tell_trouble(self.engine.close())?;
        self.origin.life += 1;
        let (engine, number, state) = open(self.arguments, self.origin)?;
        (self.engine, self.number, self.state) = (engine, number, state);
        self.compare()
    }

    fn tell_trouble(&self, done: Result<(), Error>) -> Result<(), End> {
        let Err(error) = done else { return Ok(()) };
        let kind = format!("{:?}", error.kind());
        Ok(tell(&Event::Trouble { kind, error: error.to_string() })?)
    }
}

/// Where the checkpoint `copy` of the store `directory` is.
pub(crate) fn copy_path(directory: &std::path::Path, copy: u64) -> PathBuf {
    directory.with_extension(format!("copy{copy}"))
}

/// Opens the store and reads where it is.
fn open(arguments: &Arguments, origin: Origin) -> Result<(Engine, u64, State), End> {
    tell(&Event::Opening)?;
    let options: Options = settings(origin);
    let opened = Engine::open_path(&arguments.directory, options);
    match opened.and_then(|engine| Ok((read_all(&engine)?, engine))) {
        Ok((found, engine)) => {
            let counter = found.get(COUNTER).and_then(|value| value[..].try_into().ok());
            let number = counter.map_or(0, u64::from_be_bytes);
            tell(&Event::Opened { number, life: origin.life })?;
            let state = found.into_iter().map(|(key, value)| (key, (0, value))).collect();
            Ok((engine, number, state))
        }
        Err(error) => {
            let error = format!("{:?}: {error}", error.kind());
            tell(&Event::Unopened { error })?;
            Err(End::Unopened)
        }
    }
}

fn read_all(engine: &Engine) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Error> {
    let items = engine.scan(&[DATA], &[DATA + 1])?;
    items.map(|item| item.map(|item| (item.key().to_vec(), item.value.to_vec()))).collect()
}

/// One write for one line, so that a line is there in whole or not at all.
fn tell(event: &Event) -> io::Result<()> {
    let line = format!("{event}\n");
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// Waits for a commit without checks, and gives its stamp.
pub(crate) fn wait(future: CommitFuture) -> Result<u64, Error> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(Ok(Outcome::Committed(stamp))) => return Ok(stamp.get()),
            Poll::Ready(Ok(Outcome::CheckFailed { .. })) => unreachable!("there is no check"),
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => thread::park(),
        }
    }
}
