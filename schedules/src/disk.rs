//! A disk at whose calls threads may change.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use icecore_disk::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};
use icecore_sync::model::turn;

/// Any disk; before each of its calls and after it, another thread may have the turn.
#[derive(Clone, Debug)]
pub struct TurningDisk(Arc<dyn Disk>);

impl TurningDisk {
    /// Turns around `disk`.
    #[must_use]
    pub fn over(disk: Arc<dyn Disk>) -> Arc<TurningDisk> {
        Arc::new(TurningDisk(disk))
    }
}

/// A file of a [`TurningDisk`].
#[derive(Debug)]
struct TurningFile(Box<dyn File>);

/// Does `call` between two turns.
fn between<T>(call: impl FnOnce() -> T) -> T {
    turn();
    let result = call();
    turn();
    result
}

impl Disk for TurningDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        between(|| self.0.lock(mode))
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        between(|| self.0.list())
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        between(|| Ok(Box::new(TurningFile(self.0.create(name)?)) as Box<dyn File>))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        between(|| Ok(Box::new(TurningFile(self.0.open(name, mode)?)) as Box<dyn File>))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        between(|| self.0.rename(from, to))
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        between(|| self.0.remove(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        between(|| self.0.sync_dir())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        between(|| self.0.free_bytes())
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        between(|| Ok(TurningDisk::over(self.0.create_directory(path)?) as Arc<dyn Disk>))
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        let target = target.as_any().downcast_ref::<TurningDisk>().map_or(target, |t| &*t.0);
        between(|| self.0.link(name, target))
    }

    fn label(&self) -> String {
        self.0.label()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl File for TurningFile {
    fn submit(&self, write: Write) -> Ticket {
        between(|| self.0.submit(write))
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        between(|| self.0.complete(ticket))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        between(|| self.0.write_at(offset, data))
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        between(|| self.0.read_at(offset, data))
    }

    fn len(&self) -> io::Result<u64> {
        between(|| self.0.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        between(|| self.0.set_len(bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        between(|| self.0.allocate(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        between(|| self.0.sync())
    }

    fn map(&self) -> io::Result<Region> {
        between(|| self.0.map())
    }
}
