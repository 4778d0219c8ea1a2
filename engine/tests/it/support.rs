//! What the tests of the store share: a simulated machine, keys, and short forms of common calls.

use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Batch, Check, Engine, Environment, Error, Mutation, Options, Outcome, Workers,
};
use icecore_model::{Timestamp, Versionstamp};

/// Where the clock of a [`Machine`] stands at first.
pub(crate) const START_MS: u64 = 1_000_000;

/// A simulated machine with one store on it.
pub(crate) struct Machine {
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: Arc<SeededRandom>,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Machine {
        Machine {
            disk: SimDisk::new(seed, Rules::none()),
            clock: Arc::new(ManualClock::at(START_MS)),
            random: Arc::new(SeededRandom::new(seed)),
        }
    }

    pub(crate) fn env_on(&self, disk: Arc<dyn Disk>) -> Environment {
        let (clock, random) = (self.clock.clone(), self.random.clone());
        Environment { disk, clock, random }
    }

    pub(crate) fn env(&self) -> Environment {
        self.env_on(self.disk.clone())
    }

    pub(crate) fn try_open(&self, options: Options) -> Result<Engine, Error> {
        Engine::open(self.env(), options)
    }

    pub(crate) fn open(&self, options: Options) -> Engine {
        self.try_open(options).unwrap()
    }

    /// Ends the process without any of its goodbyes, and starts the next one.
    pub(crate) fn kill(&mut self) {
        self.disk.kill();
        self.disk = self.disk.reopen();
    }

    /// Stops the machine, lets `damage` have its way with the files, and starts it again.
    pub(crate) fn at_rest(&mut self, damage: impl FnOnce(&SimDisk)) {
        self.disk.kill();
        damage(&self.disk);
        self.disk = self.disk.reopen();
    }

    pub(crate) fn names(&self, wanted: impl Fn(Name) -> bool) -> Vec<Name> {
        let files = self.disk.snapshot_files();
        files.into_iter().map(|(name, _)| name).filter(|name| wanted(*name)).collect()
    }
}

/// Settings under which a little data makes many tables and several levels, without threads.
pub(crate) fn small() -> Options {
    Options {
        workers: Workers::Manual,
        memtable_bytes: 16 << 10,
        table_bytes: 16 << 10,
        level_base_bytes: 64 << 10,
        level_multiplier: 4,
        reserve_bytes: 0,
        log: icecore_engine::LogOptions { segment_bytes: 64 << 10, ..Default::default() },
        ..Options::default()
    }
}

pub(crate) fn key(text: &str) -> Vec<u8> {
    [&[DATA], text.as_bytes()].concat()
}

pub(crate) fn ms(ms: u64) -> Option<Timestamp> {
    Timestamp::from_ms(ms)
}

/// Commits mutations that nothing speaks against.
pub(crate) fn try_commit(
    engine: &Engine,
    mutations: &[Mutation<'_>],
) -> Result<Versionstamp, Error> {
    match engine.commit(Batch { checks: &[], mutations })? {
        Outcome::Committed(stamp) => Ok(stamp),
        Outcome::CheckFailed { .. } => unreachable!("there is no check"),
    }
}

pub(crate) fn commit(engine: &Engine, mutations: &[Mutation<'_>]) -> Versionstamp {
    try_commit(engine, mutations).unwrap()
}

pub(crate) fn try_set(engine: &Engine, name: &str, value: &[u8]) -> Result<Versionstamp, Error> {
    try_commit(engine, &[Mutation::Set { key: &key(name), value, expires_at: None }])
}

pub(crate) fn set(engine: &Engine, name: &str, value: &[u8]) -> Versionstamp {
    try_set(engine, name, value).unwrap()
}

pub(crate) fn set_until(engine: &Engine, name: &str, value: &[u8], until_ms: u64) -> Versionstamp {
    commit(engine, &[Mutation::Set { key: &key(name), value, expires_at: ms(until_ms) }])
}

pub(crate) fn delete(engine: &Engine, name: &str) -> Versionstamp {
    commit(engine, &[Mutation::Delete { key: &key(name) }])
}

pub(crate) fn delete_range(engine: &Engine, start: &str, end: &str) -> Versionstamp {
    commit(engine, &[Mutation::DeleteRange { start: &key(start), end: &key(end) }])
}

pub(crate) fn set_if(
    engine: &Engine,
    name: &str,
    expected: Option<Versionstamp>,
    value: &[u8],
) -> Outcome {
    let key = key(name);
    let mutations = [Mutation::Set { key: &key, value, expires_at: None }];
    let checks = [Check { key: &key, expected }];
    engine.commit(Batch { checks: &checks, mutations: &mutations }).unwrap()
}

pub(crate) fn get(engine: &Engine, name: &str) -> Option<Vec<u8>> {
    engine.get(&key(name)).unwrap().map(|record| record.value.to_vec())
}

/// All user data, in order.
pub(crate) fn contents(engine: &Engine) -> Vec<(String, Vec<u8>)> {
    collect(engine.scan(&[DATA], &[DATA + 1]).unwrap())
}

pub(crate) fn collect(scan: icecore_engine::Scan) -> Vec<(String, Vec<u8>)> {
    let text = |key: &[u8]| String::from_utf8_lossy(&key[1..]).into_owned();
    scan.map(|item| item.unwrap()).map(|item| (text(item.key()), item.value.to_vec())).collect()
}

pub(crate) fn names(engine: &Engine) -> Vec<String> {
    contents(engine).into_iter().map(|(name, _)| name).collect()
}

/// Holds that the store finds nothing wrong with itself.
pub(crate) fn assert_clean(engine: &Engine) {
    let report = engine.check().unwrap();
    assert!(report.is_clean(), "{report}: {:?}", report.problems);
}
