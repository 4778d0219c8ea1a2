//! The disk in memory, for stores that are to live as long as their process.
//!
//! It is a disk for use, not for tests: that is the simulated one. Its *durability is nominal*:
//! syncs succeed and do nothing, and all is gone with the last [`MemoryDisk`] of a family.
//!
//! 1. A file takes memory for the bytes up to the furthest write. What was only reserved, or lies
//!    beyond the last write, is zeros that take none; so a log segment costs what was written.
//! 2. A mapping copies nothing: the file's bytes are frozen in place and shared. Files do not
//!    change after they were mapped; one that does gets a copy for itself, and the mapping stays.
//! 3. A file's memory is given back when its last name, handle and mapping are gone.
//! 4. Memory that cannot be had is a full disk, not an abort.
//!
//! Directories that were made from one another are a family: they live as long as any disk of
//! it, so that a checkpoint can be opened by its path ([`MemoryDisk::directory`]).

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use crate::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};

/// What a disk in memory says to be free: more than anybody compares it with.
const FREE_BYTES: u64 = i64::MAX as u64;

/// A directory in memory.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    family: Arc<Mutex<BTreeMap<PathBuf, Arc<Directory>>>>,
    directory: Arc<Directory>,
    path: PathBuf,
}

#[derive(Debug, Default)]
struct Directory {
    files: Mutex<BTreeMap<Name, Arc<Inode>>>,
    owners: Mutex<Owners>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Owners {
    #[default]
    Nobody,
    Writer,
    Readers(usize),
}

/// Every change behind these locks is one step, so a panic elsewhere leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn error(kind: io::ErrorKind, what: String) -> io::Error {
    io::Error::new(kind, what)
}

impl Default for MemoryDisk {
    fn default() -> MemoryDisk {
        MemoryDisk::new()
    }
}

impl MemoryDisk {
    /// An empty directory in a family of its own.
    ///
    /// ```
    /// use icecore_disk::{Disk, File, MemoryDisk, Name, OpenMode};
    ///
    /// let disk = MemoryDisk::new();
    /// disk.create(Name::Table(1))?.write_all_at(0, b"ice")?;
    /// let region = disk.open(Name::Table(1), OpenMode::Read)?.map()?;
    /// assert_eq!(region.view(0..3), Ok(&b"ice"[..]));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> MemoryDisk {
        let (path, directory) = (PathBuf::from("memory"), Arc::new(Directory::default()));
        let family = BTreeMap::from([(path.clone(), Arc::clone(&directory))]);
        MemoryDisk { family: Arc::new(Mutex::new(family)), directory, path }
    }

    /// The directory of this family that was created as `path`.
    pub fn directory(&self, path: impl AsRef<Path>) -> Option<MemoryDisk> {
        let path = path.as_ref();
        let directory = Arc::clone(lock(&self.family).get(path)?);
        Some(MemoryDisk { family: Arc::clone(&self.family), directory, path: path.to_owned() })
    }

    fn missing(&self, name: Name) -> io::Error {
        error(io::ErrorKind::NotFound, format!("there is no {name} in {}", self.label()))
    }

    fn taken(&self, name: Name) -> io::Error {
        error(io::ErrorKind::AlreadyExists, format!("there is a {name} in {}", self.label()))
    }
}

impl Disk for MemoryDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        let mut owners = lock(&self.directory.owners);
        *owners = match (*owners, mode) {
            (Owners::Nobody, LockMode::Exclusive) => Owners::Writer,
            (Owners::Nobody, LockMode::Shared) => Owners::Readers(1),
            (Owners::Readers(n), LockMode::Shared) => Owners::Readers(n + 1),
            _ => return Err(LockError::Held { holder: "this process".to_owned() }),
        };
        Ok(Box::new(Seat { directory: Arc::clone(&self.directory) }))
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        let files = lock(&self.directory.files);
        let listed = |(name, inode): (&Name, &Arc<Inode>)| Listed {
            name: Ok(*name),
            bytes: inode.read(|content| content.bytes),
            regular: true,
        };
        Ok(files.iter().map(listed).collect())
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let mut files = lock(&self.directory.files);
        if files.contains_key(&name) {
            return Err(self.taken(name));
        }
        let inode = Arc::new(Inode::default());
        files.insert(name, Arc::clone(&inode));
        Ok(Box::new(MemoryFile { inode, mode: OpenMode::ReadWrite }))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let inode = lock(&self.directory.files).get(&name).cloned();
        let inode = inode.ok_or_else(|| self.missing(name))?;
        Ok(Box::new(MemoryFile { inode, mode }))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        let mut files = lock(&self.directory.files);
        let inode = files.remove(&from).ok_or_else(|| self.missing(from))?;
        files.insert(to, inode);
        Ok(())
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        let removed = lock(&self.directory.files).remove(&name);
        removed.map(drop).ok_or_else(|| self.missing(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(FREE_BYTES)
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        let mut family = lock(&self.family);
        let directory = Arc::clone(family.entry(path.to_owned()).or_default());
        if !lock(&directory.files).is_empty() {
            let what = format!("the directory {} is not empty", path.display());
            return Err(error(io::ErrorKind::DirectoryNotEmpty, what));
        }
        let family = Arc::clone(&self.family);
        Ok(Arc::new(MemoryDisk { family, directory, path: path.to_owned() }))
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        let target = target.as_any().downcast_ref::<MemoryDisk>();
        let target = target.ok_or(io::ErrorKind::Unsupported)?;
        let inode = lock(&self.directory.files).get(&name).cloned();
        let inode = inode.ok_or_else(|| self.missing(name))?;
        let mut files = lock(&target.directory.files);
        if files.contains_key(&name) {
            return Err(target.taken(name));
        }
        files.insert(name, inode);
        Ok(())
    }

    fn label(&self) -> String {
        self.path.display().to_string()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Holds the lock of a directory.
#[derive(Debug)]
struct Seat {
    directory: Arc<Directory>,
}

impl LockGuard for Seat {}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut owners = lock(&self.directory.owners);
        *owners = match *owners {
            Owners::Readers(n) if n > 1 => Owners::Readers(n - 1),
            _ => Owners::Nobody,
        };
    }
}

