//! One operation after the other fails, once. Whatever was acknowledged stays; whatever was refused
//! is nowhere; nothing is ever there by half.

use std::sync::Arc;

use icecore_disk::fault::{Operation, Reach};
use icecore_disk::sim::{Crash, Failure, OpKind, Rules};
use icecore_disk::{Fault, FaultDisk, Faults, Name};
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Batch, Durability, Engine, Environment, Error, ErrorKind, LogOptions, Mutation, Options,
    Workers,
};

use crate::support::{Machine, assert_clean, contents, key, set, small, try_set};

const COMMITS: u32 = 30;
const EIO: i32 = 5;

fn options() -> Options {
    let log = LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 4 << 10, level0_tables: 2, log, ..small() }
}

/// What a process was told about its commits.
#[derive(Debug, Default)]
struct Told {
    acknowledged: Vec<u32>,
    /// Acknowledged as durable, or before one that was.
    durable: Vec<u32>,
    unknown: Vec<u32>,
    poisoned: bool,
}

/// Each commit writes two keys, so that half of one would show.
fn commit(engine: &Engine, i: u32, durability: Durability) -> Result<(), Error> {
    let keys = [key(&format!("a{i:02}")), key(&format!("b{i:02}"))];
    let value = vec![i as u8; 300];
    let mutations =
        keys.each_ref().map(|key| Mutation::Set { key, value: &value, expires_at: None });
    engine.commit_with(Batch { checks: &[], mutations: &mutations }, durability).map(drop)
}

impl Told {
    fn hear(&mut self, i: u32, durability: Durability, outcome: Result<(), Error>) {
        let Err(error) = outcome else {
            assert!(!self.poisoned, "a poisoned store acknowledges nothing");
            self.acknowledged.push(i);
            if durability == Durability::Sync {
                self.durable.clone_from(&self.acknowledged);
            }
            return;
        };
        match error.kind() {
            ErrorKind::OutcomeUnknown => {
                assert!(!self.poisoned, "what is poisoned has nothing in flight");
                self.unknown.push(i);
                self.poisoned = true;
            }
            ErrorKind::Poisoned => self.poisoned = true,
            ErrorKind::Io => assert!(!self.poisoned, "{error:?}"),
            other => panic!("{other:?}: {error}"),
        }
    }

    /// Opens, commits, flushes, compacts, reads and closes.
    fn work(&mut self, env: Environment) {
        let engine = match Engine::open(env, options()) {
            Ok(engine) => engine,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Io, "{error:?}"),
        };
        for i in 0..COMMITS {
            let durability = if i % 3 == 0 { Durability::Sync } else { Durability::Buffered };
            self.hear(i, durability, commit(&engine, i, durability));
            let done = match i {
                9 | 15 => engine.flush(),
                20 => engine.compact(),
                _ => engine.step(u64::from(i)).map(drop),
            };
            self.hear_of_work(&done);
            // A read may be the one that fails, but not twice.
            let seen = pairs(&engine).or_else(|_| pairs(&engine)).unwrap();
            assert_eq!(seen, self.acknowledged, "what is visible is what was acknowledged");
        }
        self.poisoned |= engine.stats().unwrap().poisoned.is_some();
        if self.poisoned {
            assert_eq!(try_set(&engine, "c", b"").unwrap_err().kind(), ErrorKind::Poisoned);
        }
        self.hear_of_work(&engine.close());
    }

    fn hear_of_work(&mut self, done: &Result<(), Error>) {
        match done {
            Ok(()) => {}
            Err(error) => match error.kind() {
                ErrorKind::Poisoned => self.poisoned = true,
                ErrorKind::Io => {}
                other => panic!("{other:?}: {error}"),
            },
        }
    }

    /// Compares what the next life sees with what this one was told.
    fn compare(&self, seen: &[u32], certain: &[u32]) {
        assert!(certain.iter().all(|i| seen.contains(i)), "{seen:?} lacks some of {certain:?}");
        let known = |i: &u32| self.acknowledged.contains(i) || self.unknown.contains(i);
        assert!(seen.iter().all(known), "{seen:?} after {self:?}");
    }
}

