//! The engine at the seam that its callers see.

mod access;
mod checkpoint;
mod damage;
mod expiry;
mod full_disk;
mod io_errors;
mod million;
mod model;
mod ranges;
mod snapshots;
mod store;
mod support;
mod threads;
mod visibility;
