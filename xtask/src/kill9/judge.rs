//! Judges life after life of a store by what its processes told before they were killed.

use std::collections::BTreeMap;
use std::path::Path;

use icecore_disk::real::RealDisk;
use icecore_disk::{Disk, Name};
use icecore_engine::{Engine, Error, Workers};

use super::pipe::Message;
use super::place::copy_of_life;
use crate::witness::book::{Acknowledgement, Book, Content};
use crate::witness::labour::small_options;

/// What is known of the store, and what was found.
#[derive(Debug, Default)]
pub(super) struct Judge {
    book: Book,
    /// Acknowledged since the last content that was seen.
    waiting: Vec<Acknowledgement>,
    /// The largest stamp that was shown before this life, and so far.
    floor: u64,
    shown: u64,
    /// Acknowledgements that were found to be kept.
    pub(super) verified: u64,
    /// Copies that were opened.
    pub(super) copies: u64,
    pub(super) problems: Vec<String>,
}

impl Judge {
    /// Goes through all that the child of this life told. Says whether it came to report.
    pub(super) fn hear(&mut self, store: &Path, life: u32, messages: Vec<Message>) -> bool {
        let mut content = Content::default();
        let mut newest_of_threads = BTreeMap::new();
        let (mut reported, mut copied) = (false, None);
        for message in messages {
            match message {
                Message::Piece(entries) => content.entries.extend(entries),
                Message::Reported { began_ms, ended_ms, visible } => {
                    let entries = std::mem::take(&mut content.entries);
                    self.see(&Content { entries, began_ms, ended_ms, visible });
                    reported = true;
                }
                Message::Acknowledged(acknowledgement) => {
                    let Acknowledgement { token, stamp, .. } = acknowledgement;
                    let newest = newest_of_threads.entry(token.thread).or_insert(self.floor);
                    if stamp > 0 && stamp <= *newest {
                        let newest = *newest;
                        self.problem(format!("{token:?} got stamp {stamp} after {newest}"));
                    }
                    *newest = stamp.max(*newest);
                    self.shown = self.shown.max(stamp);
                    self.waiting.push(acknowledgement);
                }
                Message::Copied { stamp } => copied = Some(stamp),
                Message::Struck => {}
                Message::Failed(text) => self.problem(format!("the child failed: {text}")),
            }
        }
        self.floor = self.shown;
        if let Some(stamp) = copied.filter(|_| reported)
            && let Err(error) = self.see_copy(&copy_of_life(store, life), stamp)
        {
            self.problem(format!("the copy of {stamp} cannot be opened: {error}"));
        }
        reported
    }

    /// Opens the store itself: what it holds, whether it is sound, and what lies in its directory.
    /// It is closed in good order only if that is asked for.
    pub(super) fn audit(&mut self, store: &Path, close: bool) {
        if let Err(error) = self.try_audit(store, close) {
            self.problem(format!("the store cannot be opened: {error}"));
        }
    }

    fn try_audit(&mut self, store: &Path, close: bool) -> Result<(), Error> {
        let engine = Engine::open_path(store, small_options(Workers::Manual))?;
        self.see(&Content::of(&engine)?);
        self.floor = self.shown;
        let report = engine.check()?;
        report.problems.iter().for_each(|problem| self.problem(format!("check: {problem}")));
        let tables: u64 = engine.stats()?.levels.iter().map(|level| level.tables).sum();
        self.look_for_leftovers(store, tables);
        if close { engine.close() } else { Ok(()) }
    }

    /// What was just opened uses its tables, one manifest and one segment, and nothing else is there.
    fn look_for_leftovers(&mut self, store: &Path, tables: u64) {
        let listed = match RealDisk::open(store).and_then(|disk| disk.list()) {
            Ok(listed) => listed,
            Err(error) => return self.problem(format!("the directory cannot be read: {error}")),
        };
        let count = |is: fn(&Name) -> bool| {
            listed.iter().filter(|entry| entry.name.as_ref().is_ok_and(is)).count() as u64
        };
        let found = [
            (count(|name| matches!(name, Name::Table(_))), tables, "tables"),
            (count(|name| matches!(name, Name::Manifest(_))), 1, "manifests"),
            (count(|name| matches!(name, Name::Wal(_))), 1, "segments"),
            (count(|name| matches!(name, Name::Temp(_))), 0, "temporary files"),
            (listed.iter().filter(|entry| entry.name.is_err()).count() as u64, 0, "foreign files"),
        ];
        for (there, wanted, what) in found {
            if there != wanted {
                self.problem(format!("there are {there} {what} instead of {wanted}"));
            }
        }
    }

    fn see(&mut self, content: &Content) {
        if content.visible < self.floor {
            let (visible, floor) = (content.visible, self.floor);
            self.problem(format!("it shows stamp {visible}, after {floor} was shown"));
        }
        let problems = self.book.advance(content, &self.waiting);
        self.problems.extend(problems);
        self.verified += self.waiting.len() as u64;
        self.waiting.clear();
        self.shown = self.shown.max(content.visible).max(content.newest());
    }

    /// A copy holds all commits up to its stamp, and no other. The book is that of the report of
    /// the same life.
    fn see_copy(&mut self, copy: &Path, stamp: u64) -> Result<(), Error> {
        let engine = Engine::open_path(copy, small_options(Workers::Manual))?;
        let content = Content::of(&engine)?;
        let has = |a: &&Acknowledgement| a.stamp > 0 && a.stamp <= stamp;
        let acknowledged: Vec<_> = self.waiting.iter().filter(has).copied().collect();
        let mut problems = self.book.clone().advance(&content, &acknowledged);
        if content.newest() > stamp {
            problems.push(format!("it holds {}", content.newest()));
        }
        problems.iter().for_each(|problem| self.problem(format!("the copy of {stamp}: {problem}")));
        self.copies += 1;
        Ok(())
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }
}
