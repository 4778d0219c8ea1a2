//! Expiry: the sweeper that turns expired entries into deletions.
//!
//! Reads hide an expired entry from the instant on, so the sweeper changes no answer: it tells
//! watchers, gives the space back, and makes the end of an entry independent of the clock. It
//! walks the expiry index, which is ordered by time, and deletes by ordinary commits.
//!
//! The *watermark* is how far it has come: a time and the stamp of the commit that noted it.
//! Entries at or below that stamp that expire at or before that time stay absent although the
//! clock steps back. The stamp bounds the harm that one wild reading of the clock can do: entries
//! written later are judged by the clock alone.

use icecore_model::{Change, Effect, Reader, Timestamp, Versionstamp};
use icecore_wal::Durability;

use crate::core::Core;
use crate::error::Error;
use crate::keyspace::{self, WATERMARK_KEY};
use crate::scan::Scan;

/// How far the sweeper has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watermark {
    pub(crate) moment: Timestamp,
    pub(crate) stamp: Versionstamp,
}

/// Entries swept by one commit: enough to be cheap, few enough not to hold up other commits.
const SWEEP_ENTRIES_MAX: usize = 256;

/// Tags and lengths of the two effects that end an entry, and a share of the watermark's.
const EFFECT_OVERHEAD: usize = 32;

impl Watermark {
    pub(crate) fn covers(&self, stamp: Versionstamp, moment: Timestamp) -> bool {
        stamp <= self.stamp && moment <= self.moment
    }

    fn encode(moment: Timestamp) -> [u8; 8] {
        moment.ms().to_le_bytes()
    }

    /// Reads the note that the commit `stamp` made.
    pub(crate) fn decode(value: &[u8], stamp: Versionstamp) -> Option<Watermark> {
        let mut reader = Reader::new(value);
        let moment = Timestamp::from_ms(reader.u64("a moment").ok()?)?;
        reader.finish("the end").ok()?;
        Some(Watermark { moment, stamp })
    }
}

/// Entries of the expiry index that are due.
struct Due {
    /// Their keys and moments, oldest first.
    entries: Vec<(Vec<u8>, Timestamp)>,
    /// There may be others, of the last moment, too.
    more: bool,
}

