//! The table of the programme: each check, its bar before a release, and its two forms.

/// A check.
#[derive(Debug)]
pub(super) struct Check {
    /// As its own last line begins, and docs/crash-safety.md names it.
    pub(super) id: &'static str,
    /// The name of its command.
    pub(super) name: &'static str,
    /// What it is to reach before a release.
    pub(super) bar: &'static str,
    /// How the gate runs it, if it does.
    pub(super) gate: Option<Form>,
    /// How the soak runs it, if it does.
    pub(super) soak: Option<Form>,
}

/// How a check is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// Its part of the time.
    pub(super) weight: u32,
    /// The command, without the time and the seed.
    pub(super) words: &'static str,
}

const fn form(weight: u32, words: &'static str) -> Option<Form> {
    Some(Form { weight, words })
}

/// In the order in which they run: those first that find bugs soonest, and last those that can use
/// what the others have left of the time.
pub(super) const ALL: &[Check] = &[
    Check {
        id: "B2",
        name: "sim",
        bar: "60,000 seeds, 400,000 crash recoveries",
        gate: form(10, "sim --seeds 1000000000"),
        soak: form(5, "sim --seeds 1000000000"),
    },
    Check {
        id: "B5",
        name: "sim",
        bar: "200 seeds twice, equal traces",
        gate: form(1, "sim --twice 200"),
        soak: form(1, "sim --twice 5000"),
    },
    Check {
        id: "B1",
        name: "sim",
        bar: "40 scripts, every operation, 250,000 crash images",
        gate: form(8, "sim --exhaustive"),
        soak: form(6, "sim --exhaustive --thorough"),
    },
    Check {
        id: "B4",
        name: "sim",
        bar: "every call of 40 scripts, every error, once and for ever",
        gate: form(6, "sim --failures"),
        soak: form(5, "sim --failures --thorough"),
    },
    Check {
        id: "B3",
        name: "mutants",
        bar: "40 planted bugs, all found within 20,000 seeds",
        gate: form(8, "mutants"),
        soak: form(3, "mutants"),
    },
    Check {
        id: "B3",
        name: "shuttle-planted",
        bar: "4 planted races, all found",
        gate: form(2, "shuttle --planted"),
        soak: form(1, "shuttle --planted"),
    },
    Check {
        id: "B7",
        name: "model",
        bar: "1 M keys, small memtables and tables",
        gate: form(2, "model --keys 200000"),
        soak: form(2, "model --rounds 1000000"),
    },
    Check {
        id: "B14",
        name: "damage",
        bar: "1 M damaged openings, 99.99 % of live damage found",
        gate: form(5, "damage"),
        soak: form(4, "damage --opens 1000000000"),
    },
    Check {
        id: "B22",
        name: "golden",
        bar: "every golden store reads as ever",
        gate: form(1, "golden"),
        soak: form(1, "golden"),
    },
    Check {
        id: "B8",
        name: "kill9",
        bar: "2,000 kills, every failpoint",
        gate: form(5, "kill9 --kills 1000000"),
        soak: form(3, "kill9 --kills 1000000"),
    },
    Check {
        id: "B11",
        name: "replay",
        bar: "20,000 states",
        gate: form(4, "replay --states 1000000000"),
        soak: form(2, "replay --states 1000000000"),
    },
    Check {
        id: "B23",
        name: "recovery-time",
        bar: "1 s for 256 MiB; no livelock",
        gate: form(2, "recovery-time --mebibytes 256 --killed-mebibytes 64"),
        soak: form(1, "recovery-time"),
    },
    Check {
        id: "B17",
        name: "bank",
        bar: "1 M commits of 16 threads",
        gate: form(3, "bank"),
        soak: form(3, "bank"),
    },
    Check {
        id: "B9",
        name: "powercut",
        bar: "1,000 cycles of ext4, 300 of XFS",
        gate: form(3, "powercut --ext4 1000000 --xfs 1000000"),
        soak: form(6, "powercut --ext4 1000000 --xfs 1000000"),
    },
    Check {
        id: "B10",
        name: "blocklog",
        bar: "300 mounted images",
        gate: form(2, "blocklog --images 1000000"),
        soak: form(2, "blocklog --images 1000000"),
    },
    Check {
        id: "B13",
        name: "enospc",
        bar: "200 fills",
        gate: form(2, "enospc --fills 1000000"),
        soak: form(8, "enospc --fills 1000000"),
    },
    Check {
        id: "B12",
        name: "eio",
        bar: "12 scenarios",
        gate: form(7, "eio"),
        soak: form(2, "eio"),
    },
    Check {
        id: "B16",
        name: "loom",
        bar: "every model within its bounds",
        gate: form(4, "loom"),
        soak: form(2, "loom"),
    },
    Check {
        id: "B15",
        name: "fuzz",
        bar: "14 targets",
        gate: form(9, "fuzz"),
        soak: form(8, "fuzz"),
    },
    Check {
        id: "B18",
        name: "miri",
        bar: "16 seeds of every test of crates with unsafe code",
        gate: form(4, "miri"),
        soak: form(16, "miri"),
    },
    Check {
        id: "B19",
        name: "asan",
        bar: "the tests of the storage crates",
        gate: None,
        soak: form(3, "asan"),
    },
    Check {
        id: "B19",
        name: "tsan",
        bar: "the concurrent tests of the storage crates",
        gate: None,
        soak: form(3, "tsan"),
    },
    Check {
        id: "B20",
        name: "coverage",
        bar: "95 % of lines, every error of a disk call",
        gate: None,
        soak: form(2, "coverage"),
    },
    Check {
        id: "B6",
        name: "metamorphic",
        bar: "500 histories of 5,000 operations on 24 settings",
        gate: form(4, "metamorphic --histories 1000000 --operations 1000"),
        soak: form(36, "metamorphic --histories 1000000"),
    },
    Check {
        id: "B16",
        name: "shuttle",
        bar: "10 models, 200,000 schedules each",
        gate: form(6, "shuttle"),
        soak: form(38, "shuttle --schedules 200000"),
    },
];
