//! A picture of the store that stays as it is.

use std::sync::Arc;

use icecore_model::{Timestamp, Versionstamp};
use icecore_sync::atomic::{AtomicBool, Ordering};

use crate::core::Core;
use crate::engine::{Record, Shared, record};
use crate::epoch::Held;
use crate::error::Error;
use crate::expiry::Watermark;
use crate::levels::TableAccess;
use crate::scan::Scan;
use crate::view::{View, WARM_MAX, warm};

/// A view, a stamp and a reading of the clock: the same reads give the same answers for as long as
/// it lives. It keeps the memory and the files that it reads from, and keeps the store open; after
/// [`Engine::close`](crate::Engine::close), reads get [`Error::Closed`].
#[derive(Clone, Debug)]
pub struct Snapshot {
    shared: Arc<Picture>,
}

/// What snapshots and scans read from.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) view: Arc<View>,
    pub(crate) access: Arc<TableAccess>,
    pub(crate) now_ms: u64,
    pub(crate) watermark: Option<Watermark>,
    /// The store was closed: its files are no longer ours.
    closed: Arc<AtomicBool>,
    held: Held,
    /// Keeps the store open, if the picture was handed out.
    _open: Option<Arc<Shared>>,
}

impl Picture {
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn at(&self) -> Versionstamp {
        self.held.at()
    }

    pub(crate) fn has_expired(&self, stamp: Versionstamp, expires_at: Option<Timestamp>) -> bool {
        expires_at.is_some_and(|moment| {
            moment.ms() <= self.now_ms
                || self.watermark.is_some_and(|mark| mark.covers(stamp, moment))
        })
    }
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Picture>) -> Snapshot {
        Snapshot { shared }
    }

    pub(crate) fn picture(&self) -> &Arc<Picture> {
        &self.shared
    }

    /// The stamp of the newest commit in the picture.
    pub fn at(&self) -> Versionstamp {
        self.shared.at()
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a table cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Record>, Error> {
        let picture = &*self.shared;
        picture.check_open()?;
        let found = picture.view.get(key, picture.at(), &picture.access);
        // Once the store is closed, somebody else may delete what the picture leads to.
        let found = found.or_else(|error| picture.check_open().and(Err(error)))?;
        let present = found.filter(|f| !picture.has_expired(f.stamp(), f.expires_at()));
        present.as_ref().map(record).transpose()
    }

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Record>>, Error> {
        let mut records = Vec::with_capacity(keys.len());
        for keys in keys.chunks(WARM_MAX) {
            warm(&self.shared.view, keys);
            for key in keys {
                records.push(self.get(key.as_ref())?);
            }
        }
        Ok(records)
    }

    /// The entries with keys in `[start, end)`, in key order.
    pub fn scan(&self, start: &[u8], end: &[u8]) -> Scan {
        Scan::new(Arc::clone(&self.shared), start, end)
    }

    /// How many entries have keys in `[start, end)`.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn count(&self, start: &[u8], end: &[u8]) -> Result<u64, Error> {
        self.scan(start, end).count_entries()
    }
}

impl Core {
    /// A picture of this moment. `open` keeps the store open as long as it lives.
    pub(crate) fn picture(&self, open: Option<Arc<Shared>>) -> Arc<Picture> {
        let (view, held) = self.published.hold(|| self.visible());
        // The clock comes after the stamp: its reading is at least that of every commit in view.
        let now_ms = self.now_ms();
        Arc::new(Picture {
            view,
            access: Arc::clone(&self.access),
            now_ms,
            watermark: self.watermark(),
            closed: Arc::clone(&self.closed),
            held,
            _open: open,
        })
    }
}
