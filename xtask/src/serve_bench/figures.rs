//! The figures of one round of one server, and what many rounds come to.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::load::Done;
use super::process::Memory;
use crate::report::grouped;

/// What was measured. Latencies in microseconds, memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Durable transfers a second.
    pub(super) rate: f64,
    transfer_us: Percentiles,
    write_us: Percentiles,
    /// Checks that have failed, of a thousand writes.
    conflicts_per_mille: f64,
    /// Processors that were busy for the server, and for the load.
    server_processors: f64,
    load_processors: f64,
    /// What was resident before the watches and for each of them, at the end, and at most.
    memory_first: f64,
    memory_per_watch: f64,
    memory_last: f64,
    memory_peak: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Percentiles {
    p50: f64,
    p99: f64,
    p999: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Percentiles {
        let at = |percentile| histogram.value_at_percentile(percentile) as f64;
        Percentiles { p50: at(50.0), p99: at(99.0), p999: at(99.9) }
    }

    fn text(&self) -> String {
        let [p50, p99, p999] = [self.p50, self.p99, self.p999].map(|us| us / 1e3);
        format!("p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1} ms")
    }
}

/// What was read of the processes during a round.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readings {
    pub(super) before_watches: Memory,
    pub(super) with_watches: Memory,
    pub(super) last: Memory,
    pub(super) server_time: Duration,
    pub(super) load_time: Duration,
    pub(super) watches: usize,
}

impl Figures {
    pub(super) fn of(done: &Done, readings: &Readings) -> Figures {
        let seconds = done.took.as_secs_f64();
        let transfers = done.transfers.len() as f64;
        let attempts = transfers + done.conflicts as f64;
        let grown = readings.with_watches.now.saturating_sub(readings.before_watches.now);
        Figures {
            rate: transfers / seconds,
            transfer_us: Percentiles::of(&done.transfer_us),
            write_us: Percentiles::of(&done.write_us),
            conflicts_per_mille: done.conflicts as f64 / attempts.max(1.0) * 1e3,
            server_processors: readings.server_time.as_secs_f64() / seconds,
            load_processors: readings.load_time.as_secs_f64() / seconds,
            memory_first: readings.before_watches.now as f64,
            memory_per_watch: grown as f64 / readings.watches.max(1) as f64,
            memory_last: readings.last.now as f64,
            memory_peak: readings.last.peak as f64,
        }
    }

    /// The median of each figure. Of two middles it is the upper one, so that all is as measured.
    pub(super) fn median(rounds: &[Figures]) -> Option<Figures> {
        let middle = |figure: fn(&Figures) -> f64| {
            let mut values: Vec<_> = rounds.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Some(Figures {
            rate: middle(|f| f.rate)?,
            transfer_us: Percentiles {
                p50: middle(|f| f.transfer_us.p50)?,
                p99: middle(|f| f.transfer_us.p99)?,
                p999: middle(|f| f.transfer_us.p999)?,
            },
            write_us: Percentiles {
                p50: middle(|f| f.write_us.p50)?,
                p99: middle(|f| f.write_us.p99)?,
                p999: middle(|f| f.write_us.p999)?,
            },
            conflicts_per_mille: middle(|f| f.conflicts_per_mille)?,
            server_processors: middle(|f| f.server_processors)?,
            load_processors: middle(|f| f.load_processors)?,
            memory_first: middle(|f| f.memory_first)?,
            memory_per_watch: middle(|f| f.memory_per_watch)?,
            memory_last: middle(|f| f.memory_last)?,
            memory_peak: middle(|f| f.memory_peak)?,
        })
    }

    /// The figures that a user feels, in one line.
    pub(super) fn short(&self) -> String {
        format!("{}; transfer {}", self.rate_text(), self.transfer_us.text())
    }

    /// All of them, in lines.
    pub(super) fn long(&self) -> String {
        let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
        format!(
            "{}; {:.1} conflicts in 1,000 writes\n  transfer     {}\n  atomic_write {}\n  \
             processors   {:.2} for the server, {:.2} for the load\n  memory       {:.1} MiB at \
             first, {:.1} KiB more for each watch, {:.1} MiB in the end, {:.1} MiB at most",
            self.rate_text(),
            self.conflicts_per_mille,
            self.transfer_us.text(),
            self.write_us.text(),
            self.server_processors,
            self.load_processors,
            mebibytes(self.memory_first),
            self.memory_per_watch / 1024.0,
            mebibytes(self.memory_last),
            mebibytes(self.memory_peak),
        )
    }

    /// How these compare with others: how many times as fast, and so on.
    pub(super) fn beside(&self, other: &Figures) -> String {
        format!(
            "{:.1} times its durable throughput, {:.2} of its p99, {:.2} of its largest memory",
            self.rate / other.rate,
            self.transfer_us.p99 / other.transfer_us.p99,
            self.memory_peak / other.memory_peak,
        )
    }

    fn rate_text(&self) -> String {
        // A rate is far below 2⁵³.
        #[expect(clippy::cast_possible_truncation, reason = "it is rounded")]
        let rate = self.rate.round() as u64;
        format!("{} transfers/s", grouped(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_taken_of_each_figure_by_itself() {
        let of = |rate, memory_peak| Figures { rate, memory_peak, ..Figures::default() };
        let rounds = [of(10.0, 3.0), of(900.0, 1.0), of(20.0, 2.0)];
        assert_eq!(Figures::median(&rounds), Some(of(20.0, 2.0)));
        assert_eq!(Figures::median(&[]), None);
        let ratio = of(100.0, 5.0).beside(&of(20.0, 10.0));
        assert!(ratio.starts_with("5.0 times its durable throughput"), "{ratio}");
        assert!(ratio.ends_with("0.50 of its largest memory"), "{ratio}");
    }
}
