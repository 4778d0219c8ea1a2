//! The rows of the comparison.

use crate::compare::stages::Stage;

/// What a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Operations, keys or entries per second: more is better.
    PerSecond,
    /// Megabytes of keys and values per second: more is better.
    Megabytes,
    /// A factor over the bytes of keys and values: less is better.
    Factor,
    /// Mebibytes: less is better.
    Mebibytes,
    /// Milliseconds: less is better.
    Milliseconds,
}

impl Unit {
    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Unit::PerSecond | Unit::Megabytes)
    }

    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Unit::PerSecond => "/s",
            Unit::Megabytes => "MB/s",
            Unit::Factor => "×",
            Unit::Mebibytes => "MiB",
            Unit::Milliseconds => "ms",
        }
    }
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in arguments and tables.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Which stage has it.
    pub stage: Stage,
    /// The row of the peers to compare with, where they have no such row.
    pub against: Option<&'static str>,
}

const fn row(stage: Stage, unit: Unit, name: &'static str, title: &'static str) -> Row {
    Row { name, title, unit, stage, against: None }
}

/// All rows in the order in which they are told.
#[rustfmt::skip]
pub const ROWS: &[Row] = &{
    use Stage::{Buffered, Durable, Load, Main, Open, Values, Larger};
    use Unit::{Factor, Mebibytes, Megabytes, Milliseconds, PerSecond};
    [
        row(Durable, PerSecond, "D1", "durable commit of one value, 1 thread"),
        row(Durable, PerSecond, "D1-16K", "durable commit of one value of 16 KiB, 1 thread"),
        row(Durable, PerSecond, "D8", "durable commit of one value, 8 threads"),
        row(Durable, PerSecond, "D64", "durable commit of one value, 64 threads"),
        Row { against: Some("D64"), ..row(Durable, PerSecond, "D64-async", "64 durable commits under way on 1 thread, against D64") },
        row(Durable, PerSecond, "T8d", "durable transfers (2 checks, 2 sets, 1,000 accounts), 8 threads"),
        row(Buffered, PerSecond, "B1", "buffered commit of one value, 1 thread"),
        row(Buffered, PerSecond, "B2", "buffered commit of one value, 2 threads"),
        row(Buffered, PerSecond, "T8b", "buffered transfers, 8 threads"),
        row(Main, PerSecond, "L", "load in random order, batches of 1,000, sync at the end"),
        row(Load, PerSecond, "L-seq", "load in key order, batches of 1,000, sync at the end"),
        row(Load, PerSecond, "L-durable", "load in random order, every batch of 1,000 durable"),
        row(Main, PerSecond, "G-fresh", "point reads right after the random load, 1 thread"),
        row(Main, PerSecond, "G", "point reads, uniform, 1 thread"),
        row(Main, PerSecond, "G-zipf", "point reads, Zipfian, 2 threads"),
        row(Main, PerSecond, "G10", "get_many of 10 keys, keys per second"),
        row(Main, PerSecond, "M", "point reads of missing keys"),
        row(Main, PerSecond, "S", "full scan, entries per second"),
        row(Main, PerSecond, "S-rev", "full scan in reverse"),
        row(Main, PerSecond, "R", "lists of 100 from a random start"),
        row(Main, PerSecond, "R-rev", "lists of 100 in reverse"),
        row(Main, PerSecond, "Y-A", "YCSB A: half reads, half updates, 2 threads"),
        row(Main, PerSecond, "Y-B", "YCSB B: 95 % reads, 5 % updates, 2 threads"),
        row(Main, PerSecond, "Y-C", "YCSB C: reads, 2 threads"),
        row(Main, PerSecond, "Y-D", "YCSB D: 95 % reads of the latest, 5 % inserts, 2 threads"),
        row(Main, PerSecond, "Y-E", "YCSB E: 95 % short lists, 5 % inserts, 2 threads"),
        row(Main, PerSecond, "Y-F", "YCSB F: half reads, half checked read-modify-writes, 2 threads"),
        row(Main, PerSecond, "O", "overwrites in random order, batches of 100, keys per second"),
        row(Main, PerSecond, "O-worst", "the worst second of O"),
        row(Main, Milliseconds, "O-p99.9", "the time of a batch of O at the 99.9th percentile"),
        row(Values, Megabytes, "V1K-load", "load of values of 1 KiB in random order, sync at the end"),
        row(Values, PerSecond, "V1K-read", "point reads of values of 1 KiB"),
        row(Values, Megabytes, "V16K-load", "load of values of 16 KiB in random order, sync at the end"),
        row(Values, PerSecond, "V16K-read", "point reads of values of 16 KiB"),
        row(Main, Factor, "written", "bytes written by L, settled, over bytes of data"),
        row(Main, Factor, "space", "space on disk after L, settled, over bytes of data"),
        row(Main, Mebibytes, "memory", "peak memory of the process during L, mapped files included"),
        row(Open, Milliseconds, "open", "opening and the first read after a clean end"),
        row(Open, Milliseconds, "open-kill", "opening and the first read after a kill"),
        row(Larger, PerSecond, "X-G", "point reads of data three times the memory, 1 thread"),
        row(Larger, PerSecond, "X-G2", "the same, 2 threads"),
        row(Larger, PerSecond, "X-G10", "the same by get_many of 10, 1 thread, keys per second"),
    ]
};

/// The row with this name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
