//! One history of queues, and what is known of every message in it.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Crash, Rules, SimDisk};
use icecore_engine::{Engine, Environment, LogOptions, Options, Workers};
use icecore_model::Versionstamp;

use crate::queue::{Enqueue, Message, Queue};
use crate::store::Store;
use crate::{Commit, Error, Key, Kv, Limits, Value, key};

const QUEUES: [&str; 2] = ["", "jobs"];
const OPERATIONS: u64 = 150;
const CLOCK_START_MS: u64 = 1_000_000;

/// What was seen, so that a search that sees nothing is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) redelivered: u64,
    pub(super) finished: u64,
    pub(super) given_up: u64,
    pub(super) stops: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Totals) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.finished += other.finished;
        self.given_up += other.given_up;
        self.stops += other.stops;
    }
}

/// What somebody has been told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Yes,
    No,
    /// The call failed: it may have happened.
    Perhaps,
}

/// What is known of a message.
#[derive(Debug)]
struct Sent {
    operation: u64,
    queue: usize,
    committed: Told,
    backoff_ms: Vec<u64>,
    dead_letter: Option<Key>,
    /// It must not be received before this moment.
    not_before_ms: u64,
    /// The number of its last attempt.
    attempts: u32,
    held: bool,
    finished: Told,
    /// Its last attempt has failed.
    given_up: Told,
    /// The commit of its dead letter.
    letter: Option<Versionstamp>,
}

pub(super) struct History {
    seed: u64,
    dice: SeededRandom,
    disk: Arc<SimDisk>,
    clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
    kv: Option<Kv>,
    /// For the whole life of the store, so that what they know in memory is put to the test.
    queues: Vec<Queue>,
    /// By number, which is the payload.
    sent: Vec<Sent>,
    held: Vec<Message>,
    operations: u64,
    /// How often a receiver was not told whether a message was begun.
    lost_beginnings: u64,
    pub(super) totals: Totals,
}

impl History {
    pub(super) fn new(seed: u64, rules: Rules) -> History {
        History {
            seed,
            dice: SeededRandom::new(SeededRandom::new(seed).next()),
            disk: SimDisk::new(seed, rules),
            clock: Arc::new(ManualClock::at(CLOCK_START_MS)),
            random: Arc::new(SeededRandom::new(seed)),
            kv: None,
            queues: Vec::new(),
            sent: Vec::new(),
            held: Vec::new(),
            operations: 0,
            lost_beginnings: 0,
            totals: Totals::default(),
        }
    }

    pub(super) fn run(&mut self) {
        self.open();
        for _ in 0..OPERATIONS {
            if !self.disk.is_running() {
                self.restart();
            }
            match self.dice.below(20) {
                0..4 => self.send(),
                4..9 => self.receive(),
                9..14 => self.settle(),
                14..16 => self.clock.advance_ms(self.dice.below(30)),
                16 => drop(self.kv().engine().step(self.dice.next())),
                17 => self.give_up_waiting(),
                18 => self.stop_somewhere(),
                _ => self.reopen(),
            }
        }
        self.restart();
        self.drain();
    }

    fn kv(&self) -> Kv {
        self.kv.clone().expect("the store is open")
    }

