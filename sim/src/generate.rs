//! Random histories: what happens to a store, drawn from a seed.
//!
//! Each seed leaves some kinds of operations out and favours others, so that rare mixtures are
//! met, too ("Swarm testing", Groce et al., 2012).

mod steady;

pub use steady::steady;

use icecore_disk::sim::{Failure, OpKind, Rules};
use icecore_engine::worker::STEP_KINDS;
use icecore_engine::{
    Compression, Durability, LogOptions, Options, ReadMode, TableOptions, Workers,
};

use crate::batch::MutationSpec;
use crate::dice::Dice;
use crate::follow::REPLICAS;
use crate::history::{CheckPlan, Fate, Op, Revival};
use crate::model::Value;
use crate::profile::{Profile, profile};
use crate::world::CLOCK_START_MS;

/// Few keys, so that they meet often.
const KEYS: usize = 24;
/// The keyspaces that callers may use.
const DATA: u8 = 0x10;
const QUEUE: u8 = 0x20;
/// A key that every commit of some histories sets, so that each commit can be told from the one
/// before it.
const WITNESS: [u8; 2] = [QUEUE, 0xff];

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub struct History {
    /// The rules of the disk.
    pub rules: Rules,
    /// The first settings of the store.
    pub options: Options,
    /// The store is created in spite of a stop, if there is one.
    pub birth: Option<(u64, Revival)>,
    /// What happens.
    pub ops: Vec<Op>,
}

impl History {
    /// The history of `seed`.
    pub fn new(seed: u64) -> History {
        let dice = Dice::new(seed);
        let (profile, rules) = profile(&dice);
        let options = settings(&dice);
        let mut generator = Generator::new(dice, profile);
        let length = generator.dice.between(30, 150);
        let mut ops = Vec::new();
        while ops.len() < length {
            match generator.kind() {
                Kind::Flights => ops.extend(generator.flights()),
                Kind::FullDisk => ops.extend(generator.full_disk()),
                kind => ops.push(generator.op(kind)),
            }
        }
        let born_late = generator.dice.one_in(5);
        let stop_at = generator.dice.below(20) as u64;
        let birth = born_late.then(|| (stop_at, generator.revival()));
        History { rules, options, birth, ops }
    }
}

/// The kinds of operations and how often they come.
const WEIGHTS: [(Kind, usize); 25] = [
    (Kind::Commit, 40),
    (Kind::Poll, 4),
    (Kind::Get, 6),
    (Kind::GetMany, 2),
    (Kind::Scan, 3),
    (Kind::Snapshot, 3),
    (Kind::CheckSnapshots, 2),
    (Kind::Follow, 5),
    (Kind::Flush, 3),
    (Kind::Compact, 2),
    (Kind::Step, 12),
    (Kind::StepLog, 8),
    (Kind::Flights, 3),
    (Kind::Quiesce, 1),
    (Kind::Checkpoint, 1),
    (Kind::Check, 1),
    (Kind::Clock, 4),
    (Kind::Reopen, 2),
    (Kind::Stop, 2),
    (Kind::StopAfter, 4),
    (Kind::Fail, 2),
    (Kind::Space, 1),
    (Kind::FullDisk, 1),
    (Kind::Rival, 1),
    (Kind::Damage, 1),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Commit,
    Poll,
    Get,
    GetMany,
    Scan,
    Snapshot,
    CheckSnapshots,
    Follow,
    Flush,
    Compact,
    Step,
    StepLog,
    Flights,
    Quiesce,
    Checkpoint,
    Check,
    Clock,
    Reopen,
    Stop,
    StopAfter,
    Fail,
    Space,
    FullDisk,
    Rival,
    Damage,
}

struct Generator {
    dice: Dice,
    weights: Vec<(Kind, usize)>,
    weight: usize,
    /// The time, if every movement of the clock so far was carried out.
    wall_ms: u64,
    token: u64,
    witness: bool,
    /// How many of a hundred commits wait for a power-safe end.
    sync_percent: usize,
    /// How many of a hundred commits are left in flight.
    flight_percent: usize,
    expiry: bool,
    range_deletions: bool,
    space_is_short: bool,
}

