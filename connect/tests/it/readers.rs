//! Values as the asking program can read them.

use bytes::Bytes;
use icecore::{Value, key};
use prost::Message;

use crate::data_path::{output, range};
use crate::harness::Harness;
use crate::watching::{Stream, request};
use crate::wire::BOTH;
use icecore_wire::message::SnapshotRead;

const OF_DENO: &[u8] = b"\xff\x10I\x0a";
const OF_NODE: &[u8] = b"\xff\x0f\\\x01\x02ab";

async fn read(harness: &Harness, agent: &str) -> [Bytes; 2] {
    harness.kv.set(key![1], Value::V8(Bytes::from_static(OF_DENO))).unwrap();
    harness.kv.set(key![2], Value::V8(Bytes::from_static(OF_NODE))).unwrap();
    let request = SnapshotRead { ranges: vec![range(&[], b"\xff", 2)] };
    let call = harness.call("snapshot_read", request.encode_to_vec()).await;
    let output = output(&harness.send_both(&call.header("user-agent", agent)).await);
    [0, 1].map(|place| output.ranges[0].values[place].value.clone())
}

#[tokio::test]
async fn each_program_gets_what_it_can_read_and_the_stored_bytes_stay() {
    let harness = Harness::new().await;
    assert_eq!(read(&harness, "node").await, [&b"\xff\x0fI\x0a"[..], OF_NODE]);
    let plain_view = &b"\xff\x0fB\x02abVB\0\x02\0"[..];
    assert_eq!(read(&harness, "Deno/2.9.6").await, [OF_DENO, plain_view]);
    assert_eq!(read(&harness, "curl/8.5").await, [OF_DENO, OF_NODE]);
    let [deno, node] = harness.kv.get_many([key![1], key![2]]).unwrap();
    assert_eq!((&deno.v8().unwrap()[..], &node.v8().unwrap()[..]), (OF_DENO, OF_NODE));
}

#[tokio::test]
async fn rewriting_can_be_turned_off() {
    let harness = Harness::with(|settings| settings.normalise = false).await;
    assert_eq!(read(&harness, "node").await, [OF_DENO, OF_NODE]);
    assert_eq!(read(&harness, "Deno/2.9.6").await, [OF_DENO, OF_NODE]);
}

#[tokio::test]
async fn frames_of_watches_are_rewritten_as_answers_are() {
    let harness = Harness::new().await;
    harness.kv.set(key![1], Value::V8(Bytes::from_static(OF_DENO))).unwrap();
    harness.kv.set(key![2], Value::V8(Bytes::from_static(OF_NODE))).unwrap();
    let call = harness.call("watch", request(&[key![1], key![2]])).await;
    let plain_view = &b"\xff\x0fB\x02abVB\0\x02\0"[..];
    for (agent, values) in [
        ("node", [&b"\xff\x0fI\x0a"[..], OF_NODE]),
        ("Deno/2.9.6", [OF_DENO, plain_view]),
        ("curl/8.5", [OF_DENO, OF_NODE]),
    ] {
        for protocol in BOTH {
            let call = call.clone().header("user-agent", agent);
            let mut stream = Stream::open(&call, harness.address, protocol).await;
            assert_eq!(stream.values().await, values, "{agent} {protocol:?}");
        }
    }
}
