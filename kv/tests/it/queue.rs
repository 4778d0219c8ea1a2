//! Queues: a test for each rule, with a clock that moves only when it is told to.

use std::future::Future;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, UNIX_EPOCH};

use futures_lite::future::{block_on, poll_once};
use icecore::{
    Enqueue, ErrorKind, Expiry, Kv, Limit, Limits, ListenOptions, Message, Queue, Value, key,
};

use crate::machine::Machine;

const NOW: u64 = 1_700_000_000_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn received(queue: &Queue) -> Option<Message> {
    queue.try_receive().unwrap()
}

fn text(message: &Message) -> String {
    match message.payload() {
        Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?} is not text"),
    }
}

/// Receives all that is ready, and finishes it.
fn drained(queue: &Queue) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(message) = received(queue) {
        texts.push(text(&message));
        message.finish().unwrap();
    }
    texts
}

fn refusal(limits: Limits, message: Enqueue) -> (String, ErrorKind) {
    let kv = Kv::builder_in_memory().limits(limits).open().unwrap();
    let error = kv.enqueue(message).unwrap_err();
    assert_eq!(Queue::names(&kv).unwrap(), [""; 0]);
    (error.text(), error.kind())
}

#[test]
fn a_delay_of_thirty_days_is_the_longest() {
    let longest = ms(2_592_000_000);
    let kv = Kv::in_memory().unwrap();
    kv.enqueue(Enqueue::new(1).delay(longest)).unwrap();
    let (text, kind) = refusal(Limits::default(), Enqueue::new(1).delay(longest + ms(1)));
    assert_eq!(text, "Delay cannot be greater than 30 days: received 2592000001");
    let limit = Limit::EnqueueDelay;
    assert_eq!(kind, ErrorKind::LimitExceeded { limit, max: 2_592_000_000, got: 2_592_000_001 });
    let kv = Kv::builder_in_memory().limits(Limits::none()).open().unwrap();
    kv.enqueue(Enqueue::new(1).delay(Duration::MAX)).unwrap();
    assert!(received(&kv.queue("")).is_none());
}

#[test]
fn a_schedule_has_at_most_five_intervals_of_at_most_an_hour() {
    let hour = ms(3_600_000);
    Kv::in_memory().unwrap().enqueue(Enqueue::new(1).backoff([hour; 5])).unwrap();
    let (text, _) = refusal(Limits::default(), Enqueue::new(1).backoff([hour; 6]));
    assert_eq!(text, "Invalid backoffSchedule, max 5 intervals allowed");
    let (text, kind) = refusal(Limits::deno(), Enqueue::new(1).backoff([hour, hour + ms(1)]));
    assert_eq!(text, "Invalid backoffSchedule, interval at index 1 is invalid");
    let limit = Limit::BackoffInterval;
    assert_eq!(kind, ErrorKind::LimitExceeded { limit, max: 3_600_000, got: 3_600_001 });
}

#[test]
fn payloads_and_dead_letter_keys_have_their_limits() {
    let kv = Kv::in_memory().unwrap();
    kv.enqueue(vec![0_u8; 65_536]).unwrap();
    let (text, _) = refusal(Limits::default(), Enqueue::new(vec![0_u8; 65_537]));
    assert_eq!(text, "enqueue payload too large (max 65536 bytes)");
    let keyed = |keys: u64| Enqueue::new(1).keys_if_undelivered((0..keys).map(|n| ("dead", n)));
    kv.enqueue(keyed(10)).unwrap();
    let (text, _) = refusal(Limits::default(), keyed(11));
    assert_eq!(text, "Too many dead letter keys for a single queue message.");
    let deno = Kv::builder_in_memory().limits(Limits::deno()).open().unwrap();
    deno.enqueue(keyed(11)).unwrap();
    let (text, kind) = refusal(Limits::deno(), Enqueue::new(1).keys_if_undelivered([key![]]));
    assert_eq!((&text[..], kind), ("key cannot be empty", ErrorKind::InvalidArgument));
    let long = key![vec![1_u8; 2_100]];
    let (text, _) = refusal(Limits::deno(), Enqueue::new(1).keys_if_undelivered([long]));
    assert_eq!(text, "Key too large for write (max 2048 bytes)");
    let (text, _) = refusal(Limits::none(), Enqueue::new(1).queue("x".repeat(1_025)));
    assert_eq!(text, "the name of a queue is too large (max 1024)");
}

