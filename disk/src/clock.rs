//! The seam of time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. The wall clock may jump in both directions; the monotonic one never goes back.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Milliseconds since the Unix epoch; 0 for a clock set before it.
    fn wall_ms(&self) -> u64;
    /// Time since some fixed moment in the life of the process.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic reading starts at zero.
    #[expect(clippy::disallowed_methods, reason = "this is the seam of time")]
    pub fn new() -> SystemClock {
        SystemClock { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the seam of time")]
    fn wall_ms(&self) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that moves only when it is told to, for tests and the simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at `wall_ms`.
    pub fn at(wall_ms: u64) -> ManualClock {
        ManualClock { wall_ms: AtomicU64::new(wall_ms), monotonic_ms: AtomicU64::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance_ms(&self, ms: u64) {
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, which may go back, by years if need be. The monotonic one stands still.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_of_the_system_go_on() {
        const YEAR_2020_MS: u64 = 1_577_836_800_000;
        let clock = SystemClock::default();
        let first = clock.monotonic();
        assert!(clock.wall_ms() > YEAR_2020_MS);
        while clock.monotonic() == first {
            std::hint::spin_loop();
        }
        assert!(clock.monotonic() > first);
    }

    #[test]
    fn t1_the_wall_clock_freezes_repeats_and_jumps_and_the_monotonic_one_never_goes_back() {
        const TEN_YEARS_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;
        let clock = ManualClock::at(TEN_YEARS_MS);
        let reading = || (clock.wall_ms(), clock.monotonic());
        assert_eq!(reading(), reading());
        clock.advance_ms(5);
        assert_eq!(reading(), (TEN_YEARS_MS + 5, Duration::from_millis(5)));
        for wall_ms in [2 * TEN_YEARS_MS, TEN_YEARS_MS, 0, TEN_YEARS_MS] {
            clock.set_wall_ms(wall_ms);
            assert_eq!(reading(), (wall_ms, Duration::from_millis(5)));
        }
    }
}
