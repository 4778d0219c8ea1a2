//! Random histories against a map, over many settings.
//!
//! The map holds what was set and not deleted, expired or not; a reading of the clock says which of
//! it a reader sees. A snapshot is a copy of the map with the reading at which it was taken.

mod histories;

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Access, Batch, Check, Current, Durability, Engine, Error, Mutation, Options, Outcome, Scan,
    Snapshot, Updated,
};
use icecore_model::{Versionstamp, key::append_versionstamp};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use self::histories::{Change, KEYS, Step, options, step};
use crate::support::{Machine, START_MS, assert_clean, ms};

#[derive(Clone, Debug, PartialEq)]
struct Value {
    stamp: Versionstamp,
    bytes: Vec<u8>,
    until_ms: u64,
}

type Map = BTreeMap<Vec<u8>, Value>;
type Seen = Vec<(Vec<u8>, Versionstamp, Vec<u8>)>;

fn key_of(number: u8) -> Vec<u8> {
    // Lengths differ, so that keys are prefixes of one another.
    let digits = format!("{:02}", number / 4);
    let tail = &"xyz"[..usize::from(number % 4)];
    [&[DATA], digits.as_bytes(), tail.as_bytes()].concat()
}

fn value_of(seed: Versionstamp, bytes: u16) -> Vec<u8> {
    (0..bytes).map(|i| (seed.get() as u8).wrapping_mul(31).wrapping_add((i / 7) as u8)).collect()
}

/// The read-modify-write functions of the histories.
fn update_of(kind: u8, current: Option<Current<'_>>) -> Result<Updated, Error> {
    let append = |current: Option<Current<'_>>| {
        let mut value = current.map_or(Vec::new(), |c| c.value.to_vec());
        value.push(kind);
        Updated::Set { value, expires_at: current.and_then(|c| c.expires_at) }
    };
    match (kind % 8, current) {
        (0, _) => Ok(Updated::Keep),
        (1, _) => Ok(Updated::Delete),
        (2, None) => Err(Error::TypeMismatch { what: "nothing is there".into() }),
        (_, current) => Ok(append(current)),
    }
}

struct Pair {
    machine: Machine,
    engine: Engine,
    map: Map,
    now_ms: u64,
    last: Versionstamp,
    snapshots: Vec<(Snapshot, Map, u64)>,
}

impl Pair {
    fn new(seed: u64, options: Options) -> Pair {
        let machine = Machine::new(seed);
        let engine = machine.open(options);
        let (map, snapshots) = (Map::new(), Vec::new());
        Pair { machine, engine, map, now_ms: START_MS, last: Versionstamp::ZERO, snapshots }
    }

