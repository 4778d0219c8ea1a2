//! Moving records from a source to a sink, and comparing both sides.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::digest::{Digest, Sum};
use super::place::now_ms;
use super::record::Record;
use super::{Position, Sink, Source, hex};
use crate::failure::Failure;

/// What goes into one commit: well within the limits of Deno, for destinations that have them.
const BATCH_RECORDS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 512 << 10;
const BATCH_KEY_BYTES_MAX: usize = 64 << 10;

/// Where there is no terminal, a line is written for each so many records.
const RECORDS_PER_LINE: u64 = 10_000;

/// What was copied.
pub(super) struct Copied {
    pub(super) source: Sum,
    /// `None` if it cannot be read back.
    pub(super) destination: Option<Sum>,
    /// Entries of the source that had expired when they were read.
    pub(super) expired: u64,
    /// Messages among those of others, where they cannot be told apart.
    pub(super) messages_not_compared: u64,
    /// Messages that the destination does not take.
    pub(super) messages_not_copied: u64,
}

/// Copies everything and reads it back.
pub(super) fn transfer(source: &mut dyn Source, sink: &mut dyn Sink) -> Result<Copied, Failure> {
    let done = sink.begin(source.identity())?;
    let began_ms = now_ms();
    let mut work = Work {
        sink,
        done,
        reached: Position::default(),
        batch: Batch::default(),
        read: Digest::new(began_ms),
        back: Digest::new(began_ms),
        messages_not_compared: 0,
        messages_not_copied: 0,
        progress: Progress::new(),
    };
    let mut expired = 0;
    while let Some(record) = source.next()? {
        match &record {
            Record::Entry(entry) if entry.expires_ms.is_some_and(|ms| ms <= now_ms()) => {
                expired += 1;
            }
            _ => work.take(record)?,
        }
    }
    work.write()?;
    work.progress.tell("reading the copy back");
    let Work { sink, read, mut back, messages_not_compared, messages_not_copied, progress, .. } =
        work;
    let is_read = sink.is_compared_by_entry() || sink.read_back(&mut |record| back.add(record))?;
    progress.end();
    let now_ms = now_ms();
    let destination = is_read.then(|| back.sum(now_ms));
    let source = read.sum(now_ms);
    Ok(Copied { source, destination, expired, messages_not_compared, messages_not_copied })
}

struct Work<'a> {
    sink: &'a mut dyn Sink,
    /// What an earlier run has copied.
    done: Position,
    reached: Position,
    batch: Batch,
    read: Digest,
    back: Digest,
    messages_not_compared: u64,
    messages_not_copied: u64,
    progress: Progress,
}

/// What the next commit carries.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    bytes: usize,
    key_bytes: usize,
    /// How many of the first ones an earlier run has copied.
    done: usize,
}

impl Work<'_> {
    fn take(&mut self, record: Record) -> Result<(), Failure> {
        if matches!(&record, Record::Message(message) if !self.sink.takes(message)) {
            self.messages_not_copied += 1;
            return Ok(());
        }
        if !self.batch.has_room(&record) {
            self.write()?;
        }
        if self.sink.is_compared_by_entry() && matches!(record, Record::Message(_)) {
            self.messages_not_compared += 1;
        } else {
            self.read.add(&record);
        }
        self.batch.done += usize::from(self.is_done(&record));
        self.batch.push(record);
        Ok(())
    }

    /// Notes the place of a record; whether an earlier run has copied it.
    fn is_done(&mut self, record: &Record) -> bool {
        match record {
            Record::Entry(entry) => {
                self.reached.key = hex(entry.key.encoded());
                self.reached.key <= self.done.key
            }
            Record::Message(_) => {
                self.reached.messages += 1;
                self.reached.messages <= self.done.messages
            }
        }
    }

    /// Writes what has come together.
    fn write(&mut self) -> Result<(), Failure> {
        let Batch { records, done, .. } = std::mem::take(&mut self.batch);
        if done < records.len() {
            self.sink.write(&records[done..], &self.reached)?;
        }
        if self.sink.is_compared_by_entry() {
            self.sink.read_entries(&records, &mut |record| self.back.add(record))?;
        }
        self.progress.advance(records.len() as u64);
        Ok(())
    }
}

impl Batch {
    /// One record always has.
    fn has_room(&self, record: &Record) -> bool {
        self.records.is_empty()
            || (self.records.len() < BATCH_RECORDS_MAX
                && self.bytes + record.weight() <= BATCH_BYTES_MAX
                && self.key_bytes + record.key_bytes() <= BATCH_KEY_BYTES_MAX)
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.weight();
        self.key_bytes += record.key_bytes();
        self.records.push(record);
    }
}

/// How far it got, for who waits: a bar on a terminal, lines elsewhere.
struct Progress {
    bar: ProgressBar,
    records: u64,
}

impl Progress {
    fn new() -> Progress {
        let style = ProgressStyle::with_template("{spinner} {msg} {human_pos} records, {per_sec}")
            .expect("the template is well formed");
        let bar = ProgressBar::no_length().with_style(style).with_message("copying");
        Progress { bar, records: 0 }
    }

    fn advance(&mut self, records: u64) {
        let before = self.records / RECORDS_PER_LINE;
        self.records += records;
        self.bar.inc(records);
        if self.bar.is_hidden() && self.records / RECORDS_PER_LINE > before {
            // Whoever has closed standard error does not want to know.
            drop(writeln!(io::stderr(), "{} records", self.records));
        }
    }

    fn tell(&self, what: &'static str) {
        self.bar.set_message(what);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
