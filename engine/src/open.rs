//! Opening a store: from the bytes of a directory to a [`Core`].
//!
//! 1. The directory is locked.
//! 2. `CURRENT` leads to the manifest, the manifest to the catalog. Without `CURRENT`, an empty
//!    directory becomes an empty store first, and is then opened like any other.
//! 3. The inventory: every file that the catalog lists is there, with its length.
//! 4. The log is replayed into memtables, and these are written into tables and synced: what was
//!    recovered is rewritten, because syncing again what an earlier sync failed to write would
//!    prove nothing.
//! 5. A fresh log segment is created.
//! 6. A fresh manifest lists all that and becomes `CURRENT`. This is the one step that commits the
//!    recovery: before it, the next opening does all of it again; after it, the log that was
//!    replayed is no longer part of the store, so what was cut from it stays cut.
//! 7. Files that nothing refers to are deleted.
//!
//! Only then is the first read served. So whatever a reader sees survives the next crash.
//!
//! When the disk is too full for that, what the store does not use is removed first, and if that is
//! not enough, the store is opened for reading, under the exclusive lock.
//!
//! The next stamp comes after the persisted ceiling, unless the store was closed cleanly: stamps
//! that may have been shown before a crash are not used again. Those of them that were not recovered
//! are noted as lost, so that nobody who saw one is told of changes since then. The first stamp
//! that the new life shows comes after them all, even before its first commit.

pub(crate) mod inventory;
mod replay;
mod rewriting;

use std::sync::Arc;

use icecore_disk::{Disk, Listed, LockError, LockMode, Name, OpenMode};
use icecore_memtable::{ArenaPool, CHUNK_BYTES_MIN};
use icecore_model::{Planted, Versionstamp, planted};
use icecore_sstable::{BlockCache, TableEnv};
use icecore_sync::atomic::{AtomicBool, AtomicU64};
use icecore_sync::{Mutex, RwLock};
use icecore_wal::{Commit, Ending, Log, LogEnv, Recovery};

use self::inventory::{create_empty, may_create, remove_files, take_inventory, unused_files};
use self::replay::{Piece, Replayed};
use self::rewriting::Rewriting;
use crate::core::{Core, Environment, SharedState, State, Writer};
use crate::epoch::Published;
use crate::error::Error;
use crate::expiry::{NextDue, Watermark};
use crate::keyspace::WATERMARK_KEY;
use crate::levels::{Levels, TableAccess};
use crate::manifest::{Catalog, Loaded, Manifest};
use crate::options::{Access, Options};
use crate::roster::ManifestRoster;
use crate::stats::Counters;
use crate::view::View;

/// Memtables draw their memory in chunks of at most this size.
const ARENA_CHUNK_BYTES_MAX: usize = 1 << 20;

/// A store that is opened for writing has room for so many commits, and for the ceilings that its log
/// asks for meanwhile.
const STAMPS_LEFT_MIN: u64 = 1 << 40;

/// How much of a log segment is rewritten at a time.
const REWRITE_BYTES: usize = 1 << 20;

/// A pool that keeps memory for the next memtables, in chunks that suit their size.
pub(crate) fn arena_pool(options: &Options) -> Arc<ArenaPool> {
    let bytes = options.memtable_bytes.clamp(CHUNK_BYTES_MIN, ARENA_CHUNK_BYTES_MAX);
    let chunk_bytes = 1 << bytes.ilog2();
    let chunks_per_memtable = options.memtable_bytes / chunk_bytes + 1;
    ArenaPool::new(chunk_bytes, (options.frozen_memtables_max + 1) * chunks_per_memtable)
}

