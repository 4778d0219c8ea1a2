//! What has changed since a stamp, and when that cannot be told.

use std::collections::BTreeMap;
use std::path::Path;

use icecore_disk::sim::Crash;
use icecore_disk::{Disk, Name, Random};
use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_engine::{
    Access, Batch, ChangedItem, Changes, Durability, Engine, Error, Mutation, Options, Outcome,
    Snapshot, Step,
};
use icecore_model::Versionstamp;

use crate::support::{
    Machine, START_MS, commit, delete, delete_range, key, ms, set, set_until, small,
};

/// What somebody knows of user data: for each key its stamp, value and end.
type State = BTreeMap<Vec<u8>, (Versionstamp, Vec<u8>, Option<u64>)>;

fn since(engine: &Engine, since: Versionstamp) -> Option<Changes> {
    engine.snapshot().unwrap().changes(&[DATA], &[DATA + 1], since).unwrap()
}

/// The items as text: a key and its value, or a key alone.
fn told(changes: Option<Changes>) -> Option<Vec<String>> {
    let text = |item: ChangedItem| {
        let key = String::from_utf8(item.key[1..].to_vec()).unwrap();
        let value = |(value, _)| String::from_utf8(Vec::from(value)).unwrap();
        item.state.map_or(key.clone(), |state| format!("{key}={}", value(state)))
    };
    changes.map(|changes| changes.map(|item| text(item.unwrap())).collect())
}

#[test]
fn changes_are_the_newest_state_of_what_was_touched_wherever_it_lies() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let start = set(&engine, "a", b"old");
    set(&engine, "b", b"old");
    engine.compact().unwrap();
    let middle = set(&engine, "c", b"in a table");
    delete(&engine, "b");
    engine.flush().unwrap();
    set(&engine, "a", b"1");
    let last = set(&engine, "a", b"2");
    let all = ["a=2", "b", "c=in a table"].map(str::to_owned);
    assert_eq!(told(since(&engine, start)), Some(all.to_vec()));
    assert_eq!(told(since(&engine, middle)), Some(vec!["a=2".into(), "b".into()]));
    assert_eq!(told(since(&engine, last)), Some(vec![]));
    let snapshot = engine.snapshot().unwrap();
    let part = snapshot.changes(&key("a\0"), &key("c"), start).unwrap();
    assert_eq!(told(part), Some(vec!["b".into()]));
    assert_eq!(told(snapshot.changes(&key("c"), &key("a"), start).unwrap()), Some(vec![]));
}

#[test]
fn a_deleted_range_is_told_by_itself_and_what_is_set_with_it_or_later_by_items() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let before = ["a", "b", "c", "d"].map(|name| set(&engine, name, b"old"))[3];
    engine.flush().unwrap();
    set(&engine, "c", b"lost in the range");
    let (start, end, own) = (key("b"), key("y"), key("d"));
    let stamp = commit(
        &engine,
        &[
            Mutation::DeleteRange { start: &start, end: &end },
            Mutation::Set { key: &own, value: b"own", expires_at: None },
        ],
    );
    set(&engine, "e", b"later");
    for round in 0..2 {
        let snapshot = engine.snapshot().unwrap();
        let changes = snapshot.changes(&[DATA], &key("x"), before).unwrap().unwrap();
        assert_eq!(changes.at(), snapshot.at());
        let [range] = changes.ranges() else { panic!("one range was deleted") };
        assert_eq!((&range.start, &range.end, range.stamp), (&start, &key("x"), stamp), "{round}");
        assert_eq!(told(Some(changes)), Some(vec!["d=own".into(), "e=later".into()]));
        engine.flush().unwrap();
    }
    assert_eq!(since(&engine, stamp).unwrap().ranges(), []);
}

#[test]
fn what_has_expired_is_told_as_absent_and_its_sweep_as_a_change() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let before = set(&engine, "other", b"v");
    let stamp = set_until(&engine, "a", b"v", START_MS + 10);
    assert_eq!(told(since(&engine, before)), Some(vec!["a=v".into()]));
    machine.clock.set_wall_ms(START_MS + 10);
    assert_eq!(told(since(&engine, before)), Some(vec!["a".into()]));
    assert_eq!(told(since(&engine, stamp)), Some(vec![]), "the sweeper has not come by");
    while engine.step(3).unwrap() != Step::Idle {}
    assert_eq!(told(since(&engine, stamp)), Some(vec!["a".into()]));
}