impl Generator {
    fn new(dice: Dice, profile: Profile) -> Generator {
        let with_errors = dice.one_in(3) || profile == Profile::Full;
        let mut weights = WEIGHTS.to_vec();
        for (kind, weight) in &mut weights {
            match kind {
                Kind::Fail | Kind::Space | Kind::FullDisk if !with_errors => *weight = 0,
                Kind::Space | Kind::FullDisk if profile == Profile::Full => *weight = 4,
                // After them, what the disk does by chance is over or beside the point.
                Kind::Fail | Kind::Damage if profile == Profile::Treacherous => *weight = 0,
                Kind::Damage if dice.one_in(2) => *weight = 0,
                Kind::Commit => {}
                _ => match dice.below(6) {
                    0 => *weight = 0,
                    1 => *weight *= 4,
                    _ => {}
                },
            }
        }
        let weight = weights.iter().map(|(_, weight)| weight).sum();
        Generator {
            weights,
            weight,
            wall_ms: CLOCK_START_MS,
            token: 0,
            witness: !dice.one_in(4),
            sync_percent: dice.pick(&[0, 30, 50, 80, 100]),
            flight_percent: dice.pick(&[0, 20, 50, 90]),
            expiry: dice.one_in(2),
            range_deletions: dice.one_in(2),
            space_is_short: false,
            dice,
        }
    }

    fn kind(&self) -> Kind {
        let mut place = self.dice.below(self.weight);
        for (kind, weight) in &self.weights {
            if place < *weight {
                return *kind;
            }
            place -= weight;
        }
        unreachable!("the place lies below the sum of the weights")
    }

    /// Two durable writes in flight, of which the later one completes first, and perhaps a stop
    /// then: rare by itself, and what the order of acknowledgements is about.
    fn flights(&mut self) -> Vec<Op> {
        // Of the log's choices: submit; submit beside one in flight; complete the second of two.
        let drive = [Op::Step(0), Op::Step(STEP_KINDS), Op::Step(STEP_KINDS)];
        let mut commit = || {
            let value = self.value(16);
            let mutations = vec![MutationSpec::Set { key: self.key(), value }];
            let durability = Durability::Sync;
            Op::Commit { checks: Vec::new(), mutations, durability, wait: false }
        };
        let (first, second) = (commit(), commit());
        let [submit, submit_another, complete_last] = drive;
        let mut ops = vec![first, submit, second, submit_another, complete_last, Op::Poll];
        if self.dice.one_in(3) {
            ops.push(Op::Stop(self.revival()));
        }
        ops
    }

    fn op(&mut self, kind: Kind) -> Op {
        match kind {
            Kind::Commit => self.commit(),
            Kind::Flights | Kind::FullDisk => unreachable!("several operations, drawn as one"),
            Kind::Rival => Op::Rival { anew: self.dice.one_in(2) },
            Kind::Damage => {
                let count = self.dice.between(1, 6);
                let seeds = (0..count).map(|_| self.dice.next()).collect();
                Op::Damage { close: !self.dice.one_in(3), fate: self.fate(), seeds }
            }
            Kind::Poll => Op::Poll,
            Kind::Get => Op::Get(self.key()),
            Kind::GetMany => {
                Op::GetMany((0..self.dice.between(2, 6)).map(|_| self.key()).collect())
            }
            Kind::Scan => {
                let (start, end) = self.range();
                Op::Scan { start, end, sides: self.sides() }
            }
            Kind::Snapshot => Op::Snapshot,
            Kind::CheckSnapshots => Op::CheckSnapshots { keep: self.dice.below(4) },
            Kind::Follow => Op::Follow(self.dice.below(REPLICAS)),
            Kind::Flush => Op::Flush,
            Kind::Compact => Op::Compact,
            Kind::Step => Op::Step(self.dice.next()),
            Kind::StepLog => Op::Step(self.dice.next() / 8 * STEP_KINDS),
            Kind::Quiesce => Op::Quiesce,
            Kind::Checkpoint => Op::Checkpoint,
            Kind::Check => Op::Check,
            Kind::Clock => self.clock(),
            Kind::Reopen => Op::Reopen {
                close: !self.dice.one_in(3),
                look_first: self.dice.one_in(2),
                failure: self.opening_failure(),
                options: self.other_options(),
            },
            Kind::Stop => Op::Stop(self.revival()),
            Kind::StopAfter => {
                let operations = self.dice.below(self.dice.pick(&[4, 20, 60])) as u64;
                Op::StopAfter { operations, revival: self.revival() }
            }
            Kind::Fail => Op::Fail {
                kind: self.dice.pick(&FAILING),
                failure: self.dice.pick(&FAILURES),
                times: if self.dice.one_in(4) { 3 } else { 1 },
            },
            Kind::Space => {
                self.space_is_short = !self.space_is_short;
                let room = self.dice.below(self.dice.pick(&[1, 2_000, 20_000, 200_000]));
                Op::Space(self.space_is_short.then_some(room as u64))
            }
        }
    }

