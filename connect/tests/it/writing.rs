//! Atomic writes.

use std::time::Duration;

use bytes::Bytes;
use icecore::{Value, Versionstamp, key};
use prost::Message;

use crate::harness::{Harness, Machine, NOW_MS};
use crate::wire::Reply;
use icecore_wire::message::{
    AtomicWrite, AtomicWriteOutput, Check, Enqueue, KvValue, Mutation, SnapshotRead, encoding,
    mutation_type, write_status,
};

fn mutation(key: &icecore::Key, mutation_type: i32, encoding: i32, data: &[u8]) -> Mutation {
    let value = Some(KvValue { data: Bytes::copy_from_slice(data), encoding });
    let key = Bytes::copy_from_slice(key.encoded());
    Mutation { key, value, mutation_type, ..Default::default() }
}

fn set(key: &icecore::Key, number: u64) -> Mutation {
    mutation(key, mutation_type::SET, encoding::LE64, &number.to_le_bytes())
}

fn write(mutations: Vec<Mutation>) -> AtomicWrite {
    AtomicWrite { mutations, ..Default::default() }
}

fn output(reply: &Reply) -> AtomicWriteOutput {
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
    AtomicWriteOutput::decode(&reply.body[..]).unwrap()
}

#[tokio::test]
async fn a_write_is_answered_with_its_versionstamp() {
    let harness = Harness::new().await;
    let call = harness.call("atomic_write", write(vec![set(&key!["a"], 7)]).encode_to_vec()).await;
    let done = output(&harness.send_both(&call).await);
    assert_eq!((done.status, done.failed_checks.len()), (write_status::SUCCESS, 0));
    let entry = harness.kv.get(key!["a"]).unwrap();
    assert_eq!(entry.u64().unwrap(), 7);
    // It was sent twice, and the first answer is the one that is looked at.
    let stamp = Versionstamp::from_bytes(&done.versionstamp).unwrap();
    assert_eq!(entry.versionstamp.unwrap(), stamp.next());
    let nothing = output(&harness.ask("atomic_write", &write(Vec::new())).await);
    assert_eq!(nothing.versionstamp.len(), 10, "a write of nothing has one, too");
}

#[tokio::test]
async fn all_checks_that_do_not_hold_are_named() {
    let harness = Harness::new().await;
    let stamp = harness.kv.set(key!["a"], 1).unwrap();
    let check = |versionstamp: &[u8]| Check {
        key: Bytes::copy_from_slice(key!["a"].encoded()),
        versionstamp: Bytes::copy_from_slice(versionstamp),
    };
    let mut other = stamp.to_bytes();
    other[9] = 1;
    let checks =
        vec![check(&stamp.to_bytes()), check(&[]), check(&other), check(&stamp.to_bytes())];
    let request = AtomicWrite { checks, mutations: vec![set(&key!["a"], 2)], enqueues: Vec::new() };
    let call = harness.call("atomic_write", request.encode_to_vec()).await;
    let failed = output(&harness.send_both(&call).await);
    assert_eq!((failed.status, failed.failed_checks), (write_status::CHECK_FAILURE, vec![1, 2]));
    assert!(failed.versionstamp.is_empty());
    assert_eq!(harness.kv.get(key!["a"]).unwrap().u64().unwrap(), 1);
    let hundred = AtomicWrite { checks: vec![check(&stamp.to_bytes()); 100], ..Default::default() };
    assert_eq!(output(&harness.ask("atomic_write", &hundred).await).status, write_status::SUCCESS);
}

#[tokio::test]
async fn every_kind_of_mutation_does_what_it_says() {
    let harness = Harness::new().await;
    harness.kv.set(key!["gone"], 1).unwrap();
    let u64_of =
        |kind, number: u64| mutation(&key!["n"], kind, encoding::LE64, &number.to_le_bytes());
    let v8 = mutation(&key!["v8"], mutation_type::SET, encoding::V8, b"\xff\x10I\x0a");
    let mut expiring = set(&key!["expiring"], 1);
    expiring.expire_at_ms = i64::try_from(NOW_MS + 1_000).unwrap();
    let delete = Mutation { value: None, ..mutation(&key!["gone"], 2, 0, b"") };
    let stamped = mutation(&key!["log"], 9, encoding::BYTES, b"line");
    let mutations = vec![
        u64_of(mutation_type::SUM, 3),
        u64_of(mutation_type::MAX, 10),
        u64_of(mutation_type::MIN, 7),
        v8,
        expiring,
        delete,
        stamped,
    ];
    let done = output(&harness.ask("atomic_write", &write(mutations)).await);
    let stamp = Versionstamp::from_bytes(&done.versionstamp).unwrap();
    let kv = &harness.kv;
    assert_eq!(kv.get(key!["n"]).unwrap().u64().unwrap(), 7);
    let stored = kv.get(key!["v8"]).unwrap().value;
    assert_eq!(stored, Some(Value::V8(Bytes::from_static(b"\xff\x10I\x0a"))), "as it was sent");
    assert!(!kv.get(key!["gone"]).unwrap().is_present());
    assert_eq!(kv.get(key!["log", stamp.to_string()]).unwrap().str().unwrap(), "line");
    assert!(kv.get(key!["expiring"]).unwrap().is_present());
    harness.clock.advance_ms(1_000);
    assert!(!kv.get(key!["expiring"]).unwrap().is_present());
}

