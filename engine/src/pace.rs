//! Keeping the pace of writers: where the stall policy meets the store.

use std::time::Duration;

use icecore_wal::Claim;

use crate::compact::pick::owed_bytes;
use crate::core::Core;
use crate::error::Error;
use crate::options::Workers;
use crate::stall::{Bounds, Load, Pace, Reason, pace};

/// How long a stopped commit waits before it looks again although nothing was announced.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// So often a stopped commit has the workers try again when there is room. The first attempt that
/// fails may have begun before there was.
const RETRIES: u32 = 2;

impl Core {
    /// How fast writers may go at this moment.
    pub(crate) fn pace(&self) -> Pace {
        let pinned = self.published.pin(|| self.visible());
        let load = Load {
            level0_tables: pinned.levels.zero().len(),
            frozen_memtables: pinned.frozen.len(),
            owed_bytes: owed_bytes(
                pinned.levels.zero().len(),
                pinned.levels.bytes(),
                &self.shape(),
            ),
        };
        pace(&load, &self.bounds())
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            level0_tables: self.options.level0_tables,
            frozen_memtables: self.options.frozen_memtables_max,
            level_base_bytes: self.options.level_base_bytes,
        }
    }

    /// Holds a commit back as long as flush and compaction need it.
    pub(crate) fn keep_pace(&self, claim: Claim) -> Result<(), Error> {
        // Without a log nobody would ever make room: what was recovered stays in memory.
        self.log()?;
        let mut retries = RETRIES;
        loop {
            match self.pace() {
                Pace::Free => return Ok(()),
                Pace::Delay(time, _) => {
                    if self.options.workers == Workers::Threads {
                        self.delay(time);
                    }
                    return Ok(());
                }
                Pace::Stop(reason) => match self.wait_for_room(reason, &mut retries) {
                    // What cannot be merged for want of room may fit once more of it is deleted.
                    // What deletions take of memory is bounded all the same.
                    Err(Error::OutOfSpace { .. })
                        if claim == Claim::Freeing && reason == Reason::LevelZeroTables =>
                    {
                        return Ok(());
                    }
                    waited => waited?,
                },
            }
        }
    }

    /// Waits for `time`, or until something changes. It is a wait, never a spin.
    fn delay(&self, time: Duration) {
        let seen = self.state.lock().changes;
        self.counters.delayed(time);
        self.state.wait_for_change(seen, time);
    }

    /// Waits until a flush or a compaction has changed something, or does one where there are no
    /// threads for it. If the last attempt of what would help failed, so does the commit: with that
    /// failure, unless it was want of room and there is room now.
    fn wait_for_room(&self, reason: Reason, retries: &mut u32) -> Result<(), Error> {
        self.check_open()?;
        self.counters.stopped();
        if self.options.workers == Workers::Manual {
            let flushed = self.maintain(Core::flush_oldest);
            let done = flushed.and_then(|flushed| Ok(self.compact_once()? || flushed));
            // Also what has failed leaves something behind: it may be what fills the disk.
            self.collect_garbage();
            if !done? && matches!(self.pace(), Pace::Stop(_)) {
                return Err(Error::invalid("the stall policy stops writers for no reason"));
            }
            return Ok(());
        }
        let (failure, seen) = {
            let state = self.state.lock();
            state.check_poison()?;
            let merging = match reason {
                Reason::FrozenMemtables => None,
                Reason::LevelZeroTables | Reason::OwedBytes => state.compaction_failure.as_ref(),
            };
            (state.flush_failure.as_ref().or(merging).cloned(), state.changes)
        };
        match failure {
            None => self.state.wait_for_change(seen, STOP_PATIENCE),
            Some(Error::OutOfSpace { .. }) if *retries > 0 && self.has_room()? => {
                *retries -= 1;
                let mut state = self.state.lock();
                state.flush_failure = None;
                state.compaction_failure = None;
                // Wakes the workers, which would wait longer after a failure.
                self.state.announce(&mut state);
            }
            Some(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the disk has room for commits again, and for the table of a memtable.
    fn has_room(&self) -> Result<bool, Error> {
        let disk = &self.env.disk;
        let free = disk.free_bytes().map_err(|e| Error::io(disk.label(), "measure", e))?;
        Ok(free >= self.options.reserve_bytes.max(self.options.memtable_bytes as u64))
    }
}
