//! Clients that mean harm, or know no better: they are refused, and the others are served.

use std::time::Duration;

use icecore::key;
use icecore_disk::random::SeededRandom;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::data_path::range;
use crate::harness::{Harness, TOKEN};
use crate::watching::{Piece, Stream, request};
use crate::wire::{Call, Protocol, raw, read_reply};
use icecore_wire::message::SnapshotRead;

async fn assert_serves(harness: &Harness) {
    assert_eq!(harness.send_both(&Call::new("GET", "/healthz")).await.status, 200);
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_413_declared_or_not() {
    let harness = Harness::new().await;
    let text = "Failed to buffer the request body: length limit exceeded";
    for (method, max) in
        [("snapshot_read", 64 << 10), ("watch", 32 << 10), ("atomic_write", 4 << 20)]
    {
        let call = harness.call(method, vec![0; max + 1]).await;
        assert_eq!(harness.send_both(&call).await.told(), (413, text), "{method}");
        // In chunks, whose number nobody declares. The end never comes.
        let call = harness.call(method, "").await;
        let head = String::from_utf8(call.bytes("transfer-encoding: chunked\r\n")).unwrap();
        let head = head.replace("content-length: 0\r\n", "");
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let chunk = [&b"8000\r\n"[..], &[0; 0x8000], b"\r\n"].concat();
        for _ in 0..=max / 0x8000 {
            stream.write_all(&chunk).await.unwrap();
        }
        let reply = read_reply(&mut stream).await.unwrap();
        assert_eq!(reply.told(), (413, text), "{method}");
    }
    let call = Call { body: vec![b' '; 5_000].into(), ..Harness::exchange("/", TOKEN) };
    assert_eq!(harness.send_both(&call).await.status, 413);
    assert_serves(&harness).await;
}

#[tokio::test]
async fn a_body_without_a_token_is_not_waited_for() {
    let harness = Harness::new().await;
    let call = harness.call("atomic_write", "").await.header("authorization", "Bearer x");
    let head = String::from_utf8(call.bytes("")).unwrap();
    let head = head.replace("content-length: 0\r\n", "content-length: 4000000\r\n");
    let reply = raw(harness.address, head.as_bytes()).await.unwrap();
    assert_eq!(reply.told(), (401, "Invalid access token."));
}

#[tokio::test]
async fn slow_bodies_and_slow_headers_are_ended() {
    let hasty = |settings: &mut icecore_connect::Settings| {
        settings.body_timeout = Duration::from_millis(20);
        settings.header_timeout = Duration::from_millis(50);
    };
    let harness = Harness::with(hasty).await;
    let call = harness.call("atomic_write", "").await;
    let head = String::from_utf8(call.bytes("")).unwrap();
    let head = head.replace("content-length: 0\r\n", "content-length: 10\r\n");
    let reply = raw(harness.address, head.as_bytes()).await.unwrap();
    assert_eq!(reply.told(), (408, "The request body came too slowly."));
    for beginning in [&b""[..], b"POST / HT", b"PRI * HTTP/2.0\r\n"] {
        assert!(raw(harness.address, beginning).await.is_none(), "{beginning:?}");
    }
    assert_serves(&harness).await;
}

#[tokio::test]
async fn what_is_not_http_ends_a_connection_and_nothing_else() {
    let harness = Harness::new().await;
    let random = SeededRandom::new(11);
    for round in 0..100 {
        let length = random.below(300);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
        if round % 2 == 0 {
            // Frames of nonsense.
            bytes.splice(..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        }
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        stream.write_all(&bytes).await.unwrap_or_default();
        stream.shutdown().await.unwrap_or_default();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap_or_default();
    }
    assert_serves(&harness).await;
}

#[tokio::test]
async fn headers_that_are_too_many_or_too_long_are_refused() {
    let harness = Harness::new().await;
    let mut many = Call::new("GET", "/healthz");
    for number in 0..100 {
        many = many.header(&format!("x-{number}"), "y");
    }
    assert_eq!(raw(harness.address, &many.bytes("")).await.unwrap().status, 431);
    let long = Call::new("GET", "/healthz").header("x", &"y".repeat(100_000));
    assert_eq!(raw(harness.address, &long.bytes("")).await.unwrap().status, 431);
    assert_serves(&harness).await;
}

#[tokio::test]
async fn random_messages_are_answered_and_never_with_5xx() {
    let harness = Harness::new().await;
    let random = SeededRandom::new(12);
    for method in ["snapshot_read", "atomic_write"] {
        let call = harness.call(method, "").await;
        for _ in 0..200 {
            // Fields of small numbers with short contents, which are messages now and then.
            let mut body = Vec::new();
            for _ in 0..random.below(6) {
                let field = u8::try_from(random.below(6)).unwrap() << 3;
                let length = random.below(12);
                body.extend([field | 2, u8::try_from(length).unwrap()]);
                body.extend((0..length).map(|_| random.next().to_le_bytes()[0] & 0x1f));
            }
            let reply = harness.send(&Call { body: body.clone().into(), ..call.clone() }).await;
            assert!(matches!(reply.status, 200 | 400), "{method} {body:?} {reply:?}");
        }
    }
    assert_serves(&harness).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let harness = Harness::with(|settings| settings.connections_max = 1).await;
    let call = Call::new("GET", "/healthz");
    let mut first = TcpStream::connect(harness.address).await.unwrap();
    first.write_all(&call.bytes("")).await.unwrap();
    // Its answer says that the server knows of it.
    assert_eq!(first.read_u8().await.unwrap(), b'H');
    assert!(raw(harness.address, &call.bytes("")).await.is_none());
}

#[tokio::test]
async fn watches_beyond_the_limit_are_refused_until_one_ends() {
    let harness = Harness::with(|settings| settings.watches_per_token_max = 1).await;
    let call = harness.call("watch", request(&[key!["a"]])).await;
    let stream = Stream::open(&call, harness.address, Protocol::Http2).await;
    let reply = harness.send_both(&call).await;
    assert_eq!(reply.told(), (429, "Too many watches are open."));
    drop(stream);
    // The server hears of it in its own time.
    while harness.send(&Call::new("GET", "/metrics")).await.text().contains("icecore_watches 1") {}
    let mut stream = Stream::open(&call, harness.address, Protocol::Http2).await;
    assert_eq!(stream.frame().await, Piece::Frame(vec![None]));
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_a_long_answer_loses_its_connection() {
    let hasty = |settings: &mut icecore_connect::Settings| {
        settings.stall_timeout = Duration::from_millis(20)
    };
    let harness = Harness::with(hasty).await;
    for number in 0..200 {
        harness.kv.set(key![number], vec![0; 65_000]).unwrap();
    }
    let ranges = vec![range(&[], b"\xff", 1_000)];
    let call = harness.call("snapshot_read", SnapshotRead { ranges }.encode_to_vec()).await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    stream.write_all(&call.bytes("")).await.unwrap();
    let is_open = async || {
        let reply = harness.send(&Call::new("GET", "/metrics")).await;
        // The other connection is that of this request.
        reply.text().contains("icecore_connections 2")
    };
    while is_open().await {}
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap_or_default();
    assert!(all.len() < 200 * 65_000, "the answer was not sent to its end");
}
