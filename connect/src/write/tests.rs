use icecore::key;

use super::*;

const NOW_MS: u64 = 1_000_000;

fn set(key: &Key, value: message::KvValue) -> message::Mutation {
    let key = Bytes::copy_from_slice(key.encoded());
    let mutation_type = mutation_type::SET;
    message::Mutation { key, value: Some(value), mutation_type, ..Default::default() }
}

fn bytes(length: usize) -> message::KvValue {
    message::KvValue { data: vec![7; length].into(), encoding: encoding::BYTES }
}

fn decode(write: &AtomicWrite) -> Result<Write, String> {
    Write::decode(write.encode_to_vec().into(), NOW_MS).map_err(|refusal| refusal.text)
}

fn refused(write: &AtomicWrite) -> String {
    decode(write).unwrap_err()
}

fn mutations(mutations: Vec<message::Mutation>) -> AtomicWrite {
    AtomicWrite { mutations, ..Default::default() }
}

/// The text with which this mutation is refused, if it is.
fn mutated(change: impl FnOnce(&mut message::Mutation)) -> Option<String> {
    let mut mutation = set(&key!["a"], bytes(1));
    change(&mut mutation);
    decode(&mutations(vec![mutation])).err()
}

#[test]
fn what_is_no_message_is_refused_whatever_the_bytes() {
    for garbage in [&b"\x0a\xff"[..], b"\xff", b"\x0a\x02\x0a\x05", b"\x0f", b"\x12\x02\x10"] {
        let refusal = Write::decode(Bytes::from_static(garbage), NOW_MS).unwrap_err();
        assert!(refusal.text.starts_with("Request protobuf is invalid: "), "{}", refusal.text);
    }
}

#[test]
fn a_hundred_checks_are_taken_and_a_thousand_mutations() {
    let check = message::Check { key: Bytes::from_static(b"\x14"), ..Default::default() };
    let checks = |number| AtomicWrite { checks: vec![check.clone(); number], ..Default::default() };
    assert_eq!(decode(&checks(100)).unwrap().checks.len(), 100);
    assert_eq!(refused(&checks(101)), "Too many checks included in atomic write.");
    let many = |number| {
        let enqueues = vec![message::Enqueue::default(); 1];
        let mutations = vec![set(&key!["a"], bytes(1)); number];
        AtomicWrite { mutations, enqueues, ..Default::default() }
    };
    assert_eq!(decode(&many(999)).unwrap().mutations.len(), 999);
    assert_eq!(refused(&many(1_000)), "Too many mutations / enqueues included in atomic write.");
}

#[test]
fn a_flood_of_empty_fields_is_refused_before_any_is_decoded() {
    // Two bytes each, which would be a hundred times as much in memory.
    let flood = [0x12, 0].repeat(2_000_000);
    let refusal = Write::decode(flood.into(), NOW_MS).unwrap_err();
    assert_eq!(refusal.text, "Too many mutations / enqueues included in atomic write.");
}

#[test]
fn versionstamps_of_checks_have_ten_bytes_or_none() {
    let expected = |stamp: &'static [u8]| {
        let (key, versionstamp) = (Bytes::from_static(b"\x14"), Bytes::from_static(stamp));
        let checks = vec![message::Check { key, versionstamp }];
        decode(&AtomicWrite { checks, ..Default::default() }).map(|write| write.checks[0].1)
    };
    assert_eq!(expected(&[]), Ok(None));
    assert_eq!(expected(&[0, 0, 0, 0, 0, 0, 0, 7, 0, 0]), Ok(Some(Versionstamp::new(7))));
    // No key has such a one: a check that fails.
    assert_eq!(expected(&[0, 0, 0, 0, 0, 0, 0, 7, 0, 1]), Ok(Some(Versionstamp::MAX)));
    for wrong in [&[1; 1][..], &[1; 9], &[1; 11]] {
        let wrong: &'static [u8] = Box::leak(wrong.to_vec().into());
        assert_eq!(expected(wrong), Err("Invalid versionstamp.".to_owned()));
    }
}

