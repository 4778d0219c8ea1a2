//! Queues on a machine whose power is cut at any moment, against what must be true of each message.
//!
//! One thread sends, receives, finishes, fails and lets time pass, as a seed says, and does the
//! engine's background work itself; so each seed is one history. After each stop of the machine,
//! and once more at the end, everything that was promised is looked for.

mod history;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_engine::{Engine, Environment, Options, Workers};

use self::history::History;
use super::line::{Lease, Pick, Ready};
use super::message::Begin;
use crate::store::Store;
use crate::{Enqueue, Error, ErrorKind, Kv, Limits, ListenOptions, Value, key};

/// Seeds of each of the fault models.
const SEEDS: u64 = 100;

fn run(seeds: std::ops::Range<u64>, rules: Rules) {
    let mut totals = history::Totals::default();
    for seed in seeds.clone() {
        let mut history = History::new(seed, rules);
        history.run();
        totals.add(&history.totals);
    }
    println!("seeds {seeds:?}: {totals:?}");
    let history::Totals { stops, delivered, redelivered, given_up, finished, .. } = totals;
    assert!([stops, delivered, redelivered, given_up, finished].iter().all(|count| *count > 100));
}

#[test]
fn messages_survive_power_cuts() {
    run(0..SEEDS, Rules::power_cut());
}

#[test]
fn messages_survive_torn_sectors_and_lost_renames() {
    run(1_000..1_000 + SEEDS, Rules { torn: true, ..Rules::alice() });
}

#[test]
fn taking_messages_at_the_front_of_a_long_queue_does_not_read_it_again() {
    let kv = Kv::in_memory().unwrap();
    let queue = kv.queue("");
    for number in 0..500 {
        kv.enqueue(number).unwrap();
    }
    let held: Vec<_> = (0..400).map(|_| queue.try_receive().unwrap().unwrap()).collect();
    let last = held.last().unwrap().spot();
    assert!(queue.line.floor() > last, "what is on lease is not read again");
    let mut held = held.into_iter();
    held.by_ref().take(200).for_each(|message| message.finish().unwrap());
    assert!(queue.line.floor() > last, "nor what is finished");
    let failed = held.next().unwrap();
    failed.fail().unwrap();
    assert!(queue.line.floor() > last, "and a retry comes later");
}

#[test]
fn a_message_that_has_moved_is_not_given_up_at_its_old_place_while_somebody_works_on_it() {
    let (disk, random) = (SimDisk::new(1, Rules::none()), SeededRandom::new(1));
    let clock = Arc::new(ManualClock::at(1_000));
    let environment =
        Environment { disk, clock: Arc::clone(&clock) as Arc<_>, random: Arc::new(random) };
    let kv = Kv::builder_in(environment).open().unwrap();
    let message = Enqueue::new(7).backoff([Duration::ZERO]).keys_if_undelivered([key!["dead"]]);
    kv.enqueue(message).unwrap();
    let queue = kv.queue("");
    // Somebody reads the message at its first place, and is slow.
    let Pick::Ready(ready, lease) = queue.line.pick(kv.engine(), None).unwrap() else {
        panic!("there is a message")
    };
    let stale = Ready { spot: ready.spot, stamp: ready.stamp, stored: ready.stored.clone() };
    let first = Begin::new(&kv, ready, lease).unwrap().commit().unwrap().unwrap();
    clock.advance_ms(5);
    let old = first.spot();
    first.fail().unwrap();
    let last = queue.try_receive().unwrap().unwrap();
    assert!(last.spot() != old && last.is_last_attempt());
    let late = Begin::new(&kv, stale, Lease::on(&queue.line, old)).unwrap().commit().unwrap();
    assert!(late.is_none());
    assert!(!kv.get(key!["dead"]).unwrap().is_present(), "the last attempt is under way");
    last.finish().unwrap();
    assert!(queue.is_empty().unwrap());
}

