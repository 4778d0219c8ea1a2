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

impl Pace {
    /// Why writers are slowed, for the statistics; `None` if they are not.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        match self {
            Pace::Free => None,
            Pace::Delay(_, reason) | Pace::Stop(reason) => Some(reason.name()),
        }
    }
}

/// What there is of each pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Tables in level 0.
    pub(crate) level0_tables: usize,
    /// Frozen memtables.
    pub(crate) frozen_memtables: usize,
    /// Bytes owed by compaction: see [`owed_bytes`](crate::compact::pick::owed_bytes).
    pub(crate) owed_bytes: u64,
}

/// The settings of the store that the bounds follow from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// With so many tables, level 0 is compacted.
    pub(crate) level0_tables: usize,
    /// With so many frozen memtables, writers stop.
    pub(crate) frozen_memtables: usize,
    /// The target size of level 1.
    pub(crate) level_base_bytes: u64,
}

/// Where a pressure begins to matter and where it must not grow any further.
#[derive(Clone, Copy, Debug)]
struct Span {
    soft: u64,
    hard: u64,
}

impl Bounds {
    /// Level 0 may wait for three compactions before its tables delay anybody, and for nine before
    /// they stop everybody.
    fn tables(&self) -> Span {
        let full = self.level0_tables.max(1) as u64;
        Span { soft: full.saturating_mul(3), hard: full.saturating_mul(9) }
    }

    /// One frozen memtable is the ordinary case while it is flushed.
    fn frozen(&self) -> Span {
        let most = self.frozen_memtables.max(1) as u64;
        Span { soft: 1.min(most - 1), hard: most }
    }

    /// Several levels may be at work, each with more than the first one holds.
    fn owed(&self) -> Span {
        let times = |factor| self.level_base_bytes.saturating_mul(factor);
        Span { soft: times(64), hard: times(256) }
    }
}

/// The longest delay of one commit short of a stop. However small its commits are, a writer still
/// makes a thousand of them a second.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(1);

/// Shorter delays cost more to wait for than they give.
const DELAY_MIN: Duration = Duration::from_micros(20);

/// The pace under `load`.
pub(crate) fn pace(load: &Load, bounds: &Bounds) -> Pace {
    let tables = (load.level0_tables as u64, bounds.tables(), Reason::LevelZeroTables);
    let frozen = (load.frozen_memtables as u64, bounds.frozen(), Reason::FrozenMemtables);
    let owed = (load.owed_bytes, bounds.owed(), Reason::OwedBytes);
    if let Some((.., reason)) = [frozen, tables].iter().find(|(held, span, _)| *held >= span.hard) {
        return Pace::Stop(*reason);
    }
    let delays = [tables, frozen, owed].map(|(held, span, reason)| (delay(held, span), reason));
    match delays.into_iter().max_by_key(|(delay, _)| *delay) {
        Some((delay, reason)) if delay >= DELAY_MIN => Pace::Delay(delay, reason),
        _ => Pace::Free,
    }
}

/// The delay for one pressure, up to [`DELAY_MAX`] at its hard bound.
fn delay(held: u64, span: Span) -> Duration {
    /// The whole way from soft to hard.
    const WAY: u128 = 1 << 20;
    let length = u128::from(span.hard.saturating_sub(span.soft)).max(1);
    let way = (u128::from(held.saturating_sub(span.soft)) * WAY / length).min(WAY);
    let nanos = DELAY_MAX.as_nanos() * way * way / (WAY * WAY);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { level0_tables: 4, frozen_memtables: 3, level_base_bytes: 100 };

    fn pace_of(level0_tables: usize, frozen_memtables: usize, owed_bytes: u64) -> Pace {
        pace(&Load { level0_tables, frozen_memtables, owed_bytes }, &BOUNDS)
    }

    #[test]
    fn below_the_soft_bounds_writers_are_free() {
        assert_eq!(pace_of(0, 0, 0), Pace::Free);
        assert_eq!(pace_of(12, 1, 6400), Pace::Free);
    }

    #[test]
    fn the_highest_pressure_sets_delay_and_reason() {
        let delay = |sixteenths, reason| Pace::Delay(DELAY_MAX * sixteenths / 16, reason);
        // A quarter of the way, the half and three quarters of it.
        assert_eq!(pace_of(18, 0, 0), delay(1, Reason::LevelZeroTables));
        assert_eq!(pace_of(18, 2, 0), delay(4, Reason::FrozenMemtables));
        assert_eq!(pace_of(30, 2, 0), delay(9, Reason::LevelZeroTables));
        assert_eq!(pace_of(30, 2, 0).reason(), Some("level-0 tables"));
        assert_eq!(pace_of(18, 0, 16000), delay(4, Reason::OwedBytes));
    }

    #[test]
    fn tables_and_memtables_stop_writers_but_owed_bytes_do_not() {
        assert_eq!(pace_of(36, 0, 0), Pace::Stop(Reason::LevelZeroTables));
        assert_eq!(pace_of(0, 3, 0), Pace::Stop(Reason::FrozenMemtables));
        assert_eq!(pace_of(0, 0, u64::MAX), Pace::Delay(DELAY_MAX, Reason::OwedBytes));
    }

    #[test]
    fn the_smallest_settings_still_let_a_commit_through() {
        let bounds = Bounds { level0_tables: 0, frozen_memtables: 0, level_base_bytes: 0 };
        assert_eq!(pace(&Load::default(), &bounds), Pace::Free);
        let frozen = Load { frozen_memtables: 1, ..Load::default() };
        assert_eq!(pace(&frozen, &bounds), Pace::Stop(Reason::FrozenMemtables));
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
            let step = delay(owed + 1, BOUNDS.owed()) - delay(owed, BOUNDS.owed());
            // Twice the slope of a straight line is the steepest a square gets.
            prop_assert!(step <= DELAY_MAX / (19_200 / 2) + Duration::from_micros(1));
        }
    }
}
