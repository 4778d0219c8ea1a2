//! A disk with a gate before its tables: whoever creates one waits there while a test looks at what
//! others do meanwhile.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use icecore_disk::{Disk, File, Listed, LockError, LockGuard, LockMode, Name, OpenMode};

/// Where the gate and its visitor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Shut,
    /// Somebody stands before the gate.
    Visited,
}

/// The test's handle.
#[derive(Debug)]
pub(crate) struct Gate {
    phase: Mutex<Phase>,
    changed: Condvar,
}

impl Gate {
    /// An open gate.
    pub(crate) fn new() -> Arc<Gate> {
        Arc::new(Gate { phase: Mutex::new(Phase::Open), changed: Condvar::new() })
    }

    /// `inner`, with this gate before its tables.
    pub(crate) fn before(self: &Arc<Gate>, inner: Arc<dyn Disk>) -> Arc<dyn Disk> {
        Arc::new(GateDisk { inner, gate: Arc::clone(self) })
    }

    pub(crate) fn shut(&self) {
        self.go(Phase::Shut);
    }

    pub(crate) fn open(&self) {
        self.go(Phase::Open);
    }

    /// Returns when somebody stands before the gate.
    pub(crate) fn wait_for_visitor(&self) {
        self.wait_while(|phase| phase != Phase::Visited);
    }

    fn go(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(Phase) -> bool) {
        let phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_while(phase, |phase| condition(*phase)));
    }

    fn pass(&self) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == Phase::Open {
            return;
        }
        *phase = Phase::Visited;
        self.changed.notify_all();
        drop(self.changed.wait_while(phase, |phase| *phase != Phase::Open));
    }
}

#[derive(Debug)]
struct GateDisk {
    inner: Arc<dyn Disk>,
    gate: Arc<Gate>,
}

impl Disk for GateDisk {
    fn lock(&self, mode: LockMode) -> Result<Box<dyn LockGuard>, LockError> {
        self.inner.lock(mode)
    }
    fn list(&self) -> io::Result<Vec<Listed>> {
        self.inner.list()
    }
    fn create(&self, name: Name) -> io::Result<Box<dyn File>> {
        if matches!(name, Name::Table(_)) {
            self.gate.pass();
        }
        self.inner.create(name)
    }
    fn open(&self, name: Name, mode: OpenMode) -> io::Result<Box<dyn File>> {
        self.inner.open(name, mode)
    }
    fn rename(&self, from: Name, to: Name) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: Name) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.inner.free_bytes()
    }
    fn create_directory(&self, path: &Path) -> io::Result<Arc<dyn Disk>> {
        self.inner.create_directory(path)
    }
    fn link(&self, name: Name, target: &dyn Disk) -> io::Result<()> {
        self.inner.link(name, target)
    }
    fn label(&self) -> String {
        self.inner.label()
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
