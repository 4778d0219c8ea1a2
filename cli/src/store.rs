//! Opening a store that must exist.

use std::path::Path;

use icecore::{Builder, ErrorKind, Kv};

use crate::failure::Failure;

/// Opens the store in `path` for reading.
pub(crate) fn open_to_look(path: &Path) -> Result<Kv, Failure> {
    open(path, Kv::builder(path).read_only(true))
}

/// Opens the store in `path` for writing.
pub(crate) fn open_to_work(path: &Path) -> Result<Kv, Failure> {
    open(path, Kv::builder(path))
}

fn open(path: &Path, builder: Builder) -> Result<Kv, Failure> {
    let is_empty = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let hint = if is_empty || !path.exists() {
        format!("icecore ledger --store {} makes a store to play with", path.display())
    } else {
        "name the directory of a store".to_owned()
    };
    if !path.is_dir() {
        let what = format!("there is no directory {}", path.display());
        return Err(Failure::problem(what).hint(hint));
    }
    builder.create(false).open().map_err(|error| match error.kind() {
        ErrorKind::InvalidArgument | ErrorKind::NotFound => Failure::from(error).hint(hint),
        _ => Failure::from(error),
    })
}
