//! Watches: frames of a few keys.

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use icecore::{Entry, ErrorKind, Kv, Limits, Watch, key, prefix};

use crate::machine::{Machine, commit};

/// The numbers in a frame; 0 for an absent key.
fn numbers(frame: &[Entry]) -> Vec<u64> {
    frame.iter().map(|entry| entry.u64_or(0).unwrap()).collect()
}

fn next(watch: &mut Watch) -> Vec<u64> {
    numbers(&watch.next().unwrap().unwrap())
}

fn try_next(watch: &mut Watch) -> Option<Vec<u64>> {
    watch.try_next().unwrap().map(|frame| numbers(&frame))
}

/// A future's outcome, in this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn the_first_frame_comes_at_once_with_all_keys_in_their_order() {
    let kv = Kv::in_memory().unwrap();
    let versionstamp = kv.set(key!["a"], 1).unwrap();
    let mut watch = kv.watch([key!["b"], key!["a"]]).unwrap();
    let frame = watch.next().unwrap().unwrap();
    assert_eq!(numbers(&frame), [0, 1]);
    assert_eq!(frame[0].key, key!["b"]);
    assert_eq!((frame[0].versionstamp, frame[1].versionstamp), (None, Some(versionstamp)));
    assert_eq!(try_next(&mut watch), None);
}

#[test]
fn a_commit_that_touches_a_watched_key_gives_a_frame_of_all_keys() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["a"], key!["b"]]).unwrap();
    next(&mut watch);
    kv.set(key!["other"], 1).unwrap();
    kv.set(key!["a", "below"], 1).unwrap();
    assert_eq!(try_next(&mut watch), None);
    kv.set(key!["b"], 2).unwrap();
    assert_eq!(next(&mut watch), [0, 2]);
    commit(kv.atomic().sum(key!["a"], 7).delete(key!["b"]));
    assert_eq!(next(&mut watch), [7, 0]);
    commit(kv.atomic().delete_range(..));
    assert_eq!(next(&mut watch), [0, 0]);
}

#[test]
fn what_changes_quickly_shares_a_frame_and_the_last_state_is_never_missed() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    assert_eq!(next(&mut watch), [0]);
    for number in 1..=20 {
        kv.set(key!["a"], number).unwrap();
    }
    assert_eq!(next(&mut watch), [20]);
    assert_eq!(try_next(&mut watch), None);
}

#[test]
fn a_value_that_is_set_again_has_changed() {
    let kv = Kv::in_memory().unwrap();
    kv.set(key!["a"], 1).unwrap();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    next(&mut watch);
    let versionstamp = kv.set(key!["a"], 1).unwrap();
    assert_eq!(watch.next().unwrap().unwrap()[0].versionstamp, Some(versionstamp));
}

#[test]
fn a_frame_in_which_nothing_changed_is_for_raw_watches_only() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    let mut raw = kv.watch([key!["a"]]).unwrap().raw(true);
    assert_eq!((next(&mut watch), next(&mut raw)), (vec![0], vec![0]));
    kv.delete(key!["a"]).unwrap();
    assert_eq!((try_next(&mut watch), try_next(&mut raw)), (None, Some(vec![0])));
    commit(kv.atomic().set(key!["a"], 1).delete(key!["a"]));
    assert_eq!((try_next(&mut watch), try_next(&mut raw)), (None, Some(vec![0])));
    let failed = kv.atomic().check_versionstamp(key!["b"], Some(icecore::Versionstamp::MAX));
    assert!(failed.set(key!["a"], 1).commit().unwrap().versionstamp().is_none());
    assert_eq!((try_next(&mut watch), try_next(&mut raw)), (None, None));
}

#[test]
fn a_watch_of_no_keys_ends_at_once() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch(Vec::<icecore::Key>::new()).unwrap();
    assert!(watch.is_ended());
    assert!(watch.next().is_none());
    assert!(watch.try_next().unwrap().is_none());
}

#[test]
fn the_empty_key_is_absent_for_ever() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key![], key!["a"]]).unwrap().raw(true);
    assert_eq!(next(&mut watch), [0, 0]);
    commit(kv.atomic().delete_range(..key!["a"]));
    assert_eq!(try_next(&mut watch), None);
    kv.set(key!["a"], 1).unwrap();
    assert_eq!(next(&mut watch), [0, 1]);
}

