//! One round at one server: accounts, watches, the load, and whether the books are right.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::accounts::Accounts;
use super::client::{Client, Session};
use super::figures::{Figures, Readings};
use super::load::Load;
use super::process::{memory, processor_time};
use super::server::{Seat, TOKEN};
use super::watches::Watches;

/// What is done in a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    pub(super) accounts: usize,
    pub(super) watches: usize,
    pub(super) load: Load,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) figures: Figures,
    pub(super) transfers: u64,
    /// What must be in each account.
    pub(super) balances: Vec<u64>,
}

impl Round {
    /// Runs it at a new server on files in `directory`. Afterwards the server is killed, and what it
    /// had acknowledged is looked for once more.
    pub(super) fn run(&self, seat: &Seat, directory: &Path) -> Result<Outcome, String> {
        let runtime = runtime()?;
        let server = seat.start(directory)?;
        let outcome = runtime.block_on(self.measure(server.address(), server.id()))?;
        server.kill()?;
        let server = seat.start(directory)?;
        let audit = self.audit(server.address(), &outcome.balances);
        runtime.block_on(audit).map_err(|what| format!("after a kill, {what}"))?;
        Ok(outcome)
    }

    /// Puts the load on the server at `address`, which is the process `id`.
    pub(super) async fn measure(&self, address: SocketAddr, id: u32) -> Result<Outcome, String> {
        let session = Session::begin(address, TOKEN).await?;
        let mut client = Client::connect(&session).await?;
        let accounts = Arc::new(Accounts::new(self.accounts));
        accounts.open(&mut client).await?;
        let mut readings = Readings { watches: self.watches, ..Readings::default() };
        readings.before_watches = memory(id)?;
        let mut watches = Watches::open(&session, self.watches).await?;
        readings.with_watches = memory(id)?;
        let itself = std::process::id();
        let begins = || {
            readings.server_time = processor_time(id)?;
            readings.load_time = processor_time(itself)?;
            Ok(())
        };
        let done = self.load.run(&session, &accounts, begins).await?;
        readings.server_time = processor_time(id)? - readings.server_time;
        readings.load_time = processor_time(itself)? - readings.load_time;
        readings.last = memory(id)?;
        watches.are_idle()?;
        let balances = accounts.after(done.transfers.iter());
        accounts.audit(&mut Client::connect(&session).await?, &balances).await?;
        let figures = Figures::of(&done, &readings);
        Ok(Outcome { figures, transfers: done.transfers.len() as u64, balances })
    }

    /// Whether the accounts hold so much.
    pub(super) async fn audit(&self, address: SocketAddr, balances: &[u64]) -> Result<(), String> {
        let session = Session::begin(address, TOKEN).await?;
        let mut client = Client::connect(&session).await?;
        Accounts::new(self.accounts).audit(&mut client, balances).await
    }
}

/// One thread: what the load takes, it takes from the server.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("no threads: {error}"))
}
