//! Scripts: two of them with crashes at every point, the rest without any.

use icecore_disk::sim::Rules;
use icecore_sim::exhaust::{every_crash, every_failing_creation, every_failure};
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

#[test]
fn calls_after_a_reopening_fail_in_their_turn() {
    for trouble in [TROUBLES[0], TROUBLES[5]] {
        for name in ["close", "dropped without close"] {
            every_failure(&script(name), trouble).unwrap_or_else(|v| panic!("{v}"));
        }
    }
}

#[test]
fn every_call_of_a_compaction_and_of_a_creation_may_fail() {
    for trouble in TROUBLES {
        every_failure(&script("compaction"), trouble).unwrap_or_else(|v| panic!("{v}"));
        every_failing_creation(trouble).unwrap_or_else(|v| panic!("{v}"));
    }
}
