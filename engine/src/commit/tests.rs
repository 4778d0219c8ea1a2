//! What becomes of a store when a commit breaks in the middle.

use std::panic::{AssertUnwindSafe, catch_unwind};

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};

use super::*;
use crate::core::Environment;
use crate::error::ErrorKind;
use crate::options::{Options, Workers};

fn open(disk: &Arc<SimDisk>) -> Core {
    let env = Environment {
        disk: disk.clone(),
        clock: Arc::new(ManualClock::at(1_000)),
        random: Arc::new(SeededRandom::new(1)),
    };
    let options = Options { workers: Workers::Manual, reserve_bytes: 0, ..Options::default() };
    crate::open::open(env, options).unwrap()
}

fn set(core: &Core, key: u8) -> Result<(), Error> {
    let set = Mutation::Set { key: &[keyspace::DATA, key], value: b"v", expires_at: None };
    core.commit(Batch { checks: &[], mutations: &[set] }, Durability::Sync).map(drop)
}

/// Commits effects that no engine encodes.
fn commit_garbage(core: &Core) {
    let mut garbage = |_: &Core, _: Versionstamp, effects: &mut Vec<u8>| {
        effects.extend_from_slice(&[0xff; 9]);
        Ok(())
    };
    drop(core.commit_effects(Durability::Sync, &mut garbage));
}

#[test]
fn a_commit_that_panics_half_way_stops_commits_and_not_reads() {
    let disk = SimDisk::new(1, Rules::none());
    let core = open(&disk);
    set(&core, b'a').unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| commit_garbage(&core))).is_err());
    assert!(core.log.as_ref().unwrap().is_poisoned());
    assert_eq!(set(&core, b'b').unwrap_err().kind(), ErrorKind::Poisoned);
    assert!(core.get_visible(&[keyspace::DATA, b'a']).unwrap().is_some());
    drop(core);
    let core = open(&disk);
    assert!(core.get_visible(&[keyspace::DATA, b'a']).unwrap().is_some());
    assert!(core.get_visible(&[keyspace::DATA, b'b']).unwrap().is_none());
    set(&core, b'b').unwrap();
}
