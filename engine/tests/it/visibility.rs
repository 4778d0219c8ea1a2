//! Checks, and when a commit can be seen: by its author at once, by everybody in stamp order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use icecore_disk::random::SeededRandom;
use icecore_engine::{
    Batch, Check, Durability, Engine, ErrorKind, Mutation, Options, Outcome, Workers,
};
use icecore_model::Versionstamp;

use crate::support::{Machine, contents, get, key, set, set_if, small};

fn threaded() -> Options {
    Options { workers: Workers::Threads, ..small() }
}

const ACCOUNTS: u64 = 50;
const BALANCE: u64 = 1_000;
const TELLERS: u64 = 4;

fn account(number: u64) -> String {
    format!("account {number:02}")
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// Moves money between two accounts, trying again as long as somebody else was faster.
fn transfer(engine: &Engine, from: u64, to: u64, amount: u64, durability: Durability) {
    let keys = [key(&account(from)), key(&account(to))];
    loop {
        let records = engine.get_many(&keys).unwrap();
        let [a, b] = &records[..] else { unreachable!("two keys were asked for") };
        let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
        let amount = amount.min(number(&a.value));
        let new = [number(&a.value) - amount, number(&b.value) + amount].map(u64::to_le_bytes);
        let checks = [
            Check { key: &keys[0], expected: Some(a.stamp) },
            Check { key: &keys[1], expected: Some(b.stamp) },
        ];
        let mutations = [
            Mutation::Set { key: &keys[0], value: &new[0], expires_at: None },
            Mutation::Set { key: &keys[1], value: &new[1], expires_at: None },
        ];
        let batch = Batch { checks: &checks, mutations: &mutations };
        match engine.commit_with(batch, durability).unwrap() {
            Outcome::Committed(_) => return,
            // Whoever reads again sees what was in the way: else this would turn for long.
            Outcome::CheckFailed { indexes } => {
                let again = engine.get_many(&keys).unwrap();
                for index in indexes {
                    let (old, new) = (records[index].as_ref(), again[index].as_ref());
                    assert!(new.unwrap().stamp > old.unwrap().stamp, "the newer state is seen");
                }
            }
        }
    }
}

fn sum(engine: &Engine) -> u64 {
    contents(engine).iter().map(|(_, value)| number(value)).sum()
}

fn conserve_the_sum(engine: &Engine, transfers: u64) {
    for number in 0..ACCOUNTS {
        set(engine, &account(number), &BALANCE.to_le_bytes());
    }
    thread::scope(|scope| {
        for teller in 0..TELLERS {
            scope.spawn(move || {
                let random = SeededRandom::new(teller);
                for _ in 0..transfers {
                    let from = random.below(ACCOUNTS);
                    let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
                    let durability =
                        if random.one_in(2) { Durability::Sync } else { Durability::Buffered };
                    transfer(engine, from, to, random.below(300), durability);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..transfers / 4 {
                assert_eq!(sum(engine), ACCOUNTS * BALANCE);
            }
        });
    });
    assert_eq!(sum(engine), ACCOUNTS * BALANCE);
}

#[test]
fn concurrent_transfers_conserve_the_sum_on_the_simulated_disk() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { memtable_bytes: 8 << 10, ..threaded() });
    conserve_the_sum(&engine, 250);
    engine.close().unwrap();
    assert_eq!(sum(&machine.open(threaded())), ACCOUNTS * BALANCE);
}

#[test]
fn concurrent_transfers_conserve_the_sum_on_the_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_path(directory.path(), threaded()).unwrap();
    conserve_the_sum(&engine, 50);
    drop(engine);
    let engine = Engine::open_path(directory.path(), threaded()).unwrap();
    assert_eq!(sum(&engine), ACCOUNTS * BALANCE);
}

#[test]
fn of_commits_that_check_the_same_absence_one_wins() {
    let engine = Machine::new(1).open(threaded());
    let winners = AtomicU64::new(0);
    for round in 0..50 {
        let name = format!("{round}");
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| match set_if(&engine, &name, None, b"mine") {
                    Outcome::Committed(_) => drop(winners.fetch_add(1, Ordering::SeqCst)),
                    Outcome::CheckFailed { .. } => assert!(get(&engine, &name).is_some()),
                });
            }
        });
    }
    assert_eq!(winners.into_inner(), 50);
}

#[test]
fn a_check_of_a_deleted_key_holds_only_as_absent() {
    let engine = Machine::new(1).open(small());
    let stamp = set(&engine, "a", b"1");
    crate::support::delete(&engine, "a");
    assert_eq!(set_if(&engine, "a", Some(stamp), b"2"), Outcome::CheckFailed { indexes: vec![0] });
    assert!(matches!(set_if(&engine, "a", None, b"2"), Outcome::Committed(_)));
}

#[test]
fn a_batch_without_mutations_is_a_commit_and_may_be_only_checks() {
    let engine = Machine::new(1).open(small());
    let before = set(&engine, "a", b"1");
    let key = key("a");
    let check = |expected| {
        let checks = [Check { key: &key, expected }];
        engine.commit(Batch { checks: &checks, mutations: &[] }).unwrap()
    };
    assert_eq!(check(None), Outcome::CheckFailed { indexes: vec![0] });
    assert!(matches!(check(Some(before)), Outcome::Committed(stamp) if stamp > before));
    assert_eq!(engine.get(&key).unwrap().unwrap().stamp, before);
}

/// Wakes the thread that waits in [`block_on`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn committed(outcome: Result<Outcome, icecore_engine::Error>) -> Versionstamp {
    match outcome.unwrap() {
        Outcome::Committed(stamp) => stamp,
        Outcome::CheckFailed { .. } => unreachable!("there is no check"),
    }
}

