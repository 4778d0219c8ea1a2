//! A simulated machine with one store on it, whose clock stands still.

use std::sync::Arc;

use icecore::{Atomic, Environment, Error, Kv, Versionstamp};
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};

pub(crate) struct Machine {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Arc<SeededRandom>,
    pub(crate) memtable_bytes: usize,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Machine {
        Machine {
            disk: SimDisk::new(seed, Rules::none()),
            clock: Arc::new(ManualClock::at(1_000_000)),
            random: Arc::new(SeededRandom::new(seed)),
            memtable_bytes: 32 << 10,
        }
    }

    /// A machine whose clock stands at `now_ms`.
    pub(crate) fn at(now_ms: u64) -> Machine {
        Machine { clock: Arc::new(ManualClock::at(now_ms)), ..Machine::new(7) }
    }

    /// Opens the store; its memtables are so small that tables come soon, unless that was changed.
    pub(crate) fn try_open(&self) -> Result<Kv, Error> {
        let environment = Environment {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        let builder = Kv::builder_in(environment).reserve_bytes(0);
        builder.memtable_bytes(self.memtable_bytes).open()
    }

    pub(crate) fn open(&self) -> Kv {
        self.try_open().unwrap()
    }
}

/// Commits what nothing speaks against.
pub(crate) fn commit(atomic: Atomic<'_>) -> Versionstamp {
    let committed = atomic.commit_buffered().unwrap();
    committed.versionstamp().expect("there is no check")
}
