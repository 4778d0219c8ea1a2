//! How rates and times are computed and told.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies are kept to three significant digits.
const DIGITS: u8 = 3;

/// How long operations took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// From times in nanoseconds.
    pub(crate) fn of(times_ns: &Histogram<u64>) -> Latency {
        let us = |ns: u64| ns as f64 / 1000.0;
        let quantile = |q| us(times_ns.value_at_quantile(q));
        Latency {
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: us(times_ns.max()),
        }
    }
}

/// A histogram of times in nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("the number of digits is between 0 and 5")
}

/// Puts a time into a histogram of nanoseconds.
pub(crate) fn record(times_ns: &mut Histogram<u64>, time: Duration) {
    times_ns
        .record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        .expect("the histogram grows as needed");
}

/// The times of all histograms together.
pub(crate) fn merged(histograms: impl IntoIterator<Item = Histogram<u64>>) -> Histogram<u64> {
    let mut sum = histogram();
    for one in histograms {
        sum.add(one).expect("the histogram grows as needed");
    }
    sum
}

/// How many of `count` are done in a second.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    let rate = count as f64 / elapsed.as_secs_f64();
    if rate.is_finite() { rate } else { 0.0 }
}

/// A time in the unit that reads best.
pub(crate) fn time(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.1} µs")
    } else if us < 1_000_000.0 {
        format!("{:.1} ms", us / 1000.0)
    } else {
        format!("{:.1} s", us / 1_000_000.0)
    }
}

/// A number of seconds, as arguments have it.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// A number with its thousands set apart, without what is behind the point.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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

    #[test]
    fn thousands_are_set_apart() {
        let numbers = [0.0, 7.4, 999.5, 12_345.0, 1_234_567.0].map(grouped);
        assert_eq!(numbers, ["0", "7", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn latencies_are_microseconds() {
        let mut times = histogram();
        for us in 1..=100 {
            record(&mut times, Duration::from_micros(us));
        }
        let latency = Latency::of(&merged([times, histogram()]));
        assert!((latency.p50 - 50.0).abs() < 0.1 && (latency.max - 100.0).abs() < 0.1);
    }
}
