//! The lock of a directory.
//!
//! Taking it has three steps, and the guard undoes them in reverse:
//! 1. a seat in a registry of this process, by device and inode of the directory, because locks of
//!    the operating system need not exclude their own process;
//! 2. an OS lock on the directory itself, which stays the same when somebody deletes `LOCK`; file
//!    systems that refuse it (NFS) are left to step 3;
//! 3. an OS lock on the file `LOCK`, which must afterwards still be the file of that name.
//!
//! An exclusive holder writes its process id into `LOCK`, only so that others can name it. A shared
//! holder writes nothing and creates nothing: when there is no `LOCK`, it goes without step 3.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

use super::RealDisk;
use crate::{LockError, LockGuard, LockMode, Name};

/// How often the file `LOCK` may be replaced under our hands before we give up: nobody replaces it
/// even once but by mistake.
const ATTEMPTS: usize = 16;

/// The longest process id in digits, with room for a line end.
const HOLDER_BYTES_MAX: usize = 24;

/// Device and inode: what a file or directory is, whatever its name.
type Identity = (u64, u64);

#[derive(Clone, Copy, Debug)]
enum Owners {
    Writer,
    Readers(usize),
}

/// The directories that this process has locked. It is held only for looking at the map.
static OWNED: Mutex<BTreeMap<Identity, Owners>> = Mutex::new(BTreeMap::new());

fn owned() -> MutexGuard<'static, BTreeMap<Identity, Owners>> {
    // Every change of the map is one call, so a panic elsewhere cannot leave it half done.
    OWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in the registry.
#[derive(Debug)]
struct Seat {
    directory: Identity,
}

impl Seat {
    fn take(directory: Identity, mode: LockMode) -> Option<Seat> {
        let mut owned = owned();
        let owners = match (owned.get(&directory), mode) {
            (None, LockMode::Exclusive) => Owners::Writer,
            (None, LockMode::Shared) => Owners::Readers(1),
            (Some(Owners::Readers(n)), LockMode::Shared) => Owners::Readers(n + 1),
            (Some(_), _) => return None,
        };
        owned.insert(directory, owners);
        Some(Seat { directory })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut owned = owned();
        match owned.get_mut(&self.directory) {
            Some(Owners::Readers(n)) if *n > 1 => *n -= 1,
            _ => {
                owned.remove(&self.directory);
            }
        }
    }
}

/// Fields are dropped from the top: the seat is the last to go, so that the next one who sits down
/// in this process finds the OS locks free.
#[derive(Debug)]
struct Guard {
    file: Option<File>,
    mode: LockMode,
    directory: Option<File>,
    _seat: Seat,
}

impl LockGuard for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        if let (LockMode::Exclusive, Some(file)) = (self.mode, &self.file) {
            forget_holder(file);
        }
        // Closing the file is not enough: a process that another thread has just forked holds a
        // copy of it, and with it the lock, until it starts its own program. When unlocking fails,
        // closing is what is left.
        for file in [&self.file, &self.directory].into_iter().flatten() {
            drop(file.unlock());
        }
    }
}

pub(super) fn lock(disk: &RealDisk, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
    let directory = identity(&disk.directory).map_err(LockError::Io)?;
    let held = || LockError::Held { holder: "this process".to_owned() };
    let seat = Seat::take(directory, mode).ok_or_else(held)?;
    let directory = lock_directory(disk, mode)?;
    let file = lock_file(disk, mode)?;
    if let (LockMode::Exclusive, Some(file)) = (mode, &file) {
        name_holder(file);
    }
    Ok(Box::new(Guard { file, mode, directory, _seat: seat }))
}

fn try_lock(file: &File, mode: LockMode) -> Result<(), TryLockError> {
    match mode {
        LockMode::Exclusive => file.try_lock(),
        LockMode::Shared => file.try_lock_shared(),
    }
}

fn lock_directory(disk: &RealDisk, mode: LockMode) -> Result<Option<File>, LockError> {
    // A handle of its own: locks belong to handles, and readers of one disk hold several.
    let directory = disk.reopen().map_err(LockError::Io)?;
    match try_lock(&directory, mode) {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(LockError::Held { holder: holder(disk) }),
        // Not every file system locks directories; the file decides then, and reports if even it
        // cannot be locked.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

fn lock_file(disk: &RealDisk, mode: LockMode) -> Result<Option<File>, LockError> {
    let flags = match mode {
        LockMode::Exclusive => OFlags::RDWR | OFlags::CREATE,
        LockMode::Shared => OFlags::RDONLY,
    };
    for _ in 0..ATTEMPTS {
        let file = match disk.open_file(Name::Lock, flags) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound && mode == LockMode::Shared => {
                return Ok(None);
            }
            Err(e) => return Err(LockError::Io(e)),
        };
        match try_lock(&file, mode) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { holder: holder(disk) });
            }
            Err(TryLockError::Error(e)) => return Err(LockError::Io(disk.error("lock", e))),
        }
        if is_named_lock(disk, &file).map_err(LockError::Io)? {
            return Ok(Some(file));
        }
    }
    Err(LockError::Io(disk.error("lock", io::Error::other("LOCK is replaced again and again"))))
}

/// Whether `file` is what the name `LOCK` leads to.
fn is_named_lock(disk: &RealDisk, file: &File) -> io::Result<bool> {
    match disk.open_file(Name::Lock, OFlags::RDONLY) {
        Ok(named) => Ok(identity(&named)? == identity(file)?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn identity(file: &File) -> io::Result<Identity> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Writes this process's id. The text only serves messages, and a full disk must not keep anybody
/// out of a store, so a failure leaves the holder nameless.
fn name_holder(file: &File) {
    let id = format!("{}\n", std::process::id());
    if file.set_len(0).and_then(|()| file.write_all_at(id.as_bytes(), 0)).is_err() {
        forget_holder(file);
    }
}

/// Takes the id out again; one that stays because even this fails can only misname a holder.
fn forget_holder(file: &File) {
    drop(file.set_len(0));
}

/// Who holds the lock, as far as the file tells.
fn holder(disk: &RealDisk) -> String {
    let mut text = [0; HOLDER_BYTES_MAX];
    let id = disk
        .open_file(Name::Lock, OFlags::RDONLY)
        .and_then(|file| file.read_at(&mut text, 0))
        .ok()
        .and_then(|len| str::from_utf8(&text[..len]).ok()?.trim_end().parse::<u32>().ok());
    match id {
        Some(id) => format!("process {id}"),
        None => "another process".to_owned(),
    }
}
