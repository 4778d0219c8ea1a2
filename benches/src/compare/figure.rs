//! One figure of one row, of one peer, in one round: what a line of the JSON output holds.

use serde::{Deserialize, Serialize};

use crate::compare::drive::{Measure, WINDOW};

/// The percentiles that are kept of every histogram.
pub const PERCENTILES: [f64; 7] = [50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 100.0];

/// A figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The name of the row.
    pub row: String,
    /// The name of the peer.
    pub peer: String,
    /// Which round, from 0.
    pub round: u32,
    /// In the unit of the row.
    pub value: f64,
    /// What was counted.
    pub units: u64,
    /// In which time.
    pub seconds: f64,
    /// Microseconds at each of [`PERCENTILES`]; empty if there are no latencies.
    pub latency_us: Vec<f64>,
    /// Units per second in each window of 100 ms.
    pub windows: Vec<f64>,
    /// Why there is no figure.
    pub failure: Option<String>,
    /// Why it was not even tried.
    pub skipped: Option<String>,
    /// What else is to be known of it.
    pub note: Option<String>,
}

impl Figure {
    /// A figure that is a throughput.
    pub fn of(measure: &Measure) -> Figure {
        let latency = &measure.latency;
        let at = |percentile| latency.value_at_percentile(percentile) as f64 / 1e3;
        Figure {
            value: measure.rate(),
            units: measure.units,
            seconds: measure.seconds,
            latency_us: if latency.is_empty() { vec![] } else { PERCENTILES.map(at).to_vec() },
            windows: measure
                .windows
                .iter()
                .map(|units| *units as f64 / WINDOW.as_secs_f64())
                .collect(),
            ..Figure::default()
        }
    }

    /// A figure that is a number.
    pub fn number(value: f64) -> Figure {
        Figure { value, ..Figure::default() }
    }

    /// No figure, and why.
    pub fn failed(failure: impl ToString) -> Figure {
        Figure { failure: Some(failure.to_string()), ..Figure::default() }
    }

    /// Nothing tried, and why.
    pub fn skipped(reason: impl ToString) -> Figure {
        Figure { skipped: Some(reason.to_string()), ..Figure::default() }
    }

    /// With a remark.
    #[must_use]
    pub fn noted(mut self, note: impl ToString) -> Figure {
        self.note = Some(note.to_string());
        self
    }
}
