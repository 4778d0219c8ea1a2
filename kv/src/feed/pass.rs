//! One pass of a feed over its range, batch by batch. Why the batches may be of different moments
//! is argued in the [module above](super).
//!
//! 1. A batch goes on at [`Pass::position`]: below it all keys were told, at or above it none.
//! 2. Before keys of a snapshot are told, all deletions of ranges above `since` that it holds were
//!    told, except that a pass without `since` needs none: there is nothing to delete.
//! 3. Of the deletions told, [`Pass::told`] is the last. They come in the order of their stamps, then
//!    of their starts. A later snapshot has the same deletions and newer ones; of the same, some
//!    may lack parts that newer ones cover. So a deletion that is not above the mark lies in ones
//!    that were told, as long as the position stays. Once all of a snapshot at T were told, the mark
//!    is above all deletions up to T, and the position may go on.

use std::collections::VecDeque;

use bytes::Bytes;
use icecore_engine as engine;
use icecore_engine::{DeletedRange, Record};
use icecore_model::{Timestamp, Versionstamp};

use super::event::{Event, KeyRange};
use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;

/// Events in one batch: enough that taking a snapshot costs little, few enough to be held.
pub(super) const BATCH_EVENTS: usize = 256;

/// A batch ends with the event that brings it to so many bytes of keys and values.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// How far a pass is.
#[derive(Debug)]
pub(super) struct Pass {
    /// What the consumer knew before: the state at this stamp, or nothing.
    since: Option<Versionstamp>,
    /// The moment of the first batch.
    begun: Versionstamp,
    /// From this key on, nothing was told.
    position: Vec<u8>,
    /// The stamp and the start of the deletion of a range that was told last.
    told: (Versionstamp, Vec<u8>),
}

/// What came of a batch.
pub(super) enum Progress {
    /// There may be more.
    Batch,
    /// The pass has come to the end of the range.
    End,
    /// The store can no longer tell what has changed; nothing was told.
    Lost,
}

/// What may still go into a batch.
struct Room<'e> {
    events: &'e mut VecDeque<Event>,
    left: usize,
    bytes: usize,
}

impl Room<'_> {
    fn push(&mut self, event: Event, bytes: usize) {
        self.events.push_back(event);
        self.left = self.left.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_full(&self) -> bool {
        self.left == 0 || self.bytes == 0
    }
}

impl Pass {
    /// A pass for somebody who knows the state at `since`, or nothing, over the keys from `start`
    /// on, whose first batch will be read from a snapshot at `begun`.
    pub(super) fn begin(since: Option<Versionstamp>, begun: Versionstamp, start: &[u8]) -> Pass {
        let told = (since.unwrap_or_default(), Vec::new());
        Pass { since, begun, position: start.to_vec(), told }
    }

    /// The moment of the first batch.
    pub(super) fn begun(&self) -> Versionstamp {
        self.begun
    }

    /// Reads the next batch of events on keys below `end`.
    pub(super) fn read(
        &mut self,
        snapshot: &engine::Snapshot,
        end: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<Progress, Error> {
        let mut room = Room { events, left: BATCH_EVENTS, bytes: BATCH_BYTES };
        match self.since {
            None => self.read_all(snapshot, end, &mut room),
            // It belongs to another store, or to a later state of this one.
            Some(since) if since > snapshot.at() => Ok(Progress::Lost),
            Some(since) => self.read_changes(since, snapshot, end, &mut room),
        }
    }

    fn read_all(
        &mut self,
        snapshot: &engine::Snapshot,
        end: &[u8],
        room: &mut Room<'_>,
    ) -> Result<Progress, Error> {
        for item in snapshot.scan(&self.position, end) {
            let mut item = item?;
            let value = std::mem::take(&mut item.value);
            let (stamp, expires_at) = (item.stamp, item.expires_at);
            self.push_item(item.into_key(), stamp, Some((value, expires_at)), room)?;
            if room.is_full() {
                return Ok(Progress::Batch);
            }
        }
        Ok(Progress::End)
    }

    fn read_changes(
        &mut self,
        since: Versionstamp,
        snapshot: &engine::Snapshot,
        end: &[u8],
        room: &mut Room<'_>,
    ) -> Result<Progress, Error> {
        let Some(changes) = snapshot.changes(&self.position, end, since)? else {
            return Ok(Progress::Lost);
        };
        for range in changes.ranges() {
            self.push_range(range, room);
            if room.is_full() {
                return Ok(Progress::Batch);
            }
        }
        // Every start is below the end of the range.
        self.told = (snapshot.at(), end.to_vec());
        for item in changes {
            let item = item?;
            self.push_item(item.key, item.stamp, item.state, room)?;
            if room.is_full() {
                return Ok(Progress::Batch);
            }
        }
        Ok(Progress::End)
    }

    /// Tells that a range was deleted, unless that was told.
    fn push_range(&mut self, deleted: &DeletedRange, room: &mut Room<'_>) {
        let DeletedRange { start, end, stamp } = deleted;
        if (*stamp, start) > (self.told.0, &self.told.1) {
            let range = KeyRange::new(start.clone(), end.clone());
            self.told = (*stamp, start.clone());
            room.push(Event::DeletedRange { range, versionstamp: *stamp }, start.len() + end.len());
        }
    }

    fn push_item(
        &mut self,
        stored: Vec<u8>,
        stamp: Versionstamp,
        state: Option<(Bytes, Option<Timestamp>)>,
        room: &mut Room<'_>,
    ) -> Result<(), Error> {
        self.position.clear();
        self.position.extend_from_slice(&stored);
        // The first key after this one.
        self.position.push(0);
        let mut bytes = stored.len();
        let key = Key::from_stored(stored);
        let event = match state {
            Some((value, expires_at)) => {
                bytes += value.len();
                // A copy: what waits for the consumer must not keep a file or more memory alive.
                let value = Bytes::copy_from_slice(&value);
                Event::Set(Entry::new(key, Some(Record { stamp, value, expires_at }))?)
            }
            None => Event::Deleted { key, versionstamp: stamp },
        };
        room.push(event, bytes);
        Ok(())
    }
}
