//! Stores whose content is in tables.

use icecore_engine::{Compression, Engine, Options, TableOptions};

use crate::golden::folder::archive::Files;
use crate::golden::maker::{
    Maker, compact, delete, delete_range, flush, noise, set, set_buffered, tiny, value,
};

fn with_table(change: impl FnOnce(&mut TableOptions)) -> Options {
    let mut options = tiny();
    change(&mut options.table);
    options
}

/// Writes so many keys, in another order each round.
fn fill(engine: &Engine, round: usize, keys: usize, bytes: usize) {
    for i in 0..keys {
        let name = format!("{:03}", i * 7 % keys);
        set_buffered(engine, &name, &value(&format!("{name} of {round}"), bytes));
    }
}

pub(super) fn level_0(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for round in 0..3 {
        fill(&engine, round, 20 - 5 * round, 100);
        delete(&engine, &format!("{round:03}"));
        flush(&engine);
    }
    maker.closed(&engine)
}

pub(super) fn level_0_and_log(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for round in 0..2 {
        fill(&engine, round, 20, 100);
        flush(&engine);
    }
    for i in 0..10 {
        set(&engine, &format!("{:03}", 2 * i), &value("newest", 80));
    }
    delete(&engine, "001");
    maker.killed()
}

/// Content in level 0, in several levels below, and in memory.
fn in_levels(engine: &Engine) {
    for round in 0..4 {
        fill(engine, round, 110 - 30 * round, 180);
        if round < 3 {
            compact(engine);
        } else {
            flush(engine);
        }
    }
    let stats = engine.stats().expect("the store is open");
    let used = stats.levels.iter().filter(|level| level.tables > 0).count();
    assert!(used > 2, "{stats:?}");
}

pub(super) fn levels(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    in_levels(&engine);
    for i in 0..8 {
        set(&engine, &format!("{:03}", 9 * i), &value("in the log", 90));
    }
    maker.killed()
}

pub(super) fn compacted(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    fill(&engine, 0, 60, 200);
    compact(&engine);
    fill(&engine, 1, 30, 200);
    compact(&engine);
    maker.closed(&engine)
}

/// The deletions themselves are gone, and the manifest says so.
pub(super) fn deletions_forgotten(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    fill(&engine, 0, 60, 150);
    compact(&engine);
    for i in 0..60 {
        if i % 3 != 0 {
            delete(&engine, &format!("{i:03}"));
        }
    }
    compact(&engine);
    maker.closed(&engine)
}

pub(super) fn lz4(maker: &mut Maker) -> Files {
    let engine = maker.open(with_table(|table| table.compression = Compression::Lz4));
    in_levels(&engine);
    // A block that is stored as it is.
    for i in 0..6 {
        set(&engine, &format!("noise {i}"), &noise(&format!("{i}"), 300));
    }
    flush(&engine);
    maker.closed(&engine)
}

pub(super) fn no_filter(maker: &mut Maker) -> Files {
    let engine = maker.open(with_table(|table| {
        (table.hash_index, table.filter_bits_per_key) = (false, 0);
    }));
    fill(&engine, 0, 60, 100);
    compact(&engine);
    maker.closed(&engine)
}

/// Filters that only tell that a key is not there.
pub(super) fn bloom_filter(maker: &mut Maker) -> Files {
    let engine = maker.open(with_table(|table| table.hash_index = false));
    fill(&engine, 0, 60, 100);
    compact(&engine);
    fill(&engine, 1, 20, 100);
    flush(&engine);
    maker.closed(&engine)
}

/// Blocks of one or two entries.
pub(super) fn tiny_blocks(maker: &mut Maker) -> Files {
    let engine = maker.open(with_table(|table| table.block_bytes = 64));
    fill(&engine, 0, 60, 30);
    compact(&engine);
    fill(&engine, 1, 20, 30);
    flush(&engine);
    maker.killed()
}

/// Values that are longer than a block, in tables and in the log.
pub(super) fn large_values(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for (name, bytes) in [("a", 9_000), ("b", 3), ("c", 5_000), ("d", 0)] {
        set(&engine, name, &value(name, bytes));
    }
    flush(&engine);
    set(&engine, "e", &value("e", 6_000));
    maker.killed()
}

pub(super) fn keys_small(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for i in 0..900 {
        set_buffered(&engine, &format!("{:x}", i * 7_919 % 4_096), &[b'v'; 2][..i % 3]);
        if i % 300 == 299 {
            compact(&engine);
        }
    }
    maker.closed(&engine)
}

/// Keys that have most of their bytes in common.
pub(super) fn keys_long(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    let prefix = "shared ".repeat(60);
    for i in 0..24 {
        set_buffered(&engine, &format!("{prefix}{i}"), b"v");
    }
    flush(&engine);
    set(&engine, &"k".repeat(4_000), b"long");
    flush(&engine);
    maker.closed(&engine)
}

pub(super) fn ranges(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    fill(&engine, 0, 40, 100);
    flush(&engine);
    delete_range(&engine, "005", "015");
    delete_range(&engine, "010", "020");
    set(&engine, "012", b"again");
    flush(&engine);
    maker.closed(&engine)
}

pub(super) fn ranges_in_levels(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    for round in 0..3 {
        fill(&engine, round, 80, 150);
        compact(&engine);
        let start = format!("{:03}", 10 * round);
        delete_range(&engine, &start, &format!("{:03}", 10 * round + 25));
        set(&engine, &start, b"again");
        flush(&engine);
    }
    delete_range(&engine, "070", "075");
    maker.killed()
}

/// A snapshot kept versions that are not the newest.
pub(super) fn old_versions(maker: &mut Maker) -> Files {
    let engine = maker.open(tiny());
    fill(&engine, 0, 30, 100);
    let snapshot = engine.snapshot().expect("the store is open");
    for round in 1..4 {
        fill(&engine, round, 30, 100);
        delete(&engine, "007");
        compact(&engine);
    }
    drop(snapshot);
    maker.killed()
}
