//! How the log tells the manifest about its segments.

use std::io;
use std::sync::{Arc, OnceLock};

use icecore_model::{Planted, Versionstamp, planted};
use icecore_wal::{Claim, Roster};

use crate::core::SharedState;
use crate::error::Error;
use crate::manifest::Edit;

/// Enters log segments into the manifest, and keeps the log out of the space reserve.
#[derive(Debug, Default)]
pub(crate) struct ManifestRoster {
    /// Set once the store is open; the log's first segment is part of the manifest's snapshot.
    state: OnceLock<Arc<SharedState>>,
}

impl ManifestRoster {
    pub(crate) fn attach(&self, state: Arc<SharedState>) {
        assert!(self.state.set(state).is_ok(), "a roster is attached once");
    }
}

impl Roster for ManifestRoster {
    fn activate(&self, segment: u32, ceiling: Versionstamp) -> io::Result<()> {
        let shared = self.state.get().expect("the log rotates only in an open store");
        let ceiling = (!planted(Planted::CeilingUnwritten)).then_some(ceiling);
        let edit = Edit { segment_added: Some(segment), ceiling, ..Edit::default() };
        let mut state = shared.lock();
        state.edit(edit).map_err(|error| match error {
            // Refused before anything was written, unlike a write that ran out of space halfway.
            Error::OutOfSpace { .. } if state.poisoned.is_none() => {
                io::ErrorKind::StorageFull.into()
            }
            error => io::Error::other(error),
        })
    }

    fn admit(&self, bytes: u64, claim: Claim) -> io::Result<()> {
        let Some(shared) = self.state.get() else { return Ok(()) };
        let left_free = match claim {
            Claim::Ordinary => shared.reserve_bytes,
            // The flush and the compaction that turn deletions into space have the other half.
            Claim::Freeing => shared.reserve_bytes / 2,
        };
        if shared.disk.free_bytes()? < bytes.saturating_add(left_free) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}
