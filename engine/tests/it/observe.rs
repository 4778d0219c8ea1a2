//! Observers: what they are told, when, and by whom.

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Wake, Waker};
use std::thread;

use icecore_engine::{
    Batch, Check, Current, Durability, Engine, ErrorKind, Mutation, Observer, Options, Outcome,
    Step, Touched, Updated, Workers, keyspace::DATA,
};
use icecore_model::Versionstamp;

use crate::support::{Machine, START_MS, commit, delete, get, key, set, set_if, set_until, small};

/// Notes what it is told, in words without the keyspace byte.
#[derive(Default)]
struct Notes(Mutex<Vec<(u64, String)>>);

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(&key[1..]).replace('\x02', "<").replace('\0', ">")
}

impl Observer for Notes {
    fn touched(&self, stamp: Versionstamp, effect: Touched<'_>) {
        let words = match effect {
            Touched::Set { key } => format!("set {}", text(key)),
            Touched::Deleted { key } => format!("deleted {}", text(key)),
            Touched::RangeDeleted { start, end } => {
                format!("deleted {}..{}", text(start), text(end))
            }
        };
        self.0.lock().unwrap().push((stamp.get(), words));
    }

    fn closed(&self) {
        self.0.lock().unwrap().push((0, "closed".to_owned()));
    }
}

impl Notes {
    fn new() -> Arc<Notes> {
        Arc::default()
    }

    fn taken(&self) -> Vec<(u64, String)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// What it was told, without the stamps.
    fn words(&self) -> Vec<String> {
        self.taken().into_iter().map(|(_, words)| words).collect()
    }
}

fn range(start: &str, end: &str) -> Range<Vec<u8>> {
    key(start)..key(end)
}

fn single(name: &str) -> Range<Vec<u8>> {
    key(name)..[&key(name)[..], &[0]].concat()
}

fn everything() -> Vec<Range<Vec<u8>>> {
    vec![vec![DATA]..vec![DATA + 1]]
}

fn put<'a>(key: &'a [u8]) -> Mutation<'a> {
    Mutation::Set { key, value: b"v", expires_at: None }
}

#[test]
fn an_observer_hears_of_every_effect_in_its_ranges_in_stamp_order() {
    let engine = Machine::new(1).open(small());
    let notes = Notes::new();
    let ranges = vec![single("a"), range("m", "p"), range("n", "q")];
    let observation = engine.observe(ranges, notes.clone()).unwrap();
    let mut expected = Vec::new();
    for (name, heard) in [("a", true), ("b", false), ("n", true), ("pp", true), ("q", false)] {
        let stamp = set(&engine, name, b"v").get();
        let gone = delete(&engine, name).get();
        if heard {
            expected.extend([(stamp, format!("set {name}")), (gone, format!("deleted {name}"))]);
        }
    }
    assert_eq!(notes.taken(), expected);
    assert!(observation.since().get() < expected[0].0);
}

#[test]
fn a_commit_is_told_as_its_effects_are() {
    let engine = Machine::new(1).open(small());
    let notes = Notes::new();
    let _observation = engine.observe(everything(), notes.clone()).unwrap();
    let keep = |_: Option<Current<'_>>| Ok(Updated::Keep);
    let stamp = commit(
        &engine,
        &[
            put(&key("a")),
            put(&key("c")),
            Mutation::DeleteRange { start: &key("a"), end: &key("b") },
            Mutation::Delete { key: &key("c") },
            Mutation::Update { key: &key("d"), update: &keep },
            put(&key("ab")),
        ],
    );
    let told = ["deleted a..b", "deleted c", "set ab"];
    assert_eq!(notes.taken(), told.map(|words| (stamp.get(), words.to_owned())));
    commit(&engine, &[]);
    assert_eq!(notes.taken(), []);
}

#[test]
fn a_range_deletion_is_told_to_all_whose_ranges_it_overlaps() {
    let engine = Machine::new(1).open(small());
    let observed = [single("c"), single("e"), range("a", "c"), range("d", "z"), range("a", "b")];
    let notes: Vec<_> = observed.iter().map(|_| Notes::new()).collect();
    let observe = |(range, notes): (&Range<Vec<u8>>, &Arc<Notes>)| {
        engine.observe(vec![range.clone()], notes.clone()).unwrap()
    };
    let _observations: Vec<_> = observed.iter().zip(&notes).map(observe).collect();
    commit(&engine, &[Mutation::DeleteRange { start: &key("b"), end: &key("e") }]);
    let told: Vec<_> = notes.iter().map(|notes| notes.words().len()).collect();
    assert_eq!(told, [1, 0, 1, 1, 0]);
}

