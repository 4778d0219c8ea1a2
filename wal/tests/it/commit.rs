//! Appending, waiting, and what is visible when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use icecore_disk::sim::Crash;
use icecore_model::Versionstamp;
use icecore_wal::{Ending, Error};

use crate::support::{BUFFERED, SYNC, Store, frames, read_all, stamps};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_commit_is_visible_when_the_wait_for_it_ends() {
    let store = Store::new();
    for durability in [SYNC, BUFFERED, BUFFERED, SYNC] {
        let stamp = store.append(b"effects", durability);
        assert!(store.log.visible() < stamp);
        store.log.wait(stamp).unwrap();
        assert_eq!(store.log.visible(), stamp);
    }
    let stats = store.log.stats();
    assert_eq!((stats.commits, stats.writes, stats.syncs), (4, 4, 1));
}

#[test]
fn a_durable_commit_survives_a_power_cut_and_a_buffered_one_only_a_kill() {
    let store = Store::new();
    store.commit(b"one", SYNC);
    store.commit(b"two", BUFFERED);
    let other = store.disk.fork();
    store.disk.crash(Crash::KeepNone);
    let (recovery, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(read, [(1, b"one".to_vec())]);
    assert_eq!(recovery.last, Some(Versionstamp::new(1)));
    assert!(matches!(recovery.ending, Ending::Torn { bytes_cut: 0, .. }));
    other.kill();
    let (recovery, read) = store.recover(&*other.reopen()).unwrap();
    assert_eq!(stamps(&read), [1, 2]);
    assert_eq!(recovery.last_clock_ms, 1002);
}

#[test]
fn buffered_bytes_below_a_durable_commit_are_made_durable_first() {
    let store = Store::new();
    store.commit(b"one", BUFFERED);
    assert_eq!(store.log.durable_stamp(), Versionstamp::ZERO);
    store.commit(b"two", SYNC);
    assert_eq!(store.log.durable_stamp(), Versionstamp::new(2));
    store.disk.crash(Crash::KeepNone);
    let (_, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(stamps(&read), [1, 2]);
}

#[test]
fn a_sync_makes_everything_before_it_durable() {
    let store = Store::new();
    store.log.sync().unwrap();
    store.commit(b"one", BUFFERED);
    store.append(b"two", BUFFERED);
    store.log.sync().unwrap();
    assert_eq!(store.log.visible(), Versionstamp::new(2));
    assert_eq!(store.log.durable_stamp(), Versionstamp::new(2));
    store.append(b"three", BUFFERED);
    store.disk.crash(Crash::KeepNone);
    let (_, read) = store.recover(&*store.disk.reopen()).unwrap();
    assert_eq!(stamps(&read), [1, 2]);
}

#[test]
fn a_buffered_commit_is_one_write_and_the_next_continues_its_block() {
    let store = Store::new();
    for _ in 0..3 {
        store.commit(b"small", BUFFERED);
    }
    assert_eq!(store.log.stats().writes, 3);
    let starts: Vec<u32> = frames(&store.disk, 1).iter().map(|f| f.0).collect();
    assert_eq!(starts, [512, 557, 602]);
    store.commit(b"durable", SYNC);
    store.commit(b"small", BUFFERED);
    let starts: Vec<u32> = frames(&store.disk, 1)[3..].iter().map(|f| f.0).collect();
    assert_eq!(starts, [1024, 1536], "a block with a durable commit is not written again");
}

#[test]
fn commits_that_wait_together_share_a_write() {
    let store = Store::new();
    let last = (0..5).map(|_| store.append(b"together", SYNC)).last().unwrap();
    store.log.wait(last).unwrap();
    assert_eq!(store.log.stats().writes, 1);
    assert_eq!(store.log.stats().bytes, 512);
}

#[test]
fn a_waker_is_called_when_its_stamp_becomes_visible_and_not_before() {
    let store = Store::new();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let first = store.append(b"one", SYNC);
    let second = store.append(b"two", SYNC);
    assert!(store.log.poll_visible(second, &waker).is_pending());
    assert!(store.log.poll_visible(second, &waker).is_pending());
    store.log.kick();
    assert!(store.log.wait_for_work(), "a kicked commit is work");
    assert!(store.log.step(0).unwrap());
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    assert!(store.log.step(0).unwrap());
    assert!(!store.log.step(0).unwrap());
    assert_eq!(count.0.load(Ordering::SeqCst), 1, "registered twice, woken once");
    for stamp in [first, second] {
        assert!(matches!(store.log.poll_visible(stamp, &waker), Poll::Ready(Ok(()))));
    }
}

#[test]
fn a_driver_is_released_by_the_close() {
    let store = Store::new();
    std::thread::scope(|scope| {
        let driver = scope.spawn(|| {
            let mut steps = 0;
            while store.log.wait_for_work() {
                while store.log.step(0).unwrap() {
                    steps += 1;
                }
            }
            steps
        });
        let stamp = store.append(b"one", SYNC);
        store.log.kick();
        store.log.wait(stamp).unwrap();
        store.log.close().unwrap();
        driver.join().unwrap();
    });
    assert!(matches!(store.try_append(b"two", SYNC), Err(Error::Closed)));
    store.log.close().unwrap();
}

#[test]
fn threads_that_commit_together_all_become_visible_and_durable() {
    let store = Store::on(
        icecore_disk::sim::SimDisk::new(3, icecore_disk::sim::Rules::none()),
        icecore_wal::LogOptions { segment_bytes: 1 << 20, ..crate::support::SMALL },
    );
    let writer = std::sync::Mutex::new(());
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (store, writer) = (&store, &writer);
            scope.spawn(move || {
                for round in 0..50u8 {
                    let durability = if (thread + round) % 3 == 0 { BUFFERED } else { SYNC };
                    let guard = writer.lock().unwrap();
                    let stamp = store.append(&[thread, round], durability);
                    drop(guard);
                    store.log.wait(stamp).unwrap();
                    assert!(store.log.visible() >= stamp);
                    assert!(durability == BUFFERED || store.log.durable_stamp() >= stamp);
                }
            });
        }
    });
    store.log.close().unwrap();
    let (recovery, read) = read_all(&*store.disk, &store.active()).unwrap();
    assert_eq!(stamps(&read), (1..=200).collect::<Vec<u64>>());
    assert_eq!(recovery.ending, Ending::Clean);
}

