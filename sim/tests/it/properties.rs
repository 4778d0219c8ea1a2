//! Histories drawn by a property test, which makes a failing one smaller by itself: without faults, and
//! with stops and errors of the disk. The random search draws from the same operations and meets more
//! of them; this one explains what it finds.

use icecore_disk::sim::{Failure, OpKind, Rules};
use icecore_engine::Durability;
use icecore_sim::World;
use icecore_sim::batch::MutationSpec;
use icecore_sim::generate::key;
use icecore_sim::history::{CheckPlan, Fate, Op, Revival};
use icecore_sim::metamorphic::{SETTINGS, settings};
use icecore_sim::model::Value;
use icecore_sim::world::CLOCK_START_MS;
use proptest::collection::vec;
use proptest::prelude::*;

/// As many keys as the operations name.
const KEYS: usize = 24;
/// Every commit sets it, so that no two states are equal.
const WITNESS: [u8; 2] = [0x20, 0xff];

fn keys() -> impl Strategy<Value = Vec<u8>> {
    (0..KEYS).prop_map(key)
}

fn values() -> impl Strategy<Value = Value> {
    let bytes = prop_oneof![
        4 => vec(any::<u8>(), 1..40),
        1 => (any::<u8>(), 40..3_000usize).prop_map(|(fill, bytes)| vec![fill; bytes]),
    ];
    let expires_at = proptest::option::weighted(0.2, CLOCK_START_MS..CLOCK_START_MS + 5_000);
    (bytes, expires_at).prop_map(|(bytes, expires_at)| Value { bytes, expires_at })
}

fn ranges() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    // The last four keys are in another keyspace.
    (0..KEYS - 5, 1..4usize).prop_map(|(from, keys)| (key(from), key((from + keys).min(KEYS - 5))))
}

fn mutations() -> impl Strategy<Value = MutationSpec> {
    prop_oneof![
        6 => (keys(), values()).prop_map(|(key, value)| MutationSpec::Set { key, value }),
        2 => keys().prop_map(|key| MutationSpec::Delete { key }),
        2 => (keys(), 0..4u8).prop_map(|(key, rule)| MutationSpec::Update { key, rule }),
        1 => ranges().prop_filter("it is not empty", |(start, end)| start < end)
            .prop_map(|(start, end)| MutationSpec::DeleteRange { start, end }),
        1 => values().prop_map(|value| {
            MutationSpec::SetVersionstamped { prefix: vec![0x10, b'v', b'0'], value }
        }),
    ]
}

fn commits() -> impl Strategy<Value = Op> {
    let checks = (keys(), any::<bool>()).prop_map(|(key, right)| CheckPlan { key, right });
    let durability = prop_oneof![Just(Durability::Sync), Just(Durability::Buffered)];
    (vec(checks, 0..3), vec(mutations(), 1..5), durability, any::<bool>()).prop_map(
        |(checks, mutations, durability, wait)| Op::Commit { checks, mutations, durability, wait },
    )
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Power), Just(Fate::Kill)]
}

fn revivals() -> impl Strategy<Value = Revival> {
    (fates(), vec((0..40u64, fates()), 0..3), proptest::option::of(0..SETTINGS)).prop_map(
        |(fate, nested, other)| Revival {
            fate,
            nested,
            options: other.map(|n| Box::new(settings(n))),
        },
    )
}

fn reopenings() -> impl Strategy<Value = Op> {
    (any::<bool>(), any::<bool>(), proptest::option::of(0..SETTINGS)).prop_map(
        |(close, look_first, other)| Op::Reopen {
            close,
            look_first,
            failure: None,
            options: other.map(|n| Box::new(settings(n))),
        },
    )
}

/// What happens on a disk that does what it says.
fn calm_ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => commits(),
        2 => Just(Op::Poll),
        2 => keys().prop_map(Op::Get),
        1 => (ranges(), any::<u64>())
            .prop_map(|((start, end), sides)| Op::Scan { start, end, sides }),
        1 => Just(Op::Snapshot),
        1 => (0..3usize).prop_map(|keep| Op::CheckSnapshots { keep }),
        1 => (0..2usize).prop_map(Op::Follow),
        1 => Just(Op::Flush),
        1 => Just(Op::Compact),
        6 => any::<u64>().prop_map(Op::Step),
        1 => Just(Op::Quiesce),
        1 => Just(Op::Check),
        1 => (1..3_000i64).prop_map(Op::Clock),
        1 => reopenings(),
    ]
}

/// What happens on one that stops and fails.
fn ops() -> impl Strategy<Value = Op> {
    let kinds = prop_oneof![
        Just(OpKind::Sync),
        Just(OpKind::Complete),
        Just(OpKind::Write),
        Just(OpKind::SyncDir),
        Just(OpKind::Create),
        Just(OpKind::Rename),
        Just(OpKind::Remove),
    ];
    let failures = prop_oneof![Just(Failure::Io), Just(Failure::NoSpace), Just(Failure::Short)];
    prop_oneof![
        20 => calm_ops(),
        1 => revivals().prop_map(Op::Stop),
        2 => (0..40u64, revivals())
            .prop_map(|(operations, revival)| Op::StopAfter { operations, revival }),
        1 => (kinds, failures, 1..3u64)
            .prop_map(|(kind, failure, times)| Op::Fail { kind, failure, times }),
        1 => proptest::option::of(0..50_000u64).prop_map(Op::Space),
    ]
}

/// `ops` with a mark of its own in every commit.
fn witnessed(ops: Vec<Op>) -> Vec<Op> {
    let marked = ops.into_iter().enumerate().map(|(n, op)| match op {
        Op::Commit { checks, mut mutations, durability, wait } => {
            let bytes = (n as u64).to_be_bytes().to_vec();
            let value = Value { bytes, expires_at: None };
            mutations.push(MutationSpec::Set { key: WITNESS.to_vec(), value });
            Op::Commit { checks, mutations, durability, wait }
        }
        other => other,
    });
    marked.collect()
}

fn hold(seed: u64, rules: Rules, n: usize, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut world = World::new(seed, rules, settings(n), None);
    world.run(&witnessed(ops)).map_err(|violation| TestCaseError::fail(violation.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_equals_the_model_whatever_is_done_to_it(
        seed: u64,
        n in 0..SETTINGS,
        ops in vec(calm_ops(), 1..80),
    ) {
        hold(seed, Rules::none(), n, ops)?;
    }

    #[test]
    fn a_store_survives_whatever_the_disk_does_to_it(
        seed: u64,
        n in 0..SETTINGS,
        rules in prop_oneof![Just(Rules::power_cut()), Just(Rules::torn()), Just(Rules::alice()), Just(Rules::impatient())],
        ops in vec(ops(), 1..80),
    ) {
        hold(seed, rules, n, ops)?;
    }
}
