//! Writes what the store holds into a directory.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use icecore::Kv;

use crate::node::{Node, chunks, nodes, total_bytes};
use crate::{Result, Summary, at, progress_bar};

pub(crate) fn export(kv: &Kv, root: &Path) -> Result<Summary> {
    fs::create_dir_all(root).map_err(at(root))?;
    if fs::read_dir(root).map_err(at(root))?.next().is_some() {
        return Err(format!("{}: the directory is not empty", root.display()).into());
    }
    let bar = progress_bar(total_bytes(kv)?);
    let mut summary = Summary::default();
    for node in nodes(kv) {
        let (path, node) = node?;
        let target = root.join(&path);
        match &node {
            Node::Directory => fs::create_dir(&target).map_err(at(&target))?,
            Node::Link { target: to } => symlink(to, &target).map_err(at(&target))?,
            Node::File { mode, bytes, chunks } => {
                let stored = write_file(kv, &path, &target, *chunks)?;
                if stored != *bytes {
                    let what = format!("{}: {stored} bytes are stored of {bytes}", path.display());
                    return Err(what.into());
                }
                let mode = Permissions::from_mode(*mode);
                fs::set_permissions(&target, mode).map_err(at(&target))?;
            }
        }
        summary.count(&node);
        bar.set_position(summary.bytes);
    }
    bar.finish_and_clear();
    Ok(summary)
}

/// Writes the chunks of a file, and says how many bytes that were.
fn write_file(kv: &Kv, path: &Path, target: &Path, count: u64) -> Result<u64> {
    let created = OpenOptions::new().write(true).create_new(true).open(target);
    let mut file = created.map_err(at(target))?;
    let mut written = 0;
    for chunk in chunks(kv, path, count) {
        let chunk = chunk?;
        file.write_all(&chunk).map_err(at(target))?;
        written += chunk.len() as u64;
    }
    Ok(written)
}
