//! Pictures of the store, walks over it, and what they keep alive.

use std::ops::ControlFlow;

use icecore_disk::Name;
use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_engine::{Engine, Mutation, Scan, Seen, Step};

use crate::support::{
    Machine, collect, commit, contents, delete, delete_range, get, key, names, set, small,
};

fn tables(machine: &Machine) -> usize {
    machine.names(|name| matches!(name, Name::Table(_))).len()
}

type Named = Vec<(String, Vec<u8>)>;

/// What visits of at most seven entries each show, one after the other.
fn visited(mut scan: Scan, back: bool) -> Named {
    let mut shown = Vec::new();
    loop {
        let mut left = 7;
        let see = |seen: Seen<'_>| {
            assert_eq!(seen.key[0], DATA);
            let name = String::from_utf8_lossy(&seen.key[1..]).into_owned();
            shown.push((name, seen.value.to_vec()));
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let broken = if back { scan.visit_back(see) } else { scan.visit(see) };
        if broken.unwrap().is_none() {
            return shown;
        }
    }
}

fn settle(engine: &Engine) {
    while engine.step(0).unwrap() != Step::Idle {}
}

#[test]
fn a_snapshot_gives_the_same_bytes_whatever_happens_after_it() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let mut snapshots = Vec::new();
    for round in 0..12_u8 {
        for i in 0..40 {
            set(&engine, &format!("{:02}", (i * 7 + u32::from(round)) % 60), &[round; 200]);
        }
        match round % 4 {
            0 => delete_range(&engine, "10", "20"),
            1 => delete(&engine, "33"),
            2 => set(&engine, "33", b"again"),
            _ => set(&engine, &format!("new {round}"), b""),
        };
        snapshots.push((engine.snapshot().unwrap(), contents(&engine)));
        match round % 3 {
            0 => engine.flush().unwrap(),
            1 => engine.compact().unwrap(),
            _ => settle(&engine),
        }
        for (snapshot, before) in &snapshots {
            assert_eq!(&collect(snapshot.scan(&[DATA], &[DATA + 1])), before);
            let mut backward = collect_back(snapshot.scan(&[DATA], &[DATA + 1]));
            backward.reverse();
            assert_eq!(&backward, before);
            assert_eq!(&visited(snapshot.scan(&[DATA], &[DATA + 1]), false), before);
            let mut backward = visited(snapshot.scan(&[DATA], &[DATA + 1]), true);
            backward.reverse();
            assert_eq!(&backward, before);
            for (name, value) in before.iter().step_by(9) {
                assert_eq!(&snapshot.get(&key(name)).unwrap().unwrap().value, value);
            }
            let keys: Vec<_> = before.iter().map(|(name, _)| key(name)).collect();
            let many = snapshot.get_many(&keys).unwrap().into_iter().map(Option::unwrap);
            let values = before.iter().map(|(_, value)| value);
            assert!(many.map(|record| record.value).eq(values));
        }
        if round % 5 == 4 {
            snapshots.remove(usize::from(round) % snapshots.len());
        }
    }
    snapshots.clear();
    engine.compact().unwrap();
    assert_eq!(engine.stats().unwrap().obsolete_tables, 0);
}

fn collect_back(scan: icecore_engine::Scan) -> Vec<(String, Vec<u8>)> {
    let text = |key: &[u8]| String::from_utf8(key[1..].to_vec()).unwrap();
    scan.rev().map(|i| i.unwrap()).map(|i| (text(i.key()), i.value.to_vec())).collect()
}

#[test]
fn files_go_when_their_last_reader_is_gone() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let fill = |value: u8| {
        for i in 0..300 {
            set(&engine, &format!("{i:03}"), &[value; 300]);
        }
    };
    fill(1);
    engine.compact().unwrap();
    let alone = tables(&machine);
    let snapshot = engine.snapshot().unwrap();
    let mut scan = engine.scan(&[DATA], &[DATA + 1]).unwrap();
    scan.next().unwrap().unwrap();
    fill(2);
    engine.compact().unwrap();
    assert!(tables(&machine) > alone, "both versions are needed");
    assert!(engine.stats().unwrap().obsolete_tables > 0);
    drop(snapshot);
    settle(&engine);
    assert_eq!(scan.by_ref().map(|i| i.unwrap()).filter(|i| i.value == [1; 300][..]).count(), 299);
    drop(scan);
    engine.compact().unwrap();
    settle(&engine);
    let stats = engine.stats().unwrap();
    assert_eq!(stats.obsolete_tables, 0);
    let listed: u64 = stats.levels.iter().map(|level| level.tables).sum();
    assert_eq!(tables(&machine) as u64, listed, "no file is left over");
    assert_eq!(get(&engine, "000").unwrap(), [2; 300]);
}

