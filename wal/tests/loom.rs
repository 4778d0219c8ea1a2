//! Every interleaving of a few threads over the log, within a bound on preemptions: no wake-up is
//! lost, and what is acknowledged is as durable as it was asked to be.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test -p icecore-wal --release --test loom`.

#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use icecore_disk::random::SeededRandom;
use icecore_disk::{
    Buffer, Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode, Region, Ticket,
    Write,
};
use icecore_model::{DatabaseId, Versionstamp};
use icecore_sync::loom;
use icecore_sync::loom::sync::{Mutex, Notify};
use icecore_wal::{Claim, Durability, Log, LogEnv, LogOptions, Roster};

/// One file that remembers what is durable. Its lock is loom's, so that every operation is a
/// point at which threads may change.
#[derive(Debug)]
struct Fake {
    bytes: Mutex<Bytes>,
}

#[derive(Clone, Debug)]
struct Bytes {
    cache: Vec<u8>,
    medium: Vec<u8>,
}

impl Fake {
    fn new() -> Arc<Fake> {
        let bytes = Bytes { cache: vec![0; SEGMENT_BYTES], medium: vec![0; SEGMENT_BYTES] };
        Arc::new(Fake { bytes: Mutex::new(bytes) })
    }

    /// Whether a commit with this payload is there: on the medium, or at least in the cache.
    fn holds(&self, payload: &[u8; 8], durability: Durability) -> bool {
        let bytes = self.bytes.lock().unwrap();
        let place = match durability {
            Durability::Sync => &bytes.medium,
            Durability::Buffered => &bytes.cache,
        };
        place.windows(8).any(|window| window == payload)
    }
}

#[derive(Debug)]
struct Handle(Arc<Fake>);

fn no<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl File for Handle {
    fn submit(&self, write: Write) -> Ticket {
        Ticket { id: 0, write }
    }
    fn complete(&self, ticket: Ticket) -> (Buffer, io::Result<()>) {
        let Write { offset, data, durable } = ticket.write;
        let range = offset as usize..offset as usize + data.len();
        let mut bytes = self.0.bytes.lock().unwrap();
        bytes.cache[range.clone()].copy_from_slice(&data);
        if durable {
            bytes.medium[range].copy_from_slice(&data);
        }
        drop(bytes);
        (data, Ok(()))
    }
    fn sync(&self) -> io::Result<()> {
        // A sync covers what was written before it began, and takes its time.
        let before = self.0.bytes.lock().unwrap().cache.clone();
        let mut bytes = self.0.bytes.lock().unwrap();
        for (byte, synced) in bytes.medium.iter_mut().zip(before) {
            if synced != 0 {
                *byte = synced;
            }
        }
        Ok(())
    }
    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
    fn write_at(&self, _offset: u64, _data: &[u8]) -> io::Result<usize> {
        no()
    }
    fn read_at(&self, _offset: u64, _data: &mut [u8]) -> io::Result<usize> {
        no()
    }
    fn len(&self) -> io::Result<u64> {
        no()
    }
    fn set_len(&self, _bytes: u64) -> io::Result<()> {
        no()
    }
    fn map(&self) -> io::Result<Region> {
        no()
    }
}

#[derive(Debug)]
struct FakeDisk(Arc<Fake>);

