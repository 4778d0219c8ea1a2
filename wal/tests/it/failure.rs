//! Disks that fail: the log stops for good, and says nothing that is not so.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use icecore_disk::fault::Operation;
use icecore_disk::sim::{Crash, Failure, OpKind, Rules, SimDisk};
use icecore_disk::{Disk, Fault, FaultDisk, Faults, Name, OpenMode};
use icecore_model::Versionstamp;
use icecore_wal::{Claim, Error, Log, recover, salvage};

use crate::support::{BUFFERED, DATABASE, SMALL, SYNC, Store, TestRoster, env, stamps};

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn a_failed_write_poisons_for_good_and_nothing_more_becomes_visible() {
    let store = Store::new();
    store.commit(b"one", SYNC);
    store.disk.fail_next(OpKind::Complete, Failure::Io, 1);
    let lost = store.append(b"two", SYNC);
    let waker = Waker::from(Arc::new(Idle));
    assert!(store.log.poll_visible(lost, &waker).is_pending());
    assert!(matches!(store.log.wait(lost), Err(Error::Poisoned)));
    assert!(matches!(store.log.poll_visible(lost, &waker), Poll::Ready(Err(Error::Poisoned))));
    assert!(store.log.is_poisoned());
    assert!(store.log.failure().unwrap().contains("0000000001.wal"));
    assert_eq!(store.log.visible(), Versionstamp::new(1));
    assert!(matches!(store.try_append(b"three", SYNC), Err(Error::Poisoned)));
    assert!(matches!(store.log.sync(), Err(Error::Poisoned)));
    assert!(matches!(store.log.beacon(), Err(Error::Poisoned)));
    assert!(!store.log.step(0).unwrap());
    assert!(matches!(store.log.close(), Err(Error::Poisoned)));
    assert!(!store.log.wait_for_work());
    store.log.wait(Versionstamp::new(1)).unwrap();
}

#[test]
fn a_failed_sync_is_not_tried_again() {
    let store = Store::new();
    store.commit(b"one", BUFFERED);
    store.disk.fail_next(OpKind::Sync, Failure::Io, 1);
    assert!(matches!(store.log.sync(), Err(Error::Poisoned)));
    assert!(matches!(store.log.sync(), Err(Error::Poisoned)));
    assert_eq!(store.log.stats().syncs, 0);
    assert_eq!(store.log.durable_stamp(), Versionstamp::ZERO);
}

#[test]
fn the_step_that_fails_tells_the_cause() {
    let store = Store::new();
    store.append(b"one", SYNC);
    store.disk.fail_next(OpKind::Complete, Failure::NoSpace, 1);
    assert!(store.log.step(0).unwrap());
    let cause = store.log.step(0);
    assert!(matches!(cause, Err(Error::Io { file: Name::Wal(1), operation: "write", .. })));
    assert!(!store.log.step(0).unwrap());
}

#[test]
fn a_poisoned_log_lets_its_writes_in_flight_go() {
    let store = Store::new();
    store.append(b"one", SYNC);
    assert!(store.log.step(0).unwrap());
    store.log.poison();
    assert!(!store.log.step(0).unwrap());
    assert!(matches!(store.log.wait(Versionstamp::new(1)), Err(Error::Poisoned)));
}

#[test]
fn a_closed_log_has_no_write_in_flight_that_could_land_later_even_if_it_failed() {
    for seed in 0..20 {
        let store = Store::on(SimDisk::new(seed, Rules::power_cut()), SMALL);
        store.append(b"never acknowledged", SYNC);
        assert!(store.log.step(0).unwrap(), "the write is submitted");
        store.log.poison();
        assert!(matches!(store.log.close(), Err(Error::Poisoned)));
        // Whoever opens the directory next writes what it wants to be there.
        let file = store.disk.open(Name::Wal(1), OpenMode::ReadWrite).unwrap();
        file.write_all_at(512, &[7; 512]).unwrap();
        file.sync().unwrap();
        store.disk.crash(Crash::Random);
        let file = store.disk.reopen().open(Name::Wal(1), OpenMode::Read).unwrap();
        let mut found = [0; 512];
        file.read_full_at(512, &mut found).unwrap();
        assert_eq!(found, [7; 512], "seed {seed}");
    }
}

