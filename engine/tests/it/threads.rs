//! Many threads on one store: readers, writers, workers, and one who closes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use icecore_disk::random::SeededRandom;
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Batch, Durability, Engine, Error, ErrorKind, Item, Mutation, Options, Outcome, Workers,
};

use crate::support::{
    Machine, assert_clean, commit, contents, get, key, names, set, small, try_set,
};

fn options() -> Options {
    Options { workers: Workers::Threads, memtable_bytes: 4 << 10, level0_tables: 2, ..small() }
}

const COUNTERS: u64 = 16;

/// A counter is two keys that every commit sets to the same number.
fn counter(number: u64) -> [Vec<u8>; 2] {
    [key(&format!("{number:02} x")), key(&format!("{number:02} y"))]
}

fn decode(value: &[u8]) -> u64 {
    u64::from_le_bytes(value[..8].try_into().unwrap())
}

fn count(engine: &Engine, number: u64, to: u64) {
    let keys = counter(number);
    let mut value = to.to_le_bytes().to_vec();
    value.resize(100, 7);
    let range = Mutation::DeleteRange { start: &keys[0], end: &keys[1] };
    let [x, y] = keys.each_ref().map(|key| Mutation::Set { key, value: &value, expires_at: None });
    // Now and then by way of a deletion, which nobody may see by itself.
    let delete = Mutation::Delete { key: &keys[1] };
    match to % 5 {
        0 => commit(engine, &[range, x, y]),
        1 => commit(engine, &[delete, y, x]),
        _ => commit(engine, &[x, y]),
    };
}

/// Remembers the highest number that a reader has seen of each counter.
#[derive(Default)]
struct Seen {
    highest: BTreeMap<u64, u64>,
}

impl Seen {
    fn look(&mut self, number: u64, pair: [Option<u64>; 2]) {
        let [x, y] = pair;
        assert_eq!(x, y, "two keys of one commit, in one picture");
        let highest = self.highest.entry(number).or_default();
        assert!(x.unwrap_or(0) >= *highest, "{number} went back from {highest} to {x:?}");
        *highest = x.unwrap_or(0);
    }

    fn look_at_items(&mut self, items: impl Iterator<Item = Result<Item, Error>>) {
        let items = items.map(|item| item.unwrap());
        let all: BTreeMap<_, _> =
            items.map(|item| (item.key().to_vec(), decode(&item.value))).collect();
        for number in 0..COUNTERS {
            self.look(number, counter(number).map(|key| all.get(&key).copied()));
        }
    }

    fn read(&mut self, engine: &Engine, random: &SeededRandom) {
        let all = || engine.scan(&[DATA], &[DATA + 1]).unwrap();
        let number = random.below(COUNTERS);
        let keys = counter(number);
        match random.below(5) {
            0 => self.look_at_items(all()),
            1 => self.look_at_items(all().rev()),
            2 => {
                let snapshot = engine.snapshot().unwrap();
                let first: Vec<_> =
                    snapshot.scan(&[DATA], &[DATA + 1]).map(|i| i.unwrap()).collect();
                let pair = keys.map(|key| snapshot.get(&key).unwrap().map(|r| decode(&r.value)));
                self.look(number, pair);
                let again = snapshot.scan(&[DATA], &[DATA + 1]).map(|i| i.unwrap());
                assert!(again.eq(first.iter().cloned()), "a snapshot does not change");
                self.look_at_items(first.into_iter().map(Ok));
            }
            _ => {
                let records = engine.get_many(&keys).unwrap();
                let numbers = records.iter().map(|r| r.as_ref().map(|r| decode(&r.value)));
                let numbers: Vec<_> = numbers.collect();
                self.look(number, [numbers[0], numbers[1]]);
                let x = engine.get(&keys[0]).unwrap().map(|r| decode(&r.value));
                assert!(x >= numbers[0]);
            }
        }
    }
}

fn readers_and_writers(engine: &Engine, commits: u64, reads: u64) {
    thread::scope(|scope| {
        for writer in 0..2 {
            scope.spawn(move || {
                let random = SeededRandom::new(writer);
                let mut counts = vec![0; COUNTERS as usize];
                for _ in 0..commits {
                    let number = random.below(COUNTERS / 2) * 2 + writer;
                    counts[number as usize] += 1;
                    count(engine, number, counts[number as usize]);
                    let own = engine.get(&counter(number)[1]).unwrap().unwrap();
                    assert_eq!(decode(&own.value), counts[number as usize], "one's own write");
                }
            });
        }
        for reader in 0..4 {
            scope.spawn(move || {
                let random = SeededRandom::new(100 + reader);
                let mut seen = Seen::default();
                for _ in 0..reads {
                    seen.read(engine, &random);
                }
            });
        }
    });
    assert_clean(engine);
}

