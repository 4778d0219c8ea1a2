//! The load: agents that transfer funds, each over a connection of its own, as fast as they are
//! answered.
//!
//! A transfer reads two accounts, and writes both if neither has changed since; if one has, it
//! begins again. Its latency is that of all attempts together.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use icecore_disk::random::SeededRandom;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::accounts::{Accounts, Transfer};
use super::client::{Client, Session};

/// The largest sum that is moved at once.
const AMOUNT_MAX: u64 = 100;

/// A load that is not over so long after its time is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whatever takes longer is counted as this.
const LATENCY_MAX_US: u64 = 120_000_000;

/// What agents do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) agents: u64,
    /// Nobody begins a transfer after this time.
    pub(super) time: Duration,
    pub(super) seed: u64,
}

/// What they have done.
#[derive(Debug)]
pub(super) struct Done {
    /// What was acknowledged.
    pub(super) transfers: Vec<Transfer>,
    /// Writes whose checks have failed.
    pub(super) conflicts: u64,
    /// Microseconds of each transfer.
    pub(super) transfer_us: Histogram<u64>,
    /// Microseconds of each write that was carried out.
    pub(super) write_us: Histogram<u64>,
    /// From the first transfer's beginning to the last one's end.
    pub(super) took: Duration,
}

impl Done {
    fn nothing() -> Done {
        let histogram = || Histogram::new_with_max(LATENCY_MAX_US, 3).expect("these are possible");
        Done {
            transfers: Vec::new(),
            conflicts: 0,
            transfer_us: histogram(),
            write_us: histogram(),
            took: Duration::ZERO,
        }
    }

    fn add(&mut self, other: &Done) {
        self.transfers.extend_from_slice(&other.transfers);
        self.conflicts += other.conflicts;
        self.transfer_us += &other.transfer_us;
        self.write_us += &other.write_us;
    }
}

impl Load {
    /// Lets the agents work. `begins` is called when all are connected.
    pub(super) async fn run(
        self,
        session: &Session,
        accounts: &Arc<Accounts>,
        begins: impl FnOnce() -> Result<(), String>,
    ) -> Result<Done, String> {
        let mut clients = Vec::new();
        for _ in 0..self.agents {
            clients.push(Client::connect(session).await?);
        }
        begins()?;
        let begun = Instant::now();
        let mut agents = JoinSet::new();
        for (id, client) in (0..).zip(clients) {
            // Neighbouring seeds would give the same numbers, one step later.
            let random = SeededRandom::new(SeededRandom::new(self.seed ^ id << 32).next());
            let accounts = Arc::clone(accounts);
            let agent = Agent { client, accounts, random, done: Done::nothing() };
            agents.spawn(agent.work_until(begun + self.time));
        }
        let mut done = Done::nothing();
        while let Some(agent) =
            timeout(self.time + PATIENCE, agents.join_next()).await.map_err(|_| "it is stuck")?
        {
            done.add(&agent.expect("an agent does not panic")?);
        }
        done.took = begun.elapsed();
        Ok(done)
    }
}

struct Agent {
    client: Client,
    accounts: Arc<Accounts>,
    random: SeededRandom,
    done: Done,
}

impl Agent {
    async fn work_until(mut self, end: Instant) -> Result<Done, String> {
        while Instant::now() < end {
            self.transfer().await?;
        }
        Ok(self.done)
    }

    async fn transfer(&mut self) -> Result<(), String> {
        let count = self.accounts.count() as u64;
        let from = self.random.below(count);
        let to = (from + 1 + self.random.below(count - 1)) % count;
        let wanted = 1 + self.random.below(AMOUNT_MAX);
        let [from, to] = [from, to].map(|id| usize::try_from(id).expect("it is below a usize"));
        let begun = Instant::now();
        loop {
            let held = self.accounts.read(&mut self.client, [from, to]).await?;
            // Nobody owes anything.
            let amount = wanted.min(held[0].balance);
            let transfer = Transfer { from, to, amount };
            let write = Instant::now();
            if self.accounts.transfer(&mut self.client, transfer, held).await? {
                record(&mut self.done.write_us, write.elapsed());
                record(&mut self.done.transfer_us, begun.elapsed());
                self.done.transfers.push(transfer);
                return Ok(());
            }
            self.done.conflicts += 1;
        }
    }
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(us);
}
