//! What came of a run.

use std::time::Duration;

use icecore::Durability;
use serde::Serialize;

use super::Args;
use super::agents::Tally;

/// The report, as it is printed with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) transfers: u64,
    /// How often an agent had to read again because another was faster.
    pub(crate) conflicts: u64,
    pub(crate) transfers_per_second: f64,
    pub(crate) latency_us: Latency,
    pub(crate) total_before: u64,
    /// Read after the store was closed and opened again.
    pub(crate) total_after: u64,
    pub(crate) conserved: bool,
}

/// From the first read of a transfer to its acknowledgement, in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl Report {
    pub(crate) fn new(tally: &Tally, total_before: u64, total_after: u64) -> Report {
        let us = |ns: u64| ns as f64 / 1000.0;
        let quantile = |q| us(tally.latency_ns.value_at_quantile(q));
        Report {
            transfers: tally.transfers,
            conflicts: tally.conflicts,
            transfers_per_second: per_second(tally.transfers, tally.elapsed),
            latency_us: Latency {
                p50: quantile(0.5),
                p99: quantile(0.99),
                p999: quantile(0.999),
                max: us(tally.latency_ns.max()),
            },
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

fn per_second(count: u64, elapsed: Duration) -> f64 {
    let rate = count as f64 / elapsed.as_secs_f64();
    if rate.is_finite() { rate } else { 0.0 }
}

/// A time in the unit that reads best.
fn time(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.1} µs")
    } else if us < 1_000_000.0 {
        format!("{:.1} ms", us / 1000.0)
    } else {
        format!("{:.1} s", us / 1_000_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_the_unit_that_reads_best() {
        let times = [0.25, 999.0, 1500.0, 2_500_000.0].map(time);
        assert_eq!(times, ["0.2 µs", "999.0 µs", "1.5 ms", "2.5 s"]);
    }

    #[test]
    fn no_time_gives_no_rate() {
        assert_eq!(per_second(0, Duration::ZERO), 0.0);
        assert_eq!(per_second(10, Duration::from_secs(2)), 5.0);
    }
}
