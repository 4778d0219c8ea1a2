//! Opening, committing, reading and closing a store.

use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Check, Engine, ErrorKind, Mutation, Options, Outcome, Workers};
use icecore_model::Versionstamp;

fn key(text: &str) -> Vec<u8> {
    let mut key = vec![DATA];
    key.extend_from_slice(text.as_bytes());
    key
}

fn small() -> Options {
    Options {
        memtable_bytes: 16 << 10,
        table_bytes: 16 << 10,
        level_base_bytes: 64 << 10,
        ..Options::default()
    }
}

fn set(engine: &Engine, name: &str, value: &[u8]) -> Versionstamp {
    let key = key(name);
    let mutations = [Mutation::Set { key: &key, value, expires_at: None }];
    match engine.commit(Batch { checks: &[], mutations: &mutations }).unwrap() {
        Outcome::Committed(stamp) => stamp,
        Outcome::CheckFailed { .. } => unreachable!("there is no check"),
    }
}

fn get(engine: &Engine, name: &str) -> Option<(Versionstamp, Vec<u8>)> {
    engine.get(&key(name)).unwrap().map(|record| (record.stamp, record.value.to_vec()))
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let mut stamps = Vec::new();
    for life in 0..3 {
        let engine = Engine::open_path(directory.path(), small()).unwrap();
        for (i, stamp) in stamps.iter().enumerate() {
            assert_eq!(
                get(&engine, &format!("k{i}")),
                Some((*stamp, format!("v{i}").into_bytes()))
            );
        }
        for i in stamps.len()..stamps.len() + 200 {
            stamps.push(set(&engine, &format!("k{i}"), format!("v{i}").as_bytes()));
        }
        assert!(engine.check().unwrap().is_clean());
        if life == 1 {
            engine.close().unwrap();
        }
    }
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn a_check_passes_only_against_the_stamp_that_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_path(directory.path(), small()).unwrap();
    let stamp = set(&engine, "a", b"1");
    let (a, b) = (key("a"), key("b"));
    let commit = |checks: &[Check<'_>]| {
        let mutations = [Mutation::Set { key: &b, value: b"x", expires_at: None }];
        engine.commit(Batch { checks, mutations: &mutations }).unwrap()
    };
    let wrong = Check { key: &a, expected: None };
    let right = Check { key: &a, expected: Some(stamp) };
    let absent = Check { key: &b, expected: None };
    assert_eq!(commit(&[right, wrong]), Outcome::CheckFailed { indexes: vec![1] });
    assert_eq!(get(&engine, "b"), None);
    assert!(matches!(commit(&[right, absent]), Outcome::Committed(_)));
    assert_eq!(commit(&[absent, right, absent]), Outcome::CheckFailed { indexes: vec![0, 2] });
}

#[test]
fn a_second_owner_is_told_who_has_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_path(directory.path(), small()).unwrap();
    let error = Engine::open_path(directory.path(), small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("this process"), "{error}");
    engine.close().unwrap();
    Engine::open_path(directory.path(), small()).unwrap();
}

#[test]
fn a_store_without_threads_flushes_and_compacts_when_stepped() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { workers: Workers::Manual, ..small() };
    let engine = Engine::open_path(directory.path(), options).unwrap();
    for round in 0..20 {
        for i in 0..100 {
            set(&engine, &format!("k{i}"), &[round; 100]);
        }
        engine.step(0).unwrap();
    }
    engine.compact().unwrap();
    for i in 0..100 {
        assert_eq!(get(&engine, &format!("k{i}")).unwrap().1, [19; 100]);
    }
    let stats = engine.stats().unwrap();
    assert!(stats.flushes > 3 && stats.compactions > 0, "{stats:?}");
    assert!(engine.check().unwrap().is_clean());
}

#[test]
fn deletions_give_space_back_without_further_writes() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_path(directory.path(), small()).unwrap();
    for i in 0..200 {
        set(&engine, &format!("k{i:04}"), &[7; 500]);
    }
    engine.compact().unwrap();
    let (start, end) = (key("k"), key("l"));
    let mutations = [Mutation::DeleteRange { start: &start, end: &end }];
    let outcome = engine.commit(Batch { checks: &[], mutations: &mutations }).unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
    let bytes = || engine.stats().unwrap().levels.iter().map(|level| level.bytes).sum::<u64>();
    while bytes() > 10_000 {
        std::thread::yield_now();
    }
    assert_eq!(engine.scan(&start, &end).unwrap().count(), 0);
}
