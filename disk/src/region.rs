//! A read-only mapping of an immutable file: the only way in which mapped bytes are touched.
//!
//! A mapping can fail after it was made: the file may be cut by somebody else, or its medium may
//! refuse a page. Such a range is known as a *fault*, and reading it is an error here, never silent
//! zeros. Some disks know of a fault before anybody reads it. The real one learns of it from the
//! read itself, which sees zeros: so whoever has used bytes in place asks [`Region::check`] before
//! what they said is believed. That goes for [`Region::slice`] as well: its bytes could be read
//! where the caller has read them and asked afterwards.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use bytes::Bytes;

/// For faults that must be asked every time.
static ALWAYS: AtomicBool = AtomicBool::new(true);

/// Says which parts of a mapping cannot be read.
pub trait Faults: Send + Sync {
    /// The first byte in `range` that cannot be read, if any.
    fn first_in(&self, range: Range<usize>) -> Option<usize>;

    /// The whole mapping as a look at `range` shows it now, if it is not as it was at first.
    fn shown(&self, range: Range<usize>) -> Option<&Bytes> {
        let _ = range;
        None
    }
}

/// Brings parts of a mapping into memory before they are read.
pub trait Fetch: Send + Sync {
    /// `range`, which is not empty and lies within the mapping, is about to be read. Nothing comes of
    /// it but time: where it cannot be brought, whoever reads it learns why.
    fn fetch(&self, range: Range<usize>);
}

/// The bytes of a mapped file. Cloning is cheap and shares the mapping, which lives until the last
/// clone and the last [`Bytes`] cut from it are gone.
#[derive(Clone)]
pub struct Region {
    bytes: Bytes,
    faults: Option<Arc<dyn Faults>>,
    /// While this is false, there is no fault.
    alarm: &'static AtomicBool,
    fetch: Option<Arc<dyn Fetch>>,
}

/// A part of a mapping that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFault {
    /// The first byte that cannot be read, from the start of the file.
    pub offset: u64,
}

impl Region {
    /// A region over `bytes`, all of which can be read unless `faults` objects.
    pub fn new(bytes: Bytes, faults: Option<Arc<dyn Faults>>) -> Region {
        Region { bytes, faults, alarm: &ALWAYS, fetch: None }
    }

    /// As [`Region::new`], but `faults` is asked only when `alarm` is true. It becomes true before
    /// bytes that stand in for unreadable ones can be seen.
    pub(crate) fn alarmed(
        bytes: Bytes,
        faults: Arc<dyn Faults>,
        alarm: &'static AtomicBool,
    ) -> Region {
        Region { bytes, faults: Some(faults), alarm, fetch: None }
    }

    /// The same, with somebody who can bring parts of it into memory.
    #[must_use]
    pub(crate) fn fetched_by(self, fetch: Arc<dyn Fetch>) -> Region {
        Region { fetch: Some(fetch), ..self }
    }

    /// What of `range` lies within the mapping is about to be read: it is brought into memory
    /// meanwhile, where the disk can do that.
    pub fn expect(&self, range: Range<usize>) {
        let range = range.start..range.end.min(self.len());
        if let Some(fetch) = self.fetch.as_deref().filter(|_| !range.is_empty()) {
            fetch.fetch(range);
        }
    }

    /// The length of the mapped file in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the file is empty.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Borrows a part of the mapping in place.
    ///
    /// A range beyond the end is a fault at the end: the file is shorter than its reader believes.
    #[inline]
    pub fn view(&self, range: Range<usize>) -> Result<&[u8], MapFault> {
        let bytes = self.shown(&range);
        let view = bytes.get(range.clone()).ok_or_else(|| self.beyond(&range))?;
        self.check(range)?;
        Ok(view)
    }

    /// Cuts out a part that keeps the mapping alive by itself.
    pub fn slice(&self, range: Range<usize>) -> Result<Bytes, MapFault> {
        let bytes = self.shown(&range);
        bytes.get(range.clone()).ok_or_else(|| self.beyond(&range))?;
        self.check(range.clone())?;
        Ok(bytes.slice(range))
    }

    #[inline]
    fn shown(&self, range: &Range<usize>) -> &Bytes {
        match &self.faults {
            Some(faults) if self.alarm.load(Ordering::Relaxed) => {
                faults.shown(range.clone()).unwrap_or(&self.bytes)
            }
            _ => &self.bytes,
        }
    }

    #[cold]
    fn beyond(&self, range: &Range<usize>) -> MapFault {
        MapFault { offset: self.bytes.len().min(range.start) as u64 }
    }

    /// Whether all of `range` could be read: asked again after a borrow was used.
    #[inline]
    pub fn check(&self, range: Range<usize>) -> Result<(), MapFault> {
        let Some(faults) = &self.faults else { return Ok(()) };
        // What was read in place was read before the alarm is.
        fence(Ordering::Acquire);
        if self.alarm.load(Ordering::Relaxed) { ask(&**faults, range) } else { Ok(()) }
    }

    /// Whether nothing of it is known to be unreadable.
    #[inline]
    pub fn is_whole(&self) -> bool {
        self.check(0..self.len()).is_ok()
    }
}

#[cold]
fn ask(faults: &dyn Faults, range: Range<usize>) -> Result<(), MapFault> {
    match faults.first_in(range) {
        None => Ok(()),
        Some(offset) => Err(MapFault { offset: offset as u64 }),
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({} bytes)", self.bytes.len())
    }
}

impl fmt::Display for MapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the mapped file cannot be read at byte {}", self.offset)
    }
}

impl std::error::Error for MapFault {}

impl From<MapFault> for std::io::Error {
    fn from(fault: MapFault) -> std::io::Error {
        std::io::Error::other(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct OneBadByte(usize);

    impl Faults for OneBadByte {
        fn first_in(&self, range: Range<usize>) -> Option<usize> {
            range.contains(&self.0).then_some(self.0)
        }
    }

    #[test]
    fn a_range_with_a_bad_byte_is_a_fault_at_that_byte() {
        let region = Region::new(Bytes::from_static(b"0123456789"), Some(Arc::new(OneBadByte(4))));
        assert_eq!(region.view(0..4), Ok(&b"0123"[..]));
        assert_eq!(region.view(3..6), Err(MapFault { offset: 4 }));
        assert_eq!(region.slice(5..10), Ok(Bytes::from_static(b"56789")));
    }

    #[test]
    fn a_range_beyond_the_end_is_a_fault_at_the_end() {
        let region = Region::new(Bytes::from_static(b"0123456789"), None);
        assert_eq!(region.view(8..11), Err(MapFault { offset: 8 }));
        assert_eq!(region.view(20..21), Err(MapFault { offset: 10 }));
        assert_eq!(region.view(10..10), Ok(&b""[..]));
    }
}
