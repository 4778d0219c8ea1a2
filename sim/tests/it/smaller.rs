//! Histories that fail, made smaller.

use icecore_sim::generate::History;
use icecore_sim::minimise::{Part, minimise};
use icecore_sim::mutant_disk::DiskBug;
use icecore_sim::run_part;

fn fails(seed: u64, part: &Part, bug: Option<DiskBug>) -> bool {
    run_part(seed, part, bug, false).violation.is_some()
}

#[test]
fn what_is_left_of_a_failing_history_fails_and_is_shorter_and_holds_without_the_bug() {
    for bug in [DiskBug::NoTableSync, DiskBug::NoDirectorySync, DiskBug::FailedWriteIgnored] {
        let seed = (0..5_000).find(|seed| fails(*seed, &Part::default(), Some(bug))).unwrap();
        let part = minimise(seed, Some(bug), &|| false);
        assert!(fails(seed, &part, Some(bug)), "{bug:?}: {seed}{part}");
        assert!(!fails(seed, &part, None), "{bug:?}: {seed}{part}");
        let (before, after) = (History::new(seed), part.reduce(History::new(seed)).unwrap());
        assert!(after.ops.len() * 2 < before.ops.len(), "{bug:?}: {seed}{part}");
        assert!(!part.without.is_empty(), "{bug:?}: {seed}{part}");
        // One step further, and it does not fail any more.
        for at in 0..after.ops.len() {
            let mut text = numbers(&part);
            text.remove(at);
            let text = if text.is_empty() { "none".to_owned() } else { text.join(",") };
            let fewer = Part { kept: Some(text.parse().unwrap()), ..part.clone() };
            assert!(!fails(seed, &fewer, Some(bug)), "{bug:?}: {seed}{fewer}");
        }
    }
}

/// The numbers of the operations that are kept.
fn numbers(part: &Part) -> Vec<String> {
    let kept = part.kept.as_ref().map(ToString::to_string).unwrap_or_default();
    let run = |run: &str| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        first.parse::<usize>().unwrap()..=last.parse().unwrap()
    };
    let numbers = kept.split(',').filter(|run| *run != "none").flat_map(run);
    numbers.map(|n| n.to_string()).collect()
}

#[test]
fn a_search_for_a_smaller_history_that_has_no_time_gives_the_whole() {
    let bug = Some(DiskBug::NoTableSync);
    let seed = (0..5_000).find(|seed| fails(*seed, &Part::default(), bug)).unwrap();
    let part = minimise(seed, bug, &|| true);
    assert!(fails(seed, &part, bug));
    assert_eq!(numbers(&part).len(), History::new(seed).ops.len());
}
