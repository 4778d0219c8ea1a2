//! What came of it: a line for each row, as soon as it is known.

use serde::Serialize;

use super::Args;
use super::drive::Measured;
use crate::failure::Failure;
use crate::figures::{Latency, grouped, per_second, time};
use crate::{print, print_json};

/// A row, as it is printed with `--json`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    workload: &'a str,
    operations: u64,
    seconds: f64,
    per_second: f64,
    /// Of each call; absent where all was one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<Latency>,
}

/// What stands over the rows.
pub(crate) fn head(args: &Args) -> Result<(), Failure> {
    print(&format!(
        "{} records, values of {} bytes; each row {} s\n\n{:<42}{:>12}{:>12}{:>12}{:>12}",
        grouped(args.keys as f64),
        args.value_bytes,
        args.seconds.as_secs_f64(),
        "",
        "per second",
        "p50",
        "p99",
        "max",
    ))
}

/// Prints a row.
pub(crate) fn row(json: bool, workload: &str, measured: &Measured) -> Result<(), Failure> {
    let Measured { operations, elapsed, .. } = *measured;
    let row = Row {
        workload,
        operations,
        seconds: elapsed.as_secs_f64(),
        per_second: per_second(operations, elapsed),
        latency_us: measured.latency_ns.as_ref().map(Latency::of),
    };
    if json {
        return print_json(&row);
    }
    let times = row.latency_us.map_or(String::new(), |Latency { p50, p99, max, .. }| {
        format!("{:>12}{:>12}{:>12}", time(p50), time(p99), time(max))
    });
    print(&format!("{workload:<42}{:>12}{times}", grouped(row.per_second)))
}
