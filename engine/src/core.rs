//! The parts of an open store, and the locks that guard them.
//!
//! Locks are taken in this order, never the other way round:
//!
//! 1. `maintenance` (one holder flushes, sweeps, prepares log segments), `compacting`, and
//!    `collecting` (one holder deletes files), in this order where several are needed;
//! 2. `writer`: what a commit needs exclusively;
//! 3. `state`: the catalog, the manifest and the current view.
//!
//! The log and the published view have locks of their own, taken after all of these.
//! I/O happens under `state` only for manifest edits: an edit and the change of the catalog that
//! it describes must not be separated. Readers never take any of the three.
//!
//! A lock is taken although a holder of it panicked: everything behind our locks is consistent
//! between any two statements, and a panic inside a commit poisons the store by itself.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use icecore_disk::{Clock, Disk, LockGuard, Name, Random};
use icecore_memtable::{ArenaPool, Inserter, Memtable};
use icecore_model::{Planted, Timestamp, Versionstamp, planted};
use icecore_sync::atomic::{AtomicBool, AtomicU64, Ordering};
use icecore_sync::{Condvar, Mutex, MutexGuard, RwLock, lock};
use icecore_wal::Log;

use crate::epoch::Published;
use crate::error::Error;
use crate::expiry::{NextDue, Watermark};
use crate::levels::{Levels, TableAccess, TableHandle};
use crate::manifest::{Catalog, Edit, Manifest};
use crate::observe::Registry;
use crate::options::{Access, Options};
use crate::stats::Counters;
use crate::view::View;

/// The world that a store lives in.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Salts and identities.
    pub random: Arc<dyn Random>,
}

/// An open store.
pub(crate) struct Core {
    pub(crate) env: Environment,
    pub(crate) options: Options,
    pub(crate) access: Arc<TableAccess>,
    pub(crate) pool: Arc<ArenaPool>,
    pub(crate) published: Published<View>,
    /// `None` when the store is open for reading only.
    pub(crate) log: Option<Log>,
    /// What is visible when there is no log.
    pub(crate) recovered: Versionstamp,
    pub(crate) writer: Mutex<Option<Writer>>,
    pub(crate) state: Arc<SharedState>,
    pub(crate) maintenance: Mutex<()>,
    pub(crate) compacting: Mutex<()>,
    pub(crate) collecting: Mutex<()>,
    pub(crate) watermark: RwLock<Option<Watermark>>,
    /// When the sweeper is to look next.
    pub(crate) next_due: NextDue,
    /// The highest reading of the wall clock in this life, in milliseconds.
    pub(crate) clock_ms: AtomicU64,
    /// Shared with observations, which do not keep the store open.
    pub(crate) observers: Arc<Registry>,
    pub(crate) counters: Counters,
    pub(crate) closed: Arc<AtomicBool>,
    pub(crate) lock: Mutex<Option<Box<dyn LockGuard>>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.env.disk.label();
        f.debug_struct("Core")
            .field("directory", &directory)
            .field("visible", &self.visible())
            .finish_non_exhaustive()
    }
}

/// What a commit needs exclusively.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) inserter: Inserter,
    /// The last stamp that was issued.
    pub(crate) last: Versionstamp,
    /// About how many bytes of the log belong to the live memtable.
    pub(crate) log_bytes: u64,
    /// The live memtable holds deletions: once it is flushed, compaction can give space back.
    pub(crate) deletions: bool,
    /// The encoded effects of the commit at hand; kept for its memory.
    pub(crate) effects: Vec<u8>,
}

/// The state that the log's roster shares with the engine.
#[derive(Debug)]
pub(crate) struct SharedState {
    state: Mutex<State>,
    /// Something changed that a stalled commit or an idle worker may be waiting for.
    changed: Condvar,
    /// Disk space that commits leave free.
    pub(crate) reserve_bytes: u64,
    pub(crate) disk: Arc<dyn Disk>,
}

