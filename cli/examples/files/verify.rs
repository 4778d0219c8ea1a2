//! Compares the store with a directory.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use icecore::Kv;

use crate::node::{CHUNK_BYTES, Node, chunks, nodes, stray_chunks, total_bytes};
use crate::walk::walk;
use crate::{Result, Summary, at, progress_bar};

/// What was compared, and every difference in words.
pub(crate) fn verify(kv: &Kv, root: &Path) -> Result<(Summary, Vec<String>)> {
    let mut found: HashMap<_, _> = walk(root)?.into_iter().collect();
    let bar = progress_bar(total_bytes(kv)?);
    let mut summary = Summary::default();
    let mut differences = Vec::new();
    for node in nodes(kv) {
        let (path, stored) = node?;
        let shown = path.display();
        match found.remove(&path) {
            None => differences.push(format!("{shown}: only in the store")),
            Some(node) if node != stored => {
                differences.push(format!("{shown}: {stored:?} in the store, {node:?} outside"));
            }
            Some(Node::File { chunks, .. })
                if !has_same_content(kv, &path, chunks, &root.join(&path))? =>
            {
                differences.push(format!("{shown}: the content differs"));
            }
            Some(_) => {}
        }
        summary.count(&stored);
        bar.set_position(summary.bytes);
    }
    let mut outside: Vec<_> = found.into_keys().collect();
    outside.sort_unstable();
    differences.extend(outside.iter().map(|path| format!("{}: not in the store", path.display())));
    differences.extend(stray_chunks(kv)?.iter().map(|key| format!("{key}: belongs to no file")));
    bar.finish_and_clear();
    Ok((summary, differences))
}

fn has_same_content(kv: &Kv, path: &Path, count: u64, outside: &Path) -> Result<bool> {
    let file = File::open(outside).map_err(at(outside))?;
    let mut file = BufReader::with_capacity(CHUNK_BYTES, file);
    let mut buffer = Vec::with_capacity(CHUNK_BYTES);
    for chunk in chunks(kv, path, count) {
        let chunk = chunk?;
        buffer.clear();
        let part = file.by_ref().take(chunk.len() as u64).read_to_end(&mut buffer);
        part.map_err(at(outside))?;
        if buffer != chunk {
            return Ok(false);
        }
    }
    buffer.clear();
    Ok(file.take(1).read_to_end(&mut buffer).map_err(at(outside))? == 0)
}