#[test]
fn versionstamped_keys_are_told_as_they_come_out() {
    let engine = Machine::new(1).open(small());
    let notes = Notes::new();
    let _observation = engine.observe(everything(), notes.clone()).unwrap();
    let stamp = commit(
        &engine,
        &[Mutation::SetVersionstamped {
            prefix: &key("q"),
            suffix: b"x",
            value: b"v",
            expires_at: None,
        }],
    );
    assert_eq!(notes.words(), [format!("set q<{stamp}>x")]);
}

#[test]
fn what_the_sweeper_deletes_is_told() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set_until(&engine, "a", b"v", START_MS + 10);
    let notes = Notes::new();
    let _observation = engine.observe(everything(), notes.clone()).unwrap();
    machine.clock.advance_ms(20);
    assert_eq!(notes.words(), [""; 0]);
    while engine.step(0).unwrap() != Step::Idle {}
    assert_eq!(notes.words(), ["deleted a"]);
}

#[test]
fn checks_that_fail_and_commits_that_are_refused_tell_nothing() {
    let engine = Machine::new(1).open(small());
    let notes = Notes::new();
    let stamp = set(&engine, "a", b"v");
    let _observation = engine.observe(everything(), notes.clone()).unwrap();
    assert!(matches!(set_if(&engine, "a", None, b"w"), Outcome::CheckFailed { .. }));
    let too_long = vec![DATA; small().key_bytes_max + 1];
    let fine = key("b");
    let mutations = [put(&fine), put(&too_long)];
    engine.commit(Batch { checks: &[], mutations: &mutations }).unwrap_err();
    assert_eq!(notes.words(), [""; 0]);
    let checks = [Check { key: &key("a"), expected: Some(stamp) }];
    let outcome = engine.commit(Batch { checks: &checks, mutations: &[put(&key("a"))] }).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
    assert_eq!(notes.words(), ["set a"]);
}

#[test]
fn nothing_is_told_after_the_observation_was_dropped() {
    let engine = Machine::new(1).open(small());
    let notes = [Notes::new(), Notes::new()];
    let [first, _second] = [0, 1].map(|i| engine.observe(everything(), notes[i].clone()).unwrap());
    drop(first);
    assert_eq!(Arc::strong_count(&notes[0]), 1, "the store let go of it");
    set(&engine, "a", b"v");
    engine.close().unwrap();
    assert_eq!(notes[0].words(), [""; 0]);
    assert_eq!(notes[1].words(), ["set a", "closed"]);
}

