//! Runs a step on one or several threads until a time or a count is reached, and takes times.
//!
//! The clock costs tens of nanoseconds, which a point read would feel. So only one step in
//! [`Plan::stride`] is timed, and the clock is read only then.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::compare::Result;
use crate::compare::process::now;

/// Throughput is counted in windows of this length.
pub const WINDOW: Duration = Duration::from_millis(100);

/// Slower steps count as this slow.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Steps of less than a few microseconds are timed one in so many.
pub const SAMPLED: u64 = 16;

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// So many threads make steps.
    pub threads: usize,
    /// None begins after this time.
    pub seconds: f64,
    /// Each thread makes at most so many steps.
    pub steps_max: u64,
    /// One step in so many is timed.
    pub stride: u64,
}

impl Plan {
    /// One thread, for some time, with every step timed.
    pub fn lasting(seconds: f64) -> Plan {
        Plan { threads: 1, seconds, steps_max: u64::MAX, stride: 1 }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measure {
    /// What the steps counted: operations, keys, entries.
    pub units: u64,
    /// From the first step of any thread to the end of the last.
    pub seconds: f64,
    /// Nanoseconds of the timed steps.
    pub latency: Histogram<u64>,
    /// Units of each [`WINDOW`].
    pub windows: Vec<u64>,
}

impl Measure {
    /// Units per second.
    pub fn rate(&self) -> f64 {
        self.units as f64 / self.seconds.max(1e-9)
    }

    /// Takes what happened in so many more seconds into account.
    pub fn lengthen(&mut self, more: Duration) {
        self.seconds += more.as_secs_f64();
    }

    /// Units in the worst full second, if there was a full second.
    pub fn worst_second(&self) -> Option<f64> {
        let windows = usize::try_from(Duration::from_secs(1).as_millis() / WINDOW.as_millis());
        // The last window is cut short by the end.
        let full = &self.windows[..self.windows.len().saturating_sub(1)];
        let sums = full.windows(windows.expect("a few")).map(|second| second.iter().sum::<u64>());
        sums.min().map(|units| units as f64)
    }
}

/// What one thread has seen.
struct Track {
    begin: Instant,
    end: Instant,
    units: u64,
    latency: Histogram<u64>,
    windows: Vec<u64>,
}

/// Makes a stepper for each thread, and runs them side by side. A step tells how many units it did.
///
/// # Errors
/// The first error of a step: the thread ends with it, and the others with the time.
pub fn drive<S>(plan: Plan, stepper: impl Fn(usize) -> S) -> Result<Measure>
where
    S: FnMut() -> Result<u64> + Send,
{
    let steppers: Vec<S> = (0..plan.threads).map(stepper).collect();
    let barrier = Barrier::new(plan.threads);
    let tracks: Vec<Result<Track>> = std::thread::scope(|scope| {
        let track = |stepper| {
            let barrier = &barrier;
            move || {
                barrier.wait();
                follow(plan, stepper)
            }
        };
        let threads: Vec<_> = steppers.into_iter().map(|s| scope.spawn(track(s))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Track>>| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
        };
        threads.into_iter().map(join).collect()
    });
    merge(tracks.into_iter().collect::<Result<Vec<Track>>>()?)
}

/// One thread.
fn follow(plan: Plan, mut step: impl FnMut() -> Result<u64>) -> Result<Track> {
    let begin = now();
    let limit = Duration::from_secs_f64(plan.seconds);
    let mut track =
        Track { begin, end: begin, units: 0, latency: histogram()?, windows: Vec::new() };
    let (mut counted, mut steps) = (0, 0);
    while steps < plan.steps_max {
        for _ in 1..plan.stride.min(plan.steps_max - steps) {
            track.units += step()?;
            steps += 1;
        }
        let before = if plan.stride == 1 { track.end } else { now() };
        track.units += step()?;
        steps += 1;
        track.end = now();
        track.latency.saturating_record(nanoseconds(track.end - before));
        let window = (track.end - begin).as_millis() / WINDOW.as_millis();
        track.windows.resize(usize::try_from(window)? + 1, 0);
        if let Some(last) = track.windows.last_mut() {
            *last += track.units - counted;
        }
        counted = track.units;
        if track.end - begin >= limit {
            break;
        }
    }
    Ok(track)
}

fn merge(tracks: Vec<Track>) -> Result<Measure> {
    let begin = tracks.iter().map(|track| track.begin).min().ok_or("there was no thread")?;
    let end = tracks.iter().map(|track| track.end).max().ok_or("there was no thread")?;
    let mut measure = Measure {
        units: 0,
        seconds: (end - begin).as_secs_f64(),
        latency: histogram()?,
        windows: Vec::new(),
    };
    for track in tracks {
        measure.units += track.units;
        measure.latency.add(&track.latency)?;
        let windows = measure.windows.len().max(track.windows.len());
        measure.windows.resize(windows, 0);
        for (sum, units) in measure.windows.iter_mut().zip(&track.windows) {
            *sum += units;
        }
    }
    Ok(measure)
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)?)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_of_all_threads_are_counted_once() {
        let plan = Plan { threads: 3, seconds: 60.0, steps_max: 1000, stride: SAMPLED };
        let measure = drive(plan, |_| || Ok(2)).expect("no step fails");
        assert_eq!(measure.units, 6000);
        assert_eq!(measure.windows.iter().sum::<u64>(), 6000);
        assert_eq!(measure.latency.len(), 3 * 1000_u64.div_ceil(SAMPLED));
    }

    #[test]
    fn an_error_of_one_thread_is_the_error_of_all() {
        let plan = Plan { threads: 2, seconds: 60.0, steps_max: 10, stride: 1 };
        let failing = |thread| move || if thread == 1 { Err("no".into()) } else { Ok(1) };
        assert!(drive(plan, failing).is_err());
    }
}