#[test]
fn mutations_without_a_kind_or_a_value_are_refused() {
    let invalid = Some("Invalid mutation kind or arguments.".to_owned());
    for kind in [0, 6, 8, 10, -1] {
        assert_eq!(mutated(|m| m.mutation_type = kind), invalid, "{kind}");
    }
    for kind in [1, 3, 4, 5, 9] {
        let without = |m: &mut message::Mutation| (m.mutation_type, m.value) = (kind, None);
        assert_eq!(mutated(without), invalid, "{kind}");
    }
    assert_eq!(mutated(|m| (m.mutation_type, m.value) = (2, None)), None, "a deletion needs none");
    assert_eq!(mutated(|m| m.mutation_type = 2), None, "but may have one");
}

#[test]
fn values_are_of_a_known_encoding_and_numbers_have_eight_bytes() {
    let valued = |encoding, data: &'static [u8]| {
        let data = Bytes::from_static(data);
        mutated(|m| m.value = Some(message::KvValue { data, encoding }))
    };
    assert_eq!(valued(encoding::LE64, &[0; 8]), None);
    let odd = "A value of the encoding VE_LE64 has eight bytes.";
    assert_eq!(valued(encoding::LE64, &[0; 7]).as_deref(), Some(odd));
    assert_eq!(valued(encoding::LE64, &[]).as_deref(), Some(odd));
    for unknown in [0, 4, -1] {
        assert_eq!(valued(unknown, &[]).as_deref(), Some("Invalid value encoding."));
    }
}

#[test]
fn moments_before_1970_are_no_expiries() {
    for fine in [-1, 0, 1, 1_700_000_000_000] {
        assert_eq!(mutated(|m| m.expire_at_ms = fine), None, "{fine}");
    }
    for wrong in [-2, i64::MIN] {
        let text = mutated(|m| m.expire_at_ms = wrong);
        assert_eq!(text.as_deref(), Some("Invalid mutation expire at."), "{wrong}");
    }
}

#[test]
fn keys_values_and_the_whole_are_limited() {
    let long = Some("A key exceeds the key size limit.".to_owned());
    let of_length = |length: usize| Bytes::from(key!["k".repeat(length - 2)].encoded().to_vec());
    assert_eq!(mutated(|m| m.key = of_length(2_048)), None);
    assert_eq!(mutated(|m| m.key = of_length(2_049)), long);
    let stamped = |length| mutated(|m| (m.mutation_type, m.key) = (9, of_length(length)));
    assert_eq!((stamped(2_026), stamped(2_027)), (None, long), "its stamp takes 22 bytes more");
    assert_eq!(mutated(|m| m.value = Some(bytes(65_536))), None);
    let large = mutated(|m| m.value = Some(bytes(65_537)));
    assert_eq!(large.as_deref(), Some("A value exceeds the value size limit."));
    let whole = |last| {
        let mut all = vec![set(&key![0], bytes(65_535)); 12];
        all.push(set(&key![0], bytes(last)));
        decode(&mutations(all)).err()
    };
    let most = 819_200 - 12 * 65_536 - 1;
    assert_eq!(whole(most), None);
    let too_large = "The total size of the atomic write is too large.";
    assert_eq!(whole(most + 1).as_deref(), Some(too_large));
}

#[test]
fn no_key_is_stored_that_no_client_can_decode() {
    for wrong in [&b"\x02a"[..], b"\x03", b"\x02\xff\x00", b"\x15\x00", b"\x00"] {
        let text = mutated(|m| m.key = Bytes::from_static(wrong));
        assert_eq!(text.as_deref(), Some("A key is not an encoded key."), "{wrong:?}");
    }
}

