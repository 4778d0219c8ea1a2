//! The book: what a store must hold, by the deeds that its journal tells of.

use std::collections::BTreeMap;
use std::ops::Bound;

use icecore_engine::keyspace::DATA;
use icecore_engine::{Engine, Error};

use super::bytes::{Reader, Writer};
use super::deed::{Deed, Step, Token, number};
use super::labour::{ACCOUNT, is_founded, total_of_accounts};

/// So many problems are told; the others follow from them.
const PROBLEMS_MAX: usize = 12;

/// One entry of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) value: Vec<u8>,
    pub(crate) stamp: u64,
    /// 0 for an entry that stays.
    pub(crate) expires_ms: u64,
}

/// All that a store holds at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) entries: BTreeMap<Vec<u8>, Held>,
    /// The store's clock before and after it was read.
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
    /// The newest stamp that readers see.
    pub(crate) visible: u64,
}

/// What a process was told of one deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub(crate) token: Token,
    /// 0 when a check failed: then nothing of it may be there.
    pub(crate) stamp: u64,
    /// Whether it must survive a power cut, too.
    pub(crate) durable: bool,
}

/// What a store must hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    entries: BTreeMap<Vec<u8>, Held>,
    /// How many deeds there were.
    count: u64,
    /// The stamp of the last one.
    last: u64,
}

impl Content {
    pub(crate) fn of(engine: &Engine) -> Result<Content, Error> {
        let (began_ms, visible) = (engine.now_ms(), engine.visible().get());
        let mut entries = BTreeMap::new();
        for item in engine.scan(&[DATA], &[DATA + 1])? {
            let item = item?;
            let held = Held {
                value: item.value.to_vec(),
                stamp: item.stamp.get(),
                expires_ms: item.expires_at.map_or(0, |moment| moment.ms()),
            };
            entries.insert(item.key().to_vec(), held);
        }
        Ok(Content { entries, began_ms, ended_ms: engine.now_ms(), visible })
    }

    /// The largest stamp in it.
    pub(crate) fn newest(&self) -> u64 {
        self.entries.values().map(|held| held.stamp).max().unwrap_or(0)
    }
}

impl Held {
    pub(crate) fn write(&self, key: &[u8], writer: &mut Writer) {
        writer.string(key).string(&self.value).u64(self.stamp).u64(self.expires_ms);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<(Vec<u8>, Held)> {
        let (key, value) = (reader.string()?.to_vec(), reader.string()?.to_vec());
        Some((key, Held { value, stamp: reader.u64()?, expires_ms: reader.u64()? }))
    }
}

impl Book {
    /// Goes on to `content`, which the same store held later, and tells what is wrong with it.
    /// `acknowledged` must be in it.
    pub(crate) fn advance(
        &mut self,
        content: &Content,
        acknowledged: &[Acknowledgement],
    ) -> Vec<String> {
        let mut problems = Vec::new();
        self.repeat(content, &mut problems);
        self.compare(content, &mut problems);
        for acknowledgement in acknowledged {
            let Acknowledgement { token, stamp, .. } = *acknowledgement;
            let entry = self.entries.get(&token.key());
            match entry {
                None if stamp == 0 => {}
                None => {
                    problems.push(format!("{token:?} was acknowledged at {stamp}, and is lost"))
                }
                Some(held) if held.stamp != stamp => problems.push(format!(
                    "{token:?} was acknowledged at {stamp} (0: refused), and is there at {}",
                    held.stamp
                )),
                Some(_) => {}
            }
        }
        if is_founded(&content.entries) {
            let sum: u64 = content
                .entries
                .range(ACCOUNT.to_vec()..)
                .take_while(|(key, _)| key.starts_with(ACCOUNT))
                .map(|(_, held)| number(&held.value))
                .fold(0, u64::wrapping_add);
            if sum != total_of_accounts() {
                problems
                    .push(format!("the accounts hold {sum} instead of {}", total_of_accounts()));
            }
        }
        let told = problems.len().min(PROBLEMS_MAX);
        let more = problems.len() - told;
        problems.truncate(told);
        if more > 0 {
            problems.push(format!("and {more} more"));
        }
        problems
    }

