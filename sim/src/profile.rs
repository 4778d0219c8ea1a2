//! What sort of disk a history is about, and the rules that it obeys.

use icecore_disk::sim::{Chance, Rules};

use crate::dice::Dice;

/// What sort of disk a history is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// It stops, and fails when it is told to.
    Honest,
    /// It is full now and then.
    Full,
    /// It fails, and says so.
    Failing,
    /// It breaks its word.
    Treacherous,
}

/// The sort of disk and its rules. Half of all disks do nothing but stop.
pub(crate) fn profile(dice: &Dice) -> (Profile, Rules) {
    let rules = match dice.below(8) {
        0 => Rules::torn(),
        1 => Rules::alice(),
        2 => Rules { torn: true, alice: true, ..Rules::impatient() },
        _ => Rules::power_cut(),
    };
    let rules = Rules {
        missing: true,
        truncated: true,
        extended: true,
        duplicated: true,
        swapped: true,
        older: true,
        strangers: true,
        rotten: true,
        foreign: true,
        entries: dice.one_in(2),
        sync_reverts: dice.one_in(3),
        ..rules
    };
    match dice.below(16) {
        0 => (Profile::Full, Rules { late_space: dice.one_in(2), entries: true, ..rules }),
        1..=3 => (Profile::Failing, failing(dice, rules)),
        4..=7 => (Profile::Treacherous, treacherous(dice, rules)),
        _ => (Profile::Honest, rules),
    }
}

/// E1 to E4, E10, and reads that fail and then succeed, in any mixture.
fn failing(dice: &Dice, rules: Rules) -> Rules {
    let chance = || Chance::one_in(dice.pick(&[0, 0, 20, 100, 400]));
    Rules {
        write_errors: chance(),
        sync_errors: chance(),
        read_errors: chance(),
        metadata_errors: chance(),
        short_writes: chance(),
        short_reads: chance(),
        remounts: Chance::one_in(dice.pick(&[0, 0, 0, 400])),
        ..rules
    }
}

/// One way of breaking a word, seldom two.
fn treacherous(dice: &Dice, mut rules: Rules) -> Rules {
    for _ in 0..dice.pick(&[1, 1, 1, 2]) {
        let often = Chance::one_in(dice.pick(&[3, 20, 100]));
        let seldom = Chance::one_in(dice.pick(&[50, 300, 1_000]));
        match dice.below(9) {
            0 => rules.late_sync_errors = often,
            1 => rules.stray_sync_errors = often,
            2 => rules.bad_sectors = seldom,
            3 => rules.bit_flips = seldom,
            4 => rules.bit_rot = seldom,
            5 => rules.misdirected_writes = seldom,
            6 => rules.misdirected_reads = seldom,
            7 => rules.mutating_maps = often,
            _ => rules.lying_syncs = often,
        }
    }
    rules
}
