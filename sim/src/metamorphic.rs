//! The same history on stores of many settings: what a caller sees must not depend on them.
//!
//! Each store runs against the oracle as always. Each time it is opened again it gets the settings of
//! its neighbour, so that every store is read with settings that did not write it. At the end all must hold
//! the same keys and values, and have accepted and refused the same commits. Stamps may differ: a
//! kill takes some, and how many depends on the size of log segments.
//!
//! The idea is that of Pebble's metamorphic tests (Cockroach Labs, 2020).

use icecore_disk::sim::Rules;
use icecore_engine::{Compression, LogOptions, Options, ReadMode, TableOptions, Workers};

use crate::generate::steady;
use crate::history::{Op, Revival};
use crate::search::guarded;
use crate::totals::Totals;
use crate::violation::{Violation, ensure};
use crate::world::World;

/// How many settings there are.
pub const SETTINGS: usize = 24;

/// The settings of number `n`. The read mode, the compression, the size of log blocks and the size of
/// memtables occur in all combinations; the rest changes along.
pub fn settings(n: usize) -> Options {
    let n = n % SETTINGS;
    let pick = |stride: usize, choices: &[usize]| choices[n / stride % choices.len()];
    let compression = [Compression::None, Compression::Lz4][n / 3 % 2];
    Options {
        workers: Workers::Manual,
        read_mode: [ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read][n % 3],
        memtable_bytes: pick(12, &[2 << 10, 64 << 10]),
        frozen_memtables_max: pick(1, &[1, 2, 3]),
        log_bytes_max: [8 << 10, 1 << 30][n / 2 % 2],
        log: LogOptions {
            segment_bytes: [4 << 10, 16 << 10, 64 << 10, 8 << 10][n % 4],
            block_bytes: [512, 4096][n / 6 % 2],
            writes_in_flight: pick(5, &[1, 2, 4]),
            spare_segments: pick(1, &[0, 2, 1, 0, 1]),
        },
        table: TableOptions {
            block_bytes: [64, 4096, 256, 1024, 512][n % 5],
            compression,
            hash_index: [true, false, true][n / 4 % 3],
            filter_bits_per_key: [10, 0][n / 5 % 2],
        },
        table_bytes: [8 << 10, 512, 2 << 10][n / 7 % 3],
        level0_tables: pick(2, &[1, 4, 2]),
        level_base_bytes: [1 << 10, 32 << 10][n / 3 % 2],
        level_multiplier: [2, 10, 4][n / 2 % 3],
        cache_bytes: pick(4, &[0, 1 << 20, 16 << 10]),
        reserve_bytes: 0,
        ..Options::default()
    }
}

/// A steady history, to be run by a store of each settings.
#[derive(Debug)]
pub struct Course {
    seed: u64,
    ops: Vec<Op>,
}

impl Course {
    /// The history of `seed`, `length` operations long.
    pub fn new(seed: u64, length: usize) -> Course {
        Course { seed, ops: steady(seed, length) }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Runs it by a store that begins with settings `n`, for as long as `goes_on` says so before each
    /// operation. Gives what was done; and what the store has shown, if it came to the end.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn run(
        &self,
        n: usize,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(Totals, Option<Seen>), Violation> {
        guarded(|| outcome(self.seed, n, &self.ops, goes_on))
            .map_err(|v| v.at(format!("settings {n}")))
    }
}

/// What the stores of one history have shown so far.
#[derive(Debug, Default)]
pub struct Comparison {
    first: Option<(usize, Seen)>,
    stores: usize,
}

impl Comparison {
    /// Compares what the store of settings `n` has shown with the others.
    ///
    /// # Errors
    /// The first difference.
    pub fn add(&mut self, n: usize, seen: Seen) -> Result<(), Violation> {
        self.stores += 1;
        let Some((m, first)) = &self.first else {
            self.first = Some((n, seen));
            return Ok(());
        };
        ensure(*first == seen, || {
            format!("settings {m} and settings {n} differ: {}", first.difference(&seen))
        })
    }

