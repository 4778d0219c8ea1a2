//! A store on a simulated disk, with a clock that moves only when it is told to.

use std::sync::Arc;

use icecore::{Environment, Kv};
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};

/// The disk outlives the stores that are opened on it, one after the other.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    disk: Arc<SimDisk>,
}

impl World {
    pub(crate) fn new(now_ms: u64) -> World {
        World { clock: Arc::new(ManualClock::at(now_ms)), disk: SimDisk::new(7, Rules::none()) }
    }

    pub(crate) fn open(&self) -> Kv {
        let environment = Environment {
            disk: Arc::clone(&self.disk) as _,
            clock: Arc::clone(&self.clock) as _,
            random: Arc::new(SeededRandom::new(7)),
        };
        Kv::builder_in(environment).open().unwrap()
    }
}