/// Opens the store in the directory of `env`.
pub(crate) fn open(env: Environment, options: Options) -> Result<Core, Error> {
    options.validate()?;
    let read_only = options.access == Access::ReadOnly;
    let mode = if read_only { LockMode::Shared } else { LockMode::Exclusive };
    let disk = Arc::clone(&env.disk);
    let list = || disk.list().map_err(|e| Error::io(disk.label(), "list", e));
    let mut listed = list()?;
    // The lock leaves a file behind: a directory that never was a store is refused before that.
    if !listed.iter().any(|entry| matches!(entry.name, Ok(Name::Lock | Name::Current))) {
        may_create(&env, &options, &listed)?;
    }
    let guard = env.disk.lock(mode).map_err(|error| locked(&*env.disk, error))?;
    listed = list()?;
    let loaded = match Manifest::load(&*env.disk)? {
        Some(loaded) => {
            // A killed process may have left names that are not durable yet, `CURRENT` among them.
            // What is created next must not survive a power cut without it.
            if !read_only && !planted(Planted::OpenedOverUnsyncedNames) {
                env.disk.sync_dir().map_err(|e| Error::io(env.disk.label(), "sync", e))?;
            }
            loaded
        }
        None => {
            let created = create_empty(&env, &options, &listed)?;
            // The first manifest is soon superseded, and must be known to be removed then.
            listed = list()?;
            created
        }
    };
    take_inventory(&loaded.catalog, &listed)?;
    let access = table_access(&env, &options, &loaded.catalog);
    let pool = arena_pool(&options);
    let segments_on_disk = listed
        .iter()
        .filter_map(|entry| match entry.name {
            Ok(Name::Wal(number)) => u32::try_from(number).ok(),
            _ => None,
        })
        .collect();
    let mut opening = Opening { env, options, access, pool, loaded, segments_on_disk };
    let opened = if read_only { opening.read_only() } else { opening.read_write(&listed) };
    let mut core = match opened {
        Err(Error::OutOfSpace { .. }) if !read_only => {
            opening.make_room(&list()?)?;
            match opening.read_write(&list()?) {
                Err(Error::OutOfSpace { .. }) => {
                    opening.make_room(&list()?)?;
                    opening.full()?
                }
                opened => opened?,
            }
        }
        opened => opened?,
    };
    core.lock = Mutex::new(Some(guard));
    core.load_watermark()?;
    Ok(core)
}

pub(crate) fn locked(disk: &dyn Disk, error: LockError) -> Error {
    match error {
        LockError::Held { holder } => Error::Locked { directory: disk.label(), holder },
        LockError::Io(source) => Error::io(disk.label(), "lock", source),
    }
}

fn table_access(env: &Environment, options: &Options, catalog: &Catalog) -> Arc<TableAccess> {
    Arc::new(TableAccess {
        disk: Arc::clone(&env.disk),
        env: TableEnv {
            read_mode: options.read_mode,
            cache: Arc::new(BlockCache::new(options.cache_bytes)),
            accepted: catalog.accepted.clone(),
        },
    })
}

/// Notes in `catalog` the stamps that may have been seen and were not recovered. Gives the stamp
/// that the next life begins with.
fn note_lost(catalog: &mut Catalog, recovery: &Recovery, recovered: Versionstamp) -> Versionstamp {
    if recovery.ending == Ending::Clean || catalog.ceiling <= recovered {
        return catalog.ceiling.max(recovered);
    }
    if !planted(Planted::LossUnnoted) {
        catalog.past.note_lost(recovered, catalog.ceiling);
    }
    catalog.ceiling.next()
}

/// Writes a file's bytes where they are, and makes them durable: this needs no space. What is read
/// from here on must survive a power cut, and a sync alone would prove nothing after a sync that
/// failed. A crash on the way leaves bytes that are the same, or what was there before.
fn rewrite_in_place(disk: &dyn Disk, name: Name) -> Result<(), Error> {
    let file = disk.open(name, OpenMode::ReadWrite).map_err(|e| Error::io(name, "open", e))?;
    let (mut offset, mut buffer) = (0, vec![0; REWRITE_BYTES]);
    loop {
        let got = file.read_full_at(offset, &mut buffer);
        let got = got.map_err(|e| Error::io(name, "read", e))?;
        if got == 0 {
            break;
        }
        let written = file.write_all_at(offset, &buffer[..got]);
        written.map_err(|e| Error::io(name, "rewrite", e))?;
        offset += got as u64;
    }
    file.sync().map_err(|e| Error::io(name, "sync", e))
}

/// A store on its way from the catalog to a [`Core`].
struct Opening {
    env: Environment,
    options: Options,
    access: Arc<TableAccess>,
    pool: Arc<ArenaPool>,
    loaded: Loaded,
    segments_on_disk: Vec<u32>,
}

