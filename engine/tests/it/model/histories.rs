//! What a random history consists of, and how it is drawn.

use icecore_engine::{
    Compression, Durability, LogOptions, Options, ReadMode, TableOptions, Workers,
};
use proptest::prelude::*;

/// How many keys there are, besides those that end in a stamp.
pub(super) const KEYS: u8 = 48;

/// One mutation.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set { key: u8, bytes: u16, lives_ms: Option<u64> },
    Stamped { prefix: u8, bytes: u16 },
    Delete { key: u8 },
    DeleteRange { start: u8, end: u8 },
    Update { key: u8, kind: u8 },
}

/// One thing that is done to a store.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Commit { checks: Vec<(u8, bool)>, changes: Vec<Change>, durability: Durability },
    Get { key: u8 },
    GetMany { keys: Vec<u8> },
    Scan { start: u8, end: u8, turns: u64 },
    Keys { start: u8, end: u8, turns: u64 },
    TakeSnapshot,
    ReadSnapshot { which: u8, start: u8, end: u8, turns: u64 },
    DropSnapshot { which: u8 },
    Wait { ms: u64 },
    Flush,
    Compact,
    Work { choice: u64 },
    Close { options: Options },
    Drop { options: Options },
    Kill { options: Options },
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = || prop_oneof![8 => 0..200_u16, 1 => 200..6_000_u16];
    let lives = prop_oneof![4 => Just(None), 1 => (0..400_u64).prop_map(Some)];
    prop_oneof![
        12 => (0..KEYS, bytes(), lives)
            .prop_map(|(key, bytes, lives_ms)| Change::Set { key, bytes, lives_ms }),
        2 => (0..KEYS, bytes()).prop_map(|(prefix, bytes)| Change::Stamped { prefix, bytes }),
        4 => (0..KEYS).prop_map(|key| Change::Delete { key }),
        1 => (0..KEYS, 0..KEYS).prop_map(|(start, end)| Change::DeleteRange { start, end }),
        1 => (0..KEYS, 0..8_u8).prop_map(|(start, n)| {
            Change::DeleteRange { start, end: (start + n).min(KEYS - 1) }
        }),
        3 => (0..KEYS, any::<u8>()).prop_map(|(key, kind)| Change::Update { key, kind }),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let checks = prop::collection::vec((0..KEYS, prop::bool::weighted(0.9)), 0..3);
    let durability = prop_oneof![Just(Durability::Sync), Just(Durability::Buffered)];
    let bound = || 0..=KEYS;
    let range = || (bound(), bound(), any::<u64>());
    prop_oneof![
        40 => (checks, prop::collection::vec(change(), 0..14), durability)
            .prop_map(|(checks, changes, durability)| Step::Commit { checks, changes, durability }),
        8 => (0..KEYS).prop_map(|key| Step::Get { key }),
        3 => prop::collection::vec(0..KEYS, 0..6).prop_map(|keys| Step::GetMany { keys }),
        6 => range().prop_map(|(start, end, turns)| Step::Scan { start, end, turns }),
        2 => range().prop_map(|(start, end, turns)| Step::Keys { start, end, turns }),
        2 => Just(Step::TakeSnapshot),
        4 => (any::<u8>(), range()).prop_map(|(which, (start, end, turns))| {
            Step::ReadSnapshot { which, start, end, turns }
        }),
        2 => any::<u8>().prop_map(|which| Step::DropSnapshot { which }),
        3 => (0..300_u64).prop_map(|ms| Step::Wait { ms }),
        3 => Just(Step::Flush),
        1 => Just(Step::Compact),
        12 => any::<u64>().prop_map(|choice| Step::Work { choice }),
        1 => options().prop_map(|options| Step::Close { options }),
        1 => options().prop_map(|options| Step::Drop { options }),
        1 => options().prop_map(|options| Step::Kill { options }),
    ]
}

fn table_options() -> impl Strategy<Value = TableOptions> {
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Lz4)];
    (64..5_000_usize, compression, any::<bool>(), 0..12_u32).prop_map(
        |(block_bytes, compression, hash_index, filter_bits_per_key)| TableOptions {
            block_bytes,
            compression,
            hash_index,
            filter_bits_per_key,
        },
    )
}

pub(super) fn options() -> impl Strategy<Value = Options> {
    let memtable = prop_oneof![3 => 1_024..8_192_usize, 1 => 8_192..1_048_576_usize];
    let mode = prop_oneof![Just(ReadMode::Mmap), Just(ReadMode::MmapStrict), Just(ReadMode::Read)];
    let levels = (1..5_usize, 2_000..40_000_u64, 2..10_u64, 4_096..20_000_u64);
    let log = (4..64_u32, 1..5_usize, 0..2_usize);
    (memtable, 1..4_usize, table_options(), mode, levels, log).prop_map(
        |(memtable_bytes, frozen_memtables_max, table, read_mode, levels, log)| Options {
            workers: Workers::Manual,
            memtable_bytes,
            frozen_memtables_max,
            table,
            read_mode,
            level0_tables: levels.0,
            level_base_bytes: levels.1,
            level_multiplier: levels.2,
            table_bytes: levels.3,
            log: LogOptions {
                segment_bytes: log.0 * 2_048,
                writes_in_flight: log.1,
                spare_segments: log.2,
                ..LogOptions::default()
            },
            reserve_bytes: 0,
            cache_bytes: 64 << 10,
            ..Options::default()
        },
    )
}
