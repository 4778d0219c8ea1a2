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
//!
//! The maintenance thread sleeps until the next entry is due ([`NextDue`]), but never longer than
//! [`IDLE_PATIENCE`]:
//!
//! 1. *The next due moment decides when the sweeper looks, and where in the index it begins*: what
//!    lies before it are the remains of what was swept, which grow until a compaction drops them.
//!    What is due is judged by the clock. The moment need not survive a crash: it is unknown after
//!    opening, and found at the first idle round. When the clock is set forward, entries are swept
//!    after [`IDLE_PATIENCE`] at the latest.
//! 2. *No entry is due before it.* A commit lowers it under the writer lock. It is raised only from
//!    the index ([`Core::find_next_due`]): under the writer lock it is set to "none", then every
//!    commit up to that hold of the lock becomes visible, then the first key of the index is read.
//!    So a commit before that hold is in what is read, and a commit after it lowers it again.
//! 3. *The sweeper does not spin.* When nothing is due it sleeps for [`SWEEP_PAUSE`] at least, so that
//!    many entries that are due one after the other cost few commits. It waits by the wall clock as
//!    it stands, also when that stepped back behind the highest reading. A moment that has passed is
//!    replaced once nothing is due. When sweeping fails, the worker waits as after any failure.

use std::time::Duration;

use icecore_model::{Change, Effect, Reader, Timestamp, Versionstamp};
use icecore_sync::atomic::{AtomicU64, Ordering};
use icecore_sync::lock;
use icecore_wal::Durability;

use crate::core::Core;
use crate::error::Error;
use crate::keyspace::{self, WATERMARK_KEY};
use crate::scan::Scan;
use crate::worker::IDLE_PATIENCE;

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

/// When the next entry is due, in milliseconds since the epoch, as far as is known.
#[derive(Debug)]
pub(crate) struct NextDue(AtomicU64);

impl NextDue {
    /// No entry expires.
    const NEVER: u64 = u64::MAX;
    /// One may be due at any time.
    const UNKNOWN: u64 = 0;

    pub(crate) fn unknown() -> NextDue {
        NextDue(AtomicU64::new(NextDue::UNKNOWN))
    }

    fn ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Sets it to "never"; says what it was.
    fn forget(&self) -> u64 {
        self.0.swap(NextDue::NEVER, Ordering::SeqCst)
    }

    fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    /// Says whether it was later before.
    fn lower(&self, ms: u64) -> bool {
        self.0.fetch_min(ms, Ordering::SeqCst) > ms
    }
}

/// The shortest sleep of the sweeper: what is due within it goes in one commit. An entry is swept so
/// late at most, when nothing else holds the sweeper up.
const SWEEP_PAUSE: Duration = Duration::from_millis(5);

const _: () = assert!(SWEEP_PAUSE.as_millis() < IDLE_PATIENCE.as_millis());

/// How long the sweeper sleeps when the wall clock reads `wall_ms`.
fn patience(next_due_ms: u64, wall_ms: u64) -> Duration {
    let until_due = Duration::from_millis(next_due_ms.saturating_sub(wall_ms));
    until_due.clamp(SWEEP_PAUSE, IDLE_PATIENCE)
}

/// Entries of the expiry index that are due.
struct Due {
    /// Their keys and moments, oldest first.
    entries: Vec<(Vec<u8>, Timestamp)>,
    /// There may be others, of the last moment, too.
    more: bool,
}

/// The place in the index before all entries that are due at `ms` or later.
fn index_from(ms: u64) -> Vec<u8> {
    match Timestamp::from_ms(ms) {
        Some(moment) => keyspace::expiry_key(moment, &[]),
        None => vec![keyspace::EXPIRY],
    }
}

/// Takes a key of the index apart.
fn parse(index: &[u8]) -> Result<(Timestamp, &[u8]), Error> {
    keyspace::parse_expiry_key(index).ok_or_else(|| {
        Error::corrupt("the expiry index", 0, "a key that is not of the index's form")
    })
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
        let start = index_from(self.next_due.ms());
        let end = match now_ms.checked_add(1).and_then(Timestamp::from_ms) {
            Some(after) => keyspace::expiry_key(after, &[]),
            None => vec![keyspace::EXPIRY + 1],
        };
        let mut due = Vec::new();
        let mut bytes = 0;
        for item in Scan::new(self.picture(None), &start, &end) {
            let item = item?;
            let (moment, _) = parse(item.key())?;
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

    /// Notes that an entry was set which expires at `moment`. The caller holds the writer lock, and
    /// has read the clock.
    pub(crate) fn expect_expiry(&self, moment: Timestamp, now_ms: u64) {
        // The sweeper looks in time for what is far off.
        let is_soon = Duration::from_millis(moment.ms().saturating_sub(now_ms)) <= IDLE_PATIENCE;
        if self.next_due.lower(moment.ms()) && is_soon {
            self.state.announce(&mut self.state.lock());
        }
    }

    /// How long the sweeper may sleep.
    pub(crate) fn sweep_patience(&self) -> Duration {
        patience(self.next_due.ms(), self.env.clock.wall_ms())
    }

    /// Finds out when the next entry is due, if what is known has passed.
    pub(crate) fn find_next_due(&self) -> Result<(), Error> {
        if self.next_due.ms() > self.now_ms() {
            return Ok(());
        }
        let (last, from_ms) = {
            let writer = lock(&self.writer);
            let from_ms = self.next_due.forget();
            (writer.as_ref().map_or(self.recovered, |writer| writer.last), from_ms)
        };
        let visible = self.log()?.wait(last).map_err(Error::from);
        let found = visible.and_then(|()| self.first_expiry(from_ms));
        match &found {
            Ok(first) => {
                self.next_due.lower(first.map_or(NextDue::NEVER, Timestamp::ms));
            }
            Err(_) => self.next_due.set(NextDue::UNKNOWN),
        }
        found.map(drop)
    }

    /// The moment of the first entry of the expiry index; none is due before `from_ms`.
    fn first_expiry(&self, from_ms: u64) -> Result<Option<Timestamp>, Error> {
        let start = index_from(from_ms);
        let index = Scan::new(self.picture(None), &start, &[keyspace::EXPIRY + 1]);
        let first = index.keys().next().transpose()?;
        first.map(|key| Ok(parse(&key)?.0)).transpose()
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
mod tests;
