//! Deleting whole ranges of keys, wherever their versions lie.

use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_engine::{Current, Engine, ErrorKind, Mutation, Options, Updated};

use crate::support::{
    Machine, assert_clean, collect, commit, contents, delete_range, get, key, names, set, small,
    try_commit,
};

fn fill(engine: &Engine, value: &[u8]) {
    for i in 0..40 {
        set(engine, &format!("{i:02}"), value);
    }
}

fn numbers(engine: &Engine) -> Vec<u32> {
    let numbers = |names: Vec<String>| names.iter().map(|n| n.parse().unwrap()).collect();
    let forward: Vec<u32> = numbers(names(engine));
    let backward = engine
        .scan(&[DATA], &[DATA + 1])
        .unwrap()
        .rev()
        .map(|item| String::from_utf8(item.unwrap().key()[1..].to_vec()).unwrap());
    let mut backward: Vec<u32> = numbers(backward.collect());
    backward.reverse();
    assert_eq!(forward, backward);
    for i in 0..40 {
        assert_eq!(get(engine, &format!("{i:02}")).is_some(), forward.contains(&i), "{i}");
    }
    forward
}

fn rest() -> Vec<u32> {
    (0..10).chain(20..40).collect()
}

/// The ways in which what was written so far can lie below the deletion.
const PLACES: [fn(&Engine); 6] = [
    |_| (),
    |engine| engine.flush().unwrap(),
    |engine| engine.compact().unwrap(),
    |engine| {
        fill(engine, &[9; 900]);
        assert!(engine.stats().unwrap().frozen_memtables > 0);
    },
    |engine| {
        engine.compact().unwrap();
        fill(engine, b"2");
        engine.flush().unwrap();
        fill(engine, b"3");
    },
    |engine| {
        // Several tables and several levels.
        for round in 0..60 {
            fill(engine, &[round; 900]);
            engine.step(u64::from(round)).unwrap();
        }
    },
];

#[test]
fn a_range_is_gone_wherever_its_keys_lie() {
    for (number, place) in PLACES.iter().enumerate() {
        for (after, settle) in PLACES[..3].iter().enumerate() {
            let mut machine = Machine::new(1);
            let engine = machine.open(small());
            fill(&engine, b"1");
            place(&engine);
            delete_range(&engine, "10", "20");
            assert_eq!(numbers(&engine), rest(), "in place {number}");
            settle(&engine);
            assert_eq!(numbers(&engine), rest(), "in place {number}, then {after}");
            set(&engine, "15", b"anew");
            settle(&engine);
            assert_eq!(get(&engine, "15").unwrap(), b"anew");
            delete_range(&engine, "15", "16");
            assert_eq!(numbers(&engine), rest(), "in place {number}, then {after}, again");
            assert_clean(&engine);
            machine.kill();
            drop(engine);
            assert_eq!(numbers(&machine.open(small())), rest());
        }
    }
}

#[test]
fn the_start_is_in_the_range_and_the_end_is_not() {
    let engine = Machine::new(1).open(small());
    for settle in &PLACES[..3] {
        for name in ["a", "b", "b\0", "c", "c\0"] {
            set(&engine, name, b"v");
        }
        settle(&engine);
        delete_range(&engine, "b", "c");
        settle(&engine);
        assert_eq!(names(&engine), ["a", "c", "c\0"]);
    }
}

#[test]
fn within_one_commit_what_comes_later_wins() {
    for settle in &PLACES[..3] {
        let engine = Machine::new(1).open(small());
        fill(&engine, b"old");
        settle(&engine);
        let [a, b, c, d] = ["10", "12", "14", "16"].map(key);
        let seen = std::cell::Cell::new(false);
        let update = |current: Option<Current<'_>>| {
            seen.set(current.is_some());
            Ok(Updated::Set { value: b"updated".to_vec(), expires_at: None })
        };
        let set = |key| Mutation::Set { key, value: b"new", expires_at: None };
        let (start, end) = (key("10"), key("20"));
        let range = Mutation::DeleteRange { start: &start, end: &end };
        let update = Mutation::Update { key: &d, update: &update };
        let delete = Mutation::Delete { key: &c };
        commit(&engine, &[set(&a), set(&c), range, set(&b), set(&c), delete, update]);
        assert!(!seen.get(), "an update sees what the range has left: nothing");
        settle(&engine);
        let present = [&rest()[..], &[12, 16]].concat();
        let mut present = present;
        present.sort_unstable();
        assert_eq!(numbers(&engine), present);
        assert_eq!(get(&engine, "12").unwrap(), b"new");
        assert_eq!(get(&engine, "16").unwrap(), b"updated");
    }
}

