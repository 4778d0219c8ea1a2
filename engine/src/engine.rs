//! The handle of an open store: what callers see.

use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use icecore_disk::clock::SystemClock;
use icecore_disk::os_code;
use icecore_disk::random::SystemRandom;
use icecore_disk::real::RealDisk;
use icecore_disk::{Disk, MemoryDisk};
use icecore_model::{DatabaseId, Timestamp, Versionstamp};
use icecore_sync::atomic::Ordering;
use icecore_sync::{lock, thread};
use icecore_wal::Durability;

use crate::batch::{Batch, Outcome};
use crate::check::CheckReport;
use crate::commit::CommitFuture;
use crate::core::{Core, Environment};
use crate::error::Error;
use crate::manifest::Edit;
use crate::open;
use crate::options::{Access, Create, Options, Workers};
use crate::scan::Scan;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::view::{WARM_MAX, warm};
use crate::worker::{Step, Threads};

/// An open store. Cheap to clone; the store stays open until the last clone, the last snapshot and
/// the last scan are gone.
///
/// Dropping the last clone loses nothing that was acknowledged. [`Engine::close`] does the same in
/// an orderly way and reports what goes wrong.
///
/// ```
/// use icecore_engine::{Batch, Engine, Mutation, Options, Outcome, keyspace::DATA};
///
/// # let directory = tempfile::tempdir().unwrap();
/// let engine = Engine::open_path(directory.path().join("store"), Options::default())?;
/// let mutations = [Mutation::Set { key: &[DATA, b'k'], value: b"v", expires_at: None }];
/// let outcome = engine.commit(Batch { checks: &[], mutations: &mutations })?;
/// let Outcome::Committed(stamp) = outcome else { unreachable!("there was no check") };
/// let record = engine.get(&[DATA, b'k'])?.expect("it was set");
/// assert_eq!((record.stamp, &record.value[..]), (stamp, &b"v"[..]));
/// engine.close()?;
/// # Ok::<(), icecore_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
}

/// What all handles of a store share. The store is closed with the last of them.
#[derive(Debug)]
pub(crate) struct Shared {
    core: Arc<Core>,
    threads: Option<Threads>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.core.closed.swap(true, Ordering::SeqCst) {
            // There is nobody to tell. Whatever failed, everything acknowledged is in the log, and
            // the next opening recovers it; whoever wants to know calls `close`. The panic of an
            // observer, if any, must not leave a drop.
            drop(self.close());
        }
    }
}

impl Shared {
    /// Ends the workers and the log, and gives the lock back. The second part is the panic of an
    /// observer, for the caller to go on with.
    fn close(&self) -> (Result<(), Error>, thread::Result<()>) {
        let core = &self.core;
        // Waits for the commit at hand; later ones find the store closed.
        let last = lock(&core.writer).as_ref().map(|writer| writer.last);
        let stopped = core.stop_workers();
        let told = core.observers.close();
        if self.threads.as_ref().is_some_and(Threads::include_caller) {
            // A worker closes the store from inside a piece of work, whose locks it holds. The
            // directory is given back when the last worker has ended, as for a killed process.
            return (stopped, told);
        }
        if let Some(threads) = &self.threads {
            threads.join();
        }
        // A flush or a compaction that a caller runs is waited for; none begins after this. The
        // locks are kept until the directory is somebody else's.
        let _maintenance = lock(&core.maintenance);
        let _compacting = lock(&core.compacting);
        let _collecting = lock(&core.collecting);
        let noted = stopped.and_then(|()| core.note_clean_end(last));
        // The lock goes in any case: the process may want to open the store again.
        *lock(&core.lock) = None;
        (noted, told)
    }
}

/// The present value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The commit that set it.
    pub stamp: Versionstamp,
    /// The value. It may keep a larger piece of memory or a file alive: copy it to let go. What
    /// keeps a file alive could be read when it was handed out; if the medium loses it after that,
    /// it shows zeros there.
    pub value: Bytes,
    /// From this moment on the key is absent.
    pub expires_at: Option<Timestamp>,
}

/// A spare segment in memory holds what its last use wrote.
const MEMORY_SEGMENT_BYTES_MAX: u32 = 1 << 20;

/// A commit in memory takes space twice until its memtable is flushed: there and in the log.
const MEMORY_MEMTABLE_BYTES_MAX: usize = 8 << 20;

/// The world of this process, with `disk`.
fn system(disk: impl Disk) -> Environment {
    Environment {
        disk: Arc::new(disk),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    }
}

