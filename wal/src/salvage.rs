//! Reading what is left of a damaged log.
//!
//! [`recover`](crate::recover) stops at the first damage, because what lies behind it cannot be
//! proved to be all there. [`salvage`] goes on: it takes every commit whose frame verifies and that
//! belongs to the log, and says between which stamps others may be missing.
//!
//! 1. A frame counts only if it verifies under the salt of its segment and tells the place where it
//!    lies. So neither a stored value nor a frame of an earlier life of the file passes for one.
//! 2. Behind a hole, frames are looked for at every byte, not only where blocks begin.
//! 3. A torn end stays cut: what follows a hole that nothing proves to have been durable was never
//!    acknowledged, and `recover` would not give it either.
//!
//! Nothing is written.

use icecore_disk::{Disk, Name};
use icecore_model::frame::HEADER_BYTES;
use icecore_model::{DatabaseId, LogPosition, Versionstamp};

use crate::format::{COMMIT, END};
use crate::read::{Image, Placed, is_known};
use crate::recover::Commit;
use crate::{Error, segment};

/// A place where the log cannot be read, and what that may have cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: Name,
    /// Bytes from its start.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// Commits above this stamp may be missing.
    pub after: Versionstamp,
    /// Commits up to this stamp may be missing; `None` where nothing says how many there were.
    pub through: Option<Versionstamp>,
}

/// What was found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// The last stamp that the log tells of, or that was known before.
    pub last: Versionstamp,
    /// The last stamp that its frames and headers tell of; below [`Salvaged::last`] if even what
    /// was known before is missing.
    pub told: Versionstamp,
    /// No stamp above this one can be in a segment that was read.
    pub ceiling: Versionstamp,
    /// The log has its end: nothing was committed after [`Salvaged::last`].
    pub closed: bool,
    /// Segments that could be read, at least in part.
    pub segments: u64,
    /// Commits that were found, whether or not they were asked for.
    pub commits: u64,
    /// Where it cannot be read.
    pub damage: Vec<Damage>,
}

/// The store that the segment `number` belongs to, if its header says that it is this segment.
pub fn segment_owner(disk: &dyn Disk, number: u32) -> Option<DatabaseId> {
    Image::load_around(disk, None, number).ok().map(|image| image.header.database)
}

/// Reads all that is left of the segments `numbers` of `database`, in this order, and calls `apply`
/// for every commit above `after` that is found. Commits up to `known` are known from elsewhere:
/// they are not reported missing.
///
/// # Errors
/// Only what `apply` returns: what cannot be read is part of the answer.
pub fn salvage(
    disk: &dyn Disk,
    database: DatabaseId,
    numbers: &[u32],
    after: Versionstamp,
    known: Versionstamp,
    apply: &mut dyn FnMut(Commit<'_>) -> Result<(), Error>,
) -> Result<Salvaged, Error> {
    let found = Salvaged { last: known, ceiling: known, ..Salvaged::default() };
    let mut dive = Dive { after, found, open: None, apply };
    let load = |number| Image::load_around(disk, Some(database), number);
    let mut images = numbers.iter().map(|number| (*number, load(*number)));
    // The successor's header says how long a segment was, so one is read ahead.
    let mut current = images.next();
    while let Some((number, loaded)) = current {
        let next = images.next();
        let stated = next.as_ref().and_then(|(_, loaded)| loaded.as_ref().ok());
        let stated = stated.and_then(|image| image.header.predecessor);
        let length = stated.filter(|p| p.segment == number).map(|p| p.length);
        match loaded {
            Ok(image) => dive.segment(&image, length, next.is_some())?,
            Err(error) => dive.unreadable(number, &error),
        }
        current = next;
    }
    Ok(dive.found)
}

struct Dive<'a> {
    after: Versionstamp,
    found: Salvaged,
    /// The damage whose extent the next stamp tells.
    open: Option<usize>,
    apply: &'a mut dyn FnMut(Commit<'_>) -> Result<(), Error>,
}

