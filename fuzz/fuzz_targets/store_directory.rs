//! A store with any bytes in the place of one of its files opens, or says what is wrong with it.
#![no_main]

use std::sync::Arc;

use icecore_disk::Name;
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Engine, Environment, Mutation, Options, Outcome, Workers};
use libfuzzer_sys::fuzz_target;

fn open(disk: &Arc<SimDisk>) -> Result<Engine, icecore_engine::Error> {
    let env = Environment {
        disk: Arc::clone(disk) as Arc<dyn icecore_disk::Disk>,
        clock: Arc::new(ManualClock::at(1)),
        random: Arc::new(SeededRandom::new(1)),
    };
    let options = Options { workers: Workers::Manual, ..Options::default() };
    Engine::open(env, options)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, content)) = bytes.split_first() else { return };
    let disk = SimDisk::new(1, Rules::none());
    let engine = open(&disk).expect("an empty directory becomes a store");
    let mutations = [Mutation::Set { key: &[DATA, 1], value: b"v", expires_at: None }];
    let outcome = engine.commit(Batch { checks: &[], mutations: &mutations });
    assert!(matches!(outcome, Ok(Outcome::Committed(_))));
    engine.flush().expect("it flushes");
    engine.close().expect("it closes");
    disk.kill();
    let names: Vec<Name> = disk.snapshot_files().into_iter().map(|(name, _)| name).collect();
    disk.write_file(names[usize::from(*which) % names.len()], content);
    if let Ok(engine) = open(&disk.reopen()) {
        let read: Result<Vec<_>, _> =
            engine.scan(&[DATA], &[DATA + 1]).expect("it is open").collect();
        drop((read, engine.check()));
    }
});
