//! How much to slow writers down so that flush and compaction keep up: a pure rule.
//!
//! There are three pressures: tables in level 0 (every read asks each of them), frozen memtables
//! (memory), and bytes that compaction owes (space, and the time until levels are in shape). Each
//! has a soft bound, below which it does not matter, and the first two have a hard one, at which
//! writers stop. In between, the delay grows with the square of the way from soft to hard, so that
//! it begins unnoticeably and leaves no step at either end that throughput could swing about. The
//! highest of the pressures counts. (RocksDB's write controller has the same bounds; its delays
//! come in steps.)
//!
//! Owed bytes alone never stop writers: they only say how much work there is, and may be large for
//! good reasons, such as a changed target size.

use std::time::Duration;

/// Which pressure is the highest, named for the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Level 0 waits for compaction.
    LevelZeroTables,
    /// Frozen memtables wait to be flushed.
    FrozenMemtables,
    /// The levels are far from their target sizes.
    OwedBytes,
}

impl Reason {
    /// The name in the statistics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Reason::LevelZeroTables => "level-0 tables",
            Reason::FrozenMemtables => "frozen memtables",
            Reason::OwedBytes => "owed compaction",
        }
    }
}

/// What a commit does before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It goes on.
    Free,
    /// It waits so long, or until the pressure is gone.
    Delay(Duration, Reason),
    /// It waits until the pressure is gone.
    Stop(Reason),
}

/// Where a pressure begins to matter and where it must not grow any further.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Up to here there is no delay.
    pub(crate) soft: u64,
    /// From here on writers stop, or wait for [`DELAY_MAX`].
    pub(crate) hard: u64,
}

/// The bounds of all pressures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallOptions {
    /// Tables in level 0.
    pub(crate) level0_tables: Bounds,
    /// Frozen memtables.
    pub(crate) frozen_memtables: Bounds,
    /// Bytes owed by compaction.
    pub(crate) owed_bytes: Bounds,
}

impl StallOptions {
    /// Bounds that fit the settings of the levels: level 0 may wait for three compactions before
    /// its tables delay anybody, and for nine before they stop everybody. One frozen memtable is
    /// the ordinary case while it is flushed.
    pub(crate) fn new(
        level0_tables: usize,
        frozen_memtables_max: usize,
        level_base_bytes: u64,
    ) -> StallOptions {
        let level0_tables = level0_tables.max(1) as u64;
        let frozen_memtables_max = frozen_memtables_max.max(1) as u64;
        StallOptions {
            level0_tables: Bounds { soft: 3 * level0_tables, hard: 9 * level0_tables },
            frozen_memtables: Bounds {
                soft: 1.min(frozen_memtables_max - 1),
                hard: frozen_memtables_max,
            },
            owed_bytes: Bounds {
                soft: level_base_bytes.saturating_mul(64),
                hard: level_base_bytes.saturating_mul(256),
            },
        }
    }
}

/// What there is of each pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Tables in level 0.
    pub(crate) level0_tables: usize,
    /// Frozen memtables.
    pub(crate) frozen_memtables: usize,
    /// Bytes owed by compaction: see [`owed_bytes`](crate::compact::pick::owed_bytes).
    pub(crate) owed_bytes: u64,
}

/// The longest delay of one commit short of a stop.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(20);

/// Shorter delays cost more to wait for than they give.
const DELAY_MIN: Duration = Duration::from_micros(20);

/// The pace under `pressure`.
pub(crate) fn pace(pressure: &Pressure, options: &StallOptions) -> Pace {
    let tables = (pressure.level0_tables as u64, options.level0_tables);
    let frozen = (pressure.frozen_memtables as u64, options.frozen_memtables);
    let stops = [(tables, Reason::LevelZeroTables), (frozen, Reason::FrozenMemtables)];
    if let Some((_, reason)) = stops.iter().find(|((held, bounds), _)| *held >= bounds.hard) {
        return Pace::Stop(*reason);
    }
    let owed = ((pressure.owed_bytes, options.owed_bytes), Reason::OwedBytes);
    let delays = stops.into_iter().chain([owed]);
    let delays = delays.map(|((held, bounds), reason)| (delay(held, bounds), reason));
    match delays.max_by_key(|(delay, _)| *delay) {
        Some((delay, reason)) if delay >= DELAY_MIN => Pace::Delay(delay, reason),
        _ => Pace::Free,
    }
}

