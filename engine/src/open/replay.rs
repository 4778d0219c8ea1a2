//! From the log to memtables.

use std::ops::Range;
use std::sync::Arc;

use icecore_disk::Name;
use icecore_memtable::{ArenaPool, Inserter, Memtable};
use icecore_model::{Effects, Malformed, Planted, Versionstamp, planted};
use icecore_wal::{Commit, Ending, Recovery};

use super::Opening;
use crate::error::Error;

/// What replaying the log gives.
pub(super) struct Replayed {
    pub(super) recovery: Recovery,
    /// What came after the last piece that was taken.
    pub(super) rest: Piece,
}

/// Commits that follow one another in the log, in a memtable.
pub(super) struct Piece {
    pub(super) live: Inserter,
    /// How long it is in the log.
    pub(super) log_bytes: u64,
    /// The segment of its last commit, and the bytes there from the end of the commit before the
    /// piece to the end of its last one.
    pub(super) segment: u32,
    pub(super) bytes: Range<u32>,
}

/// Is called after each commit with the piece that ends with it, and all of its segment as it was
/// read. Says whether it took the piece, so that the next one begins.
pub(super) type Take<'t> = dyn FnMut(&Piece, &[u8]) -> Result<bool, Error> + 't;

impl Piece {
    fn new(pool: &Arc<ArenaPool>) -> Piece {
        let (_, live) = icecore_memtable::create(pool);
        Piece { live, log_bytes: 0, segment: 0, bytes: 0..0 }
    }

    fn add(&mut self, commit: &Commit<'_>) -> Result<(), Malformed> {
        self.live.apply(commit.stamp, Effects::new(commit.effects), Versionstamp::ZERO)?;
        if self.log_bytes == 0 || self.segment != commit.segment {
            self.segment = commit.segment;
            self.bytes.start = commit.start;
        }
        self.bytes.end = commit.end;
        self.log_bytes += u64::from(commit.end - commit.start);
        Ok(())
    }

    pub(super) fn memtable(&self) -> &Arc<Memtable> {
        self.live.memtable()
    }
}

impl Opening {
    /// Replays the log into pieces.
    pub(super) fn replay(&self, take: &mut Take<'_>) -> Result<Replayed, Error> {
        let catalog = &self.loaded.catalog;
        let mut piece = Piece::new(&self.pool);
        let mut failure = None;
        let mut apply = |commit: Commit<'_>| {
            let added = piece.add(&commit);
            let added = added.map_err(|m| Error::corrupt("the log", m.offset as u64, m.what));
            match added.and_then(|()| take(&piece, commit.image)) {
                Ok(false) => {}
                Ok(true) => piece = Piece::new(&self.pool),
                Err(error) => {
                    failure = Some(error);
                    return Err(icecore_wal::Error::Closed);
                }
            }
            Ok(())
        };
        let disk = &*self.env.disk;
        let recovered = icecore_wal::recover(
            disk,
            catalog.database,
            &catalog.segments,
            catalog.flushed,
            &mut apply,
        );
        match (failure, recovered) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(recovery)) => {
                self.compare_with_manifest(&recovery)?;
                Ok(Replayed { recovery, rest: piece })
            }
        }
    }

    /// Refuses a log and a manifest that do not belong to the same moment: one of them is an older
    /// version of itself.
    pub(super) fn compare_with_manifest(&self, recovery: &Recovery) -> Result<(), Error> {
        let catalog = &self.loaded.catalog;
        let closed = catalog.closed && !planted(Planted::EndNotMissed);
        if let (true, Ending::Torn { at, .. }) = (closed, recovery.ending) {
            let what = "the store was closed, but the end of its log is missing";
            let file = Name::Wal(u64::from(at.segment));
            return Err(Error::corrupt(file, u64::from(at.offset), what));
        }
        // The log holds what was flushed, or begins behind it, also in the first life of a store.
        let last = recovery.last.unwrap_or(Versionstamp::ZERO);
        if let Some(number) = catalog.segments.last()
            && last < catalog.flushed
        {
            let end = recovery.end.map_or(0, |end| u64::from(end.length));
            let what =
                format!("it ends at {last}, but tables hold commits up to {}", catalog.flushed);
            return Err(Error::corrupt(Name::Wal(u64::from(*number)), end, what));
        }
        self.miss_no_segment()
    }

    /// Refuses a manifest that is older than the log: a segment above all that it lists holds
    /// commits.
    pub(super) fn miss_no_segment(&self) -> Result<(), Error> {
        let catalog = &self.loaded.catalog;
        let known = catalog.segments.last().copied().unwrap_or(0);
        for number in self.segments_on_disk.iter().filter(|number| **number > known) {
            if icecore_wal::holds_commits(&*self.env.disk, catalog.database, *number)? {
                let name = Name::Wal(u64::from(*number));
                let what = format!("it does not know {name}, which holds commits");
                return Err(Error::corrupt(Name::Manifest(self.loaded.number), 0, what));
            }
        }
        Ok(())
    }
}
