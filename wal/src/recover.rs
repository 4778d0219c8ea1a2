//! Finding out what a log holds.
//!
//! Segments are read in order, frames within them in order, up to the first place where no frame
//! verifies: the *hole*. What it means:
//!
//! - In a segment with a successor: the successor's header says how long the segment was, and it
//!   was durable to its end before that header was written. A hole below that is damage.
//! - In the last segment: if any frame behind the hole knew, when it was written, that the hole's
//!   place was durable, this is damage too. Such a frame either begins on a block boundary or
//!   follows one that does, so looking there finds it, unless it is itself lost; then nothing is
//!   left that could prove anything.
//! - Otherwise what follows the hole was never acknowledged as durable, and is cut off.
//!
//! A frame that verifies but cannot stand where it stands (its stamp, its kind, its durable
//! position) is damage as well: a crash does not make one.

use std::fmt;

use icecore_disk::Disk;
use icecore_model::{DatabaseId, LogPosition, Planted, Versionstamp, planted};

use crate::Error;
use crate::format::{COMMIT, END, Predecessor};
use crate::read::{Image, Placed, is_known};
use crate::segment;

/// One commit, read back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// Its stamp.
    pub stamp: Versionstamp,
    /// The clock when it was made, in milliseconds since the epoch.
    pub clock_ms: u64,
    /// What it does, encoded.
    pub effects: &'a [u8],
    /// The segment that holds it.
    pub segment: u32,
    /// Where the commit before it in this segment ends, or the segment's header does; in what is
    /// salvaged, where its own frame begins.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// All of its segment, as it was read: another reading may show something else, if a sync has
    /// failed before.
    pub image: &'a [u8],
}

impl<'a> Commit<'a> {
    /// The commit that `placed` holds, a frame of `image`.
    pub(crate) fn read(image: &'a Image, placed: &Placed<'a>, start: u32) -> Commit<'a> {
        let header = &placed.frame.header;
        let (stamp, clock_ms, effects) = (header.stamp, header.clock_ms, placed.frame.payload);
        let (segment, image) = (image.header.number, image.bytes());
        Commit { stamp, clock_ms, effects, segment, start, end: placed.end(), image }
    }
}

impl fmt::Debug for Commit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Commit");
        let f = f.field("stamp", &self.stamp).field("clock_ms", &self.clock_ms);
        let f = f.field("segment", &self.segment).field("bytes", &(self.start..self.end));
        f.field("effects", &self.effects).finish_non_exhaustive()
    }
}

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was closed: no stamp after the last one was ever issued. Also for no segments at all.
    Clean,
    /// It was not closed. Stamps after the last one may have been seen.
    Torn {
        /// Where it ends.
        at: LogPosition,
        /// How many bytes behind it hold frames that arrived before one that precedes them; a
        /// frame that arrived only in part does not count.
        bytes_cut: u64,
    },
}

/// What a log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The last stamp in the log, or before it if it is empty; `None` if there never was one.
    pub last: Option<Versionstamp>,
    /// Where it ends, for [`Log::create`](crate::Log::create); `None` if there are no segments.
    pub end: Option<Predecessor>,
    /// How it ends.
    pub ending: Ending,
    /// The greatest clock reading of all commits, in milliseconds since the epoch.
    pub last_clock_ms: u64,
}

