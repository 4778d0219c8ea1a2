//! One disk from empty to full and back.

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use icecore_engine::keyspace::DATA;
use icecore_engine::{Durability, Engine, Error, ErrorKind, Item, Options, Snapshot};
use icecore_sim::dice::Dice;

use crate::chronicle::batch::{HEAVY, LIGHT, Origin, free, submit};
use crate::chronicle::child::wait;
use crate::chronicle::event::Event;
use crate::chronicle::model::Chronicle;
use crate::chronicle::settings::settings;
use crate::mounts;
use crate::report::grouped;

/// A disk of this size is full after fewer commits.
const COMMITS_MAX: u64 = 100_000;

/// So many commits are tried on a full disk.
const TRIED_WHEN_FULL: usize = 30;

/// So many commits must succeed once there is room.
const RESUMED: u64 = 20;

/// So often work from the reserve is tried.
const TRIES: u32 = 1_000;

/// How long to leave the space to the others.
const PAUSE: Duration = Duration::from_millis(5);

/// Who takes the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filler {
    /// The store, up to its reserve.
    Store,
    /// Another file, down to the last byte.
    Foreign,
}

/// What was examined.
#[derive(Debug, Default)]
pub(super) struct Totals {
    refused: u64,
    acknowledged: u64,
    opened_full: u64,
    resumed: u64,
    resumed_by_reopening: u64,
    freed_from_within: u64,
    opened_on_reserve: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = grouped;
        let (acknowledged, refused) = (group(self.acknowledged), group(self.refused));
        let (full, freed) = (group(self.opened_full), group(self.freed_from_within));
        let on_reserve = group(self.opened_on_reserve);
        let (resumed, reopened) = (group(self.resumed), group(self.resumed_by_reopening));
        write!(
            f,
            "{acknowledged} acknowledged and {refused} refused commits, {full} openings without \
             space and {on_reserve} on the reserve, writes resumed {resumed} times without and \
             {reopened} times with one reopening, {freed} times by deleting from the reserve"
        )
    }
}

/// A disk, its store, and what the store must hold.
pub(super) struct Fill<'a> {
    directory: PathBuf,
    foreign: PathBuf,
    dice: Dice,
    filler: Filler,
    origin: Origin,
    number: u64,
    chronicle: Chronicle,
    totals: &'a mut Totals,
}

