//! Keeps a directory tree in a store, and brings it back byte for byte.
//!
//! ```text
//! cargo run --release --example files -- import DIR STORE
//! cargo run --release --example files -- export STORE DIR
//! cargo run --release --example files -- verify STORE DIR
//! ```
//!
//! - [`node`]: files, directories and links as keys and values.
//! - [`walk`]: everything in a directory.
//! - [`import`], [`export`], [`verify`]: the three commands.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "an ordinary directory tree is the other side of this example; the store's own files \
              are reached through the store"
)]

mod export;
mod import;
mod node;
mod verify;
mod walk;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use icecore::{Kv, Limits};
use indicatif::{ProgressBar, ProgressStyle};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Keep a directory tree in a store, and bring it back byte for byte.
#[derive(Debug, Parser)]
#[command(name = "files")]
enum Command {
    /// Make the store hold what the directory holds, and nothing else.
    Import { dir: PathBuf, store: PathBuf },
    /// Write what the store holds into a new directory.
    Export { store: PathBuf, dir: PathBuf },
    /// Compare the store with a directory. Writes nothing.
    Verify { store: PathBuf, dir: PathBuf },
}

fn main() -> ExitCode {
    match run(&Command::parse()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("files: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<String> {
    match command {
        Command::Import { dir, store } => {
            let kv = open(store)?;
            let summary = import::import(&kv, dir)?;
            kv.close()?;
            Ok(format!("imported {summary}"))
        }
        Command::Export { store, dir } => {
            Ok(format!("exported {}", export::export(&open_to_read(store)?, dir)?))
        }
        Command::Verify { store, dir } => {
            let (summary, differences) = verify::verify(&open_to_read(store)?, dir)?;
            differences.iter().for_each(|difference| println!("{difference}"));
            match differences.len() {
                0 => Ok(format!("the same: {summary}")),
                n => Err(format!("{n} differences in {summary}").into()),
            }
        }
    }
}

/// Files come in pieces and commits that are larger than what Deno KV promises to take.
pub(crate) fn open(store: &Path) -> Result<Kv> {
    Ok(Kv::builder(store).limits(Limits::none()).open()?)
}

/// Opened for reading only, a store does not change: all reads are of one moment.
fn open_to_read(store: &Path) -> Result<Kv> {
    Ok(Kv::builder(store).limits(Limits::none()).read_only(true).create(false).open()?)
}

/// Adds the path to an error of the operating system.
fn at(path: &Path) -> impl FnOnce(io::Error) -> Box<dyn Error> {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}").into()
}

/// The bar on standard error that counts bytes; nothing when that is no terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    let template = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(bytes).with_style(style)
}

/// How much was handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Summary {
    files: u64,
    directories: u64,
    links: u64,
    bytes: u64,
}

impl Summary {
    fn count(&mut self, node: &node::Node) {
        match node {
            node::Node::Directory => self.directories += 1,
            node::Node::File { bytes, .. } => {
                self.files += 1;
                self.bytes += bytes;
            }
            node::Node::Link { .. } => self.links += 1,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { files, directories, links, bytes } = self;
        write!(f, "{files} files, {directories} directories, {links} links, {bytes} bytes")
    }
}