#[test]
fn readers_see_whole_commits_in_order_whatever_the_workers_do() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    readers_and_writers(&engine, 1_500, 600);
    let stats = engine.stats().unwrap();
    assert!(stats.flushes > 20 && stats.compactions > 5, "{stats:?}");
    let before = contents(&engine);
    drop(engine);
    assert_eq!(contents(&machine.open(options())), before);
}

#[test]
fn readers_see_whole_commits_in_order_on_the_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { durability: Durability::Buffered, ..options() };
    let engine = Engine::open_path(directory.path(), options).unwrap();
    readers_and_writers(&engine, 400, 150);
}

#[test]
fn closing_ends_the_work_of_everybody_with_closed_and_loses_nothing() {
    for round in 0..8 {
        let machine = Machine::new(round);
        let engine = machine.open(options());
        let acknowledged = AtomicU64::new(0);
        thread::scope(|scope| {
            for writer in 0..3_u64 {
                let (engine, acknowledged) = (&engine, &acknowledged);
                scope.spawn(move || {
                    for i in 0.. {
                        match try_set(engine, &format!("{writer} {i:06}"), &[7; 50]) {
                            Ok(_) => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
                                return;
                            }
                        }
                    }
                });
            }
            scope.spawn(|| {
                loop {
                    let scan = match engine.scan(&[DATA], &[DATA + 1]) {
                        Ok(scan) => scan,
                        Err(error) => return assert_eq!(error.kind(), ErrorKind::Closed),
                    };
                    if let Some(error) = scan.take(50).find_map(Result::err) {
                        return assert_eq!(error.kind(), ErrorKind::Closed);
                    }
                }
            });
            while acknowledged.load(Ordering::SeqCst) < 50 * round {
                thread::yield_now();
            }
            engine.close().unwrap();
        });
        let kept = names(&machine.open(options())).len() as u64;
        let acknowledged = acknowledged.into_inner();
        assert_eq!(kept, acknowledged, "round {round}");
    }
}

#[test]
fn after_closing_every_call_says_closed() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    set(&engine, "a", b"1");
    let (snapshot, mut scan) = (engine.snapshot().unwrap(), engine.scan(&[DATA], &[0xff]).unwrap());
    let clone = engine.clone();
    engine.close().unwrap();
    let closed = |error: Error| assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    for engine in [&engine, &clone] {
        closed(engine.close().unwrap_err());
        closed(engine.get(&key("a")).unwrap_err());
        closed(engine.get_many(&[key("a")]).unwrap_err());
        closed(engine.get_with(&key("a"), |_| ()).unwrap_err());
        closed(engine.scan(&[DATA], &[0xff]).unwrap_err());
        closed(engine.snapshot().unwrap_err());
        closed(try_set(engine, "b", b"2").unwrap_err());
        closed(engine.flush().unwrap_err());
        closed(engine.compact().unwrap_err());
        closed(engine.step(0).unwrap_err());
        closed(engine.stats().unwrap_err());
        closed(engine.check().unwrap_err());
        closed(engine.checkpoint("copy").unwrap_err());
    }
    closed(snapshot.get(&key("a")).unwrap_err());
    closed(scan.next().unwrap().unwrap_err());
    assert!(scan.next().is_none(), "after an error a scan is at its end");
    // Another owner, and what is left of the first one: neither disturbs the other.
    let again = machine.open(options());
    drop((snapshot, scan, engine, clone));
    assert_eq!(get(&again, "a").unwrap(), b"1");
    set(&again, "b", b"2");
}

#[test]
fn the_last_scan_keeps_the_store_open() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    for i in 0..300 {
        set(&engine, &format!("{i:03}"), &[7; 100]);
    }
    let scan = engine.scan(&[DATA], &[DATA + 1]).unwrap();
    drop(engine);
    assert_eq!(machine.try_open(options()).unwrap_err().kind(), ErrorKind::Locked);
    let items: Result<Vec<_>, Error> = scan.collect();
    assert_eq!(items.unwrap().len(), 300);
    assert_eq!(names(&machine.open(options())).len(), 300);
}