#[test]
fn messages_count_as_mutations_and_with_all_their_bytes() {
    let kv = Kv::in_memory().unwrap();
    let many = |messages: u64| {
        let atomic = kv.atomic().set(key!["a"], 1);
        (0..messages).fold(atomic, |atomic, n| atomic.enqueue(n)).commit()
    };
    assert!(many(999).is_ok());
    assert_eq!(many(1_000).unwrap_err().text(), "Too many mutations (max 1000)");
    // Twelve payloads of 64 KiB leave 32 KiB.
    let heavy = |last: usize, intervals: usize, limits: Limits| {
        let kv = Kv::builder_in_memory().limits(limits).open().unwrap();
        let full = (0..12).fold(kv.atomic(), |atomic, _| atomic.enqueue(vec![0_u8; 65_536]));
        let last = Enqueue::new(vec![0_u8; last]).backoff(vec![ms(1); intervals]);
        full.enqueue(last.keys_if_undelivered([key!["dead"]])).commit()
    };
    let key_bytes = key!["dead"].encoded().len();
    let left = (32 << 10) - 4 * 5;
    assert!(heavy(left - key_bytes, 5, Limits::default()).is_ok());
    let error = heavy(left - key_bytes + 1, 5, Limits::default()).unwrap_err();
    assert_eq!(error.text(), "Total mutation size too large (max 819200 bytes)");
    assert!(heavy(left, 5, Limits::deno()).is_ok());
    assert!(heavy(left + 1, 5, Limits::deno()).is_err());
}

#[test]
fn a_message_is_received_at_its_deadline_and_not_before() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let queue = kv.queue("q");
    kv.enqueue(Enqueue::new("delayed").queue("q").delay(Duration::from_micros(99_001))).unwrap();
    machine.clock.advance_ms(99);
    assert!(received(&queue).is_none());
    machine.clock.advance_ms(1);
    let message = received(&queue).unwrap();
    assert_eq!(message.enqueued_at(), UNIX_EPOCH + ms(NOW));
    assert_eq!(message.ready_at(), UNIX_EPOCH + ms(NOW + 100));
    message.finish().unwrap();
    assert!(queue.is_empty().unwrap());
}

#[test]
fn without_a_schedule_there_are_six_attempts_at_the_default_intervals() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let queue = kv.queue("");
    kv.enqueue("again").unwrap();
    for (attempt, wait) in (1..).zip([100, 1_000, 5_000, 30_000, 60_000]) {
        let message = received(&queue).unwrap();
        assert_eq!((message.attempt(), message.is_last_attempt()), (attempt, false));
        message.fail().unwrap();
        machine.clock.advance_ms(wait - 1);
        assert!(received(&queue).is_none());
        machine.clock.advance_ms(1);
    }
    let message = received(&queue).unwrap();
    assert_eq!((message.attempt(), message.is_last_attempt()), (6, true));
    message.fail().unwrap();
    assert_eq!(queue.len().unwrap(), 0);
}

#[test]
fn the_last_failure_stores_the_payload_under_every_dead_letter_key_in_one_commit() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let keys = [key!["dead", 1], key!["dead", 2]];
    kv.set_expiring(&keys[0], "old", Expiry::In(ms(1))).unwrap();
    let message = Enqueue::new(Value::U64(7)).backoff([ms(5)]).keys_if_undelivered(keys.clone());
    kv.enqueue(message).unwrap();
    received(&kv.queue("")).unwrap().fail().unwrap();
    assert!(!kv.get(&keys[1]).unwrap().is_present());
    machine.clock.advance_ms(5);
    let before = kv.set(key!["other"], 1).unwrap();
    received(&kv.queue("")).unwrap().fail().unwrap();
    let [one, two] = kv.get_many(keys).unwrap();
    assert_eq!((one.value.clone(), two.value), (Some(Value::U64(7)), Some(Value::U64(7))));
    assert_eq!(one.versionstamp, two.versionstamp);
    assert!(one.versionstamp > Some(before));
    assert_eq!(one.expires_at(), None);
    assert!(kv.queue("").is_empty().unwrap());
}