#[test]
fn who_never_waits_writes_what_has_piled_up() {
    let disk = icecore_disk::sim::SimDisk::new(1, icecore_disk::sim::Rules::none());
    let options = icecore_wal::LogOptions { segment_bytes: 4 << 20, ..crate::support::SMALL };
    let store = Store::on(disk, options);
    for round in 0..3000 {
        store.append(&[7; 1000], if round % 2 == 0 { SYNC } else { BUFFERED });
    }
    let written = store.log.stats().bytes;
    assert!(written > 1 << 20, "memory is bounded by writing: {written}");
    store.log.close().unwrap();
    assert_eq!(store.log.visible(), Versionstamp::new(3000));
    let (recovery, read) = store.recover(&*store.disk).unwrap();
    assert_eq!((read.len(), recovery.ending), (3000, Ending::Clean));
}

#[test]
fn a_wait_needs_nobody_else_when_its_group_holds_a_later_commit() {
    let store = Store::new();
    // Because of this one, the group of the others is not written durably but synced.
    store.commit(b"in the kernel", BUFFERED);
    let first = store.append(b"first", SYNC);
    let second = store.append(b"second", SYNC);
    // Were this to hang: nobody but this thread drives the log.
    store.log.wait(first).unwrap();
    assert!(store.log.durable_stamp() >= first);
    store.log.wait(second).unwrap();
}