#[tokio::test]
async fn a_failing_mutation_is_400_with_deno_s_text_and_leaves_nothing() {
    let harness = Harness::new().await;
    harness.kv.set(key!["text"], "x").unwrap();
    let sum = mutation(&key!["text"], mutation_type::SUM, encoding::LE64, &[1; 8]);
    let request = write(vec![set(&key!["before"], 1), sum, set(&key!["after"], 1)]);
    let call = harness.call("atomic_write", request.encode_to_vec()).await;
    let text = "Failed to perform 'sum' mutation on a non-U64 value in the database";
    assert_eq!(harness.send_both(&call).await.told(), (400, text));
    assert_eq!(harness.kv.count(..).unwrap(), 1);
    let min = mutation(&key!["n"], mutation_type::MIN, encoding::BYTES, b"x");
    let reply = harness.ask("atomic_write", &write(vec![min])).await;
    assert_eq!(reply.told(), (400, "Failed to perform 'min' mutation on a non-U64 operand"));
    let mut within = mutation(&key!["n"], mutation_type::SUM, encoding::V8, b"\xff\x0fI\x0a");
    within.sum_max = Bytes::from_static(b"\xff\x0fI\x02");
    let reply = harness.ask("atomic_write", &write(vec![within.clone()])).await;
    let text = "The result of a Sum operation would exceed its range limit";
    assert_eq!(reply.told(), (400, text));
    within.sum_clamp = true;
    let done = output(&harness.ask("atomic_write", &write(vec![within])).await);
    assert_eq!(done.status, write_status::SUCCESS);
    assert_eq!(harness.kv.get(key!["n"]).unwrap().number().unwrap(), 1.0);
}

#[tokio::test]
async fn arguments_that_make_no_sense_are_400() {
    let harness = Harness::new().await;
    let a = key!["a"];
    let faults = [
        (mutation(&a, 0, 1, b""), "Invalid mutation kind or arguments."),
        (mutation(&a, 77, 1, b""), "Invalid mutation kind or arguments."),
        (Mutation { value: None, ..set(&a, 1) }, "Invalid mutation kind or arguments."),
        (Mutation { expire_at_ms: -2, ..set(&a, 1) }, "Invalid mutation expire at."),
        (mutation(&a, 1, 0, b""), "Invalid value encoding."),
        (mutation(&a, 1, 9, b""), "Invalid value encoding."),
        (mutation(&a, 1, 2, b"\x01"), "A value of the encoding VE_LE64 has eight bytes."),
        (mutation(&a, 1, 3, &[0; 65_537]), "A value exceeds the value size limit."),
        (set(&key!["k".repeat(2_047)], 1), "A key exceeds the key size limit."),
        (set(&key![], 1), "key cannot be empty"),
    ];
    for (fault, text) in faults {
        let call = harness.call("atomic_write", write(vec![fault]).encode_to_vec()).await;
        assert_eq!(harness.send_both(&call).await.told(), (400, text));
    }
    let check = Check { key: Bytes::from_static(b"\x14"), versionstamp: Bytes::from_static(b"7") };
    let request = AtomicWrite { checks: vec![check], ..Default::default() };
    assert_eq!(harness.ask("atomic_write", &request).await.told(), (400, "Invalid versionstamp."));
    assert_eq!(harness.kv.stats().unwrap().commits, 0);
}

#[tokio::test]
async fn messages_arrive_in_the_queue() {
    let harness = Harness::new().await;
    let message = Enqueue {
        payload: Bytes::from_static(b"\xff\x0fI\x0a"),
        deadline_ms: i64::try_from(NOW_MS + 5_000).unwrap(),
        keys_if_undelivered: vec![Bytes::copy_from_slice(key!["lost"].encoded())],
        backoff_schedule: vec![100, 200],
    };
    let request = AtomicWrite { enqueues: vec![message], ..Default::default() };
    assert_eq!(output(&harness.ask("atomic_write", &request).await).status, write_status::SUCCESS);
    let waiting = harness.kv.queue("").peek(2).unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].payload, Value::V8(Bytes::from_static(b"\xff\x0fI\x0a")));
    assert_eq!(waiting[0].ready_at, waiting[0].enqueued_at + Duration::from_secs(5));
}

#[tokio::test]
async fn a_store_for_reading_only_is_read_and_says_that_writes_are_disabled() {
    let machine = Machine::new();
    let writable = machine.open(false);
    writable.set(key!["a"], 1).unwrap();
    writable.close().unwrap();
    let harness = Harness::of(&machine, machine.open(true), true, |_| {}).await;
    let call = harness.call("atomic_write", write(vec![set(&key!["a"], 2)]).encode_to_vec()).await;
    let disabled = output(&harness.send_both(&call).await);
    assert_eq!(disabled.status, write_status::WRITE_DISABLED);
    let malformed = harness.call("atomic_write", "\u{7}").await;
    assert_eq!(harness.send_both(&malformed).await.status, 400);
    let ranges = vec![super::data_path::range(&[], b"\xff", 9)];
    let reply = harness.ask("snapshot_read", &SnapshotRead { ranges }).await;
    assert_eq!(
        super::data_path::output(&reply).ranges[0].values[0].value,
        [1, 0, 0, 0, 0, 0, 0, 0][..]
    );
}
