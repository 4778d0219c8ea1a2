//! A store of lists: flushes fill level 0, several jobs run at a time and end in any order, and
//! readers compare what they see.

use std::collections::BTreeMap;

use icecore_model::{Change, Entry, RangeSet, RangeTombstone};
use proptest::prelude::*;

use super::super::*;
use crate::compact::garbage::{Garbage, Verdict, surviving_ranges};

const KEYS: u8 = 24;
/// Entries of one output.
const TABLE_ENTRIES: usize = 3;
const SHAPE: Shape = Shape { level0_tables: 2, level_base_bytes: 4, level_multiplier: 2 };
/// More jobs than a run of this size may need.
const JOBS_MAX: usize = 2000;

/// Key, stamp, and its expiry (0: never) unless it is a deletion.
type Version = (u8, u64, Option<u64>);

#[derive(Clone, Debug)]
struct Table {
    meta: TableMeta,
    versions: Vec<Version>,
    ranges: Vec<RangeTombstone>,
}

/// One commit per list element: a point or a range.
pub(super) type Flush = Vec<Result<(u8, Option<u64>), (u8, u8)>>;

pub(super) fn flush() -> impl Strategy<Value = Flush> {
    let change = prop_oneof![3 => Just(Some(0)), 3 => Just(None), 2 => (1u64..20).prop_map(Some)];
    let commit = prop_oneof![
        12 => (0..KEYS, change).prop_map(Ok),
        1 => (0..KEYS, 1..=KEYS).prop_map(Err),
    ];
    proptest::collection::vec(commit, 1..10)
}

fn change(expiry: Option<u64>) -> Change<'static> {
    let put = |ms| Change::Put { value: b"", expires_at: Timestamp::from_ms(ms) };
    expiry.map_or(Change::Delete, put)
}

fn meta(number: u64, versions: &[Version], ranges: &[RangeTombstone]) -> TableMeta {
    let firsts = versions.iter().map(|v| vec![v.0]).chain(ranges.iter().map(|r| r.start.clone()));
    let last = versions.iter().map(|v| vec![v.0]).max();
    let after = ranges.iter().map(|r| r.end.clone()).max();
    let expiries = || versions.iter().filter_map(|v| Timestamp::from_ms(v.2?));
    let count = |wanted: fn(&Version) -> bool| versions.iter().filter(|v| wanted(v)).count() as u64;
    TableMeta {
        number,
        bytes: versions.len() as u64 + ranges.len() as u64,
        start: firsts.min().unwrap(),
        end: match (last, after) {
            (Some(last), Some(after)) if last < after => Bound::Excluded(after),
            (None, Some(after)) => Bound::Excluded(after),
            (last, _) => Bound::Included(last.unwrap()),
        },
        entries: versions.len() as u64,
        tombstones: count(|v| v.2.is_none()),
        range_tombstones: ranges.len() as u64,
        never_expires: count(|v| v.2 == Some(0)),
        expiry: expiries().min().zip(expiries().max()),
        max_stamp: Versionstamp::new(versions.iter().map(|v| v.1).max().unwrap_or(0))
            .max(ranges.iter().map(|r| r.stamp).max().unwrap_or(Versionstamp::ZERO)),
    }
}

struct Store {
    levels: Vec<Vec<Table>>,
    next_number: u64,
    next_stamp: u64,
}

impl Store {
    fn table(&mut self, mut versions: Vec<Version>, ranges: Vec<RangeTombstone>) -> Table {
        versions.sort_by_key(|v| (v.0, Reverse(v.1)));
        self.next_number += 1;
        Table { meta: meta(self.next_number, &versions, &ranges), versions, ranges }
    }

