//! Watches.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use icecore::{Expiry, key};
use prost::Message;
use tokio::net::TcpStream;

use crate::harness::{Harness, Machine, NOW_MS};
use crate::wire::{BOTH, Call, Protocol};
use icecore_wire::message::{Watch, WatchKey, WatchKeyOutput, WatchOutput};

/// A stream of frames, as a client reads it.
pub(crate) struct Stream {
    body: Incoming,
    rest: BytesMut,
}

/// What comes over it.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Ping,
    /// The numbers of the keys.
    Frame(Vec<Option<u64>>),
    End,
}

impl Stream {
    pub(crate) async fn open(call: &Call, address: SocketAddr, protocol: Protocol) -> Stream {
        let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let mut request = Request::builder().method(call.verb);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let body = Full::new(call.body.clone());
        let response = match protocol {
            Protocol::Http1 => {
                let (mut sender, connection) = http1::handshake(stream).await.unwrap();
                tokio::spawn(connection);
                let request = request.uri(&call.path).header("host", "icecore");
                sender.send_request(request.body(body).unwrap()).await.unwrap()
            }
            Protocol::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), stream);
                let (mut sender, connection) = handshake.await.unwrap();
                tokio::spawn(connection);
                let request = request.uri(format!("http://{address}{}", call.path));
                sender.send_request(request.body(body).unwrap()).await.unwrap()
            }
        };
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/octet-stream");
        Stream { body: response.into_body(), rest: BytesMut::new() }
    }

    async fn fill(&mut self, bytes: usize) -> bool {
        while self.rest.len() < bytes {
            match self.body.frame().await {
                Some(Ok(frame)) => self.rest.extend_from_slice(frame.data_ref().unwrap()),
                _ => return false,
            }
        }
        true
    }

    /// The values of the next frame, none of which is absent.
    pub(crate) async fn values(&mut self) -> Vec<Bytes> {
        loop {
            assert!(self.fill(4).await, "it has ended");
            let length = self.rest.get_u32_le() as usize;
            assert!(self.fill(length).await, "it has ended");
            let output = WatchOutput::decode(self.rest.split_to(length)).unwrap();
            if length > 0 {
                let value = |key: WatchKeyOutput| key.entry_if_changed.unwrap().value;
                return output.keys.into_iter().map(value).collect();
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Piece {
        if !self.fill(4).await {
            assert!(self.rest.is_empty(), "it ends between frames");
            return Piece::End;
        }
        let length = self.rest.get_u32_le() as usize;
        if length == 0 {
            return Piece::Ping;
        }
        assert!(self.fill(length).await, "it ends between frames");
        let output = WatchOutput::decode(self.rest.split_to(length)).unwrap();
        assert_eq!(output.status, 1);
        let number = |key: &icecore_wire::message::WatchKeyOutput| {
            assert!(key.changed);
            let entry = key.entry_if_changed.as_ref()?;
            assert_eq!((entry.versionstamp.len(), entry.encoding), (10, 2));
            Some(u64::from_le_bytes(entry.value[..].try_into().unwrap()))
        };
        Piece::Frame(output.keys.iter().map(number).collect())
    }

    /// The next frame, whatever pings come before it.
    pub(crate) async fn frame(&mut self) -> Piece {
        loop {
            match self.next().await {
                Piece::Ping => {}
                piece => return piece,
            }
        }
    }
}

pub(crate) fn request(keys: &[icecore::Key]) -> Vec<u8> {
    let key = |key: &icecore::Key| WatchKey { key: Bytes::copy_from_slice(key.encoded()) };
    Watch { keys: keys.iter().map(key).collect() }.encode_to_vec()
}

#[tokio::test]
async fn a_stream_begins_with_a_ping_and_the_state_and_tells_of_every_change() {
    for protocol in BOTH {
        let harness = Harness::new().await;
        let kv = harness.kv.clone();
        kv.set(key!["a"], 1).unwrap();
        let call = harness.call("watch", request(&[key!["a"], key!["b"], key!["a"]])).await;
        let mut stream = Stream::open(&call, harness.address, protocol).await;
        assert_eq!(stream.next().await, Piece::Ping);
        assert_eq!(stream.next().await, Piece::Frame(vec![Some(1), None, Some(1)]));
        kv.set(key!["b"], 2).unwrap();
        assert_eq!(stream.frame().await, Piece::Frame(vec![Some(1), Some(2), Some(1)]));
        kv.set(key!["b"], 2).unwrap();
        assert_eq!(stream.frame().await, Piece::Frame(vec![Some(1), Some(2), Some(1)]));
        kv.delete(key!["a"]).unwrap();
        assert_eq!(stream.frame().await, Piece::Frame(vec![None, Some(2), None]));
        drop(stream);
        drop(kv);
        harness.finish().await.unwrap();
    }
}

#[tokio::test]
async fn of_many_changes_some_may_be_left_out_and_the_last_is_not() {
    let harness = Harness::new().await;
    let call = harness.call("watch", request(&[key!["n"]])).await;
    let mut stream = Stream::open(&call, harness.address, Protocol::Http2).await;
    assert_eq!(stream.frame().await, Piece::Frame(vec![None]));
    for number in 0..500 {
        harness.kv.set(key!["n"], number).unwrap();
    }
    let mut seen = None;
    while seen != Some(499) {
        let Piece::Frame(numbers) = stream.frame().await else { panic!("it has ended") };
        assert!(numbers[0] >= seen, "{numbers:?} after {seen:?}");
        seen = numbers[0];
    }
}

#[tokio::test]
async fn pings_come_while_nothing_changes_also_where_no_key_is_watched() {
    for keys in [&[key!["a"]][..], &[]] {
        let fast = |settings: &mut icecore_connect::Settings| {
            settings.ping_interval = Duration::from_millis(1);
        };
        let harness = Harness::with(fast).await;
        let call = harness.call("watch", request(keys)).await;
        let mut stream = Stream::open(&call, harness.address, Protocol::Http1).await;
        let mut pings = 0;
        while pings < 5 {
            match stream.next().await {
                Piece::Ping => pings += 1,
                piece => assert_eq!(piece, Piece::Frame(vec![None])),
            }
        }
    }
}

#[tokio::test]
async fn keys_that_are_too_many_or_too_long_or_none_are_refused() {
    let harness = Harness::new().await;
    let told = async |body: Vec<u8>| {
        let reply = harness.send_both(&harness.call("watch", body).await).await;
        (reply.status, reply.text().to_owned())
    };
    let many = (400, "Too many keys watched in a single watch request.".to_owned());
    assert_eq!(told(request(&vec![key!["a"]; 11])).await, many);
    let long = (400, "A key exceeds the key size limit.".to_owned());
    assert_eq!(told(request(&[key!["k".repeat(2_047)]])).await, long);
    let keys = vec![WatchKey { key: Bytes::from_static(b"\x02a") }];
    let undecodable = told(Watch { keys }.encode_to_vec()).await;
    assert_eq!(undecodable, (400, "A key is not an encoded key.".to_owned()));
}

#[tokio::test]
async fn the_end_of_the_server_is_the_end_of_its_streams_and_of_the_store() {
    for protocol in BOTH {
        let harness = Harness::new().await;
        let kv = harness.kv.clone();
        let call = harness.call("watch", request(&[key!["a"]])).await;
        let mut stream = Stream::open(&call, harness.address, protocol).await;
        assert_eq!(stream.frame().await, Piece::Frame(vec![None]));
        let (ended, last) = tokio::join!(harness.finish(), stream.frame());
        ended.unwrap();
        assert_eq!(last, Piece::End);
        assert_eq!(kv.get(key!["a"]).unwrap_err().kind(), icecore::ErrorKind::Closed);
    }
}

#[tokio::test]
async fn a_stream_of_a_store_for_reading_only_sees_what_expires() {
    let machine = Machine::new();
    let writable = machine.open(false);
    let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(NOW_MS + 1_000);
    writable.set_expiring(key!["a"], 1, Expiry::At(moment)).unwrap();
    writable.close().unwrap();
    let fast = |settings: &mut icecore_connect::Settings| {
        settings.ping_interval = Duration::from_millis(1);
    };
    let harness = Harness::of(&machine, machine.open(true), true, fast).await;
    let call = harness.call("watch", request(&[key!["a"]])).await;
    let mut stream = Stream::open(&call, harness.address, Protocol::Http1).await;
    assert_eq!(stream.frame().await, Piece::Frame(vec![Some(1)]));
    machine.clock.advance_ms(1_000);
    assert_eq!(stream.frame().await, Piece::Frame(vec![None]));
}
