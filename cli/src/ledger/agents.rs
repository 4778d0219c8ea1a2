//! Agents: threads that transfer until they are told to stop.
//!
//! These threads belong to the command, not to the store: here is where they are made, and all
//! of them have ended when [`Agents::work`] returns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use icecore::Kv;
use icecore_disk::Clock;
use icecore_disk::random::SeededRandom;

use super::accounts::{Accounts, Order, TransferId};
use super::journal::{Acknowledgement, Journal};
use crate::failure::Failure;
use crate::figures::{histogram, merged, record};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Who works, on what.
pub(crate) struct Agents<'a> {
    pub(crate) kv: &'a Kv,
    pub(crate) accounts: &'a Accounts,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) threads: u32,
    pub(crate) seed: u64,
    /// Where transfers are acknowledged; without it, they are not recorded either.
    pub(crate) journal: Option<&'a Journal>,
}

/// What came of the work.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) transfers: u64,
    pub(crate) conflicts: u64,
    /// From the first read to the acknowledgement, in nanoseconds, conflicts included.
    pub(crate) latency_ns: Histogram<u64>,
    pub(crate) elapsed: Duration,
}

/// How far the work has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) transfers: u64,
    pub(crate) conflicts: u64,
    pub(crate) elapsed: Duration,
}

/// What the agents share with the one who waits for them.
#[derive(Debug, Default)]
struct Desk {
    transfers: AtomicU64,
    conflicts: AtomicU64,
    stopping: AtomicBool,
    /// Whether an agent has given up.
    failed: Mutex<bool>,
    changed: Condvar,
}

impl Agents<'_> {
    /// Works for `duration`, or until an agent meets an error.
    pub(crate) fn work(
        &self,
        duration: Duration,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Tally, Failure> {
        let desk = Desk::default();
        let seeds = SeededRandom::new(self.seed);
        let begun = self.clock.monotonic();
        let histograms = thread::scope(|scope| {
            let mut threads = Vec::new();
            for number in 0..self.threads {
                let random = SeededRandom::new(seeds.next());
                let desk = &desk;
                let agent = move || self.agent(u64::from(number), &random, desk);
                match thread::Builder::new()
                    .name(format!("agent-{number}"))
                    .spawn_scoped(scope, agent)
                {
                    Ok(thread) => threads.push(thread),
                    Err(e) => {
                        desk.stopping.store(true, Ordering::Relaxed);
                        return Err(Failure::io("start a thread", &e));
                    }
                }
            }
            self.wait(&desk, begun, duration, tell);
            desk.stopping.store(true, Ordering::Relaxed);
            threads
                .into_iter()
                .map(|thread| thread.join().expect("an agent does not panic"))
                .collect::<Result<Vec<_>, Failure>>()
        })?;
        let elapsed = self.clock.monotonic() - begun;
        let latency_ns = merged(histograms);
        let Progress { transfers, conflicts, .. } = desk.progress(elapsed);
        Ok(Tally { transfers, conflicts, latency_ns, elapsed })
    }

    fn wait(
        &self,
        desk: &Desk,
        begun: Duration,
        duration: Duration,
        tell: &mut dyn FnMut(Progress),
    ) {
        let mut failed = desk.failed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let elapsed = self.clock.monotonic() - begun;
            if *failed || elapsed >= duration {
                return;
            }
            tell(desk.progress(elapsed));
            let next = PROGRESS_EVERY.min(duration - elapsed);
            failed =
                desk.changed.wait_timeout(failed, next).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn agent(
        &self,
        agent: u64,
        random: &SeededRandom,
        desk: &Desk,
    ) -> Result<Histogram<u64>, Failure> {
        let _alarm = Alarm { desk };
        let mut latency_ns = histogram();
        let mut number = 0;
        while !desk.stopping.load(Ordering::Relaxed) {
            let order = self.accounts.choose(random);
            number += 1;
            if let Err(failure) = self.carry_out(&order, agent, number, desk, &mut latency_ns) {
                desk.give_up();
                return Err(failure);
            }
        }
        Ok(latency_ns)
    }

    fn carry_out(
        &self,
        order: &Order,
        agent: u64,
        number: u64,
        desk: &Desk,
        latency_ns: &mut Histogram<u64>,
    ) -> Result<(), Failure> {
        let id = self.journal.map(|journal| TransferId { life: journal.life(), agent, number });
        let begun = self.clock.monotonic();
        let outcome = self.accounts.transfer(self.kv, order, id)?;
        desk.conflicts.fetch_add(outcome.conflicts, Ordering::Relaxed);
        let Some(versionstamp) = outcome.done else { return Ok(()) };
        desk.transfers.fetch_add(1, Ordering::Relaxed);
        let took = self.clock.monotonic() - begun;
        record(latency_ns, took);
        match (self.journal, id) {
            (Some(journal), Some(id)) => journal
                .acknowledge(&Acknowledgement { id, order: *order, versionstamp })
                .map_err(|e| Failure::io("write an acknowledgement", &e)),
            _ => Ok(()),
        }
    }
}

/// Held by an agent at work. The others must not go on as if nothing had happened when it panics.
struct Alarm<'a> {
    desk: &'a Desk,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.desk.give_up();
        }
    }
}

impl Desk {
    /// Ends the work of all agents.
    fn give_up(&self) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn progress(&self, elapsed: Duration) -> Progress {
        Progress {
            transfers: self.transfers.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            elapsed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use icecore_disk::clock::SystemClock;

    use super::*;

    /// A clock that one of the agents cannot read.
    #[derive(Debug, Default)]
    struct BrokenForOne(SystemClock);

    impl Clock for BrokenForOne {
        fn wall_ms(&self) -> u64 {
            self.0.wall_ms()
        }

        fn monotonic(&self) -> Duration {
            assert_ne!(thread::current().name(), Some("agent-1"), "this is meant to happen");
            self.0.monotonic()
        }
    }

    #[test]
    fn the_panic_of_one_agent_ends_the_work_of_all() {
        let directory = tempfile::tempdir().unwrap();
        let kv = Kv::open(directory.path().join("store")).unwrap();
        let accounts = Accounts::open(&kv, 10).unwrap();
        let (clock, threads) = (BrokenForOne::default(), 3);
        let agents =
            Agents { kv: &kv, accounts: &accounts, clock: &clock, threads, seed: 1, journal: None };
        let work = AssertUnwindSafe(|| agents.work(Duration::MAX, &mut |_| ()));
        assert!(catch_unwind(work).is_err());
    }
}
