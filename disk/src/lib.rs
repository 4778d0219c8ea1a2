//! The only door of Icecore to the operating system.
//!
//! Everything that the store reads, writes, links or syncs goes through [`Disk`] and [`File`];
//! time and randomness come from [`Clock`] and [`Random`]. So one simulated disk can show every
//! layer above any crash, error or damage that its fault model knows.
//!
//! - [`name`]: the names of files, made and parsed here alone.
//! - [`buffer`]: the aligned bytes that log writes are made from.
//! - [`region`]: a read-only mapping of an immutable file.
//! - [`real`]: Linux and macOS.
//! - [`memory`]: for stores that end with their process.
//! - [`sim`]: the simulated disk; its header is the fault model.
//! - [`fault`]: injects errors over another disk.
//! - [`record`]: writes down what is done to another disk.

pub mod buffer;
pub mod clock;
pub mod fault;
pub mod memory;
pub mod name;
pub mod random;
pub mod real;
pub mod record;
pub mod region;
pub mod sim;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use buffer::Buffer;
pub use clock::Clock;
pub use fault::{Fault, FaultDisk, Faults};
pub use memory::MemoryDisk;
pub use name::Name;
pub use random::Random;
pub use real::{RealDisk, os_code};
pub use region::{MapFault, Region};

/// One directory that belongs to one store.
///
/// An operation on a name (create, rename, remove, link) is durable only after [`Disk::sync_dir`].
/// Errors carry the operating system's own code wherever there is one.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Takes the lock of the directory. It is released when the guard is dropped, or when the
    /// process ends. [`LockMode::Shared`] never writes, so it works on a read-only directory.
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError>;
    /// Everything in the directory, in no particular order.
    fn list(&self) -> io::Result<Vec<Listed>>;
    /// Creates an empty file; fails with `AlreadyExists` when the name is taken.
    fn create(&self, name: Name) -> io::Result<Box<dyn File>>;
    /// Opens an existing regular file; a link or anything else is refused.
    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>>;
    /// Renames a file, replacing `to` if it exists.
    fn rename(&self, from: Name, to: Name) -> io::Result<()>;
    /// Removes a file. Open handles and mappings of it stay usable.
    fn remove(&self, name: Name) -> io::Result<()>;
    /// Makes every earlier operation on names in this directory durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that can still be written before the disk is full.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Creates the directory `path` (which may exist if it is empty) on the same kind of disk,
    /// makes its own entry durable, and opens it.
    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>>;
    /// Gives the file `name` the same name in the directory `target`, too, without copying it.
    /// `CrossesDevices` or `Unsupported` tells the caller to copy instead.
    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()>;
    /// What to call this directory in messages: its path.
    fn label(&self) -> String;
    /// For implementations that must recognise their own kind, as [`Disk::link`] does.
    fn as_any(&self) -> &dyn Any;
}

/// An open file. All methods may be called from several threads at once.
///
/// The log submits its writes ([`File::submit`]) and completes them in any order; the other
/// methods are for everything else.
pub trait File: Send + Sync + fmt::Debug {
    /// Starts a write. It is done (and, if asked for, durable) when [`File::complete`] returns
    /// `Ok`; until then, any part of it may or may not have reached the disk. Writes in flight at
    /// the same time must not overlap in any 512-byte sector.
    fn submit(&self, write: Write) -> Ticket;
    /// Finishes the write behind `ticket`, in whichever thread calls this: the real disk performs
    /// it here. Gives the buffer back for reuse.
    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>);
    /// Writes a part of `data` at `offset` and returns how much: like the operating system's call,
    /// it may write less than asked or be `Interrupted`.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize>;
    /// Reads into a part of `data`; 0 only at the end of the file (or for an empty `data`).
    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends (with zeros) to `bytes`.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Reserves space for `bytes` from the start, extending the length with zeros. When it
    /// succeeds, writes below `bytes` do not fail for want of space.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Makes the data written before the call durable, and the length needed to read it.
    fn sync(&self) -> io::Result<()>;
    /// Maps the whole file for reading. Only for files that never change again.
    fn map(&self) -> io::Result<Region>;

    /// Writes all of `data`, past short writes and interruptions.
    fn write_all_at(&self, mut offset: u64, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            match self.write_at(offset, data) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    offset += n as u64;
                    data = &data[n..];
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Fills `data` as far as the file reaches, and returns how far that was.
    fn read_full_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < data.len() {
            match self.read_at(offset + done as u64, &mut data[done..]) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A write to be submitted with [`File::submit`].
#[derive(Debug)]
pub struct Write {
    /// Where it goes, in bytes from the start of the file.
    pub offset: u64,
    /// What is written: all of it.
    pub data: Buffer,
    /// Whether this write itself must be durable when it completes. Earlier writes need not be.
    pub durable: bool,
}

/// A write in flight. It must be handed back to the [`File`] that gave it.
#[derive(Debug)]
#[must_use = "a submitted write is done only when it is completed"]
pub struct Ticket {
    /// For the file that issued it.
    pub id: u64,
    /// The write itself.
    pub write: Write,
}

/// Whether a lock excludes everybody or only writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// One holder, who may write.
    Exclusive,
    /// Any number of readers, no writer.
    Shared,
}

/// Holds the lock of a directory until it is dropped.
pub trait LockGuard: Send + Sync + fmt::Debug {}

/// Why a lock was not given.
#[derive(Debug)]
pub enum LockError {
    /// Somebody has it; `holder` says who, as far as can be known.
    Held {
        /// For example "process 4711" or "this process".
        holder: String,
    },
    /// The lock file could not be opened or locked.
    Io(io::Error),
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading.
    Read,
    /// For reading and writing.
    ReadWrite,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The parsed name, or the raw text of a name that is not ours.
    pub name: Result<Name, String>,
    /// The length in bytes; 0 for what is not a regular file.
    pub bytes: u64,
    /// Whether it is a regular file.
    pub regular: bool,
}