#[test]
fn whoever_takes_a_handle_for_each_message_does_not_read_again_what_was_before_it() {
    let kv = Kv::in_memory().unwrap();
    let send = || {
        for number in 0..100 {
            kv.enqueue(number).unwrap();
        }
    };
    send();
    for number in 0..200 {
        let message = kv.queue("").try_receive().unwrap().unwrap();
        assert_eq!(message.payload(), &Value::from(number % 100));
        let spot = message.spot();
        message.finish().unwrap();
        let queue = kv.queue("");
        assert!(queue.line.floor() > spot);
        let (_, first) = queue.line.look(kv.engine()).unwrap();
        assert!(first > spot.message_key(&queue.line.messages), "nor does anybody who only looks");
        drop(queue);
        if number == 99 {
            assert!(kv.queue("").is_empty().unwrap());
            // Nobody has a handle.
            send();
        }
        let left = if number < 99 { 99 - number } else { 199 - number };
        assert_eq!(kv.queue("").len().unwrap(), left);
    }
    assert!(kv.queue("").try_receive().unwrap().is_none());
}

#[test]
fn a_message_is_seen_by_those_who_look_wherever_it_is() {
    let (kv, _clock) = still();
    let queue = kv.queue("");
    let number_seen = || (queue.peek(9).unwrap().len() as u64, queue.len().unwrap());
    for number in 0..3 {
        kv.enqueue(Enqueue::new(number).backoff([Duration::ZERO; 2])).unwrap();
        assert_eq!(number_seen(), (number + 1, number + 1), "nobody has looked for it");
    }
    let [first, second] = [(); 2].map(|()| queue.try_receive().unwrap().unwrap());
    assert_eq!(number_seen(), (3, 3), "on lease");
    second.finish().unwrap();
    first.fail().unwrap();
    assert_eq!(number_seen(), (2, 2), "moved");
    let first = queue.try_receive().unwrap().unwrap();
    drop(first.fail_async());
    kv.set(key!["a"], 1).unwrap();
    assert_eq!(number_seen(), (2, 2), "given back");
    assert!(!queue.is_empty().unwrap());
}

#[test]
fn only_so_many_queues_without_handles_are_remembered() {
    let kv = Kv::in_memory().unwrap();
    for number in 0..1_010 {
        assert!(kv.queue(number.to_string()).try_receive().unwrap().is_none());
    }
    assert_eq!(kv.lines().kept(), 1_000);
    kv.enqueue(Enqueue::new(1).queue("7")).unwrap();
    assert!(kv.queue("7").try_receive().unwrap().is_some());
}

/// A store without threads, whose commits are driven by those that block.
fn still() -> (Kv, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let disk = SimDisk::new(7, Rules::none());
    (open(disk, &clock, Options::default().commit_bytes_max), clock)
}

fn open(disk: Arc<SimDisk>, clock: &Arc<ManualClock>, commit_bytes_max: usize) -> Kv {
    let random = Arc::new(SeededRandom::new(7));
    let environment = Environment { disk, clock: clock.clone(), random };
    let options = Options { workers: Workers::Manual, commit_bytes_max, ..Options::default() };
    Kv::new(Store::Here(Engine::open(environment, options).unwrap()), Limits::default(), false)
}

#[test]
fn a_retry_at_the_same_spot_is_found_although_it_was_passed_by_while_on_lease() {
    let (kv, _clock) = still();
    let queue = kv.queue("");
    kv.enqueue(Enqueue::new(1).backoff([Duration::ZERO])).unwrap();
    let message = queue.try_receive().unwrap().unwrap();
    let mut failing = pin!(message.fail_async());
    kv.set(key!["a"], 1).unwrap();
    assert!(queue.try_receive().unwrap().is_none(), "it is moved, and still on lease");
    let polled = failing.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(()))));
    assert_eq!(queue.try_receive().unwrap().unwrap().attempt(), 2);
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_waiter_that_finds_more_than_it_takes_wakes_the_next() {
    let (kv, clock) = still();
    let queue = kv.queue("");
    let hour = Duration::from_secs(3_600);
    for number in 0..2 {
        kv.enqueue(Enqueue::new(number).delay(hour)).unwrap();
    }
    let bells = [(); 2].map(|()| Arc::new(Bell::default()));
    let wakers = bells.each_ref().map(|bell| Waker::from(Arc::clone(bell)));
    let mut first = pin!(queue.receive_async());
    let mut second = pin!(queue.receive_async());
    assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
    clock.advance_ms(3_600_000);
    // As the timer does.
    queue.line.board.wake_one();
    assert_eq!(bells[0].0.load(Ordering::SeqCst), 1);
    assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending(), "it begins");
    assert!(bells[1].0.load(Ordering::SeqCst) >= 1);
    kv.set(key!["a"], 1).unwrap();
    assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_ready());
}