/// The numbers of the commits whose two keys are there.
fn pairs(engine: &Engine) -> Result<Vec<u32>, Error> {
    let items: Vec<_> = engine.scan(&[DATA], &[DATA + 1])?.collect::<Result<_, _>>()?;
    let number = |item: &icecore_engine::Item| {
        let text = std::str::from_utf8(&item.key()[2..]).unwrap();
        let i: u32 = text.parse().unwrap();
        assert_eq!(item.value, vec![i as u8; 300]);
        (item.key()[1], i)
    };
    let side = |side| items.iter().map(number).filter(move |n| n.0 == side).map(|n| n.1);
    let (a, b): (Vec<_>, Vec<_>) = (side(b'a').collect(), side(b'b').collect());
    assert_eq!(a, b, "half of a commit");
    Ok(a)
}

/// Runs the work again and again, with a fault at its first operation, its second, and so on.
fn at_every_operation(reach: Reach, mut after: impl FnMut(u64, Machine, Told)) {
    for operation in 0.. {
        let machine = Machine::new(operation);
        machine.disk.set_rules(Rules::power_cut());
        let faults = Faults::new();
        faults.inject(Fault::code(EIO).after(operation).reaching(reach));
        let disk = FaultDisk::new(machine.disk.clone(), faults.clone());
        let mut told = Told::default();
        told.work(machine.env_on(Arc::new(disk)));
        let finished = faults.struck() == 0;
        after(operation, machine, told);
        if finished {
            assert!(operation > 200, "only {operation} operations");
            return;
        }
    }
}

#[test]
fn after_any_failure_the_next_opening_shows_all_that_was_acknowledged() {
    for reach in [Reach::None, Reach::Half, Reach::Full] {
        at_every_operation(reach, |_, machine, told| {
            let engine = machine.open(options());
            told.compare(&pairs(&engine).unwrap(), &told.acknowledged);
            assert_clean(&engine);
            set(&engine, "a99", &[99; 300]);
        });
    }
}

#[test]
fn after_any_failure_and_the_end_of_the_process_all_that_was_acknowledged_is_there() {
    at_every_operation(Reach::Half, |_, mut machine, told| {
        machine.kill();
        let engine = machine.open(options());
        told.compare(&pairs(&engine).unwrap(), &told.acknowledged);
        assert_clean(&engine);
    });
}

#[test]
fn after_any_failure_and_a_power_cut_all_that_was_durable_is_there() {
    at_every_operation(Reach::Half, |_, mut machine, told| {
        machine.disk.crash(Crash::Random);
        machine.disk = machine.disk.reopen();
        let engine = machine.open(options());
        let seen = pairs(&engine).unwrap();
        told.compare(&seen, &told.durable);
        drop(engine);
        assert_eq!(pairs(&machine.open(options())).unwrap(), seen, "and it stays so");
    });
}

#[test]
fn a_recovery_that_fails_anywhere_can_be_done_again() {
    let crashed = |seed| {
        let mut machine = Machine::new(seed);
        let engine = machine.open(options());
        for i in 0..COMMITS {
            commit(&engine, i, Durability::Sync).unwrap();
        }
        machine.kill();
        machine
    };
    let all: Vec<u32> = (0..COMMITS).collect();
    for operation in 0.. {
        let mut machine = crashed(operation);
        let faults = Faults::new();
        faults.inject(Fault::code(EIO).after(operation).reaching(Reach::Half));
        let disk = Arc::new(FaultDisk::new(machine.disk.clone(), faults.clone()));
        match Engine::open(machine.env_on(disk), options()) {
            Ok(engine) => assert_eq!(pairs(&engine).or_else(|_| pairs(&engine)).unwrap(), all),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Io, "{error:?}"),
        }
        if operation % 2 == 0 {
            machine.kill();
        }
        let engine = machine.open(options());
        assert_eq!(pairs(&engine).unwrap(), all, "after a failure of operation {operation}");
        assert_clean(&engine);
        if faults.struck() == 0 {
            assert!(operation > 20, "only {operation} operations");
            return;
        }
    }
}

