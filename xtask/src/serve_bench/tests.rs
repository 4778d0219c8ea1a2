use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use icecore::{Kv, Value, key};
use icecore_connect::{AccessTokens, Served, Server, Settings, store_limits};
use tokio::sync::oneshot;

use super::load::Load;
use super::round::{Outcome, Round, runtime};
use super::server::TOKEN;

const ROUND: Round = Round {
    accounts: 600,
    watches: 150,
    load: Load { agents: 8, time: Duration::from_millis(300), seed: 4711 },
};

/// Our server, with a store in memory, on a thread of its own.
struct Running {
    address: SocketAddr,
    kv: Kv,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    #[expect(clippy::disallowed_methods, reason = "the server is another program, in truth")]
    fn start() -> Running {
        let kv = Kv::builder_in_memory().limits(store_limits()).open().unwrap();
        let tokens = AccessTokens::parse(TOKEN).unwrap();
        let served = Served { name: None, kv: kv.clone(), tokens, read_only: false };
        let settings = Settings { address: "127.0.0.1:0".parse().unwrap(), ..Settings::default() };
        let (end, ended) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let server = Server::bind(settings, vec![served]).await.unwrap();
                tell.send(server.address()).unwrap();
                server.run(async { ended.await.unwrap_or_default() }).await.unwrap();
            });
        });
        Running { address: told.recv().unwrap(), kv, end: Some(end), thread: Some(thread) }
    }

    fn measure(&self) -> Result<Outcome, String> {
        runtime()?.block_on(ROUND.measure(self.address, std::process::id()))
    }

    fn audit(&self, balances: &[u64]) -> Result<(), String> {
        runtime()?.block_on(ROUND.audit(self.address, balances))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.end.take());
        let thread = self.thread.take().unwrap();
        thread.join().unwrap_or_else(|_| eprintln!("the server has panicked"));
    }
}

#[test]
fn a_round_moves_funds_and_its_books_are_right() {
    let server = Running::start();
    let outcome = server.measure().unwrap();
    assert!(outcome.transfers > 0);
    assert!(outcome.figures.rate > 0.0);
    assert_eq!(outcome.balances.len(), ROUND.accounts);
    server.audit(&outcome.balances).unwrap();
}

#[test]
fn books_that_are_wrong_in_any_account_are_told() {
    let server = Running::start();
    let balances = server.measure().unwrap().balances;
    // The total would not tell.
    let held = [3_u64, 599].map(|id| (id, balances[usize::try_from(id).unwrap()]));
    let [(one, less), (other, more)] = held;
    let moved = server.kv.atomic().set(key!["account", one], Value::U64(less - 1));
    let moved = moved.set(key!["account", other], Value::U64(more + 1)).commit().unwrap();
    assert!(moved.versionstamp().is_some(), "there was no check");
    let told = server.audit(&balances).unwrap_err();
    assert!(told.starts_with("account 3 holds"), "{told}");

    server.kv.delete(key!["account", one]).unwrap();
    assert_eq!(server.audit(&balances).unwrap_err(), "account 3 is not there");
}

#[test]
fn a_watch_that_is_told_something_is_not_idle() {
    let server = Running::start();
    let told = runtime().unwrap().block_on(async {
        let session = super::client::Session::begin(server.address, TOKEN).await.unwrap();
        let mut watches = super::watches::Watches::open(&session, 3).await.unwrap();
        watches.are_idle().unwrap();
        server.kv.set(key!["idle", 1_u64], "news").unwrap();
        loop {
            tokio::task::yield_now().await;
            if let Err(told) = watches.are_idle() {
                return told;
            }
        }
    });
    assert_eq!(told, "an idle watch was told of a change");
}