/// Polls once, for nobody.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_receiver_that_goes_away_too_late_leaves_nothing_of_a_finished_message() {
    let (kv, _clock) = still();
    let queue = kv.queue("");
    kv.enqueue("x").unwrap();
    drop(queue.try_receive().unwrap().unwrap().finish_async());
    // It sees the message, whose end is not visible yet.
    let mut late = Box::pin(queue.receive_async());
    assert!(poll_once(late.as_mut()).is_pending());
    drop(late);
    kv.set(key!["a"], 1).unwrap();
    assert!(queue.is_empty().unwrap());
    let report = kv.check().unwrap();
    assert!(report.is_clean(), "{report}: {:?}", report.problems);
}

#[test]
fn a_receiver_that_goes_away_too_late_leaves_the_attempts_of_others_alone() {
    let (kv, clock) = still();
    let queue = kv.queue("");
    kv.enqueue(Enqueue::new("x").backoff([Duration::ZERO; 5])).unwrap();
    let message = queue.try_receive().unwrap().unwrap();
    clock.advance_ms(1);
    drop(message.fail_async());
    // It sees the message at its old place.
    let mut late = Box::pin(queue.receive_async());
    assert!(poll_once(late.as_mut()).is_pending());
    kv.set(key!["a"], 1).unwrap();
    let message = queue.try_receive().unwrap().unwrap();
    assert_eq!(message.attempt(), 2);
    drop(late);
    message.finish().unwrap();
    assert!(queue.try_receive().unwrap().is_none(), "it is not delivered again");
    assert!(kv.check().unwrap().is_clean());
}

#[test]
fn a_receiver_that_goes_away_takes_its_own_attempt_back() {
    let (kv, _clock) = still();
    let queue = kv.queue("");
    kv.enqueue(Enqueue::new("x").backoff([Duration::ZERO])).unwrap();
    for attempt in [1, 2] {
        let mut gone = Box::pin(queue.receive_async());
        assert!(poll_once(gone.as_mut()).is_pending());
        kv.set(key!["a"], 1).unwrap();
        drop(gone);
        // It sees the attempt, and not yet that it was taken back.
        let mut late = Box::pin(queue.receive_async());
        assert!(poll_once(late.as_mut()).is_pending());
        drop(late);
        kv.set(key!["a"], 1).unwrap();
        assert_eq!(queue.peek(1).unwrap()[0].attempts, attempt - 1);
        assert!(kv.check().unwrap().is_clean());
        let message = queue.try_receive().unwrap().unwrap();
        assert_eq!(message.attempt(), attempt);
        drop(message);
    }
    assert!(queue.is_empty().unwrap());
}

/// A store with a message that has no attempt left, and whose dead letters exceed the largest
/// commit; one was sent before it, and one after it.
fn with_a_message_that_cannot_be_given_up() -> Kv {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let disk = SimDisk::new(7, Rules::none());
    let kv = open(disk.clone(), &clock, Options::default().commit_bytes_max);
    kv.enqueue("before").unwrap();
    let dead_letters = (0..10).map(|number| key!["dead", number]);
    let large = Enqueue::new(vec![7; 1_000]).backoff([]).keys_if_undelivered(dead_letters);
    kv.enqueue(large).unwrap();
    kv.enqueue("after").unwrap();
    let received = [(); 2].map(|()| kv.queue("").try_receive().unwrap().unwrap());
    kv.close().unwrap();
    drop(received);
    open(disk, &clock, 5_000)
}

