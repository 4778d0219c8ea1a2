//! One state after a crash: laid out as files, opened, and compared with what was acknowledged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use icecore_disk::Name;
use icecore_disk::random::SeededRandom;
use icecore_disk::record::Note;
use icecore_engine::{Engine, Error, Workers};
use tempfile::TempDir;

use super::recording::acknowledged;
use crate::witness::book::{Acknowledgement, Book, Content};
use crate::witness::labour::small_options;

/// Memory that looks like a disk, if there is some.
const MEMORY: &str = "/dev/shm";
/// Once in so many states the store is checked byte by byte, and opened twice.
const CHECKED_ONE_IN: u64 = 16;

/// What was acknowledged so far.
#[derive(Debug, Default)]
pub(super) struct Expected {
    durable: Vec<Acknowledgement>,
    /// Those that a power cut may take back, and those that were refused.
    buffered: Vec<Acknowledgement>,
    /// The largest stamp that anybody was shown.
    shown: u64,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Verdict {
    /// So many commits had to be there.
    pub(super) commits: u64,
    pub(super) problems: Vec<String>,
}

impl Expected {
    pub(super) fn follow(&mut self, note: &Note) -> Result<(), String> {
        let Note::Mark(mark) = note else { return Ok(()) };
        let told = acknowledged(mark).ok_or("a mark is not an acknowledgement")?;
        self.shown = self.shown.max(told.stamp);
        if told.durable {
            self.durable.push(told)
        } else {
            self.buffered.push(told)
        }
        Ok(())
    }

    fn after(&self, killed: bool) -> Vec<Acknowledgement> {
        // What was refused left no trace, whatever happened.
        let keeps = |told: &&Acknowledgement| killed || told.stamp == 0;
        self.durable.iter().chain(self.buffered.iter().filter(keeps)).copied().collect()
    }
}

/// A directory for one state after the other.
#[derive(Debug)]
pub(super) struct Place {
    root: TempDir,
}

impl Place {
    pub(super) fn new() -> io::Result<Place> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("icecore-replay-");
        let memory = Path::new(MEMORY);
        let root = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }?;
        Ok(Place { root })
    }

    /// Opens these files as a store.
    pub(super) fn judge(
        &self,
        files: &[(Name, Vec<u8>)],
        expected: &Expected,
        killed: bool,
        dice: &SeededRandom,
    ) -> io::Result<Verdict> {
        let store = self.root.path().join("store");
        lay_out(&store, files)?;
        let required = expected.after(killed);
        let mut verdict = Verdict { commits: required.len() as u64, problems: Vec::new() };
        let judged = judge_store(&store, &required, expected.shown, dice, &mut verdict.problems);
        if let Err(error) = judged {
            verdict.problems.push(format!("it cannot be opened: {error}"));
        }
        clear(&store)?;
        Ok(verdict)
    }
}

fn judge_store(
    store: &PathBuf,
    required: &[Acknowledgement],
    shown: u64,
    dice: &SeededRandom,
    problems: &mut Vec<String>,
) -> Result<(), Error> {
    let engine = Engine::open_path(store, small_options(Workers::Manual))?;
    let content = Content::of(&engine)?;
    problems.extend(Book::default().advance(&content, required));
    if content.visible < shown {
        problems.push(format!("it shows stamp {}, after {shown} was shown", content.visible));
    }
    if dice.one_in(CHECKED_ONE_IN) {
        let report = engine.check()?;
        problems.extend(report.problems.iter().map(|problem| format!("check: {problem}")));
        drop(engine);
        let engine = Engine::open_path(store, small_options(Workers::Manual))?;
        let mut book = Book::default();
        drop(book.advance(&content, required));
        let again = book.advance(&Content::of(&engine)?, required);
        problems.extend(again.iter().map(|problem| format!("opened again: {problem}")));
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "files that no store has open yet")]
fn lay_out(store: &Path, files: &[(Name, Vec<u8>)]) -> io::Result<()> {
    fs::create_dir(store)?;
    for (name, content) in files {
        fs::write(store.join(name.to_string()), content)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "files that no store has open any more")]
fn clear(store: &Path) -> io::Result<()> {
    fs::remove_dir_all(store)
}
