//! Random histories.

use std::ops::Range;

use icecore_sim::{Finished, Totals, run_seed};

fn run(seed: u64) -> Finished {
    let finished = run_seed(seed, None, false);
    if let Some(violation) = &finished.violation {
        panic!("cargo xtask sim --trace --seed {seed}: {violation}");
    }
    finished
}

/// Runs each seed twice.
fn run_twice(seeds: Range<u64>) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_eq!(first.totals, second.totals, "seed {seed}");
        totals += first.totals;
    }
    totals
}

#[test]
fn histories_hold_and_the_same_seed_gives_the_same_trace() {
    run_twice(1_000_000..1_000_100);
}

#[test]
fn histories_meet_everything_that_the_search_is_for() {
    let totals = run_twice(1_000_100..1_000_200);
    println!("{totals}");
    assert!(totals.recoveries > 200 && totals.recoveries_with_loss > 20, "{totals}");
    assert!(totals.stops_in_recovery > 100 && totals.reopenings > 100, "{totals}");
    assert!(totals.merges > 100 && totals.moves > 50 && totals.sweeps > 20, "{totals}");
    assert!(totals.copies > 20 && totals.snapshots > 50 && totals.inventories > 50, "{totals}");
    assert!(totals.refused > 50 && totals.failed_checks > 100, "{totals}");
    assert!(totals.second_recoveries > 20 && totals.rivals > 20 && totals.resumed > 5, "{totals}");
    assert!(totals.given_up > 2 && totals.harms > 40 && totals.harmless > 10, "{totals}");
    assert!(totals.refused_openings > 20 && totals.found_by_check > 3, "{totals}");
}

#[test]
fn different_seeds_give_different_traces() {
    assert_ne!(run_seed(1, None, false).trace_hash, run_seed(2, None, false).trace_hash);
}

/// Seeds that found a bug once, each in the search of its day. Histories change when their
/// generator does, so that the bugs have tests of their own, too.
#[test]
fn seeds_that_found_something_hold() {
    let manifest_left_behind_at_creation = [247, 255];
    let temporary_file_blocks_opening = [43, 72, 91, 185];
    let expired_entries_dropped_before_the_sweep_was_durable = [17_991];
    let room_made_by_an_edit_that_was_not_durable = [5_010_046];
    let write_left_in_flight_by_a_failed_log = [746_394_533];
    let manifest_read_twice_after_a_failed_sync = [477_514];
    let commit_that_only_an_older_copy_of_the_log_has = [978_399];
    let seeds = manifest_left_behind_at_creation
        .into_iter()
        .chain(temporary_file_blocks_opening)
        .chain(expired_entries_dropped_before_the_sweep_was_durable)
        .chain(room_made_by_an_edit_that_was_not_durable)
        .chain(write_left_in_flight_by_a_failed_log)
        .chain(manifest_read_twice_after_a_failed_sync)
        .chain(commit_that_only_an_older_copy_of_the_log_has);
    seeds.for_each(|seed| drop(run(seed)));
}
