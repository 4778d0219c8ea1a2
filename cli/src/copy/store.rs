//! Stores, as sources and as destinations, in a directory or behind an URL.
//!
//! A copy that is not finished has left a mark under [`mark`]: which source it came from, and how
//! far it got. Every commit of the copy sets it together with what it copies, and the last one
//! removes it when everything was read back and found right.
//!
//! 1. *What is below the mark's position was copied, and nothing above it*, at whatever moment the
//!    process ends: both are one commit.
//! 2. *A message is sent once*: its place is part of that position.
//! 3. What a store behind an URL does not tell (expiries, messages) is not compared. Expiries are taken
//!    as those of the source, so that entries that expire meanwhile are left out on both sides.

use std::path::Path;
use std::time::{Duration, SystemTime};

use icecore::{
    Atomic, Builder, Commit, Durability, Enqueue, Expiry, Key, Kv, Limits, List, Queue, Selector,
    Value, key,
};
use serde::{Deserialize, Serialize};

use super::place::ms;
use super::record::{Entry, Message, Record};
use super::{Args, Position, Sink, Source, hex};
use crate::failure::Failure;
use crate::store;

/// So many messages are read at once.
const MESSAGES_READ: usize = 100;

/// So many keys may be read at once over KV Connect.
const FAR_KEYS_READ: usize = 10;

/// The key under which an unfinished copy is noted in its destination.
pub(super) fn mark() -> Key {
    key!["icecore", "unfinished copy"]
}

/// What is noted there.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Mark {
    pub(super) source: String,
    pub(super) merge: bool,
    pub(super) reached: Position,
}

impl Mark {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers serialize")
    }

    /// The mark to go on from, where there is one or somebody asks for it, but not both are right.
    pub(super) fn resumed(
        noted: Option<Mark>,
        resume: bool,
        source: &str,
    ) -> Result<Mark, Failure> {
        match noted {
            Some(_) if !resume => {
                let what = "the destination is a copy that was not finished";
                Err(Failure::problem(what).hint("--resume"))
            }
            None => {
                let what = "there is nothing to resume: no unfinished copy is in the destination";
                Err(Failure::problem(what).hint("run it without --resume"))
            }
            Some(noted) if noted.source != source => {
                let of = noted.source;
                let what = format!("the unfinished copy is one of {of}; the source is {source}");
                Err(Failure::problem(what).hint("begin with a new destination"))
            }
            Some(noted) => Ok(noted),
        }
    }
}

/// A store that is read, at one moment.
pub(crate) struct StoreSource {
    identity: String,
    is_far: bool,
    entries: Option<List>,
    messages: Messages,
    _kv: Kv,
}

impl StoreSource {
    /// The store in this directory. Nobody else writes to it meanwhile.
    pub(crate) fn open(path: &Path) -> Result<StoreSource, Failure> {
        let kv = store::open_to_look(path)?;
        if kv.get(mark())?.is_present() {
            let what = format!("{} is a copy that was not finished", path.display());
            return Err(Failure::problem(what).hint("finish it with --resume"));
        }
        let snapshot = kv.snapshot()?;
        let identity = format!("the store {} at {}", hex(&kv.id()), snapshot.versionstamp());
        let (entries, messages) = (Some(snapshot.list(Selector::all())), Messages::of(&kv)?);
        Ok(StoreSource { identity, is_far: false, entries, messages, _kv: kv })
    }

    /// The store behind an URL.
    pub(crate) fn open_far(url: &str, builder: Builder) -> Result<StoreSource, Failure> {
        let kv = builder.read_only(true).open()?;
        if kv.get(mark())?.is_present() {
            let what = format!("{url} is a copy that was not finished");
            return Err(Failure::problem(what).hint("finish it with --resume"));
        }
        let identity = format!("the store {} at {url}", hex(&kv.id()));
        let entries = Some(kv.list(Selector::all()));
        Ok(StoreSource { identity, is_far: true, entries, messages: Messages::none(), _kv: kv })
    }
}

impl Source for StoreSource {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn warning(&self) -> Option<&'static str> {
        self.is_far.then_some(
            "KV Connect does not tell when entries expire, nor which messages wait: the copy has \
             entries that last, and no messages. Writes meanwhile may be in it or not",
        )
    }

    fn next(&mut self) -> Result<Option<Record>, Failure> {
        if let Some(entries) = &mut self.entries {
            if let Some(entry) = entries.next() {
                return Ok(Some(Record::Entry(entry_of(entry?)?)));
            }
            self.entries = None;
        }
        Ok(self.messages.next()?.map(Record::Message))
    }
}