    fn perform(&mut self, step: &Step) -> TestCaseResult {
        let bounds = |start: u8, end: u8| (key_of(start), key_of(end));
        match step {
            Step::Commit { checks, changes, durability } => {
                self.commit(checks, changes, *durability)?;
            }
            Step::Get { key } => self.get(&[*key], false)?,
            Step::GetMany { keys } => self.get(keys, true)?,
            Step::Scan { start, end, turns } => {
                let (start, end) = bounds(*start, *end);
                let scan = self.engine.scan(&start, &end).unwrap();
                prop_assert_eq!(walk(scan, *turns), expected(&self.map, self.now_ms, &start, &end));
            }
            Step::Keys { start, end, turns } => self.keys(&bounds(*start, *end), *turns)?,
            Step::TakeSnapshot => {
                let snapshot = self.engine.snapshot().unwrap();
                prop_assert_eq!(snapshot.at(), self.engine.visible());
                self.snapshots.push((snapshot, self.map.clone(), self.now_ms));
            }
            Step::ReadSnapshot { which, start, end, turns } => {
                let (start, end) = bounds(*start, *end);
                let Some(place) = place(*which, self.snapshots.len()) else { return Ok(()) };
                let (snapshot, map, now_ms) = &self.snapshots[place];
                let expected = expected(map, *now_ms, &start, &end);
                prop_assert_eq!(snapshot.count(&start, &end).unwrap(), expected.len() as u64);
                prop_assert_eq!(walk(snapshot.scan(&start, &end), *turns), expected);
                let found = snapshot.get(&start).unwrap().map(|r| (r.stamp, r.value.to_vec()));
                let known = see(map, *now_ms, &start).map(|v| (v.stamp, v.bytes.clone()));
                prop_assert_eq!(found, known);
            }
            Step::DropSnapshot { which } => {
                if let Some(place) = place(*which, self.snapshots.len()) {
                    self.snapshots.swap_remove(place);
                }
            }
            Step::Wait { ms } => {
                self.machine.clock.advance_ms(*ms);
                self.now_ms += ms;
            }
            Step::Flush => self.engine.flush().unwrap(),
            Step::Compact => self.engine.compact().unwrap(),
            Step::Work { choice } => drop(self.engine.step(*choice).unwrap()),
            Step::Close { options } => {
                self.snapshots.clear();
                self.engine.close().unwrap();
                self.engine = self.machine.open(options.clone());
            }
            Step::Drop { options } => {
                self.snapshots.clear();
                let nowhere = Machine::new(0).open(options.clone());
                drop(std::mem::replace(&mut self.engine, nowhere));
                self.engine = self.machine.open(options.clone());
            }
            Step::Kill { options } => {
                self.snapshots.clear();
                self.machine.kill();
                let before = self.machine.disk.snapshot_files();
                let reader = Options { access: Access::ReadOnly, ..options.clone() };
                let scan = self.machine.open(reader).scan(&[DATA], &[DATA + 1]).unwrap();
                let all = expected(&self.map, self.now_ms, &[DATA], &[DATA + 1]);
                prop_assert_eq!(walk(scan, 0), all);
                prop_assert!(self.machine.disk.snapshot_files() == before);
                self.engine = self.machine.open(options.clone());
            }
        }
        Ok(())
    }

    fn commit(
        &mut self,
        checks: &[(u8, bool)],
        changes: &[Change],
        durability: Durability,
    ) -> TestCaseResult {
        let keys: Vec<_> = checks.iter().map(|(key, _)| key_of(*key)).collect();
        let stamps = keys.iter().zip(checks).map(|(key, (_, right))| {
            let present = see(&self.map, self.now_ms, key).map(|value| value.stamp);
            if *right { present } else { Some(present.map_or(Versionstamp::new(1), |s| s.next())) }
        });
        let stamps: Vec<_> = stamps.collect();
        let wrong: Vec<_> = (0..checks.len()).filter(|i| !checks[*i].1).collect();
        let checks: Vec<_> =
            keys.iter().zip(&stamps).map(|(key, stamp)| Check { key, expected: *stamp }).collect();
        let outcome = commit(&self.engine, &checks, changes, self.last, self.now_ms, durability);
        let mut map = self.map.clone();
        match outcome {
            Ok(Outcome::CheckFailed { indexes }) => {
                prop_assert_eq!(indexes, wrong);
            }
            Ok(Outcome::Committed(stamp)) => {
                prop_assert!(wrong.is_empty());
                prop_assert!(stamp > self.last, "{stamp} after {}", self.last);
                prop_assert!(apply(&mut map, changes, self.last, stamp, self.now_ms));
                self.last = stamp;
                self.map = map;
                prop_assert_eq!(self.engine.visible(), stamp);
            }
            Err(Error::TypeMismatch { .. }) => {
                prop_assert!(wrong.is_empty());
                prop_assert!(!apply(&mut map, changes, self.last, self.last.next(), self.now_ms));
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(())
    }

    fn get(&self, keys: &[u8], together: bool) -> TestCaseResult {
        let keys: Vec<_> = keys.iter().map(|key| key_of(*key)).collect();
        let found = if together {
            self.engine.get_many(&keys).unwrap()
        } else {
            keys.iter().map(|key| self.engine.get(key).unwrap()).collect()
        };
        for (key, found) in keys.iter().zip(found) {
            let known = see(&self.map, self.now_ms, key);
            let found = found.map(|record| Value {
                stamp: record.stamp,
                bytes: record.value.to_vec(),
                until_ms: record.expires_at.map_or(0, |moment| moment.ms()),
            });
            prop_assert_eq!(found.as_ref(), known, "{}", key.escape_ascii());
            let in_place = |found: Option<(&[u8], Versionstamp)>| found.map(|(v, _)| v.to_vec());
            let seen = self.engine.get_with(key, in_place).unwrap();
            prop_assert_eq!(seen, known.map(|value| value.bytes.clone()));
        }
        Ok(())
    }

    fn keys(&self, (start, end): &(Vec<u8>, Vec<u8>), mut turns: u64) -> TestCaseResult {
        let mut keys = self.engine.scan(start, end).unwrap().keys();
        let (mut front, mut back) = (Vec::new(), Vec::new());
        loop {
            let backward = turns & 1 == 1;
            turns = turns.rotate_right(1);
            let Some(key) = (if backward { keys.next_back() } else { keys.next() }) else { break };
            if backward { &mut back } else { &mut front }.push(key.unwrap());
        }
        front.extend(back.into_iter().rev());
        let expected = expected(&self.map, self.now_ms, start, end);
        prop_assert_eq!(front, expected.into_iter().map(|(key, ..)| key).collect::<Vec<_>>());
        Ok(())
    }
}

fn place(which: u8, count: usize) -> Option<usize> {
    usize::from(which).checked_rem(count)
}

fn see<'m>(map: &'m Map, now_ms: u64, key: &[u8]) -> Option<&'m Value> {
    map.get(key).filter(|value| value.until_ms == 0 || value.until_ms > now_ms)
}

