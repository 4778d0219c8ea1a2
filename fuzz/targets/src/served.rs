//! A server over a store in memory, and clients that talk to it without a network.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use icecore::{Environment, Kv};
use icecore_connect::{AccessTokens, Served, Server, Settings, store_limits};
use icecore_disk::MemoryDisk;
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const TOKEN: &str = "the-token-of-the-fuzzers";
const NOW_MS: u64 = 1_795_463_931_530;
/// Where clients are.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What a pipe holds.
const PIPE_BYTES: usize = 16 << 10;
/// More is not looked at, of any answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A connection that goes on for so long after its client has gone does not end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the streams of watches say that they live, and how long receivers wait.
const MOMENT: Duration = Duration::from_millis(5);
/// The end of a stream that says nothing else: in chunks, and without.
const PINGS: [&[u8]; 2] = [b"4\r\n\0\0\0\0\r\n4\r\n\0\0\0\0\r\n4\r\n\0\0\0\0\r\n", &[0; 12]];
/// After so many runs there is a new store: what runs have left in the old one takes memory.
const RUNS: u32 = 2_000;

/// A server, and what its clients need to know of it.
pub(crate) struct Site {
    runtime: Runtime,
    server: Server,
    pub(crate) session: String,
    pub(crate) database: String,
    runs: u32,
}

/// When a client has seen enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Until {
    /// The end of the connection, after it has said that nothing follows. Who listens goes away after
    /// some pings: where a request has more behind it, the server sees an end only when it writes.
    Closed,
    /// The end of the connection, which it leaves to the server.
    End,
    /// The headers of the answer. Then it goes away.
    Headers,
}

/// Runs `run` with the server of this thread.
pub(crate) fn with_site<T>(run: impl FnOnce(&Site) -> T) -> T {
    thread_local! { static SITE: RefCell<Option<Site>> = const { RefCell::new(None) } }
    SITE.with_borrow_mut(|place| {
        let old = place.take().filter(|site| site.runs < RUNS);
        let site = place.insert(old.unwrap_or_else(Site::new));
        site.runs += 1;
        run(site)
    })
}

impl Site {
    fn new() -> Site {
        let random = Arc::new(SeededRandom::new(7));
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let disk = Arc::new(MemoryDisk::new());
        let environment = Environment { disk, clock: clock.clone(), random: random.clone() };
        let builder = Kv::builder_in(environment).limits(store_limits());
        let kv = builder.open().expect("there is room in memory");
        let tokens = AccessTokens::parse(TOKEN).expect("it is long enough");
        let address = "127.0.0.1:0".parse().expect("it is an address");
        let settings = Settings {
            address,
            clock,
            random,
            ping_interval: MOMENT,
            receive_timeout: MOMENT,
            ..Settings::default()
        };
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("there is room for a runtime");
        let served = vec![Served { name: None, kv, tokens, read_only: false }];
        let server = runtime.block_on(Server::bind(settings, served)).expect("a port is free");
        let (session, database) = (String::new(), String::new());
        let mut site = Site { runtime, server, session, database, runs: 0 };
        site.exchange();
        site
    }

    /// Asks for a session.
    fn exchange(&mut self) {
        let body = r#"{"supportedVersions":[2,3]}"#;
        let length = body.len();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let answer = self.ask(request.as_bytes(), Until::End);
        let text = String::from_utf8(answer).expect("an exchange is answered with text");
        let (_, json) = text.split_once("\r\n\r\n").expect("an answer has headers");
        let metadata: Value = serde_json::from_str(json).expect("an exchange is JSON");
        let field = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
        (self.session, self.database) = (field("token"), field("databaseId"));
        assert!(!self.session.is_empty(), "{text}");
    }

    /// What the server answers to these bytes on a connection of their own.
    ///
    /// # Panics
    /// When the connection does not end.
    pub(crate) fn ask(&self, bytes: &[u8], until: Until) -> Vec<u8> {
        let (client, served) = duplex(PIPE_BYTES);
        let talk = async {
            let (mut reader, mut writer) = split(client);
            let send = async {
                // The server may refuse to hear all of it.
                let sent = writer.write_all(bytes).await;
                if sent.is_ok() && until == Until::Closed {
                    drop(writer.shutdown().await);
                }
            };
            tokio::join!(send, receive(&mut reader, until)).1
        };
        self.runtime.block_on(async {
            let both = async { tokio::join!(self.server.serve_stream(HERE, served), talk).1 };
            timeout(PATIENCE, both).await.expect("a connection ends when its client has gone")
        })
    }

    /// Asserts that another client is served.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) fn serves_others(&self) {
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert_eq!(status(&self.ask(request, Until::End)), Some(200));
    }
}

async fn receive(reader: &mut (impl AsyncRead + Unpin), until: Until) -> Vec<u8> {
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match reader.read(&mut piece).await {
            Ok(0) | Err(_) => return answer,
            Ok(length) if answer.len() < ANSWER_BYTES_MAX => answer.extend(&piece[..length]),
            Ok(_) => {}
        }
        if until == Until::Closed && PINGS.iter().any(|pings| answer.ends_with(pings)) {
            return answer;
        }
        if until == Until::Headers && answer.windows(4).any(|end| end == b"\r\n\r\n") {
            return answer;
        }
    }
}

/// The status of an answer over HTTP/1.1.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    let digits = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