    fn flush(&mut self, flush: &Flush) {
        let (mut versions, mut ranges) = (Vec::new(), Vec::new());
        for commit in flush {
            self.next_stamp += 1;
            match *commit {
                Ok((key, change)) => versions.push((key, self.next_stamp, change)),
                Err((start, end)) => ranges.push(RangeTombstone {
                    start: vec![start],
                    end: vec![end.max(start + 1)],
                    stamp: Versionstamp::new(self.next_stamp),
                }),
            }
        }
        let table = self.table(versions, ranges);
        self.levels[0].push(table);
    }

    fn metas(&self) -> Vec<Vec<TableMeta>> {
        self.levels.iter().map(|tables| tables.iter().map(|t| t.meta.clone()).collect()).collect()
    }

    /// Jobs that may run at the same time, and what lay below each output level when it began.
    fn jobs(&self, horizon: &Horizon) -> Vec<(Job, Vec<TableMeta>)> {
        let (metas, mut busy) = (self.metas(), BTreeSet::new());
        let mut jobs = Vec::new();
        while let Some(job) = pick(&metas, &SHAPE, horizon, &busy) {
            assert!(!job.inputs.is_empty() && job.inputs.iter().all(|i| busy.insert(i.1)));
            let below = metas[job.output_level + 1..].concat();
            jobs.push((job, below));
        }
        jobs
    }

    fn perform(&mut self, job: &Job, below: &[TableMeta], horizon: &Horizon) {
        let mut inputs = Vec::new();
        for (level, number) in &job.inputs {
            let place = self.levels[*level].iter().position(|t| t.meta.number == *number).unwrap();
            inputs.push(self.levels[*level].remove(place));
        }
        let outputs = match job.kind {
            Kind::Move => inputs,
            Kind::Merge => self.merge(&inputs, job, below, horizon),
        };
        let run = &mut self.levels[job.output_level];
        run.extend(outputs);
        run.sort_by(|a, b| a.meta.start.cmp(&b.meta.start));
        assert!(run.windows(2).all(|w| !w[0].meta.overlaps(&w[1].meta)), "{run:?} after {job:?}");
    }

    fn merge(
        &mut self,
        inputs: &[Table],
        job: &Job,
        below: &[TableMeta],
        horizon: &Horizon,
    ) -> Vec<Table> {
        let mut versions: Vec<Version> = inputs.iter().flat_map(|t| t.versions.clone()).collect();
        versions.sort_by_key(|v| (v.0, Reverse(v.1)));
        let set = RangeSet::new(inputs.iter().flat_map(|t| t.ranges.clone()));
        let nothing_below = |start: &[u8], end: Bound<Vec<u8>>| {
            let probe = TableMeta { start: start.to_vec(), end, ..inputs[0].meta.clone() };
            let nothing = !below.iter().any(|table| table.overlaps(&probe));
            assert!(nothing || !job.bottommost);
            nothing
        };
        let bottommost = |key: &[u8]| nothing_below(key, Bound::Included(key.to_vec()));
        let mut rule = Garbage::new(horizon.floor, horizon.expired, &set, bottommost);
        let kept: Vec<Version> = versions
            .into_iter()
            .filter_map(|(key, at, expiry)| {
                let stamp = Versionstamp::new(at);
                let entry = Entry { key: &[key], stamp, change: change(expiry) };
                match rule.judge(&entry).expect("they come in order") {
                    Verdict::Keep => Some((key, at, expiry)),
                    Verdict::KeepAsTombstone => Some((key, at, None)),
                    Verdict::Drop => None,
                }
            })
            .collect();
        let (ranges, _) = surviving_ranges(&set, horizon.floor, |start, end| {
            nothing_below(start, Bound::Excluded(end.to_vec()))
        });
        self.cut(kept, &RangeSet::new(ranges))
    }