    fn open(&mut self) {
        let environment = Environment {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        let options = Options {
            workers: Workers::Manual,
            memtable_bytes: 8 << 10,
            log: LogOptions { segment_bytes: 32 << 10, ..LogOptions::default() },
            cache_bytes: 64 << 10,
            reserve_bytes: 0,
            ..Options::default()
        };
        let engine = Engine::open(environment, options).unwrap();
        let kv = Kv::new(Store::Here(engine), Limits::default(), false);
        self.queues = QUEUES.iter().map(|name| kv.queue(name)).collect();
        self.kv = Some(kv);
    }

    /// Sends one to three messages, with a mark that tells whether they were; some operations are
    /// refused.
    fn send(&mut self) {
        let operation = self.operations;
        self.operations += 1;
        let kv = self.kv();
        let mut atomic = kv.atomic().set(("mark", operation), operation);
        let refused = self.dice.one_in(5);
        if refused {
            atomic = atomic.check_versionstamp(key!["none"], Some(Versionstamp::new(1)));
        }
        let first = self.sent.len();
        for _ in 0..=self.dice.below(3) {
            atomic = atomic.enqueue(self.message(operation));
        }
        let committed = match atomic.commit() {
            Ok(Commit::Done { .. }) => Told::Yes,
            Ok(Commit::CheckFailed { .. }) => Told::No,
            Err(_) => Told::Perhaps,
        };
        assert!(!refused || committed != Told::Yes, "seed {}: a check holds", self.seed);
        self.sent[first..].iter_mut().for_each(|sent| sent.committed = committed);
    }

    fn message(&mut self, operation: u64) -> Enqueue {
        let number = self.sent.len() as u64;
        self.totals.sent += 1;
        let delay_ms = if self.dice.one_in(2) { 0 } else { self.dice.below(60) };
        let backoff_ms: Vec<u64> =
            (0..self.dice.below(3)).map(|_| self.dice.below(4) * 10).collect();
        let queue = if self.dice.one_in(3) { 0 } else { 1 };
        let dead_letter = (!self.dice.one_in(4)).then(|| key!["dead", number]);
        let message = Enqueue::new(number)
            .queue(QUEUES[queue])
            .delay(Duration::from_millis(delay_ms))
            .backoff(backoff_ms.iter().copied().map(Duration::from_millis))
            .keys_if_undelivered(dead_letter.clone());
        self.sent.push(Sent {
            operation,
            queue,
            committed: Told::Perhaps,
            backoff_ms,
            dead_letter,
            not_before_ms: self.kv().engine().now_ms() + delay_ms,
            attempts: 0,
            held: false,
            finished: Told::No,
            given_up: Told::No,
            letter: None,
        });
        message
    }

    fn receive(&mut self) {
        let queue = usize::from(self.dice.one_in(2));
        match self.queues[queue].try_receive() {
            Ok(Some(message)) => self.received(queue, message),
            Ok(None) => {}
            Err(_) => self.lost_beginnings += 1,
        }
    }

    /// A task that begins to receive, and gives up while the attempt is being noted.
    fn give_up_waiting(&mut self) {
        let queue = usize::from(self.dice.one_in(2));
        let mut task = Box::pin(self.queues[queue].receive_async());
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(message))) => self.received(queue, message),
            Poll::Ready(received) => assert!(received.is_err(), "the store is open"),
            Poll::Pending => {}
        }
        drop(task);
        if !self.disk.is_running() {
            self.lost_beginnings += 1;
        }
    }

    /// What must be true of a message that is received.
    fn received(&mut self, queue: usize, message: Message) {
        let (seed, now_ms) = (self.seed, self.kv().engine().now_ms());
        let number = number(&message);
        let sent = &mut self.sent[number];
        let place = format!("seed {seed}, message {number}: {sent:?} at {now_ms}");
        assert!(sent.committed != Told::No, "it was not sent: {place}");
        assert!(sent.queue == queue && !sent.held, "{place}");
        assert!(now_ms >= sent.not_before_ms, "too early: {place}");
        assert!(sent.finished != Told::Yes && sent.given_up != Told::Yes, "again: {place}");
        assert!(message.attempt() > sent.attempts, "attempt {}: {place}", message.attempt());
        assert!(message.attempt() as usize <= sent.backoff_ms.len() + 1, "{place}");
        self.totals.delivered += 1;
        self.totals.redelivered += u64::from(message.attempt() > 1);
        // What nobody was told has not happened, then.
        (sent.finished, sent.given_up) = (Told::No, Told::No);
        (sent.attempts, sent.held) = (message.attempt(), true);
        self.held.push(message);
    }

    /// Finishes or fails one of the messages that are held.
    fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let place = usize::try_from(self.dice.below(self.held.len() as u64)).unwrap();
        let message = self.held.swap_remove(place);
        let number = number(&message);
        self.sent[number].held = false;
        if self.dice.one_in(4) {
            self.finish_and_receive(number, message);
        } else if self.dice.one_in(2) {
            let told = told(&message.finish());
            self.sent[number].finished = told;
            self.totals.finished += u64::from(told == Told::Yes);
        } else if self.dice.one_in(4) {
            // Dropping it tells nothing of what becomes of that.
            let before_ms = self.kv().engine().now_ms();
            drop(message);
            self.failed(number, Told::Perhaps, before_ms);
        } else {
            let before_ms = self.kv().engine().now_ms();
            let told = told(&message.fail());
            self.failed(number, told, before_ms);
        }
    }

    fn finish_and_receive(&mut self, number: usize, message: Message) {
        let queue = self.sent[number].queue;
        match message.finish_and_receive() {
            Ok(next) => {
                self.sent[number].finished = Told::Yes;
                self.totals.finished += 1;
                if let Some(next) = next {
                    self.received(queue, next);
                }
            }
            Err(_) => {
                self.sent[number].finished = Told::Perhaps;
                self.lost_beginnings += 1;
            }
        }
    }

    fn failed(&mut self, number: usize, told: Told, now_ms: u64) {
        let kv = self.kv();
        let sent = &mut self.sent[number];
        match (sent.backoff_ms.get(sent.attempts as usize - 1), told) {
            (Some(backoff_ms), Told::Yes) => sent.not_before_ms = now_ms + backoff_ms,
            (Some(_), _) => {}
            (None, told) => {
                sent.given_up = told;
                self.totals.given_up += u64::from(told == Told::Yes);
            }
        }
        if let (Told::Yes, Some(letter)) = (sent.given_up, &sent.dead_letter)
            && let Ok(entry) = kv.get(letter)
        {
            assert!(entry.is_present(), "seed {}, message {number} has no letter", self.seed);
            sent.letter = entry.versionstamp;
        }
    }

    /// The power goes at one of the next operations of the disk, or now.
    fn stop_somewhere(&mut self) {
        if self.dice.one_in(4) {
            self.restart();
        } else {
            self.disk.crash_at(self.disk.operations() + self.dice.below(12));
        }
    }

    /// Closes the store, with messages in work, and opens it again.
    fn reopen(&mut self) {
        // If the machine stops meanwhile, that is seen next.
        self.kv().close().unwrap_or_default();
        self.let_go();
        if self.disk.is_running() {
            self.disk.crash_at(u64::MAX);
            self.open();
            self.look_again();
        }
    }

    fn let_go(&mut self) {
        for message in self.held.drain(..) {
            self.sent[number(&message)].held = false;
            drop(message);
        }
        self.queues.clear();
        self.kv = None;
    }

    /// The machine stops, if it has not, and starts again.
    fn restart(&mut self) {
        let crash = if self.dice.one_in(4) { Crash::KeepNone } else { Crash::Random };
        self.disk.crash(crash);
        self.totals.stops += 1;
        self.let_go();
        self.disk = self.disk.reopen();
        self.open();
        self.look_again();
    }

    /// What can be told after a stop: which operations took effect, and which messages were given
    /// up.
    fn look_again(&mut self) {
        let kv = self.kv();
        let seed = self.seed;
        for (number, sent) in self.sent.iter_mut().enumerate() {
            let is_marked = kv.get(("mark", sent.operation)).unwrap().is_present();
            match sent.committed {
                Told::Perhaps => sent.committed = if is_marked { Told::Yes } else { Told::No },
                told => assert_eq!(is_marked, told == Told::Yes, "seed {seed}, message {number}"),
            }
            let Some(letter) = &sent.dead_letter else { continue };
            let letter = kv.get(letter).unwrap().versionstamp;
            let place = || format!("seed {seed}, message {number}: {sent:?}");
            assert!(sent.letter.is_none() || letter == sent.letter, "{letter:?}, {}", place());
            if letter.is_some() {
                assert!(sent.committed == Told::Yes && sent.finished != Told::Yes, "{}", place());
                (sent.letter, sent.given_up) = (letter, Told::Yes);
            }
        }
    }

    /// Receives until nothing is left, and looks whether every message has had its end.
    fn drain(&mut self) {
        // Each round but the last few settles one of at most three attempts of a message.
        let mut rounds = 10 * self.sent.len() + 10;
        while !self.held.is_empty() || !self.queues.iter().all(|queue| queue.is_empty().unwrap()) {
            rounds -= 1;
            assert!(rounds > 0, "seed {}: the queues do not get empty", self.seed);
            self.clock.advance_ms(100);
            self.receive();
            self.settle();
        }
        self.look_again();
        let kv = self.kv();
        for (number, sent) in self.sent.iter().enumerate() {
            let place = format!("seed {}, message {number}: {sent:?}", self.seed);
            if sent.committed == Told::No {
                assert!(sent.attempts == 0 && sent.letter.is_none(), "{place}");
                continue;
            }
            let unseen = self.lost_beginnings > sent.backoff_ms.len() as u64;
            let excused = sent.dead_letter.is_none() && unseen;
            assert!(sent.attempts > 0 || sent.letter.is_some() || excused, "lost: {place}");
        }
        let attempts = [icecore_engine::keyspace::QUEUE];
        let rest = kv.engine().scan(&attempts, &[attempts[0] + 1]).unwrap().count();
        assert_eq!(rest, 0, "seed {}: attempt records are left", self.seed);
    }
}

fn told(result: &Result<(), Error>) -> Told {
    if result.is_ok() { Told::Yes } else { Told::Perhaps }
}

fn number(message: &Message) -> usize {
    match message.payload() {
        Value::U64(number) => usize::try_from(*number).unwrap(),
        other => panic!("{other:?} was not sent"),
    }
}
