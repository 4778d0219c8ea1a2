//! The real disk: a directory of Linux or macOS.
//!
//! 1. Every name is resolved from an open handle of the directory, so that a disk means the same
//!    directory for as long as it lives, wherever somebody moves it.
//! 2. Only regular files are opened: no link is followed, nothing that could block (a FIFO) or
//!    lead elsewhere is touched.
//! 3. A page of a mapping that cannot be read is an error of who reads it, not the end of the
//!    process, unless that is [turned off](RealDisk::watching).
//! 4. Where the file system may show other bytes in a mapping than in the file, nothing is mapped.
//! 5. Errors name the file and keep the operating system's kind; [`os_code`] finds its code.
//!
//! The number of links of a file means nothing here, because checkpoints share files by links.

mod error;
mod file;
mod file_system;
mod lock;
mod map;
mod sigbus;
mod watched;

use std::any::Any;
use std::fs;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

pub use error::{FileError, os_code};
use file::{Mapping, RealFile};

use crate::{Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode};

/// One directory of the operating system. Only its owner may enter directories and read files that
/// are created here (modes 0700 and 0600).
#[derive(Debug)]
pub struct RealDisk {
    directory: fs::File,
    path: PathBuf,
    mapping: Mapping,
}

/// How many pages of mapped files this process could not read so far.
pub fn unreadable_pages() -> u64 {
    watched::pages()
}

impl RealDisk {
    /// Opens the directory `path`, which must exist. Fails with `NotADirectory` for anything else.
    pub fn open(path: impl AsRef<Path>) -> io::Result<RealDisk> {
        let path = path.as_ref().to_owned();
        let directory = open_directory(CWD, &path)
            .map_err(|e| FileError::wrap("open the directory", &path, e))?;
        let mapping = if file_system::maps_faithfully(&directory) {
            Mapping::Watched
        } else {
            Mapping::Refused
        };
        Ok(RealDisk { directory, path, mapping })
    }

    /// Whether this process handles SIGBUS for files that are mapped from here on, which is what it
    /// does if nothing is said: then a page that cannot be read (a file cut by somebody else, a
    /// medium that fails) is an error of the read. Otherwise it ends the process, or is left to the
    /// program's own handler.
    ///
    /// The handler is installed with the first mapping and passes on what is not its own. Another
    /// one that is installed later must do the same.
    #[must_use]
    pub fn watching(mut self, watching: bool) -> RealDisk {
        self.mapping = match self.mapping {
            Mapping::Refused => Mapping::Refused,
            _ if watching => Mapping::Watched,
            _ => Mapping::Plain,
        };
        self
    }

    /// Opens the directory `path`, creating it if it is missing; its parent must exist. The
    /// directory's own entry is durable when this returns.
    pub fn create(path: impl AsRef<Path>) -> io::Result<RealDisk> {
        let path = path.as_ref();
        let created = match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
            Err(e) => return Err(FileError::wrap("create the directory", path, e)),
        };
        let disk = RealDisk::open(path)?;
        match sync_parent(path) {
            // A parent that may not be read cannot be synced; who made a directory in it before
            // us has vouched for it.
            Err(e) if !created && e.kind() == io::ErrorKind::PermissionDenied => Ok(disk),
            Err(e) => Err(e),
            Ok(()) => Ok(disk),
        }
    }

    /// The path that the directory was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another handle of the same directory.
    fn reopen(&self) -> io::Result<fs::File> {
        open_directory(&self.directory, Path::new("."))
            .map_err(|e| self.error("open the directory", e))
    }

    /// Opens what `name` leads to, if it is a regular file; with [`OFlags::CREATE`], creates it if
    /// it is missing.
    fn open_file(&self, name: Name, flags: OFlags) -> io::Result<fs::File> {
        // NONBLOCK: opening a FIFO must not wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let operation = if flags.contains(OFlags::CREATE) { "create" } else { "open" };
        let fail = |e: io::Error| FileError::wrap(operation, &self.path_of(name), e);
        let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        let mode = Mode::RUSR | Mode::WUSR;
        let open = || rustix::fs::openat(&self.directory, name.to_string(), flags, mode);
        let file = match retry_on_intr(open) {
            Ok(handle) => fs::File::from(handle),
            // A link, a directory, a socket (on Linux and on macOS).
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::OPNOTSUPP) => {
                return Err(fail(irregular()));
            }
            Err(e) => return Err(fail(e.into())),
        };
        if file.metadata().map_err(fail)?.is_file() { Ok(file) } else { Err(fail(irregular())) }
    }

    fn path_of(&self, name: Name) -> PathBuf {
        self.path.join(name.to_string())
    }

    /// An error of the directory as a whole.
    fn error(&self, operation: &'static str, source: impl Into<io::Error>) -> io::Error {
        FileError::wrap(operation, &self.path, source)
    }

    /// What is known about one entry; `None` if it is gone.
    fn listed(&self, name: &std::ffi::CStr) -> io::Result<Option<Listed>> {
        let stat = match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let bytes = if regular { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        let text = name.to_string_lossy();
        let name = Name::parse(&text).ok_or_else(|| text.into_owned());
        Ok(Some(Listed { name, bytes, regular }))
    }

    fn list_entries(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for entry in Dir::read_from(&self.directory)? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                listed.extend(self.listed(entry.file_name())?);
            }
        }
        Ok(listed)
    }
}

