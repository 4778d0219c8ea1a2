//! Errors of the disk that wait for their call.

use icecore_disk::sim::{Failure, SimDisk};

use crate::world::World;

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub struct TroubleKind {
    /// The error.
    pub failure: Failure,
    /// Whether all later calls fail, too.
    pub for_ever: bool,
}

/// The kinds of trouble that each call of each script meets.
pub const TROUBLES: [TroubleKind; 6] = [
    TroubleKind { failure: Failure::Io, for_ever: false },
    TroubleKind { failure: Failure::NoSpace, for_ever: false },
    TroubleKind { failure: Failure::Short, for_ever: false },
    TroubleKind { failure: Failure::Interrupted, for_ever: false },
    TroubleKind { failure: Failure::Io, for_ever: true },
    TroubleKind { failure: Failure::NoSpace, for_ever: true },
];

/// What goes wrong, and from which call of the machine's life on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: TroubleKind,
    pub(crate) call: u64,
}

impl Trouble {
    pub(crate) fn arm(self, disk: &SimDisk) {
        if self.kind.for_ever {
            disk.fail_calls_from(self.call, self.kind.failure);
        } else {
            disk.fail_call(self.call, self.kind.failure);
        }
    }

    pub(crate) fn has_struck(self, disk: &SimDisk) -> bool {
        disk.calls() > self.call
    }

    /// Whether any further call is going to fail.
    pub(crate) fn is_to_come(self, disk: &SimDisk) -> bool {
        self.kind.for_ever || !self.has_struck(disk)
    }

    pub(crate) fn later_by(self, calls: u64) -> Trouble {
        Trouble { call: self.call + calls, ..self }
    }
}

impl World {
    /// Arms `trouble`: from here on, calls may fail.
    pub(crate) fn arm(&mut self, trouble: Trouble) {
        self.life.faults = true;
        trouble.arm(&self.disk);
    }
}