#[test]
fn a_stamp_from_the_future_is_refused_with_both_stamps() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let at = set(&engine, "a", b"v");
    let snapshot = engine.snapshot().unwrap();
    let error = snapshot.changes(&[DATA], &[DATA + 1], at.next()).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { .. }));
    let text = error.to_string();
    assert!(text.contains(&at.to_string()) && text.contains(&at.next().to_string()), "{text}");
    engine.close().unwrap();
    assert!(matches!(snapshot.changes(&[DATA], &[DATA + 1], at), Err(Error::Closed)));
}

/// A store that has dropped its deletions for good, and the stamps before and of the last one.
fn forgetful(machine: &Machine) -> (Engine, Versionstamp, Versionstamp) {
    let engine = machine.open(small());
    set(&engine, "a", b"v");
    set(&engine, "m", b"v");
    let before = set(&engine, "z", b"v");
    let deleted = delete(&engine, "m");
    engine.compact().unwrap();
    (engine, before, deleted)
}

#[test]
fn since_before_a_dropped_deletion_nothing_is_told_but_since_the_beginning() {
    let machine = Machine::new(1);
    let (mut engine, before, deleted) = forgetful(&machine);
    for _ in 0..2 {
        assert_eq!(told(since(&engine, before)), None);
        assert_eq!(told(since(&engine, deleted)), Some(vec![]));
        let all = vec!["a=v".to_owned(), "z=v".to_owned()];
        assert_eq!(told(since(&engine, Versionstamp::ZERO)), Some(all));
        engine.close().unwrap();
        engine = machine.open(small());
    }
}

#[test]
fn a_dropped_deletion_of_a_range_is_missed_too() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let before = set(&engine, "z", b"v");
    let deleted = delete_range(&engine, "a", "m");
    engine.flush().unwrap();
    assert_eq!(told(since(&engine, before)), None);
    assert_eq!(told(since(&engine, deleted)), Some(vec![]));
}

#[test]
fn a_snapshot_still_knows_what_was_dropped_after_it() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let before = set(&engine, "a", b"v");
    delete(&engine, "a");
    let snapshot = engine.snapshot().unwrap();
    set(&engine, "z", b"v");
    engine.compact().unwrap();
    let changes = snapshot.changes(&[DATA], &[DATA + 1], before).unwrap();
    assert_eq!(told(changes), Some(vec!["a".into()]));
    drop(snapshot);
    set(&engine, "a", b"w");
    delete(&engine, "a");
    engine.compact().unwrap();
    assert_eq!(told(since(&engine, before)), None);
}

#[test]
fn what_comes_and_goes_in_a_queue_does_not_make_data_forgotten() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let before = set(&engine, "a", b"v");
    let queued = [QUEUE, 1];
    commit(&engine, &[Mutation::Set { key: &queued, value: b"v", expires_at: None }]);
    commit(&engine, &[Mutation::Delete { key: &queued }]);
    engine.compact().unwrap();
    assert_eq!(told(since(&engine, before)), Some(vec![]));
    let snapshot = engine.snapshot().unwrap();
    assert!(snapshot.changes(&[QUEUE], &[QUEUE + 1], before).unwrap().is_none());
}

#[test]
fn a_copy_knows_what_the_original_has_forgotten() {
    let machine = Machine::new(1);
    let (engine, before, deleted) = forgetful(&machine);
    set(&engine, "m", b"again");
    engine.checkpoint("copy").unwrap();
    let disk = machine.disk.directory(Path::new("copy")).unwrap();
    let copy = Engine::open(machine.env_on(disk), small()).unwrap();
    assert_eq!(told(since(&copy, before)), None);
    assert_eq!(told(since(&copy, deleted)), Some(vec!["m=again".into()]));
}