/// The catalog and what hangs on it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) catalog: Catalog,
    /// `None` when the store is open for reading only.
    pub(crate) manifest: Option<Manifest>,
    /// The number of the next manifest; none is given twice.
    pub(crate) next_manifest: u64,
    /// The view that is published.
    pub(crate) view: Arc<View>,
    /// Tables that are no longer part of the store but may still be read.
    pub(crate) obsolete: Vec<Arc<TableHandle>>,
    /// Files that nobody refers to any more.
    pub(crate) garbage: Vec<Name>,
    /// The first failure that left the outcome of a write open.
    pub(crate) poisoned: Option<String>,
    /// Why the last attempt of a flush failed, if it did.
    pub(crate) flush_failure: Option<Error>,
    /// Why the last attempt of a compaction failed, if it did.
    pub(crate) compaction_failure: Option<Error>,
    /// Why the last round of other work failed, if it did: sweeping, segments, beacons.
    pub(crate) maintenance_failure: Option<Error>,
    /// Counts changes, so that a waiter can tell one from a spurious wake-up.
    pub(crate) changes: u64,
    /// Workers are to end.
    pub(crate) stopping: bool,
}

impl SharedState {
    pub(crate) fn new(state: State, reserve_bytes: u64, disk: Arc<dyn Disk>) -> SharedState {
        SharedState { state: Mutex::new(state), changed: Condvar::new(), reserve_bytes, disk }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Tells everybody who waits that something changed.
    pub(crate) fn announce(&self, state: &mut State) {
        state.changes += 1;
        self.changed.notify_all();
    }

    /// Waits until something has changed since the count of changes was `seen`, or `patience` has
    /// passed, or the store is being closed. The caller looks again at whatever it waits for.
    pub(crate) fn wait_for_change(&self, seen: u64, patience: Duration) {
        let unchanged = |state: &mut State| state.changes == seen && !state.stopping;
        let waited = self.changed.wait_timeout_while(self.lock(), patience, unchanged);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    pub(crate) fn check_poison(&self) -> Result<(), Error> {
        match &self.poisoned {
            Some(cause) => Err(Error::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Makes `edit` durable and carries it out on the catalog. Any failure after the space was
    /// reserved poisons the store: whether the edit is on the disk cannot be known. So does an edit
    /// that does not fit: then the catalog that was read is not true, although its checksums agree.
    pub(crate) fn edit(&mut self, mut edit: Edit) -> Result<(), Error> {
        self.check_poison()?;
        let manifest = self.manifest.as_mut().ok_or(Error::ReadOnly)?;
        edit.next_table =
            (!planted(Planted::TableNumbersForgotten)).then_some(self.catalog.next_table);
        let mut catalog = self.catalog.clone();
        if let Err(what) = catalog.apply(&edit) {
            let error = Error::corrupt(Name::Manifest(manifest.number()), 0, what);
            self.poisoned = Some(error.to_string());
            return Err(error);
        }
        manifest.reserve(edit.encode().len())?;
        if let Err(error) = manifest.append(&edit, catalog.flushed) {
            let full = matches!(error, Error::OutOfSpace { .. });
            let forgiven = full && planted(Planted::HalfEditForgiven);
            if !forgiven && !planted(Planted::FailedEditForgiven) {
                self.poisoned = Some(error.to_string());
            }
            return Err(error);
        }
        self.catalog = catalog;
        Ok(())
    }

    /// Takes the next table number. It is never given again: see [`Catalog::next_table`].
    pub(crate) fn take_table_number(&mut self) -> u64 {
        let number = self.catalog.next_table;
        self.catalog.next_table += 1;
        number
    }

    /// Notes that tables were written and not installed. If the store is poisoned, an edit that
    /// lists them may be on the disk: then they stay until the store is opened.
    pub(crate) fn abandon(&mut self, tables: impl IntoIterator<Item = u64>) {
        if self.poisoned.is_none() || planted(Planted::AbandonedInDoubt) {
            self.garbage.extend(tables.into_iter().map(Name::Table));
        }
    }

    /// Notes that `handles` left the catalog; their files go when the last reader is done.
    pub(crate) fn retire(&mut self, handles: impl IntoIterator<Item = Arc<TableHandle>>) {
        self.obsolete.extend(handles);
    }
}

impl Core {
    pub(crate) fn log(&self) -> Result<&Log, Error> {
        self.log.as_ref().ok_or_else(|| self.why_not_writable())
    }

    /// Why there is no log: the store was to be read only, or the disk was too full to open it for
    /// writing.
    pub(crate) fn why_not_writable(&self) -> Error {
        match self.options.access {
            Access::ReadOnly => Error::ReadOnly,
            Access::ReadWrite => Error::OutOfSpace { action: "recover the store for writing" },
        }
    }

    /// The newest stamp that readers may see.
    #[inline]
    pub(crate) fn visible(&self) -> Versionstamp {
        self.log.as_ref().map_or(self.recovered, Log::visible)
    }

    /// The clock: milliseconds since the epoch, never less than before in this life.
    pub(crate) fn now_ms(&self) -> u64 {
        let wall = self.env.clock.wall_ms();
        if planted(Planted::ClockGoesBack) {
            return wall;
        }
        self.clock_ms.fetch_max(wall, Ordering::SeqCst).max(wall)
    }

    /// Whether an entry of this stamp and expiry is absent at the clock reading `now_ms`.
    pub(crate) fn has_expired(
        &self,
        stamp: Versionstamp,
        expires_at: Option<Timestamp>,
        now_ms: impl FnOnce() -> u64,
    ) -> bool {
        let Some(moment) = expires_at else { return planted(Planted::AbsentExpiryIsZero) };
        if planted(Planted::ExpiryIgnored) {
            return false;
        }
        moment.ms() <= now_ms() || self.watermark().is_some_and(|mark| mark.covers(stamp, moment))
    }

    pub(crate) fn watermark(&self) -> Option<Watermark> {
        *self.watermark.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// No reader, present or future, asks at a stamp below this one.
    pub(crate) fn floor(&self) -> Versionstamp {
        if planted(Planted::SnapshotsIgnored) {
            return self.visible();
        }
        self.published.floor(|| self.visible())
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Publishes another view. The caller holds the state.
    pub(crate) fn publish(&self, state: &mut State, view: View) {
        let view = Arc::new(view);
        state.view = Arc::clone(&view);
        self.published.publish(view);
        self.state.announce(state);
    }

    /// Carries out `edit` and publishes the levels that it leads to, with `frozen` memtables.
    pub(crate) fn install(
        &self,
        state: &mut State,
        edit: Edit,
        frozen: Vec<Arc<Memtable>>,
    ) -> Result<(), Error> {
        state.edit(edit)?;
        self.roll_manifest(state);
        let levels = Arc::new(Levels::from_catalog(&state.catalog, &state.view.levels));
        let live = Arc::clone(&state.view.live);
        self.publish(state, View { live, frozen, levels });
        Ok(())
    }

    /// Replaces a manifest that has grown long by a fresh one. When that fails, the long one stays
    /// in use, and it is tried again after the next edit; only a failed switch poisons the store,
    /// as it leaves open which of them counts.
    fn roll_manifest(&self, state: &mut State) {
        let Some(old) = state.manifest.as_ref().filter(|manifest| manifest.wants_roll()) else {
            return;
        };
        let (old, number) = (old.number(), state.next_manifest);
        state.next_manifest += 1;
        let (disk, random) = (&*self.env.disk, &*self.env.random);
        match Manifest::prepare(disk, random, number, &state.catalog) {
            Err(_) => {
                self.counters.roll_failed();
                state.garbage.extend([Name::Manifest(number), Name::Temp(number)]);
            }
            Ok(manifest) => match manifest.switch(disk) {
                Err(error) => state.poisoned = Some(error.to_string()),
                Ok(()) => {
                    state.manifest = Some(manifest);
                    state.garbage.push(Name::Manifest(old));
                }
            },
        }
    }

    /// Refuses every further commit; reads go on.
    pub(crate) fn poison(&self, cause: &Error) {
        let mut state = self.state.lock();
        state.poisoned.get_or_insert_with(|| cause.to_string());
        self.state.announce(&mut state);
        drop(state);
        self.settle_poison();
    }

    /// Lets a store that was poisoned by its manifest poison its log, too. The caller does not
    /// hold the state: this may wake whoever waits for a commit.
    pub(crate) fn settle_poison(&self) {
        let poisoned = self.state.lock().poisoned.is_some();
        if let Some(log) = &self.log
            && poisoned
            && !log.is_poisoned()
        {
            log.poison();
        }
    }
}