impl Core {
    /// Deletes one batch of what has expired. Says whether there was anything.
    pub(crate) fn sweep(&self) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        let Due { entries: due, more } = self.due(now_ms)?;
        let Some((_, last)) = due.last() else { return Ok(false) };
        // A full batch may end among entries of one moment: only those before it are done with.
        let done = if more { Timestamp::from_ms(last.ms() - 1) } else { Some(*last) };
        // A mark never goes back: after the clock did, what lies below the old mark is still hidden
        // by it, and what is swept here is deleted in any case.
        let done = done.filter(|moment| self.watermark().is_none_or(|old| *moment > old.moment));
        let durability = Durability::Buffered;
        let stamp = self.commit_effects(durability, &mut |core, _stamp, effects| {
            for (index, expired) in &due {
                core.expire(index, *expired, effects)?;
            }
            if let Some(moment) = done {
                let change = Change::Put { value: &Watermark::encode(moment), expires_at: None };
                Effect::Point { key: WATERMARK_KEY, change }.encode(effects);
            }
            Ok(())
        })?;
        if let Some(moment) = done {
            let mark = Some(Watermark { moment, stamp });
            *self.watermark.write().unwrap_or_else(std::sync::PoisonError::into_inner) = mark;
        }
        self.counters.swept(due.len());
        Ok(true)
    }

    /// The entries of the expiry index that are due, oldest first, each with its moment: as many as
    /// one commit takes, and whether there may be more.
    fn due(&self, now_ms: u64) -> Result<Due, Error> {
        let start = [keyspace::EXPIRY];
        let end = match now_ms.checked_add(1).and_then(Timestamp::from_ms) {
            Some(after) => keyspace::expiry_key(after, &[]),
            None => vec![keyspace::EXPIRY + 1],
        };
        let mut due = Vec::new();
        let mut bytes = 0;
        for item in Scan::new(self.picture(None), &start, &end) {
            let item = item?;
            let (moment, _) = keyspace::parse_expiry_key(item.key()).ok_or_else(|| {
                Error::corrupt("the expiry index", 0, "a key that is not of the index's form")
            })?;
            // The entry and its companion, both with their lengths.
            bytes += 2 * item.key().len() + EFFECT_OVERHEAD;
            let is_full = due.len() == SWEEP_ENTRIES_MAX || bytes > self.options.commit_bytes_max;
            if is_full && !due.is_empty() {
                return Ok(Due { entries: due, more: true });
            }
            due.push((item.into_key(), moment));
        }
        Ok(Due { entries: due, more: false })
    }

    /// The effects that end one entry: the companion in the index goes in any case, the entry
    /// itself only if it is still the one that the companion was written for.
    fn expire(&self, index: &[u8], moment: Timestamp, effects: &mut Vec<u8>) -> Result<(), Error> {
        let (_, key) = keyspace::parse_expiry_key(index).expect("due keys parse");
        let pinned = self.published.pin(|| self.visible());
        let found = pinned.get(key, Versionstamp::MAX, &self.access)?;
        let is_same = found.as_ref().is_some_and(|found| found.expires_at() == Some(moment));
        found.map_or(Ok(()), |found| found.check())?;
        if is_same {
            Effect::Point { key, change: Change::Delete }.encode(effects);
        }
        Effect::Point { key: index, change: Change::Delete }.encode(effects);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use icecore_disk::clock::ManualClock;
    use icecore_disk::random::SeededRandom;
    use icecore_disk::sim::{Rules, SimDisk};

    use super::*;
    use crate::batch::{Batch, Mutation};
    use crate::core::Environment;
    use crate::options::{Options, Workers};

    fn open(disk: &Arc<SimDisk>, now_ms: u64) -> Core {
        let env = Environment {
            disk: disk.clone(),
            clock: Arc::new(ManualClock::at(now_ms)),
            random: Arc::new(SeededRandom::new(now_ms)),
        };
        let options = Options { workers: Workers::Manual, reserve_bytes: 0, ..Options::default() };
        crate::open::open(env, options).unwrap()
    }

    /// Sets a key that expires at `moment_ms`, and sweeps until nothing is left to do.
    fn sweep_one(core: &Core, key: u8, moment_ms: u64) -> Option<Watermark> {
        let expires_at = Timestamp::from_ms(moment_ms);
        let set = Mutation::Set { key: &[keyspace::DATA, key], value: b"v", expires_at };
        let batch = Batch { checks: &[], mutations: &[set] };
        core.commit(batch, Durability::Buffered).map(drop).unwrap();
        while core.sweep().unwrap() {}
        core.watermark()
    }

    #[test]
    fn a_compaction_acts_on_what_the_sweeper_noted_only_once_the_note_is_durable() {
        let core = open(&SimDisk::new(1, Rules::none()), 2_000);
        let mark = sweep_one(&core, b'a', 1_500).unwrap();
        assert!(core.log.as_ref().unwrap().durable_stamp() < mark.stamp);
        assert_eq!(core.expired_before(), None);
        core.log.as_ref().unwrap().sync().unwrap();
        assert_eq!(core.expired_before().map(|expired| expired.stamp), Some(mark.stamp));
    }

    #[test]
    fn the_watermark_does_not_go_back_with_the_clock() {
        let disk = SimDisk::new(1, Rules::none());
        let mark = sweep_one(&open(&disk, 2_000), b'a', 1_500).unwrap();
        assert_eq!(mark.moment.ms(), 1_500);
        let core = open(&disk, 1_000);
        assert_eq!(core.watermark(), Some(mark));
        assert_eq!(sweep_one(&core, b'b', 900), Some(mark));
        drop(core);
        let core = open(&disk, 1_000);
        assert_eq!(core.watermark(), Some(mark), "nor on the disk");
        assert!(sweep_one(&core, b'c', 400).is_some_and(|mark| mark.moment.ms() == 1_500));
    }
}