#[test]
fn tables_without_anything_newer_are_not_even_opened() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let before = set(&engine, "m", b"v");
    engine.close().unwrap();
    let engine = machine.open(small());
    let old = machine.names(|name| matches!(name, Name::Table(_)));
    set(&engine, "a", b"v");
    set(&engine, "z", b"v");
    engine.flush().unwrap();
    assert_eq!(old.len(), 1);
    old.into_iter().for_each(|name| machine.disk.remove(name).unwrap());
    assert_eq!(told(since(&engine, before)), Some(vec!["a=v".into(), "z=v".into()]));
    let everything = engine.snapshot().unwrap().changes(&[DATA], &[DATA + 1], Versionstamp::ZERO);
    assert!(matches!(everything, Err(Error::Corrupt { .. })));
}

#[test]
fn stamps_that_may_have_been_lost_are_not_told_about_and_the_first_new_one_is() {
    let mut machine = Machine::new(1);
    let engine = machine.open(small());
    let kept = set(&engine, "a", b"v");
    let mutations = [Mutation::Set { key: &key("b"), value: b"v", expires_at: None }];
    let batch = Batch { checks: &[], mutations: &mutations };
    let lost = engine.commit_with(batch, Durability::Buffered).unwrap();
    let Outcome::Committed(lost) = lost else { panic!("there was no check") };
    machine.disk.crash(Crash::KeepNone);
    drop(engine);
    machine.disk = machine.disk.reopen();
    let engine = machine.open(small());
    assert_eq!(engine.get(&key("b")).unwrap(), None);
    let begun = engine.visible();
    for _ in 0..2 {
        assert_eq!(told(since(&engine, kept)), Some(vec![]));
        assert_eq!(told(since(&engine, lost)), None);
        assert_eq!(told(since(&engine, begun)), Some(vec![]));
    }
    // A life without a commit does not lose what it has shown.
    machine.kill();
    drop(engine);
    let engine = machine.open(small());
    set(&engine, "c", b"v");
    assert_eq!(told(since(&engine, lost)), None);
    assert_eq!(told(since(&engine, begun)), Some(vec!["c=v".into()]));
}

/// What somebody knew, and when.
#[derive(Clone)]
struct Replica {
    at: Versionstamp,
    state: State,
}

impl Replica {
    fn of(snapshot: &Snapshot) -> Replica {
        let items = snapshot.scan(&[DATA], &[DATA + 1]).map(|item| {
            let item = item.unwrap();
            let known =
                (item.stamp, item.value.to_vec(), item.expires_at.map(|moment| moment.ms()));
            (item.into_key(), known)
        });
        Replica { at: snapshot.at(), state: items.collect() }
    }

    /// Carries out what has changed.
    fn follow(&mut self, changes: Changes) {
        self.at = changes.at();
        for range in changes.ranges() {
            self.state.retain(|key, (stamp, ..)| {
                *stamp >= range.stamp || key < &range.start || &range.end <= key
            });
        }
        for item in changes.map(|item| item.unwrap()) {
            let end = |moment: Option<icecore_model::Timestamp>| moment.map(|moment| moment.ms());
            match item.state {
                Some((value, moment)) => {
                    self.state.insert(item.key, (item.stamp, value.to_vec(), end(moment)))
                }
                None => self.state.remove(&item.key),
            };
        }
    }

    fn hide_expired(&mut self, now_ms: u64) {
        self.state.retain(|_, (.., end)| end.is_none_or(|end| end > now_ms));
    }
}

/// A random history, and what those who resume in it were told.
struct History {
    machine: Machine,
    engine: Engine,
    now_ms: u64,
    known: Vec<Replica>,
    told: u64,
    refused: u64,
}

impl History {
    fn below(&self, end: u64) -> u64 {
        self.machine.random.next_u64().unwrap() % end
    }

    fn name(&self) -> String {
        format!("{:02}", self.below(20))
    }

