//! The sweeper's notes: how far it has come, and when it is to look next.

use std::sync::Arc;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};

use super::*;
use crate::batch::{Batch, Mutation};
use crate::core::Environment;
use crate::options::{Options, Workers};

fn open(disk: &Arc<SimDisk>, now_ms: u64) -> Core {
    open_with(disk, &Arc::new(ManualClock::at(now_ms)))
}

fn open_with(disk: &Arc<SimDisk>, clock: &Arc<ManualClock>) -> Core {
    let env = Environment {
        disk: disk.clone(),
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(1)),
    };
    let options = Options { workers: Workers::Manual, reserve_bytes: 0, ..Options::default() };
    crate::open::open(env, options).unwrap()
}

/// Sets a key that expires at `moment_ms`, and lets it become visible if `waits`.
fn set_until(core: &Core, key: u8, moment_ms: u64, waits: bool) {
    let expires_at = Timestamp::from_ms(moment_ms);
    let set = Mutation::Set { key: &[keyspace::DATA, key], value: b"v", expires_at };
    let batch = Batch { checks: &[], mutations: &[set] };
    if waits {
        core.commit(batch, Durability::Buffered).map(drop).unwrap();
    } else {
        core.submit(batch, Durability::Sync).map(drop).unwrap();
    }
}

/// Sets a key that expires at `moment_ms`, and sweeps until nothing is left to do.
fn sweep_one(core: &Core, key: u8, moment_ms: u64) -> Option<Watermark> {
    set_until(core, key, moment_ms, true);
    while core.sweep().unwrap() {}
    core.watermark()
}

#[test]
fn a_compaction_acts_on_what_the_sweeper_noted_only_once_the_note_is_durable() {
    let core = open(&SimDisk::new(1, Rules::none()), 2_000);
    let mark = sweep_one(&core, b'a', 1_500).unwrap();
    assert!(core.log.as_ref().unwrap().durable_stamp() < mark.stamp);
    assert_eq!(core.expired_before(), None);
    core.log.as_ref().unwrap().sync().unwrap();
    assert_eq!(core.expired_before().map(|expired| expired.stamp), Some(mark.stamp));
}

#[test]
fn the_watermark_does_not_go_back_with_the_clock() {
    let disk = SimDisk::new(1, Rules::none());
    let mark = sweep_one(&open(&disk, 2_000), b'a', 1_500).unwrap();
    assert_eq!(mark.moment.ms(), 1_500);
    let core = open(&disk, 1_000);
    assert_eq!(core.watermark(), Some(mark));
    assert_eq!(sweep_one(&core, b'b', 900), Some(mark));
    drop(core);
    let core = open(&disk, 1_000);
    assert_eq!(core.watermark(), Some(mark), "nor on the disk");
    assert!(sweep_one(&core, b'c', 400).is_some_and(|mark| mark.moment.ms() == 1_500));
}

#[test]
fn the_sweeper_sleeps_until_the_next_entry_is_due_but_not_for_long() {
    let ms = Duration::from_millis;
    assert_eq!(patience(1_007, 1_000), ms(7));
    assert_eq!(patience(1_001, 1_000), SWEEP_PAUSE);
    assert_eq!(patience(NextDue::UNKNOWN, 1_000), SWEEP_PAUSE);
    assert_eq!(patience(9_000, 1_000), IDLE_PATIENCE);
    assert_eq!(patience(NextDue::NEVER, 1_000), IDLE_PATIENCE);
}

#[test]
fn the_next_due_moment_is_found_after_opening_and_after_sweeping() {
    let disk = SimDisk::new(1, Rules::none());
    let clock = Arc::new(ManualClock::at(1_000));
    let next_due = |core: &Core| {
        while core.sweep().unwrap() {}
        core.find_next_due().unwrap();
        core.next_due.ms()
    };
    let core = open_with(&disk, &clock);
    assert_eq!(next_due(&core), NextDue::NEVER);
    set_until(&core, b'b', 1_200, true);
    set_until(&core, b'c', 1_300, true);
    assert_eq!(next_due(&core), 1_200);
    set_until(&core, b'a', 1_100, true);
    assert_eq!(core.next_due.ms(), 1_100, "a commit lowers it");
    clock.advance_ms(150);
    assert_eq!(next_due(&core), 1_200);
    drop(core);
    let core = open_with(&disk, &clock);
    assert_eq!(core.next_due.ms(), NextDue::UNKNOWN);
    assert_eq!(next_due(&core), 1_200);
    assert_eq!(core.sweep_patience(), Duration::from_millis(50));
    clock.advance_ms(150);
    assert_eq!(next_due(&core), NextDue::NEVER);
}

#[test]
fn a_commit_that_is_not_visible_yet_is_not_overlooked() {
    let disk = SimDisk::new(1, Rules::none());
    let core = open(&disk, 1_000);
    set_until(&core, b'a', 1_100, false);
    assert_eq!(core.next_due.ms(), NextDue::UNKNOWN);
    assert_eq!(core.first_expiry(0).unwrap(), None, "it is not visible");
    core.find_next_due().unwrap();
    assert_eq!(core.next_due.ms(), 1_100);
}

#[test]
fn the_sweeper_waits_by_the_wall_clock_when_that_stepped_back() {
    let disk = SimDisk::new(1, Rules::none());
    let clock = Arc::new(ManualClock::at(1_000));
    let core = open_with(&disk, &clock);
    set_until(&core, b'a', 1_050, true);
    core.find_next_due().unwrap();
    assert_eq!(core.sweep_patience(), Duration::from_millis(50));
    clock.set_wall_ms(100);
    assert_eq!(core.sweep_patience(), IDLE_PATIENCE);
}

#[test]
fn what_could_not_be_found_out_stays_unknown() {
    let disk = SimDisk::new(1, Rules::none());
    let core = open(&disk, 1_000);
    set_until(&core, b'a', 1_100, false);
    core.log.as_ref().unwrap().poison();
    assert!(core.find_next_due().is_err());
    assert_eq!(core.next_due.ms(), NextDue::UNKNOWN);
}
