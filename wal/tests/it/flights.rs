//! Several writes in flight, completed in any order.

use icecore_disk::sim::{Crash, Rules, SimDisk};
use icecore_model::Versionstamp;
use icecore_wal::LogOptions;

use crate::support::{BUFFERED, SMALL, SYNC, Store, frames, stamps};

/// A log whose first segment has room for some commits.
fn roomy() -> Store {
    let options = LogOptions { segment_bytes: 8192, ..SMALL };
    Store::on(SimDisk::new(1, Rules::power_cut()), options)
}

/// Submits the pending group. Completions come first among the choices, so this one is last.
fn submit(store: &Store, in_flight: u64) {
    assert!(store.log.step(in_flight).unwrap());
}

#[test]
fn visibility_follows_the_order_of_stamps_whatever_completes_first() {
    let store = roomy();
    for in_flight in 0..3 {
        store.append(&[0; 600], SYNC);
        submit(&store, in_flight);
    }
    assert!(store.log.step(2).unwrap(), "the third completes");
    assert_eq!(store.log.visible(), Versionstamp::ZERO);
    assert!(store.log.step(0).unwrap(), "the first completes");
    assert_eq!(store.log.visible(), Versionstamp::new(1));
    assert!(store.log.step(0).unwrap(), "the second completes");
    assert_eq!(store.log.visible(), Versionstamp::new(3));
    assert_eq!(store.log.durable_stamp(), Versionstamp::new(3));
    assert!(!store.log.step(0).unwrap());
    assert_eq!(store.log.stats().syncs, 0);
}

#[test]
fn no_more_writes_are_in_flight_than_allowed() {
    let store = roomy();
    for in_flight in 0..4 {
        store.append(&[0; 10], SYNC);
        submit(&store, in_flight);
    }
    let last = store.append(&[0; 10], SYNC);
    assert!(store.log.step(4).unwrap(), "with four in flight only completions can be chosen");
    assert_eq!(store.log.stats().writes, 1);
    store.log.wait(last).unwrap();
    assert_eq!(store.log.stats().writes, 5);
}

#[test]
fn a_waiter_completes_what_others_left_in_flight() {
    let store = Store::new();
    store.append(b"one", SYNC);
    submit(&store, 0);
    let second = store.append(b"two", BUFFERED);
    store.log.wait(second).unwrap();
    assert_eq!(store.log.visible(), second);
    assert_eq!(store.log.durable_stamp(), Versionstamp::new(1));
}

#[test]
fn a_hole_between_writes_in_flight_cuts_what_was_not_acknowledged() {
    let store = Store::new();
    store.commit(b"acknowledged", SYNC);
    for in_flight in 0..2 {
        store.append(&[7; 300], SYNC);
        submit(&store, in_flight);
    }
    assert!(store.log.step(1).unwrap(), "the second of the two completes");
    assert_eq!(store.log.visible(), Versionstamp::new(1));
    store.disk.crash(Crash::KeepNone);
    let (recovery, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(stamps(&read), [1]);
    let icecore_wal::Ending::Torn { bytes_cut, .. } = recovery.ending else {
        panic!("{:?}", recovery.ending)
    };
    assert!(bytes_cut >= 340, "the write that arrived is seen: {bytes_cut}");
}

#[test]
fn a_durable_commit_over_a_buffered_one_in_flight_waits_for_a_sync_of_both() {
    let store = Store::new();
    store.append(b"buffered", BUFFERED);
    submit(&store, 0);
    let durable = store.append(b"durable", SYNC);
    submit(&store, 1);
    assert!(store.log.step(1).unwrap(), "the durable one completes first");
    assert_eq!(store.log.visible(), Versionstamp::ZERO);
    assert!(store.log.step(0).unwrap(), "then the buffered one");
    assert_eq!(store.log.visible(), Versionstamp::new(1));
    assert!(store.log.step(0).unwrap(), "then the sync");
    assert_eq!(store.log.visible(), durable);
    assert_eq!(store.log.stats().syncs, 1);
}

#[test]
fn a_block_of_a_durable_commit_in_flight_is_left_alone() {
    let store = Store::new();
    store.append(b"durable", SYNC);
    submit(&store, 0);
    let buffered = store.append(b"buffered", BUFFERED);
    store.log.wait(buffered).unwrap();
    let starts: Vec<u32> = frames(&store.disk, 1).iter().map(|f| f.0).collect();
    assert_eq!(starts, [512, 1024]);
}
