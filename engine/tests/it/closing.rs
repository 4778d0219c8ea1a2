//! Closing a store while somebody works on it, and what its writers do for one another.

use std::thread;

use icecore_engine::{Engine, Error, ErrorKind, Options};

use crate::gate::Gate;
use crate::support::{Machine, assert_clean, contents, names, set, small, try_set};

/// How often another owner tries to get in: far longer than it takes to close an idle store.
const ATTEMPTS: u32 = 2_000;

/// Closes a store in which `work` waits to write a table, and holds that nobody else gets the
/// directory before `work` is done.
fn close_during(prepare: fn(&Engine), work: fn(&Engine) -> Result<(), Error>) {
    let machine = Machine::new(1);
    let gate = Gate::new();
    let disk = gate.before(machine.disk.clone());
    let engine = Engine::open(machine.env_on(disk), small()).unwrap();
    prepare(&engine);
    let before = contents(&engine);
    let others = || (0..ATTEMPTS).map(|_| machine.try_open(small()).map(drop));
    let refused =
        |outcome: Result<(), Error>| outcome.is_err_and(|error| error.kind() == ErrorKind::Locked);
    gate.shut();
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&engine));
        gate.wait_for_visitor();
        let closing = scope.spawn(|| engine.close());
        while engine.stats().is_ok() {
            thread::yield_now();
        }
        let kept = others().all(refused);
        gate.open();
        let worked = working.join().unwrap();
        closing.join().unwrap().unwrap();
        assert!(kept, "the directory was given away while the store still wrote to it");
        // What came after the piece of work at hand was refused.
        assert!(worked.is_ok() || worked.is_err_and(|e| e.kind() == ErrorKind::Closed));
    });
    let again = machine.open(small());
    assert_eq!(contents(&again), before);
    assert_clean(&again);
}

fn fill(engine: &Engine) {
    for i in 0..10 {
        set(engine, &format!("{i:02}"), &[7; 500]);
    }
}

#[test]
fn closing_waits_for_a_flush_that_a_caller_runs() {
    close_during(fill, Engine::flush);
}

#[test]
fn closing_waits_for_a_compaction_that_a_caller_runs() {
    let prepare = |engine: &Engine| {
        for _ in 0..small().level0_tables {
            fill(engine);
            engine.flush().unwrap();
        }
    };
    close_during(prepare, Engine::compact);
    close_during(prepare, |engine| engine.step(2).map(drop));
}

#[test]
fn of_two_writers_at_a_stop_one_makes_room_for_both() {
    let machine = Machine::new(1);
    let gate = Gate::new();
    let disk = gate.before(machine.disk.clone());
    let options = Options { memtable_bytes: 4 << 10, frozen_memtables_max: 1, ..small() };
    let engine = Engine::open(machine.env_on(disk), options).unwrap();
    let mut written = 0;
    while engine.stats().unwrap().frozen_memtables == 0 {
        set(&engine, &format!("{written:02}"), &[7; 500]);
        written += 1;
    }
    gate.shut();
    thread::scope(|scope| {
        let first = scope.spawn(|| try_set(&engine, "first", b"v"));
        gate.wait_for_visitor();
        let second = scope.spawn(|| try_set(&engine, "second", b"v"));
        // Both have seen the stop; the second waits for the first.
        while engine.stats().unwrap().stops < 2 {
            thread::yield_now();
        }
        gate.open();
        let outcomes = [first.join().unwrap(), second.join().unwrap()];
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    });
    assert_eq!(names(&engine).len(), written + 2);
}
