//! A server for one test, in this process, with a clock that stands still.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use icecore::{Environment, Kv};
use icecore_connect::{AccessTokens, ServeError, Served, Server, Settings, Tokens, store_limits};
use icecore_disk::MemoryDisk;
use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use prost::Message;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::wire::{BOTH, Call, Protocol, Reply};

pub(crate) const TOKEN: &str = "the-token-of-the-tests";
pub(crate) const OTHER_TOKEN: &str = "the-token-of-another";
/// The 23rd of November 2026.
pub(crate) const NOW_MS: u64 = 1_795_463_931_530;

pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    pub(crate) kv: Kv,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tokens: Tokens,
    end: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

/// A disk, and the clock of all that use it.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) clock: Arc<ManualClock>,
    disk: Arc<MemoryDisk>,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine { clock: Arc::new(ManualClock::at(NOW_MS)), disk: Arc::new(MemoryDisk::new()) }
    }

    pub(crate) fn open(&self, read_only: bool) -> Kv {
        let environment = Environment {
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            random: Arc::new(SeededRandom::new(7)),
        };
        let builder = Kv::builder_in(environment).limits(store_limits());
        let builder = if read_only { builder.read_only(true).create(false) } else { builder };
        builder.open().unwrap()
    }
}

pub(crate) fn tokens(text: &str) -> AccessTokens {
    AccessTokens::parse(text).unwrap()
}

impl Harness {
    pub(crate) async fn new() -> Harness {
        Harness::with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Harness {
        let machine = Machine::new();
        let kv = machine.open(false);
        Harness::of(&machine, kv, false, change).await
    }

    /// The server of this store, and of one more, `/db/other`, with a token of its own.
    pub(crate) async fn of(
        machine: &Machine,
        kv: Kv,
        read_only: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Harness {
        let mut settings = Settings {
            address: "127.0.0.1:0".parse().unwrap(),
            clock: machine.clock.clone(),
            random: Arc::new(SeededRandom::new(8)),
            ..Settings::default()
        };
        change(&mut settings);
        let other = Kv::builder_in_memory().limits(store_limits()).open().unwrap();
        let databases = vec![
            Served { name: None, kv: kv.clone(), tokens: tokens(TOKEN), read_only },
            Served {
                name: Some("other".to_owned()),
                kv: other,
                tokens: tokens(OTHER_TOKEN),
                read_only: false,
            },
        ];
        let server = Server::bind(settings, databases).await.unwrap();
        let (end, ended) = oneshot::channel();
        let (address, tokens) = (server.address(), server.tokens());
        let served = tokio::spawn(server.run(async move { ended.await.unwrap_or_default() }));
        Harness { address, kv, clock: machine.clock.clone(), tokens, end, served }
    }

    /// Tells the server to end, and waits until it has.
    pub(crate) async fn finish(self) -> Result<(), ServeError> {
        self.end.send(()).unwrap();
        self.served.await.unwrap()
    }

    pub(crate) async fn send(&self, call: &Call) -> Reply {
        call.send(self.address, Protocol::Http1).await
    }

    /// What both protocols answer, which is the same.
    pub(crate) async fn send_both(&self, call: &Call) -> Reply {
        let mut replies = Vec::new();
        for protocol in BOTH {
            replies.push(call.send(self.address, protocol).await);
        }
        assert_eq!(replies[0].status, replies[1].status, "{call:?}");
        assert_eq!(replies[0].header("content-type"), replies[1].header("content-type"));
        assert_eq!(replies[0].body.len(), replies[1].body.len(), "{call:?}");
        replies.remove(0)
    }

    /// A metadata exchange at this path.
    pub(crate) fn exchange(path: &str, token: &str) -> Call {
        Call::post(path, r#"{"supportedVersions":[1,2,3]}"#)
            .header("authorization", &format!("Bearer {token}"))
            .header("content-type", "application/json")
    }

    /// A call of the data path of the store at `/`, with all headers that it takes.
    pub(crate) async fn call(&self, method: &str, body: impl Into<Bytes>) -> Call {
        self.call_of("/", TOKEN, method, body).await
    }

    /// The same of the store at this path.
    pub(crate) async fn call_of(
        &self,
        path: &str,
        token: &str,
        method: &str,
        body: impl Into<Bytes>,
    ) -> Call {
        let metadata = self.send(&Harness::exchange(path, token)).await;
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.body).unwrap();
        let endpoint = metadata["endpoints"][0]["url"].as_str().unwrap();
        Call::post(&format!("{endpoint}/{method}"), body)
            .header("authorization", &format!("Bearer {}", metadata["token"].as_str().unwrap()))
            .header("x-denokv-version", "3")
            .header("x-denokv-database-id", metadata["databaseId"].as_str().unwrap())
    }

    /// The answer of the data path to this message.
    pub(crate) async fn ask(&self, method: &str, message: &impl Message) -> Reply {
        let call = self.call(method, message.encode_to_vec()).await;
        self.send(&call).await
    }
}
