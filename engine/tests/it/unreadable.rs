//! Somebody cuts the tables of a running store on a real disk: reads say so, and the process goes
//! on.

use std::ops::ControlFlow;

use icecore_disk::{Disk, Name, OpenMode, RealDisk};
use icecore_engine::keyspace::DATA;
use icecore_engine::{Engine, Error, ErrorKind, Options, ReadMode, Workers};

use crate::support::{key, set, small, try_set};

/// A multiple of the size of a page everywhere.
const STEP: u64 = 16 << 10;

const COUNT: u32 = 300;

fn name(n: u32) -> String {
    format!("{n:04}")
}

/// Some values are copied when they are read, some are pinned.
fn value(n: u32) -> Vec<u8> {
    vec![n as u8 | 1; if n.is_multiple_of(7) { 5000 } else { 150 }]
}

/// A store of three generations: the first is below level 0, and the others wait to be merged.
fn store(path: &std::path::Path, read_mode: ReadMode) -> Engine {
    let options = Options {
        read_mode,
        memtable_bytes: 256 << 10,
        table_bytes: 64 << 10,
        level0_tables: 2,
        cache_bytes: 0,
        ..small()
    };
    let engine = Engine::open_path(path, options).unwrap();
    for round in 0..3 {
        for n in (0..COUNT).filter(|n| round == 0 || n.is_multiple_of(3)) {
            set(&engine, &name(n), &value(n));
        }
        engine.flush().unwrap();
        if round == 0 {
            engine.compact().unwrap();
        }
    }
    assert_eq!(engine.scan(&[DATA], &[DATA + 1]).unwrap().count(), COUNT as usize);
    engine
}

fn tables(disk: &RealDisk) -> Vec<(Name, Vec<u8>)> {
    let names = disk.list().unwrap().into_iter().filter_map(|listed| listed.name.ok());
    let tables = names.filter(|name| matches!(name, Name::Table(_)));
    let content = |name: Name| {
        let file = disk.open(name, OpenMode::Read).unwrap();
        let mut content = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_full_at(0, &mut content).unwrap();
        (name, content)
    };
    tables.map(content).collect()
}

/// What may be said of a table that was cut.
fn is_about_a_table(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::Corrupt)
        && error.to_string().contains(".table")
}

/// Reads everything in every way; each answer is right or an error. Gives the number of errors.
fn read_everything(engine: &Engine) -> usize {
    let mut errors = Vec::new();
    let snapshot = engine.snapshot().unwrap();
    for n in 0..COUNT {
        let reads = [engine.get(&key(&name(n))), snapshot.get(&key(&name(n)))];
        for read in reads {
            match read {
                Ok(record) => assert_eq!(record.unwrap().value, value(n)),
                Err(e) => errors.push(e),
            }
        }
    }
    let mut scan = engine.scan(&[DATA], &[DATA + 1]).unwrap();
    let mut last = 0;
    for n in 0.. {
        match scan.next() {
            Some(Ok(item)) => {
                assert_eq!((item.key(), &item.value[..]), (&key(&name(n))[..], &value(n)[..]));
            }
            Some(Err(e)) => errors.push(e),
            None => break,
        }
        last = n;
    }
    assert!(!errors.is_empty() || last == COUNT - 1);
    for (back, item) in engine.scan(&[DATA], &[DATA + 1]).unwrap().rev().enumerate() {
        match item {
            Ok(item) => assert_eq!(item.key(), key(&name(COUNT - 1 - back as u32))),
            Err(e) => errors.push(e),
        }
    }
    let mut shown = Vec::new();
    let visited = engine.scan(&[DATA], &[DATA + 1]).unwrap().visit::<()>(|seen| {
        shown.push((seen.key.to_vec(), seen.value.to_vec()));
        ControlFlow::Continue(())
    });
    if visited.is_ok() {
        assert_eq!(shown.len(), COUNT as usize);
    }
    if let Err(e) = visited {
        errors.push(e);
        // What was shown last may be what could not be read.
        shown.pop();
    }
    for (n, (key_shown, value_shown)) in (0..).zip(shown) {
        assert_eq!((key_shown, value_shown), (key(&name(n)), value(n)));
    }
    assert!(errors.iter().all(is_about_a_table), "{errors:?}");
    errors.len()
}

