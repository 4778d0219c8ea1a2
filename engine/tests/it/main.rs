//! The engine at the seam that its callers see.

mod checkpoint;
mod expiry;
mod million;
mod model;
mod ranges;
mod store;
mod support;
mod visibility;
