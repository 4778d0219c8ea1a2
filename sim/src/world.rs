//! A store on a simulated machine, and beside it the oracle that knows what it must hold.
//!
//! The world performs the operations of a history one after the other, in one thread. After each
//! one it compares what the engine answered with the oracle. When the machine has stopped, it goes
//! through recovery (`revive`) and on with the history.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Clock, Disk};
use icecore_engine::{
    CommitFuture, Engine, Environment, Error, ErrorKind, Options, Outcome, Snapshot,
};

use crate::batch::BatchSpec;
use crate::demand::Former;
use crate::follow::{REPLICAS, Replica};
use crate::harm::Rest;
use crate::model::{Model, State};
use crate::mutant_disk::{DiskBug, MutantDisk};
use crate::totals::Totals;
use crate::trouble::Trouble;
use crate::violation::{Violation, ensure};

/// Where the wall clock begins: far enough from zero to step back.
pub const CLOCK_START_MS: u64 = 1_000_000;

/// A commit whose caller has not been told its outcome.
pub(crate) struct InFlight {
    pub(crate) future: CommitFuture,
    pub(crate) batch: BatchSpec,
    pub(crate) expected: Outcome,
    /// What its checks were compared with.
    pub(crate) compared: Compared,
}

/// The state that the checks of a commit were compared with.
#[derive(Clone, Copy)]
pub(crate) struct Compared {
    /// Its last stamp.
    pub(crate) last: u64,
    /// The clock reading of the commit.
    pub(crate) now: u64,
}

/// A snapshot and what it must show.
pub(crate) struct Held {
    pub(crate) snapshot: Snapshot,
    pub(crate) expected: State,
}

/// A checkpoint and what it must hold.
#[derive(Clone)]
pub(crate) struct Copied {
    pub(crate) path: String,
    pub(crate) model: Model,
    pub(crate) at: u64,
    /// The replicas of the original at that moment.
    pub(crate) replicas: [Option<Replica>; REPLICAS],
}

/// What is true of the life at hand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Life {
    /// The highest clock reading that the engine has taken.
    pub(crate) now: u64,
    /// The last stamp that was issued.
    pub(crate) last: u64,
    /// The engine has said that it takes no more commits.
    pub(crate) poisoned: bool,
    /// An error was armed, or is drawn, or space is short: calls may fail.
    pub(crate) faults: bool,
    /// How many syncs had failed when it began.
    pub(crate) failed_syncs: usize,
}

/// A store, its machine and its oracle.
pub struct World {
    pub(crate) disk: Arc<SimDisk>,
    /// What the disk does when the oracle does not look.
    pub(crate) rules: Rules,
    pub(crate) bug: Option<DiskBug>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Arc<SeededRandom>,
    pub(crate) options: Options,
    pub(crate) engine: Option<Engine>,
    pub(crate) model: Model,
    pub(crate) life: Life,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) held: Vec<Held>,
    pub(crate) copies: Vec<Copied>,
    pub(crate) copies_made: u64,
    /// What replicas know, in all lives.
    pub(crate) replicas: [Option<Replica>; REPLICAS],
    /// The latest clock reading at which one of them looked.
    pub(crate) latest_ms: u64,
    /// The highest stamp that anybody has seen, in all lives.
    pub(crate) shown: u64,
    /// What follows when an armed stop strikes.
    pub(crate) armed: Option<crate::history::Revival>,
    /// It is settled what survives the stop.
    pub(crate) settled: bool,
    /// What is to go wrong or goes wrong, beyond this life if it has not struck by then.
    pub(crate) trouble: Option<Trouble>,
    /// The room on the disk is bounded.
    pub(crate) space_is_short: bool,
    /// An error is armed for the opening at hand.
    pub(crate) opening_fails: bool,
    /// The store has said that it is damaged, with reason.
    pub(crate) given_up: bool,
    /// What was lost, on a disk that broke its word.
    pub(crate) former: Vec<Former>,
    /// Earlier moments of rest.
    pub(crate) older: Vec<Rest>,
    /// What was visible when the store was let go.
    pub(crate) visible_at_end: u64,
    /// What was done.
    pub totals: Totals,
    pub(crate) lines: Option<Vec<String>>,
}

impl World {
    /// A machine without a store.
    pub fn new(seed: u64, rules: Rules, options: Options, bug: Option<DiskBug>) -> World {
        World {
            disk: SimDisk::new(seed, rules),
            rules,
            bug,
            clock: Arc::new(ManualClock::at(CLOCK_START_MS)),
            random: Arc::new(SeededRandom::new(seed ^ 0x5a17)),
            options,
            engine: None,
            model: Model::default(),
            life: Life::default(),
            in_flight: Vec::new(),
            held: Vec::new(),
            copies: Vec::new(),
            copies_made: 0,
            replicas: Default::default(),
            latest_ms: 0,
            shown: 0,
            armed: None,
            settled: false,
            trouble: None,
            space_is_short: false,
            opening_fails: false,
            given_up: false,
            former: Vec::new(),
            older: Vec::new(),
            visible_at_end: 0,
            totals: Totals::default(),
            lines: None,
        }
    }

