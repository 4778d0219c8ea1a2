//! The manifest: which files make up the store.
//!
//! It is a log of edits in the frame format of the model. A manifest file starts with a snapshot
//! of the whole [`Catalog`]; each further frame is an [`Edit`]. `CURRENT` names the file that
//! counts.
//!
//! - [`catalog`]: the set of files and what else must be known to open the store.
//! - [`past`]: what the store no longer knows of its past.
//! - [`format`]: every byte of a manifest file and of `CURRENT`.
//! - [`store`]: reading, appending, and switching from one file to the next.

pub(crate) mod catalog;
pub(crate) mod format;
pub(crate) mod past;
pub(crate) mod store;

pub(crate) use catalog::{Catalog, Edit};
pub(crate) use past::{Forgotten, Past};
pub(crate) use store::{Loaded, Manifest};

#[cfg(test)]
mod tests;
