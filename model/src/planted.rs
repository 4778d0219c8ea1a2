//! Bugs on purpose: the simulation switches one on and must find it.
//!
//! Without the feature `planted`, which only the simulation's own builds have, [`planted`] is a
//! constant `false` and every mention of it vanishes.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A bug that can be planted. The documentation of each says what is then wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($(#[$doc])* $name,)*
        }

        impl Planted {
            /// All of them.
            pub const ALL: &[Planted] = &[$(Planted::$name),*];
        }
    };
}

bugs! {
    /// After a crash, stamps go on after the last one found, not after the ceiling.
    CeilingIgnored,
    /// Frames count without their checksum.
    ChecksumUnchecked,
    /// One completed durable write makes everything below it count as durable.
    DurableBeyondGaps,
    /// A `Sync` commit becomes visible when it is written.
    VisibleBeforeDurable,
    /// Recovery goes on behind a hole in the log.
    HoleSkipped,
    /// A segment's salt is always the same, so that old frames in a recycled file verify.
    SaltRepeated,
    /// Log segments go before the manifest no longer lists them.
    SegmentsDiscardedEarly,
    /// The manifest does not record which table numbers were given.
    TableNumbersForgotten,
    /// Versions that only a snapshot still reads are dropped.
    SnapshotsIgnored,
    /// Range tombstones are dropped although something lies below them.
    RangeTombstoneDroppedEarly,
    /// Tombstones are dropped although something lies below them.
    TombstoneDroppedEarly,
    /// What has expired is still there.
    ExpiryIgnored,
    /// What the sweeper noted is forgotten when the store is opened.
    WatermarkForgotten,
    /// The clock of the engine goes back when the wall clock does.
    ClockGoesBack,
    /// Checks are compared with what readers see, not with the newest state.
    ChecksSeeOnlyVisible,
    /// Writes in flight may share a block.
    BlocksShared,
    /// A failed edit of the manifest does not end the life of the store.
    FailedEditForgiven,
    /// The tables that a merge replaces go before the manifest no longer lists them.
    InputsRemovedEarly,
    /// Files that nobody refers to any more stay.
    LeftoversKept,
    /// A caller hears of a failed check before the state that failed it is visible.
    FailureToldEarly,
    /// What the log holds in memory only counts as flushed: its sync is left out.
    FlushedWithoutLogSync,
    /// Which deletions were dropped for good is not written into the manifest.
    ForgottenUnwritten,
    /// A recovery does not note which stamps may have been lost.
    LossUnnoted,
}

#[cfg(feature = "planted")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Planted;

    /// One more than the number of the bug that is on; 0 for none.
    static ON: AtomicUsize = AtomicUsize::new(0);

    /// Switches `bug` on, and all others off, for the whole process.
    pub fn plant(bug: Option<Planted>) {
        ON.store(bug.map_or(0, |bug| bug as usize + 1), Ordering::SeqCst);
    }

    /// Whether `bug` is on.
    #[inline]
    pub fn planted(bug: Planted) -> bool {
        ON.load(Ordering::Relaxed) == bug as usize + 1
    }
}

#[cfg(feature = "planted")]
pub use switch::{plant, planted};

/// Whether `bug` is on: never, in a build without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn planted(_bug: Planted) -> bool {
    false
}