fn entry_of(entry: icecore::Entry) -> Result<Entry, Failure> {
    let expires_ms = entry.expires_at().map(ms);
    let icecore::Entry { key, value, versionstamp, .. } = entry;
    let value =
        value.ok_or_else(|| Failure::damaged(format!("{key} is listed without a value")))?;
    Ok(Entry { key, value, expires_ms, versionstamp })
}

/// The messages of all queues of a store, page by page.
struct Messages {
    /// Those not yet begun; the last one comes first.
    queues: Vec<Queue>,
    page: std::vec::IntoIter<icecore::Waiting>,
    last: Option<icecore::Waiting>,
}

impl Messages {
    fn none() -> Messages {
        Messages { queues: Vec::new(), page: Vec::new().into_iter(), last: None }
    }

    fn of(kv: &Kv) -> Result<Messages, Failure> {
        let queues = Queue::names(kv)?.iter().rev().map(|name| kv.queue(name)).collect();
        Ok(Messages { queues, ..Messages::none() })
    }

    fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            let Some(queue) = self.queues.last() else { return Ok(None) };
            if let Some(waiting) = self.page.next() {
                let message = message_of(queue.name(), &waiting);
                self.last = Some(waiting);
                return Ok(Some(message));
            }
            let page = match &self.last {
                None => queue.peek(MESSAGES_READ)?,
                Some(last) => queue.peek_after(last, MESSAGES_READ)?,
            };
            if page.is_empty() {
                self.last = None;
                self.queues.pop();
            }
            self.page = page.into_iter();
        }
    }
}

/// A message with the retries that it has left. One whose last attempt was begun by a process that
/// has ended gets one more.
fn message_of(queue: &str, waiting: &icecore::Waiting) -> Message {
    let begun = usize::try_from(waiting.attempts).unwrap_or(usize::MAX);
    let left = waiting.backoff.iter().skip(begun);
    let milliseconds = |wait: &Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Message {
        queue: queue.to_owned(),
        payload: waiting.payload.clone(),
        ready_ms: ms(waiting.ready_at).max(1),
        backoff_ms: left.map(milliseconds).collect(),
        keys_if_undelivered: waiting.keys_if_undelivered.clone(),
    }
}

/// A store that is written to.
pub(crate) struct StoreSink {
    kv: Kv,
    source: String,
    merge: bool,
    resume: bool,
    is_far: bool,
}

impl StoreSink {
    /// The store in this directory, which is made if there is none.
    pub(crate) fn open(path: &Path, args: &Args) -> Result<StoreSink, Failure> {
        Ok(StoreSink::new(Kv::builder(path).limits(Limits::none()).open()?, args, false))
    }

    /// The store behind an URL.
    pub(crate) fn open_far(builder: Builder, args: &Args) -> Result<StoreSink, Failure> {
        Ok(StoreSink::new(builder.open()?, args, true))
    }

    fn new(kv: Kv, args: &Args, is_far: bool) -> StoreSink {
        let (merge, resume) = (args.merge, args.resume);
        StoreSink { kv, source: String::new(), merge, resume, is_far }
    }

    /// So many keys may be read at once.
    fn keys_read(&self) -> usize {
        if self.is_far { FAR_KEYS_READ } else { usize::MAX }
    }

    fn noted(&self) -> Result<Option<Mark>, Failure> {
        let entry = self.kv.get(mark())?;
        if !entry.is_present() {
            return Ok(None);
        }
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::problem(format!("{} is not the mark of a copy: {error}", mark()))
        };
        let text = entry.str().map_err(|error| wrong(&error))?;
        serde_json::from_str(text).map(Some).map_err(|error| wrong(&error))
    }

    fn marked<'kv>(&self, atomic: Atomic<'kv>, reached: &Position) -> Atomic<'kv> {
        let (source, merge) = (self.source.clone(), self.merge);
        let text = Mark { source, merge, reached: reached.clone() }.to_text();
        atomic.set(mark(), text)
    }

    fn is_empty(&self) -> Result<bool, Failure> {
        let has_key = self.kv.keys(Selector::all()).next().transpose()?.is_some();
        Ok(!has_key && (self.is_far || Queue::names(&self.kv)?.is_empty()))
    }
}