    /// Cuts outputs between keys; ranges are cut at the same places.
    fn cut(&mut self, versions: Vec<Version>, ranges: &RangeSet) -> Vec<Table> {
        let mut parts: Vec<Vec<Version>> = vec![Vec::new()];
        for version in versions {
            let part = parts.last().unwrap();
            let full = part.len() >= TABLE_ENTRIES;
            if full && part.last().is_some_and(|last| last.0 != version.0) {
                parts.push(Vec::new());
            }
            parts.last_mut().unwrap().push(version);
        }
        let firsts: Vec<[u8; 1]> = parts.iter().skip(1).map(|part| [part[0].0]).collect();
        let mut tables = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            let start = index.checked_sub(1).map(|i| &firsts[i][..]);
            let clipped = ranges.clipped(start, firsts.get(index).map(|f| &f[..]));
            if !part.is_empty() || !clipped.is_empty() {
                tables.push(self.table(part, clipped));
            }
        }
        tables
    }

    /// For each key the stamp of the value that a reader sees.
    fn seen(&self, at: u64, now_ms: u64) -> BTreeMap<u8, u64> {
        let tables = || self.levels.iter().flatten();
        let ranges = RangeSet::new(tables().flat_map(|t| t.ranges.clone()));
        let mut newest: BTreeMap<u8, Version> = BTreeMap::new();
        for version in tables().flat_map(|t| &t.versions).filter(|v| v.1 <= at) {
            let held = newest.entry(version.0).or_insert(*version);
            *held = std::cmp::max_by_key(*held, *version, |v| v.1);
        }
        let covering = |key| ranges.covering(&[key], Versionstamp::new(at));
        let visible = |(key, stamp, expiry): Version| {
            let alive = expiry.is_some_and(|ms| ms == 0 || ms > now_ms);
            (alive && covering(key).is_none_or(|range| range.get() <= stamp))
                .then_some((key, stamp))
        };
        newest.into_values().filter_map(visible).collect()
    }
}

/// Flushes one list after the other, compacts to rest each time, and compares every reader. The
/// floor stays `behind` the last commit until the end.
pub(super) fn run(
    flushes: &[Flush],
    behind: u64,
    expired_ms: Option<u64>,
) -> Result<(), TestCaseError> {
    let mut store = Store { levels: vec![Vec::new(); 4], next_number: 0, next_stamp: 0 };
    let moment = expired_ms.and_then(Timestamp::from_ms);
    let mut performed = 0;
    for (index, flush) in flushes.iter().enumerate() {
        store.flush(flush);
        let last = index + 1 == flushes.len();
        let floor = store.next_stamp.saturating_sub(if last { 0 } else { behind });
        let stamp = Versionstamp::new(floor);
        let expired = moment.map(|moment| Expired { moment, stamp });
        let horizon = Horizon { floor: stamp, expired };
        let times = [expired_ms.unwrap_or(0), 20];
        let readers: Vec<(u64, u64)> =
            (floor..=store.next_stamp).flat_map(|at| times.map(|now| (at, now))).collect();
        let look = |store: &Store| readers.iter().map(|r| store.seen(r.0, r.1)).collect::<Vec<_>>();
        let before = look(&store);
        loop {
            let jobs = store.jobs(&horizon);
            if jobs.is_empty() {
                break;
            }
            // The last that began ends first.
            for (job, below) in jobs.iter().rev() {
                store.perform(job, below, &horizon);
                prop_assert_eq!(&look(&store), &before, "after {:?}", job);
                performed += 1;
                prop_assert!(performed < JOBS_MAX, "no rest");
            }
        }
    }
    // At rest, and with everything at or below the floor, little is left but values.
    prop_assert!(store.levels[0].len() < SHAPE.level0_tables);
    for (level, tables) in store.levels.iter().enumerate() {
        let bytes: u64 = tables.iter().map(|table| table.meta.bytes).sum();
        let target = SHAPE.target_bytes(level);
        prop_assert!(level == 0 || level == 3 || bytes <= target, "level {} is full", level);
        for meta in tables.iter().map(|table| &table.meta) {
            prop_assert_eq!(meta.range_tombstones, 0);
            prop_assert!(meta.tombstones * PUSH_SHARE < meta.entries);
        }
    }
    Ok(())
}
