//! Entries that expire: from which instant on, for whom, and what becomes of them.

use icecore_engine::{
    Batch, Check, Current, Engine, Mutation, Options, Outcome, Step, Updated, keyspace::DATA,
};

use crate::support::{
    Machine, START_MS, assert_clean, collect, commit, contents, delete, get, key, names, set,
    set_if, set_until, small,
};

/// The choice of a step that looks at the sweeper first.
const SWEEP: u64 = 3;

/// Does all background work that there is.
fn settle(engine: &Engine) {
    while engine.step(0).unwrap() != Step::Idle {}
}

/// What an update sees of a key.
fn current(engine: &Engine, name: &str) -> Option<Vec<u8>> {
    let seen = std::cell::RefCell::new(None);
    let update = |current: Option<Current<'_>>| {
        *seen.borrow_mut() = current.map(|c| c.value.to_vec());
        Ok(Updated::Keep)
    };
    commit(engine, &[Mutation::Update { key: &key(name), update: &update }]);
    seen.into_inner()
}

/// Holds that `name` is absent, or present, for every kind of read.
fn assert_present(engine: &Engine, name: &str, present: bool) {
    assert_eq!(get(engine, name).is_some(), present, "get");
    assert_eq!(engine.get_many(&[key(name)]).unwrap()[0].is_some(), present, "get_many");
    assert_eq!(engine.get_with(&key(name), |v| v.is_some()).unwrap(), present, "get_with");
    assert_eq!(names(engine).contains(&name.to_owned()), present, "scan");
    let backward = engine.scan(&[DATA], &[DATA + 1]).unwrap().keys().rev();
    assert_eq!(backward.map(|k| k.unwrap()).any(|k| k == key(name)), present, "keys, backward");
    assert_eq!(engine.snapshot().unwrap().get(&key(name)).unwrap().is_some(), present, "snapshot");
    assert_eq!(current(engine, name).is_some(), present, "update");
    let checks = [Check { key: &key(name), expected: None }];
    let outcome = engine.commit(Batch { checks: &checks, mutations: &[] }).unwrap();
    assert_eq!(matches!(outcome, Outcome::CheckFailed { .. }), present, "check");
}

#[test]
fn an_entry_is_absent_from_its_very_millisecond_on() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set_until(&engine, "memtable", b"v", START_MS + 10);
    set_until(&engine, "table", b"v", START_MS + 10);
    engine.flush().unwrap();
    set_until(&engine, "memtable", b"v", START_MS + 10);
    machine.clock.advance_ms(9);
    for name in ["memtable", "table"] {
        assert_present(&engine, name, true);
    }
    machine.clock.advance_ms(1);
    for name in ["memtable", "table"] {
        assert_present(&engine, name, false);
    }
}

#[test]
fn an_expired_entry_does_not_reveal_the_one_before_it() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set(&engine, "a", b"old");
    engine.compact().unwrap();
    set_until(&engine, "a", b"new", START_MS + 10);
    machine.clock.advance_ms(10);
    assert_present(&engine, "a", false);
    engine.flush().unwrap();
    assert_present(&engine, "a", false);
    settle(&engine);
    engine.compact().unwrap();
    assert_present(&engine, "a", false);
}

#[test]
fn what_is_set_to_expire_in_the_past_is_absent_at_once() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set(&engine, "a", b"old");
    set_until(&engine, "a", b"new", START_MS);
    set_until(&engine, "b", b"new", 1);
    set_until(&engine, "c", b"new", u64::MAX);
    for (name, present) in [("a", false), ("b", false), ("c", true)] {
        assert_present(&engine, name, present);
    }
    settle(&engine);
    assert_eq!(engine.stats().unwrap().swept, 2);
    assert_eq!(names(&engine), ["c"]);
}

#[test]
fn the_sweeper_deletes_and_compaction_gives_the_space_back() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { memtable_bytes: 64 << 10, ..small() });
    for i in 0..600 {
        set_until(&engine, &format!("{i:03}"), &[7; 500], START_MS + 100 + i);
    }
    set(&engine, "stays", b"v");
    engine.compact().unwrap();
    let bytes = |engine: &Engine| {
        engine.stats().unwrap().levels.iter().map(|level| level.bytes).sum::<u64>()
    };
    assert!(bytes(&engine) > 300_000, "{}", bytes(&engine));
    machine.clock.advance_ms(100 + 300);
    settle(&engine);
    assert_eq!(engine.stats().unwrap().swept, 301, "0 to 300, each at its own millisecond");
    machine.clock.advance_ms(10_000);
    settle(&engine);
    assert_eq!(engine.stats().unwrap().swept, 600);
    assert_eq!(names(&engine), ["stays"]);
    engine.compact().unwrap();
    assert!(bytes(&engine) < 10_000, "{}: {:?}", bytes(&engine), engine.stats().unwrap().levels);
    assert_clean(&engine);
}

#[test]
fn the_sweeper_spares_what_was_overwritten_extended_or_deleted() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    for name in ["overwritten", "extended", "deleted", "shortened", "set again"] {
        set_until(&engine, name, b"1", START_MS + 100);
    }
    set(&engine, "overwritten", b"2");
    set_until(&engine, "extended", b"2", START_MS + 1_000);
    delete(&engine, "deleted");
    set_until(&engine, "shortened", b"2", START_MS + 50);
    delete(&engine, "set again");
    set_until(&engine, "set again", b"2", START_MS + 200);
    machine.clock.advance_ms(100);
    settle(&engine);
    assert_eq!(names(&engine), ["extended", "overwritten", "set again"]);
    machine.clock.advance_ms(100);
    settle(&engine);
    assert_eq!(names(&engine), ["extended", "overwritten"]);
    machine.clock.advance_ms(800);
    settle(&engine);
    assert_eq!(names(&engine), ["overwritten"]);
    engine.compact().unwrap();
    assert_eq!(contents(&engine), [("overwritten".to_owned(), b"2".to_vec())]);
}

