//! What a run has done, in numbers: a search that never compacts proves nothing about compaction.

use std::fmt;
use std::ops::AddAssign;

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts of what happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for Totals {
            fn add_assign(&mut self, other: Totals) {
                $(self.$name += other.$name;)*
            }
        }

        impl fmt::Display for Totals {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let parts = [$((stringify!($name), self.$name)),*];
                let mut separator = "";
                for (name, count) in parts {
                    write!(f, "{separator}{count} {}", name.replace('_', " "))?;
                    separator = ", ";
                }
                Ok(())
            }
        }
    };
}

totals! {
    /// Histories.
    seeds,
    /// Operations of histories.
    operations,
    /// Commits that were acknowledged.
    commits,
    /// Commits whose checks failed, as they had to.
    failed_checks,
    /// Power cuts.
    power_cuts,
    /// Killed processes.
    kills,
    /// Stops of the machine inside a recovery; in random histories among the two above.
    stops_in_recovery,
    /// Openings after a stop that were compared with the oracle.
    recoveries,
    /// Recoveries that did not find a commit that was not promised.
    recoveries_with_loss,
    /// Orderly openings.
    reopenings,
    /// Openings on a full disk, for reading alone, whose last stamp lies below one that was shown.
    full_openings,
    /// Calls that failed for an armed error or want of space.
    refused,
    /// Memtables that were flushed.
    flushes,
    /// Merges of tables.
    merges,
    /// Tables that moved without being rewritten.
    moves,
    /// Sweeps of expired entries.
    sweeps,
    /// Log segments begun.
    segments,
    /// Checkpoints whose content was compared.
    copies,
    /// Snapshots that were read again.
    snapshots,
    /// Replicas that learned what had changed since they looked last.
    resumptions,
    /// Replicas that could not be told so.
    fresh_starts,
    /// Quiet stores whose files were counted.
    inventories,
    /// Stores that were recovered a second time, and closed and opened, on a copy of the machine.
    second_recoveries,
    /// Rivals who were refused.
    rivals,
    /// Stores that took commits again only after they were opened again.
    resumed,
    /// Stores on disks that broke their word, which opened to an earlier state.
    rollbacks,
    /// Stores that said that they were damaged, with reason.
    given_up,
    /// Files that were damaged at rest.
    harms,
    /// Damage at rest that the store told when it was opened.
    refused_openings,
    /// Damage at rest that a reader met and the check found.
    found_by_check,
    /// Damage at rest without any consequence.
    harmless,
}
