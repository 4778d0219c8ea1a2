//! Messages over HTTP, which KV Connect has no calls for.

use std::time::Duration;

use bytes::Bytes;
use icecore::{Enqueue, Value, key};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Harness, Machine, OTHER_TOKEN};
use crate::wire::{Call, Reply};

const FIVE: &[u8] = b"\xff\x10I\x0a";

fn message() -> Enqueue {
    let backoff = [Duration::from_secs(1)];
    Enqueue::new(Value::V8(Bytes::from_static(FIVE)))
        .backoff(backoff)
        .keys_if_undelivered([key!["lost"]])
}

async fn receive(harness: &Harness, body: &'static str) -> Reply {
    let call = harness.call("queue/receive", body).await;
    harness.send(&call).await
}

async fn finish(harness: &Harness, message: &str, ok: bool) -> Reply {
    let body = format!(r#"{{"message":"{message}","ok":{ok}}}"#);
    harness.send(&harness.call("queue/finish", body).await).await
}

#[tokio::test]
async fn a_message_is_received_and_finished_once() {
    let harness = Harness::new().await;
    harness.kv.enqueue(message()).unwrap();
    let call = harness.call("queue/receive", "").await.header("user-agent", "node");
    let reply = harness.send(&call).await;
    assert_eq!((reply.status, &reply.body[..]), (200, &b"\xff\x0fI\x0a"[..]), "as Node reads it");
    assert_eq!(reply.header("x-icecore-encoding"), Some("v8"));
    assert_eq!(reply.header("x-icecore-attempt"), Some("1"));
    assert_eq!(reply.header("x-icecore-last-attempt"), Some("false"));
    let receipt = reply.header("x-icecore-message").unwrap();
    assert_eq!(harness.kv.queue("").in_work(), 1);
    let none = receive(&harness, r#"{"waitMs":0}"#).await;
    assert_eq!((none.status, none.body.len()), (204, 0), "it is in somebody's hands");
    assert_eq!(finish(&harness, receipt, true).await.status, 204);
    assert!(harness.kv.queue("").is_empty().unwrap());
    let again = finish(&harness, receipt, true).await;
    assert_eq!(again.told(), (410, "The attempt is over."));
}

#[tokio::test]
async fn a_message_that_failed_comes_again_and_in_the_end_goes_to_its_key() {
    let harness = Harness::new().await;
    harness.kv.enqueue(message()).unwrap();
    for attempt in ["1", "2"] {
        let reply = receive(&harness, "").await;
        assert_eq!(reply.header("x-icecore-attempt"), Some(attempt));
        let is_last = if attempt == "2" { "true" } else { "false" };
        assert_eq!(reply.header("x-icecore-last-attempt"), Some(is_last));
        let receipt = reply.header("x-icecore-message").unwrap();
        assert_eq!(finish(&harness, receipt, false).await.status, 204);
        harness.clock.advance_ms(1_000);
    }
    assert!(harness.kv.queue("").is_empty().unwrap());
    let lost = harness.kv.get(key!["lost"]).unwrap().value;
    assert_eq!(lost, Some(Value::V8(Bytes::from_static(FIVE))));
}

#[tokio::test]
async fn who_waits_gets_a_message_that_is_sent_later() {
    let harness = Harness::new().await;
    let call = harness.call("queue/receive", r#"{"queue":"mail","waitMs":60000}"#).await;
    let waiting = tokio::spawn({
        let address = harness.address;
        async move { call.send(address, crate::wire::Protocol::Http2).await }
    });
    // It has begun to wait, or will find the message: both are right.
    tokio::task::yield_now().await;
    harness.kv.enqueue(Enqueue::new("hello").queue("mail")).unwrap();
    let reply = waiting.await.unwrap();
    assert_eq!((reply.status, reply.text()), (200, "hello"));
    assert_eq!(reply.header("x-icecore-encoding"), Some("bytes"));
}

#[tokio::test]
async fn a_receiver_who_says_nothing_has_failed_when_his_time_is_over() {
    let harness = Harness::new().await;
    harness.kv.enqueue(message()).unwrap();
    let reply = receive(&harness, r#"{"leaseMs":1}"#).await;
    let receipt = reply.header("x-icecore-message").unwrap();
    while harness.kv.queue("").in_work() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(finish(&harness, receipt, true).await.status, 410);
    harness.clock.advance_ms(1_000);
    assert_eq!(receive(&harness, "").await.header("x-icecore-attempt"), Some("2"));
}

#[tokio::test]
async fn the_end_of_the_server_ends_waits() {
    let harness = Harness::new().await;
    harness.kv.enqueue(message()).unwrap();
    receive(&harness, "").await;
    let call = harness.call("queue/receive", r#"{"waitMs":60000}"#).await;
    let address = harness.address;
    let (reply, ended) = tokio::join!(call.send(address, crate::wire::Protocol::Http1), async {
        while !harness
            .send(&Call::new("GET", "/metrics"))
            .await
            .text()
            .contains("icecore_connections 2")
        {}
        harness.finish().await
    });
    ended.unwrap();
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn messages_in_the_hands_of_receivers_come_again_when_the_store_is_open_again() {
    let machine = Machine::new();
    let harness = Harness::of(&machine, machine.open(false), false, |_| {}).await;
    harness.kv.enqueue(message()).unwrap();
    let reply = receive(&harness, r#"{"leaseMs":3600000}"#).await;
    let receipt = reply.header("x-icecore-message").unwrap().to_owned();
    harness.finish().await.unwrap();
    let harness = Harness::of(&machine, machine.open(false), false, |_| {}).await;
    assert_eq!(finish(&harness, &receipt, true).await.status, 410);
    let reply = receive(&harness, "").await;
    assert_eq!((reply.status, reply.header("x-icecore-attempt")), (200, Some("2")));
    assert_eq!(&reply.body[..], FIVE);
}

#[tokio::test]
async fn a_finish_never_becomes_a_failure_because_its_receiver_goes_away() {
    let harness = Harness::new().await;
    for _ in 0..20 {
        harness.kv.enqueue(message().backoff([])).unwrap();
        let receipt = receive(&harness, "").await;
        let receipt = receipt.header("x-icecore-message").unwrap();
        let body = format!(r#"{{"message":"{receipt}","ok":true}}"#);
        let call = harness.call("queue/finish", body).await;
        let mut leaving = TcpStream::connect(harness.address).await.unwrap();
        leaving.write_all(&call.bytes("")).await.unwrap();
        drop(leaving);
        // What has not come to the server is said again.
        finish(&harness, receipt, true).await;
        while !harness.kv.queue("").is_empty().unwrap() {
            tokio::task::yield_now().await;
        }
        assert_eq!(harness.kv.get(key!["lost"]).unwrap().value, None, "it was dealt with");
    }
}

#[tokio::test]
async fn calls_that_make_no_sense_are_400_and_receipts_of_others_are_none() {
    let harness = Harness::new().await;
    for (method, body) in [
        ("receive", "{"),
        ("receive", r#"{"waitMs":-1}"#),
        ("receive", r#"{"wait":1}"#),
        ("finish", ""),
        ("finish", r#"{"message":1,"ok":true}"#),
        ("finish", r#"{"message":"x"}"#),
    ] {
        let call = harness.call(&format!("queue/{method}"), body).await;
        let reply = harness.send_both(&call).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().starts_with("Request is invalid: "), "{}", reply.text());
    }
    harness.kv.enqueue(message()).unwrap();
    let reply = receive(&harness, "").await;
    let receipt = reply.header("x-icecore-message").unwrap();
    let metadata = harness.send(&Harness::exchange("/db/other", OTHER_TOKEN)).await;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.body).unwrap();
    let body = format!(r#"{{"message":"{receipt}","ok":true}}"#);
    let call = Call::post("/db/other/v2/queue/finish", body)
        .header("authorization", &format!("Bearer {}", metadata["token"].as_str().unwrap()))
        .header("x-denokv-version", "3")
        .header("x-denokv-database-id", metadata["databaseId"].as_str().unwrap());
    assert_eq!(harness.send(&call).await.status, 410);
    assert_eq!(finish(&harness, receipt, true).await.status, 204);
}