/// Reads the segments `active`, in this order, and calls `apply` for every commit with a stamp
/// above `after`. Nothing is written.
///
/// `active` are the numbers that the manifest lists: each must exist and hold everything that can
/// be proved to have been durable. When damage is found, some commits have been applied already:
/// those before it.
///
/// # Errors
/// [`Error::Corrupt`] and [`Error::UnknownFormat`] for damage, [`Error::Io`] for a disk that does
/// not answer, and whatever `apply` returns.
pub fn recover(
    disk: &dyn Disk,
    database: DatabaseId,
    active: &[u32],
    after: Versionstamp,
    apply: &mut dyn FnMut(Commit<'_>) -> Result<(), Error>,
) -> Result<Recovery, Error> {
    let mut walk =
        Walk { after, end: None, commits_end: 0, last_clock_ms: 0, closed: false, apply };
    let mut last_image = None;
    for number in active {
        let image = Image::load(disk, database, *number)?;
        walk.enter(&image)?;
        walk.frames(&image)?;
        last_image = Some(image);
    }
    let ending = match (&last_image, walk.end) {
        (Some(image), Some(end)) => ending(image, end.length, walk.closed)?,
        _ => Ending::Clean,
    };
    let last = walk.end.map(|end| end.last).filter(|last| *last > Versionstamp::ZERO);
    Ok(Recovery { last, end: walk.end, ending, last_clock_ms: walk.last_clock_ms })
}

/// Whether the file of segment `number` is a segment of `database` in which commits begin. A spare
/// or a segment that was never used is not. Whoever finds commits in a segment that the manifest
/// does not list has an older version of the manifest.
///
/// # Errors
/// [`Error::Io`] for a disk that does not answer.
pub fn holds_commits(disk: &dyn Disk, database: DatabaseId, number: u32) -> Result<bool, Error> {
    match Image::load(disk, database, number) {
        Ok(image) => Ok(image.after(image.header.block_bytes).is_some()),
        Err(Error::Corrupt { .. } | Error::UnknownFormat { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

struct Walk<'a> {
    after: Versionstamp,
    /// Where the frames read so far end.
    end: Option<Predecessor>,
    /// Where the commits read so far end, in the segment at hand.
    commits_end: u32,
    last_clock_ms: u64,
    closed: bool,
    apply: &'a mut dyn FnMut(Commit<'_>) -> Result<(), Error>,
}

impl Walk<'_> {
    /// Compares the end of the segment before with what this one's header says about it.
    fn enter(&mut self, image: &Image) -> Result<(), Error> {
        let header = &image.header;
        if let Some(end) = self.end {
            let here = segment::name(header.number);
            let before = segment::name(end.segment);
            let corrupt = |file, offset: u32, what| {
                Err(Error::Corrupt { file, offset: u64::from(offset), what })
            };
            match header.predecessor {
                _ if planted(Planted::PredecessorUnchecked) => {}
                _ if header.number <= end.segment => {
                    return corrupt(here, 0, "the segments are not in order");
                }
                Some(told) if told.segment == end.segment && told.length > end.length => {
                    return corrupt(before, end.length, "durable frames are missing");
                }
                Some(told) if told == end && !self.closed && header.last == told.last => {}
                _ => return corrupt(here, 48, "the segment does not follow the one before it"),
            }
        }
        self.commits_end = header.block_bytes;
        self.end = Some(Predecessor {
            segment: header.number,
            length: header.block_bytes,
            last: header.last,
        });
        Ok(())
    }

    /// Reads frames up to the hole.
    fn frames(&mut self, image: &Image) -> Result<(), Error> {
        let mut end = image.header.block_bytes;
        while let Some(placed) = image.after(end) {
            self.frame(image, &placed)?;
            end = placed.end();
        }
        Ok(())
    }

    fn frame(&mut self, image: &Image, placed: &Placed<'_>) -> Result<(), Error> {
        let (frame, number) = (&placed.frame, image.header.number);
        let corrupt = |what| {
            let (file, offset) = (segment::name(number), u64::from(placed.start));
            Err(Error::Corrupt { file, offset, what })
        };
        let header = frame.header;
        let known = self.end.as_mut().expect("a segment was entered");
        if self.closed {
            return corrupt("a frame follows the end of the log");
        }
        if !is_known(frame) {
            return corrupt("a frame is of no known kind");
        }
        if header.durable > LogPosition::new(number, placed.start) {
            return corrupt("a frame knows the future");
        }
        let follows = match header.kind {
            COMMIT => header.stamp > known.last && header.stamp <= Versionstamp::ISSUED_MAX,
            _ => header.stamp == known.last,
        };
        if !follows {
            return corrupt("the stamps are not in order");
        }
        known.last = header.stamp;
        known.length = placed.end();
        self.closed = header.kind == END;
        self.last_clock_ms = self.last_clock_ms.max(header.clock_ms);
        if header.kind != COMMIT {
            return Ok(());
        }
        let start = std::mem::replace(&mut self.commits_end, placed.end());
        if header.stamp <= self.after {
            return Ok(());
        }
        (self.apply)(Commit::read(image, placed, start))
    }
}

/// Decides what the hole at `end` in the last segment means.
fn ending(image: &Image, end: u32, closed: bool) -> Result<Ending, Error> {
    let at = LogPosition::new(image.header.number, end);
    let mut seen = end;
    for boundary in image.boundaries(end) {
        // What was seen as part of a frame needs no second look.
        if boundary < seen {
            continue;
        }
        let mut found = image.at(boundary);
        while let Some(placed) = found {
            if placed.frame.header.durable > at {
                return Err(Error::Corrupt {
                    file: segment::name(at.segment),
                    offset: u64::from(end),
                    what: "a durable frame is damaged",
                });
            }
            seen = placed.end();
            found = image.after(seen);
        }
    }
    match (closed, seen == end) {
        (true, true) => Ok(Ending::Clean),
        (true, false) => Err(Error::Corrupt {
            file: segment::name(at.segment),
            offset: u64::from(end),
            what: "a frame follows the end of the log",
        }),
        (false, _) => Ok(Ending::Torn { at, bytes_cut: u64::from(seen - end) }),
    }
}
