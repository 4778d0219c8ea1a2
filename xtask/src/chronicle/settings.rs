//! Settings under which a small store flushes, rotates and compacts within a hundred commits.

use icecore_engine::{Compression, Options, ReadMode, Workers};

use super::batch::Origin;

/// The purpose of the dice of the settings; batches use theirs from 1 on.
const SETTINGS: u64 = 1 << 60;

/// Settings for one life of a store.
pub(crate) fn settings(origin: Origin) -> Options {
    let dice = origin.dice(SETTINGS);
    let mut options = Options {
        workers: Workers::Threads,
        memtable_bytes: dice.pick(&[8 << 10, 32 << 10, 256 << 10]),
        log_bytes_max: dice.pick(&[64 << 10, 1 << 20]),
        table_bytes: dice.pick(&[8 << 10, 64 << 10]),
        level_base_bytes: dice.pick(&[32 << 10, 256 << 10]),
        level_multiplier: 4,
        level0_tables: dice.between(1, 4),
        read_mode: dice.pick(&[ReadMode::Mmap, ReadMode::MmapStrict, ReadMode::Read]),
        cache_bytes: dice.pick(&[0, 64 << 10]),
        reserve_bytes: 1 << 20,
        ..Options::default()
    };
    options.log.segment_bytes = dice.pick(&[32 << 10, 128 << 10, 512 << 10]);
    options.log.block_bytes = dice.pick(&[512, 512, 4096]);
    options.log.writes_in_flight = dice.between(1, 4);
    options.log.spare_segments = dice.below(3);
    options.table.compression = dice.pick(&[Compression::None, Compression::Lz4]);
    options.table.block_bytes = dice.pick(&[512, 4096]);
    options
}
