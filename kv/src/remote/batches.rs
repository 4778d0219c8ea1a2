//! Lists of a store elsewhere: batch by batch, from both ends.
//!
//! 1. What was not read yet lies in `[start, end)`, which each batch makes smaller. It is at its end
//!    when a batch brings fewer entries than it was asked for.
//! 2. What was read and not taken is in `front`, in order, and in `back`, in reverse order. All of
//!    `front` lies before the range, and all of `back` behind it; so when the range is empty, the
//!    one goes on with the end of the other.
//! 3. A batch is of one moment. The next one is of a later one, and shows what has been committed
//!    meanwhile, behind the place that was reached.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use icecore_engine::Record;
use icecore_remote as remote;
use icecore_wire::message::{KvEntry, ReadRange, SnapshotRead};

use super::{Remote, record, stored};
use crate::error::Error;
use crate::list::Consistency;
use crate::walk::Settings;

/// How many entries are asked for at once, if the caller does not say, and at most if he names only
/// a limit: as in Deno.
const BATCH: usize = 100;
const BATCH_MAX: usize = 500;

/// A walk through a range of a store elsewhere.
#[derive(Debug)]
pub(crate) struct Batches {
    remote: Arc<Remote>,
    consistency: remote::Consistency,
    batch: usize,
    start: Bytes,
    end: Bytes,
    front: VecDeque<KvEntry>,
    back: VecDeque<KvEntry>,
}

impl Batches {
    /// Goes through `[start, end)`, which have their keyspace byte.
    pub(crate) fn new(
        remote: &Arc<Remote>,
        start: &[u8],
        end: &[u8],
        settings: &Settings,
    ) -> Batches {
        let usual = settings.limit.unwrap_or(BATCH).min(BATCH_MAX);
        Batches {
            remote: Arc::clone(remote),
            consistency: match settings.consistency {
                Consistency::Strong => remote::Consistency::Strong,
                Consistency::Eventual => remote::Consistency::Eventual,
            },
            batch: settings.batch_size.unwrap_or(usual).clamp(1, 1_000),
            start: bound(start),
            end: bound(end),
            front: VecDeque::new(),
            back: VecDeque::new(),
        }
    }

    /// Reads the next batch from one end.
    fn read(&mut self, reverse: bool) -> Result<(), Error> {
        let limit = i32::try_from(self.batch).expect("a batch is small");
        let (start, end) = (self.start.clone(), self.end.clone());
        let range = ReadRange { start, end, limit, reverse };
        let read = SnapshotRead { ranges: vec![range] };
        let output = self.remote.client.snapshot_read(read, self.consistency).wait()?;
        let values = output.ranges.into_iter().next().map_or_else(Vec::new, |range| range.values);
        match values.last() {
            Some(last) if values.len() == self.batch => {
                if reverse {
                    self.end = last.key.clone();
                } else {
                    self.start = [&last.key[..], &[0]].concat().into();
                }
            }
            _ => self.start = self.end.clone(),
        }
        let side = if reverse { &mut self.back } else { &mut self.front };
        side.extend(values);
        Ok(())
    }

    fn take(&mut self, reverse: bool) -> Option<Result<(Vec<u8>, Record), Error>> {
        let is_there = |batches: &Batches| {
            if reverse { !batches.back.is_empty() } else { !batches.front.is_empty() }
        };
        if !is_there(self)
            && self.start < self.end
            && let Err(error) = self.read(reverse)
        {
            return Some(Err(error));
        }
        let entry = if reverse {
            self.back.pop_front().or_else(|| self.front.pop_back())
        } else {
            self.front.pop_front().or_else(|| self.back.pop_back())
        };
        let entry = entry?;
        let key = stored(&entry.key);
        Some(record(entry).map(|record| (key, record)))
    }
}

/// A bound without its keyspace byte. The end of all keys is that of the keyspace; no key begins
/// with `FF`.
fn bound(stored: &[u8]) -> Bytes {
    use icecore_engine::keyspace::DATA;
    match stored.split_first() {
        Some((&DATA, encoded)) => Bytes::copy_from_slice(encoded),
        _ => Bytes::from_static(&[0xff]),
    }
}

impl Iterator for Batches {
    type Item = Result<(Vec<u8>, Record), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(false)
    }
}

impl DoubleEndedIterator for Batches {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(true)
    }
}
