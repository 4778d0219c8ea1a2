//! One file system and its store, from one power cut to the next.
//!
//! Only what was heard before the cut began is a promise. A sync that overlaps the shutdown may
//! succeed although its data is lost: the kernel asks at the beginning of a sync whether the file
//! system is shut down. A machine without power tells nobody of such a sync.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use icecore_engine::Engine;
use icecore_sim::dice::Dice;

use crate::chronicle::batch::Origin;
use crate::chronicle::child::copy_path;
use crate::chronicle::event::Event;
use crate::chronicle::model::Chronicle;
use crate::chronicle::settings::settings;
use crate::chronicle::teller::{self, Next, Teller, ended_as_told};
use crate::mounts::{self, Failure, FileSystem, Mounted, Stage};
use crate::report::Run;

/// One store in so many begins on a fresh file system.
const FRESH_ONE_IN: u64 = 40;

/// Nothing that a child does takes so long.
const HANG: Duration = Duration::from_secs(30);

/// After the power was cut, a child may go on for so long, and must not acknowledge anything.
const AFTERLIFE: Duration = Duration::from_millis(15);

/// So many events are remembered.
const HEARD_MAX: usize = 40;

/// Lives are numbered in steps of this: a child numbers its own openings between them.
const LIFE_STEP: u64 = 1_000;

/// What was examined.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    acknowledged: u64,
    verified: u64,
    openings_cut: u64,
    copies: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = crate::report::grouped;
        let (acknowledged, verified) = (group(self.acknowledged), group(self.verified));
        let (cut, copies) = (group(self.openings_cut), group(self.copies));
        write!(
            f,
            "{acknowledged} acknowledged commits, {verified} comparisons, {cut} cuts while opening, \
             {copies} checkpoints"
        )
    }
}

/// Why a run ends.
#[derive(Debug)]
pub(crate) enum Finding {
    /// The store did not keep a promise.
    Violation(String),
    /// The machine did not do what the check needs.
    Machine(Failure),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Violation(what) => write!(f, "{what}"),
            Finding::Machine(failure) => write!(f, "the check cannot go on: {failure}"),
        }
    }
}

impl<E: Into<Failure>> From<E> for Finding {
    fn from(failure: E) -> Finding {
        Finding::Machine(failure.into())
    }
}

fn violation(what: impl Into<String>) -> Finding {
    Finding::Violation(what.into())
}

/// An image and the history of the store on it.
pub(crate) struct Site<'a> {
    stage: &'a Stage,
    run: &'a Run,
    file_system: FileSystem,
    dice: Dice,
    image: Option<PathBuf>,
    options: &'static str,
    chronicle: Chronicle,
    /// The number of the store on it, counted over the whole run.
    store: u64,
    life: u64,
    /// Lives since the last comparison.
    unseen: u64,
    /// What was heard last, for whoever looks into a violation.
    heard: VecDeque<String>,
}

