//! The handle of an open store.

use std::path::Path;
use std::sync::Arc;

use icecore_engine::{Engine, Environment, Stats};
use icecore_model::Versionstamp;

use crate::atomic::Atomic;
use crate::builder::Builder;
use crate::check::{self, CheckReport};
use crate::error::Error;
use crate::expiry::Expiry;
use crate::key::Key;
use crate::limits::Limits;
use crate::outcome::Commit;
use crate::queue::Lines;
use crate::store::{Capabilities, Store};
use crate::value::Value;

/// An open store. Cheap to clone, and to be shared between threads; the store stays open until
/// the last clone and the last list are gone.
///
/// Dropping the last clone loses nothing that was acknowledged. [`Kv::close`] does the same in an
/// orderly way and reports what goes wrong.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let clone = kv.clone();
/// std::thread::scope(|scope| scope.spawn(|| clone.set(key!["from"], "a thread")).join())
///     .expect("it does not panic")?;
/// assert_eq!(kv.get(key!["from"])?.str()?, "a thread");
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Kv {
    shared: Arc<Shared>,
}

/// What all clones share.
#[derive(Debug)]
struct Shared {
    store: Store,
    limits: Limits,
    lines: Lines,
    in_memory: bool,
}

impl Kv {
    pub(crate) fn new(store: Store, limits: Limits, in_memory: bool) -> Kv {
        Kv { shared: Arc::new(Shared { store, limits, lines: Lines::default(), in_memory }) }
    }

    /// Where the store is.
    #[inline]
    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The engine, for whom there would be none of without it: messages, subscriptions.
    pub(crate) fn engine(&self) -> &Engine {
        self.store().here("").expect("what has been made of a store in this process")
    }

    /// The queues.
    pub(crate) fn lines(&self) -> &Lines {
        &self.shared.lines
    }