#[test]
fn a_key_that_is_named_twice_is_in_the_frame_twice() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["a"], key!["b"], key!["a"]]).unwrap();
    assert_eq!(next(&mut watch), [0, 0, 0]);
    kv.set(key!["a"], 1).unwrap();
    assert_eq!(next(&mut watch), [1, 0, 1]);
    assert_eq!(try_next(&mut watch), None);
}

#[test]
fn too_many_keys_and_too_long_ones_are_refused_in_denos_words() {
    let kv = Kv::in_memory().unwrap();
    let error = kv.watch((0..11).map(|n| key![n])).unwrap_err();
    assert_eq!(error.text(), "Too many keys (max 10)");
    assert!(matches!(error.kind(), ErrorKind::LimitExceeded { max: 10, got: 11, .. }));
    let error = kv.watch([key!["x".repeat(2048)]]).unwrap_err();
    assert_eq!(error.text(), "Key too large for read (max 2049 bytes)");
    assert!(kv.watch([key!["x".repeat(2046)]]).is_ok());
    let many = Kv::builder_in_memory().limits(Limits::none()).open().unwrap();
    assert_eq!(next(&mut many.watch((0..100).map(|n| key![n])).unwrap()), [0; 100]);
}

#[test]
fn closing_the_store_ends_a_watch_without_an_error() {
    let kv = Kv::in_memory().unwrap();
    let mut idle = kv.watch([key!["a"]]).unwrap();
    let mut behind = kv.watch([key!["a"]]).unwrap();
    next(&mut behind);
    kv.set(key!["a"], 1).unwrap();
    let (first, came) = mpsc::channel();
    let mut waiting = kv.watch([key!["a"]]).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            first.send(next(&mut waiting)).unwrap();
            assert!(waiting.next().is_none());
            assert!(waiting.next().is_none(), "it stays at its end");
        });
        assert_eq!(came.recv().unwrap(), [1]);
        kv.close().unwrap();
    });
    for watch in [&mut idle, &mut behind] {
        assert!(watch.is_ended());
        assert!(watch.next().is_none());
        assert!(watch.try_next().unwrap().is_none());
    }
    assert_eq!(kv.watch([key!["a"]]).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_canceller_ends_a_watch_in_which_a_thread_waits() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    let canceller = watch.canceller();
    let (first, came) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            first.send(next(&mut watch)).unwrap();
            assert!(watch.next().is_none());
            assert!(watch.is_ended());
        });
        came.recv().unwrap();
        canceller.cancel();
    });
    canceller.clone().cancel();
    kv.set(key!["a"], 1).unwrap();
}

#[test]
fn a_watch_keeps_the_store_open_until_it_ends() {
    let machine = Machine::new(1);
    let kv = machine.open();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    drop(kv);
    assert_eq!(next(&mut watch), [0]);
    assert_eq!(machine.try_open().unwrap_err().kind(), ErrorKind::Locked);
    watch.canceller().cancel();
    assert!(watch.next().is_none());
    assert!(machine.try_open().is_ok(), "the watch itself is still there: {watch:?}");
}

#[test]
fn an_expired_key_gives_a_frame() {
    let machine = Machine::new(1);
    let kv = machine.open();
    kv.set_expiring(key!["a"], 1, Duration::from_secs(10)).unwrap();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    assert_eq!(next(&mut watch), [1]);
    machine.clock.advance_ms(9_999);
    assert_eq!(try_next(&mut watch), None);
    machine.clock.advance_ms(1);
    assert_eq!(next(&mut watch), [0]);
}

#[test]
fn a_commit_that_may_be_lost_ends_a_watch_with_an_error() {
    let machine = Machine::new(1);
    let kv = machine.open();
    // The first commit of a life asks the disk for room, and would hear of its end there.
    kv.set(key!["b"], 1).unwrap();
    let mut watch = kv.watch([key!["a"]]).unwrap();
    let mut polled = kv.watch([key!["a"]]).unwrap();
    assert_eq!((next(&mut watch), next(&mut polled)), (vec![0], vec![0]));
    machine.disk.kill();
    assert_eq!(kv.set(key!["a"], 1).unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    let told = block_on(std::future::poll_fn(|cx| polled.poll_next(cx)));
    for error in [watch.next(), told] {
        assert_eq!(error.unwrap().unwrap_err().kind(), ErrorKind::Poisoned);
    }
    assert!(watch.is_ended() && watch.next().is_none());
}

#[test]
fn a_task_is_woken_by_commits_by_closing_and_by_a_canceller() {
    let kv = Kv::in_memory().unwrap();
    let frames = |mut watch: Watch| async move {
        let mut frames = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| watch.poll_next(cx)).await {
            frames.push(numbers(&frame.unwrap())[0]);
            if frames.last() == Some(&2) {
                break;
            }
        }
        frames
    };
    let watch = || kv.watch([key!["a"]]).unwrap();
    thread::scope(|scope| {
        let (changing, ending, cancelled) = (watch(), watch(), watch());
        let canceller = cancelled.canceller();
        let (changing, ending) = (frames(changing), frames(ending));
        let changed = scope.spawn(|| block_on(changing));
        kv.set(key!["a"], 1).unwrap();
        // Buffered commits are driven by a thread of the store.
        drop(kv.atomic().set(key!["a"], 2).commit_async());
        assert_eq!(changed.join().unwrap().last(), Some(&2));
        kv.set(key!["a"], 3).unwrap();
        let cancelled = scope.spawn(|| block_on(frames(cancelled)));
        canceller.cancel();
        assert!(cancelled.join().unwrap().len() <= 1);
        let ended = scope.spawn(|| block_on(ending));
        kv.close().unwrap();
        assert!(ended.join().unwrap().len() <= 1);
    });
}