impl Disk for FakeDisk {
    fn create(&self, _name: Name) -> io::Result<Box<dyn File>> {
        Ok(Box::new(Handle(self.0.clone())))
    }
    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        no().map_err(LockError::Io)
    }
    fn list(&self) -> io::Result<Vec<Listed>> {
        no()
    }
    fn open(&self, _name: Name, _mode: OpenMode) -> io::Result<Box<dyn File>> {
        no()
    }
    fn rename(&self, _from: Name, _to: Name) -> io::Result<()> {
        no()
    }
    fn remove(&self, _name: Name) -> io::Result<()> {
        no()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        no()
    }
    fn create_directory(&self, _path: &Path) -> io::Result<Arc<dyn Disk>> {
        no()
    }
    fn link(&self, _name: Name, _target: &dyn Disk) -> io::Result<()> {
        no()
    }
    fn label(&self) -> String {
        String::new()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct NoRoster;

impl Roster for NoRoster {
    fn activate(&self, _segment: u32, _ceiling: Versionstamp) -> io::Result<()> {
        no()
    }
    fn admit(&self, _bytes: u64, _claim: Claim) -> io::Result<()> {
        Ok(())
    }
}

const SEGMENT_BYTES: usize = 8192;

struct Store {
    log: Log,
    file: Arc<Fake>,
    writer: Mutex<()>,
}

impl Store {
    fn new() -> Arc<Store> {
        let file = Fake::new();
        let env = LogEnv {
            disk: Arc::new(FakeDisk(file.clone())),
            random: Arc::new(SeededRandom::new(1)),
            database: DatabaseId([1; 16]),
            roster: Arc::new(NoRoster),
        };
        let segment_bytes = u32::try_from(SEGMENT_BYTES).unwrap();
        let options =
            LogOptions { segment_bytes, block_bytes: 512, writes_in_flight: 2, spare_segments: 0 };
        let log = Log::create(env, options, 1, None, Versionstamp::ZERO).unwrap();
        Arc::new(Store { log, file, writer: Mutex::new(()) })
    }

    fn append(&self, payload: &[u8; 8], durability: Durability) -> Versionstamp {
        let guard = self.writer.lock().unwrap();
        self.log.reserve(payload.len(), Claim::Ordinary).unwrap();
        let stamp = self.log.last_appended().next();
        self.log.append(stamp, 1, payload, durability).unwrap();
        drop(guard);
        stamp
    }

    fn commit(&self, payload: &[u8; 8], durability: Durability) {
        let stamp = self.append(payload, durability);
        self.log.wait(stamp).unwrap();
        assert!(self.log.visible() >= stamp);
        assert!(self.file.holds(payload, durability), "acknowledged too early");
    }
}

fn model(run: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

fn two_committers(here: Durability, there: Durability) {
    let store = Store::new();
    let other = store.clone();
    let thread = loom::thread::spawn(move || other.commit(b"payload2", there));
    store.commit(b"payload1", here);
    thread.join().unwrap();
    assert_eq!(store.log.visible(), Versionstamp::new(2));
}

#[test]
fn two_durable_committers() {
    model(|| two_committers(Durability::Sync, Durability::Sync));
}

#[test]
fn a_durable_and_a_buffered_committer() {
    model(|| two_committers(Durability::Sync, Durability::Buffered));
}

#[test]
fn two_buffered_committers() {
    model(|| two_committers(Durability::Buffered, Durability::Buffered));
}

#[test]
fn a_committer_and_a_sync() {
    model(|| {
        let store = Store::new();
        let other = store.clone();
        let thread = loom::thread::spawn(move || other.commit(b"payload2", Durability::Sync));
        store.append(b"payload1", Durability::Buffered);
        store.log.sync().unwrap();
        assert!(store.file.holds(b"payload1", Durability::Sync));
        thread.join().unwrap();
    });
}

struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

#[test]
fn a_driver_serves_an_asynchronous_commit_while_another_thread_commits() {
    model(|| {
        let store = Store::new();
        let driven = store.clone();
        let driver = loom::thread::spawn(move || {
            while driven.log.wait_for_work() {
                while driven.log.step(0).unwrap() {}
            }
        });
        let other = store.clone();
        let thread = loom::thread::spawn(move || other.commit(b"payload2", Durability::Sync));
        let stamp = store.append(b"payload1", Durability::Sync);
        let bell = Arc::new(Bell(Notify::new()));
        store.log.kick();
        // The bell may also ring without a reason.
        loop {
            match store.log.poll_visible(stamp, &Waker::from(bell.clone())) {
                Poll::Pending => bell.0.wait(),
                Poll::Ready(answer) => break answer.unwrap(),
            }
        }
        assert!(store.file.holds(b"payload1", Durability::Sync));
        thread.join().unwrap();
        store.log.close().unwrap();
        driver.join().unwrap();
    });
}
