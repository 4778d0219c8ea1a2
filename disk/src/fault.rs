//! A disk that fails when it is told to.
//!
//! [`FaultDisk`] passes everything on to another disk and asks a plan shared with the test,
//! [`Faults`], before each operation. The plan counts operations, so a test can fail the first one,
//! then the second one, and so on until its workload runs clean. Nothing here is random.
//!
//! It injects errors only. Lost writes, torn sectors and power cuts belong to the simulated disk.
//! A failed operation may have had its effect all the same ([`Reach`]), because that is what a
//! failed operation on a real disk is: a maybe.

mod plan;

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use plan::Strike;
pub use plan::{Fault, Faults, Operation, Reach};

use crate::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};

/// A disk over another one that fails as [`Faults`] say.
#[derive(Debug)]
pub struct FaultDisk {
    inner: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

impl FaultDisk {
    /// A disk that passes everything on to `inner`, but for `faults`.
    pub fn new(inner: Arc<dyn Disk>, faults: Arc<Faults>) -> FaultDisk {
        FaultDisk { inner, faults }
    }

    fn file(&self, name: Name, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(FaultFile { inner, name, faults: Arc::clone(&self.faults) })
    }
}

impl Disk for FaultDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        self.faults.perform(Operation::Lock, &[Name::Lock], || Ok(())).map_err(LockError::Io)?;
        self.inner.lock(mode)
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.faults.perform(Operation::List, &[], || self.inner.list())
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let create = || self.inner.create(name);
        Ok(self.file(name, self.faults.perform(Operation::Create, &[name], create)?))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let open = || self.inner.open(name, mode);
        Ok(self.file(name, self.faults.perform(Operation::Open, &[name], open)?))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        self.faults.perform(Operation::Rename, &[from, to], || self.inner.rename(from, to))
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        self.faults.perform(Operation::Remove, &[name], || self.inner.remove(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.faults.perform(Operation::SyncDir, &[], || self.inner.sync_dir())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.faults.perform(Operation::FreeBytes, &[], || self.inner.free_bytes())
    }

    /// The directory is faulty, too, by the same plan.
    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        let create = || self.inner.create_directory(path);
        let inner = self.faults.perform(Operation::CreateDirectory, &[], create)?;
        Ok(Arc::new(FaultDisk::new(inner, Arc::clone(&self.faults))))
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        let target = match target.as_any().downcast_ref::<FaultDisk>() {
            Some(faulty) => faulty.inner.as_ref(),
            None => target,
        };
        self.faults.perform(Operation::Link, &[name], || self.inner.link(name, target))
    }

    fn label(&self) -> String {
        self.inner.label()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct FaultFile {
    inner: Box<dyn File>,
    name: Name,
    faults: Arc<Faults>,
}

impl FaultFile {
    fn perform<T>(
        &self,
        operation: Operation,
        perform: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        self.faults.perform(operation, &[self.name], perform)
    }
}

/// Half of a length, but not nothing.
fn half(len: usize) -> usize {
    len.div_ceil(2)
}

impl File for FaultFile {
    fn submit(&self, write: Write) -> Ticket {
        self.inner.submit(write)
    }

    /// A write that fails halfway or earlier is never completed below: to the disk under this one
    /// it stays in flight, so that any part of it may still arrive.
    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        match self.faults.strike(Operation::Complete, &[self.name]) {
            None | Some(Strike::Short) => self.inner.complete(ticket),
            Some(Strike::Error(error, Reach::Full)) => {
                let (data, written) = self.inner.complete(ticket);
                (data, written.and(Err(error)))
            }
            Some(Strike::Error(error, Reach::None)) => (ticket.write.data, Err(error)),
            Some(Strike::Error(error, Reach::Half)) => {
                let Write { offset, data, .. } = ticket.write;
                let written = self.inner.write_all_at(offset, &data[..half(data.len())]);
                (data, written.and(Err(error)))
            }
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        match self.faults.strike(Operation::WriteAt, &[self.name]) {
            None => self.inner.write_at(offset, data),
            Some(Strike::Short) => self.inner.write_at(offset, &data[..half(data.len())]),
            Some(Strike::Error(error, reach)) => {
                let len = match reach {
                    Reach::None => 0,
                    Reach::Half => half(data.len()),
                    Reach::Full => data.len(),
                };
                self.inner.write_all_at(offset, &data[..len]).and(Err(error))
            }
        }
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        let len = match self.faults.strike(Operation::ReadAt, &[self.name]) {
            None => data.len(),
            Some(Strike::Short) => half(data.len()),
            Some(Strike::Error(error, _)) => return Err(error),
        };
        self.inner.read_at(offset, &mut data[..len])
    }

    fn len(&self) -> io::Result<u64> {
        self.perform(Operation::Len, || self.inner.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.perform(Operation::SetLen, || self.inner.set_len(bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.perform(Operation::Allocate, || self.inner.allocate(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.perform(Operation::Sync, || self.inner.sync())
    }

    fn map(&self) -> io::Result<Region> {
        self.perform(Operation::Map, || self.inner.map())
    }
}

#[cfg(test)]
mod tests;
