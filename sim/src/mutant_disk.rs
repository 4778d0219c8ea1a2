//! A disk that breaks one duty of the engine's protocol: what the search must notice.
//!
//! It stands between the engine and the simulated disk, and leaves out, swaps or hides exactly one
//! thing that the engine asked for. To the simulated disk it looks as if the engine had forgotten
//! it.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use icecore_disk::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};

/// A duty that is neglected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskBug {
    /// Directories are not synced (LevelDB #74, RocksDB #10573).
    NoDirectorySync,
    /// Tables are not synced.
    NoTableSync,
    /// Manifests are not synced.
    NoManifestSync,
    /// The file that becomes `CURRENT` is not synced.
    NoCurrentSync,
    /// Durable writes of the log are only written: key and value that are not ordered (Badger #1954).
    NoDurableWrites,
    /// Syncs of whole log files do nothing.
    NoLogSync,
    /// A failed sync is tried again, and its second answer counts: PostgreSQL's "fsyncgate".
    SyncRetried,
    /// A failed durable write counts as done.
    FailedWriteIgnored,
    /// `CURRENT` is written in place instead of being replaced (sled #1533, LevelDB #75).
    CurrentInPlace,
    /// Tables are not synced before the directory and the manifest are, but at the next removal.
    TableSyncLate,
    /// A lock that somebody has is given all the same (RocksDB #1780, LevelDB #126).
    LockGranted,
}

impl DiskBug {
    /// All of them.
    pub const ALL: [DiskBug; 11] = [
        DiskBug::NoDirectorySync,
        DiskBug::NoTableSync,
        DiskBug::NoManifestSync,
        DiskBug::NoCurrentSync,
        DiskBug::NoDurableWrites,
        DiskBug::NoLogSync,
        DiskBug::SyncRetried,
        DiskBug::FailedWriteIgnored,
        DiskBug::CurrentInPlace,
        DiskBug::TableSyncLate,
        DiskBug::LockGranted,
    ];
}

/// Table files whose sync was put off.
type Late = Arc<Mutex<Vec<Name>>>;

/// A disk with a [`DiskBug`].
#[derive(Debug)]
pub struct MutantDisk {
    inner: Arc<dyn Disk>,
    bug: DiskBug,
    late: Late,
}

impl MutantDisk {
    /// `inner` with `bug`.
    pub fn new(inner: Arc<dyn Disk>, bug: DiskBug) -> MutantDisk {
        MutantDisk { inner, bug, late: Late::default() }
    }

    fn file(&self, name: Name, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(MutantFile { inner, name, bug: self.bug, late: Arc::clone(&self.late) })
    }

    /// Catches up on what was put off.
    fn catch_up(&self) -> io::Result<()> {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        late.into_iter().try_for_each(|name| match self.inner.open(name, OpenMode::ReadWrite) {
            Ok(file) => file.sync(),
            Err(_) => Ok(()),
        })
    }

    fn replace_in_place(&self, from: Name) -> io::Result<()> {
        let source = self.inner.open(from, OpenMode::Read)?;
        let mut content = vec![0; 4096];
        let length = source.read_full_at(0, &mut content)?;
        let current = self
            .inner
            .open(Name::Current, OpenMode::ReadWrite)
            .or_else(|_| self.inner.create(Name::Current))?;
        current.write_all_at(0, &content[..length])?;
        current.sync()?;
        self.inner.remove(from)
    }
}

/// What whoever is not the owner gets.
#[derive(Debug)]
struct NoLock;

impl LockGuard for NoLock {}

impl Disk for MutantDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        match self.inner.lock(mode) {
            Err(LockError::Held { .. }) if self.bug == DiskBug::LockGranted => Ok(Box::new(NoLock)),
            answer => answer,
        }
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.inner.list()
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        self.inner.create(name).map(|file| self.file(name, file))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        self.inner.open(name, mode).map(|file| self.file(name, file))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        if self.bug == DiskBug::CurrentInPlace && to == Name::Current {
            return self.replace_in_place(from);
        }
        self.inner.rename(from, to)
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        self.catch_up()?;
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        if self.bug == DiskBug::NoDirectorySync { Ok(()) } else { self.inner.sync_dir() }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        let inner = self.inner.create_directory(path)?;
        Ok(Arc::new(MutantDisk::new(inner, self.bug)))
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        match target.as_any().downcast_ref::<MutantDisk>() {
            Some(mutant) => self.inner.link(name, &*mutant.inner),
            None => self.inner.link(name, target),
        }
    }

    fn label(&self) -> String {
        self.inner.label()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct MutantFile {
    inner: Box<dyn File>,
    name: Name,
    bug: DiskBug,
    late: Late,
}

impl File for MutantFile {
    fn submit(&self, write: Write) -> Ticket {
        let durable = write.durable && self.bug != DiskBug::NoDurableWrites;
        self.inner.submit(Write { durable, ..write })
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        let (buffer, result) = self.inner.complete(ticket);
        let hidden = self.bug == DiskBug::FailedWriteIgnored;
        (buffer, if hidden { Ok(()) } else { result })
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.inner.write_at(offset, data)
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        self.inner.read_at(offset, data)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.inner.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.inner.allocate(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        match (self.bug, self.name) {
            (DiskBug::NoTableSync, Name::Table(_))
            | (DiskBug::NoManifestSync, Name::Manifest(_))
            | (DiskBug::NoCurrentSync, Name::Temp(_))
            | (DiskBug::NoLogSync, Name::Wal(_)) => Ok(()),
            (DiskBug::TableSyncLate, Name::Table(_)) => {
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(self.name);
                Ok(())
            }
            (DiskBug::SyncRetried, _) => self.inner.sync().or_else(|_| self.inner.sync()),
            _ => self.inner.sync(),
        }
    }

    fn map(&self) -> io::Result<Region> {
        self.inner.map()
    }
}
