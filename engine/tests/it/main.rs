//! The engine at the seam that its callers see.

#![expect(clippy::unwrap_used, reason = "a test that fails should say where")]
#![expect(clippy::cast_possible_truncation, reason = "the numbers of tests are small")]

mod access;
mod changes;
mod checkpoint;
mod closing;
mod copy_errors;
mod damage;
mod expiry;
mod full_disk;
mod gate;
mod hostile;
mod io_errors;
mod memory;
mod million;
mod model;
mod observe;
mod panics;
mod poison;
mod ranges;
mod recovery;
mod reserve;
mod salvage;
mod salvage_files;
mod salvage_paths;
mod snapshots;
mod store;
mod support;
mod threads;
mod unreadable;
mod visibility;