#[cfg(feature = "stream")]
#[test]
fn a_stream_gives_what_the_watch_would_give() {
    use futures_core::Stream;

    let kv = Kv::in_memory().unwrap();
    let mut frames = pin!(kv.watch([key!["a"]]).unwrap().into_stream());
    let mut next = || block_on(std::future::poll_fn(|cx| frames.as_mut().poll_next(cx)));
    assert_eq!(numbers(&next().unwrap().unwrap()), [0]);
    kv.set(key!["a"], 1).unwrap();
    assert_eq!(numbers(&next().unwrap().unwrap()), [1]);
    kv.close().unwrap();
    assert!(next().is_none());
}

#[test]
fn every_frame_is_of_one_moment_and_time_does_not_go_back() {
    const COMMITS: u64 = 300;
    let kv = Kv::in_memory().unwrap();
    thread::scope(|scope| {
        for is_async in [false, true] {
            let mut watch = kv.watch([key!["a"], key!["b"]]).unwrap();
            scope.spawn(move || {
                let mut last = 0;
                while last < COMMITS {
                    let frame = if is_async {
                        block_on(std::future::poll_fn(|cx| watch.poll_next(cx)))
                    } else {
                        watch.next()
                    };
                    let numbers = numbers(&frame.unwrap().unwrap());
                    assert_eq!(numbers[0], numbers[1], "both are set by each commit");
                    assert!(numbers[0] > last || last == 0);
                    last = numbers[0];
                }
            });
        }
        for number in 1..=COMMITS {
            commit(kv.atomic().set(key!["a"], number).set(key!["b"], number));
        }
    });
    assert_eq!(kv.count(prefix![]).unwrap(), 2);
}

#[test]
fn watches_come_and_go_during_commits() {
    const ROUNDS: u64 = 300;
    let kv = Kv::in_memory().unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let mut watch = kv.watch([key!["n"]]).unwrap();
                    let first = next(&mut watch)[0];
                    // Whatever comes of it, the store is left with a waker.
                    let second = block_on(std::future::poll_fn(|cx| match watch.poll_next(cx) {
                        Poll::Ready(frame) => Poll::Ready(numbers(&frame.unwrap().unwrap())[0]),
                        Poll::Pending => Poll::Ready(u64::MAX),
                    }));
                    assert!(first < second);
                }
            });
        }
        for number in 1..=ROUNDS {
            commit(kv.atomic().set(key!["n"], number));
        }
    });
}

#[test]
fn a_store_that_is_open_for_reading_tells_its_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let kv = Kv::open(&path).unwrap();
    kv.set(key!["a"], 1).unwrap();
    kv.close().unwrap();
    let reader = Kv::builder(&path).read_only(true).open().unwrap();
    let mut watch = reader.watch([key!["a"]]).unwrap();
    assert_eq!((next(&mut watch), try_next(&mut watch)), (vec![1], None));
    let mut feed = reader.watch_prefix(..).unwrap();
    let told = std::iter::from_fn(|| feed.try_next().unwrap());
    assert_eq!(told.count(), 3);
    reader.close().unwrap();
    assert!(watch.next().is_none() && feed.next().is_none());
}

#[test]
fn watches_go_to_other_threads() {
    fn assert_send<T: Send + 'static>() {}
    fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
    assert_send::<Watch>();
    assert_send::<icecore::Feed>();
    assert_shareable::<icecore::Canceller>();
    assert_shareable::<icecore::Event>();
}