    /// Whether those of all settings have been compared.
    pub fn is_complete(&self) -> bool {
        self.stores == SETTINGS
    }
}

/// What must not depend on settings.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    commits: u64,
    failed_checks: u64,
    /// The values in the order of their keys; keys that a stamp has made are only counted by this.
    values: Vec<(Option<Vec<u8>>, Vec<u8>)>,
}

impl Seen {
    fn difference(&self, other: &Seen) -> String {
        let counts = |seen: &Seen| (seen.commits, seen.failed_checks, seen.values.len());
        if counts(self) != counts(other) {
            return format!(
                "{:?} commits, failed checks, entries: {:?}",
                counts(self),
                counts(other)
            );
        }
        let mut pairs = self.values.iter().zip(&other.values);
        format!("{:?}", pairs.find(|(a, b)| a != b))
    }
}

fn outcome(
    seed: u64,
    n: usize,
    ops: &[Op],
    goes_on: &dyn Fn() -> bool,
) -> Result<(Totals, Option<Seen>), Violation> {
    let mut world = World::new(seed, Rules::power_cut(), settings(n), None);
    let mut next = n;
    let ops: Vec<Op> = ops.iter().map(|op| resettled(op, &mut next)).collect();
    if !world.run_while(&ops, goes_on)? {
        return Ok((world.totals, None));
    }
    let mut values = Vec::new();
    for (key, bytes) in world.contents().filter(|(key, _)| SPACES.contains(&key[0])) {
        let stamped = key.starts_with(&STAMPED);
        values.push(((!stamped).then_some(key), bytes));
    }
    let totals = world.totals;
    let Totals { commits, failed_checks, .. } = totals;
    Ok((totals, Some(Seen { commits, failed_checks, values })))
}

/// The keyspaces of callers; that of the expiry index depends on stamps.
const SPACES: [u8; 2] = [0x10, 0x20];

/// How keys begin that a stamp has made: see the generator.
const STAMPED: [u8; 2] = [0x10, b'v'];

/// `op`, with the next settings if it opens the store.
fn resettled(op: &Op, next: &mut usize) -> Op {
    let mut other = || {
        *next += 1;
        Some(Box::new(settings(*next)))
    };
    match op {
        Op::Reopen { close, look_first, failure, .. } => Op::Reopen {
            close: *close,
            look_first: *look_first,
            failure: *failure,
            options: other(),
        },
        Op::Stop(Revival { fate, nested, .. }) => {
            Op::Stop(Revival { fate: *fate, nested: nested.clone(), options: other() })
        }
        op => op.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_differ_from_each_other() {
        let all: Vec<String> = (0..SETTINGS).map(|n| format!("{:?}", settings(n))).collect();
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{n}");
        }
    }

    #[test]
    fn a_short_history_means_the_same_under_all_settings() {
        for seed in 0..4 {
            let course = Course::new(seed, 120);
            let mut comparison = Comparison::default();
            for n in 0..SETTINGS {
                assert!(!comparison.is_complete());
                let (totals, seen) = course.run(n, &|| true).unwrap();
                assert!(totals.commits > 0, "{totals}");
                comparison.add(n, seen.unwrap()).unwrap();
            }
            assert!(comparison.is_complete());
        }
    }

    #[test]
    fn stores_that_show_different_things_are_told() {
        let mut comparison = Comparison::default();
        for (n, seed) in [(0, 1), (1, 1), (2, 2)] {
            let (_, seen) = Course::new(seed, 60).run(n, &|| true).unwrap();
            assert_eq!(comparison.add(n, seen.unwrap()).is_err(), seed == 2);
        }
    }

    #[test]
    fn a_history_that_is_cut_short_counts_what_was_done() {
        let left = std::cell::Cell::new(50_u64);
        let goes_on = || left.replace(left.get().saturating_sub(1)) > 0;
        let (totals, seen) = Course::new(0, 120).run(0, &goes_on).unwrap();
        assert_eq!((totals.operations, seen), (50, None));
    }
}
