//! What all methods of the data path ask for, and reads.

use bytes::Bytes;
use icecore::key;
use prost::Message;

use crate::harness::{Harness, TOKEN};
use crate::wire::{Call, Reply};
use icecore_wire::message::{ReadRange, SnapshotRead, SnapshotReadOutput, encoding};

pub(crate) fn range(start: &[u8], end: &[u8], limit: i32) -> ReadRange {
    let (start, end) = (Bytes::copy_from_slice(start), Bytes::copy_from_slice(end));
    ReadRange { start, end, limit, reverse: false }
}

pub(crate) fn output(reply: &Reply) -> SnapshotReadOutput {
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    assert_eq!(reply.header("content-type"), Some("application/x-protobuf"));
    SnapshotReadOutput::decode(&reply.body[..]).unwrap()
}

#[tokio::test]
async fn headers_are_asked_for_in_the_words_of_the_reference() {
    let harness = Harness::new().await;
    for method in ["snapshot_read", "atomic_write", "watch"] {
        let good = harness.call(method, "").await;
        let told = async |call: Call| {
            let reply = harness.send_both(&call).await;
            (reply.status, reply.text().to_owned())
        };
        let version = (400, "Expected protocol version 2.".to_owned());
        assert_eq!(told(good.clone().without("x-denokv-version")).await, version);
        for wrong in ["1", "4", "", "2,3"] {
            assert_eq!(told(good.clone().header("x-denokv-version", wrong)).await, version);
        }
        let malformed = (401, "Malformed authorization header.".to_owned());
        assert_eq!(told(good.clone().without("authorization")).await, malformed);
        let invalid = (401, "Invalid access token.".to_owned());
        for wrong in [format!("Bearer {TOKEN}"), "Bearer 0".to_owned()] {
            assert_eq!(told(good.clone().header("authorization", &wrong)).await, invalid);
        }
        let id = (400, "Invalid database id.".to_owned());
        assert_eq!(told(good.clone().without("x-denokv-database-id")).await, id);
        for wrong in ["", "x", "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(told(good.clone().header("x-denokv-database-id", wrong)).await, id);
        }
        let nothing = good.without("x-denokv-version").without("authorization");
        assert_eq!(told(nothing).await, version, "the version is looked at first");
    }
}

#[tokio::test]
async fn both_versions_are_served_and_no_content_type_is_asked_for() {
    let harness = Harness::new().await;
    for version in ["2", "3"] {
        let call = harness.call("snapshot_read", "").await.header("x-denokv-version", version);
        output(&harness.send_both(&call).await);
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_not_there() {
    let harness = Harness::new().await;
    for path in ["/v2", "/v2/dequeue", "/v3/watch", "//v2/watch", "/v2/watch/", "/favicon.ico"] {
        let reply = harness.send_both(&Call::post(path, "x")).await;
        assert_eq!(reply.told(), (404, "Resource not found."), "{path}");
    }
    for path in ["/", "/v2/snapshot_read", "/v2/atomic_write", "/v2/watch"] {
        for verb in ["GET", "PUT", "DELETE"] {
            let reply = harness.send_both(&Call::new(verb, path)).await;
            assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")), "{path}");
        }
    }
}

#[tokio::test]
async fn what_is_no_message_is_400() {
    let harness = Harness::new().await;
    for method in ["snapshot_read", "atomic_write", "watch"] {
        for garbage in [&b"\xff\xff\xff"[..], b"\x0a\x7f", b"\x0a\x02\x0a\x09", b"\x0e\x0f\x0c"] {
            let reply = harness.send_both(&harness.call(method, garbage).await).await;
            assert_eq!(reply.status, 400, "{method} {garbage:?}");
            assert!(reply.text().starts_with("Request protobuf is invalid: "), "{}", reply.text());
        }
    }
}

#[tokio::test]
async fn reads_give_entries_of_all_kinds_and_say_that_they_are_consistent() {
    let harness = Harness::new().await;
    let v8 = icecore::Value::V8(Bytes::from_static(b"\xff\x0fI\x0a"));
    harness.kv.set(key![1], 258).unwrap();
    harness.kv.set(key![2], "text").unwrap();
    let stamp = harness.kv.set(key![3], v8).unwrap();
    let ranges = vec![range(&[], b"\xff", 2), range(key![3].encoded(), b"\xff", 9)];
    let reply = harness.ask("snapshot_read", &SnapshotRead { ranges }).await;
    let output = output(&reply);
    assert!(output.read_is_strongly_consistent && !output.read_disabled);
    assert_eq!((output.status, output.ranges.len()), (1, 2));
    let [number, text] = &output.ranges[0].values[..] else { panic!("{output:?}") };
    assert_eq!(
        (number.encoding, &number.value[..]),
        (encoding::LE64, &[2, 1, 0, 0, 0, 0, 0, 0][..])
    );
    assert_eq!((text.encoding, &text.value[..]), (encoding::BYTES, &b"text"[..]));
    let [v8] = &output.ranges[1].values[..] else { panic!("{output:?}") };
    assert_eq!((v8.encoding, &v8.value[..]), (encoding::V8, &b"\xff\x0fI\x0a"[..]));
    assert_eq!(v8.key, key![3].encoded());
    assert_eq!(v8.versionstamp, stamp.to_bytes()[..]);
}

#[tokio::test]
async fn an_answer_of_many_megabytes_comes_whole() {
    let harness = Harness::new().await;
    for number in 0..100 {
        harness.kv.set(key![number], vec![u8::try_from(number).unwrap(); 60_000]).unwrap();
    }
    let request = SnapshotRead { ranges: vec![range(&[], b"\xff", 1_000)] };
    let call = harness.call("snapshot_read", request.encode_to_vec()).await;
    let reply = harness.send_both(&call).await;
    let length = reply.header("content-length").unwrap();
    assert_eq!(length.parse(), Ok(reply.body.len()));
    let values = &output(&reply).ranges[0].values;
    let is_right = |(number, value): (usize, &icecore_wire::message::KvEntry)| {
        value.value.len() == 60_000 && value.value.iter().all(|byte| usize::from(*byte) == number)
    };
    assert!(values.len() == 100 && values.iter().enumerate().all(is_right));
}

#[tokio::test]
async fn reads_are_limited_in_the_words_of_the_reference() {
    let harness = Harness::new().await;
    let told = async |ranges| {
        let call = harness.call("snapshot_read", SnapshotRead { ranges }.encode_to_vec()).await;
        let reply = harness.send_both(&call).await;
        (reply.status, reply.text().to_owned())
    };
    let many = told(vec![range(b"\x01", b"\x02", 1); 11]).await;
    assert_eq!(many, (400, "Too many read ranges requested in one read request.".to_owned()));
    let long = told(vec![range(&[1; 2_050], b"\x02", 1)]).await;
    assert_eq!(long, (400, "A key exceeds the key size limit.".to_owned()));
    let none = told(vec![range(b"\x01", b"\x02", 0)]).await;
    let invalid = "The read range limit of the snapshot read request is invalid.";
    assert_eq!(none, (400, invalid.to_owned()));
    let all = told(vec![range(b"\x01", b"\x02", 1_001)]).await;
    let large = "The total number of entries requested across read ranges in the read request is \
                 too large.";
    assert_eq!(all, (400, large.to_owned()));
}
