//! How much to slow writers down: a pure function of what waits to be flushed and merged.

use std::time::Duration;

/// What waits.
pub(crate) struct Load {
    pub(crate) level0_tables: usize,
    pub(crate) frozen_memtables: usize,
    pub(crate) owed_bytes: u64,
}

/// When it is too much.
pub(crate) struct Bounds {
    pub(crate) level0_tables: usize,
    pub(crate) frozen_memtables: usize,
    pub(crate) level_base_bytes: u64,
}

/// How fast writers may go.
pub(crate) enum Pace {
    Free,
    Delay(Duration),
    Stop(&'static str),
}

impl Pace {
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Pace::Stop(reason) => Some(reason),
            _ => None,
        }
    }
}

pub(crate) fn pace(load: &Load, bounds: &Bounds) -> Pace {
    if load.frozen_memtables >= bounds.frozen_memtables {
        Pace::Stop("frozen memtables wait to be flushed")
    } else if load.level0_tables > 5 * bounds.level0_tables {
        Pace::Stop("level 0 waits to be merged")
    } else {
        Pace::Free
    }
}
