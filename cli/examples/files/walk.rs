//! Everything in a directory, as nodes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::node::{CHUNK_BYTES, Node};
use crate::{Result, at};

/// Permission bits, without the kind of the file.
const MODE_MASK: u32 = 0o7777;

/// All nodes below `root`, with paths relative to it, a directory before what is in it. Links are
/// not followed.
pub(crate) fn walk(root: &Path) -> Result<Vec<(PathBuf, Node)>> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(directory) = pending.pop() {
        let absolute = root.join(&directory);
        for entry in fs::read_dir(&absolute).map_err(at(&absolute))? {
            let path = directory.join(entry.map_err(at(&absolute))?.file_name());
            let node = look(&root.join(&path))?
                .ok_or_else(|| format!("{}: neither file, directory nor link", path.display()))?;
            if node == Node::Directory {
                pending.push(path.clone());
            }
            found.push((path, node));
        }
    }
    found.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

/// The node at `path`; `None` for a kind that is not kept, such as a socket.
pub(crate) fn look(path: &Path) -> Result<Option<Node>> {
    let metadata = fs::symlink_metadata(path).map_err(at(path))?;
    let kind = metadata.file_type();
    Ok(if kind.is_dir() {
        Some(Node::Directory)
    } else if kind.is_file() {
        let bytes = metadata.len();
        let mode = metadata.mode() & MODE_MASK;
        Some(Node::File { mode, bytes, chunks: bytes.div_ceil(CHUNK_BYTES as u64) })
    } else if kind.is_symlink() {
        Some(Node::Link { target: fs::read_link(path).map_err(at(path))? })
    } else {
        None
    })
}
