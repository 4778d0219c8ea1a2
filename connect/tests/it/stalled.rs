//! Clients that do not take what they are sent, over HTTP/2: each loses its stream, and nobody else
//! loses anything.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use hyper::Request;
use icecore::key;
use icecore_wire::message::{AtomicWriteOutput, SnapshotRead};
use prost::Message;
use tokio::net::TcpStream;

use crate::data_path::range;
use crate::harness::Harness;
use crate::watching::request;
use crate::wire::Call;

/// A connection whose streams take `window` bytes until they are told to take more.
struct Client {
    sender: SendRequest<Bytes>,
}

impl Client {
    async fn new(harness: &Harness, window: u32) -> Client {
        let stream = TcpStream::connect(harness.address).await.unwrap();
        let mut builder = client::Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Client { sender }
    }

    /// Sends a request, and gives the body of its answer.
    async fn send(&mut self, call: &Call) -> RecvStream {
        let mut request = Request::builder().method(call.verb);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let request = request.uri(format!("http://icecore{}", call.path)).body(()).unwrap();
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, mut body) = sender.send_request(request, call.body.is_empty()).unwrap();
        if !call.body.is_empty() {
            body.send_data(call.body.clone(), true).unwrap();
        }
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body()
    }
}

/// All of a body, as fast as it comes.
async fn take(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        all.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    Ok(all)
}

fn hasty(settings: &mut icecore_connect::Settings) {
    settings.stall_timeout = Duration::from_millis(50);
}

/// A read of `entries` entries of 60,000 bytes.
async fn large_read(harness: &Harness, entries: i32) -> Call {
    for number in 0..entries {
        harness.kv.set(key!["large", number], vec![0; 60_000]).unwrap();
    }
    let ranges = vec![range(&[], b"\xff", entries)];
    harness.call("snapshot_read", SnapshotRead { ranges }.encode_to_vec()).await
}

#[tokio::test]
async fn a_stream_that_is_not_taken_is_reset_and_a_write_beside_it_is_answered() {
    let harness = Harness::with(hasty).await;
    let read = large_read(&harness, 100).await;
    for window in [0, 1, 30_000] {
        let mut client = Client::new(&harness, window).await;
        let stalled = client.send(&read).await;
        let beside = client.send(&harness.call("atomic_write", "").await).await;
        let error = async {
            let mut stalled = stalled;
            loop {
                // What comes is never released, so the window stays shut.
                match stalled.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return error,
                    None => panic!("it has come to its end through a window of {window}"),
                }
            }
        };
        assert_eq!(error.await.reason(), Some(Reason::CANCEL), "{window}");
        if window == 30_000 {
            let output = AtomicWriteOutput::decode(&take(beside).await.unwrap()[..]).unwrap();
            assert_eq!(output.status, 1, "a write without a client would not be answered");
        }
        // The connection is still there: the headers of another answer come over it.
        drop(client.send(&Call::new("GET", "/healthz")).await);
    }
}

#[tokio::test]
async fn answers_that_nobody_takes_are_paid_for_until_they_are_given_up() {
    let harness = Harness::with(|settings| {
        hasty(settings);
        settings.patience = Duration::from_secs(60);
    })
    .await;
    let read = large_read(&harness, 100).await;
    let mut client = Client::new(&harness, 0).await;
    // One large answer is all that a token may have on its way: each waits until the one before it
    // is given up, and none waits for ever.
    let mut reset = 0;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(client.send(&read).await);
    }
    for mut body in bodies {
        assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
        reset += 1;
    }
    let mut honest = Client::new(&harness, 1 << 20).await;
    let answer = take(honest.send(&read).await).await.unwrap();
    println!("{reset} answers were given up, {} bytes came to who took them", answer.len());
    assert!(answer.len() > 100 * 60_000);
}

#[tokio::test]
async fn a_watch_that_is_not_taken_is_reset_and_another_of_the_same_connection_goes_on() {
    let harness = Harness::with(hasty).await;
    let call = harness.call("watch", request(&[key!["a"]])).await;
    let mut client = Client::new(&harness, 6).await;
    let mut stalled = client.send(&call).await;
    let going = client.send(&call).await;
    let going = tokio::spawn(async move {
        let mut body = going;
        let mut seen = 0;
        while let Some(Ok(data)) = body.data().await {
            seen += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
            if seen > 500 {
                return true;
            }
        }
        false
    });
    let error = loop {
        match stalled.data().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a watch has no end"),
        }
    };
    assert_eq!(error.reason(), Some(Reason::CANCEL));
    let mut number = 0;
    while !going.is_finished() {
        number += 1;
        harness.kv.set(key!["a"], number).unwrap();
        tokio::task::yield_now().await;
    }
    assert!(going.await.unwrap());
}

#[tokio::test]
async fn a_connection_without_open_streams_is_ended_and_one_with_a_watch_is_not() {
    let brief = |settings: &mut icecore_connect::Settings| {
        settings.idle_timeout = Duration::from_millis(20);
    };
    let harness = Harness::with(brief).await;
    let call = harness.call("watch", request(&[key!["a"]])).await;
    let connect = async || {
        let stream = TcpStream::connect(harness.address).await.unwrap();
        client::handshake(stream).await.unwrap()
    };
    let (sender, connection) = connect().await;
    let idle = tokio::spawn(connection);
    let (watching, connection) = connect().await;
    tokio::spawn(connection);
    let mut body = Client { sender: watching }.send(&call).await;
    let mut client = Client { sender };
    take(client.send(&Call::new("GET", "/healthz")).await).await.unwrap();
    // Held, so that it is the server that ends the connection.
    idle.await.unwrap().unwrap();
    drop(client);
    harness.kv.set(key!["a"], 1).unwrap();
    let mut seen = 0;
    while seen < 40 {
        seen += body.data().await.unwrap().unwrap().len();
    }
}