#[test]
fn messages_are_limited_in_every_way() {
    let enqueued = |change: &dyn Fn(&mut message::Enqueue)| {
        let mut message = message::Enqueue::default();
        change(&mut message);
        decode(&AtomicWrite { enqueues: vec![message], ..Default::default() }).err()
    };
    let now = i64::try_from(NOW_MS).unwrap();
    let month = 30 * 24 * 3_600_000;
    assert_eq!(enqueued(&|m| m.deadline_ms = now + month), None);
    let deadline = Some("Invalid mutation enqueue deadline.".to_owned());
    assert_eq!(enqueued(&|m| m.deadline_ms = now + month + 60_001), deadline);
    assert_eq!(enqueued(&|m| m.deadline_ms = -1), deadline);
    let keys = enqueued(&|m| m.keys_if_undelivered = vec![Bytes::from_static(b"\x14"); 11]);
    assert_eq!(keys.unwrap(), "Too many dead letter keys for a single queue message.");
    let key = enqueued(&|m| m.keys_if_undelivered = vec![vec![1; 2_049].into()]);
    assert_eq!(key.unwrap(), "A key exceeds the key size limit.");
    let intervals = enqueued(&|m| m.backoff_schedule = vec![1; 11]);
    assert_eq!(intervals.unwrap(), "Too many backoff intervals for a single queue message.");
    let interval = enqueued(&|m| m.backoff_schedule = vec![3_600_001]);
    let text = "A backoff interval exceeds the maximum allowed backoff interval.";
    assert_eq!(interval.unwrap(), text);
    assert_eq!(enqueued(&|m| m.backoff_schedule = vec![3_600_000; 10]), None);
    let payload = enqueued(&|m| m.payload = vec![0; 65_537].into());
    assert_eq!(payload.unwrap(), "A value exceeds the value size limit.");
}

#[test]
fn what_is_accepted_here_is_accepted_by_the_store() {
    let kv = Kv::builder_in_memory().limits(crate::store_limits()).open().unwrap();
    let commit = |write: &AtomicWrite| {
        let pending = decode(write).unwrap().submit(&kv);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        output(&runtime.block_on(pending).unwrap())
    };
    let delete = |number: u32| message::Mutation {
        key: Bytes::copy_from_slice(key![number, "k".repeat(2_030)].encoded()),
        mutation_type: mutation_type::DELETE,
        ..Default::default()
    };
    let deletions = (0..390).map(delete).collect();
    assert_eq!(commit(&mutations(deletions)).status, write_status::SUCCESS);
    let long = key!["k".repeat(2_047)].encoded().to_vec();
    let check = message::Check { key: long.into(), ..Default::default() };
    let wrong = message::Check {
        key: Bytes::from_static(b"\x14"),
        versionstamp: Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 7, 0, 1]),
    };
    let checks = vec![check.clone(), wrong.clone(), check, wrong];
    let failed = commit(&AtomicWrite { checks, ..Default::default() });
    assert_eq!((failed.status, failed.failed_checks), (write_status::CHECK_FAILURE, vec![1, 3]));
    let message = message::Enqueue {
        payload: vec![0; 65_536].into(),
        deadline_ms: i64::try_from(kv.stats().unwrap().commits).unwrap(),
        keys_if_undelivered: vec![Bytes::from_static(b"\x14"); 10],
        backoff_schedule: vec![3_600_000; 10],
    };
    let sent = commit(&AtomicWrite { enqueues: vec![message], ..Default::default() });
    assert_eq!(sent.status, write_status::SUCCESS);
    assert_eq!(kv.queue("").len().unwrap(), 1);
}

#[test]
fn a_message_that_repeats_what_nobody_may_repeat_is_refused_before_it_is_decoded() {
    let told = |enqueue: Vec<u8>| {
        let mut body = vec![3 << 3 | 2];
        prost::encoding::encode_varint(enqueue.len() as u64, &mut body);
        body.extend(enqueue);
        count(&body).map_err(|refusal| refusal.text)
    };
    let keys = "Too many dead letter keys for a single queue message.";
    let intervals = "Too many backoff intervals for a single queue message.";
    assert_eq!(told([3 << 3 | 2, 0].repeat(10)), Ok(()));
    assert_eq!(told([3 << 3 | 2, 0].repeat(2_000_000)), Err(keys.to_owned()));
    assert_eq!(told([4 << 3, 7].repeat(11)), Err(intervals.to_owned()));
    let packed =
        |numbers: &[u8]| [&[4 << 3 | 2, u8::try_from(numbers.len()).unwrap()], numbers].concat();
    assert_eq!(told(packed(&[0x80, 1].repeat(10))), Ok(()));
    assert_eq!(told(packed(&[1; 11])), Err(intervals.to_owned()));
    assert_eq!(told([packed(&[1; 6]), packed(&[1; 5])].concat()), Err(intervals.to_owned()));
    assert!(told(vec![3 << 3 | 2, 5]).unwrap_err().starts_with("Request protobuf is invalid"));
}