/// The delay for one pressure, up to [`DELAY_MAX`] at its hard bound.
fn delay(held: u64, bounds: Bounds) -> Duration {
    /// The whole way from soft to hard.
    const WAY: u128 = 1 << 20;
    let span = u128::from(bounds.hard.saturating_sub(bounds.soft)).max(1);
    let way = (u128::from(held.saturating_sub(bounds.soft)) * WAY / span).min(WAY);
    let nanos = DELAY_MAX.as_nanos() * way * way / (WAY * WAY);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options() -> StallOptions {
        StallOptions::new(4, 3, 100)
    }

    fn pace_of(level0_tables: usize, frozen_memtables: usize, owed_bytes: u64) -> Pace {
        pace(&Pressure { level0_tables, frozen_memtables, owed_bytes }, &options())
    }

    #[test]
    fn below_the_soft_bounds_writers_are_free() {
        assert_eq!(pace_of(0, 0, 0), Pace::Free);
        assert_eq!(pace_of(12, 1, 6400), Pace::Free);
    }

    #[test]
    fn the_highest_pressure_sets_delay_and_reason() {
        let delay = |micros, reason| Pace::Delay(Duration::from_micros(micros), reason);
        // A quarter and a half of the way; a quarter of the delay at half the way.
        assert_eq!(pace_of(18, 0, 0), delay(1250, Reason::LevelZeroTables));
        assert_eq!(pace_of(18, 2, 0), delay(5000, Reason::FrozenMemtables));
        assert_eq!(pace_of(30, 2, 0), delay(11250, Reason::LevelZeroTables));
        assert_eq!(pace_of(18, 0, 16000), delay(5000, Reason::OwedBytes));
    }

    #[test]
    fn tables_and_memtables_stop_writers_but_owed_bytes_do_not() {
        assert_eq!(pace_of(36, 0, 0), Pace::Stop(Reason::LevelZeroTables));
        assert_eq!(pace_of(0, 3, 0), Pace::Stop(Reason::FrozenMemtables));
        assert_eq!(pace_of(0, 0, u64::MAX), Pace::Delay(DELAY_MAX, Reason::OwedBytes));
    }

    #[test]
    fn the_smallest_settings_still_let_a_commit_through() {
        let options = StallOptions::new(0, 0, 0);
        assert_eq!(pace(&Pressure::default(), &options), Pace::Free);
        let frozen = Pressure { frozen_memtables: 1, ..Pressure::default() };
        assert_eq!(pace(&frozen, &options), Pace::Stop(Reason::FrozenMemtables));
    }

    fn as_delay(pace: Pace) -> Duration {
        match pace {
            Pace::Free => Duration::ZERO,
            Pace::Delay(delay, _) => delay,
            Pace::Stop(_) => Duration::MAX,
        }
    }

    proptest! {
        #[test]
        fn more_pressure_never_means_less_delay(
            tables in 0usize..40, frozen in 0usize..5, owed in 0u64..40_000, more in 0usize..9,
        ) {
            let delay = as_delay(pace_of(tables, frozen, owed));
            prop_assert!(delay <= as_delay(pace_of(tables + more, frozen, owed)));
            prop_assert!(delay <= as_delay(pace_of(tables, frozen + more, owed)));
            prop_assert!(delay <= as_delay(pace_of(tables, frozen, owed + more as u64)));
        }

        #[test]
        fn the_delay_grows_without_steps(owed in 0u64..30_000) {
            let step = delay(owed + 1, options().owed_bytes) - delay(owed, options().owed_bytes);
            // Twice the slope of a straight line is the steepest a square gets.
            prop_assert!(step <= DELAY_MAX / (19_200 / 2) + Duration::from_micros(1));
        }
    }
}
