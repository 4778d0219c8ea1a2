//! The engine at the seam that its callers see.

mod model;
mod store;
mod support;
