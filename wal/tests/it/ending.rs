//! How a log ends: clean, torn or corrupt, and what recovery proves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use icecore_disk::sim::{Crash, Damage, Filler, Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_model::{DatabaseId, LogPosition, Versionstamp};
use icecore_wal::{Claim, Ending, Error, recover};

use crate::support::{BUFFERED, SMALL, SYNC, Store, forge, forged, frames, read_all, stamps};

const WAL: Name = Name::Wal(1);
const FLIP: Damage = Damage::FlipBit(0);

/// A stopped machine with a log of `commits` durable commits, each in a block of its own.
fn stopped(commits: usize, close: bool) -> Store {
    let store = Store::new();
    for _ in 0..commits {
        store.commit(b"durable", SYNC);
    }
    if close {
        store.log.close().unwrap();
    }
    store.disk.crash(Crash::KeepAll);
    store
}

fn corrupt_at(store: &Store) -> (Name, u64) {
    match store.recover(&*store.disk.reopen()) {
        Err(Error::Corrupt { file, offset, .. }) => (file, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_segments_are_an_empty_clean_log() {
    let disk = SimDisk::new(1, Rules::none());
    let (recovery, read) = read_all(&*disk, &[]).unwrap();
    assert_eq!((recovery.last, recovery.end, recovery.ending), (None, None, Ending::Clean));
    assert!(read.is_empty());
}

#[test]
fn a_closed_log_is_clean_and_an_idle_one_is_not() {
    let store = stopped(2, true);
    let (recovery, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!((recovery.ending, stamps(&read)), (Ending::Clean, vec![1, 2]));

    let store = Store::new();
    store.commit(b"one", SYNC);
    store.log.beacon().unwrap();
    store.log.beacon().unwrap();
    assert_eq!(frames(&store.disk, 1).len(), 2, "a second beacon would say nothing");
    let (recovery, _) = store.recover(&*store.disk).unwrap();
    let at = LogPosition::new(1, recovery.end.unwrap().length);
    assert_eq!(recovery.ending, Ending::Torn { at, bytes_cut: 0 });
}

#[test]
fn commits_up_to_the_given_stamp_are_read_over() {
    let store = stopped(3, true);
    let mut read = Vec::new();
    let after = Versionstamp::new(2);
    let disk = store.disk.reopen();
    let recovery = recover(&*disk, crate::support::DATABASE, &[1], after, &mut |commit| {
        read.push(commit.stamp.get());
        Ok(())
    });
    assert_eq!(read, [3]);
    assert_eq!(recovery.unwrap().last, Some(Versionstamp::new(3)));
}

#[test]
fn the_answer_of_the_callback_is_passed_on() {
    let store = stopped(2, true);
    let disk = store.disk.reopen();
    let answer = recover(&*disk, crate::support::DATABASE, &[1], Versionstamp::ZERO, &mut |_| {
        Err(Error::Closed)
    });
    assert!(matches!(answer, Err(Error::Closed)));
}

#[test]
fn damage_to_the_last_frame_of_an_open_log_is_a_torn_tail() {
    let store = stopped(3, false);
    let last = frames(&store.disk, 1)[2].0;
    store.disk.corrupt(WAL, u64::from(last) + 41, FLIP).unwrap();
    let (recovery, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(stamps(&read), [1, 2]);
    assert!(matches!(recovery.ending, Ending::Torn { bytes_cut: 0, .. }));
}

#[test]
fn damage_below_what_a_later_frame_knew_to_be_durable_is_corruption() {
    let store = stopped(3, false);
    let all = frames(&store.disk, 1);
    store.disk.corrupt(WAL, u64::from(all[1].0) + 41, FLIP).unwrap();
    assert_eq!(corrupt_at(&store), (WAL, u64::from(all[0].1)));
}

#[test]
fn a_beacon_proves_the_last_commit() {
    let store = Store::new();
    store.commit(b"one", SYNC);
    store.log.beacon().unwrap();
    let first = frames(&store.disk, 1)[0].0;
    store.disk.crash(Crash::KeepAll);
    store.disk.corrupt(WAL, u64::from(first) + 41, Damage::RandomSector).unwrap();
    assert_eq!(corrupt_at(&store), (WAL, 512));
}

/// Destroys the last commit in a copy, which recovery must notice.
fn assert_that_the_last_commit_is_proved(store: &Store, what: &str) {
    let last = |segment: &u32| {
        let all = frames(&store.disk, *segment);
        let (start, ..) = all.iter().rfind(|(_, _, header)| header.kind == 1)?;
        Some((Name::Wal(u64::from(*segment)), u64::from(*start)))
    };
    let (wal, start) = store.active().iter().rev().find_map(last).unwrap();
    let disk = store.disk.fork();
    disk.crash(Crash::KeepAll);
    disk.corrupt(wal, start + 39, FLIP).unwrap();
    let answer = store.recover(&*disk.reopen());
    assert!(
        matches!(answer, Err(Error::Corrupt { file, .. }) if file == wal),
        "{what}: {answer:?}"
    );
}

#[test]
fn a_beacon_has_room_behind_every_commit_of_a_segment() {
    for payload in [1, 400, 500, 1000, 3000] {
        for commits in 1..12 {
            let store = Store::new();
            for _ in 0..commits {
                store.commit(&vec![3; payload], SYNC);
            }
            store.log.beacon().unwrap();
            assert_that_the_last_commit_is_proved(&store, &format!("{commits} of {payload}"));
            store.log.close().unwrap();
            assert_eq!(store.recover(&*store.disk).unwrap().0.ending, Ending::Clean);
        }
    }
}

#[test]
fn a_beacon_between_a_promise_and_its_commit_takes_no_room_from_it() {
    for promised in [0, 1, 400, 1000, 2000] {
        for commits in 1..12 {
            let store = Store::new();
            for _ in 0..commits {
                store.commit(&[3; 1], SYNC);
            }
            store.log.reserve(promised, Claim::Ordinary).unwrap();
            store.log.beacon().unwrap();
            assert_that_the_last_commit_is_proved(&store, &format!("{commits}, then {promised}"));
            let stamp = store.log.last_appended().next();
            store.log.append(stamp, 1000 + stamp.get(), &vec![4; promised], SYNC).unwrap();
            store.log.wait(stamp).unwrap();
            store.log.beacon().unwrap();
            assert_that_the_last_commit_is_proved(&store, &format!("{commits} and {promised}"));
            store.log.close().unwrap();
            let (recovery, read) = store.recover(&*store.disk).unwrap();
            assert_eq!((recovery.ending, read.len()), (Ending::Clean, commits + 1));
        }
    }
}

/// Appends a commit when it is woken, once.
struct Appending(Arc<Store>, AtomicBool);

impl Wake for Appending {
    fn wake(self: Arc<Self>) {
        if !self.1.swap(true, Ordering::SeqCst) {
            self.0.append(b"two", SYNC);
        }
    }
}

#[test]
fn a_beacon_does_not_vouch_for_a_commit_that_came_meanwhile_and_the_next_one_does() {
    let store = Arc::new(Store::new());
    let first = store.append(b"one", SYNC);
    let waker = Waker::from(Arc::new(Appending(store.clone(), AtomicBool::new(false))));
    assert!(store.log.poll_visible(first, &waker).is_pending());
    store.log.beacon().unwrap();
    let second = store.log.last_appended();
    assert_eq!(second, first.next(), "it was woken while the beacon made the first durable");
    store.log.wait(second).unwrap();
    store.log.beacon().unwrap();
    assert_that_the_last_commit_is_proved(&store, "the second");
}

#[test]
fn a_hole_in_a_segment_that_has_a_successor_is_corruption() {
    let store = Store::new();
    while store.log.stats().segments < 2 {
        store.commit(&[3; 600], BUFFERED);
    }
    store.disk.crash(Crash::KeepNone);
    let all = frames(&store.disk, 1);
    let (last, before) = (all[all.len() - 1], all[all.len() - 2]);
    store.disk.corrupt(WAL, u64::from(last.0) + 50, FLIP).unwrap();
    assert_eq!(corrupt_at(&store), (WAL, u64::from(before.1)));
}

#[test]
fn a_segment_that_must_exist_and_does_not_is_corruption() {
    let store = Store::new();
    while store.log.stats().segments < 3 {
        store.commit(&[3; 600], SYNC);
    }
    store.disk.crash(Crash::KeepAll);
    for missing in store.active() {
        let disk = store.disk.fork();
        disk.remove_file(Name::Wal(u64::from(missing))).unwrap();
        let answer = store.recover(&*disk.reopen());
        let Err(Error::Corrupt { file, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!(file, Name::Wal(u64::from(missing)));
    }
    let disk = store.disk.reopen();
    let unlisted = read_all(&*disk, &[1, 3]);
    assert!(matches!(unlisted, Err(Error::Corrupt { file: Name::Wal(3), .. })), "{unlisted:?}");
    let unordered = read_all(&*disk, &[2, 1]);
    assert!(matches!(unordered, Err(Error::Corrupt { file: Name::Wal(1), .. })), "{unordered:?}");
}

#[test]
fn a_damaged_header_is_corruption_and_a_later_version_is_told_apart() {
    for damage in [FLIP, Damage::ZeroSector, Damage::RandomSector] {
        let store = stopped(1, true);
        store.disk.corrupt(WAL, 20, damage).unwrap();
        assert_eq!(corrupt_at(&store), (WAL, 0));
    }
    let store = stopped(1, true);
    store.disk.corrupt(WAL, 8, Damage::FlipBit(1)).unwrap();
    let answer = store.recover(&*store.disk.reopen());
    assert!(matches!(answer, Err(Error::UnknownFormat { file: WAL, version: 3 })), "{answer:?}");
}

#[test]
fn a_segment_of_another_store_or_of_another_number_is_refused() {
    let store = stopped(1, true);
    store.disk.duplicate_file(WAL, Name::Wal(2)).unwrap();
    let disk = store.disk.reopen();
    let renamed = read_all(&*disk, &[2]);
    assert!(matches!(renamed, Err(Error::Corrupt { file: Name::Wal(2), offset: 32, .. })));
    let other = DatabaseId([9; 16]);
    let foreign = recover(&*disk, other, &[1], Versionstamp::ZERO, &mut |_| Ok(()));
    assert!(matches!(foreign, Err(Error::Corrupt { file: WAL, offset: 16, .. })));
}

#[test]
fn a_segment_that_was_cut_is_corrupt_and_one_that_grew_is_not() {
    let store = stopped(2, true);
    let longer = store.disk.fork();
    longer.extend_file(WAL, 5000, Filler::Garbage).unwrap();
    let (recovery, read) = store.recover(&*longer.reopen()).unwrap();
    assert_eq!((stamps(&read), recovery.ending), (vec![1, 2], Ending::Clean));
    for bytes in [0, 79, 80, 512, 1100, 4095] {
        let shorter = store.disk.fork();
        shorter.truncate_file(WAL, bytes).unwrap();
        let answer = store.recover(&*shorter.reopen());
        assert!(matches!(answer, Err(Error::Corrupt { file: WAL, .. })), "{bytes}: {answer:?}");
    }
}

#[test]
fn a_frame_that_verifies_but_cannot_stand_there_is_corruption() {
    let bytes = |kind, stamp, payload: &[u8], durable: LogPosition| {
        let store = stopped(1, false);
        let end = frames(&store.disk, 1)[0].1;
        let mut segment = store.disk.read_file(WAL).unwrap();
        let header = forged(kind, end, stamp);
        forge(&mut segment, icecore_model::frame::FrameHeader { durable, ..header }, payload);
        store.disk.write_file(WAL, &segment);
        (store, u64::from(end))
    };
    let start = LogPosition::new(1, 512);
    let cases: [(u8, u64, &[u8], LogPosition); 6] = [
        (1, 1, b"", start),
        (2, 2, b"", start),
        (2, 1, b"x", start),
        (3, 1, b"x", start),
        (9, 2, b"", start),
        (1, 2, b"", LogPosition::new(1, 4000)),
    ];
    for (kind, stamp, payload, durable) in cases {
        let (store, end) = bytes(kind, stamp, payload, durable);
        assert_eq!(corrupt_at(&store), (WAL, end), "kind {kind}, stamp {stamp}");
    }
    let (store, _) = bytes(1, 2, b"good", start);
    let (_, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(stamps(&read), [1, 2]);
}

#[test]
fn nothing_follows_the_end_of_the_log() {
    let store = stopped(1, true);
    let end = frames(&store.disk, 1)[1].1;
    for position in [end, end.next_multiple_of(512), end.next_multiple_of(512) + 512] {
        let stopped = store.disk.fork();
        let mut segment = stopped.read_file(WAL).unwrap();
        forge(&mut segment, forged(1, position, 2), b"late");
        stopped.write_file(WAL, &segment);
        let answer = store.recover(&*stopped.reopen());
        assert!(matches!(answer, Err(Error::Corrupt { .. })), "{position}: {answer:?}");
    }
}

#[test]
fn a_log_goes_on_from_where_recovery_found_the_end() {
    let store = stopped(2, false);
    let disk = store.disk.reopen();
    let (recovery, _) = store.recover(&*disk).unwrap();
    let env = crate::support::env(disk.clone(), store.roster.clone());
    let ceiling = Versionstamp::new(500);
    let log = icecore_wal::Log::create(env, SMALL, 2, recovery.end, ceiling).unwrap();
    log.reserve(3, Claim::Ordinary).unwrap();
    log.append(ceiling.next(), 1501, b"new", SYNC).unwrap();
    log.wait(ceiling.next()).unwrap();
    log.close().unwrap();
    let (recovery, read) = read_all(&*disk, &[2]).unwrap();
    assert_eq!(recovery.ending, Ending::Clean);
    assert_eq!(read, [(501, b"new".to_vec())]);
    assert_eq!(disk.list().unwrap().len(), 2);
}