    /// A copy of a stopped world, whose machine is a copy, too. Nothing that is open is copied.
    pub fn fork(&self, seed: u64) -> World {
        let disk = self.disk.fork();
        disk.reseed(seed);
        World {
            disk,
            rules: self.rules,
            bug: self.bug,
            clock: Arc::new(ManualClock::at(self.clock.wall_ms())),
            random: Arc::new(SeededRandom::new(seed ^ 0xf04c)),
            options: self.options.clone(),
            engine: None,
            model: self.model.clone(),
            life: self.life,
            in_flight: Vec::new(),
            held: Vec::new(),
            copies: self.copies.clone(),
            copies_made: self.copies_made,
            replicas: self.replicas.clone(),
            latest_ms: self.latest_ms,
            shown: self.shown,
            armed: None,
            settled: self.settled,
            trouble: None,
            space_is_short: self.space_is_short,
            opening_fails: false,
            given_up: self.given_up,
            former: self.former.clone(),
            older: self.older.clone(),
            visible_at_end: self.visible_at_end,
            totals: Totals::default(),
            lines: self.lines.as_ref().map(|_| Vec::new()),
        }
    }

    /// The machine.
    pub fn disk(&self) -> &Arc<SimDisk> {
        &self.disk
    }

    /// Begins to keep a line for each operation and its outcome.
    pub fn keep_lines(&mut self) {
        self.lines = Some(Vec::new());
        self.disk.record_trace(true);
    }

    /// The lines kept so far.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// The keys and values that the store must hold now, in the order of the keys.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
        let state = self.model.state(u64::MAX, self.life.now.max(self.wall_ms()));
        state.into_iter().map(|(key, (_, value))| (key, value.bytes))
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    pub(crate) fn environment(&self) -> Environment {
        let disk: Arc<dyn Disk> = match self.bug {
            Some(bug) => Arc::new(MutantDisk::new(Arc::clone(&self.disk) as Arc<dyn Disk>, bug)),
            None => Arc::clone(&self.disk) as Arc<dyn Disk>,
        };
        self.environment_over(disk)
    }

    pub(crate) fn environment_over(&self, disk: Arc<dyn Disk>) -> Environment {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Environment { disk, clock, random: Arc::clone(&self.random) as _ }
    }

    pub(crate) fn engine(&self) -> Result<&Engine, Violation> {
        self.engine.as_ref().ok_or_else(|| Violation::new("the store is not open"))
    }

    pub(crate) fn visible(&self) -> u64 {
        self.engine.as_ref().map_or(0, |engine| engine.visible().get())
    }

    /// Notes that somebody has seen `stamp`.
    pub(crate) fn show(&mut self, stamp: u64) {
        self.shown = self.shown.max(stamp);
    }

    /// Whether an operation was allowed to fail with `error`; if so, it has not happened.
    pub(crate) fn refused(&mut self, error: &Error) -> Result<(), Violation> {
        if !self.disk.is_running() {
            return Ok(());
        }
        if matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::OutcomeUnknown) {
            self.life.poisoned = true;
        }
        let excused = match error.kind() {
            ErrorKind::Io
            | ErrorKind::OutOfSpace
            | ErrorKind::Poisoned
            | ErrorKind::OutcomeUnknown => self.life.faults || !self.is_trusted(),
            kind => self.is_damage(kind),
        };
        self.totals.refused += 1;
        ensure(excused, || format!("an error without a cause: {error} ({:?})", error.kind()))
    }

    /// Whether a read was allowed to fail with `error`: a store that takes no more commits serves
    /// reads all the same (I15).
    pub(crate) fn unread(&mut self, error: &Error) -> Result<(), Violation> {
        let poisoned = error.kind() == ErrorKind::Poisoned && self.disk.is_running();
        ensure(!poisoned, || format!("a read is refused for the sake of writes: {error}"))?;
        self.refused(error)
    }

    /// Lets the callers of commits in flight look.
    pub(crate) fn poll(&mut self) -> Result<(), Violation> {
        let mut waiting = Vec::new();
        for mut flight in std::mem::take(&mut self.in_flight) {
            match poll_once(&mut flight.future) {
                Poll::Pending => waiting.push(flight),
                Poll::Ready(Ok(outcome)) => {
                    if let Outcome::CheckFailed { indexes } = &outcome {
                        self.show_failure(&flight.batch, indexes, flight.compared)?;
                    }
                    self.told(&outcome, &flight.expected)?;
                }
                Poll::Ready(Err(error)) => self.refused(&error)?,
            }
        }
        self.in_flight = waiting;
        Ok(())
    }

    /// A caller was told `outcome`.
    pub(crate) fn told(&mut self, outcome: &Outcome, expected: &Outcome) -> Result<(), Violation> {
        ensure(outcome == expected, || format!("a commit came to {outcome:?}, not {expected:?}"))?;
        if let Outcome::Committed(stamp) = outcome {
            let visible = self.visible();
            ensure(visible >= stamp.get(), || {
                format!("commit {} was acknowledged while {visible} was visible", stamp.get())
            })?;
            self.totals.commits += 1;
            self.show(stamp.get());
        }
        Ok(())
    }
}

/// Polls a future of a commit, whose waker nobody needs.
pub(crate) fn poll_once(future: &mut CommitFuture) -> Poll<Result<Outcome, Error>> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("disk", &self.disk).field("life", &self.life).finish()
    }
}
