//! Read-only mappings of immutable files.
//!
//! The store maps a file only after its last byte was written and synced, never writes to it again,
//! and owns its directory (lock, mode 0700). Somebody who cuts or rewrites a mapped file all the
//! same breaks that contract, and a medium may fail at any time. A page that cannot be read then is
//! noted by the handler of [`sigbus`], if the mapping is watched, and ends the process if it is
//! not. Bytes that were rewritten, and what lies between the end of a cut file and the end of its
//! last page, are read as they are. Removing the file is harmless.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap};

use super::sigbus;
use super::watched::{ALARM, Watch};
use crate::region::{Fetch, Region};

/// How a mapping will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Here and there: reading ahead would only push other pages out.
    Scattered,
    /// Left to the operating system.
    Unknown,
}

/// A mapping, watched for as long as it lives if it is. The fields are dropped in their order.
#[derive(Debug)]
struct Mapping {
    _watch: Option<Watch>,
    map: Mmap,
}

/// A share in a mapping.
#[derive(Debug)]
struct Share(Arc<Mapping>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.0.map
    }
}

impl Fetch for Mapping {
    fn fetch(&self, range: Range<usize>) {
        let advised = self.map.advise_range(Advice::WillNeed, range.start, range.len());
        // A system that does not take the advice reads the pages when they are asked for, and tells
        // then whatever is wrong with them.
        drop(advised);
    }
}

/// Maps all of `file`, at the length that it has now.
pub(super) fn map(file: &File, access: Access, watched: bool) -> io::Result<Region> {
    if file.metadata()?.len() == 0 {
        return Ok(Region::new(Bytes::new(), None));
    }
    if watched {
        sigbus::install()?;
    }
    let map = map_whole(file)?;
    if access == Access::Scattered {
        map.advise(Advice::Random).or_else(|e| match e.kind() {
            // A kernel that takes no advice serves the same bytes.
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
            _ => Err(e),
        })?;
    }
    let watch = watched.then(|| {
        let start = map.as_ptr().addr();
        Watch::new(start..start + map.len())
    });
    let faults = watch.as_ref().map(|watch| Arc::new(watch.faults()));
    let mapping = Arc::new(Mapping { _watch: watch, map });
    let bytes = Bytes::from_owner(Share(Arc::clone(&mapping)));
    let region = match faults {
        Some(faults) => Region::alarmed(bytes, faults, &ALARM),
        None => Region::new(bytes, None),
    };
    Ok(region.fetched_by(mapping))
}

#[expect(unsafe_code, reason = "a mapping of a file cannot be made safely")]
fn map_whole(file: &File) -> io::Result<Mmap> {
    // SAFETY: `Mmap::map` demands that
    // - nobody changes the file while it is mapped: by the contract of `File::map`, the store asks
    //   only for files that it never changes again, and the directory belongs to this process;
    // - nobody cuts the file while it is mapped: by the same contract. Where it is broken all the
    //   same, what is read is checked as bytes from anywhere are: no decoder relies on seeing the
    //   same bytes twice.
    unsafe { Mmap::map(file) }
}
