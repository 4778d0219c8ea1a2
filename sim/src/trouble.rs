//! Errors of the disk that wait for their call.

use std::fmt;
use std::str::FromStr;

use icecore_disk::sim::{Failure, Rules, SimDisk};

use crate::violation::Violation;
use crate::world::World;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TroubleKind {
    /// Its name on the command line.
    name: &'static str,
    /// The error.
    pub failure: Failure,
    /// Whether all later calls fail, too.
    pub for_ever: bool,
    /// Whether what a failing sync drops is gone from the cache at once (rule E4), and not later.
    pub reverts: bool,
}

const fn once(name: &'static str, failure: Failure) -> TroubleKind {
    TroubleKind { name, failure, for_ever: false, reverts: false }
}

const fn for_ever(name: &'static str, failure: Failure) -> TroubleKind {
    TroubleKind { for_ever: true, ..once(name, failure) }
}

/// The kinds of trouble that each call of each script meets. A sync that fails with an I/O error
/// drops some of what it was to make durable: rule E3.
/// One that tells only other handles of it (rule E6) breaks the word of the disk.
pub const TROUBLES: [TroubleKind; 12] = [
    once("io", Failure::Io),
    once("no-space", Failure::NoSpace),
    once("quota", Failure::Quota),
    once("short", Failure::Short),
    once("interrupted", Failure::Interrupted),
    TroubleKind { reverts: true, ..once("reverting", Failure::Io) },
    once("stray", Failure::Stray),
    for_ever("io-for-ever", Failure::Io),
    for_ever("no-space-for-ever", Failure::NoSpace),
    for_ever("quota-for-ever", Failure::Quota),
    TroubleKind { reverts: true, ..for_ever("reverting-for-ever", Failure::Io) },
    for_ever("stray-for-ever", Failure::Stray),
];

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for TroubleKind {
    type Err = Violation;

    fn from_str(name: &str) -> Result<TroubleKind, Violation> {
        let known = TROUBLES.into_iter().find(|kind| kind.name == name);
        known.ok_or_else(|| Violation::new(format!("{name:?} is no kind of trouble")))
    }
}

/// What goes wrong, and at which calls of the machine's life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    /// The call that fails.
    pub(crate) call: u64,
    /// A later call that fails, too.
    pub(crate) second: Option<u64>,
}

impl Trouble {
    pub(crate) fn new(kind: TroubleKind, call: u64) -> Trouble {
        Trouble { kind, call, second: None }
    }

    pub(crate) fn arm(self, disk: &SimDisk) {
        disk.set_rules(Rules { sync_reverts: self.kind.reverts, ..disk.rules() });
        if self.kind.for_ever {
            disk.fail_calls_from(self.call, self.kind.failure);
        } else {
            disk.fail_call(self.call, self.kind.failure);
        }
        if let Some(second) = self.second {
            disk.fail_call(second, self.kind.failure);
        }
    }

    pub(crate) fn has_struck(self, disk: &SimDisk) -> bool {
        disk.calls() > self.second.unwrap_or(self.call)
    }

    /// Whether any further call is going to fail.
    pub(crate) fn is_to_come(self, disk: &SimDisk) -> bool {
        self.kind.for_ever || !self.has_struck(disk)
    }

    pub(crate) fn later_by(self, calls: u64) -> Trouble {
        Trouble { call: self.call + calls, second: self.second.map(|call| call + calls), ..self }
    }
}

impl World {
    /// Arms `trouble`: from here on, calls may fail.
    pub(crate) fn arm(&mut self, trouble: Trouble) {
        self.life.faults = true;
        trouble.arm(&self.disk);
    }
}
