//! What came of a run.

use icecore::Durability;
use serde::Serialize;

use super::Args;
use super::agents::Tally;
use crate::figures::{Latency, per_second, time};

/// The report, as it is printed with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) transfers: u64,
    /// How often an agent had to read again because another was faster.
    pub(crate) conflicts: u64,
    pub(crate) transfers_per_second: f64,
    /// From the first read of a transfer to its acknowledgement.
    pub(crate) latency_us: Latency,
    pub(crate) total_before: u64,
    /// Read after the store was closed and opened again.
    pub(crate) total_after: u64,
    pub(crate) conserved: bool,
}

impl Report {
    pub(crate) fn new(tally: &Tally, total_before: u64, total_after: u64) -> Report {
        Report {
            transfers: tally.transfers,
            conflicts: tally.conflicts,
            transfers_per_second: per_second(tally.transfers, tally.elapsed),
            latency_us: Latency::of(&tally.latency_ns),
            total_before,
            total_after,
            conserved: total_before == total_after,
        }
    }

    /// The report for people.
    pub(crate) fn text(&self, args: &Args) -> String {
        let durability = match args.durability() {
            Durability::Sync => "every commit durable",
            Durability::Buffered => "commits buffered",
        };
        let Latency { p50, p99, p999, max } = self.latency_us;
        let verdict = if self.conserved { "conserved" } else { "NOT CONSERVED" };
        format!(
            "agents      {}, on {} accounts, {durability}\n\
             transfers   {}, {:.0} per second\n\
             conflicts   {}, all retried\n\
             latency     p50 {}, p99 {}, p99.9 {}, max {}\n\
             balances    {} before, {} after reopening: {verdict}",
            args.threads,
            args.accounts,
            self.transfers,
            self.transfers_per_second,
            self.conflicts,
            time(p50),
            time(p99),
            time(p999),
            time(max),
            self.total_before,
            self.total_after,
        )
    }
}