#[test]
fn an_empty_schedule_means_one_attempt() {
    let kv = Kv::in_memory().unwrap();
    let queue = kv.queue("");
    let once = |text: &str| Enqueue::new(text).backoff([]);
    kv.enqueue(once("kept").keys_if_undelivered([key!["dead"]])).unwrap();
    kv.enqueue(once("dropped")).unwrap();
    received(&queue).unwrap().fail().unwrap();
    received(&queue).unwrap().fail().unwrap();
    assert!(received(&queue).is_none());
    assert_eq!(kv.get(key!["dead"]).unwrap().str().unwrap(), "kept");
}

#[test]
fn those_who_watch_dead_letter_keys_hear_of_them() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["dead"]]).unwrap();
    assert!(!watch.next().unwrap().unwrap()[0].is_present());
    kv.enqueue(Enqueue::new("lost").backoff([]).keys_if_undelivered([key!["dead"]])).unwrap();
    drop(received(&kv.queue("")).unwrap());
    assert_eq!(watch.next().unwrap().unwrap()[0].str().unwrap(), "lost");
}

#[test]
fn equal_deadlines_come_in_the_order_of_commits_and_of_places_in_them() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let sent: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    for half in sent.chunks(200) {
        let atomic = half.iter().fold(kv.atomic(), |atomic, text| atomic.enqueue(&text[..]));
        assert!(atomic.commit().unwrap().versionstamp().is_some());
    }
    let first = kv.queue("").peek(3).unwrap();
    assert_eq!((first[2].id.index, first[2].id.versionstamp), (2, first[0].id.versionstamp));
    assert_eq!(drained(&kv.queue("")), sent);
}

#[test]
fn earlier_deadlines_come_first_also_when_they_are_sent_last() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let queue = kv.queue("");
    for delay in [300, 100, 400, 200] {
        kv.enqueue(Enqueue::new(delay.to_string()).delay(ms(delay))).unwrap();
    }
    machine.clock.advance_ms(350);
    let first = received(&queue).unwrap();
    assert_eq!(text(&first), "100");
    // Its deadline is that of this moment, before which some are ahead, and after which one is.
    kv.enqueue("350").unwrap();
    assert_eq!(drained(&queue), ["200", "300", "350"]);
    machine.clock.set_wall_ms(NOW);
    // The store's clock never goes back.
    kv.enqueue("still 350").unwrap();
    machine.clock.advance_ms(350);
    assert_eq!(drained(&queue), ["still 350"]);
    machine.clock.advance_ms(50);
    assert_eq!(drained(&queue), ["400"]);
    drop(first);
}

#[test]
fn a_failed_check_or_mutation_sends_nothing() {
    let kv = Kv::in_memory().unwrap();
    kv.set(key!["a"], "text").unwrap();
    let checked = kv.atomic().check_absent(key!["a"]).enqueue("x").commit().unwrap();
    assert_eq!(checked.versionstamp(), None);
    assert!(kv.atomic().sum(key!["a"], 1).enqueue("x").commit().is_err());
    assert!(received(&kv.queue("")).is_none());
}

#[test]
fn a_slow_receiver_keeps_its_message_and_others_get_the_next_ones() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let (queue, other) = (kv.queue("q"), kv.clone().queue("q"));
    for text in ["slow", "next"] {
        kv.enqueue(Enqueue::new(text).queue("q")).unwrap();
    }
    let slow = received(&queue).unwrap();
    machine.clock.advance_ms(24 * 3_600_000);
    assert_eq!(drained(&other), ["next"]);
    assert!(received(&queue).is_none());
    assert_eq!((queue.len().unwrap(), queue.in_work()), (1, 1));
    slow.finish().unwrap();
    assert_eq!((queue.len().unwrap(), other.in_work()), (0, 0));
}

#[test]
fn dropping_a_message_is_a_failure_and_its_identity_stays() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let queue = kv.queue("");
    kv.enqueue(Enqueue::new("x").backoff([ms(10), Duration::ZERO])).unwrap();
    let message = received(&queue).unwrap();
    let id = message.id();
    assert_eq!(id, queue.peek(1).unwrap()[0].id);
    drop(message);
    assert_eq!(queue.peek(1).unwrap()[0].ready_at, UNIX_EPOCH + ms(NOW + 10));
    machine.clock.advance_ms(10);
    drop(received(&queue).unwrap());
    let message = received(&queue).unwrap();
    assert_eq!((message.id(), message.attempt()), (id, 3));
    assert_eq!(queue.peek(1).unwrap()[0].attempts, 3);
}