impl<'a> Fill<'a> {
    /// Everything on the file system `root` follows from `seed`.
    pub(super) fn new(
        root: &Path,
        seed: u64,
        dice: Dice,
        filler: Filler,
        totals: &'a mut Totals,
    ) -> Fill<'a> {
        Fill {
            directory: root.join("store"),
            foreign: root.join("foreign"),
            dice,
            filler,
            origin: Origin { seed, life: 0 },
            number: 0,
            chronicle: Chronicle::new(seed),
            totals,
        }
    }

    /// Fills it, looks at it, and makes room again; says what was wrong.
    pub(super) fn run(mut self) -> Result<(), String> {
        let mut engine = self.open(0).map_err(|e| format!("an empty disk: {e}"))?;
        for _ in 0..self.dice.below(200) {
            if !self.commit(&engine)? {
                break;
            }
        }
        let snapshot = engine.snapshot().map_err(|e| format!("a snapshot: {e}"))?;
        let before = read(&snapshot)?;
        self.fill_up(&engine)?;
        self.look(&engine, &snapshot, &before)?;
        drop(snapshot);
        let reopened = self.dice.one_in(2);
        if reopened {
            engine = self.reopen_full(engine)?;
        } else if self.filler == Filler::Store && self.dice.one_in(2) {
            engine = self.reopen_on_reserve(engine)?;
        }
        self.make_room(&mut engine, reopened)?;
        self.chronicle.verify(&engine)?;
        let closed = engine.close();
        closed.map_err(|e| format!("it cannot be closed when there is room: {e}"))?;
        drop(engine);
        let engine = self.open(0).map_err(|e| format!("it cannot be opened in the end: {e}"))?;
        self.chronicle.verify(&engine).map(drop)
    }

    fn open(&mut self, kind: u64) -> Result<Engine, Error> {
        self.origin.life = (self.origin.life % HEAVY + 1) | kind;
        let options = Options { reserve_bytes: RESERVE, ..settings(self.origin) };
        let engine = Engine::open_path(&self.directory, options)?;
        self.begin_life();
        Ok(engine)
    }

    /// Batches that follow are of another kind.
    fn turn(&mut self, kind: u64) {
        self.origin.life = (self.origin.life % HEAVY + 1) | kind;
        self.begin_life();
    }

    fn begin_life(&mut self) {
        let opened = Event::Opened { number: self.number, life: self.origin.life };
        self.chronicle.note(&opened).expect("the number is the one of the last commit");
    }

    /// One commit: whether there was room for it.
    fn commit(&mut self, engine: &Engine) -> Result<bool, String> {
        let number = self.number + 1;
        let durable = !self.dice.one_in(4);
        let durability = if durable { Durability::Sync } else { Durability::Buffered };
        match wait(submit(engine, &self.origin.batch(number), durability)) {
            Ok(stamp) => {
                self.number = number;
                self.totals.acknowledged += 1;
                self.chronicle.note(&Event::Committed { number, stamp, durable, mark: 0 })?;
                Ok(true)
            }
            Err(error) => {
                self.totals.refused += 1;
                out_of_space("a commit", Err::<(), _>(error))
            }
        }
    }

    /// Takes all the space.
    fn fill_up(&mut self, engine: &Engine) -> Result<(), String> {
        match self.filler {
            Filler::Store => {
                self.turn(HEAVY);
                for _ in 0..COMMITS_MAX {
                    if !self.commit(engine)? {
                        return Ok(());
                    }
                }
                Err("the store does not fill its disk".to_owned())
            }
            Filler::Foreign => self.take_the_rest(),
        }
    }

    fn take_the_rest(&self) -> Result<(), String> {
        mounts::take_space(&self.foreign).map_err(|e| format!("the foreign file: {e}"))
    }

    /// What must work on a full disk, and what may be refused.
    fn look(
        &mut self,
        engine: &Engine,
        snapshot: &Snapshot,
        before: &[Item],
    ) -> Result<(), String> {
        for _ in 0..self.dice.below(TRIED_WHEN_FULL) {
            self.commit(engine)?;
        }
        out_of_space("a flush", engine.flush().map(|()| true))?;
        out_of_space("a compaction", engine.compact().map(|()| true))?;
        self.commit(engine)?;
        if read(snapshot)? != before {
            return Err("a snapshot has changed".to_owned());
        }
        self.chronicle.clone().verify(engine).map(drop)
    }

    /// Closes and opens while nothing is free.
    fn reopen_full(&mut self, engine: Engine) -> Result<Engine, String> {
        self.take_the_rest()?;
        engine.close().map_err(|e| format!("it cannot be closed on a full disk: {e}"))?;
        drop(engine);
        self.take_the_rest()?;
        let engine =
            self.open(0).map_err(|e| format!("it cannot be opened on a full disk: {e}"))?;
        self.totals.opened_full += 1;
        self.chronicle.clone().verify(&engine)?;
        self.commit(&engine)?;
        Ok(engine)
    }

    /// Closes and opens while only the reserve is free: it must still take deletions.
    fn reopen_on_reserve(&mut self, engine: Engine) -> Result<Engine, String> {
        engine.close().map_err(|e| format!("it cannot be closed on its reserve: {e}"))?;
        drop(engine);
        let engine =
            self.open(0).map_err(|e| format!("it cannot be opened on its reserve: {e}"))?;
        self.totals.opened_on_reserve += 1;
        Ok(engine)
    }

    /// Gives the space back, after which commits must succeed.
    fn make_room(&mut self, engine: &mut Engine, reopened: bool) -> Result<(), String> {
        let from_within = self.filler == Filler::Store && !reopened;
        if !from_within {
            let removed = mounts::remove_file(&self.foreign);
            removed.map_err(|e| format!("the foreign file: {e}"))?;
        }
        if self.filler == Filler::Store && reopened {
            // Opened without any space, it takes no deletions either.
            self.reopen(engine)?;
        }
        if self.filler == Filler::Store {
            self.free(engine)?;
            self.totals.freed_from_within += u64::from(from_within);
        }
        self.turn(0);
        // Only a store that was opened on a full disk may need to be opened again.
        if self.resumes(engine, if reopened { 0 } else { TRIES })? {
            self.totals.resumed += u64::from(self.filler == Filler::Foreign || !reopened);
            return Ok(());
        }
        if !reopened {
            let free = mounts::free_bytes(&self.directory).map_err(|e| e.to_string())?;
            return Err(format!("commits do not go on although {free} bytes are free"));
        }
        self.reopen(engine)?;
        if self.resumes(engine, TRIES)? { Ok(()) } else { Err("commits never go on".to_owned()) }
    }

    /// The one opening that a store needs which was opened on a full disk.
    fn reopen(&mut self, engine: &mut Engine) -> Result<(), String> {
        engine.close().map_err(|e| format!("it cannot be closed once there is room: {e}"))?;
        *engine = self.open(0).map_err(|e| format!("it cannot be opened again: {e}"))?;
        self.totals.resumed_by_reopening += 1;
        Ok(())
    }

    fn resumes(&mut self, engine: &Engine, tries: u32) -> Result<bool, String> {
        for _ in 0..RESUMED {
            if !self.commit_in_time(engine, tries)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tries a commit again and again. A flush that failed on the full disk is repeated in the
    /// background; until then a commit that has to wait for it is told of the failure.
    fn commit_in_time(&mut self, engine: &Engine, tries: u32) -> Result<bool, String> {
        for _ in 0..tries {
            if self.commit(engine)? {
                return Ok(true);
            }
            thread::park_timeout(PAUSE);
        }
        self.commit(engine)
    }

    /// Deletes most of what there is with what the reserve has; that leads to room.
    fn free(&mut self, engine: &Engine) -> Result<(), String> {
        // Refused only while a compaction in the background has all the space.
        in_time("deletion", || free(engine))?;
        in_time("compaction", || engine.compact())?;
        self.turn(LIGHT);
        if !self.commit_in_time(engine, TRIES)? {
            let free = mounts::free_bytes(&self.directory).map_err(|e| e.to_string())?;
            return Err(format!("after the deletions {free} bytes are free, and none for commits"));
        }
        self.chronicle.clone().verify(engine).map(drop)
    }
}

/// Larger than all memtables of these settings, and what one merge of them writes.
const RESERVE: u64 = 2 << 20;

/// Work from the reserve succeeds, at the latest when a compaction in the background that has taken
/// the reserve has given up and removed what it wrote.
fn in_time(what: &str, work: impl Fn() -> Result<(), Error>) -> Result<(), String> {
    let mut tries = 0;
    loop {
        match work() {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::OutOfSpace && tries < TRIES => {
                tries += 1;
                thread::park_timeout(PAUSE);
            }
            Err(e) => return Err(format!("no {what} from the reserve, {tries} times: {e}")),
        }
    }
}

/// `false` for a full disk; any other error must not be.
fn out_of_space<T>(what: &str, done: Result<T, Error>) -> Result<bool, String> {
    match done {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::OutOfSpace => Ok(false),
        Err(error) => Err(format!("{what} on a full disk: {:?}: {error}", error.kind())),
    }
}

fn read(snapshot: &Snapshot) -> Result<Vec<Item>, String> {
    let items = snapshot.scan(&[DATA], &[DATA + 1]).collect::<Result<_, _>>();
    items.map_err(|e| format!("a snapshot cannot be read: {e}"))
}