fn expected(map: &Map, now_ms: u64, start: &[u8], end: &[u8]) -> Seen {
    if start >= end {
        return Vec::new();
    }
    map.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)))
        .filter(|(_, value)| value.until_ms == 0 || value.until_ms > now_ms)
        .map(|(key, value)| (key.clone(), value.stamp, value.bytes.clone()))
        .collect()
}

/// Walks a scan from both ends, step by step and in runs, as the bits of `turns` say, and puts the
/// halves together.
fn walk(mut scan: Scan, mut turns: u64) -> Seen {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    loop {
        let backward = turns & 1 == 1;
        turns = turns.rotate_right(1);
        let part = if backward { &mut back } else { &mut front };
        let is_left = if turns & 0b11 == 0b11 {
            run(&mut scan, backward, 1 + (turns >> 2 & 0b111), part)
        } else {
            let item = if backward { scan.next_back() } else { scan.next() };
            let item = item.transpose().unwrap();
            let is_left = item.is_some();
            part.extend(item.map(|item| (item.key().to_vec(), item.stamp, item.value.to_vec())));
            is_left
        };
        if !is_left {
            break;
        }
    }
    assert!(scan.next().is_none() && scan.next_back().is_none(), "a scan that ended has ended");
    front.extend(back.into_iter().rev());
    front
}

/// Lets a scan show so many entries, and says whether it had as many.
fn run(scan: &mut Scan, backward: bool, mut left: u64, shown: &mut Seen) -> bool {
    let see = |seen: icecore_engine::Seen<'_>| {
        shown.push((seen.key.to_vec(), seen.stamp, seen.value.to_vec()));
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let broken = if backward { scan.visit_back(see) } else { scan.visit(see) };
    broken.unwrap().is_some()
}

