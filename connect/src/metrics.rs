//! What is counted, and the text in which Prometheus reads it.
//!
//! No label comes from a client: methods, classes of statuses and the names that the operator gave
//! to databases are all there is.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::StatusCode;

use crate::database::Database;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Exchange,
    SnapshotRead,
    AtomicWrite,
    Watch,
    Receive,
    Finish,
    Health,
    Metrics,
    Other,
}

const METHODS: [(Method, &str); 9] = [
    (Method::Exchange, "exchange"),
    (Method::SnapshotRead, "snapshot_read"),
    (Method::AtomicWrite, "atomic_write"),
    (Method::Watch, "watch"),
    (Method::Receive, "receive"),
    (Method::Finish, "finish"),
    (Method::Health, "health"),
    (Method::Metrics, "metrics"),
    (Method::Other, "other"),
];

/// Classes of statuses, by their first digit.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of durations, in microseconds, and as they are written.
const BUCKETS: [(u64, &str); 11] = [
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_500_000, "2.5"),
    (u64::MAX, "+Inf"),
];

/// All counters of a server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    methods: [OfMethod; METHODS.len()],
    connections: AtomicU64,
    connections_refused: AtomicU64,
    unauthorized: AtomicU64,
}

/// A connection, counted while this lives.
pub(crate) struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct OfMethod {
    answers: [AtomicU64; CLASSES.len()],
    /// Each answer in the first bucket that holds it.
    durations: [AtomicU64; BUCKETS.len()],
    micros: AtomicU64,
}

impl Metrics {
    /// Counts an answer, and how long it took until its headers were ready.
    pub(crate) fn count(&self, method: Method, status: StatusCode, took: Duration) {
        let place = METHODS.iter().position(|(known, _)| *known == method);
        let of_method = &self.methods[place.expect("every method is in the list")];
        let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(CLASSES.len() - 1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|(bound, _)| micros <= *bound);
        let bucket = bucket.expect("the last one holds all");
        of_method.answers[class].fetch_add(1, Ordering::Relaxed);
        of_method.durations[bucket].fetch_add(1, Ordering::Relaxed);
        of_method.micros.fetch_add(micros, Ordering::Relaxed);
        if status == StatusCode::UNAUTHORIZED {
            self.unauthorized.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection for as long as the result lives.
    pub(crate) fn open_connection(&self) -> Open<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Open(&self.connections)
    }

    /// Counts a connection that is one too many.
    pub(crate) fn refuse_connection(&self) {
        self.connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The text.
    pub(crate) fn text(&self, databases: &[Database], watches: usize, sent_bytes: usize) -> String {
        let mut text = Text::default();
        self.put_answers(&mut text);
        self.put_durations(&mut text);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        text.head("icecore_connections", "gauge", "Connections that are open.");
        text.line("icecore_connections", "", read(&self.connections));
        text.head("icecore_connections_refused_total", "counter", "Connections beyond the limit.");
        text.line("icecore_connections_refused_total", "", read(&self.connections_refused));
        text.head("icecore_unauthorized_total", "counter", "Requests without a valid token.");
        text.line("icecore_unauthorized_total", "", read(&self.unauthorized));
        text.head("icecore_watches", "gauge", "Watches that are open.");
        text.line("icecore_watches", "", watches);
        text.head("icecore_sent_bytes", "gauge", "Memory of what is on its way to clients.");
        text.line("icecore_sent_bytes", "", sent_bytes);
        put_databases(&mut text, databases);
        text.0
    }

    fn put_answers(&self, text: &mut Text) {
        text.head("icecore_requests_total", "counter", "Answers by method and class of status.");
        for ((_, method), of_method) in METHODS.iter().zip(&self.methods) {
            for (class, count) in CLASSES.iter().zip(&of_method.answers) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels = format!("{{method=\"{method}\",status=\"{class}\"}}");
                    text.line("icecore_requests_total", &labels, count);
                }
            }
        }
    }

    fn put_durations(&self, text: &mut Text) {
        const NAME: &str = "icecore_request_duration_seconds";
        text.head(NAME, "histogram", "Time until the headers of an answer were ready.");
        for ((_, method), of_method) in METHODS.iter().zip(&self.methods) {
            let mut below = 0;
            for ((_, bound), count) in BUCKETS.iter().zip(&of_method.durations) {
                below += count.load(Ordering::Relaxed);
                let labels = format!("_bucket{{method=\"{method}\",le=\"{bound}\"}}");
                text.line(NAME, &labels, below);
            }
            let seconds = Duration::from_micros(of_method.micros.load(Ordering::Relaxed));
            let labels = format!("_sum{{method=\"{method}\"}}");
            text.line(NAME, &labels, seconds.as_secs_f64());
            text.line(NAME, &format!("_count{{method=\"{method}\"}}"), below);
        }
    }
}

fn put_databases(text: &mut Text, databases: &[Database]) {
    let known = databases.iter().filter_map(|database| {
        let stats = database.kv.stats().ok()?;
        let name = database.name.as_deref().unwrap_or("default");
        Some((format!("{{database=\"{name}\"}}"), stats))
    });
    let known: Vec<_> = known.collect();
    text.head("icecore_commits_total", "counter", "Commits since the server was started.");
    known
        .iter()
        .for_each(|(label, stats)| text.line("icecore_commits_total", label, stats.commits));
    text.head("icecore_poisoned", "gauge", "1 if no commit is accepted until a restart.");
    for (label, stats) in &known {
        text.line("icecore_poisoned", label, u8::from(stats.poisoned.is_some()));
    }
    text.head("icecore_memtable_bytes", "gauge", "Memory that recent commits take.");
    for (label, stats) in &known {
        text.line("icecore_memtable_bytes", label, stats.memtable_bytes);
    }
    text.head("icecore_table_bytes", "gauge", "Bytes of all tables.");
    for (label, stats) in &known {
        let bytes: u64 = stats.levels.iter().map(|level| level.bytes).sum();
        text.line("icecore_table_bytes", label, bytes);
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}")
            .expect("a string takes all that is written");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "{name}{labels} {value}").expect("a string takes all that is written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.count(Method::Watch, StatusCode::OK, Duration::from_micros(400));
        metrics.count(Method::Watch, StatusCode::UNAUTHORIZED, Duration::from_secs(100));
        let text = metrics.text(&[], 3, 4);
        for line in [
            "icecore_requests_total{method=\"watch\",status=\"2xx\"} 1",
            "icecore_requests_total{method=\"watch\",status=\"4xx\"} 1",
            "icecore_request_duration_seconds_bucket{method=\"watch\",le=\"0.00025\"} 0",
            "icecore_request_duration_seconds_bucket{method=\"watch\",le=\"0.0005\"} 1",
            "icecore_request_duration_seconds_bucket{method=\"watch\",le=\"+Inf\"} 2",
            "icecore_request_duration_seconds_sum{method=\"watch\"} 100.0004",
            "icecore_request_duration_seconds_count{method=\"watch\"} 2",
            "icecore_unauthorized_total 1",
            "icecore_watches 3",
            "icecore_sent_bytes 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
