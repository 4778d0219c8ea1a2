//! `cargo xtask verify`: what CI runs. It changes no file of the repository.
//!
//! What that is stands in one place, `.ci/run`; this starts it, wherever in the repository one is.

use std::path::Path;
use std::process::Command;

/// Says whether nothing failed.
pub(crate) fn run() -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a repository");
    match Command::new(root.join(".ci/run")).current_dir(root).status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cannot start .ci/run: {error}");
            false
        }
    }
}
