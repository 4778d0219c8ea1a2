//! Threads that do one thing again and again, and the times that it takes.
//!
//! These threads belong to the command: all of them have ended when [`Drive::repeat`] returns.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use hdrhistogram::Histogram;
use icecore::{Commit, Error, Pending};
use icecore_disk::Clock;
use icecore_disk::random::SeededRandom;

use crate::failure::Failure;
use crate::figures::{histogram, merged, record};

/// How long, and by what clock.
#[derive(Clone, Copy)]
pub(crate) struct Drive<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) duration: Duration,
}

/// What came of it.
pub(crate) struct Measured {
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
    /// Of each call; none where all was one call.
    pub(crate) latency_ns: Option<Histogram<u64>>,
}

impl Drive<'_> {
    /// Calls `operation` on so many threads until the time is over; each call says how many
    /// operations it was.
    pub(crate) fn repeat(
        &self,
        threads: u32,
        operation: &(dyn Fn(&SeededRandom) -> Result<u64, Failure> + Sync),
    ) -> Result<Measured, Failure> {
        let failed = AtomicBool::new(false);
        let begun = self.clock.monotonic();
        let done = thread::scope(|scope| {
            let work = |seed| {
                let done = self.work(&SeededRandom::new(seed), begun, &failed, operation);
                failed.fetch_or(done.is_err(), Ordering::Relaxed);
                done
            };
            let start = |thread: u32| {
                let builder = thread::Builder::new().name(format!("bench-{thread}"));
                builder.spawn_scoped(scope, move || work(u64::from(thread)))
            };
            let started: Vec<_> = (0..threads).map(start).collect();
            let joined = started.into_iter().map(|thread| match thread {
                Ok(thread) => thread.join().expect("a row does not panic"),
                Err(e) => Err(Failure::io("start a thread", &e)),
            });
            joined.collect::<Result<Vec<_>, Failure>>()
        })?;
        let elapsed = self.clock.monotonic() - begun;
        let operations = done.iter().map(|(operations, _)| operations).sum();
        let latency_ns = Some(merged(done.into_iter().map(|(_, times)| times)));
        Ok(Measured { operations, elapsed, latency_ns })
    }

    fn work(
        &self,
        random: &SeededRandom,
        begun: Duration,
        failed: &AtomicBool,
        operation: &dyn Fn(&SeededRandom) -> Result<u64, Failure>,
    ) -> Result<(u64, Histogram<u64>), Failure> {
        let (mut operations, mut times) = (0, histogram());
        let mut last = self.clock.monotonic();
        while last - begun < self.duration && !failed.load(Ordering::Relaxed) {
            operations += operation(random)?;
            let now = self.clock.monotonic();
            record(&mut times, now - last);
            last = now;
        }
        Ok((operations, times))
    }

    /// One thread keeps so many commits in flight until the time is over.
    pub(crate) fn in_flight(
        &self,
        commits: usize,
        submit: &dyn Fn(&SeededRandom) -> Pending,
    ) -> Result<Measured, Failure> {
        let (random, mut times) = (SeededRandom::new(0), histogram());
        let mut waiting: VecDeque<(Duration, Pending)> = VecDeque::new();
        let begun = self.clock.monotonic();
        let mut now = begun;
        loop {
            while now - begun < self.duration && waiting.len() < commits {
                waiting.push_back((now, submit(&random)));
            }
            let Some((submitted, pending)) = waiting.pop_front() else { break };
            done(block_on(pending))?;
            now = self.clock.monotonic();
            record(&mut times, now - submitted);
        }
        let (operations, elapsed) = (times.len(), now - begun);
        Ok(Measured { operations, elapsed, latency_ns: Some(times) })
    }

    /// Does it once.
    pub(crate) fn once(
        &self,
        act: impl FnOnce() -> Result<u64, Failure>,
    ) -> Result<Measured, Failure> {
        let begun = self.clock.monotonic();
        let operations = act()?;
        Ok(Measured { operations, elapsed: self.clock.monotonic() - begun, latency_ns: None })
    }
}

/// A commit that nothing was asked for is one operation: it cannot fail a check.
pub(crate) fn done(commit: Result<Commit, Error>) -> Result<u64, Failure> {
    match commit? {
        Commit::Done { .. } => Ok(1),
        Commit::CheckFailed { .. } => {
            Err(Failure::damaged("a check failed that was not asked for"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use icecore_disk::clock::ManualClock;

    use super::*;

    #[test]
    fn operations_of_all_threads_are_counted_and_the_time_ends_them() {
        let clock = ManualClock::at(0);
        let drive = Drive { clock: &clock, duration: Duration::from_millis(50) };
        let calls = AtomicU64::new(0);
        let measured = drive.repeat(3, &|_| {
            calls.fetch_add(1, Ordering::Relaxed);
            clock.advance_ms(1);
            Ok(10)
        });
        let (measured, calls) = (measured.unwrap(), calls.into_inner());
        assert_eq!(measured.operations, calls * 10);
        assert_eq!(measured.latency_ns.unwrap().len(), calls);
        assert!((50..53).contains(&calls) && measured.elapsed.as_millis() == u128::from(calls));
    }

    #[test]
    fn the_failure_of_one_thread_ends_the_work_of_all() {
        let clock = ManualClock::at(0);
        let drive = Drive { clock: &clock, duration: Duration::MAX };
        let calls = AtomicU64::new(0);
        let failed = drive.repeat(3, &|_| match calls.fetch_add(1, Ordering::Relaxed) {
            100 => Err(Failure::problem("this is meant to happen")),
            _ => Ok(1),
        });
        assert_eq!(failed.err().unwrap().what(), "this is meant to happen");
    }
}