#[test]
fn closing_is_told_once_whoever_closes() {
    let machine = Machine::new(1);
    let notes = Notes::new();
    let engine = machine.open(small());
    let observation = engine.observe(vec![], notes.clone()).unwrap();
    engine.close().unwrap();
    engine.close().unwrap_err();
    let refused = engine.observe(everything(), notes.clone()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    drop((engine, observation));
    assert_eq!(notes.words(), ["closed"]);
    let engine = machine.open(small());
    let observation = engine.observe(everything(), notes.clone()).unwrap();
    drop(engine);
    assert_eq!(notes.words(), ["closed"], "an observation does not keep the store open");
    drop(observation);
    assert_eq!(notes.words(), [""; 0]);
}

#[test]
fn what_was_told_can_be_waited_for() {
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let engine = Machine::new(1).open(small());
    let flag = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(flag.clone());
    let notes = Notes::new();
    let _observation = engine.observe(everything(), notes.clone()).unwrap();
    let (a, b) = (key("a"), key("b"));
    for (key, name) in [(&a, "a"), (&b, "b")] {
        let mutations = [put(key)];
        let batch = Batch { checks: &[], mutations: &mutations };
        drop(engine.commit_async(batch, Durability::Sync));
        let stamp = Versionstamp::new(notes.taken()[0].0);
        assert_eq!(get(&engine, name), None, "told before it is visible");
        assert!(engine.poll_visible(stamp, &waker).is_pending());
        if name == "a" {
            while engine.step(0).unwrap() == Step::Log {}
            assert!(flag.0.load(Ordering::SeqCst));
        } else {
            engine.wait_visible(stamp).unwrap();
        }
        assert!(matches!(engine.poll_visible(stamp, &waker), Poll::Ready(Ok(()))));
        assert!(get(&engine, name).is_some());
    }
    let never = engine.visible().next();
    assert_eq!(engine.wait_visible(never).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(matches!(engine.poll_visible(never, &waker), Poll::Ready(Err(_))));
}

/// How many keys writers write in turn.
const KEYS: u64 = 8;

/// How often somebody comes and goes while they write.
const OBSERVATIONS: u32 = 100;

/// After so many commits a writer gives up, because the observers must have failed.
const COMMITS_MAX: u64 = 100_000;

/// Keeps all it hears of, and holds that stamps grow and that the end is the end.
#[derive(Default)]
struct All {
    told: Mutex<BTreeSet<(Versionstamp, Vec<u8>)>>,
    ended: AtomicBool,
}

impl Observer for All {
    fn touched(&self, stamp: Versionstamp, effect: Touched<'_>) {
        let Touched::Set { key } = effect else { panic!("there are only sets") };
        assert!(!self.ended.load(Ordering::SeqCst), "told after the drop had returned");
        let mut told = self.told.lock().unwrap();
        assert!(told.last().is_none_or(|(last, _)| *last < stamp));
        told.insert((stamp, key.to_vec()));
    }

    fn closed(&self) {}
}

/// Registers, reads, listens for a while, and holds that each key's newest version of some later
/// moment was either read or told.
fn observe_for_a_while(engine: &Engine, commits: &mpsc::Receiver<Versionstamp>) {
    let all = Arc::new(All::default());
    let observation = engine.observe(everything(), all.clone()).unwrap();
    let read = engine.snapshot().unwrap();
    assert!(read.at() >= observation.since());
    let stamp = commits.recv().unwrap();
    engine.wait_visible(stamp).unwrap();
    let later = engine.snapshot().unwrap();
    engine.wait_told();
    let since = observation.since();
    drop(observation);
    all.ended.store(true, Ordering::SeqCst);
    let told = all.told.lock().unwrap();
    assert!(told.iter().all(|(stamp, _)| *stamp > since));
    for item in later.scan(&[DATA], &[DATA + 1]) {
        let item = item.unwrap();
        if item.stamp <= read.at() {
            assert_eq!(read.get(item.key()).unwrap().map(|r| r.stamp), Some(item.stamp));
        } else {
            assert!(told.contains(&(item.stamp, item.key().to_vec())), "neither read nor told");
        }
    }
}

#[test]
fn those_who_come_and_go_during_commits_miss_nothing() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { workers: Workers::Threads, ..small() });
    let (tell, commits) = mpsc::sync_channel(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2u64 {
            let (engine, tell, done) = (&engine, tell.clone(), &done);
            scope.spawn(move || {
                for i in (0..COMMITS_MAX).take_while(|_| !done.load(Ordering::SeqCst)) {
                    let stamp = set(engine, &format!("{}", (i + writer) % KEYS), b"v");
                    // Nobody may be listening just then.
                    tell.try_send(stamp).unwrap_or_default();
                }
            });
        }
        for _ in 0..OBSERVATIONS {
            observe_for_a_while(&engine, &commits);
        }
        done.store(true, Ordering::SeqCst);
    });
    engine.close().unwrap();
}

/// Panics at its first call, and when the store is closed.
struct Panics(AtomicBool);

impl Observer for Panics {
    fn touched(&self, _: Versionstamp, _: Touched<'_>) {
        assert!(self.0.swap(true, Ordering::SeqCst), "the observer has a bug");
    }

    fn closed(&self) {
        panic!("the observer has another bug");
    }
}

#[test]
fn an_observer_that_panics_takes_nothing_from_the_others_nor_from_the_store() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let all = || vec![vec![DATA]..vec![DATA + 1]];
    let panics = engine.observe(all(), Arc::new(Panics(AtomicBool::new(false)))).unwrap();
    let notes = Notes::new();
    let listens = engine.observe(all(), notes.clone()).unwrap();
    let commit = || set(&engine, "a", b"v");
    assert!(catch_unwind(AssertUnwindSafe(commit)).is_err());
    set(&engine, "b", b"v");
    assert_eq!(get(&engine, "a").unwrap(), b"v", "the commit stands");
    assert_eq!(notes.words(), ["set a", "set b"]);
    assert!(catch_unwind(AssertUnwindSafe(|| engine.close())).is_err());
    assert_eq!(notes.words(), ["closed"]);
    drop((panics, listens));
    machine.open(small()).close().unwrap();
}