#[test]
fn a_log_that_cannot_be_created_leaves_nothing_that_is_used() {
    for operation in 0.. {
        let disk = SimDisk::new(1, Rules::power_cut());
        disk.fail_op(operation, Failure::NoSpace);
        let env = env(disk.clone(), Arc::new(TestRoster::default()));
        match Log::create(env, SMALL, 1, None, Versionstamp::ZERO) {
            Ok(_) => {
                assert!(operation >= 5, "several operations were tried");
                break;
            }
            Err(Error::OutOfSpace { file: Name::Wal(1), .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Every operation of a workload with rotations and recycling fails once, in every way; then the
/// power is cut, too. Whatever was acknowledged is found again.
#[test]
fn whatever_fails_acknowledged_commits_are_found_again() {
    for failure in [Failure::Io, Failure::NoSpace, Failure::Short] {
        for operation in 0.. {
            let store = Store::on(SimDisk::new(operation, Rules::power_cut()), SMALL);
            let before = store.disk.operations();
            store.disk.fail_op(before + operation, failure);
            let acknowledged = workload(&store);
            let complete = store.disk.operations() - before <= operation;
            store.disk.crash(Crash::Random);
            let disk = store.disk.reopen();
            let mut found = Vec::new();
            let after = Versionstamp::ZERO;
            recover(&*disk, DATABASE, &store.active(), after, &mut |commit| {
                found.push(commit.stamp.get());
                Ok(())
            })
            .unwrap_or_else(|e| panic!("operation {operation}, {failure:?}: {e}"));
            let last = found.last().copied().unwrap_or_default();
            assert!(last >= acknowledged, "operation {operation}, {failure:?}");
            if complete {
                break;
            }
        }
    }
}

/// Says which durable commit was acknowledged last. Segments that hold no later one are discarded
/// on the way, so it may be 0 if they hold it.
fn workload(store: &Store) -> u64 {
    let mut acknowledged = 0;
    for round in 0..20u64 {
        let durability = if round % 3 == 0 { SYNC } else { BUFFERED };
        let Ok(stamp) = store.try_append(&[1; 700], durability) else { continue };
        if store.log.wait(stamp).is_ok() && durability == SYNC {
            acknowledged = stamp.get();
        }
        if round == 9 {
            let obsolete = store.log.obsolete(Versionstamp::new(acknowledged));
            store.roster.active.lock().unwrap().retain(|n| !obsolete.contains(n));
            // A failure here is one of those that are tried; the log goes on.
            store.log.discard(&obsolete).ok();
        }
    }
    acknowledged
}

#[test]
fn an_error_of_the_reader_is_not_a_torn_log() {
    let store = Store::new();
    store.commit(b"one", SYNC);
    store.disk.fail_next(OpKind::Read, Failure::Io, 1);
    assert!(matches!(store.recover(&*store.disk), Err(Error::Io { operation: "read", .. })));
    let (_, read) = store.recover(&*store.disk).unwrap();
    assert_eq!(stamps(&read), [1]);
}

#[test]
fn a_wait_for_a_stamp_that_the_failure_kept_out_of_the_log_is_told_of_it() {
    let store = Store::new();
    store.commit(b"one", SYNC);
    store.log.reserve(3, Claim::Ordinary).unwrap();
    store.log.poison();
    let kept_out = Versionstamp::new(2);
    assert!(matches!(store.log.append(kept_out, 1002, b"two", SYNC), Err(Error::Poisoned)));
    assert!(matches!(store.log.wait(kept_out), Err(Error::Poisoned)));
    assert_eq!(store.log.stats().commits, 1, "the log can still be asked");
    assert!(matches!(store.log.close(), Err(Error::Poisoned)));
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_reported_by_salvage_with_its_cause() {
    let store = Store::new();
    store.commit(b"one", SYNC);
    let faults = Faults::new();
    let disk = FaultDisk::new(store.disk.clone(), Arc::clone(&faults));
    // Neither its bytes, nor, once that is known, its length.
    faults.inject(Fault::code(5).on(Operation::ReadAt).for_ever());
    faults.inject(Fault::code(5).on(Operation::Len).after(1).for_ever());
    let zero = Versionstamp::ZERO;
    let found = salvage(&disk, DATABASE, &[1], zero, zero, &mut |_| unreachable!()).unwrap();
    assert_eq!((found.segments, found.commits), (0, 0));
    let [damage] = &found.damage[..] else { panic!("{:?}", found.damage) };
    assert_eq!(damage.file, Name::Wal(1));
    assert!(damage.what.starts_with("read 0000000001.wal: "), "{}", damage.what);
}

#[test]
fn errors_name_their_file_and_their_cause() {
    let cause = |error: &Error| std::error::Error::source(error).map(ToString::to_string);
    let file = Name::Wal(7);
    let corrupt = Error::Corrupt { file, offset: 512, what: "a frame" };
    assert_eq!(corrupt.to_string(), "0000000007.wal is damaged at byte 512: a frame");
    assert_eq!(cause(&corrupt), None);
    let unknown = Error::UnknownFormat { file, version: 9 };
    assert_eq!(unknown.to_string(), "0000000007.wal has the unknown format version 9");
    let large = Error::TooLarge { max: 10, got: 11 };
    assert_eq!(large.to_string(), "a commit of 11 bytes exceeds the limit of 10 bytes");
    let source = || std::io::Error::from_raw_os_error(5);
    let failed = Error::Io { file, operation: "write", source: source() };
    assert_eq!(failed.to_string(), format!("write 0000000007.wal: {}", source()));
    assert_eq!(cause(&failed), Some(source().to_string()));
    let full = Error::OutOfSpace { file, source: source() };
    assert!(full.to_string().starts_with("no room for 0000000007.wal: "), "{full}");
    assert_eq!(cause(&full), Some(source().to_string()));
}
