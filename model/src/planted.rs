//! Bugs on purpose: the simulation switches one on and must find it.
//!
//! Without the feature `planted`, which only the simulation's own builds have, [`planted`] is a
//! constant `false` and every mention of it vanishes.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*; races: $($(#[$race_doc:meta])* $race:ident,)*) => {
        /// A bug that can be planted. The documentation of each says what is then wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($(#[$doc])* $name,)*
            $($(#[$race_doc])* $race,)*
        }

        impl Planted {
            /// All that show in one thread.
            pub const ALL: &[Planted] = &[$(Planted::$name),*];
            /// All that need several threads, and the right schedule of them.
            pub const RACES: &[Planted] = &[$(Planted::$race),*];
        }
    };
}

bugs! {
    /// After a crash, stamps go on after the last one found, not after the ceiling. A stamp that
    /// somebody has seen gets other content.
    CeilingIgnored,
    /// A new segment does not raise the ceiling: as when the next number is not stored with the
    /// data (fjall #265).
    CeilingUnwritten,
    /// Frames count without their checksum.
    ChecksumUnchecked,
    /// One completed durable write makes everything below it count as durable.
    DurableBeyondGaps,
    /// A `Sync` commit becomes visible, and is acknowledged, before its group is durable.
    VisibleBeforeDurable,
    /// Recovery goes on behind a hole in the log (LevelDB #193).
    HoleSkipped,
    /// A segment's salt is always the same, so that old frames in a recycled file verify (RocksDB
    /// PR #6351, #12403; Pebble #567).
    SaltRepeated,
    /// A log goes on in the next segment before the one before is durable: holes between segments
    /// (RocksDB #7701, #10560, #13169).
    RotatedWithoutSync,
    /// A segment's header is not compared with the end of the segment before it (what RocksDB
    /// #13226 added).
    PredecessorUnchecked,
    /// The name of a new segment is not made durable before commits in it are acknowledged (LevelDB
    /// #189).
    SegmentNamesUnsynced,
    /// Frames do not say what was durable when they were written: a flipped bit is taken for a torn
    /// tail, and acknowledged commits behind it are dropped (Pebble #453, doltlite #1341).
    DurableUnnoted,
    /// An idle log does not note that all of it is durable.
    BeaconsLeftOut,
    /// That the log was closed is not missed when its end is gone.
    EndNotMissed,
    /// Deletions of ranges are not in the log: what was cleared comes back (fjall #241).
    RangesUnlogged,
    /// Log segments go before the manifest no longer lists them.
    SegmentsDiscardedEarly,
    /// A flush drops the segments of younger memtables, too: the log that is still needed goes
    /// (SlateDB #352).
    SegmentsDroppedUnderFrozen,
    /// What the log holds in memory only counts as flushed: its sync is left out, and the tables
    /// know more than the log (RocksDB #7784).
    FlushedWithoutLogSync,
    /// The manifest lists a table whose name is not durable (RocksDB #10573, LevelDB #195).
    TableNamesUnsynced,
    /// `CURRENT` leads to a manifest whose name is not durable (LevelDB #74, #75).
    ManifestNameUnsynced,
    /// The manifest before goes before the new `CURRENT` is durable: a removal that persists before
    /// an earlier rename (RocksDB #14780).
    SwitchUnsynced,
    /// What a killed process has named is taken for durable when the store is opened.
    OpenedOverUnsyncedNames,
    /// On a full disk, opening removes what an edit took out of the store that is not durable.
    RoomMadeEarly,
    /// On a full disk, a log is served that was read and not rewritten: what a reader saw is lost in
    /// the next crash (redb PR #1290 is of this kind).
    FullOpeningUnwritten,
    /// The manifest does not record which table numbers were given (RocksDB #7621).
    TableNumbersForgotten,
    /// Tables of a failed edit are removed, although the edit may be on the disk and turn up later
    /// (RocksDB #7621).
    AbandonedInDoubt,
    /// Versions that only a snapshot still reads are dropped.
    SnapshotsIgnored,
    /// Range tombstones are dropped although something lies below them.
    RangeTombstoneDroppedEarly,
    /// Tombstones are dropped although something lies below them.
    TombstoneDroppedEarly,
    /// What has expired is still there.
    ExpiryIgnored,
    /// What never expires is taken for expired at time 0 (Deno's deploy_feedback #492).
    AbsentExpiryIsZero,
    /// A compaction drops what a sweep hides that is not durable.
    UndurableSweepTrusted,
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
    /// One that found no room does not: it may be there in half or in whole (RocksDB #6316).
    HalfEditForgiven,
    /// The tables that a merge replaces go before the manifest no longer lists them.
    InputsRemovedEarly,
    /// Files that nobody refers to any more stay.
    LeftoversKept,
    /// A caller hears of a failed check before the state that failed it is visible.
    FailureToldEarly,
    /// Which deletions were dropped for good is not written into the manifest.
    ForgottenUnwritten,
    /// A recovery does not note which stamps may have been lost.
    LossUnnoted,
    /// A recovery in pieces enters a table in the manifest whose name is not durable.
    PieceCountedEarly,
    /// It counts a commit as flushed that comes after the piece.
    FlushedPastPiece,
    /// It counts as flushed what is not durable in the log, which then ends before it.
    PieceUnlogged,
    ; races:
    /// The view after a flush has the frozen memtables that there were when the flush began
    /// (fjall #112: a flush and a rotation that race).
    ViewOfBefore,
    /// While a commit goes on in the next segment, wakers are called under the writer lock.
    WakersUnderLock,
    /// Who waits for a stamp looks, and is entered later without another look.
    WakerEnteredBlindly,
    /// A receiver enters the line of those who wait after its look.
    ReceiverEntersLate,
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
