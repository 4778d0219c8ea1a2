//! What may be demanded of a store, after what its disk has done.
//!
//! 1. As long as the disk has only stopped, failed and said so (C, K, E1 to E4, E10, short and
//!    failing reads), everything: the store opens, and nothing that was promised is missing.
//! 2. Once the disk has *betrayed* the store (E5, E6, E8, E9, bad sectors and wrong bits of E7), no
//!    store can keep every promise. It may refuse with a typed error, to open as well as to read. If
//!    it opens, it shows the state after some prefix of the commits in stamp order, without a hole
//!    and without anything that was never there. What such a disk has lost, it may bring back by its
//!    next lie, in its very place: then the prefix is one of what was known before the loss. What
//!    the store answers while it runs is right or an error.
//! 3. A store that says that it is damaged is *given up*: that is the end of the history, and no
//!    violation.
//!
//! In none of this may it panic, or go on for ever.

use icecore_disk::Name;
use icecore_engine::{Error, ErrorKind};

use crate::model::{Model, State};
use crate::violation::{Violation, ensure};
use crate::world::World;

/// How many states that were lost are remembered.
const FORMER_MAX: usize = 4;

/// What a disk that broke its word had lost. It may bring it back, to the byte.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    model: Model,
    /// How often it had broken its word by then.
    lies: u64,
}

impl World {
    /// Whether the disk has kept its word so far.
    pub(crate) fn is_trusted(&self) -> bool {
        self.disk.betrayals() == 0
    }

    /// Whether errors are drawn at any time.
    pub(crate) fn is_noisy(&self) -> bool {
        self.rules != self.rules.calm()
    }

    /// Does something while the disk draws no errors, as the oracle does whose own reads are to
    /// succeed.
    pub(crate) fn quietly<T>(&mut self, act: impl FnOnce(&mut World) -> T) -> T {
        let rules = self.disk.rules();
        self.disk.set_rules(rules.calm());
        let result = act(self);
        self.disk.set_rules(rules);
        result
    }

    /// Whether a store on a disk that broke its word may fail with an error of this kind.
    pub(crate) fn is_damage(&self, kind: ErrorKind) -> bool {
        use ErrorKind::{Corrupt, Io, NotFound, UnknownFormat};
        matches!(kind, Corrupt | Io | NotFound | UnknownFormat) && !self.is_trusted()
    }

    /// A store says that it is damaged, with reason: it is not opened again.
    pub(crate) fn give_up(&mut self, error: &Error) {
        self.note(|| format!("  given up: {error}"));
        self.totals.given_up += 1;
        self.given_up = true;
        self.let_go();
    }

    /// The last commit of the prefix that was found on a disk that broke its word, and, if the disk
    /// has since brought back what it had lost, the former model that knows that prefix.
    pub(crate) fn find_any_end(
        &self,
        found: &State,
        now: u64,
    ) -> Result<(u64, Option<usize>), Violation> {
        let end_in = |model: &Model| {
            model.all_ends().into_iter().rev().find(|end| model.state(*end, now) == *found)
        };
        if let Some(end) = end_in(&self.model) {
            return Ok((end, None));
        }
        // A disk that stops lying brings nothing back.
        let lies = self.disk.betrayals();
        let former = self.former.iter().enumerate().rev().filter(|(_, former)| former.lies < lies);
        for (place, former) in former {
            if let Some(end) = end_in(&former.model) {
                return Ok((end, Some(place)));
            }
        }
        Err(Violation::new(format!(
            "after {lies} betrayals, {} entries are the state after none of {} prefixes, nor of {} \
             states that were lost",
            found.len(),
            self.model.all_ends().len(),
            self.former.len(),
        )))
    }

    /// The store has lost commits that were promised, and goes on after `end` and `last`. So it has
    /// where it shows again what `former` knows, and what came later is lost.
    pub(crate) fn roll_back(&mut self, end: u64, last: u64, former: Option<usize>) {
        self.totals.rollbacks += u64::from(end < self.model.durable());
        if self.model.all_ends().last().is_some_and(|newest| end < *newest) || former.is_some() {
            let lies = self.disk.betrayals();
            self.former.push(Former { model: self.model.clone(), lies });
        }
        if let Some(place) = former {
            self.model = self.former[place].model.clone();
        }
        if self.former.len() > FORMER_MAX {
            self.former.remove(0);
        }
        self.model.roll_back(end);
        self.shown = last;
        self.replicas = Default::default();
        self.copies.clear();
    }

    /// I15: after a sync of the log or of the manifest has failed and said so, no commit is taken
    /// until the store is opened again.
    pub(crate) fn check_fail_stop(&self, stamp: u64) -> Result<(), Violation> {
        let failed = self.disk.unsynced_files(self.life.failed_syncs);
        let mut fatal = failed.iter().filter(|n| matches!(n, Name::Wal(_) | Name::Manifest(_)));
        match fatal.next() {
            Some(name) => Err(Violation::new(format!(
                "commit {stamp} was taken although a sync of {name} had failed"
            ))),
            None => Ok(()),
        }
    }

    /// I13: what is let go closes its files.
    pub(crate) fn check_nothing_is_open(&self) -> Result<(), Violation> {
        let open = self.disk.open_files();
        ensure(open == 0, || format!("{open} files are open, and no store"))
    }
}