#[test]
fn cutting_the_tables_of_a_running_store_makes_errors_and_never_wrong_answers() {
    for read_mode in [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read] {
        let directory = tempfile::tempdir().unwrap();
        let engine = store(directory.path(), read_mode);
        let disk = RealDisk::open(directory.path()).unwrap();
        let tables = tables(&disk);
        assert!(tables.len() >= 3, "{}", tables.len());
        assert_eq!(read_everything(&engine), 0);
        for steps in [2, 0] {
            for (table, _) in &tables {
                let file = disk.open(*table, OpenMode::ReadWrite).unwrap();
                file.set_len(steps * STEP).unwrap();
            }
            assert!(read_everything(&engine) > 0, "{read_mode:?}");
            let report = engine.check().unwrap();
            assert!(!report.is_clean());
            assert!(report.problems.iter().all(is_about_a_table), "{:?}", report.problems);
            let error = engine.compact().unwrap_err();
            assert!(is_about_a_table(&error), "{read_mode:?}: {error:?}");
        }
        // What is in memory is as good as ever, and commits go on.
        set(&engine, "later", b"v");
        assert_eq!(engine.get(&key("later")).unwrap().unwrap().value, &b"v"[..]);
        // The bytes come back, as from a disk that had lost its cable.
        for (table, content) in &tables {
            let file = disk.open(*table, OpenMode::ReadWrite).unwrap();
            file.write_all_at(0, content).unwrap();
        }
        for n in 0..COUNT {
            assert_eq!(engine.get(&key(&name(n))).unwrap().unwrap().value, value(n));
        }
        assert!(engine.check().unwrap().is_clean(), "{read_mode:?}");
        engine.compact().unwrap();
        engine.close().unwrap();
    }
}

#[test]
fn what_a_visit_shows_of_a_page_that_is_lost_meanwhile_is_not_believed() {
    for back in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let engine = store(directory.path(), ReadMode::Mmap);
        let disk = RealDisk::open(directory.path()).unwrap();
        let tables = tables(&disk);
        let mut scan = engine.scan(&[DATA], &[DATA + 1]).unwrap();
        let mut right = Vec::new();
        let see = |seen: icecore_engine::Seen<'_>| {
            right = seen.value.to_vec();
            for (table, _) in &tables {
                disk.open(*table, OpenMode::ReadWrite).unwrap().set_len(0).unwrap();
            }
            ControlFlow::Break(seen.value.to_vec())
        };
        let shown = if back { scan.visit_back(see) } else { scan.visit(see) };
        assert!(shown.as_ref().is_err_and(is_about_a_table), "{shown:?} instead of {right:?}");
    }
}

/// Flush and compaction run in threads of the store, while readers and writers go on.
#[test]
fn a_store_with_threads_outlives_its_tables() {
    let directory = tempfile::tempdir().unwrap();
    drop(store(directory.path(), ReadMode::Mmap));
    let options = Options { workers: Workers::Threads, ..small() };
    let engine = Engine::open_path(directory.path(), options).unwrap();
    let disk = RealDisk::open(directory.path()).unwrap();
    for n in 0..COUNT {
        assert!(engine.get(&key(&name(n))).unwrap().is_some());
    }
    for (table, _) in tables(&disk) {
        disk.open(table, OpenMode::ReadWrite).unwrap().set_len(0).unwrap();
    }
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let engine = &engine;
            scope.spawn(move || {
                for n in (0..COUNT).cycle().skip(reader).step_by(3).take(2000) {
                    match engine.get(&key(&name(n))) {
                        Ok(record) => assert!(record.is_some(), "an entry is not lost in silence"),
                        Err(e) => assert!(is_about_a_table(&e), "{e}"),
                    }
                }
            });
        }
        for n in 0..200 {
            if let Err(e) = try_set(&engine, &name(n), &value(n)) {
                assert!(matches!(e.kind(), ErrorKind::Poisoned | ErrorKind::Io), "{e}");
            }
        }
    });
}
