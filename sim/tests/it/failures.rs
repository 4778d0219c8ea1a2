//! Each call that any script makes to the disk fails: what `cargo xtask sim --failures` does, for
//! two kinds of trouble.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use icecore_sim::failures::Victim;
use icecore_sim::script::all;
use icecore_sim::trouble::{TROUBLES, TroubleKind};

const KINDS: [&str; 2] = ["io", "no-space"];

/// Two threads take one victim after the other.
#[test]
#[ignore = "takes a minute; `cargo xtask coverage` asks for it"]
fn each_call_of_each_script_and_of_its_recovery_may_fail() {
    let scripts = all();
    let both = |script| [Victim::Script(script), Victim::Recovery(script)];
    let victims: Vec<Victim<'_>> =
        scripts.iter().flat_map(both).chain([Victim::Creation]).collect();
    let is_wanted = |kind: &TroubleKind| KINDS.contains(&&*kind.to_string());
    let kinds: Vec<TroubleKind> = TROUBLES.into_iter().filter(is_wanted).collect();
    assert_eq!(kinds.len(), KINDS.len());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(victim) = victims.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for kind in &kinds {
                        victim.fail_each(*kind).unwrap_or_else(|v| panic!("{v}"));
                    }
                }
            });
        }
    });
}