/// Commits `changes`; values are derived from the stamp of the commit before.
fn commit(
    engine: &Engine,
    checks: &[Check<'_>],
    changes: &[Change],
    last: Versionstamp,
    now_ms: u64,
    durability: Durability,
) -> Result<Outcome, Error> {
    let value = |change: &Change| match change {
        Change::Set { bytes, .. } | Change::Stamped { bytes, .. } => value_of(last, *bytes),
        _ => Vec::new(),
    };
    let key = |change: &Change| match change {
        Change::Set { key, .. } | Change::Delete { key } | Change::Update { key, .. } => *key,
        Change::Stamped { prefix, .. } => *prefix,
        Change::DeleteRange { start, end } => *start.min(end),
    };
    let end = |change: &Change| match change {
        Change::DeleteRange { start, end } => key_of(1 + *start.max(end)),
        _ => Vec::new(),
    };
    type Update = Box<dyn Fn(Option<Current<'_>>) -> Result<Updated, Error>>;
    let update = |change: &Change| -> Update {
        let kind = if let Change::Update { kind, .. } = change { *kind } else { 0 };
        Box::new(move |current| update_of(kind, current))
    };
    let owned: Vec<_> =
        changes.iter().map(|c| (key_of(key(c)), end(c), value(c), update(c))).collect();
    let mutations =
        changes.iter().zip(&owned).map(|(change, (key, end, value, update))| match change {
            Change::Set { lives_ms, .. } => {
                let expires_at = lives_ms.and_then(|lives| ms(now_ms + lives));
                Mutation::Set { key, value, expires_at }
            }
            Change::Stamped { .. } => {
                Mutation::SetVersionstamped { prefix: key, suffix: b"", value, expires_at: None }
            }
            Change::Delete { .. } => Mutation::Delete { key },
            Change::DeleteRange { .. } => Mutation::DeleteRange { start: key, end },
            Change::Update { .. } => Mutation::Update { key, update: &**update },
        });
    let mutations: Vec<_> = mutations.collect();
    engine.commit_with(Batch { checks, mutations: &mutations }, durability)
}

/// Does to the map what the commit `stamp` did; false if one of the changes fails.
fn apply(
    map: &mut Map,
    changes: &[Change],
    last: Versionstamp,
    stamp: Versionstamp,
    now_ms: u64,
) -> bool {
    for change in changes {
        match change {
            Change::Set { key, bytes, lives_ms } => {
                let until_ms = lives_ms.map_or(0, |lives| now_ms + lives);
                map.insert(key_of(*key), Value { stamp, bytes: value_of(last, *bytes), until_ms });
            }
            Change::Stamped { prefix, bytes } => {
                let mut key = key_of(*prefix);
                append_versionstamp(&mut key, stamp);
                map.insert(key, Value { stamp, bytes: value_of(last, *bytes), until_ms: 0 });
            }
            Change::Delete { key } => drop(map.remove(&key_of(*key))),
            Change::DeleteRange { start, end } => {
                let (start, end) = (key_of(*start.min(end)), key_of(1 + *start.max(end)));
                map.retain(|key, _| *key < start || *key >= end);
            }
            Change::Update { key, kind } => {
                let key = key_of(*key);
                let current = see(map, now_ms, &key)
                    .map(|value| Current { value: &value.bytes, expires_at: ms(value.until_ms) });
                match update_of(*kind, current) {
                    Err(_) => return false,
                    Ok(Updated::Keep) => {}
                    Ok(Updated::Delete) => drop(map.remove(&key)),
                    Ok(Updated::Set { value, expires_at }) => {
                        let until_ms = expires_at.map_or(0, |moment| moment.ms());
                        map.insert(key, Value { stamp, bytes: value, until_ms });
                    }
                }
            }
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_as_a_map_would(
        options in options(),
        seed in any::<u64>(),
        history in prop::collection::vec(step(), 1..500),
    ) {
        let mut pair = Pair::new(seed, options.clone());
        for (number, step) in history.iter().enumerate() {
            pair.perform(step).map_err(|e| TestCaseError::fail(format!("step {number}: {e}")))?;
        }
        assert_clean(&pair.engine);
        pair.perform(&Step::Scan { start: 0, end: KEYS, turns: 0 })?;
        pair.perform(&Step::Compact)?;
        pair.perform(&Step::Scan { start: 0, end: KEYS, turns: u64::MAX })?;
        for which in 0..pair.snapshots.len() {
            let which = which as u8;
            pair.perform(&Step::ReadSnapshot { which, start: 0, end: KEYS, turns: 0 })?;
        }
        pair.perform(&Step::Drop { options })?;
        pair.perform(&Step::Scan { start: 0, end: KEYS, turns: 0b10 })?;
        assert_clean(&pair.engine);
    }
}