impl Engine {
    /// Opens the store in `path`. With [`Create::IfMissing`] the directory is made, too.
    ///
    /// # Errors
    /// [`Error::Locked`] when somebody else has it open, [`Error::Corrupt`] and
    /// [`Error::UnknownFormat`] with the file, [`Error::InvalidArgument`] when the directory holds
    /// something else, [`Error::NotFound`] when it holds no store and none is to be created.
    pub fn open_path(path: impl AsRef<Path>, options: Options) -> Result<Engine, Error> {
        let path = path.as_ref();
        let creates = options.create == Create::IfMissing && options.access == Access::ReadWrite;
        let opened = if creates { RealDisk::create(path) } else { RealDisk::open(path) };
        let disk = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if !creates => {
                Error::NotFound { directory: path.display().to_string() }
            }
            // The disk has wrapped it in the same words.
            _ => {
                let source = os_code(&error).map_or(error, io::Error::from_raw_os_error);
                let action = if creates { "create or open" } else { "open" };
                Error::io(path.display(), action, source)
            }
        })?;
        Engine::open(system(disk.watching(options.handle_sigbus)), options)
    }

    /// Opens an empty store in memory, with the clock and the randomness of the system. It works
    /// like any other and ends with its last handle. Durability is nominal: [`Durability::Sync`]
    /// promises nothing more than [`Durability::Buffered`], and costs more. Log segments and
    /// memtables are kept small whatever the settings say, as they share the memory with the tables.
    ///
    /// Checkpoints of it are in memory, too. Whoever wants to open one, or to open the store
    /// again, keeps a [`MemoryDisk`] and uses [`Engine::open`].
    ///
    /// ```
    /// use icecore_engine::{Batch, Engine, Mutation, Options, keyspace::DATA};
    ///
    /// let engine = Engine::open_in_memory(Options::default())?;
    /// let set = Mutation::Set { key: &[DATA, b'k'], value: b"v", expires_at: None };
    /// let _ = engine.commit(Batch { checks: &[], mutations: &[set] })?;
    /// assert!(engine.get(&[DATA, b'k'])?.is_some());
    /// # Ok::<(), icecore_engine::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for settings that contradict each other or the purpose.
    pub fn open_in_memory(mut options: Options) -> Result<Engine, Error> {
        options.log.segment_bytes = options.log.segment_bytes.min(MEMORY_SEGMENT_BYTES_MAX);
        options.memtable_bytes = options.memtable_bytes.min(MEMORY_MEMTABLE_BYTES_MAX);
        Engine::open(system(MemoryDisk::new()), options)
    }

    /// Opens the store on the disk of `env`.
    ///
    /// # Errors
    /// As [`Engine::open_path`].
    pub fn open(env: Environment, options: Options) -> Result<Engine, Error> {
        let threads = options.workers == Workers::Threads && options.access == Access::ReadWrite;
        let core = Arc::new(open::open(env, options)?);
        let threads = threads && core.log.is_some();
        let threads = threads.then(|| Threads::start(&core)).transpose()?;
        Ok(Engine { shared: Arc::new(Shared { core, threads }) })
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.shared.core
    }

    /// Commits `batch` with the store's default durability, and returns once it is visible.
    ///
    /// # Errors
    /// After an error nothing of the batch is stored, except after [`Error::OutcomeUnknown`].
    pub fn commit(&self, batch: Batch<'_>) -> Result<Outcome, Error> {
        self.commit_with(batch, self.core().options.durability)
    }

    /// Commits `batch` with this durability.
    ///
    /// # Errors
    /// As [`Engine::commit`].
    pub fn commit_with(&self, batch: Batch<'_>, durability: Durability) -> Result<Outcome, Error> {
        self.core().commit(batch, durability)
    }

    /// Submits `batch` and returns a future of its outcome, for any executor. The commit goes on
    /// even if the future is dropped.
    pub fn commit_async(&self, batch: Batch<'_>, durability: Durability) -> CommitFuture {
        let core = Arc::clone(self.core());
        let submitted = core.submit(batch, durability);
        if let Some(log) = &core.log {
            log.kick();
        }
        CommitFuture { core, submitted: Some(submitted) }
    }

    /// The present value of `key`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Io`] when a table cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Record>, Error> {
        self.core().check_open()?;
        self.core().get_visible(key)
    }

    /// Calls `see` with the present value of `key` in place, without copying it.
    ///
    /// # Errors
    /// As [`Engine::get`].
    pub fn get_with<T>(
        &self,
        key: &[u8],
        see: impl FnOnce(Option<(&[u8], Versionstamp)>) -> T,
    ) -> Result<T, Error> {
        self.core().check_open()?;
        self.core().with_visible(key, |found| see(found.map(|f| (f.value(), f.stamp()))))
    }

    /// The present values of `keys`, all of one moment, in the order of the keys.
    ///
    /// # Errors
    /// As [`Engine::get`].
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Record>>, Error> {
        self.core().check_open()?;
        self.core().get_many_visible(keys)
    }

    /// A picture of the store that stays as it is, for any number of reads.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        self.core().check_open()?;
        Ok(Snapshot::new(self.core().picture(Some(Arc::clone(&self.shared)))))
    }

    /// The entries with keys in `[start, end)`, in key order, all of one moment.
    ///
    /// # Errors
    /// [`Error::Closed`]. Failures of reading come from the iterator, which then ends.
    pub fn scan(&self, start: &[u8], end: &[u8]) -> Result<Scan, Error> {
        self.core().check_open()?;
        let picture = self.core().picture(Some(Arc::clone(&self.shared)));
        Ok(Scan::new(picture, start, end))
    }

    /// The newest stamp that readers see.
    pub fn visible(&self) -> Versionstamp {
        self.core().visible()
    }

    /// The store's clock: milliseconds since the epoch, never less than before in this life.
    pub fn now_ms(&self) -> u64 {
        self.core().now_ms()
    }

    /// The identity of the store.
    pub fn database_id(&self) -> DatabaseId {
        self.core().state.lock().catalog.database
    }

    /// The settings that the store was opened with.
    pub fn options(&self) -> &Options {
        &self.core().options
    }

    /// Writes everything that is in memory into tables.
    ///
    /// # Errors
    /// [`Error::OutOfSpace`] and [`Error::Io`]; nothing is lost, and it is tried again later.
    pub fn flush(&self) -> Result<(), Error> {
        self.core().check_open()?;
        self.core().flush()
    }

    /// Flushes, and merges tables until there is nothing left to gain.
    ///
    /// # Errors
    /// As [`Engine::flush`].
    pub fn compact(&self) -> Result<(), Error> {
        self.core().check_open()?;
        self.core().flush()?;
        self.core().compact_until_quiet()
    }

    /// Does one piece of background work, for stores opened with [`Workers::Manual`]. `choice`
    /// picks among what could be done next, so that a simulation can try every order.
    ///
    /// # Errors
    /// What went wrong with this piece; it will be tried again, unless the store is poisoned.
    pub fn step(&self, choice: u64) -> Result<Step, Error> {
        self.core().check_open()?;
        self.core().step(choice)
    }

    /// Copies the store, as it is at this moment, into the new or empty directory `path` on the
    /// same disk. Tables are linked, not copied, where the file system allows it.
    ///
    /// The copy is a store with an identity of its own. It knows nothing of stamps issued later
    /// by the original: a program that continues from a restored copy may see a stamp again that
    /// the original gave to other content.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::OutOfSpace`]; the directory is then not a store.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<Versionstamp, Error> {
        self.core().check_open()?;
        self.core().checkpoint(path.as_ref())
    }

    /// Reads every byte of every table and compares everything with everything.
    ///
    /// # Errors
    /// Only when the store is closed: what is wrong with it is in the report.
    pub fn check(&self) -> Result<CheckReport, Error> {
        self.core().check()
    }

    /// The store in numbers.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn stats(&self) -> Result<Stats, Error> {
        self.core().check_open()?;
        self.core().stats()
    }

    /// Closes the store for all clones: makes buffered commits durable, notes that the log ended
    /// cleanly, and gives the lock back. Commits and reads after that get [`Error::Closed`], those
    /// of open snapshots and scans, too.
    ///
    /// # Errors
    /// The first thing that went wrong. Nothing acknowledged is lost by it, and the store is
    /// closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        if self.core().closed.swap(true, Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let (closed, told) = self.shared.close();
        told.unwrap_or_else(|panic| resume_unwind(panic));
        closed
    }
}