impl Opening {
    fn read_only(&self) -> Result<Core, Error> {
        let mut full = Vec::new();
        let mut take = |piece: &Piece, _: &[u8]| {
            let is_full = piece.memtable().memory_bytes() >= self.options.memtable_bytes;
            if is_full {
                full.insert(0, Arc::clone(piece.memtable()));
            }
            Ok(is_full)
        };
        let Replayed { recovery, rest } = self.replay(&mut take)?;
        let recovered = recovery.last.unwrap_or(self.loaded.catalog.flushed);
        let mut catalog = self.loaded.catalog.clone();
        note_lost(&mut catalog, &recovery, recovered);
        let view = View {
            live: Arc::clone(rest.memtable()),
            frozen: full,
            levels: Arc::new(Levels::from_catalog(&catalog, &Levels::default())),
        };
        let state = Arc::new(self.shared_state(catalog, None, view));
        Ok(self.core(state, None, recovered, None))
    }

    /// Opens for reading what could not be opened for writing because the disk is full: commits get
    /// [`Error::OutOfSpace`] until the store is opened again with room on the disk.
    fn full(&self) -> Result<Core, Error> {
        let unwritten = planted(Planted::FullOpeningUnwritten);
        for segment in self.loaded.catalog.segments.iter().filter(|_| !unwritten) {
            rewrite_in_place(&*self.env.disk, Name::Wal(u64::from(*segment)))?;
        }
        self.read_only()
    }

    /// Removes what the store does not use, once all of it has proved to be readable.
    fn make_room(&mut self, listed: &[Listed]) -> Result<(), Error> {
        // An opening in pieces may have come as far as another manifest.
        let loaded = Manifest::load(&*self.env.disk)?;
        self.loaded = loaded.ok_or_else(|| Error::corrupt(Name::Current, 0, "it is gone"))?;
        let mut ignore = |_: Commit<'_>| Ok(());
        let (disk, catalog) = (&*self.env.disk, &self.loaded.catalog);
        let (segments, flushed) = (&catalog.segments, catalog.flushed);
        let recovery =
            icecore_wal::recover(disk, catalog.database, segments, flushed, &mut ignore)?;
        self.compare_with_manifest(&recovery)?;
        // The last edit may have come from a process that was killed before it was durable. What it
        // took out of the store goes only when it cannot be taken back any more.
        if !planted(Planted::RoomMadeEarly) {
            // The very bytes that were understood, not those of another reading.
            let name = Name::Manifest(self.loaded.number);
            let file = disk.open(name, OpenMode::ReadWrite);
            let file = file.map_err(|e| Error::io(name, "open", e))?;
            let written = file.write_all_at(0, &self.loaded.bytes);
            written.map_err(|e| Error::io(name, "rewrite", e))?;
            file.sync().map_err(|e| Error::io(name, "sync", e))?;
        }
        let unused = unused_files(listed, catalog, self.loaded.number);
        remove_files(disk, listed, |name| unused.contains(&name))
    }

    fn read_write(&self, listed: &[Listed]) -> Result<Core, Error> {
        let disk = Arc::clone(&self.env.disk);
        let found = &self.loaded.catalog;
        self.check_stamps_left(found.ceiling.max(found.flushed))?;
        let mut rewriting = Rewriting::begin(self, listed)?;
        let replayed = self.replay(&mut |piece, image| rewriting.take(piece, image));
        let written = replayed.and_then(|Replayed { recovery, rest }| {
            if !rest.memtable().is_empty() {
                rewriting.write(rest.memtable())?;
            }
            Ok(recovery)
        });
        let recovery = written.inspect_err(|_| rewriting.abandon())?;
        let (mut catalog, number, superseded) = rewriting.end();
        let recovered = recovery.last.unwrap_or(Versionstamp::ZERO).max(catalog.flushed);
        let last = note_lost(&mut catalog, &recovery, recovered);
        let last = if planted(Planted::CeilingIgnored) { recovered } else { last };
        self.check_stamps_left(last)?;
        let segment = self.next_segment(listed)?;
        let roster = Arc::new(ManifestRoster::default());
        let log_options = self.options.log;
        let log = Log::create(self.log_env(&roster), log_options, segment, recovery.end, last)?;
        disk.sync_dir().map_err(|e| Error::io(disk.label(), "sync", e))?;
        catalog.flushed = recovered;
        catalog.ceiling = log.ceiling();
        catalog.segments = vec![segment];
        catalog.closed = false;
        let manifest = Manifest::create(&*disk, &*self.env.random, number, &catalog)?;

        let mut unused = unused_files(listed, &catalog, number);
        unused.extend(superseded);
        let (memtable, inserter) = icecore_memtable::create(&self.pool);
        let levels = Arc::new(Levels::from_catalog(&catalog, &Levels::default()));
        let view = View { live: memtable, frozen: Vec::new(), levels };
        let state = Arc::new(self.shared_state(catalog, Some(manifest), view));
        state.lock().garbage = unused;
        roster.attach(Arc::clone(&state));
        let writer = Writer { inserter, last, log_bytes: 0, deletions: false, effects: Vec::new() };
        let core = self.core(state, Some(log), last, Some(writer));
        core.collect_garbage();
        Ok(core)
    }

