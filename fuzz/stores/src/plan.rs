//! Bytes as a history of the simulation.
//!
//! What the oracle needs in order to tell one state from another is kept, whatever the bytes are:
//! no two commits write the same value, and the clock goes back only in histories in which every
//! commit sets one key that all of them share (see `icecore_sim::generate`, which does the same).

use icecore_disk::sim::{Chance, Failure, OpKind, Rules};
use icecore_engine::worker::STEP_KINDS;
use icecore_engine::{Durability, LogOptions, Options, keyspace};
use icecore_sim::REPLICAS;
use icecore_sim::batch::MutationSpec;
use icecore_sim::dice::Dice;
use icecore_sim::generate::{key, settings};
use icecore_sim::history::{CheckPlan, Fate, Op, Revival};
use icecore_sim::model::Value;
use icecore_sim::world::CLOCK_START_MS;

use crate::choices::Choices;

/// How many keys there are: few, so that they meet often.
const KEYS: usize = 24;
/// The key that every commit of some histories sets.
const WITNESS: [u8; 2] = [keyspace::QUEUE, 0xff];
/// How many kinds of operations there are, by weight.
const OPERATIONS: usize = 64;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing goes wrong.
    Fair,
    /// The machine stops, calls fail, the disk is full.
    Foul,
}

/// A history, and the machine that it happens on.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) rules: Rules,
    pub(crate) options: Options,
    pub(crate) ops: Vec<Op>,
    /// How the machine stops at the end; `None` for an orderly reopening.
    pub(crate) end: Option<Revival>,
}

impl Plan {
    /// The plan that `bytes` make, with at most so many operations.
    pub(crate) fn of(bytes: &[u8], weather: Weather, operations_max: usize) -> Plan {
        let mut planner = Planner {
            choices: Choices::new(bytes),
            weather,
            token: 0,
            witness: false,
            treacherous: false,
            wall_ms: CLOCK_START_MS,
            space_is_short: false,
        };
        let seed = u64::from(planner.choices.byte());
        let end = match (weather, seed % 32) {
            (Weather::Fair, _) | (Weather::Foul, 0) => None,
            (Weather::Foul, 1..7) => Some(Revival::plain(Fate::Kill)),
            (Weather::Foul, _) => Some(Revival::plain(Fate::Power)),
        };
        let rules = planner.rules();
        let options = planner.options();
        planner.witness = !planner.choices.one_in(4);
        let mut ops = Vec::new();
        while ops.len() < operations_max && !planner.choices.is_empty() {
            ops.push(planner.op());
        }
        Plan { seed, rules, options, ops, end }
    }
}

struct Planner<'a> {
    choices: Choices<'a>,
    weather: Weather,
    /// How many values there are so far.
    token: u64,
    witness: bool,
    /// The disk breaks its word.
    treacherous: bool,
    /// The time, if every movement of the clock so far was carried out.
    wall_ms: u64,
    space_is_short: bool,
}

