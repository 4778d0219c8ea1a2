//! Files, directories and links as keys and values.
//!
//! ```text
//! ["tree", name, name, …]        "directory"
//!                              | "file " mode " " bytes " " chunks
//!                              | "link " target
//! ["chunk", name, name, …, n]    bytes CHUNK_BYTES * n and following of a file
//! ```
//!
//! A name is a string part, or a bytes part when it is not UTF-8. The mode is octal, the other
//! numbers are decimal. A directory sorts before what is in it, and the chunks of a file sort
//! as they follow each other.
//!
//! A file has the chunks that its node counts. Other chunks are [strays](stray_chunks), which an
//! import that was interrupted leaves: nobody reads them, and the next import removes them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use icecore::{Bytes, Entry, Key, Kv, Part, key, prefix};

use crate::Result;

/// How much of a file is one value.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// One node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File {
        /// The permission bits.
        mode: u32,
        bytes: u64,
        chunks: u64,
    },
    Link {
        target: PathBuf,
    },
}

/// The key of the node at `path`, which is relative and not empty.
pub(crate) fn tree_key(path: &Path) -> Key {
    with_names(key!["tree"], path)
}

/// The key of one chunk of the file at `path`.
pub(crate) fn chunk_key(path: &Path, number: u64) -> Key {
    with_names(key!["chunk"], path).with(number)
}

/// After all chunks of the file at `path`, and of everything below it.
fn chunks_end(path: &Path) -> Key {
    with_names(key!["chunk"], path).with(u128::MAX)
}

fn with_names(key: Key, path: &Path) -> Key {
    path.iter().fold(key, |key, name| match name.to_str() {
        Some(text) => key.with(text),
        None => key.with(name.as_bytes()),
    })
}

/// The path of a node, relative to the root of the tree.
pub(crate) fn path_of(key: &Key) -> Result<PathBuf> {
    path_of_parts(key, key.parts()?)
}

/// The path of the file that a chunk was written for.
fn path_of_chunk(key: &Key) -> Result<PathBuf> {
    let mut parts = key.parts()?;
    match parts.pop() {
        Some(Part::Int(number)) if u64::try_from(&number).is_ok() => path_of_parts(key, parts),
        _ => Err(format!("{key} is not the key of a chunk").into()),
    }
}

fn path_of_parts(key: &Key, parts: Vec<Part>) -> Result<PathBuf> {
    let mut path = PathBuf::new();
    for part in parts.into_iter().skip(1) {
        let name = match part {
            Part::String(text) => OsString::from(text),
            Part::Bytes(bytes) => OsString::from_vec(bytes),
            _ => return Err(format!("{key} is not the key of a file").into()),
        };
        // A store made by somebody else must not lead out of the directory.
        let is_safe = !matches!(name.as_bytes(), b"" | b"." | b"..");
        if !is_safe || name.as_bytes().iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(format!("{key} has a part that is not the name of a file").into());
        }
        path.push(name);
    }
    Ok(path)
}

/// All nodes in the store, a directory before what is in it.
pub(crate) fn nodes(kv: &Kv) -> impl Iterator<Item = Result<(PathBuf, Node)>> {
    kv.list(prefix!["tree"]).map(|entry| {
        let entry = entry?;
        Ok((path_of(&entry.key)?, Node::decode(&entry)?))
    })
}

/// How many bytes all files in the store have together.
pub(crate) fn total_bytes(kv: &Kv) -> Result<u64> {
    nodes(kv).try_fold(0, |sum, node| match node?.1 {
        Node::File { bytes, .. } => Ok(sum + bytes),
        Node::Directory | Node::Link { .. } => Ok(sum),
    })
}

/// The content of the file at `path`, which has `count` chunks.
pub(crate) fn chunks(
    kv: &Kv,
    path: &Path,
    count: u64,
) -> impl Iterator<Item = Result<Bytes>> + use<> {
    let list = kv.list(chunk_key(path, 0)..chunk_key(path, count));
    list.map(|entry| Ok(entry?.bytes()?.clone()))
}

/// The keys of the chunks that belong to no file. It takes a few looks for each file: what is in
/// the chunks that do belong to one is not read.
pub(crate) fn stray_chunks(kv: &Kv) -> Result<Vec<Key>> {
    let mut strays = Vec::new();
    let (mut from, end) = (key!["chunk"], chunks_end(Path::new("")));
    while let Some(entry) = kv.list(from..end.clone()).next() {
        let path = path_of_chunk(&entry?.key)?;
        let node = kv.get(tree_key(&path))?;
        let count = if node.is_present() { Node::decode(&node)?.chunks() } else { 0 };
        let after = chunks_end(&path);
        for entry in kv.list(chunk_key(&path, count)..after.clone()) {
            strays.push(entry?.key);
        }
        from = after;
    }
    Ok(strays)
}

impl Node {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Node::Directory => b"directory".to_vec(),
            Node::File { mode, bytes, chunks } => {
                format!("file {mode:o} {bytes} {chunks}").into_bytes()
            }
            Node::Link { target } => [b"link ", target.as_os_str().as_bytes()].concat(),
        }
    }

    pub(crate) fn decode(entry: &Entry) -> Result<Node> {
        let value = entry.bytes()?;
        Node::parse(value)
            .ok_or_else(|| format!("{} holds {}", entry.key, value.escape_ascii()).into())
    }

    fn parse(value: &[u8]) -> Option<Node> {
        if let Some(target) = value.strip_prefix(b"link ") {
            return Some(Node::Link { target: PathBuf::from(OsStr::from_bytes(target)) });
        }
        let mut fields = std::str::from_utf8(value).ok()?.split(' ');
        let node = match fields.next()? {
            "directory" => Node::Directory,
            "file" => Node::File {
                mode: u32::from_str_radix(fields.next()?, 8).ok()?,
                bytes: fields.next()?.parse().ok()?,
                chunks: fields.next()?.parse().ok()?,
            },
            _ => return None,
        };
        fields.next().is_none().then_some(node)
    }

    /// How many chunks the node has in the store.
    pub(crate) fn chunks(&self) -> u64 {
        match self {
            Node::File { chunks, .. } => *chunks,
            Node::Directory | Node::Link { .. } => 0,
        }
    }
}
