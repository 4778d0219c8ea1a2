//! Makes the store hold what a directory holds.
//!
//! Small nodes share commits. A file and its chunks are one commit if they fit; a larger file is
//! absent from the tree until its last commit, so that nobody sees a part of it. An import that
//! was interrupted may leave chunks that no file has; the next one begins by removing them, and
//! completes it.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use icecore::{Atomic, Commit, Key, Kv, Value};

use crate::node::{CHUNK_BYTES, Node, chunk_key, nodes, stray_chunks, tree_key};
use crate::walk::walk;
use crate::{Result, Summary, at, progress_bar};

/// A commit is ended when it holds so many bytes.
const COMMIT_BYTES: usize = 8 << 20;

/// A file up to this size is written by one commit.
const ATOMIC_FILE_BYTES: u64 = 16 << 20;

/// What a mutation takes besides its value, about.
const MUTATION_BYTES: usize = 100;

pub(crate) fn import(kv: &Kv, root: &Path) -> Result<Summary> {
    let found = walk(root)?;
    let present: HashSet<&Path> = found.iter().map(|(path, _)| &**path).collect();
    let mut writer = Writer::new(kv);
    for key in stray_chunks(kv)? {
        writer.delete(key);
        writer.commit_if_full()?;
    }
    for node in nodes(kv) {
        let (path, node) = node?;
        if !present.contains(&*path) {
            writer.remove(&path, &node)?;
        }
    }
    let bytes =
        found.iter().map(|(_, node)| if let Node::File { bytes, .. } = node { *bytes } else { 0 });
    let bar = progress_bar(bytes.sum());
    let mut summary = Summary::default();
    for (path, node) in &found {
        let written = writer.write(root, path, node)?;
        summary.count(&written);
        bar.set_position(summary.bytes);
    }
    writer.commit()?;
    bar.finish_and_clear();
    Ok(summary)
}

/// Collects mutations, and commits when there are enough.
struct Writer<'kv> {
    kv: &'kv Kv,
    atomic: Atomic<'kv>,
    bytes: usize,
}

impl<'kv> Writer<'kv> {
    fn new(kv: &'kv Kv) -> Writer<'kv> {
        Writer { kv, atomic: kv.atomic(), bytes: 0 }
    }

    fn commit(&mut self) -> Result<()> {
        self.bytes = 0;
        match std::mem::replace(&mut self.atomic, self.kv.atomic()).commit()? {
            Commit::Done { .. } => Ok(()),
            Commit::CheckFailed { .. } => unreachable!("there was no check"),
        }
    }

    fn commit_if_full(&mut self) -> Result<()> {
        if self.bytes >= COMMIT_BYTES { self.commit() } else { Ok(()) }
    }

    fn set(&mut self, key: Key, value: Vec<u8>) {
        self.bytes += MUTATION_BYTES + value.len();
        self.change(|atomic| atomic.set(key, Value::from(value)));
    }

    fn delete(&mut self, key: Key) {
        self.bytes += MUTATION_BYTES;
        self.change(|atomic| atomic.delete(key));
    }

    fn change(&mut self, add: impl FnOnce(Atomic<'kv>) -> Atomic<'kv>) {
        self.atomic = add(std::mem::replace(&mut self.atomic, self.kv.atomic()));
    }

    fn remove(&mut self, path: &Path, node: &Node) -> Result<()> {
        self.delete(tree_key(path));
        self.delete_chunks(path, 0, node.chunks())
    }

    fn delete_chunks(&mut self, path: &Path, first: u64, end: u64) -> Result<()> {
        for number in first..end {
            self.delete(chunk_key(path, number));
            self.commit_if_full()?;
        }
        Ok(())
    }

    /// Writes one node, and says what it was found to be when it was read.
    fn write(&mut self, root: &Path, path: &Path, node: &Node) -> Result<Node> {
        let key = tree_key(path);
        let before = self.kv.get(&key)?;
        let chunks_before = if before.is_present() { Node::decode(&before)?.chunks() } else { 0 };
        let written = match node {
            Node::File { mode, bytes, .. } => self.write_chunks(root, path, *mode, *bytes)?,
            Node::Directory | Node::Link { .. } => node.clone(),
        };
        self.set(key, written.encode());
        self.delete_chunks(path, written.chunks(), chunks_before)?;
        self.commit_if_full()?;
        Ok(written)
    }

    fn write_chunks(&mut self, root: &Path, path: &Path, mode: u32, expected: u64) -> Result<Node> {
        let absolute = root.join(path);
        let mut file = File::open(&absolute).map_err(at(&absolute))?;
        let is_large = expected > ATOMIC_FILE_BYTES;
        if is_large {
            self.delete(tree_key(path));
        }
        let (mut bytes, mut chunks) = (0, 0);
        loop {
            let mut chunk = Vec::new();
            let part = file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk);
            let got = part.map_err(at(&absolute))?;
            if got == 0 {
                return Ok(Node::File { mode, bytes, chunks });
            }
            self.set(chunk_key(path, chunks), chunk);
            bytes += got as u64;
            chunks += 1;
            if is_large {
                self.commit_if_full()?;
            }
        }
    }
}
