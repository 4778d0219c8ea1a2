//! Where the store of a run and its copies are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The copy that the child of this life makes.
pub(super) fn copy_of_life(store: &Path, life: u32) -> PathBuf {
    store.with_file_name(format!("copy-{life}"))
}

/// A directory with a store in it, which goes when this goes, unless it is kept.
#[derive(Debug)]
pub(super) struct Place {
    root: TempDir,
}

impl Place {
    pub(super) fn new() -> io::Result<Place> {
        let root = tempfile::Builder::new().prefix("icecore-kill9-").tempdir()?;
        Ok(Place { root })
    }

    pub(super) fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    /// The store as the last kill left it.
    fn before(&self) -> PathBuf {
        self.root.path().join("before")
    }

    /// Notes the store as it is, so that what the next opening finds can be looked at again.
    #[expect(clippy::disallowed_methods, reason = "a store that no process has open")]
    pub(super) fn note(&self) -> io::Result<()> {
        remove(&self.before())?;
        fs::create_dir(self.before())?;
        if !self.store().exists() {
            return Ok(());
        }
        for entry in fs::read_dir(self.store())? {
            let entry = entry?;
            fs::copy(entry.path(), self.before().join(entry.file_name()))?;
        }
        Ok(())
    }

    pub(super) fn remove_copy(&self, life: u32) -> io::Result<()> {
        remove(&copy_of_life(&self.store(), life))
    }

    /// Leaves everything where it is.
    pub(super) fn keep(self) -> PathBuf {
        self.root.keep()
    }
}

#[expect(clippy::disallowed_methods, reason = "a copy that no process has open")]
fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