#[test]
fn values_outlive_the_store_that_they_came_from() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    let big = vec![7; 100_000];
    set(&engine, "table", &big);
    engine.compact().unwrap();
    set(&engine, "memtable", &big);
    let values = ["memtable", "table"].map(|name| engine.get(&key(name)).unwrap().unwrap().value);
    set(&engine, "table", b"");
    engine.compact().unwrap();
    drop(engine);
    let again = machine.open(options());
    again.compact().unwrap();
    assert!(values.iter().all(|value| *value == big));
}

#[test]
fn handles_may_be_dropped_by_many_threads_at_once() {
    for round in 0..20 {
        let machine = Machine::new(round);
        let engine = machine.open(options());
        thread::scope(|scope| {
            for i in 0..4 {
                let engine = engine.clone();
                scope.spawn(move || {
                    set(&engine, &format!("{i}"), b"v");
                    let snapshot = engine.snapshot().unwrap();
                    drop(engine);
                    assert!(snapshot.get(&key(&format!("{i}"))).unwrap().is_some());
                });
            }
            drop(engine);
        });
        assert_eq!(names(&machine.open(options())), ["0", "1", "2", "3"]);
    }
}

#[test]
fn flush_compaction_check_and_checkpoint_may_be_asked_for_by_anybody_at_any_time() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let works: [fn(&Engine, u64); 4] = [
            |engine, _| engine.flush().unwrap(),
            |engine, _| engine.compact().unwrap(),
            |engine, _| assert_clean(engine),
            |engine, i| assert!(engine.checkpoint(format!("copy {i}")).is_ok()),
        ];
        for work in works {
            let (engine, done) = (&engine, &done);
            scope.spawn(move || {
                for i in 0..40 {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    work(engine, i);
                }
            });
        }
        for i in 0..600 {
            set(&engine, &format!("{:03}", i % 200), &[i as u8; 100]);
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(names(&engine).len(), 200);
    assert_clean(&engine);
}

#[test]
fn a_batch_of_many_mutations_by_many_threads_is_never_seen_in_part() {
    let machine = Machine::new(1);
    let engine = machine.open(options());
    let keys: Vec<_> = (0..64).map(|i| key(&format!("{i:02}"))).collect();
    let (engine, keys) = (&engine, &keys);
    thread::scope(|scope| {
        for writer in 0..3_u8 {
            scope.spawn(move || {
                for round in 0..60 {
                    let value = [writer, round];
                    let set = |key| Mutation::Set { key, value: &value, expires_at: None };
                    let mutations: Vec<_> = keys.iter().map(|key| set(key)).collect();
                    let batch = Batch { checks: &[], mutations: &mutations };
                    assert!(matches!(engine.commit(batch).unwrap(), Outcome::Committed(_)));
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..200 {
                let seen = contents(engine);
                assert!(seen.is_empty() || seen.len() == 64);
                assert!(seen.windows(2).all(|pair| pair[0].1 == pair[1].1), "{seen:?}");
            }
        });
    });
}

/// A waker that owns a handle of the store, as a task does that is only kept alive by its waker.
struct Owner(std::sync::Mutex<Option<Engine>>);

impl std::task::Wake for Owner {
    fn wake(self: std::sync::Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn a_waker_that_owns_the_last_handle_does_not_hang_the_worker_that_calls_it() {
    use std::future::Future;
    use std::sync::{Arc, Mutex};
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_path(directory.path(), Options::default()).unwrap();
    let mutations = [Mutation::Set { key: &[DATA, 1], value: b"v", expires_at: None }];
    let batch = Batch { checks: &[], mutations: &mutations };
    let owner = Arc::new(Owner(Mutex::new(Some(engine.clone()))));
    let mut future = Box::pin(engine.commit_async(batch, Durability::Sync));
    drop(engine);
    let waker = std::task::Waker::from(Arc::clone(&owner));
    let polled = future.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    drop(future);
    if polled.is_ready() {
        // The log was faster than the first poll: then there is nobody to wake.
        drop(owner.0.lock().unwrap().take());
    }
    // The directory comes back when the last worker has ended.
    let reopened = loop {
        match Engine::open_path(directory.path(), Options::default()) {
            Ok(engine) => break engine,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}"),
        }
        std::thread::yield_now();
    };
    assert!(reopened.get(&[DATA, 1]).unwrap().is_some());
}