#[test]
fn a_message_that_was_in_work_when_the_store_closed_is_received_at_once_after_it() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    kv.enqueue(Enqueue::new("x").backoff([ms(1_000)]).keys_if_undelivered([key!["dead"]])).unwrap();
    for attempt in [1, 2] {
        let kv = if attempt == 1 { kv.clone() } else { machine.open() };
        let message = received(&kv.queue("")).unwrap();
        assert_eq!((text(&message), message.attempt()), ("x".to_owned(), attempt));
        kv.close().unwrap();
        let late = if attempt == 1 { message.finish() } else { message.fail() };
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
    }
    let kv = machine.open();
    assert!(received(&kv.queue("")).is_none(), "there were two attempts");
    assert_eq!(kv.get(key!["dead"]).unwrap().str().unwrap(), "x");
    assert!(kv.queue("").is_empty().unwrap());
    assert!(kv.check().unwrap().is_clean());
}

#[test]
fn closing_ends_those_who_wait() {
    let kv = Kv::in_memory().unwrap();
    let queue = kv.queue("");
    let (blocked, listening) = (queue.clone(), queue.clone());
    let receiver = std::thread::Builder::new().spawn(move || blocked.receive()).unwrap();
    let listener = listening.listen(ListenOptions::default(), |_| Ok::<(), ()>(())).unwrap();
    let mut task = Box::pin(queue.receive_async());
    assert!(block_on(poll_once(&mut task)).is_none());
    kv.close().unwrap();
    assert!(receiver.join().unwrap().unwrap().is_none());
    assert!(block_on(task).unwrap().is_none());
    listener.wait().unwrap();
    assert!(queue.receive().unwrap().is_none());
    assert_eq!(queue.try_receive().unwrap_err().kind(), ErrorKind::Closed);
    let error = queue.listen(ListenOptions::default(), |_| Ok::<(), ()>(())).unwrap_err();
    assert_eq!(error.to_string(), "Queue already closed");
    let error = kv.queue("new").listen(ListenOptions::default(), |_| Ok::<(), ()>(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

/// A waker that owns the store, and commits when it is dropped: as a task may that has a message.
struct Commits(Kv);

impl Wake for Commits {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Commits {
    fn drop(&mut self) {
        self.0.set(key!["dropped"], 1).unwrap();
    }
}

#[test]
fn a_waker_may_commit_when_it_is_dropped() {
    let kv = Kv::in_memory().unwrap();
    let queue = kv.queue("");
    let mut task = Box::pin(queue.receive_async());
    let waker = || Waker::from(Arc::new(Commits(kv.clone())));
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(task.as_mut().poll(&mut Context::from_waker(&waker())).is_pending());
    assert!(kv.get(key!["dropped"]).unwrap().is_present(), "it is no longer asked for");
    kv.delete(key!["dropped"]).unwrap();
    kv.enqueue("x").unwrap();
    assert!(!kv.get(key!["dropped"]).unwrap().is_present());
    let message = block_on(task).unwrap().unwrap();
    assert!(kv.get(key!["dropped"]).unwrap().is_present());
    message.finish().unwrap();
}

#[test]
fn a_new_message_wakes_a_thread_and_a_task() {
    let kv = Kv::in_memory().unwrap();
    let queue = kv.queue("");
    let mut task = Box::pin(queue.receive_async());
    assert!(block_on(poll_once(&mut task)).is_none());
    kv.enqueue("for the task").unwrap();
    let message = block_on(task).unwrap().unwrap();
    block_on(message.finish_async()).unwrap();
    let blocked = queue.clone();
    let receiver = std::thread::Builder::new().spawn(move || {
        let message = blocked.receive().unwrap().unwrap();
        (text(&message), message.finish().unwrap())
    });
    kv.enqueue("for the thread").unwrap();
    assert_eq!(receiver.unwrap().join().unwrap().0, "for the thread");
    assert!(queue.is_empty().unwrap());
}

#[test]
fn a_task_that_gives_up_leaves_the_message_with_all_its_attempts_to_others() {
    let kv = Kv::in_memory().unwrap();
    let queue = kv.queue("");
    let mut waiting = Box::pin(queue.receive_async());
    assert!(block_on(poll_once(&mut waiting)).is_none());
    let mut next = Box::pin(queue.receive_async());
    assert!(block_on(poll_once(&mut next)).is_none());
    kv.enqueue(Enqueue::new("x").backoff([])).unwrap();
    // It was woken, and may have begun to take the message.
    drop(waiting);
    let message = block_on(next).unwrap().unwrap();
    assert_eq!(message.attempt(), 1);
    block_on(message.fail_async()).unwrap();
    assert!(queue.is_empty().unwrap());
    for _ in 0..20 {
        kv.enqueue(Enqueue::new("x").backoff([])).unwrap();
        let mut begun = Box::pin(queue.receive_async());
        let polled = block_on(poll_once(&mut begun));
        drop(begun);
        let message = match polled {
            Some(message) => message.unwrap().unwrap(),
            None => queue.receive().unwrap().unwrap(),
        };
        assert_eq!(message.attempt(), 1);
        message.finish().unwrap();
    }
}

#[test]
fn a_listener_runs_as_many_handlers_at_once_as_it_may_and_not_one_more() {
    let kv = Kv::in_memory().unwrap();
    let (begun, starts) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let queue = kv.queue("");
    let options = ListenOptions { concurrency: 3 };
    let listener = queue.listen(options, move |message| {
        begun.send(text(message)).unwrap();
        gate.lock().unwrap().recv()
    });
    let listener = listener.unwrap();
    for n in 0..10 {
        kv.enqueue(n.to_string()).unwrap();
    }
    let first: Vec<String> = starts.iter().take(3).collect();
    assert_eq!(queue.in_work(), 3);
    assert!(starts.try_recv().is_err(), "the three that run are {first:?}");
    for _ in 0..7 {
        go_on.send(()).unwrap();
        starts.recv().unwrap();
        assert!(queue.in_work() <= 3);
    }
    assert!(starts.try_recv().is_err());
    for _ in 0..3 {
        go_on.send(()).unwrap();
    }
    listener.stop().unwrap();
    assert!(queue.is_empty().unwrap());
}

#[test]
fn several_listeners_share_the_messages() {
    let kv = Kv::in_memory().unwrap();
    let (done, results) = mpsc::channel();
    let listeners = [(); 3].map(|()| {
        let done = done.clone();
        let options = ListenOptions { concurrency: 2 };
        kv.queue("").listen(options, move |message| done.send(text(message))).unwrap()
    });
    let sent: Vec<String> = (100..200).map(|n| n.to_string()).collect();
    for text in &sent {
        kv.enqueue(&text[..]).unwrap();
    }
    let mut got: Vec<String> = results.iter().take(sent.len()).collect();
    got.sort();
    assert_eq!(got, sent);
    for listener in listeners {
        listener.stop().unwrap();
    }
    assert!(kv.queue("").is_empty().unwrap());
}

#[test]
fn many_listeners_lose_no_message_that_is_ready_again_at_once() {
    let kv = Kv::in_memory().unwrap();
    let (tell, attempts) = mpsc::channel();
    let listener = kv.queue("").listen(ListenOptions { concurrency: 8 }, move |message| {
        tell.send((message.payload().clone(), message.attempt())).unwrap();
        Err(())
    });
    for number in 0..200 {
        let again = Enqueue::new(number).backoff([Duration::ZERO; 4]);
        kv.enqueue(again.keys_if_undelivered([key!["dead", number]])).unwrap();
    }
    let mut told: Vec<(u64, u32)> = attempts
        .iter()
        .take(1_000)
        .map(|(payload, attempt)| match payload {
            Value::U64(number) => (number, attempt),
            other => panic!("{other:?} was not sent"),
        })
        .collect();
    listener.unwrap().stop().unwrap();
    told.sort_unstable();
    assert!(told.into_iter().eq((0..200).flat_map(|number| (1..=5).map(move |n| (number, n)))));
    assert_eq!(kv.count(icecore::prefix!["dead"]).unwrap(), 200);
    assert!(kv.queue("").is_empty().unwrap());
}

#[test]
fn a_handler_that_panics_or_refuses_has_failed() {
    let kv = Kv::in_memory().unwrap();
    let mut watch = kv.watch([key!["dead"]]).unwrap();
    watch.next().unwrap().unwrap();
    let listener = kv.queue("").listen(ListenOptions::default(), |message| {
        assert!(message.attempt() == 2, "this is meant to panic");
        Err(())
    });
    let message = Enqueue::new("x").backoff([Duration::ZERO]).keys_if_undelivered([key!["dead"]]);
    kv.enqueue(message).unwrap();
    assert_eq!(watch.next().unwrap().unwrap()[0].str().unwrap(), "x");
    listener.unwrap().stop().unwrap();
}

#[test]
fn stopping_waits_for_the_handler_that_runs_and_starts_no_other() {
    let kv = Kv::in_memory().unwrap();
    let (begun, starts) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let queue = kv.queue("");
    let listener = queue.listen(ListenOptions::default(), move |message| {
        begun.send(text(message)).unwrap();
        gate.lock().unwrap().recv()
    });
    let listener = listener.unwrap();
    kv.enqueue("first").unwrap();
    kv.enqueue("second").unwrap();
    assert_eq!(starts.recv().unwrap(), "first");
    let (stopping, stopped) = mpsc::channel();
    let stopper = std::thread::Builder::new().spawn(move || {
        stopping.send(()).unwrap();
        listener.stop()
    });
    stopped.recv().unwrap();
    assert_eq!(queue.len().unwrap(), 2);
    go_on.send(()).unwrap();
    // If the second one was begun before the listener was told to stop, it waits for the gate.
    drop(go_on);
    stopper.unwrap().join().unwrap().unwrap();
    assert!(queue.in_work() == 0 && queue.len().unwrap() == 1);
    assert_eq!(queue.peek(1).unwrap()[0].payload, Value::from("second"));
}

#[test]
fn a_handler_that_outlives_the_store_leaves_its_message_there() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let (begun, starts) = mpsc::channel();
    let (go_on, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let listener = kv.queue("").listen(ListenOptions::default(), move |_| {
        begun.send(()).unwrap();
        gate.lock().unwrap().recv()
    });
    kv.enqueue("x").unwrap();
    starts.recv().unwrap();
    kv.close().unwrap();
    go_on.send(()).unwrap();
    let ended = listener.unwrap().wait();
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    let kv = machine.open();
    let message = received(&kv.queue("")).unwrap();
    assert_eq!((text(&message), message.attempt()), ("x".to_owned(), 2));
}

#[test]
fn queues_are_apart_from_each_other_and_from_keys() {
    let kv = Kv::in_memory().unwrap();
    for name in ["", "\0", "b", "a", "a\0b"] {
        kv.enqueue(Enqueue::new(name).queue(name)).unwrap();
    }
    assert_eq!(Queue::names(&kv).unwrap(), ["", "\0", "a", "a\0b", "b"]);
    for name in ["a", "", "a\0b", "\0", "b", "none"] {
        let expected: &[&str] = if name == "none" { &[] } else { &[name] };
        assert_eq!(drained(&kv.queue(name)), expected);
    }
    assert_eq!(kv.count(icecore::Selector::all()).unwrap(), 0);
    assert!(Queue::names(&kv).unwrap().is_empty());
}

#[test]
fn a_long_queue_is_received_whole_whatever_happens_meanwhile() {
    let machine = Machine::at(NOW);
    let kv = machine.open();
    let queue = kv.queue("");
    let mut held = Vec::new();
    for round in 0_u64..50 {
        for n in 0..20 {
            let delay = ms((n * 7 + round * 3) % 40);
            kv.enqueue(Enqueue::new(1_000 + round * 20 + n).delay(delay)).unwrap();
        }
        machine.clock.advance_ms(3);
        for _ in 0..15 {
            held.extend(received(&queue));
        }
        if round.is_multiple_of(3) && !held.is_empty() {
            held.remove(0).fail().unwrap();
        }
    }
    machine.clock.advance_ms(1_000);
    while let Some(message) = received(&queue) {
        held.push(message);
    }
    let mut numbers: Vec<Value> = held.iter().map(|message| message.payload().clone()).collect();
    numbers.sort_by_key(|value| if let Value::U64(number) = value { *number } else { 0 });
    assert_eq!(numbers, (1_000_u64..2_000).map(Value::U64).collect::<Vec<_>>());
    held.into_iter().for_each(|message| message.finish().unwrap());
    assert!(queue.is_empty().unwrap());
}