impl Core {
    pub(crate) fn get_visible(&self, key: &[u8]) -> Result<Option<Record>, Error> {
        self.with_visible(key, |found| found.map(record).transpose())?
    }

    fn with_visible<T>(
        &self,
        key: &[u8],
        see: impl FnOnce(Option<&crate::view::Found<'_>>) -> T,
    ) -> Result<T, Error> {
        let pinned = self.published.pin(|| self.visible());
        let found = pinned
            .get(key, pinned.at(), &self.access)
            .or_else(|error| self.check_open().and(Err(error)))?
            .filter(|f| !self.has_expired(f.stamp(), f.expires_at(), || self.now_ms()));
        let seen = see(found.as_ref());
        found.as_ref().map_or(Ok(()), crate::view::Found::check)?;
        Ok(seen)
    }

    fn get_many_visible<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Record>>, Error> {
        let pinned = self.published.pin(|| self.visible());
        let now_ms = std::cell::OnceCell::new();
        let now_ms = || *now_ms.get_or_init(|| self.now_ms());
        let mut records = Vec::with_capacity(keys.len());
        for keys in keys.chunks(WARM_MAX) {
            warm(&pinned, keys);
            for key in keys {
                let found = pinned
                    .get(key.as_ref(), pinned.at(), &self.access)
                    .or_else(|error| self.check_open().and(Err(error)))?;
                let present =
                    found.filter(|f| !self.has_expired(f.stamp(), f.expires_at(), now_ms));
                records.push(present.as_ref().map(record).transpose()?);
            }
        }
        Ok(records)
    }

    /// Records that no stamp above `last` was shown, so that the next opening goes on from there,
    /// and that the log has its end, so that the next opening misses it if it is not there.
    fn note_clean_end(&self, last: Option<Versionstamp>) -> Result<(), Error> {
        let Some(last) = last else { return Ok(()) };
        let mut state = self.state.lock();
        state.edit(Edit { ceiling: Some(last), closed: true, ..Edit::default() })
    }
}

/// What a caller keeps of what was found.
pub(crate) fn record(found: &crate::view::Found<'_>) -> Result<Record, Error> {
    let (stamp, expires_at) = (found.stamp(), found.expires_at());
    Ok(Record { stamp, value: found.value_bytes()?, expires_at })
}