    /// No byte is free, or hardly any: the store is read, closed and opened; then there is room.
    fn full_disk(&mut self) -> Vec<Op> {
        let room = if self.dice.one_in(2) { 0 } else { self.dice.below(3_000) as u64 };
        let mut ops = vec![Op::Space(Some(room))];
        for _ in 0..self.dice.between(1, 8) {
            let kinds =
                [Kind::Commit, Kind::Get, Kind::Scan, Kind::Snapshot, Kind::Flush, Kind::Step];
            let kind = self.dice.pick(&kinds);
            ops.push(self.op(kind));
        }
        ops.push(Op::CheckSnapshots { keep: self.dice.below(2) });
        if self.dice.one_in(2) {
            ops.push(Op::Reopen { close: true, look_first: true, failure: None, options: None });
            ops.push(Op::Scan { start: vec![DATA], end: vec![DATA + 1], sides: self.sides() });
        }
        ops.push(Op::Resume);
        self.space_is_short = false;
        ops
    }

    fn sides(&self) -> u64 {
        match self.dice.below(3) {
            0 => 0,
            1 => u64::MAX,
            _ => self.dice.next(),
        }
    }

    fn opening_failure(&self) -> Option<(u64, Failure)> {
        let armed = self.dice.one_in(4);
        let failure =
            (self.dice.below(60) as u64, self.dice.pick(&[Failure::Io, Failure::NoSpace]));
        armed.then_some(failure)
    }

    fn other_options(&self) -> Option<Box<Options>> {
        self.dice.one_in(2).then(|| Box::new(settings(&self.dice)))
    }

    fn fate(&self) -> Fate {
        if self.dice.one_in(3) { Fate::Kill } else { Fate::Power }
    }

    fn revival(&self) -> Revival {
        let depth = self.dice.pick(&[0, 0, 0, 1, 1, 2, 3]);
        let nested = (0..depth).map(|_| (self.dice.below(40) as u64, self.fate())).collect();
        Revival { fate: self.fate(), nested, options: self.other_options() }
    }

    fn clock(&mut self) -> Op {
        // Without a witness, states that only the clock can tell apart would be mistaken.
        let back = self.witness && self.dice.one_in(4);
        let far = self.dice.pick(&[50, 50, 2_000, 2_000, 100_000, 100_000, TEN_YEARS_MS]);
        let ms = self.dice.below(far) as i64 + 1;
        let ms = if back { -ms } else { ms };
        self.wall_ms = self.wall_ms.saturating_add_signed(ms).max(1);
        Op::Clock(ms)
    }

    fn commit(&mut self) -> Op {
        let checks = match self.dice.below(4) {
            0 => (0..self.dice.between(1, 3)).map(|_| self.check()).collect(),
            _ => Vec::new(),
        };
        let count = match self.dice.below(10) {
            0..=5 => 1,
            6..=8 => self.dice.between(2, 5),
            _ => self.dice.between(6, 20),
        };
        let mut mutations: Vec<_> = (0..count).map(|_| self.mutation()).collect();
        if self.witness {
            let value = self.value(8);
            mutations.push(MutationSpec::Set { key: WITNESS.to_vec(), value });
        }
        let sync = self.dice.below(100) < self.sync_percent;
        let durability = if sync { Durability::Sync } else { Durability::Buffered };
        let wait = self.dice.below(100) >= self.flight_percent;
        Op::Commit { checks, mutations, durability, wait }
    }

    fn check(&self) -> CheckPlan {
        CheckPlan { key: self.key(), right: !self.dice.one_in(3) }
    }

    fn mutation(&mut self) -> MutationSpec {
        let bytes = match self.dice.below(40) {
            0..=15 => self.dice.below(12),
            16..=30 => self.dice.below(120),
            31..=37 => self.dice.below(900),
            38 => self.dice.below(4_000),
            _ => self.dice.below(12_000),
        };
        match self.dice.below(20) {
            0..=10 => {
                let value = self.value(bytes);
                MutationSpec::Set { key: self.key(), value }
            }
            11 | 12 => {
                let value = self.value(bytes);
                let prefix = vec![DATA, b'v', b'0' + u8::from(self.dice.one_in(2))];
                MutationSpec::SetVersionstamped { prefix, value }
            }
            13..=15 => MutationSpec::Delete { key: self.key() },
            16 | 17 if self.range_deletions => {
                let (start, end) = self.range();
                MutationSpec::DeleteRange { start, end }
            }
            _ => {
                // Refusals are rare, because they end the whole batch.
                let rule = self.dice.pick(&[0, 0, 1, 2, 3, 5, 6, 7, 11]);
                let rule = if self.dice.one_in(20) { 4 } else { rule };
                MutationSpec::Update { key: self.key(), rule }
            }
        }
    }

