//! Scripts: two of them with crashes at every point, the rest without any.

use icecore_disk::sim::Rules;
use icecore_sim::exhaust::{Chain, Effort, Exam, every_crash};
use icecore_sim::failures::Victim;
use icecore_sim::rot::{every_provable_loss, every_rot};
use icecore_sim::script::{Script, all};
use icecore_sim::trouble::TROUBLES;
use icecore_sim::{Totals, World};

fn script(name: &str) -> Script {
    all().into_iter().find(|script| script.name == name).expect("there is such a script")
}

fn crashes(name: &str) -> Totals {
    every_crash(&script(name)).unwrap_or_else(|violation| panic!("{violation}"))
}

#[test]
fn every_script_runs_without_a_crash() {
    for script in all() {
        let mut world = World::new(1, Rules::none(), script.options, None);
        let ops: Vec<_> = script.prelude.into_iter().chain(script.ops).collect();
        if let Err(violation) = world.run(&ops) {
            panic!("{}: {violation}", script.name);
        }
    }
}

#[test]
fn a_store_may_be_stopped_anywhere_while_it_flushes() {
    assert!(crashes("flush").recoveries > 1_000);
}

#[test]
fn a_store_may_be_stopped_anywhere_while_it_rotates_into_recycled_segments() {
    assert!(crashes("recycled segments").recoveries > 1_000);
}

#[test]
fn a_manifest_is_replaced_in_its_script() {
    let script = script("a manifest is replaced");
    let mut world = World::new(1, Rules::none(), script.options, None);
    world.keep_lines();
    let ops: Vec<_> = script.prelude.into_iter().chain(script.ops).collect();
    if let Err(violation) = world.run(&ops) {
        panic!("{violation}");
    }
    let created = |line: &&String| line.contains("Create") && line.contains(".manifest");
    // Two at creation, one at the reopening that ends every run, and the one in between.
    assert_eq!(world.disk().trace().iter().filter(created).count(), 4);
}

fn holds<T>(outcome: Result<T, icecore_sim::Violation>) {
    outcome.map(drop).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn calls_after_a_reopening_fail_in_their_turn() {
    for kind in TROUBLES
        .into_iter()
        .filter(|kind| ["io", "no-space-for-ever"].contains(&&*kind.to_string()))
    {
        for name in ["close", "dropped without close"] {
            holds(Victim::Script(&script(name)).fail_each(kind));
        }
    }
}

#[test]
fn every_call_of_a_compaction_and_of_a_creation_may_fail() {
    for kind in TROUBLES {
        holds(Victim::Script(&script("compaction")).fail_each(kind));
        holds(Victim::Creation.fail_each(kind));
    }
}

#[test]
fn what_a_script_leaves_behind_may_be_damaged_in_every_way() {
    for name in ["commits one by one", "recycled segments", "deleted ranges"] {
        let totals = every_rot(&script(name)).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(totals.harms > 500 && totals.refused_openings > 100, "{name}: {totals}");
    }
}

#[test]
fn what_was_provably_durable_is_not_lost_in_silence() {
    let full = ["rotation", "rotation into spares", "deleted ranges in the log"];
    let roomy = ["commits one by one", "large values", "a group in flight"];
    for name in roomy.into_iter().chain(full) {
        let totals = every_provable_loss(&script(name)).unwrap_or_else(|v| panic!("{v}"));
        assert!(totals.refused_openings > 5 && totals.harms > 50, "{name}: {totals}");
    }
}

#[test]
fn two_calls_of_a_flush_may_fail() {
    let flush = script("flush");
    let victim = Victim::Script(&flush);
    for call in 0..victim.calls().unwrap() {
        holds(victim.fail(TROUBLES[0], call, Some(call + 3)));
    }
}

#[test]
fn there_are_at_least_forty_scripts_with_names_of_their_own() {
    let mut names: Vec<_> = all().iter().map(|script| script.name).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() >= 40 && names.len() == all().len(), "{names:?}");
}

#[test]
fn a_chain_of_blows_can_be_replayed_and_two_stops_in_recovery_follow_one_another() {
    let flush = script("flush");
    let exam = Exam { script: &flush, effort: Effort::GATE, seed: 5 };
    for text in ["none", "kill", "only-1", "subset-5", "all,3:none", "none,2:kill,4:random"] {
        let chain: Chain = text.parse().unwrap();
        let (one, other) = (exam.replay(40, &chain).unwrap(), exam.replay(40, &chain).unwrap());
        assert_eq!(one, other, "{text}");
        assert_eq!(one.stops_in_recovery > 0, text.contains(','), "{text}: {one}");
    }
    let deeper = Effort { depth: 3, followed: 1, rounds: 0, ..Effort::GATE };
    let deep = Exam { effort: deeper, ..exam }.stop_at(40).unwrap();
    let shallow = Exam { effort: Effort { depth: 2, ..deeper }, ..exam }.stop_at(40).unwrap();
    assert!(deep.recoveries > 4 * shallow.recoveries, "{deep}, but {shallow}");
}

#[test]
fn a_script_takes_as_many_operations_wherever_it_is_stopped() {
    for name in ["no room for a flush", "no room for a compaction"] {
        let script = script(name);
        for seed in (0..100).chain([969_531]) {
            let exam = Exam { script: &script, effort: Effort::GATE, seed };
            let last = exam.operations().unwrap() - 1;
            exam.replay(last, &"none".parse().unwrap()).unwrap_or_else(|f| panic!("{seed}: {f:?}"));
        }
    }
}
