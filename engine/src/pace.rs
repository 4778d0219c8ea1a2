//! Keeping the pace of writers: where the stall policy meets the store.

use std::time::Duration;

use crate::compact::pick::owed_bytes;
use crate::core::Core;
use crate::error::Error;
use crate::options::Workers;
use crate::stall::{Bounds, Load, Pace, Reason, pace};

/// How long a stopped commit waits before it looks again although nothing was announced.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

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
    pub(crate) fn keep_pace(&self) -> Result<(), Error> {
        // Without a log nobody would ever make room: what was recovered stays in memory.
        self.log()?;
        loop {
            match self.pace() {
                Pace::Free => return Ok(()),
                Pace::Delay(time, _) => {
                    if self.options.workers == Workers::Threads {
                        self.delay(time);
                    }
                    return Ok(());
                }
                Pace::Stop(reason) => self.wait_for_room(reason)?,
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
    /// failure.
    fn wait_for_room(&self, reason: Reason) -> Result<(), Error> {
        self.check_open()?;
        self.counters.stopped();
        if self.options.workers == Workers::Manual {
            let flushed = self.maintain(Core::flush_oldest)?;
            if !self.compact_once()? && !flushed && matches!(self.pace(), Pace::Stop(_)) {
                return Err(Error::invalid("the stall policy stops writers for no reason"));
            }
            self.collect_garbage();
            return Ok(());
        }
        let seen = {
            let state = self.state.lock();
            state.check_poison()?;
            let merging = match reason {
                Reason::FrozenMemtables => None,
                Reason::LevelZeroTables | Reason::OwedBytes => state.compaction_failure.as_ref(),
            };
            if let Some(error) = state.flush_failure.as_ref().or(merging) {
                return Err(error.clone());
            }
            state.changes
        };
        self.state.wait_for_change(seen, STOP_PATIENCE);
        Ok(())
    }
}
