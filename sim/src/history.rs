//! Histories as values: what happens to a store, one operation after the other.

use icecore_disk::sim::{Failure, OpKind};
use icecore_engine::{Durability, Options};

use crate::batch::MutationSpec;

/// A check whose expectation is settled when it is carried out.
#[derive(Clone, Debug)]
pub struct CheckPlan {
    /// The key.
    pub key: Vec<u8>,
    /// Whether it names the stamp that the key has at that moment, or another.
    pub right: bool,
}

/// How the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The power is cut: any of what is pending survives.
    Power,
    /// The process is killed: all that was written survives.
    Kill,
}

/// The lives after a stop.
#[derive(Clone, Debug)]
pub struct Revival {
    /// How the machine stops.
    pub fate: Fate,
    /// The recoveries that follow are stopped at these of their operations, one each, in this way.
    pub nested: Vec<(u64, Fate)>,
    /// The settings of the next life; `None` for the same.
    pub options: Option<Box<Options>>,
}

impl Revival {
    /// A stop from which the store is recovered at once.
    pub fn plain(fate: Fate) -> Revival {
        Revival { fate, nested: Vec::new(), options: None }
    }

    /// The worst that happens before the store is open again.
    pub fn worst(&self) -> Fate {
        let powerless = self.nested.iter().any(|(_, fate)| *fate == Fate::Power);
        if powerless { Fate::Power } else { self.fate }
    }
}

/// One thing that happens to a store.
#[derive(Clone, Debug)]
pub enum Op {
    /// A commit.
    Commit {
        /// Its checks.
        checks: Vec<CheckPlan>,
        /// Its mutations.
        mutations: Vec<MutationSpec>,
        /// When it counts as done.
        durability: Durability,
        /// Whether the caller waits for it, or leaves it in flight.
        wait: bool,
    },
    /// The callers of commits in flight look whether they are done.
    Poll,
    /// A point read.
    Get(Vec<u8>),
    /// Several point reads of one moment.
    GetMany(Vec<Vec<u8>>),
    /// A walk over a range.
    Scan {
        /// The first key.
        start: Vec<u8>,
        /// The first key after it.
        end: Vec<u8>,
        /// Which end each step is taken at: one bit each, from the lowest, then again.
        sides: u64,
    },
    /// A snapshot is taken and held.
    Snapshot,
    /// The snapshots that are held are read again; then all but `keep` of them are let go.
    CheckSnapshots {
        /// How many to keep.
        keep: usize,
    },
    /// A replica, by its number, learns what has changed since it looked last.
    Follow(usize),
    /// Everything in memory is written into tables.
    Flush,
    /// Tables are merged as far as it is of use.
    Compact,
    /// One piece of background work.
    Step(u64),
    /// All background work is done; then no file is left over.
    Quiesce,
    /// A copy of the store is made.
    Checkpoint,
    /// The store is checked in whole.
    Check,
    /// The wall clock moves by so many milliseconds.
    Clock(i64),
    /// The store is closed, or only dropped, and opened again.
    Reopen {
        /// Whether it is closed in an orderly way.
        close: bool,
        /// Whether it is first opened for reading only.
        look_first: bool,
        /// The call of the opening that fails, and how.
        failure: Option<(u64, Failure)>,
        /// The settings of the next life; `None` for the same.
        options: Option<Box<Options>>,
    },
    /// The machine stops between two operations.
    Stop(Revival),
    /// The machine is going to stop inside one of the next operations of the disk.
    StopAfter {
        /// How many operations it still does.
        operations: u64,
        /// What comes then.
        revival: Revival,
    },
    /// The next calls of a kind fail.
    Fail {
        /// The kind.
        kind: OpKind,
        /// The error.
        failure: Failure,
        /// How many fail.
        times: u64,
    },
    /// The disk has room for so many more bytes; `None` for any number.
    Space(Option<u64>),
    /// There is room again, and nothing fails: the store takes commits again.
    Resume,
    /// Somebody else opens the store.
    Rival {
        /// The file `LOCK` was deleted and made anew before.
        anew: bool,
    },
    /// The store rests, and copies of it suffer damage; the store itself does not.
    Damage {
        /// Whether it is closed in an orderly way.
        close: bool,
        /// How it stops.
        fate: Fate,
        /// The damage, one for each copy.
        seeds: Vec<u64>,
    },
}