    /// Opens the store in the directory `path`, which is created if it does not exist. With the
    /// feature `remote`, a path that begins with `http://` or `https://` is the URL of a store that
    /// is elsewhere: of a server of Icecore, a `denokv`, or Deno Deploy. The access token is that of
    /// the environment variable `DENO_KV_ACCESS_TOKEN`.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let kv = Kv::open(&path)?;
    /// kv.set(key!["visits"], 1)?;
    /// kv.close()?;
    /// assert_eq!(Kv::open(&path)?.get(key!["visits"])?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Kv, Error> {
        Kv::builder(path).open()
    }

    /// Opens a new store in memory, which is gone when it is closed.
    ///
    /// ```
    /// let kv = icecore::Kv::in_memory()?;
    /// kv.set(icecore::key!["a"], 1)?;
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) when the threads of the store cannot be started.
    pub fn in_memory() -> Result<Kv, Error> {
        Kv::builder_in_memory().open()
    }

    /// The settings of a store in memory, to be changed before it is opened.
    ///
    /// ```
    /// use icecore::{Kv, Limits, key};
    ///
    /// let kv = Kv::builder_in_memory().limits(Limits::default().value_bytes(4)).open()?;
    /// assert!(kv.set(key!["name"], "ada").is_ok());
    /// assert!(kv.set(key!["name"], "grace").is_err());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn builder_in_memory() -> Builder {
        Builder::memory()
    }

    /// The settings of the store in the directory `path`, to be changed before it is opened.
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let error = Kv::builder(path).create(false).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::at(path.as_ref())
    }

    /// The settings of the store on the disk of `environment`, with its clock and its source of
    /// randomness: for simulations.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use icecore::{Environment, Kv, key};
    /// use icecore_disk::clock::ManualClock;
    /// use icecore_disk::random::SeededRandom;
    /// use icecore_disk::MemoryDisk;
    ///
    /// let clock = Arc::new(ManualClock::at(1_000));
    /// let random = Arc::new(SeededRandom::new(1));
    /// let disk = Arc::new(MemoryDisk::new());
    /// let kv = Kv::builder_in(Environment { disk, clock: clock.clone(), random }).open()?;
    /// kv.set_expiring(key!["session"], "ada", std::time::Duration::from_secs(60))?;
    /// clock.advance_ms(60_000);
    /// assert!(!kv.get(key!["session"])?.is_present());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn builder_in(environment: Environment) -> Builder {
        Builder::within(environment)
    }

    /// The identity of the store: a random number that it got when it was created. A copy made by
    /// [`Kv::checkpoint`] has another.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let (one, other) = (Kv::in_memory()?, Kv::in_memory()?);
    /// assert_ne!(one.id(), other.id());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn id(&self) -> [u8; 16] {
        self.store().id()
    }

    /// What this store can do: all there is, unless it is elsewhere. What it cannot do is refused
    /// with [`Unsupported`](crate::ErrorKind::Unsupported), before anything is sent.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// assert!(kv.capabilities().snapshots && kv.capabilities().range_deletions);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn capabilities(&self) -> Capabilities {
        self.store().capabilities()
    }

    /// Sets one key, whatever it held before. An expiry that it had is gone.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let first = kv.set(key!["name"], "ada")?;
    /// let second = kv.set(key!["name"], "grace")?;
    /// assert!(first < second);
    /// assert_eq!(kv.get(key!["name"])?.versionstamp, Some(second));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn set(&self, key: impl Into<Key>, value: impl Into<Value>) -> Result<Versionstamp, Error> {
        committed(self.atomic().set(key, value).commit()?)
    }

    /// Sets one key until `expiry`: a duration from now on, or a moment.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set_expiring(key!["session"], "ada", Duration::from_secs(1800))?;
    /// assert!(kv.get(key!["session"])?.is_present());
    /// kv.set_expiring(key!["offer"], "half price", SystemTime::UNIX_EPOCH)?;
    /// assert!(!kv.get(key!["offer"])?.is_present(), "that moment has passed");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn set_expiring(
        &self,
        key: impl Into<Key>,
        value: impl Into<Value>,
        expiry: impl Into<Expiry>,
    ) -> Result<Versionstamp, Error> {
        committed(self.atomic().set_expiring(key, value, expiry).commit()?)
    }

    /// Makes one key absent, whether or not it was before.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["name"], "ada")?;
    /// kv.delete(key!["name"])?;
    /// assert!(!kv.get(key!["name"])?.is_present());
    /// assert!(kv.delete(key!["name"]).is_ok());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn delete(&self, key: impl Into<Key>) -> Result<Versionstamp, Error> {
        committed(self.atomic().delete(key).commit()?)
    }

    /// Begins an atomic operation: checks and mutations that take effect together or not at all.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let commit = kv.atomic().set(key!["a"], 1).set(key!["b"], 2).commit()?;
    /// let [a, b] = kv.get_many([key!["a"], key!["b"]])?;
    /// assert_eq!(a.versionstamp, commit.versionstamp());
    /// assert_eq!(b.versionstamp, commit.versionstamp());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn atomic(&self) -> Atomic<'_> {
        Atomic::new(self)
    }

    /// Writes everything that is in memory into tables.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["a"], 1)?;
    /// assert_eq!(kv.check()?.tables, 0);
    /// kv.flush()?;
    /// assert_eq!(kv.check()?.tables, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`OutOfSpace`](crate::ErrorKind::OutOfSpace) and [`Io`](crate::ErrorKind::Io); nothing is
    /// lost, and the store tries again later.
    pub fn flush(&self) -> Result<(), Error> {
        Ok(self.store().here("flushes")?.flush()?)
    }

    /// Flushes, and merges tables until there is nothing left to gain: what was deleted, overwritten
    /// or has expired gives back its space. The store does so by itself, as it is written to; this
    /// is for the moment after many deletions, and before a copy is made.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// kv.flush()?;
    /// kv.atomic().delete_range(prefix!["visits"]).commit()?.versionstamp();
    /// kv.compact()?;
    /// assert_eq!(kv.stats()?.levels.iter().map(|level| level.entries).sum::<u64>(), 0);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::flush`].
    pub fn compact(&self) -> Result<(), Error> {
        Ok(self.store().here("compaction")?.compact()?)
    }

    /// Copies the store, as it is at this moment, into the new or empty directory `path` on the same
    /// disk, and gives the versionstamp that the copy is at. Tables are linked, not copied, where
    /// the file system allows it.
    ///
    /// The copy is a store with an identity of its own, which knows nothing of what comes later: a
    /// program that goes on from it may see a versionstamp again that the original gave to other
    /// content.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (path, copy) = (directory.path().join("store"), directory.path().join("copy"));
    /// let kv = Kv::open(path)?;
    /// let versionstamp = kv.set(key!["a"], 1)?;
    /// assert_eq!(kv.checkpoint(&copy)?, versionstamp);
    /// kv.set(key!["a"], 2)?;
    /// assert_eq!(Kv::open(copy)?.get(key!["a"])?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a store in memory, which has no disk,
    /// [`Io`](crate::ErrorKind::Io), also when the directory is not empty, and
    /// [`OutOfSpace`](crate::ErrorKind::OutOfSpace); the directory is then not a store.
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<Versionstamp, Error> {
        if self.shared.in_memory {
            return Err(Error::invalid("a store in memory cannot be copied to a directory", ""));
        }
        Ok(self.store().here("checkpoints")?.checkpoint(path)?)
    }

    /// Reads every byte of every table and of the log, and compares everything with everything.
    /// Commits wait while the log is read.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["a"], 1)?;
    /// let report = kv.check()?;
    /// assert!(report.is_clean(), "{report}");
    /// assert_eq!(report.keys, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed). What is wrong with the store is in the report.
    pub fn check(&self) -> Result<CheckReport, Error> {
        check::check(self.store().here("checks")?)
    }

    /// How much one call may carry: what [`Builder::limits`] was given.
    ///
    /// ```
    /// use icecore::{Kv, Limits};
    ///
    /// let kv = Kv::in_memory()?;
    /// assert_eq!(kv.limits(), &Limits::default());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The store in numbers.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let versionstamp = kv.set(key!["a"], 1)?;
    /// assert_eq!(kv.stats()?.visible, versionstamp);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn stats(&self) -> Result<Stats, Error> {
        Ok(self.store().here("statistics")?.stats()?)
    }

    /// Closes the store for all clones: makes buffered commits durable and gives the directory
    /// back. Calls after that get [`Closed`](crate::ErrorKind::Closed), and so do lists that are
    /// open.
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let clone = kv.clone();
    /// kv.close()?;
    /// assert_eq!(clone.get(key!["a"]).unwrap_err().kind(), ErrorKind::Closed);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first thing that went wrong. Nothing acknowledged is lost by it, and the store is
    /// closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        self.store().close()
    }
}

/// The versionstamp of an operation without checks.
pub(crate) fn committed(commit: Commit) -> Result<Versionstamp, Error> {
    match commit {
        Commit::Done { versionstamp } => Ok(versionstamp),
        Commit::CheckFailed { .. } => unreachable!("there was no check"),
    }
}

#[cfg(test)]
mod tests;