impl Planner<'_> {
    /// Each crash rule by itself, how patient a caller must be, and seldom a disk that breaks its
    /// word.
    fn rules(&mut self) -> Rules {
        if self.weather == Weather::Fair {
            return Rules { clocks: true, ..Rules::none() };
        }
        let [spared, patience] = [self.choices.byte(), self.choices.byte()];
        let holds = |bit: u8| spared & 1 << bit == 0;
        let seldom = |bit: u8| match patience >> bit & 3 {
            3 => Chance::one_in(4),
            _ => Chance::NEVER,
        };
        let rules = Rules {
            sectors: holds(0),
            lengths: holds(1),
            fresh: holds(2),
            names: holds(3),
            inside: holds(4),
            flights: holds(5),
            torn: !holds(6),
            alice: !holds(7),
            short_writes: seldom(0),
            short_reads: seldom(2),
            interruptions: seldom(4),
            ..Rules::power_cut()
        };
        self.treacherous = patience >> 6 == 3;
        if self.treacherous { self.treachery(rules) } else { rules }
    }

    /// One way of breaking a word.
    fn treachery(&mut self, mut rules: Rules) -> Rules {
        let way = self.choices.below(9);
        let often = Chance::one_in(self.choices.pick(&[2, 8, 40]));
        match way {
            0 => rules.lying_syncs = often,
            1 => rules.late_sync_errors = often,
            2 => rules.stray_sync_errors = often,
            3 => rules.misdirected_writes = often,
            4 => rules.misdirected_reads = often,
            5 => rules.mutating_maps = often,
            6 => rules.bad_sectors = often,
            7 => rules.bit_flips = often,
            _ => rules.bit_rot = often,
        }
        rules
    }

    /// Settings for a store in which much happens in little space, and quickly.
    fn options(&mut self) -> Options {
        let drawn = settings(&Dice::new(u64::from(self.choices.byte())));
        Options {
            // Large segments, caches and reserves cost time and lead nowhere else.
            log: LogOptions { segment_bytes: drawn.log.segment_bytes.min(8 << 10), ..drawn.log },
            cache_bytes: drawn.cache_bytes.min(16 << 10),
            reserve_bytes: drawn.reserve_bytes.min(16 << 10),
            memtable_bytes: drawn.memtable_bytes.min(4 << 10),
            ..drawn
        }
    }

    fn op(&mut self) -> Op {
        let kind = self.choices.below(OPERATIONS);
        match kind {
            0..24 => self.commit(),
            24..26 => Op::Poll,
            26..28 => Op::Get(self.key()),
            28 => Op::GetMany((0..=self.choices.below(4)).map(|_| self.key()).collect()),
            29 => {
                let (start, end) = self.range();
                Op::Scan { start, end, sides: u64::from(self.choices.byte()) }
            }
            30..32 => Op::Snapshot,
            32 => Op::CheckSnapshots { keep: self.choices.below(4) },
            33..35 => Op::Follow(self.choices.below(REPLICAS)),
            35..37 => Op::Flush,
            37 => Op::Compact,
            38..42 => Op::Step(u64::from(self.choices.byte())),
            42..46 => Op::Step(u64::from(self.choices.byte() / 32) * STEP_KINDS),
            46 => Op::Quiesce,
            47 => Op::Checkpoint,
            48 => Op::Check,
            49..51 => self.clock(),
            51..53 => self.reopen(),
            // In fair weather the rest are commits.
            _ if self.weather == Weather::Fair => self.commit(),
            53..55 => Op::Stop(self.revival()),
            55..60 => {
                Op::StopAfter { operations: self.choices.below(48) as u64, revival: self.revival() }
            }
            // On such a disk, what it does by chance is beside the point after a failure.
            60..63 if self.treacherous => self.commit(),
            60..63 => Op::Fail {
                kind: self.choices.pick(&FAILING),
                failure: self.failure(),
                times: 1 + self.choices.below(3) as u64,
            },
            _ => {
                self.space_is_short = !self.space_is_short;
                let room = u64::from(self.choices.byte()) * 100;
                Op::Space(self.space_is_short.then_some(room))
            }
        }
    }

    fn failure(&mut self) -> Failure {
        self.choices.pick(&[Failure::Io, Failure::NoSpace])
    }

    fn fate(&mut self) -> Fate {
        self.choices.pick(&[Fate::Power, Fate::Power, Fate::Kill])
    }

    fn revival(&mut self) -> Revival {
        let fate = self.fate();
        let depth = self.choices.pick(&[0, 0, 0, 0, 1, 1, 2, 3]);
        let nested = (0..depth).map(|_| (self.choices.below(40) as u64, self.fate())).collect();
        Revival { fate, nested, options: self.other_options() }
    }

    fn other_options(&mut self) -> Option<Box<Options>> {
        self.choices.one_in(4).then(|| Box::new(self.options()))
    }

    fn reopen(&mut self) -> Op {
        let close = !self.choices.one_in(3);
        let look_first = self.choices.one_in(2);
        let fails = self.weather == Weather::Foul && self.choices.one_in(4);
        let failure = fails.then(|| (self.choices.below(60) as u64, self.failure()));
        Op::Reopen { close, look_first, failure, options: self.other_options() }
    }

    fn clock(&mut self) -> Op {
        let back = self.witness && self.choices.one_in(4);
        let reach = self.choices.pick(&[1i64, 40, 2_000, 100_000]);
        let ms = reach * (i64::from(self.choices.byte()) + 1) / 64 + 1;
        let ms = if back { -ms } else { ms };
        self.wall_ms = self.wall_ms.saturating_add_signed(ms).max(1);
        Op::Clock(ms)
    }

    fn commit(&mut self) -> Op {
        let shape = self.choices.byte();
        let durability = if shape & 1 == 0 { Durability::Sync } else { Durability::Buffered };
        let checks = if shape & 0b1110 == 0b1110 { self.checks() } else { Vec::new() };
        let count = if shape & 0x30 == 0x30 { 2 + self.choices.below(6) } else { 1 };
        let mut mutations: Vec<_> = (0..count).map(|_| self.mutation()).collect();
        if self.witness {
            let value = self.value(8, None);
            mutations.push(MutationSpec::Set { key: WITNESS.to_vec(), value });
        }
        Op::Commit { checks, mutations, durability, wait: shape & 0x40 == 0 }
    }

    fn checks(&mut self) -> Vec<CheckPlan> {
        let count = 1 + self.choices.below(2);
        let check = |_| CheckPlan { key: self.key(), right: !self.choices.one_in(3) };
        (0..count).map(check).collect()
    }

    fn mutation(&mut self) -> MutationSpec {
        match self.choices.below(16) {
            0..8 => MutationSpec::Set { key: self.key(), value: self.any_value() },
            8 => {
                let prefix = vec![keyspace::DATA, b'v', b'0' + u8::from(self.choices.one_in(2))];
                MutationSpec::SetVersionstamped { prefix, value: self.any_value() }
            }
            // As a queue is written: in the order of stamps, under a keyspace of its own.
            9 => {
                let prefix = vec![keyspace::QUEUE, b'm'];
                MutationSpec::SetVersionstamped { prefix, value: self.any_value() }
            }
            10..13 => MutationSpec::Delete { key: self.key() },
            13 => {
                let (start, end) = self.range();
                MutationSpec::DeleteRange { start, end }
            }
            _ => MutationSpec::Update { key: self.key(), rule: self.choices.byte() % 12 },
        }
    }

    fn any_value(&mut self) -> Value {
        let shape = self.choices.byte();
        let bytes =
            [8, 8, 20, 60, 100, 300, 500, 900, 1_100, 2_000, 40, 4_100, 16, 120, 700, 9_000]
                [usize::from(shape % 16)];
        let expires_at = (shape >= 0xc0).then(|| {
            let reach = self.choices.pick(&[1u64, 40, 2_000]);
            // Some are over before they begin.
            (self.wall_ms + reach * u64::from(self.choices.byte()) / 8).saturating_sub(5).max(1)
        });
        self.value(bytes, expires_at)
    }

    /// A value that no other commit writes: half of them shrink when they are compressed.
    fn value(&mut self, bytes: usize, expires_at: Option<u64>) -> Value {
        self.token += 1;
        let step = if self.token.is_multiple_of(2) { 0x9e37_79b9_7f4a_7c15 } else { 0 };
        let mut content = Vec::with_capacity(bytes + 8);
        let mut word = self.token;
        while content.len() < bytes {
            content.extend_from_slice(&word.to_le_bytes());
            word = word.wrapping_mul(31).wrapping_add(step) | self.token;
        }
        content.truncate(bytes);
        Value { bytes: content, expires_at }
    }

    fn key(&mut self) -> Vec<u8> {
        key(self.choices.below(KEYS))
    }

    /// A range of user data, which is not empty.
    fn range(&mut self) -> (Vec<u8>, Vec<u8>) {
        if self.choices.one_in(6) {
            return (vec![keyspace::DATA], vec![keyspace::DATA + 1]);
        }
        let (a, b) = (self.choices.below(KEYS - 4), self.choices.below(KEYS - 4));
        let (start, mut end) = (key(a.min(b)), key(a.max(b)));
        if a == b {
            end.push(b'z');
        }
        (start, end)
    }
}

/// The calls that are made to fail.
const FAILING: [OpKind; 16] = [
    OpKind::Write,
    OpKind::Sync,
    OpKind::Complete,
    OpKind::Submit,
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
    OpKind::List,
];