#[test]
fn what_was_swept_stays_gone_when_the_clock_steps_back() {
    for compacted in [false, true] {
        let mut machine = Machine::new(1);
        let engine = machine.open(small());
        set_until(&engine, "a", b"v", START_MS + 100);
        set_until(&engine, "b", b"v", START_MS + 1_000);
        machine.clock.advance_ms(200);
        settle(&engine);
        if compacted {
            engine.compact().unwrap();
        }
        machine.clock.set_wall_ms(START_MS);
        assert_eq!(names(&engine), ["b"]);
        machine.kill();
        drop(engine);
        let engine = machine.open(small());
        assert_eq!(names(&engine), ["b"]);
        assert!(matches!(set_if(&engine, "a", None, b"anew"), Outcome::Committed(_)));
    }
}

#[test]
fn within_a_life_the_clock_does_not_step_back_at_all() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set_until(&engine, "a", b"v", START_MS + 100);
    machine.clock.advance_ms(100);
    assert_present(&engine, "a", false);
    machine.clock.set_wall_ms(START_MS);
    assert_present(&engine, "a", false);
}

#[test]
fn one_wild_reading_of_the_clock_does_not_touch_what_is_written_in_later_lives() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set_until(&engine, "early", b"v", START_MS + 1_000);
    machine.clock.set_wall_ms(u64::MAX / 2);
    settle(&engine);
    assert_eq!(engine.stats().unwrap().swept, 1);
    machine.clock.set_wall_ms(START_MS);
    engine.close().unwrap();
    let engine = machine.open(small());
    set_until(&engine, "late", b"v", START_MS + 1_000);
    assert_present(&engine, "early", false);
    assert_present(&engine, "late", true);
    settle(&engine);
    engine.compact().unwrap();
    assert_present(&engine, "late", true);
    machine.clock.advance_ms(1_000);
    settle(&engine);
    assert_present(&engine, "late", false);
}

#[test]
fn of_a_crowd_of_one_millisecond_nobody_comes_back_after_the_clock_stepped_back() {
    let mut machine = Machine::new(1);
    let engine = machine.open(Options { memtable_bytes: 1 << 20, ..small() });
    let crowd: Vec<_> = (0..600).map(|i| key(&format!("{i:03}"))).collect();
    let expires_at = crate::support::ms(START_MS + 100);
    let mutations = crowd.iter().map(|key| Mutation::Set { key, value: b"v", expires_at });
    commit(&engine, &mutations.collect::<Vec<_>>());
    set_until(&engine, "short", b"v", START_MS + 50);
    set_until(&engine, "long", b"v", START_MS + 500);
    machine.clock.advance_ms(100);
    while engine.stats().unwrap().swept == 0 {
        engine.step(SWEEP).unwrap();
    }
    assert!(engine.stats().unwrap().swept < 600, "one sweep is a part of the work");
    machine.clock.set_wall_ms(START_MS + 60);
    machine.kill();
    drop(engine);
    let engine = machine.open(small());
    let left = names(&engine);
    assert!(left.len() < 600 && !left.contains(&"000".to_owned()), "what was swept is gone");
    set_until(&engine, "other", b"v", START_MS + 59);
    assert_eq!(engine.step(SWEEP).unwrap(), Step::Sweep);
    assert_eq!(names(&engine), left, "another sweep brings nothing back");
}

#[test]
fn a_snapshot_keeps_its_own_time() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set_until(&engine, "a", b"v", START_MS + 100);
    set(&engine, "b", b"v");
    let snapshot = engine.snapshot().unwrap();
    let mut scan = engine.scan(&[DATA], &[DATA + 1]).unwrap();
    machine.clock.advance_ms(100);
    assert_eq!(names(&engine), ["b"]);
    settle(&engine);
    engine.compact().unwrap();
    assert_eq!(collect(snapshot.scan(&[DATA], &[DATA + 1])).len(), 2);
    assert_eq!(snapshot.get(&key("a")).unwrap().unwrap().value, "v");
    assert_eq!(scan.next().unwrap().unwrap().key(), key("a"));
    assert_eq!(names(&engine), ["b"]);
    drop((snapshot, scan));
    engine.compact().unwrap();
    assert_eq!(names(&engine), ["b"]);
}

#[test]
fn records_tell_when_they_expire() {
    let engine = Machine::new(1).open(small());
    let until = crate::support::ms(START_MS + 100);
    set_until(&engine, "a", b"v", START_MS + 100);
    for _ in 0..2 {
        assert_eq!(engine.get(&key("a")).unwrap().unwrap().expires_at, until);
        let item = engine.scan(&[DATA], &[DATA + 1]).unwrap().next().unwrap().unwrap();
        assert_eq!(item.expires_at, until);
        engine.flush().unwrap();
    }
}

#[test]
fn a_sweep_keeps_to_the_largest_commit() {
    // The smallest is just enough to set one of these entries.
    for commit_bytes_max in [27, 80, 150, 1_000] {
        let machine = Machine::new(1);
        let engine = machine.open(Options { commit_bytes_max, ..small() });
        for i in 0..300 {
            set_until(&engine, &format!("{i:03}"), b"v", START_MS + 100 + i % 7);
        }
        machine.clock.advance_ms(1_000);
        settle(&engine);
        assert_eq!(engine.stats().unwrap().swept, 300, "{commit_bytes_max}");
        assert!(names(&engine).is_empty());
    }
}
