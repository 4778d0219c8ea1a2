//! Read-only mappings of immutable files: the only unsafe code of this crate.
//!
//! The store maps a file only after its last byte was written and synced, never writes to it again,
//! and owns its directory (lock, mode 0700). Somebody who cuts or rewrites a mapped file all the
//! same breaks that contract: the process may receive SIGBUS or read changed bytes. Removing the
//! file is harmless.

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::{Advice, Mmap};

use crate::region::Region;

/// How a mapping will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Here and there: reading ahead would only push other pages out.
    Scattered,
    /// Left to the operating system.
    Unknown,
}

/// Maps all of `file`, at the length that it has now.
#[expect(unsafe_code, reason = "a mapping of a file cannot be made safely")]
pub(super) fn map(file: &File, access: Access) -> io::Result<Region> {
    if file.metadata()?.len() == 0 {
        return Ok(Region::new(Bytes::new(), None));
    }
    // SAFETY: `Mmap::map` demands that
    // - nobody changes the file while it is mapped: by the contract of `File::map`, the store asks
    //   only for files that it never changes again, and the directory belongs to this process;
    // - nobody cuts the file while it is mapped: by the same contract.
    let map = unsafe { Mmap::map(file) }?;
    if access == Access::Scattered {
        map.advise(Advice::Random).or_else(|e| match e.kind() {
            // A kernel that takes no advice serves the same bytes.
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
            _ => Err(e),
        })?;
    }
    Ok(Region::new(Bytes::from_owner(map), None))
}