    /// A value that no other commit writes.
    fn value(&mut self, bytes: usize) -> Value {
        self.token += 1;
        let mut content = self.token.to_be_bytes().to_vec();
        let noisy = self.dice.one_in(2);
        while content.len() < bytes {
            let word = if noisy { self.dice.next() } else { self.token };
            content.extend_from_slice(&word.to_le_bytes());
        }
        content.truncate(bytes.max(4));
        let reach = self.dice.pick(&[20usize, 1_000, 50_000]);
        let expires_at = (self.expiry && self.dice.one_in(3)).then(|| {
            // Some are over before they begin.
            (self.wall_ms + self.dice.below(reach) as u64).saturating_sub(5).max(1)
        });
        Value { bytes: content, expires_at }
    }

    fn key(&self) -> Vec<u8> {
        key(self.dice.below(KEYS))
    }

    fn range(&self) -> (Vec<u8>, Vec<u8>) {
        if self.dice.one_in(6) {
            return (vec![DATA], vec![DATA + 1]);
        }
        let (a, b) = (self.dice.below(KEYS - 4), self.dice.below(KEYS - 4));
        let (mut start, mut end) = (key(a.min(b)), key(a.max(b)));
        if self.dice.one_in(3) {
            start.push(0);
        }
        if start >= end {
            end = start.clone();
            end.push(b'z');
        }
        (start, end)
    }
}

/// How far a clock may be wrong.
const TEN_YEARS_MS: usize = 10 * 365 * 24 * 60 * 60 * 1000;

/// How calls are made to fail.
const FAILURES: [Failure; 9] = [
    Failure::Io,
    Failure::Io,
    Failure::Io,
    Failure::NoSpace,
    Failure::NoSpace,
    Failure::Quota,
    Failure::Access,
    Failure::ReadOnly,
    Failure::TooManyFiles,
];

/// The calls that are made to fail.
const FAILING: [OpKind; 17] = [
    OpKind::Write,
    OpKind::Write,
    OpKind::Sync,
    OpKind::Sync,
    OpKind::Complete,
    OpKind::Complete,
    OpKind::SyncDir,
    OpKind::Create,
    OpKind::Rename,
    OpKind::Remove,
    OpKind::Allocate,
    OpKind::Open,
    OpKind::Read,
    OpKind::Link,
    OpKind::Map,
    OpKind::SetLen,
    OpKind::FreeBytes,
];

/// Key `n`, in key order; the last four belong to another keyspace.
pub fn key(n: usize) -> Vec<u8> {
    let space = if n + 4 >= KEYS { QUEUE } else { DATA };
    let letter = b'a' + u8::try_from(n / 2).expect("there are few keys");
    let mut key = vec![space, letter];
    if n % 2 == 1 {
        key.extend_from_slice(&[0, letter, b'x'].repeat(1 + n % 5));
    }
    key
}

/// Settings for a store in which much happens in little space.
pub fn settings(dice: &Dice) -> Options {
    let block_bytes = dice.pick(&[512, 512, 1024, 4096]);
    Options {
        workers: Workers::Manual,
        memtable_bytes: dice.pick(&[1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10]),
        frozen_memtables_max: dice.between(1, 3),
        log_bytes_max: dice.pick(&[8 << 10, 64 << 10, 1 << 30]),
        log: LogOptions {
            segment_bytes: dice.pick(&[4 << 10, 8 << 10, 16 << 10, 64 << 10]),
            block_bytes,
            writes_in_flight: dice.between(1, 4),
            spare_segments: dice.below(3),
        },
        table: TableOptions {
            block_bytes: dice.pick(&[64, 256, 1024, 4096]),
            compression: dice.pick(&[Compression::None, Compression::Lz4]),
            // A third, as the seeds that have names were found when the dice fell for three here.
            hash_index: dice.pick(&[true, false, true]),
            filter_bits_per_key: dice.pick(&[0, 10]),
        },
        table_bytes: dice.pick(&[512, 2 << 10, 8 << 10]),
        level0_tables: dice.between(1, 4),
        level_base_bytes: dice.pick(&[1 << 10, 4 << 10, 32 << 10]),
        level_multiplier: dice.pick(&[2, 4, 10]),
        read_mode: dice.pick(&[ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read]),
        cache_bytes: dice.pick(&[0, 16 << 10, 1 << 20]),
        reserve_bytes: dice.pick(&[0, 16 << 10, 256 << 10]),
        ..Options::default()
    }
}
