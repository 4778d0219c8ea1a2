//! A disk that stands still at a named point.
//!
//! A failpoint is named by a kind of file, a call and a moment, for example `log.complete.half`.
//! When the n-th such call comes to this moment, the disk tells so, and from then on no call passes
//! it, of whatever thread: what is on the disk stays as it was at that point, until the process is
//! killed.

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use icecore_disk::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};

/// Every failpoint that a store passes in its life.
pub(crate) const FAILPOINTS: &[&str] = &[
    "lock.lock.before",
    "lock.lock.after",
    "directory.list.before",
    "directory.list.after",
    "directory.sync.before",
    "directory.sync.after",
    "directory.create.before",
    "directory.create.after",
    "directory.free.before",
    "directory.free.after",
    "current.open.before",
    "current.open.after",
    "current.read.before",
    "current.read.after",
    "current.rename.before",
    "current.rename.after",
    "temp.create.before",
    "temp.create.after",
    "temp.write.before",
    "temp.write.half",
    "temp.write.after",
    "temp.sync.before",
    "temp.sync.after",
    "manifest.create.before",
    "manifest.create.after",
    "manifest.allocate.before",
    "manifest.allocate.after",
    "manifest.write.before",
    "manifest.write.half",
    "manifest.write.after",
    "manifest.sync.before",
    "manifest.sync.after",
    "manifest.open.before",
    "manifest.open.after",
    "manifest.read.before",
    "manifest.read.after",
    "manifest.remove.before",
    "manifest.remove.after",
    "log.create.before",
    "log.create.after",
    "log.allocate.before",
    "log.allocate.after",
    "log.submit.before",
    "log.submit.after",
    "log.complete.before",
    "log.complete.half",
    "log.complete.after",
    "log.write.before",
    "log.write.half",
    "log.write.after",
    "log.sync.before",
    "log.sync.after",
    "log.open.before",
    "log.open.after",
    "log.read.before",
    "log.read.after",
    "log.rename.before",
    "log.rename.after",
    "log.remove.before",
    "log.remove.after",
    "table.create.before",
    "table.create.after",
    "table.write.before",
    "table.write.half",
    "table.write.after",
    "table.sync.before",
    "table.sync.after",
    "table.open.before",
    "table.open.after",
    "table.map.before",
    "table.map.after",
    "table.link.before",
    "table.link.after",
    "table.remove.before",
    "table.remove.after",
];

/// Who is told that the disk stands still.
pub(crate) type Bell = Box<dyn Fn() + Send + Sync>;

/// When the disk stands still.
pub(crate) struct Strike {
    /// The name of the failpoint without its moment, and the moment.
    point: Option<(String, String)>,
    /// How many more such calls pass.
    left: AtomicU64,
    /// Whether calls are counted yet.
    armed: AtomicBool,
    struck: AtomicBool,
    bell: Bell,
}

impl fmt::Debug for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strike").field("point", &self.point).finish_non_exhaustive()
    }
}

fn stand_still() -> ! {
    loop {
        thread::park();
    }
}

impl Strike {
    /// At the `nth` time, counted from 1 as soon as it is [armed](Strike::arm), of the failpoint of
    /// this name; never without a name.
    pub(crate) fn new(name: Option<&str>, nth: u64, bell: Bell) -> Strike {
        let point = name.and_then(|name| name.rsplit_once('.'));
        let point = point.map(|(call, moment)| (call.to_owned(), moment.to_owned()));
        let left = AtomicU64::new(nth.saturating_sub(1));
        let (armed, struck) = (AtomicBool::new(false), AtomicBool::new(false));
        Strike { point, left, armed, struck, bell }
    }

    /// Calls count from now on.
    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// At which moment of this call the disk stands still.
    fn moment(&self, kind: &str, call: &str) -> Option<&str> {
        if self.struck.load(Ordering::SeqCst) {
            stand_still();
        }
        let (point, moment) = self.point.as_ref()?;
        let is_it = point.split_once('.') == Some((kind, call));
        if !is_it || !self.armed.load(Ordering::SeqCst) {
            return None;
        }
        let passes =
            self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        passes.is_err().then_some(moment.as_str())
    }

    fn strike(&self) -> ! {
        // Another thread may have struck just now: one bell is enough.
        if !self.struck.swap(true, Ordering::SeqCst) {
            (self.bell)();
        }
        stand_still()
    }

    /// Performs a call that is done in one piece.
    fn pass<T>(&self, kind: &str, call: &str, perform: impl FnOnce() -> T) -> T {
        match self.moment(kind, call) {
            None => perform(),
            Some("after") => {
                drop(perform());
                self.strike()
            }
            Some(_) => self.strike(),
        }
    }
}

fn kind(name: Name) -> &'static str {
    match name {
        Name::Lock => "lock",
        Name::Current => "current",
        Name::Manifest(_) => "manifest",
        Name::Wal(_) => "log",
        Name::Table(_) => "table",
        Name::Temp(_) => "temp",
    }
}

/// A disk over another one that stands still when [`Strike`] says so.
#[derive(Debug)]
pub(crate) struct StrikeDisk {
    inner: Arc<dyn Disk>,
    strike: Arc<Strike>,
}

