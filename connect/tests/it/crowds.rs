//! Crowds of clients: what they take is bounded, and others are served meanwhile.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use hyper::Request;
use icecore::key;
use icecore_wire::message::SnapshotRead;
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::data_path::range;
use crate::harness::{Harness, OTHER_TOKEN, TOKEN};
use crate::watching::request;
use crate::wire::{Call, Protocol};

/// Some connections of HTTP/2 whose streams take `window` bytes.
async fn connect(harness: &Harness, connections: usize, window: u32) -> Vec<SendRequest<Bytes>> {
    let mut senders = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(harness.address).await.unwrap();
        let mut builder = client::Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    senders
}

async fn send(sender: SendRequest<Bytes>, call: &Call) -> h2::client::ResponseFuture {
    let mut request = Request::builder().method(call.verb);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    let request = request.uri(format!("http://icecore{}", call.path)).body(()).unwrap();
    let (response, mut body) = sender.ready().await.unwrap().send_request(request, false).unwrap();
    body.send_data(call.body.clone(), true).unwrap();
    response
}

/// What the server's own figures say of the bytes that are paid for.
async fn sent_bytes(harness: &Harness) -> usize {
    let page = harness.send(&Call::new("GET", "/metrics")).await;
    let line = page.text().lines().find(|line| line.starts_with("icecore_sent_bytes "));
    line.unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_thousand_readers_who_take_nothing_hold_what_the_budget_says_and_others_are_served() {
    const READERS: usize = 1_000;
    let patient = |settings: &mut icecore_connect::Settings| {
        settings.stall_timeout = Duration::from_secs(60);
        settings.patience = Duration::from_millis(500);
    };
    let harness = Harness::with(patient).await;
    for number in 0..1_000 {
        harness.kv.set(key![number], vec![0; 60_000]).unwrap();
    }
    let ask = async |entries| {
        let ranges = vec![range(&[], b"\xff", entries)];
        harness.call("snapshot_read", SnapshotRead { ranges }.encode_to_vec()).await
    };
    // The largest of the small answers, and the largest there are.
    let (small, large) = (ask(16).await, ask(1_000).await);
    let senders = connect(&harness, 10, 0).await;
    let mut waiting = JoinSet::new();
    for reader in 0..READERS {
        let call = if reader % 2 == 0 { &small } else { &large };
        waiting.spawn(send(senders[reader % senders.len()].clone(), call).await);
    }
    let (mut most, mut served, mut refused, mut held) = (0, 0, 0, Vec::new());
    let other = harness.call_of("/db/other", OTHER_TOKEN, "atomic_write", "").await;
    while let Some(answered) = waiting.join_next().await {
        let answer = answered.unwrap().unwrap();
        match answer.status().as_u16() {
            200 => held.push(answer),
            503 => refused += 1,
            status => panic!("{status}"),
        }
        if (held.len() + refused) % 100 == 0 {
            most = most.max(sent_bytes(&harness).await);
            assert_eq!(other.send(harness.address, Protocol::Http2).await.status, 200);
            served += 1;
        }
    }
    most = most.max(sent_bytes(&harness).await);
    println!(
        "{READERS} readers took nothing: {} answers held, {refused} refused, {most} bytes at most; \
         {served} of {served} writes of another client were done meanwhile",
        held.len()
    );
    assert!(held.len() >= 64 && most >= 64 << 20, "the crowd has used what it may");
    assert!(most <= (64 + 80) << 20, "half of what there is belongs to the others");
}

#[tokio::test]
async fn half_open_streams_and_wrong_tokens_by_the_hundred_keep_nobody_from_being_served() {
    let harness = Harness::new().await;
    let write = harness.call("atomic_write", "").await;
    let wrong = Harness::exchange("/", "a-wrong-token");
    let senders = connect(&harness, 8, 1 << 16).await;
    let mut half_open = Vec::new();
    for sender in &senders {
        for _ in 0..50 {
            let mut request = Request::builder().method("POST");
            for (name, value) in &write.headers {
                request = request.header(name, value);
            }
            let request = request.uri("http://icecore/v2/atomic_write").body(()).unwrap();
            let mut sender = sender.clone().ready().await.unwrap();
            // Its body never comes.
            half_open.push(sender.send_request(request, false).unwrap());
        }
    }
    let mut limited = 0;
    for round in 0..150 {
        let protocol = if round % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        limited += usize::from(wrong.send(harness.address, protocol).await.status == 429);
        assert_eq!(write.send(harness.address, protocol).await.status, 200);
    }
    println!("{} streams half open, {limited} of 150 wrong tokens not looked at", half_open.len());
    assert_eq!(limited, 50);
}

/// `cargo test --release -p icecore-connect --test it -- --ignored --nocapture worst`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a while, and measures memory and times: run it alone"]
async fn a_thousand_of_the_worst_readers_take_half_a_gigabyte_at_most() {
    const READERS: usize = 1_000;
    const CONNECTIONS: usize = 50;
    const TRIES: usize = 3;
    const WRITES: usize = 2_000;
    let harness = Harness::with(|settings| settings.stall_timeout = Duration::from_secs(2)).await;
    for number in 0..1_000 {
        harness.kv.set(key![number], vec![0; 60_000]).unwrap();
    }
    let ranges = vec![range(&[], b"\xff", 1_000)];
    let worst = harness.call("snapshot_read", SnapshotRead { ranges }.encode_to_vec()).await;
    let other = harness.call_of("/db/other", OTHER_TOKEN, "atomic_write", "").await;
    let before = resident_bytes();
    let alone = writes(&harness, &other, WRITES, || true).await;
    // Each asks for 60 MB again and again, and takes 16 KiB of it.
    let senders = connect(&harness, CONNECTIONS, 16 << 10).await;
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let (sender, worst) = (senders[reader % CONNECTIONS].clone(), worst.clone());
        readers.spawn(async move {
            let mut held = Vec::new();
            for _ in 0..TRIES {
                // A stream that was reset has ended as well.
                held.extend(send(sender.clone(), &worst).await.await.ok());
            }
            held.len()
        });
    }
    let crowd = tokio::spawn(async move {
        let mut answers = 0;
        while let Some(held) = readers.join_next().await {
            answers += held.unwrap();
        }
        answers
    });
    let most = std::cell::Cell::new(0);
    let beside = writes(&harness, &other, usize::MAX, || {
        most.set(most.get().max(resident_bytes()));
        !crowd.is_finished()
    });
    let beside = beside.await;
    let (answers, grown) = (crowd.await.unwrap(), most.get() - before);
    println!(
        "{READERS} readers of 60 MB, {answers} answers begun: {} MiB more in this process, server and \
         clients; another client's writes: p50 {:?}, p99 {:?} alone ({}), p50 {:?}, p99 {:?} beside \
         them ({})",
        grown >> 20,
        alone[alone.len() / 2],
        alone[alone.len() * 99 / 100],
        alone.len(),
        beside[beside.len() / 2],
        beside[beside.len() * 99 / 100],
        beside.len(),
    );
    assert!(answers > 0 && grown <= 512 << 20);
}

