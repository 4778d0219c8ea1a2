//! The engine at the seam that its callers see.

mod million;
mod model;
mod store;
mod support;
mod visibility;