    /// Refuses to go on from a stamp that no store comes to.
    fn check_stamps_left(&self, last: Versionstamp) -> Result<(), Error> {
        if last.get() > Versionstamp::ISSUED_MAX.get() - STAMPS_LEFT_MIN {
            let what = format!("no store comes as far as {last}");
            return Err(Error::corrupt(Name::Manifest(self.loaded.number), 0, what));
        }
        Ok(())
    }

    fn next_segment(&self, listed: &[Listed]) -> Result<u32, Error> {
        let on_disk = listed.iter().filter_map(|entry| match entry.name {
            Ok(Name::Wal(number)) => Some(number),
            _ => None,
        });
        let known = self.loaded.catalog.segments.iter().map(|number| u64::from(*number));
        let next = on_disk.chain(known).max().map_or(1, |highest| highest + 1);
        u32::try_from(next).map_err(|_| Error::LimitExceeded {
            limit: "the number of log segments",
            max: u64::from(u32::MAX),
            got: next,
        })
    }
}

impl Opening {
    fn log_env(&self, roster: &Arc<ManifestRoster>) -> LogEnv {
        LogEnv {
            disk: Arc::clone(&self.env.disk),
            random: Arc::clone(&self.env.random),
            database: self.loaded.catalog.database,
            roster: Arc::clone(roster) as Arc<dyn icecore_wal::Roster>,
        }
    }

    fn shared_state(
        &self,
        catalog: Catalog,
        manifest: Option<Manifest>,
        view: View,
    ) -> SharedState {
        let next_manifest = manifest.as_ref().map_or(0, Manifest::number) + 1;
        let state = State {
            catalog,
            manifest,
            next_manifest,
            view: Arc::new(view),
            obsolete: Vec::new(),
            garbage: Vec::new(),
            poisoned: None,
            flush_failure: None,
            compaction_failure: None,
            maintenance_failure: None,
            changes: 0,
            stopping: false,
        };
        SharedState::new(state, self.options.reserve_bytes, Arc::clone(&self.env.disk))
    }

    fn core(
        &self,
        state: Arc<SharedState>,
        log: Option<Log>,
        recovered: Versionstamp,
        writer: Option<Writer>,
    ) -> Core {
        let view = Arc::clone(&state.lock().view);
        Core {
            env: self.env.clone(),
            options: self.options.clone(),
            access: Arc::clone(&self.access),
            pool: Arc::clone(&self.pool),
            published: Published::new(view),
            log,
            recovered,
            writer: Mutex::new(writer),
            state,
            maintenance: Mutex::new(()),
            compacting: Mutex::new(()),
            collecting: Mutex::new(()),
            watermark: RwLock::new(None),
            next_due: NextDue::unknown(),
            clock_ms: AtomicU64::new(0),
            observers: Arc::default(),
            counters: Counters::default(),
            closed: Arc::new(AtomicBool::new(false)),
            lock: Mutex::new(None),
        }
    }
}

impl Core {
    fn load_watermark(&self) -> Result<(), Error> {
        let pinned = self.published.pin(|| self.visible());
        if planted(Planted::WatermarkForgotten) {
            return Ok(());
        }
        let Some(found) = pinned.get(WATERMARK_KEY, Versionstamp::MAX, &self.access)? else {
            return Ok(());
        };
        let mark = Watermark::decode(found.value(), found.stamp());
        found.check()?;
        let mark =
            mark.ok_or_else(|| Error::corrupt("the sweeper's note", 0, "it is not a moment"))?;
        *self.watermark.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(mark);
        Ok(())
    }
}