/// A file without its names.
#[derive(Debug, Default)]
struct Inode {
    content: RwLock<Content>,
}

#[derive(Default)]
struct Content {
    /// The length of the file; what lies beyond `data` is zeros.
    bytes: u64,
    data: Data,
}

/// The bytes of a file up to the furthest write.
enum Data {
    /// They may change.
    Growing(Vec<u8>),
    /// They are mapped.
    Frozen(Bytes),
}

impl Default for Data {
    fn default() -> Data {
        Data::Growing(Vec::new())
    }
}

impl Inode {
    fn read<T>(&self, see: impl FnOnce(&Content) -> T) -> T {
        see(&self.content.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        change(&mut self.content.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {} in memory)", self.bytes, self.data().len())
    }
}

impl Content {
    fn data(&self) -> &[u8] {
        match &self.data {
            Data::Growing(data) => data,
            Data::Frozen(data) => data,
        }
    }

    /// The bytes, for changing them: a copy of their own if a mapping shares them.
    fn data_mut(&mut self) -> io::Result<&mut Vec<u8>> {
        if let Data::Frozen(frozen) = &self.data {
            let mut copy = Vec::new();
            copy.try_reserve_exact(frozen.len()).map_err(no_memory)?;
            copy.extend_from_slice(frozen);
            self.data = Data::Growing(copy);
        }
        match &mut self.data {
            Data::Growing(data) => Ok(data),
            Data::Frozen(_) => unreachable!("thawed above"),
        }
    }

    /// Gives `data` this length; what is added is zeros.
    fn extend_to(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(bytes).map_err(no_memory)?;
        let data = self.data_mut()?;
        if bytes > data.len() {
            data.try_reserve(bytes - data.len()).map_err(no_memory)?;
            data.resize(bytes, 0);
        }
        Ok(())
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(data.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        let start = usize::try_from(offset).map_err(no_memory)?;
        // What follows the end of the bytes so far needs no zeros first.
        if start == self.data().len() {
            let into = self.data_mut()?;
            into.try_reserve(data.len()).map_err(no_memory)?;
            into.extend_from_slice(data);
        } else {
            self.extend_to(end)?;
            self.data_mut()?[start..][..data.len()].copy_from_slice(data);
        }
        self.bytes = self.bytes.max(end);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let got = left.min(into.len());
        let into = &mut into[..got];
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let written = self.data().get(start..).unwrap_or(&[]);
        let copied = written.len().min(got);
        into[..copied].copy_from_slice(&written[..copied]);
        into[copied..].fill(0);
        got
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        if bytes < self.data().len() as u64 {
            let bytes = usize::try_from(bytes).map_err(no_memory)?;
            let data = self.data_mut()?;
            data.truncate(bytes);
            data.shrink_to_fit();
        }
        self.bytes = bytes;
        Ok(())
    }

    /// All of the file, in place.
    fn freeze(&mut self) -> io::Result<Bytes> {
        if let Data::Frozen(frozen) = &self.data
            && frozen.len() as u64 == self.bytes
        {
            return Ok(frozen.clone());
        }
        self.extend_to(self.bytes)?;
        let mut data = std::mem::take(self.data_mut()?);
        data.shrink_to_fit();
        let frozen = Bytes::from(data);
        self.data = Data::Frozen(frozen.clone());
        Ok(frozen)
    }
}

/// Memory that cannot be had.
fn no_memory(source: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, source)
}

/// A handle of a file.
#[derive(Debug)]
struct MemoryFile {
    inode: Arc<Inode>,
    mode: OpenMode,
}

impl MemoryFile {
    fn change(&self, change: impl FnOnce(&mut Content) -> io::Result<()>) -> io::Result<()> {
        match self.mode {
            OpenMode::ReadWrite => self.inode.write(change),
            OpenMode::Read => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}

impl File for MemoryFile {
    fn submit(&self, write: Write) -> Ticket {
        Ticket { id: 0, write }
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        let Write { offset, data, .. } = ticket.write;
        let written = self.change(|content| content.write_at(offset, &data));
        (data, written)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        self.change(|content| content.write_at(offset, data)).map(|()| data.len())
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        Ok(self.inode.read(|content| content.read_at(offset, data)))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.read(|content| content.bytes))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(|content| content.set_len(bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.change(|content| {
            content.bytes = content.bytes.max(bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self) -> io::Result<Region> {
        Ok(Region::new(self.inode.write(Content::freeze)?, None))
    }
}

#[cfg(test)]
mod tests;