impl<'a> Site<'a> {
    /// A site without a file system yet.
    pub(crate) fn new(stage: &'a Stage, run: &'a Run, file_system: FileSystem) -> Site<'a> {
        Site {
            stage,
            run,
            file_system,
            dice: Dice::new(run.seed() ^ file_system.bytes()),
            image: None,
            options: "",
            chronicle: Chronicle::new(0),
            store: 0,
            life: 0,
            unseen: 0,
            heard: VecDeque::new(),
        }
    }

    /// What was heard last.
    pub(crate) fn heard(&self) -> impl Iterator<Item = &String> {
        self.heard.iter()
    }

    fn remember(&mut self, what: impl fmt::Display) {
        self.heard.push_back(what.to_string());
        if self.heard.len() > HEARD_MAX {
            self.heard.pop_front();
        }
    }

    /// Where the run is, for messages.
    pub(crate) fn describe(&self) -> String {
        let options = if self.options.is_empty() { "its defaults" } else { self.options };
        let (life, name) = (self.life / LIFE_STEP, self.file_system.name());
        format!("life {life} of store {} on {name}, mounted with {options}", self.store)
    }

    /// The kind of its file system.
    pub(crate) fn file_system(&self) -> FileSystem {
        self.file_system
    }

    /// Copies the image as it was before the last comparison out of the stage.
    pub(crate) fn keep_image(&self) -> Result<PathBuf, Failure> {
        let seed = self.run.seed();
        let name = format!("icecore-powercut-{seed}.{}", self.file_system.name());
        let path = std::env::temp_dir().join(name);
        mounts::copy_image(&self.stage.path(&self.name("before")), &path)?;
        Ok(path)
    }

    /// One life of the store, up to its power cut.
    pub(crate) fn cycle(&mut self, totals: &mut Totals) -> Result<(), Finding> {
        if self.image.is_none() || self.dice.one_in(FRESH_ONE_IN) {
            self.verify(totals)?;
            self.begin_anew()?;
        }
        if self.unseen > 0 && (self.unseen > 3 || self.dice.one_in(2)) {
            self.verify(totals)?;
        }
        let mounted = self.mount()?;
        self.life += LIFE_STEP;
        self.unseen += 1;
        self.chronicle.begin();
        let before = self.chronicle.durable();
        self.live_and_cut(&mounted, totals)?;
        totals.acknowledged += self.chronicle.durable() - before;
        mounted.unmount()?;
        Ok(())
    }

    /// Compares the store with what it must hold, if there is one.
    pub(crate) fn verify(&mut self, totals: &mut Totals) -> Result<(), Finding> {
        let Some(image) = self.image.clone().filter(|_| self.unseen > 0) else { return Ok(()) };
        mounts::copy_image(&image, &self.stage.path(&self.name("before")))?;
        let mounted = self.mount()?;
        let directory = mounted.path().join("store");
        let copies = self.chronicle.verify_copies(|copy| copy_path(&directory, copy));
        totals.copies += copies.map_err(violation)?;
        for (path, _) in mounts::files(mounted.path())? {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store.copy"))
            {
                mounts::remove_directory(&path)?;
            }
        }
        self.life += LIFE_STEP;
        let options = settings(Origin { seed: self.store_seed(), life: self.life });
        let engine = Engine::open_path(&directory, options)
            .map_err(|e| violation(format!("the store cannot be opened: {e}")))?;
        let number = self.chronicle.verify(&engine).map_err(violation)?;
        self.remember(format_args!("compared at batch {number}"));
        // Half of the lives end without a clean end of the log.
        if self.dice.one_in(2) {
            engine.close().map_err(|e| violation(format!("the store cannot be closed: {e}")))?;
        }
        drop(engine);
        mounted.unmount()?;
        totals.verified += 1;
        self.unseen = 0;
        Ok(())
    }

    fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.file_system.name())
    }

    fn store_seed(&self) -> u64 {
        self.run.seed() ^ (self.store << 32)
    }

    fn begin_anew(&mut self) -> Result<(), Finding> {
        let bytes = self.file_system.bytes();
        self.image = Some(self.stage.image(&self.name("image"), self.file_system, bytes)?);
        self.options = match self.file_system {
            FileSystem::Ext4 => self.dice.pick(&[
                "commit=1,data=ordered",
                "commit=5,data=ordered",
                "commit=1000,data=ordered",
                "commit=1,data=writeback",
                "commit=1000,data=writeback",
                "commit=1,data=journal",
                "commit=1000,data=journal",
            ]),
            FileSystem::Xfs | FileSystem::Btrfs => "",
        };
        self.store += 1;
        (self.life, self.unseen) = (0, 0);
        self.chronicle = Chronicle::new(self.store_seed());
        Ok(())
    }

    fn mount(&self) -> Result<Mounted, Failure> {
        let image = self.image.as_ref().ok_or("there is no image")?;
        self.stage.mount(image, &self.name("disk"), self.options)
    }

    /// Lets a child work, and cuts the power at some moment.
    fn live_and_cut(&mut self, mounted: &Mounted, totals: &mut Totals) -> Result<(), Finding> {
        let directory = mounted.path().join("store");
        let origin = Origin { seed: self.store_seed(), life: self.life };
        let mut child = Teller::start(teller::command(&directory, origin))?;
        let while_opening = self.dice.one_in(4);
        if !while_opening {
            self.hear_until(&mut child, HANG, |event| matches!(event, Event::Opened { .. }))?;
        }
        let most_us = if while_opening { 8_000 } else { self.dice.pick(&[1_000, 20_000, 50_000]) };
        let moment = Duration::from_micros(self.dice.below(most_us) as u64);
        let opened = self.hear_until(&mut child, moment, |_| false)?;
        self.remember("the power is cut");
        mounted.cut_power()?;
        totals.openings_cut += u64::from(while_opening && !opened);
        self.hear_end(&mut child)
    }

    /// Listens until an event that is waited for, at most for so long. Says whether the store was
    /// opened meanwhile.
    fn hear_until(
        &mut self,
        child: &mut Teller,
        patience: Duration,
        awaited: impl Fn(&Event) -> bool,
    ) -> Result<bool, Finding> {
        let end = self.run.elapsed() + patience;
        let mut opened = false;
        loop {
            let rest = end.saturating_sub(self.run.elapsed());
            match child.next(rest)? {
                Next::Silence if patience == HANG => return Err(violation("a child hangs")),
                Next::Silence => return Ok(opened),
                Next::End => return Err(violation(format!("a child ended: {}", child.wait()?))),
                Next::Event(event) => {
                    opened |= matches!(event, Event::Opened { .. });
                    self.note_living(&event)?;
                    if awaited(&event) {
                        return Ok(opened);
                    }
                }
            }
        }
    }

    /// Before the power cut nothing may fail.
    fn note_living(&mut self, event: &Event) -> Result<(), Finding> {
        let failed = matches!(
            event,
            Event::Failed { .. } | Event::Trouble { .. } | Event::Unopened { .. } | Event::Done
        );
        self.remember(event);
        if failed {
            return Err(violation(format!("a child failed on an intact disk: {event}")));
        }
        self.chronicle.note(event).map_err(violation)
    }

    /// After it everything may fail, but what is said must be true.
    fn hear_end(&mut self, child: &mut Teller) -> Result<(), Finding> {
        let end = self.run.elapsed() + AFTERLIFE;
        let mut killed = false;
        loop {
            match child.next(if killed { HANG } else { end.saturating_sub(self.run.elapsed()) })? {
                Next::Event(event) => {
                    self.remember(&event);
                    self.chronicle.note_too_late(&event).map_err(violation)?;
                }
                Next::Silence if killed => return Err(violation("a child cannot be killed")),
                Next::Silence => {
                    child.kill()?;
                    killed = true;
                }
                Next::End => break,
            }
        }
        let status = child.wait()?;
        if ended_as_told(status) {
            return Ok(());
        }
        Err(violation(format!("a child ended with {status} after the power cut")))
    }
}
