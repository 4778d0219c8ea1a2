//! A part that panics does not leave a store behind that looks alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use icecore_disk::Clock;
use icecore_disk::clock::ManualClock;
use icecore_engine::{Engine, Environment, ErrorKind, Mutation, Options, Workers};

use crate::support::{Machine, START_MS, contents, get, key, ms, set, small, try_commit, try_set};

/// A clock that breaks in all threads but the one that made it.
#[derive(Debug)]
struct Brittle {
    clock: ManualClock,
    maker: ThreadId,
    broken: AtomicBool,
}

impl Clock for Brittle {
    fn wall_ms(&self) -> u64 {
        let breaks = self.broken.load(Ordering::SeqCst) && thread::current().id() != self.maker;
        assert!(!breaks, "the clock is broken");
        self.clock.wall_ms()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

#[test]
fn when_a_worker_has_panicked_commits_are_refused_and_reads_go_on() {
    let machine = Machine::new(1);
    let maker = thread::current().id();
    let (clock, broken) = (ManualClock::at(START_MS), AtomicBool::new(false));
    let clock = Arc::new(Brittle { clock, maker, broken });
    let env = Environment { clock: clock.clone(), ..machine.env() };
    let options = Options { workers: Workers::Threads, ..small() };
    let engine = Engine::open(env, options).unwrap();
    set(&engine, "before", b"v");
    clock.broken.store(true, Ordering::SeqCst);
    // Whatever is due soon has a worker look at the clock.
    let refusal = (0..1_000_000).find_map(|i| {
        let key = key(&format!("due {}", i % 100));
        let due = Mutation::Set { key: &key, value: &[7; 300], expires_at: ms(START_MS + 1) };
        try_commit(&engine, &[due]).err()
    });
    let refusal = refusal.expect("the store notices");
    // A commit that was under way may or may not be stored.
    let known = [ErrorKind::Poisoned, ErrorKind::OutcomeUnknown];
    assert!(known.contains(&refusal.kind()), "{refusal}");
    assert_eq!(try_set(&engine, "more", b"v").unwrap_err().kind(), ErrorKind::Poisoned);
    let cause = engine.stats().unwrap().poisoned.unwrap();
    assert!(cause.contains("a worker has panicked"), "{cause}");
    assert_eq!(get(&engine, "before").as_deref(), Some(&b"v"[..]));
    let seen = contents(&engine);
    drop(engine);
    // The next life has all that was seen, and perhaps that one.
    let engine = machine.open(small());
    let now = contents(&engine);
    assert!(seen.iter().all(|entry| now.contains(entry)) && now.len() <= seen.len() + 1);
}