    fn mutate(&self) {
        let (a, b) = (self.name(), self.name());
        let value = vec![7; usize::try_from(self.below(400)).unwrap()];
        let (a, b) = (key(a.as_str().min(&b)), key(&format!("{}x", a.as_str().max(&b))));
        let soon = ms(self.now_ms + self.below(200));
        let mutation = match self.below(12) {
            0..6 => Mutation::Set { key: &a, value: &value, expires_at: None },
            6..8 => Mutation::Set { key: &a, value: &value, expires_at: soon },
            8..11 => Mutation::Delete { key: &a },
            _ => Mutation::DeleteRange { start: &a, end: &b },
        };
        let durability = if self.below(3) == 0 { Durability::Sync } else { Durability::Buffered };
        let batch = Batch { checks: &[], mutations: &[mutation] };
        drop(self.engine.commit_with(batch, durability).unwrap());
    }

    fn reopen(&mut self) {
        match self.below(3) {
            0 => self.engine.close().unwrap(),
            1 => self.machine.disk.kill(),
            _ => self.machine.disk.crash(Crash::Random),
        }
        if !self.machine.disk.is_running() {
            self.machine.disk = self.machine.disk.reopen();
        }
        self.engine = self.machine.open(tiny());
    }

    fn step(&mut self) {
        match self.below(40) {
            0..24 => self.mutate(),
            24 => {
                self.now_ms += self.below(300);
                self.machine.clock.set_wall_ms(self.now_ms);
            }
            25..30 => drop(self.engine.step(self.machine.random.next_u64().unwrap()).unwrap()),
            30 => self.engine.flush().unwrap(),
            31 if self.below(4) == 0 => self.engine.compact().unwrap(),
            32 if self.below(2) == 0 => self.reopen(),
            _ => self.resume(),
        }
    }

    /// Some who knew the store earlier come back.
    fn resume(&mut self) {
        let snapshot = self.engine.snapshot().unwrap();
        let mut present = Replica::of(&snapshot);
        for _ in 0..self.known.len().min(4) {
            let place = usize::try_from(self.below(self.known.len() as u64)).unwrap();
            let mut replica = self.known[place].clone();
            let Some(changes) = snapshot.changes(&[DATA], &[DATA + 1], replica.at).unwrap() else {
                assert_ne!(replica.at, present.at, "nothing is missing since this moment");
                self.refused += 1;
                self.known.swap_remove(place);
                continue;
            };
            replica.follow(changes);
            replica.hide_expired(self.now_ms);
            present.hide_expired(self.now_ms);
            assert_eq!(replica.state, present.state, "since {}", self.known[place].at);
            assert_eq!(replica.at, present.at);
            self.told += 1;
        }
        self.known.push(present);
    }
}

fn tiny() -> Options {
    Options {
        memtable_bytes: 4 << 10,
        table_bytes: 2 << 10,
        level_base_bytes: 4 << 10,
        level0_tables: 2,
        log: icecore_engine::LogOptions { segment_bytes: 16 << 10, ..Default::default() },
        ..small()
    }
}

#[test]
fn whoever_resumes_knows_the_present_state_or_is_told_to_start_over() {
    let (mut told, mut refused) = (0, 0);
    for seed in 0..40 {
        let machine = Machine::new(seed);
        let engine = machine.open(tiny());
        let (now_ms, known) = (START_MS, Vec::new());
        let mut history = History { machine, engine, now_ms, known, told: 0, refused: 0 };
        (0..250).for_each(|_| history.step());
        (told, refused) = (told + history.told, refused + history.refused);
    }
    assert!(told > 2 * refused && refused > 100, "{told} were told, {refused} were not");
}

#[test]
fn a_copy_made_of_what_a_reader_shows_after_a_crash_goes_on_above_what_was_lost() {
    let mut machine = Machine::new(1);
    let engine = machine.open(small());
    set(&engine, "a", b"v");
    machine.disk.crash(Crash::KeepNone);
    drop(engine);
    machine.disk = machine.disk.reopen();
    let reader = machine.open(Options { access: Access::ReadOnly, ..small() });
    reader.checkpoint("copy").unwrap();
    let disk = machine.disk.directory(Path::new("copy")).unwrap();
    let copy = Engine::open(machine.env_on(disk), small()).unwrap();
    set(&copy, "b", b"v");
    let snapshot = copy.snapshot().unwrap();
    assert!(snapshot.changes(&[DATA], &[DATA + 1], snapshot.at()).unwrap().is_some());
}