impl Disk for RealDisk {
    /// Exclusive and shared holders exclude each other across processes and within this one, also
    /// when the file `LOCK` is deleted in between. A shared lock creates nothing: without a `LOCK`
    /// it rests on the lock of the directory itself, and where the file system has no such lock
    /// (NFS), on nothing.
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        lock::lock(self, mode)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.list_entries().map_err(|e| self.error("list", e))
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let file = self.open_file(name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        Ok(Box::new(RealFile::new(file, name, self.path_of(name), self.mapping)))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR,
        };
        let file = self.open_file(name, flags)?;
        Ok(Box::new(RealFile::new(file, name, self.path_of(name), self.mapping)))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        let (old, new) = (from.to_string(), to.to_string());
        rustix::fs::renameat(&self.directory, old, &self.directory, new)
            .map_err(|e| FileError::wrap("rename", &self.path_of(from), e))
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        rustix::fs::unlinkat(&self.directory, name.to_string(), AtFlags::empty())
            .map_err(|e| FileError::wrap("remove", &self.path_of(name), e))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all().map_err(|e| self.error("sync", e))
    }

    /// What this user may still write: space that is set aside for the superuser does not count.
    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.directory)
            .map_err(|e| self.error("ask the free space of", e))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        let disk = RealDisk::create(path)?.watching(self.mapping != Mapping::Plain);
        if disk.list()?.is_empty() {
            Ok(Arc::new(disk))
        } else {
            Err(disk.error("create the directory", io::ErrorKind::DirectoryNotEmpty))
        }
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        let fail = |e: io::Error| FileError::wrap("link", &self.path_of(name), e);
        let Some(target) = target.as_any().downcast_ref::<RealDisk>() else {
            return Err(fail(io::ErrorKind::Unsupported.into()));
        };
        let text = name.to_string();
        match rustix::fs::linkat(&self.directory, &text, &target.directory, &text, AtFlags::empty())
        {
            Ok(()) => Ok(()),
            // How Linux says that a file system has no links, or no room for one more.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
                Err(fail(io::ErrorKind::Unsupported.into()))
            }
            Err(e) => Err(fail(e.into())),
        }
    }

    fn label(&self) -> String {
        self.path.display().to_string()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Opens the directory `path`, seen from `base`.
fn open_directory(base: impl std::os::fd::AsFd, path: &Path) -> Result<fs::File, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| rustix::fs::openat(&base, path, flags, Mode::empty())).map(fs::File::from)
}

/// Makes the entry of the directory `path` in its parent durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    // "..": `path` may be relative, end in a slash or be a link, and a parent by text would be
    // another directory.
    let parent = path.join("..");
    open_directory(CWD, &parent)
        .map_err(io::Error::from)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| FileError::wrap("sync the directory", &parent, e))
}

#[cfg(test)]
mod tests;
