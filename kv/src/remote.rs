//! A store that is elsewhere, in the terms of one that is here: keys in their stored form, records,
//! commits. `batches` are its lists, `write` its commits, `watching` its watches.
//!
//! 1. *What the far end cannot do is refused before anything is sent*, with
//!    [`Unsupported`](crate::ErrorKind::Unsupported).
//! 2. *Limits are looked at here, by the code that looks at them for a store in this process.*
//! 3. *Nothing that comes is believed*: values, keys and versionstamps are decoded as those of a
//!    file are. What came in order is in order, which `icecore-remote` has made sure of.

mod batches;
mod watching;
mod write;

use std::sync::{Arc, Weak};

use bytes::Bytes;
use icecore_disk::Clock;
use icecore_disk::clock::SystemClock;
use icecore_engine::Record;
use icecore_engine::keyspace::DATA;
use icecore_model::Versionstamp;
use icecore_remote::{Client, Consistency, Settings};
use icecore_sync::{Mutex, lock};
use icecore_wire::message::{KvEntry, ReadRange, SnapshotRead, encoding};

use crate::error::{Error, ErrorKind};
use crate::limits::{Limit, at_most};
use crate::signal::Signal;
use crate::value::{self, TAG_BYTES};

pub(crate) use self::batches::Batches;
pub(crate) use self::watching::Watching;
pub(crate) use self::write::commit;

/// So many keys are read at one moment: what every server takes.
const KEYS_MAX: usize = 10;

const _: () = {
    let (v8, u64, bytes) = (encoding::V8, encoding::LE64, encoding::BYTES);
    let same = value::V8 as i32 == v8 && value::U64 as i32 == u64 && value::BYTES as i32 == bytes;
    assert!(same, "the tags of stored values are the encodings of the protocol");
};

/// An open store elsewhere.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    clock: SystemClock,
    read_only: bool,
    /// Of those who watch, to be told of the end.
    watches: Mutex<Vec<Weak<Signal>>>,
}

impl Remote {
    pub(crate) fn open(settings: Settings, read_only: bool) -> Result<Remote, Error> {
        let client = Client::open(settings)?;
        let (clock, watches) = (SystemClock::new(), Mutex::default());
        Ok(Remote { client, clock, read_only, watches })
    }

    pub(crate) fn id(&self) -> [u8; 16] {
        self.client.database_id()
    }

    pub(crate) fn close(&self) {
        self.client.close();
        let watches = std::mem::take(&mut *lock(&self.watches));
        watches.iter().filter_map(Weak::upgrade).for_each(|signal| signal.end());
    }

    /// Tells `signal` of the end of the store, if it is there until then.
    fn remember(&self, signal: &Arc<Signal>) {
        let mut watches = lock(&self.watches);
        watches.retain(|signal| signal.strong_count() > 0);
        watches.push(Arc::downgrade(signal));
        drop(watches);
        if self.client.is_closed() {
            signal.end();
        }
    }

    /// By this clock the expiries and delays of what is sent count.
    fn now_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// What is stored under these keys, all of one moment.
    pub(crate) fn get_many(&self, stored: &[&[u8]]) -> Result<Vec<Option<Record>>, Error> {
        at_most(Limit::GetManyKeys, KEYS_MAX, stored.len(), String::new)?;
        if stored.is_empty() {
            return Ok(Vec::new());
        }
        let only = |stored: &&[u8]| ReadRange {
            start: Bytes::copy_from_slice(&stored[1..]),
            end: [&stored[1..], &[0]].concat().into(),
            limit: 1,
            reverse: false,
        };
        let read = SnapshotRead { ranges: stored.iter().map(only).collect() };
        let output = self.client.snapshot_read(read, Consistency::Strong).wait()?;
        let first = |mut values: Vec<KvEntry>| values.pop().map(record).transpose();
        output.ranges.into_iter().map(|range| first(range.values)).collect()
    }
}

/// An entry as a record of the engine. When it expires, the far end does not tell.
fn record(entry: KvEntry) -> Result<Record, Error> {
    let KvEntry { key: _, value, encoding, versionstamp } = entry;
    let Some(tag) = u8::try_from(encoding).ok().filter(|tag| *tag != 0) else {
        return Err(unknown(format!("a value with the encoding {encoding}")));
    };
    let mut stored = Vec::with_capacity(TAG_BYTES + value.len());
    stored.push(tag);
    stored.extend_from_slice(&value);
    Ok(Record { stamp: stamp(&versionstamp)?, value: stored.into(), expires_at: None })
}

/// A versionstamp of the far end.
fn stamp(bytes: &[u8]) -> Result<Versionstamp, Error> {
    let stamp = Versionstamp::from_bytes(bytes);
    stamp.ok_or_else(|| unknown(format!("the versionstamp {bytes:02x?}")))
}

fn unknown(what: String) -> Error {
    let text = format!("the store that is elsewhere has sent {what}");
    Error::with_text(ErrorKind::UnknownFormat, text, "this version does not know it")
}

/// The stored form of a key that came.
fn stored(key: &[u8]) -> Vec<u8> {
    [&[DATA], key].concat()
}