/// How long each of at most so many writes takes while `goes_on`, in order of their lengths.
async fn writes(
    harness: &Harness,
    write: &Call,
    count: usize,
    goes_on: impl Fn() -> bool,
) -> Vec<Duration> {
    let mut times = Vec::new();
    while times.len() < count && goes_on() {
        let begin = tokio::time::Instant::now();
        assert_eq!(write.send(harness.address, Protocol::Http2).await.status, 200);
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    times
}

/// `cargo test --release -p icecore-connect --test it -- --ignored --nocapture ten_thousand`
#[tokio::test]
#[ignore = "it takes a while, and measures memory: run it alone"]
async fn ten_thousand_watches_take_two_hundred_megabytes_at_most() {
    const WATCHES: usize = 10_000;
    const CONNECTIONS: usize = 100;
    let harness = Harness::with(|settings| settings.watches_per_token_max = WATCHES).await;
    harness.kv.set(key!["a"], 1).unwrap();
    let call = harness.call("watch", request(&[key!["a"]])).await;
    let before = resident_bytes();
    let senders = connect(&harness, CONNECTIONS, 1 << 16).await;
    let connected = resident_bytes();
    let mut bodies = Vec::new();
    for watch in 0..WATCHES {
        let response = send(senders[watch % CONNECTIONS].clone(), &call).await;
        let mut body = response.await.unwrap().into_body();
        // Its ping and its first frame.
        let mut seen = 0;
        while seen < 40 {
            let data = body.data().await.unwrap().unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            seen += data.len();
        }
        bodies.push(body);
    }
    let open = resident_bytes();
    let grown = open - before;
    println!(
        "{WATCHES} watches over {CONNECTIONS} connections: {} MiB more in this process, server and \
         clients; {} bytes for each watch, {} for each connection",
        grown >> 20,
        (open - connected) / WATCHES,
        (connected - before) / CONNECTIONS
    );
    assert_eq!(harness.send(&Harness::exchange("/", TOKEN)).await.status, 200);
    assert!(grown <= 200 << 20);
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
