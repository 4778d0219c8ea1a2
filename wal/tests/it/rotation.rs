//! From one segment to the next, and what becomes of the old ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use icecore_disk::sim::{Crash, Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_model::Versionstamp;
use icecore_model::limits::COMMIT_BYTES_MAX;
use icecore_wal::{Claim, Ending, Error, LogOptions};

use crate::support::{BUFFERED, DATABASE, SMALL, SYNC, Store, frames, stamps};

/// Commits until the log is in its segment number `segments`.
fn fill(store: &Store, segments: u64) {
    while store.log.stats().segments < segments {
        store.commit(&[7; 500], BUFFERED);
    }
}

fn listed(disk: &dyn Disk) -> Vec<Name> {
    let mut names: Vec<Name> = disk.list().unwrap().into_iter().map(|l| l.name.unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_full_segment_is_durable_before_its_successor_takes_frames() {
    let store = Store::new();
    fill(&store, 3);
    assert_eq!(store.active(), [1, 2, 3]);
    let last = store.log.visible().get();
    store.disk.crash(Crash::KeepNone);
    let (recovery, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(stamps(&read), (1..last).collect::<Vec<u64>>());
    assert_eq!(recovery.end.unwrap().segment, 3);
}

struct Called(AtomicBool);

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn wakers_that_become_due_while_room_is_made_are_left_for_later() {
    let store = Store::new();
    let stamp = store.append(&[7; 500], SYNC);
    let called = Arc::new(Called(AtomicBool::new(false)));
    assert!(store.log.poll_visible(stamp, &Waker::from(called.clone())).is_pending());
    // Another segment is begun: before that, everything is made durable.
    store.log.reserve(4096, Claim::Ordinary).unwrap();
    assert!(store.log.visible() >= stamp);
    assert!(!called.0.load(Ordering::SeqCst), "whoever reserves may hold a lock");
    store.log.wake_left();
    assert!(called.0.load(Ordering::SeqCst));
}

#[test]
fn a_commit_that_is_larger_than_a_segment_gets_a_larger_one() {
    let store = Store::new();
    let large = vec![5; 300 << 10];
    store.commit(b"small", SYNC);
    store.commit(&large, SYNC);
    store.commit(&[6; 3000], SYNC);
    store.log.close().unwrap();
    let (recovery, read) = store.recover(&*store.disk).unwrap();
    assert_eq!(stamps(&read), [1, 2, 3]);
    assert_eq!(read[1].1, large);
    assert_eq!(recovery.ending, Ending::Clean);
    assert_eq!(store.active(), [1, 2, 3]);
}

#[test]
fn a_commit_above_the_limit_is_refused() {
    let store = Store::new();
    let refused = store.log.reserve(COMMIT_BYTES_MAX + 1, Claim::Ordinary);
    assert!(matches!(refused, Err(Error::TooLarge { max: COMMIT_BYTES_MAX, .. })));
    store.commit(b"small", SYNC);
}

#[test]
fn the_ceiling_is_never_reached_within_a_segment() {
    let store = Store::new();
    while store.log.stats().segments < 3 {
        let stamp = store.commit(b"", BUFFERED);
        assert!(stamp < store.log.ceiling());
    }
}

#[test]
fn want_of_space_at_a_rotation_leaves_no_trace() {
    for reserve_refuses in [true, false] {
        let store = Store::new();
        let mut commits = 0;
        store.roster.full.store(reserve_refuses, Ordering::SeqCst);
        if !reserve_refuses {
            store.disk.set_space(Some(store.disk.used_bytes() + 1000));
        }
        let refusal = loop {
            match store.try_append(&[7; 500], SYNC) {
                Ok(stamp) => store.log.wait(stamp).unwrap(),
                Err(error) => break error,
            }
            commits += 1;
        };
        assert!(matches!(refusal, Error::OutOfSpace { file: Name::Wal(2), .. }), "{refusal:?}");
        assert!(!store.log.is_poisoned());
        assert_eq!(store.log.last_appended().get(), commits);
        assert_eq!(listed(&*store.disk), [Name::Wal(1)]);
        assert!(store.try_append(&[7; 500], SYNC).is_err());
        let (_, read) = store.recover(&*store.disk).unwrap();
        assert_eq!(read.len() as u64, commits);

        store.disk.set_space(None);
        store.roster.full.store(false, Ordering::SeqCst);
        store.commit(&[8; 500], SYNC);
        let (_, read) = store.recover(&*store.disk).unwrap();
        assert_eq!(read.len() as u64, commits + 1);
    }
}

/// Appends until the roster refuses, durably.
fn fill_up(store: &Store) {
    let refusal = loop {
        match store.try_append(&[7; 500], SYNC) {
            Ok(stamp) => store.log.wait(stamp).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, Error::OutOfSpace { .. }), "{refusal:?}");
}

#[test]
fn a_freeing_commit_goes_on_where_others_are_refused_and_opens_no_door_for_them() {
    let large = LogOptions { segment_bytes: 1 << 20, spare_segments: 0, ..SMALL };
    let store = Store::on(SimDisk::new(1, Rules::power_cut()), large);
    store.commit(&[7; 500], SYNC);
    *store.roster.left.lock().unwrap() = Some(300 << 10);
    fill_up(&store);
    let used = store.disk.used_bytes();
    let stamp = store.try_append_with(&[8; 500], SYNC, Claim::Freeing).unwrap();
    store.log.wait(stamp).unwrap();
    assert!(store.disk.used_bytes() - used <= 300 << 10, "little of the reserve is used");
    let refusal = store.try_append(b"", SYNC).unwrap_err();
    assert!(matches!(refusal, Error::OutOfSpace { .. }), "{refusal:?}");
    while store.log.stats().segments < 4 {
        let stamp = store.try_append_with(&[8; 500], SYNC, Claim::Freeing).unwrap();
        store.log.wait(stamp).unwrap();
    }
    store.try_append(b"", SYNC).unwrap_err();
    *store.roster.left.lock().unwrap() = Some(100);
    let refused = (0..1000).find_map(|_| {
        let appended = store.try_append_with(&[8; 500], SYNC, Claim::Freeing);
        appended.map(|stamp| store.log.wait(stamp).unwrap()).err()
    });
    assert!(matches!(refused, Some(Error::OutOfSpace { .. })), "the reserve has an end, too");
    *store.roster.left.lock().unwrap() = None;
    let last = store.commit(b"there is room again", SYNC);
    let (_, read) = store.recover(&*store.disk).unwrap();
    assert_eq!(stamps(&read), (1..=last.get()).collect::<Vec<u64>>());
}

#[test]
fn a_freeing_commit_takes_nothing_of_the_reserve_while_there_is_room() {
    let large = LogOptions { segment_bytes: 1 << 20, spare_segments: 0, ..SMALL };
    let store = Store::on(SimDisk::new(1, Rules::power_cut()), large);
    while store.log.stats().segments < 2 {
        let stamp = store.try_append_with(&[8; 5000], SYNC, Claim::Freeing).unwrap();
        store.log.wait(stamp).unwrap();
    }
    assert_eq!(store.disk.used_bytes(), 2 << 20);
    *store.roster.left.lock().unwrap() = Some(0);
    store.commit(b"its segment was admitted for everybody", SYNC);
}

#[test]
fn the_segment_that_a_log_begins_with_is_no_door_to_the_reserve() {
    let store = Store::new();
    *store.roster.left.lock().unwrap() = Some(0);
    let refusal = store.try_append(b"refused", SYNC).unwrap_err();
    assert!(matches!(refusal, Error::OutOfSpace { file: Name::Wal(1), .. }), "{refusal:?}");
    let stamp = store.try_append_with(b"freeing", SYNC, Claim::Freeing).unwrap();
    store.log.wait(stamp).unwrap();
    store.try_append(b"refused", SYNC).unwrap_err();
    *store.roster.left.lock().unwrap() = None;
    store.commit(b"admitted", SYNC);
    *store.roster.left.lock().unwrap() = Some(0);
    store.commit(b"nobody asks again", SYNC);
}

#[test]
fn a_roster_without_room_leaves_the_log_where_it_was() {
    let store = Store::new();
    store.roster.list_full.store(true, Ordering::SeqCst);
    let mut commits = 0;
    while let Ok(stamp) = store.try_append(&[7; 500], SYNC) {
        store.log.wait(stamp).unwrap();
        commits += 1;
    }
    let refusal = store.try_append(&[7; 500], SYNC).unwrap_err();
    assert!(matches!(refusal, Error::OutOfSpace { .. }), "{refusal:?}");
    assert!(!store.log.is_poisoned());
    store.roster.list_full.store(false, Ordering::SeqCst);
    store.commit(&[8; 500], SYNC);
    let (_, read) = store.recover(&*store.disk).unwrap();
    assert_eq!(read.len(), commits + 1);
}

#[test]
fn a_segment_holds_commits_from_its_first_frame_on() {
    let store = Store::new();
    let holds = |number| icecore_wal::holds_commits(&*store.disk, DATABASE, number).unwrap();
    assert!(!holds(1));
    store.commit(b"first", SYNC);
    assert!(holds(1));
    store.log.prepare_spare().unwrap();
    assert!(listed(&*store.disk).len() > 1);
    assert!(listed(&*store.disk).iter().all(|name| *name == Name::Wal(1) || {
        let Name::Wal(spare) = *name else { panic!("{name} is no segment") };
        !holds(u32::try_from(spare).unwrap())
    }));
}

#[test]
fn a_roster_that_fails_poisons_the_log() {
    let store = Store::new();
    store.roster.broken.store(true, Ordering::SeqCst);
    let error = loop {
        match store.try_append(&[7; 500], SYNC) {
            Ok(stamp) => store.log.wait(stamp).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Poisoned));
    assert!(store.log.is_poisoned());
}

#[test]
fn a_segment_is_obsolete_when_its_last_commit_is_flushed() {
    let store = Store::new();
    fill(&store, 3);
    let read = store.recover(&*store.disk).unwrap().1;
    let in_first = frames(&store.disk, 1).len() as u64;
    assert!(store.log.obsolete(Versionstamp::new(in_first - 1)).is_empty());
    assert_eq!(store.log.obsolete(Versionstamp::new(in_first)), [1]);
    assert_eq!(store.log.obsolete(Versionstamp::new(read.len() as u64)), [1, 2]);
}

#[test]
fn a_recycled_segment_shows_nothing_of_its_earlier_life() {
    let store = Store::on(SimDisk::new(5, Rules::power_cut()), SMALL);
    let mut known = Vec::new();
    for round in 0..6 {
        fill(&store, store.log.stats().segments + 1);
        let flushed = store.log.visible();
        let obsolete = store.log.obsolete(flushed);
        store.roster.active.lock().unwrap().retain(|n| !obsolete.contains(n));
        store.log.discard(&obsolete).unwrap();
        let spare = store.active()[0] + 1;
        assert_eq!(listed(&*store.disk).len(), 2, "round {round}: a segment and a spare");
        assert!(listed(&*store.disk).contains(&Name::Wal(u64::from(spare))));
        let (recovery, read) = store.recover(&*store.disk).unwrap();
        assert!(read.len() == 1, "round {round}: only what was committed in this segment");
        assert_eq!(recovery.last, Some(flushed));
        known.push(flushed);
    }
    assert!(known.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn a_spare_is_made_once_and_used_by_the_next_rotation() {
    let store = Store::new();
    assert!(store.log.prepare_spare().unwrap());
    assert!(!store.log.prepare_spare().unwrap());
    assert_eq!(listed(&*store.disk), [Name::Wal(1), Name::Wal(2)]);
    let used = store.disk.used_bytes();
    store.roster.full.store(true, Ordering::SeqCst);
    fill(&store, 2);
    assert_eq!(store.disk.used_bytes(), used, "the space was there already");
    assert!(matches!(store.log.prepare_spare(), Err(Error::OutOfSpace { .. })));
    store.commit(b"in the spare", SYNC);
    store.disk.crash(Crash::KeepNone);
    let (_, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(read.last().unwrap().1, b"in the spare");
}

#[test]
fn a_spare_that_cannot_grow_for_a_large_commit_stays_and_is_good_for_smaller_ones() {
    let store = Store::new();
    store.commit(b"small", SYNC);
    assert!(store.log.prepare_spare().unwrap());
    let large = vec![7; 4 * SMALL.segment_bytes as usize];
    store.disk.set_space(Some(store.disk.used_bytes() + 1000));
    let refusal = store.try_append(&large, SYNC).unwrap_err();
    assert!(matches!(refusal, Error::OutOfSpace { file: Name::Wal(2), .. }), "{refusal:?}");
    assert_eq!(listed(&*store.disk), [Name::Wal(1), Name::Wal(2)]);
    assert!(!store.log.prepare_spare().unwrap(), "it is there still");
    fill(&store, 2);
    store.disk.set_space(None);
    store.commit(&large, SYNC);
    let (_, read) = store.recover(&*store.disk).unwrap();
    assert_eq!(read.first().unwrap().1, b"small");
    assert_eq!(read.last().unwrap().1, large);
}

#[test]
fn without_spares_obsolete_segments_are_removed() {
    let options = LogOptions { spare_segments: 0, ..SMALL };
    let store = Store::on(SimDisk::new(1, Rules::power_cut()), options);
    fill(&store, 2);
    store.log.discard(&store.log.obsolete(Versionstamp::MAX)).unwrap();
    store.log.discard(&[1, 99]).unwrap();
    assert_eq!(listed(&*store.disk), [Name::Wal(2)]);
    store.disk.crash(Crash::KeepNone);
    assert_eq!(listed(&*store.disk.reopen()), [Name::Wal(2)], "the removal is durable");
}
