//! Power cuts at every operation: a prefix survives, with all that was acknowledged.

use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Crash, Rules, SimDisk};

use crate::support::{BUFFERED, SMALL, SYNC, Store};

/// Commits and drives at random until the machine stops; says what was acknowledged as durable,
/// and what was appended last.
fn run(store: &Store, dice: &SeededRandom) -> (u64, u64) {
    let mut acknowledged = 0;
    let mut appended = 0;
    let mut durable = Vec::new();
    for _ in 0..60 {
        if dice.one_in(3) {
            let durability = if dice.one_in(2) { SYNC } else { BUFFERED };
            let bytes = usize::try_from(dice.below(900)).unwrap();
            let payload = vec![u8::try_from(appended % 251).unwrap(); bytes];
            let Ok(stamp) = store.try_append(&payload, durability) else { break };
            appended = stamp.get();
            if durability == SYNC {
                durable.push(appended);
            }
        } else if dice.one_in(12) {
            if store.log.beacon().is_err() {
                break;
            }
        } else if store.log.step(dice.next()).is_err() {
            break;
        }
        let visible = store.log.visible().get();
        durable.retain(|stamp| {
            acknowledged = if *stamp <= visible { *stamp } else { acknowledged };
            *stamp > visible
        });
    }
    (acknowledged, appended)
}

fn check(seed: u64, rules: Rules) {
    let dice = SeededRandom::new(seed);
    let store = Store::on(SimDisk::new(seed, rules), SMALL);
    store.disk.crash_at(store.disk.operations() + dice.below(120));
    let (acknowledged, appended) = run(&store, &dice);
    let kill = dice.one_in(4);
    let visible = store.log.visible().get();
    if kill {
        store.disk.kill();
    } else {
        store.disk.crash(Crash::Random);
    }
    let disk = store.disk.reopen();
    let (_, read) = store.recover(&*disk).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    for (index, (stamp, payload)) in read.iter().enumerate() {
        assert_eq!(*stamp, index as u64 + 1, "seed {seed}: a hole");
        assert!(payload.iter().all(|b| u64::from(*b) == index as u64 % 251), "seed {seed}");
    }
    let last = read.len() as u64;
    let floor = if kill { visible } else { acknowledged };
    assert!((floor..=appended + 1).contains(&last), "seed {seed}: {floor} ≤ {last} ≤ {appended}");
}

#[test]
fn after_a_power_cut_a_prefix_survives_with_all_that_was_acknowledged() {
    for seed in 0..1500 {
        check(seed, Rules::power_cut());
    }
}

#[test]
fn torn_sectors_make_no_difference() {
    for seed in 10_000..10_500 {
        check(seed, Rules { alice: true, ..Rules::torn() });
    }
}

#[test]
fn short_writes_and_interruptions_are_not_noticed() {
    for seed in 20_000..20_300 {
        check(seed, Rules::impatient());
    }
}