    /// Repeats the deeds that are new in the journal.
    fn repeat(&mut self, content: &Content, problems: &mut Vec<String>) {
        let mut deeds = Vec::new();
        for (key, held) in &content.entries {
            let Some(token) = Token::parse(key).filter(|_| !self.entries.contains_key(key)) else {
                continue;
            };
            let mut reader = Reader::new(&held.value);
            match reader.u64().zip(Deed::read(&mut reader)) {
                None => problems.push(format!("the entry of {token:?} cannot be read")),
                Some((count, deed)) => deeds.push((count, held, token, deed)),
            }
        }
        deeds.sort_by_key(|(count, ..)| *count);
        for (count, entry, token, deed) in deeds {
            if count != self.count + 1 {
                problems.push(format!("after deed {} comes {count}, {token:?}", self.count));
            }
            if entry.stamp <= self.last {
                let last = self.last;
                problems.push(format!("after stamp {last} comes {}, {token:?}", entry.stamp));
            }
            for (key, expected) in &deed.expected {
                let found = self.entries.get(key).map_or(0, |held| held.stamp);
                if found != *expected {
                    let key = key.escape_ascii();
                    problems.push(format!(
                        "{token:?} at {} was done although {key} had stamp {found}, not {expected}",
                        entry.stamp
                    ));
                }
            }
            (self.count, self.last) = (count, entry.stamp);
            self.apply(&deed, entry.stamp);
            self.hold(super::deed::COUNTER, count.to_le_bytes().to_vec(), entry.stamp, 0);
            self.hold(&token.key(), entry.value.clone(), entry.stamp, 0);
        }
    }

    fn hold(&mut self, key: &[u8], value: Vec<u8>, stamp: u64, expires_ms: u64) {
        self.entries.insert(key.to_vec(), Held { value, stamp, expires_ms });
    }

    fn apply(&mut self, deed: &Deed, stamp: u64) {
        for step in &deed.steps {
            match step {
                Step::Put { key, expires_ms, .. } => {
                    self.hold(key, step.value(), stamp, *expires_ms);
                }
                Step::Number { key, .. } => self.hold(key, step.value(), stamp, 0),
                Step::Add { key, number: operand } => {
                    let now = self.entries.get(key).map_or(0, |held| number(&held.value));
                    self.hold(key, now.wrapping_add(*operand).to_le_bytes().to_vec(), stamp, 0);
                }
                Step::Remove { key } => {
                    self.entries.remove(key);
                }
                Step::RemoveRange { start, end } => {
                    let range = (Bound::Included(start.clone()), Bound::Excluded(end.clone()));
                    let gone: Vec<_> =
                        self.entries.range(range).map(|(key, _)| key.clone()).collect();
                    for key in gone {
                        self.entries.remove(&key);
                    }
                }
            }
        }
    }

    /// Compares entry by entry. What has expired is forgotten: it must not come back.
    fn compare(&mut self, content: &Content, problems: &mut Vec<String>) {
        self.entries.retain(|key, held| {
            let expires = held.expires_ms;
            let shown = content.entries.get(key);
            let text = key.escape_ascii();
            match shown {
                Some(_) if expires > 0 && expires <= content.began_ms => {
                    problems.push(format!("{text} expired at {expires}, and is there"));
                }
                Some(shown) if shown != held => {
                    let (stamp, found) = (held.stamp, shown.stamp);
                    problems
                        .push(format!("{text} is not what {stamp} made it, but what {found} did"));
                }
                Some(_) => {}
                None if expires > 0 && expires <= content.ended_ms => return false,
                None => problems.push(format!("{text}, set at {}, is missing", held.stamp)),
            }
            true
        });
        for (key, held) in &content.entries {
            if !self.entries.contains_key(key) {
                let text = key.escape_ascii();
                problems.push(format!("{text} is there, as {} set it, and should not", held.stamp));
            }
        }
    }
}

#[cfg(test)]
mod tests;