#[test]
fn a_failed_log_write_poisons_and_leaves_reads_alone() {
    let machine = Machine::new(1);
    let faults = Faults::new();
    let disk = Arc::new(FaultDisk::new(machine.disk.clone(), faults.clone()));
    let engine = Engine::open(machine.env_on(disk), options()).unwrap();
    set(&engine, "before", b"v");
    let snapshot = engine.snapshot().unwrap();
    faults.inject(Fault::code(EIO).on(Operation::Complete));
    let unknown = try_set(&engine, "in flight", b"v").unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{unknown:?}");
    for _ in 0..3 {
        let later = try_set(&engine, "later", b"v").unwrap_err();
        assert_eq!(later.kind(), ErrorKind::Poisoned, "{later:?}");
    }
    assert_eq!(contents(&engine).len(), 1);
    assert!(snapshot.get(&key("before")).unwrap().is_some());
    assert!(engine.stats().unwrap().poisoned.is_some(), "the statistics tell why");
    assert_eq!(engine.flush().unwrap_err().kind(), ErrorKind::Poisoned);
    drop(snapshot);
    drop(engine);
    let engine = machine.open(options());
    let names = crate::support::names(&engine);
    assert!(names == ["before"] || names == ["before", "in flight"], "{names:?}");
    set(&engine, "after", b"v");
}

#[test]
fn of_many_commits_in_flight_each_is_told_that_the_log_has_failed() {
    for after in 0..12 {
        let machine = Machine::new(after);
        let faults = Faults::new();
        let disk = Arc::new(FaultDisk::new(machine.disk.clone(), faults.clone()));
        let options = Options { workers: Workers::Threads, ..options() };
        let engine = Engine::open(machine.env_on(disk), options.clone()).unwrap();
        let operation = [Operation::Complete, Operation::Sync][after as usize % 2];
        faults.inject(Fault::code(EIO).on(operation).named(is_log).after(after * 3).for_ever());
        let acknowledged: Vec<String> = std::thread::scope(|scope| {
            let write = |writer| {
                let engine = &engine;
                scope.spawn(move || {
                    let names = (0..2_000).map(|i| format!("{writer} {i:04}"));
                    let failed = |error: Error| {
                        // The first to need another segment is told of the failure itself.
                        let kinds = [ErrorKind::OutcomeUnknown, ErrorKind::Poisoned, ErrorKind::Io];
                        assert!(kinds.contains(&error.kind()), "{error:?}");
                    };
                    names
                        .take_while(|name| try_set(engine, name, b"v").map_err(failed).is_ok())
                        .collect::<Vec<_>>()
                })
            };
            let writers: Vec<_> = (0..4).map(write).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        let later = try_set(&engine, "later", b"v").unwrap_err();
        assert!([ErrorKind::Poisoned, ErrorKind::Io].contains(&later.kind()), "{later:?}");
        let visible = crate::support::names(&engine);
        assert!(acknowledged.iter().all(|name| visible.contains(name)));
        drop(engine);
        let there = crate::support::names(&machine.open(options));
        assert!(visible.iter().all(|name| there.contains(name)), "what was seen stays");
        assert!(there.len() <= acknowledged.len() + 4, "at most one in flight for each writer");
    }
}

fn is_log(name: Name) -> bool {
    matches!(name, Name::Wal(_))
}

#[test]
fn a_failed_read_is_told_and_forgotten() {
    for read_mode in [icecore_engine::ReadMode::Mmap, icecore_engine::ReadMode::Read] {
        let machine = Machine::new(1);
        let options = Options { read_mode, cache_bytes: 0, ..options() };
        let engine = machine.open(options);
        for i in 0..COMMITS {
            commit(&engine, i, Durability::Sync).unwrap();
        }
        engine.compact().unwrap();
        let mut failed = 0;
        for kind in [OpKind::Open, OpKind::Read, OpKind::Len] {
            machine.disk.fail_next(kind, Failure::Io, 1);
            for _ in 0..2 {
                match pairs(&engine) {
                    Ok(seen) => assert_eq!(seen.len() as u32, COMMITS),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
                        failed += 1;
                    }
                }
            }
            machine.disk.disarm();
            assert_eq!(pairs(&engine).unwrap().len() as u32, COMMITS);
        }
        assert!(failed > 0, "no fault struck");
        commit(&engine, COMMITS, Durability::Sync).unwrap();
    }
}

#[test]
fn attempts_on_a_disk_that_takes_no_files_leave_nothing_to_be_removed() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    set(&engine, "a", b"1");
    machine.disk.set_read_only(true);
    for _ in 0..10 {
        let error = engine.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    }
    assert_eq!(engine.stats().unwrap().garbage_failures, 0);
    machine.disk.set_read_only(false);
    engine.flush().unwrap();
    assert_clean(&engine);
}