impl StrikeDisk {
    pub(crate) fn new(inner: Arc<dyn Disk>, strike: Arc<Strike>) -> StrikeDisk {
        StrikeDisk { inner, strike }
    }

    fn file(&self, name: Name, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(StrikeFile { inner, kind: kind(name), strike: Arc::clone(&self.strike) })
    }
}

impl Disk for StrikeDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        self.strike.pass("lock", "lock", || self.inner.lock(mode))
    }

    fn list(&self) -> io::Result<Vec<Listed>> {
        self.strike.pass("directory", "list", || self.inner.list())
    }

    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        let file = self.strike.pass(kind(name), "create", || self.inner.create(name))?;
        Ok(self.file(name, file))
    }

    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let file = self.strike.pass(kind(name), "open", || self.inner.open(name, mode))?;
        Ok(self.file(name, file))
    }

    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        self.strike.pass(kind(to), "rename", || self.inner.rename(from, to))
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        self.strike.pass(kind(name), "remove", || self.inner.remove(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.strike.pass("directory", "sync", || self.inner.sync_dir())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.strike.pass("directory", "free", || self.inner.free_bytes())
    }

    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        let create = || self.inner.create_directory(path);
        let inner = self.strike.pass("directory", "create", create)?;
        Ok(Arc::new(StrikeDisk::new(inner, Arc::clone(&self.strike))))
    }

    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        let target = match target.as_any().downcast_ref::<StrikeDisk>() {
            Some(other) => other.inner.as_ref(),
            None => target,
        };
        self.strike.pass(kind(name), "link", || self.inner.link(name, target))
    }

    fn label(&self) -> String {
        self.inner.label()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct StrikeFile {
    inner: Box<dyn File>,
    kind: &'static str,
    strike: Arc<Strike>,
}

impl StrikeFile {
    fn pass<T>(&self, call: &str, perform: impl FnOnce() -> T) -> T {
        self.strike.pass(self.kind, call, perform)
    }

    /// Writes the first half, and stands still whatever became of it.
    fn write_half(&self, offset: u64, data: &[u8]) -> ! {
        drop(self.inner.write_all_at(offset, &data[..data.len().div_ceil(2)]));
        self.strike.strike()
    }
}

impl File for StrikeFile {
    fn submit(&self, write: Write) -> Ticket {
        self.pass("submit", || self.inner.submit(write))
    }

    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        match self.strike.moment(self.kind, "complete") {
            None => self.inner.complete(ticket),
            Some("half") => self.write_half(ticket.write.offset, &ticket.write.data),
            Some("after") => {
                drop(self.inner.complete(ticket));
                self.strike.strike()
            }
            Some(_) => self.strike.strike(),
        }
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<usize> {
        match self.strike.moment(self.kind, "write") {
            None => self.inner.write_at(offset, data),
            Some("half") => self.write_half(offset, data),
            Some("after") => {
                drop(self.inner.write_all_at(offset, data));
                self.strike.strike()
            }
            Some(_) => self.strike.strike(),
        }
    }

    fn read_at(&self, offset: u64, data: &mut [u8]) -> io::Result<usize> {
        self.pass("read", || self.inner.read_at(offset, data))
    }

    fn len(&self) -> io::Result<u64> {
        self.pass("len", || self.inner.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.pass("set_len", || self.inner.set_len(bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.pass("allocate", || self.inner.allocate(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.pass("sync", || self.inner.sync())
    }

    fn map(&self) -> io::Result<Region> {
        self.pass("map", || self.inner.map())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    use icecore_disk::MemoryDisk;

    use super::*;

    #[test]
    fn every_failpoint_has_a_name_of_its_own() {
        let names: BTreeSet<_> = FAILPOINTS.iter().collect();
        assert_eq!(names.len(), FAILPOINTS.len());
        assert!(names.iter().all(|name| name.split('.').count() == 3));
        assert!(names.len() >= 60);
    }

    #[test]
    fn the_disk_stands_still_halfway_through_the_second_write() {
        let inner = Arc::new(MemoryDisk::new());
        let (sender, receiver) = mpsc::channel();
        let bell: Bell = {
            let sender = sender.clone();
            Box::new(move || sender.send("struck").unwrap())
        };
        let strike = Arc::new(Strike::new(Some("temp.write.half"), 2, bell));
        let disk = StrikeDisk::new(Arc::clone(&inner) as Arc<dyn Disk>, Arc::clone(&strike));
        let file = disk.create(Name::Temp(1)).unwrap();
        file.write_all_at(0, b"not counted").unwrap();
        strike.arm();
        // This thread never ends, like all that touch the disk from then on.
        let write = move || {
            file.write_all_at(0, b"ABCDEF").unwrap();
            file.write_all_at(6, b"GHIJKL").unwrap();
            sender.send("went on").unwrap();
        };
        drop(thread::Builder::new().spawn(write).unwrap());
        assert_eq!(receiver.recv().unwrap(), "struck");
        let mut bytes = [0; 12];
        let file = inner.open(Name::Temp(1), OpenMode::Read).unwrap();
        assert_eq!(file.read_full_at(0, &mut bytes).unwrap(), 11);
        assert_eq!(&bytes[..11], b"ABCDEFGHIed");
        assert!(receiver.try_recv().is_err());
    }
}