fn set_later(engine: &Engine, i: u64, durability: Durability) -> icecore_engine::CommitFuture {
    let (key, value) = (key(&format!("{i:04}")), i.to_le_bytes());
    let mutations = [Mutation::Set { key: &key, value: &value, expires_at: None }];
    engine.commit_async(Batch { checks: &[], mutations: &mutations }, durability)
}

#[test]
fn asynchronous_commits_become_visible_in_stamp_order() {
    let engine = Machine::new(1).open(threaded());
    let durability = |i| if i % 3 == 0 { Durability::Buffered } else { Durability::Sync };
    let futures: Vec<_> = (0..300).map(|i| set_later(&engine, i, durability(i))).collect();
    let watch = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = 0;
            while seen < 300 {
                let now = contents(&engine);
                assert!(now.len() >= seen, "what was visible stays so");
                seen = now.len();
                let in_order = now.iter().enumerate().all(|(i, (_, v))| number(v) == i as u64);
                assert!(in_order, "a commit is visible only after all before it");
            }
        });
        let stamps: Vec<_> = futures.into_iter().map(|f| committed(block_on(f))).collect();
        assert!(stamps.is_sorted_by(|a, b| a < b));
        watcher.join()
    });
    watch.unwrap();
}

#[test]
fn an_asynchronous_commit_is_visible_to_its_author_once_it_is_done() {
    let engine = Machine::new(1).open(threaded());
    thread::scope(|scope| {
        for writer in 0..3 {
            let engine = &engine;
            scope.spawn(move || {
                for i in 0..100 {
                    let number = writer * 100 + i;
                    committed(block_on(set_later(engine, number, Durability::Sync)));
                    assert!(get(engine, &format!("{number:04}")).is_some());
                }
            });
        }
    });
}

#[test]
fn a_dropped_future_does_not_take_its_commit_back() {
    let mut machine = Machine::new(1);
    let engine = machine.open(threaded());
    for i in 0..20 {
        drop(set_later(&engine, i, Durability::Sync));
    }
    set(&engine, "last", b"");
    assert_eq!(contents(&engine).len(), 21);
    machine.kill();
    drop(engine);
    assert_eq!(contents(&machine.open(threaded())).len(), 21);
}

#[test]
fn an_asynchronous_commit_is_told_although_the_store_was_closed_meanwhile() {
    for workers in [Workers::Threads, Workers::Manual] {
        for orderly in [true, false] {
            let machine = Machine::new(1);
            let engine = machine.open(Options { workers, ..small() });
            let futures: Vec<_> =
                (0..20).map(|i| set_later(&engine, i, Durability::Sync)).collect();
            if orderly {
                engine.close().unwrap();
            }
            drop(engine);
            let stamps: Vec<_> = futures.into_iter().map(|f| committed(block_on(f))).collect();
            assert!(stamps.is_sorted());
            assert_eq!(contents(&machine.open(small())).len(), 20);
        }
    }
}

#[test]
fn an_asynchronous_commit_tells_of_failed_checks_and_errors() {
    let engine = Machine::new(1).open(threaded());
    set(&engine, "a", b"1");
    let key = key("a");
    let checks = [Check { key: &key, expected: None }];
    let failed = engine.commit_async(Batch { checks: &checks, mutations: &[] }, Durability::Sync);
    assert_eq!(block_on(failed).unwrap(), Outcome::CheckFailed { indexes: vec![0] });
    let mutations = [Mutation::Delete { key: b"" }];
    let wrong = Batch { checks: &[], mutations: &mutations };
    let error = block_on(engine.commit_async(wrong, Durability::Sync)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_panic_in_an_update_leaves_no_trace_and_the_store_goes_on() {
    let machine = Machine::new(1);
    let engine = machine.open(threaded());
    let before = set(&engine, "a", b"1");
    let (a, b) = (key("a"), key("b"));
    let update: &icecore_engine::UpdateFn<'_> = &|_| panic!("this panic is part of the test");
    let mutations = [
        Mutation::Set { key: &a, value: b"2", expires_at: None },
        Mutation::Update { key: &b, update },
    ];
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        engine.commit(Batch { checks: &[], mutations: &mutations })
    }));
    assert!(panicked.is_err());
    assert_eq!((get(&engine, "a").unwrap(), engine.visible()), (b"1".to_vec(), before));
    set(&engine, "b", b"3");
    drop(engine);
    assert_eq!(contents(&machine.open(small())).len(), 2);
}

#[test]
fn a_manual_store_drives_asynchronous_commits_by_steps() {
    let engine = Machine::new(1).open(small());
    let mut future = pin!(set_later(&engine, 1, Durability::Sync));
    let mut context = Context::from_waker(Waker::noop());
    for choice in 0..100 {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
            committed(outcome);
            assert!(get(&engine, "0001").is_some());
            return;
        }
        engine.step(choice).unwrap();
    }
    panic!("a hundred steps did not finish the commit");
}

#[test]
fn buffered_commits_survive_the_process_and_synced_ones_also_take_them_along() {
    let mut machine = Machine::new(1);
    let engine = machine.open(small());
    for i in 0..50 {
        let durability = if i % 10 == 9 { Durability::Sync } else { Durability::Buffered };
        let key = key(&format!("{i:02}"));
        let mutations = [Mutation::Set { key: &key, value: b"v", expires_at: None }];
        committed(engine.commit_with(Batch { checks: &[], mutations: &mutations }, durability));
    }
    let before = contents(&engine);
    machine.kill();
    drop(engine);
    assert_eq!(contents(&machine.open(small())), before);
}
