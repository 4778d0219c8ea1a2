//! A simulated machine with a store on it, in the time of the model.

use std::sync::Arc;
use std::time::Duration;

use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Clock, Disk};
use icecore_engine::{Engine, Environment, LogOptions, Options};
use icecore_sync::model;

use crate::disk::TurningDisk;

/// Where the wall clock stands when an execution begins.
const START_MS: u64 = 1_000_000;

/// Both clocks, in the time of the model.
#[derive(Debug)]
pub struct ModelClock;

impl Clock for ModelClock {
    fn wall_ms(&self) -> u64 {
        START_MS + u64::try_from(model::now().as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        model::now()
    }
}

/// A simulated machine with one directory.
#[derive(Debug)]
pub struct Machine {
    /// The disk, without turns.
    pub disk: Arc<SimDisk>,
    random: Arc<SeededRandom>,
}

impl Machine {
    /// A machine whose dice begin at `seed`, with an empty disk that keeps all rules.
    #[must_use]
    pub fn new(seed: u64) -> Machine {
        Machine::with_rules(seed, Rules::none())
    }

    /// The same, with a disk under `rules`.
    #[must_use]
    pub fn with_rules(seed: u64, rules: Rules) -> Machine {
        Machine { disk: SimDisk::new(seed, rules), random: Arc::new(SeededRandom::new(seed)) }
    }

    /// The world of a store on this machine: threads may change at each call of its disk.
    #[must_use]
    pub fn env(&self) -> Environment {
        self.env_on(self.disk.clone())
    }

    /// The same, with another disk.
    #[must_use]
    pub fn env_on(&self, disk: Arc<dyn Disk>) -> Environment {
        let random = self.random.clone();
        Environment { disk: TurningDisk::over(disk), clock: Arc::new(ModelClock), random }
    }

    /// Opens the store.
    ///
    /// # Panics
    /// When it does not open.
    #[must_use]
    pub fn open(&self, options: Options) -> Engine {
        Engine::open(self.env(), options).expect("the store opens")
    }

    /// Starts the next life, after the disk has stopped.
    pub fn reopen(&mut self) {
        self.disk = self.disk.reopen();
    }
}

impl Drop for Machine {
    /// What the disk did is part of the trace of the execution: the same seed does the same.
    fn drop(&mut self) {
        model::note(self.disk.trace_hash());
    }
}

/// Settings under which a few commits make several segments, memtables and tables.
#[must_use]
pub fn tiny() -> Options {
    Options {
        memtable_bytes: 3 << 10,
        frozen_memtables_max: 2,
        log_bytes_max: 1 << 20,
        log: LogOptions { segment_bytes: 4 << 10, writes_in_flight: 2, ..LogOptions::default() },
        table_bytes: 2 << 10,
        level0_tables: 2,
        level_base_bytes: 4 << 10,
        level_multiplier: 2,
        cache_bytes: 0,
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// Settings under which a few commits never wait for a flush or a compaction.
#[must_use]
pub fn roomy() -> Options {
    Options { memtable_bytes: 24 << 10, level0_tables: 8, ..tiny() }
}
