//! Queues on a machine whose power is cut at any moment, against what must be true of each message.
//!
//! One thread sends, receives, finishes, fails and lets time pass, as a seed says, and does the
//! engine's background work itself; so each seed is one history. After each stop of the machine,
//! and once more at the end, everything that was promised is looked for.

mod history;

use icecore_disk::sim::Rules;

use self::history::History;

/// Seeds of each of the fault models.
const SEEDS: u64 = 100;

fn run(seeds: std::ops::Range<u64>, rules: Rules) {
    let mut totals = history::Totals::default();
    for seed in seeds.clone() {
        let mut history = History::new(seed, rules);
        history.run();
        totals.add(&history.totals);
    }
    println!("seeds {seeds:?}: {totals:?}");
    let history::Totals { stops, delivered, redelivered, given_up, finished, .. } = totals;
    assert!([stops, delivered, redelivered, given_up, finished].iter().all(|count| *count > 100));
}

#[test]
fn messages_survive_power_cuts() {
    run(0..SEEDS, Rules::power_cut());
}

#[test]
fn messages_survive_torn_sectors_and_lost_renames() {
    run(1_000..1_000 + SEEDS, Rules { torn: true, ..Rules::alice() });
}

#[test]
fn taking_messages_at_the_front_of_a_long_queue_does_not_read_it_again() {
    let kv = crate::Kv::in_memory().unwrap();
    let queue = kv.queue("");
    for number in 0..500 {
        kv.enqueue(number).unwrap();
    }
    let held: Vec<_> = (0..400).map(|_| queue.try_receive().unwrap().unwrap()).collect();
    let last = held.last().unwrap().spot();
    assert!(queue.line.floor() > last, "what is on lease is not read again");
    let mut held = held.into_iter();
    held.by_ref().take(200).for_each(|message| message.finish().unwrap());
    assert!(queue.line.floor() > last, "nor what is finished");
    let failed = held.next().unwrap();
    failed.fail().unwrap();
    assert!(queue.line.floor() > last, "and a retry comes later");
}