impl Dive<'_> {
    fn unreadable(&mut self, number: u32, error: &Error) {
        let (offset, what) = match error {
            Error::Corrupt { offset, what, .. } => (*offset, (*what).to_owned()),
            other => (0, other.to_string()),
        };
        self.report(number, offset, what);
    }

    fn report(&mut self, number: u32, offset: u64, what: String) {
        let file = segment::name(number);
        self.found.damage.push(Damage {
            file,
            offset,
            what,
            after: self.found.last,
            through: None,
        });
        self.open.get_or_insert(self.found.damage.len() - 1);
    }

    /// Everything up to `stamp` was issued before what is read next.
    fn reached(&mut self, number: u32, offset: u32, stamp: Versionstamp) {
        if stamp > self.found.last && self.open.is_none() {
            self.report(number, u64::from(offset), "commits before it are missing".to_owned());
        }
        if let Some(first) = self.open.take() {
            for damage in &mut self.found.damage[first..] {
                damage.through = Some(stamp.max(damage.after));
            }
        }
        self.found.last = self.found.last.max(stamp);
    }

    fn segment(&mut self, image: &Image, length: Option<u32>, later: bool) -> Result<(), Error> {
        let header = &image.header;
        let frames = u64::from(header.segment_bytes) / HEADER_BYTES as u64;
        let ceiling = header.last.get().saturating_add(frames);
        self.found.ceiling = self.found.ceiling.max(Versionstamp::new(ceiling));
        self.found.segments += 1;
        self.found.closed = false;
        // Between two lives, stamps are skipped: only what the predecessor held can be missing.
        if self.found.segments > 1 || self.open.is_some() {
            let before = header.predecessor.map_or(header.last, |predecessor| predecessor.last);
            self.reached(header.number, 0, before);
        }
        self.found.last = self.found.last.max(header.last);
        self.found.told = header.last;
        let mut end = header.block_bytes;
        let mut last = header.last;
        while length.is_none_or(|length| end < length) {
            let direct = image.after(end).filter(|placed| stands(placed, header.number, last));
            let placed = match direct {
                Some(placed) => placed,
                None => {
                    let next = image.search(end, |placed| stands(placed, header.number, last));
                    if !self.is_hole(image, end, length, later, next.as_ref()) {
                        break;
                    }
                    self.report(header.number, u64::from(end), "a frame is damaged".to_owned());
                    let Some(next) = next else { break };
                    let before = next.frame.header.stamp.get();
                    let before = before - u64::from(next.frame.header.kind == COMMIT);
                    self.reached(header.number, next.start, Versionstamp::new(before));
                    next
                }
            };
            end = placed.end();
            last = placed.frame.header.stamp;
            self.take(image, &placed)?;
        }
        Ok(())
    }

    /// Whether something that was durable is missing at `end`, where no frame follows.
    fn is_hole(
        &self,
        image: &Image,
        end: u32,
        length: Option<u32>,
        later: bool,
        next: Option<&Placed<'_>>,
    ) -> bool {
        let at = LogPosition::new(image.header.number, end);
        let mut behind = next.copied();
        let proves = |placed: &Placed<'_>| placed.frame.header.durable > at;
        while let Some(placed) = behind {
            if later || proves(&placed) {
                return true;
            }
            behind = image.search(placed.end(), |_| true);
        }
        length.is_some_and(|length| end < length)
    }

    fn take(&mut self, image: &Image, placed: &Placed<'_>) -> Result<(), Error> {
        let header = &placed.frame.header;
        self.found.last = self.found.last.max(header.stamp);
        self.found.told = header.stamp;
        self.found.closed = header.kind == END;
        if header.kind != COMMIT {
            return Ok(());
        }
        self.found.commits += 1;
        if header.stamp <= self.after {
            return Ok(());
        }
        (self.apply)(Commit::read(image, placed, placed.start))
    }
}

/// Whether a frame may stand behind one of the stamp `last` in the segment `number`.
fn stands(placed: &Placed<'_>, number: u32, last: Versionstamp) -> bool {
    let header = &placed.frame.header;
    let follows = if header.kind == COMMIT { header.stamp > last } else { header.stamp >= last };
    is_known(&placed.frame)
        && follows
        && header.stamp <= Versionstamp::ISSUED_MAX
        && header.durable <= LogPosition::new(number, placed.start)
}