impl Sink for StoreSink {
    fn begin(&mut self, source: &str) -> Result<Position, Failure> {
        self.source = source.to_owned();
        match (self.noted()?, self.resume) {
            (None, false) if !self.merge && !self.is_empty()? => {
                let what = "the destination is not empty";
                Err(Failure::problem(what).hint(
                    "name a new directory; or --merge, to put the entries of the source over \
                     those with the same keys, and keep all others",
                ))
            }
            (None, false) => {
                let reached = Position::default();
                carried_out(self.marked(self.kv.atomic(), &reached).commit()?);
                Ok(reached)
            }
            (noted, resume) => {
                let noted = Mark::resumed(noted, resume, source)?;
                self.merge = noted.merge;
                Ok(noted.reached)
            }
        }
    }

    fn write(&mut self, batch: &[Record], reached: &Position) -> Result<(), Failure> {
        let atomic = batch.iter().fold(self.kv.atomic(), put);
        carried_out(self.marked(atomic, reached).commit_buffered()?);
        Ok(())
    }

    fn takes(&self, message: &Message) -> bool {
        let Message { queue, payload, backoff_ms, .. } = message;
        // The protocol has 32 bits for a wait.
        let is_told = !backoff_ms.is_empty() && backoff_ms.iter().all(|ms| *ms <= u32::MAX.into());
        let is_plain = queue.is_empty() && matches!(payload, Value::V8(_)) && is_told;
        !self.is_far || is_plain
    }

    fn is_compared_by_entry(&self) -> bool {
        self.merge || self.is_far
    }

    fn read_entries(
        &mut self,
        batch: &[Record],
        visit: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        let entries = batch.iter().filter_map(|record| match record {
            Record::Entry(entry) => Some(entry),
            Record::Message(_) => None,
        });
        let entries: Vec<&Entry> = entries.collect();
        let found = match (&*entries, self.is_far && !self.merge) {
            ([], _) => return Ok(()),
            // Nobody else's keys are in between, and one request brings them all.
            ([first, .., last], true) => {
                let is_within = |entry: &Result<icecore::Entry, _>| {
                    entry.as_ref().map_or(true, |entry| entry.key <= last.key)
                };
                let listed = self.kv.list(&first.key..).take_while(is_within);
                listed.collect::<Result<Vec<_>, _>>()?
            }
            _ => {
                let mut found = Vec::with_capacity(entries.len());
                for few in entries.chunks(self.keys_read()) {
                    found.extend(self.kv.get_all(few.iter().map(|entry| entry.key.clone()))?);
                }
                found
            }
        };
        let mut copied = entries.into_iter();
        let mark = mark();
        for found in found.into_iter().filter(|entry| entry.is_present() && entry.key != mark) {
            let mut found = entry_of(found)?;
            if self.is_far {
                let entry = copied.find(|entry| entry.key >= found.key);
                found.expires_ms = entry.and_then(|entry| entry.expires_ms);
            }
            visit(&Record::Entry(found));
        }
        Ok(())
    }

    fn read_back(&mut self, visit: &mut dyn FnMut(&Record)) -> Result<bool, Failure> {
        let mark = mark();
        for entry in self.kv.snapshot()?.list(Selector::all()) {
            let entry = entry?;
            if entry.key != mark {
                visit(&Record::Entry(entry_of(entry)?));
            }
        }
        let mut messages = Messages::of(&self.kv)?;
        while let Some(message) = messages.next()? {
            visit(&Record::Message(message));
        }
        Ok(true)
    }

    fn accept(&mut self) -> Result<(), Failure> {
        carried_out(self.kv.atomic().delete(mark()).commit_with(Durability::Sync)?);
        Ok(self.kv.close()?)
    }
}

fn put<'kv>(atomic: Atomic<'kv>, record: &Record) -> Atomic<'kv> {
    let moment = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    match record {
        Record::Entry(Entry { key, value, expires_ms: None, .. }) => atomic.set(key, value),
        Record::Entry(Entry { key, value, expires_ms: Some(ms), .. }) => {
            atomic.set_expiring(key, value, Expiry::At(moment(*ms)))
        }
        Record::Message(message) => atomic.enqueue(
            Enqueue::new(&message.payload)
                .queue(&message.queue)
                .ready_at(moment(message.ready_ms))
                .backoff(message.backoff_ms.iter().copied().map(Duration::from_millis))
                .keys_if_undelivered(message.keys_if_undelivered.iter()),
        ),
    }
}

fn carried_out(commit: Commit) {
    assert!(matches!(commit, Commit::Done { .. }), "a commit without checks is carried out");
}
