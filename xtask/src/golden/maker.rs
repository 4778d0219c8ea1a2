//! The machine on which a script makes a golden store.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Crash, Rules, SimDisk};
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Access, Batch, Durability, Engine, Environment, LogOptions, Mutation, Options, Outcome, Step,
    TableOptions, Workers,
};
use icecore_model::hash::hash64;
use icecore_model::{Timestamp, Versionstamp};

use super::folder::archive::{self, Files};
use super::folder::contents::{self, Contents};

/// Where the clock stands at first: a while before the stores are read.
pub(super) const START_MS: u64 = 1_800_000_000_000;

/// A machine with one directory.
pub(super) struct Maker {
    pub(super) disk: Arc<SimDisk>,
    pub(super) clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
}

/// Settings under which little data makes several of everything. The background work is done when
/// it is asked for.
pub(super) fn tiny() -> Options {
    Options {
        workers: Workers::Manual,
        memtable_bytes: 16 << 10,
        table_bytes: 4 << 10,
        level_base_bytes: 8 << 10,
        level_multiplier: 2,
        reserve_bytes: 0,
        table: TableOptions { block_bytes: 1 << 10, ..TableOptions::default() },
        log: LogOptions { segment_bytes: 16 << 10, ..LogOptions::default() },
        ..Options::default()
    }
}

/// Settings under which everything stays in the log, in segments of 4 KiB.
pub(super) fn logging() -> Options {
    let log = LogOptions { segment_bytes: 4 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 1 << 20, log, ..tiny() }
}

impl Maker {
    /// A machine whose dice are cast by the name of the script.
    pub(super) fn new(name: &str) -> Maker {
        let seed = hash64(name.as_bytes());
        Maker {
            disk: SimDisk::new(seed, Rules::none()),
            clock: Arc::new(ManualClock::at(START_MS)),
            random: Arc::new(SeededRandom::new(seed)),
        }
    }

    pub(super) fn environment(&self) -> Environment {
        let (disk, clock, random) = (self.disk.clone(), self.clock.clone(), self.random.clone());
        Environment { disk, clock, random }
    }

    pub(super) fn open(&self, options: Options) -> Engine {
        Engine::open(self.environment(), options).expect("nothing is wrong with the machine")
    }

    /// Kills the process, and starts the next one.
    pub(super) fn kill(&mut self) {
        self.disk.kill();
        self.disk = self.disk.reopen();
    }

    /// Cuts the power so that the store, which is open no more, then shows a number of entries that
    /// is `wanted`, and starts the machine again.
    pub(super) fn cut_power(&mut self, wanted: impl Fn(usize) -> bool) {
        for seed in 0..1_000 {
            let disk = self.disk.fork();
            disk.reseed(seed);
            disk.set_rules(Rules::power_cut());
            disk.crash(Crash::Random);
            let disk = disk.reopen();
            disk.set_rules(Rules::none());
            let files = disk.snapshot_files();
            let reader = Arc::new(archive::disk_of(&files));
            let engine = contents::open(reader, |options| options.access = Access::ReadOnly);
            let shown = engine.and_then(|engine| Contents::of(&engine));
            if wanted(shown.expect("a power cut does no damage").rows.len()) {
                self.disk = disk;
                return;
            }
        }
        panic!("no power cut leaves that");
    }

    /// The directory as it is when the process is killed.
    pub(super) fn killed(&self) -> Files {
        self.disk.kill();
        self.disk.snapshot_files()
    }

    /// The directory of a store that is closed now.
    pub(super) fn closed(&self, engine: &Engine) -> Files {
        engine.close().expect("nothing is wrong with the machine");
        self.disk.snapshot_files()
    }

    /// Another directory of the machine, with the store of it closed.
    pub(super) fn files_of(&self, path: &str) -> Files {
        let disk = self.disk.directory(Path::new(path)).expect("it was created");
        disk.snapshot_files()
    }

    /// The environment of another directory of the machine.
    pub(super) fn environment_of(&self, path: &str) -> Environment {
        let disk = self.disk.directory(Path::new(path)).expect("it was created");
        Environment { disk, ..self.environment() }
    }
}

/// A key of user data.
pub(super) fn key(name: &str) -> Vec<u8> {
    [&[DATA], name.as_bytes()].concat()
}

/// So many bytes that can be compressed, different for each text.
pub(super) fn value(of: &str, bytes: usize) -> Vec<u8> {
    let mut value = String::new();
    while value.len() < bytes {
        write!(value, "{of} at {}. ", value.len()).expect("a string takes all");
    }
    value.truncate(bytes);
    value.into_bytes()
}

/// So many bytes that cannot be compressed, different for each text.
pub(super) fn noise(of: &str, bytes: usize) -> Vec<u8> {
    let random = SeededRandom::new(hash64(of.as_bytes()));
    (0..bytes).map(|_| random.next().to_le_bytes()[0]).collect()
}

pub(super) fn commit(engine: &Engine, mutations: &[Mutation<'_>]) -> Versionstamp {
    commit_with(engine, mutations, Durability::Sync)
}

pub(super) fn commit_with(
    engine: &Engine,
    mutations: &[Mutation<'_>],
    durability: Durability,
) -> Versionstamp {
    let batch = Batch { checks: &[], mutations };
    match engine.commit_with(batch, durability).expect("nothing is wrong with the machine") {
        Outcome::Committed(stamp) => stamp,
        Outcome::CheckFailed { .. } => unreachable!("there is no check"),
    }
}

pub(super) fn set(engine: &Engine, name: &str, value: &[u8]) -> Versionstamp {
    commit(engine, &[Mutation::Set { key: &key(name), value, expires_at: None }])
}

pub(super) fn set_buffered(engine: &Engine, name: &str, value: &[u8]) -> Versionstamp {
    let mutations = [Mutation::Set { key: &key(name), value, expires_at: None }];
    commit_with(engine, &mutations, Durability::Buffered)
}

pub(super) fn set_until(engine: &Engine, name: &str, value: &[u8], until_ms: u64) -> Versionstamp {
    let expires_at = Timestamp::from_ms(until_ms);
    commit(engine, &[Mutation::Set { key: &key(name), value, expires_at }])
}

pub(super) fn delete(engine: &Engine, name: &str) -> Versionstamp {
    commit(engine, &[Mutation::Delete { key: &key(name) }])
}

pub(super) fn delete_range(engine: &Engine, start: &str, end: &str) -> Versionstamp {
    commit(engine, &[Mutation::DeleteRange { start: &key(start), end: &key(end) }])
}

/// Flushes what is in memory.
pub(super) fn flush(engine: &Engine) {
    engine.flush().expect("nothing is wrong with the machine");
}

/// Flushes, and compacts until nothing is left to gain.
pub(super) fn compact(engine: &Engine) {
    engine.compact().expect("nothing is wrong with the machine");
}

/// Does the work that no caller waits for, up to the end or until so many pieces are done.
pub(super) fn work(engine: &Engine, pieces: usize) {
    for _ in 0..pieces {
        if engine.step(0).expect("nothing is wrong with the machine") == Step::Idle {
            return;
        }
    }
}