#[test]
fn a_snapshot_keeps_what_a_later_range_deletes() {
    for place in PLACES {
        for settle in &PLACES[..3] {
            let engine = Machine::new(1).open(small());
            fill(&engine, b"1");
            place(&engine);
            let before = contents(&engine);
            let snapshot = engine.snapshot().unwrap();
            delete_range(&engine, "10", "20");
            settle(&engine);
            delete_range(&engine, "00", "99");
            settle(&engine);
            assert_eq!(collect(snapshot.scan(&[DATA], &[DATA + 1])), before);
            assert!(snapshot.get(&key("15")).unwrap().is_some());
            assert!(names(&engine).is_empty());
            drop(snapshot);
            engine.compact().unwrap();
            assert!(names(&engine).is_empty());
            assert_clean(&engine);
        }
    }
}

#[test]
fn compaction_gives_the_space_of_a_range_back() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    for i in 0..800 {
        set(&engine, &format!("{i:03}"), &[1; 500]);
    }
    engine.compact().unwrap();
    let bytes = |engine: &Engine| {
        engine.stats().unwrap().levels.iter().map(|level| level.bytes).sum::<u64>()
    };
    let full = bytes(&engine);
    assert!(full > 400_000, "{full}");
    delete_range(&engine, "050", "750");
    engine.compact().unwrap();
    assert_eq!(names(&engine).len(), 100);
    assert!(bytes(&engine) < full / 4, "{} of {full}", bytes(&engine));
    delete_range(&engine, "0", "9");
    engine.compact().unwrap();
    let levels = engine.stats().unwrap().levels;
    assert!(levels.iter().all(|level| level.tables == 0), "{levels:?}");
    assert_clean(&engine);
}

#[test]
fn a_range_stays_in_its_keyspace() {
    let engine = Machine::new(1).open(small());
    let queued = [QUEUE, 1];
    set(&engine, "a", b"v");
    commit(&engine, &[Mutation::Set { key: &queued, value: b"v", expires_at: None }]);
    let kind = |start: &[u8], end: &[u8]| {
        let range = Mutation::DeleteRange { start, end };
        try_commit(&engine, &[range]).unwrap_err().kind()
    };
    for (start, end) in [
        (&[DATA][..], &[QUEUE][..]),
        (&[DATA], &[QUEUE, 0]),
        (&[DATA], &[DATA + 1, 0]),
        (&[DATA], &[0xff]),
        (&[0], &[DATA]),
        (&[DATA + 1], &[DATA + 2]),
        (&[0xe0], &[0xe1]),
        (&[0xf0], &[0xf1]),
        (&[], &[DATA]),
        (&[DATA], &[]),
        (&[DATA, 5], &[DATA, 5]),
        (&[DATA, 6], &[DATA, 5]),
    ] {
        assert_eq!(kind(start, end), ErrorKind::InvalidArgument, "{start:x?} to {end:x?}");
    }
    commit(&engine, &[Mutation::DeleteRange { start: &[DATA], end: &[DATA + 1] }]);
    assert!(names(&engine).is_empty());
    assert!(engine.get(&queued).unwrap().is_some());
}

#[test]
fn ranges_that_overlap_each_other_add_up() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { level0_tables: 2, ..small() });
    for round in 0..12 {
        fill(&engine, &[round; 50]);
        let start = u32::from(round);
        delete_range(&engine, &format!("{start:02}"), &format!("{:02}", start + 10));
        delete_range(&engine, &format!("{:02}", start + 5), &format!("{:02}", start + 15));
        if round % 2 == 0 {
            engine.flush().unwrap();
        }
        engine.step(2).unwrap();
        let gone = start..start + 15;
        assert_eq!(numbers(&engine), (0..40).filter(|i| !gone.contains(i)).collect::<Vec<_>>());
    }
    assert_clean(&engine);
}

#[test]
fn a_memtable_with_many_deleted_ranges_is_full() {
    let machine = Machine::new(1);
    let engine = machine.open(Options { memtable_bytes: 32 << 20, ..small() });
    set(&engine, "0000", b"v");
    // A consumer that truncates what it has read: every range lies over all of those before it.
    for i in 1..=2_000 {
        delete_range(&engine, "", &format!("{i:04}"));
    }
    let stats = engine.stats().unwrap();
    assert!(stats.flushes + stats.frozen_memtables > 4, "{stats:?}");
    engine.compact().unwrap();
    assert!(names(&engine).is_empty());
    let levels = engine.stats().unwrap().levels;
    assert!(levels.iter().all(|level| level.range_tombstones <= 1), "{levels:?}");
    assert_clean(&engine);
}