fn is_limit(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::LimitExceeded { .. })
}

#[test]
fn a_message_that_cannot_be_given_up_is_told_once_and_does_not_hold_up_the_others() {
    let kv = with_a_message_that_cannot_be_given_up();
    let queue = kv.queue("");
    let before = queue.try_receive().unwrap().unwrap();
    assert_eq!(before.attempt(), 2);
    let error = before.finish_and_receive().unwrap_err();
    assert!(is_limit(&error), "{error}");
    assert_eq!(queue.len().unwrap(), 2, "the finish stands");
    let after = queue.try_receive().unwrap().unwrap();
    assert_eq!(after.payload(), &Value::from("after"));
    assert!(after.finish_and_receive().unwrap().is_none());
    assert_eq!(queue.peek(2).unwrap()[0].attempts, 1, "it is still there");
}

#[test]
fn a_task_is_told_of_a_message_that_cannot_be_given_up_too() {
    let kv = with_a_message_that_cannot_be_given_up();
    let queue = kv.queue("");
    queue.try_receive().unwrap().unwrap().finish().unwrap();
    let mut task = Box::pin(queue.receive_async());
    let Poll::Ready(Err(error)) = poll_once(task.as_mut()) else { panic!("it is refused at once") };
    assert!(is_limit(&error), "{error}");
    assert_eq!(queue.try_receive().unwrap().unwrap().payload(), &Value::from("after"));
}

#[test]
fn a_listener_goes_on_after_a_message_that_cannot_be_given_up() {
    let kv = with_a_message_that_cannot_be_given_up();
    let (sender, handled) = std::sync::mpsc::channel();
    let listener = kv
        .queue("")
        .listen(ListenOptions::default(), move |message| sender.send(message.payload().clone()));
    let payloads: Vec<Value> = handled.iter().take(2).collect();
    assert_eq!(payloads, ["before", "after"].map(Value::from));
    assert!(is_limit(&listener.unwrap().stop().unwrap_err()));
}

#[test]
fn a_message_is_refused_if_its_dead_letters_exceed_the_largest_commit_together() {
    let clock = Arc::new(ManualClock::at(1_000_000));
    let kv = open(SimDisk::new(7, Rules::none()), &clock, 5_000);
    let message = |letters: u64| {
        let keys = (0..letters).map(|number| key!["dead", number]);
        Enqueue::new(vec![7; 1_000]).backoff([]).keys_if_undelivered(keys)
    };
    let error = kv.enqueue(message(5)).unwrap_err();
    let text = "the commit of all dead letters of a message is too large (max 5000)";
    assert_eq!(error.text(), text);
    assert!(is_limit(&error));
    kv.enqueue(message(4)).unwrap();
    kv.queue("").try_receive().unwrap().unwrap().fail().unwrap();
    assert!(kv.get(key!["dead", 3]).unwrap().is_present());
}

#[test]
fn a_moment_is_kept_as_it_is_and_no_farther_ahead_than_a_delay_may_be() {
    let kv = Kv::in_memory().unwrap();
    let beginning = std::time::UNIX_EPOCH;
    let message = Enqueue::new("past").ready_at(beginning + Duration::from_micros(1_500));
    kv.enqueue(message.backoff([Duration::from_secs(3)]).keys_if_undelivered([key!["d"]])).unwrap();
    let waiting = kv.queue("").peek(2).unwrap();
    assert_eq!(waiting[0].ready_at, beginning + Duration::from_millis(2), "rounded up");
    assert_eq!(waiting[0].backoff, [Duration::from_secs(3)]);
    assert_eq!(waiting[0].keys_if_undelivered, [key!["d"]]);
    assert!(kv.queue("").peek_after(&waiting[0], 2).unwrap().is_empty());
    // The year 9999 is more than 30 days ahead.
    let late = Enqueue::new("late").ready_at(beginning + Duration::from_secs(253_370_764_800));
    let error = kv.enqueue(late).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LimitExceeded { .. }), "{error}");
    assert_eq!(kv.queue("").len().unwrap(), 1);
}