#[test]
fn old_versions_go_when_nobody_can_ask_for_them() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    for round in 0..50_u8 {
        for i in 0..20 {
            set(&engine, &format!("{i:02}"), &[round; 200]);
        }
    }
    engine.compact().unwrap();
    let entries = |engine: &Engine| -> u64 {
        engine.stats().unwrap().levels.iter().map(|level| level.entries).sum()
    };
    assert!(entries(&engine) <= 60, "{} entries of 20 keys", entries(&engine));
    for i in 0..20 {
        delete(&engine, &format!("{i:02}"));
    }
    engine.compact().unwrap();
    assert_eq!(entries(&engine), 0);
    assert_eq!(tables(&machine), 0);
}

#[test]
fn the_bounds_of_a_scan_are_as_in_a_map() {
    let engine = Machine::new(1).open(small());
    for name in ["a", "a\0", "ab", "b", "b\u{7f}", "c"] {
        set(&engine, name, name.as_bytes());
    }
    for flushed in [false, true] {
        if flushed {
            engine.flush().unwrap();
        }
        let scan = |start: &str, end: &str| -> Vec<String> {
            let items = collect(engine.scan(&key(start), &key(end)).unwrap());
            let count = engine.snapshot().unwrap().count(&key(start), &key(end)).unwrap();
            assert_eq!(items.len() as u64, count);
            items.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(scan("a", "b"), ["a", "a\0", "ab"]);
        assert_eq!(scan("a\0", "b\0"), ["a\0", "ab", "b"]);
        assert_eq!(scan("aa", "aa"), [""; 0]);
        assert_eq!(scan("b", "a"), [""; 0]);
        assert_eq!(scan("", "z").len(), 6);
        assert_eq!(scan("c", "c\0"), ["c"]);
        assert_eq!(scan("d", "z"), [""; 0]);
    }
}

#[test]
fn keyspaces_do_not_mix() {
    let engine = Machine::new(1).open(small());
    for byte in [0, 1, 0x7f, 0xff] {
        for space in [DATA, QUEUE] {
            let key = [space, byte];
            commit(&engine, &[Mutation::Set { key: &key, value: &[space], expires_at: None }]);
        }
    }
    for flushed in [false, true] {
        if flushed {
            engine.compact().unwrap();
        }
        for space in [DATA, QUEUE] {
            let items: Vec<_> = engine.scan(&[space], &[space + 1]).unwrap().collect();
            assert_eq!(items.len(), 4);
            assert!(items.iter().all(|item| item.as_ref().unwrap().value == [space][..]));
        }
    }
    commit(&engine, &[Mutation::DeleteRange { start: &[QUEUE], end: &[QUEUE + 1] }]);
    assert_eq!(names(&engine).len(), 4);
}

#[test]
fn a_scan_sees_the_moment_at_which_it_was_made() {
    let engine = Machine::new(1).open(small());
    for i in 0..100 {
        set(&engine, &format!("{i:02}"), b"old");
    }
    let scan = engine.scan(&[DATA], &[DATA + 1]).unwrap();
    let at = scan.at();
    let mut seen = 0;
    for item in scan {
        let item = item.unwrap();
        assert!(item.stamp <= at && item.value == "old");
        let name = std::str::from_utf8(&item.key()[1..]).unwrap();
        set(&engine, name, b"new");
        set(&engine, &format!("{name} beside"), b"new");
        delete(&engine, &format!("{:02}", 99 - seen));
        seen += 1;
        if seen % 20 == 0 {
            engine.compact().unwrap();
        }
    }
    assert_eq!(seen, 100);
}
