//! A deed: one commit, with all that a witness must know to repeat it.
//!
//! Every deed counts itself: its commit raises one [counter](COUNTER) and enters the new count,
//! with the deed as bytes, in the [journal](Token::key). Counting and entering are part of the
//! commit, so that whoever reads a store knows which commits it holds, in which order, and whether
//! one of them is missing between the others.

use std::cell::Cell;

use icecore_disk::random::SeededRandom;
use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Batch, Check, Current, Durability, Engine, Error, Mutation, Outcome, Updated,
};
use icecore_model::{Timestamp, Versionstamp};

use super::bytes::{Reader, Writer};

/// How many deeds the store has seen.
pub(crate) const COUNTER: &[u8] = &[DATA, b'n'];

const JOURNAL: &[u8] = &[DATA, b'j'];

/// Names a deed for ever: no two commits have the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token {
    pub(crate) life: u32,
    pub(crate) thread: u8,
    pub(crate) number: u32,
}

impl Token {
    /// The key of its entry in the journal. Entries of one life are neighbours.
    pub(crate) fn key(self) -> Vec<u8> {
        let mut key = journal_from(self.life);
        key.push(self.thread);
        key.extend_from_slice(&self.number.to_be_bytes());
        key
    }

    /// The token whose key this is.
    pub(crate) fn parse(key: &[u8]) -> Option<Token> {
        let (life, rest) = key.strip_prefix(JOURNAL)?.split_first_chunk()?;
        let (&thread, number) = rest.split_first()?;
        let number = u32::from_be_bytes(number.try_into().ok()?);
        Some(Token { life: u32::from_be_bytes(*life), thread, number })
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        writer.u32(self.life).u8(self.thread).u32(self.number);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Token> {
        Some(Token { life: reader.u32()?, thread: reader.u8()?, number: reader.u32()? })
    }
}

/// Where the journal of a life begins.
pub(crate) fn journal_from(life: u32) -> Vec<u8> {
    [JOURNAL, &life.to_be_bytes()].concat()
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The key has the [content] of this seed and length, until `expires_ms`, if that is
    /// not 0.
    Put { key: Vec<u8>, seed: u64, len: u32, expires_ms: u64 },
    /// The key has this number.
    Number { key: Vec<u8>, number: u64 },
    /// Its number has grown.
    Add { key: Vec<u8>, number: u64 },
    /// It is absent.
    Remove { key: Vec<u8> },
    /// All of these are absent.
    RemoveRange { start: Vec<u8>, end: Vec<u8> },
}

/// What one commit checks and changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deed {
    /// Keys, and the stamps that they must have; 0 for keys that must be absent.
    pub(crate) expected: Vec<(Vec<u8>, u64)>,
    pub(crate) steps: Vec<Step>,
}

/// The bytes that a put of this seed and length stores.
pub(crate) fn content(seed: u64, len: u32) -> Vec<u8> {
    let random = SeededRandom::new(seed);
    let mut bytes = Vec::with_capacity(len as usize + 8);
    while bytes.len() < len as usize {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len as usize);
    bytes
}

/// The number that a value holds; 0 for any other value.
pub(crate) fn number(value: &[u8]) -> u64 {
    value.try_into().map_or(0, u64::from_le_bytes)
}

impl Deed {
    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.expected.len()).expect("a deed is small"));
        for (key, stamp) in &self.expected {
            writer.string(key).u64(*stamp);
        }
        for step in &self.steps {
            match step {
                Step::Put { key, seed, len, expires_ms } => {
                    writer.u8(0).string(key).u64(*seed).u32(*len).u64(*expires_ms)
                }
                Step::Number { key, number } => writer.u8(1).string(key).u64(*number),
                Step::Add { key, number } => writer.u8(2).string(key).u64(*number),
                Step::Remove { key } => writer.u8(3).string(key),
                Step::RemoveRange { start, end } => writer.u8(4).string(start).string(end),
            };
        }
    }

    /// Reads to the end.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Deed> {
        let mut deed = Deed::default();
        for _ in 0..reader.u32()? {
            deed.expected.push((reader.string()?.to_vec(), reader.u64()?));
        }
        while !reader.is_at_end() {
            let kind = reader.u8()?;
            let key = reader.string()?.to_vec();
            deed.steps.push(match kind {
                0 => {
                    let (seed, len) = (reader.u64()?, reader.u32()?);
                    Step::Put { key, seed, len, expires_ms: reader.u64()? }
                }
                1 => Step::Number { key, number: reader.u64()? },
                2 => Step::Add { key, number: reader.u64()? },
                3 => Step::Remove { key },
                4 => Step::RemoveRange { start: key, end: reader.string()?.to_vec() },
                _ => return None,
            });
        }
        Some(deed)
    }

    /// Commits it under this token.
    pub(crate) fn commit(
        &self,
        engine: &Engine,
        token: Token,
        durability: Durability,
    ) -> Result<Outcome, Error> {
        let expected =
            |(key, stamp): &(Vec<u8>, u64)| (key.clone(), Some(*stamp).filter(|s| *s > 0));
        let expected: Vec<_> = self.expected.iter().map(expected).collect();
        let checks: Vec<Check<'_>> = expected
            .iter()
            .map(|(key, stamp)| Check { key, expected: stamp.map(Versionstamp::new) })
            .collect();

        let count = Cell::new(0);
        let raise = |now: Option<Current<'_>>| {
            count.set(now.map_or(0, |now| number(now.value)) + 1);
            Ok(set(count.get().to_le_bytes().to_vec()))
        };
        let enter = |_: Option<Current<'_>>| {
            let mut entry = Writer::default();
            entry.u64(count.get());
            self.write(&mut entry);
            Ok(set(entry.into_bytes()))
        };
        let adders: Vec<_> = self
            .steps
            .iter()
            .map(|step| {
                let operand = if let Step::Add { number, .. } = step { *number } else { 0 };
                move |now: Option<Current<'_>>| {
                    let sum = now.map_or(0, |now| number(now.value)).wrapping_add(operand);
                    Ok(set(sum.to_le_bytes().to_vec()))
                }
            })
            .collect();
        let values: Vec<Vec<u8>> = self.steps.iter().map(Step::value).collect();
        let journal = token.key();

        let mut mutations = vec![Mutation::Update { key: COUNTER, update: &raise }];
        for ((step, value), adder) in self.steps.iter().zip(&values).zip(&adders) {
            mutations.push(match step {
                Step::Put { key, expires_ms, .. } => {
                    Mutation::Set { key, value, expires_at: moment(*expires_ms) }
                }
                Step::Number { key, .. } => Mutation::Set { key, value, expires_at: None },
                Step::Add { key, .. } => Mutation::Update { key, update: adder },
                Step::Remove { key } => Mutation::Delete { key },
                Step::RemoveRange { start, end } => Mutation::DeleteRange { start, end },
            });
        }
        mutations.push(Mutation::Update { key: &journal, update: &enter });
        engine.commit_with(Batch { checks: &checks, mutations: &mutations }, durability)
    }
}

impl Step {
    /// What it stores, if that does not depend on what is there.
    pub(crate) fn value(&self) -> Vec<u8> {
        match self {
            Step::Put { seed, len, .. } => content(*seed, *len),
            Step::Number { number, .. } => number.to_le_bytes().to_vec(),
            Step::Add { .. } | Step::Remove { .. } | Step::RemoveRange { .. } => Vec::new(),
        }
    }
}

fn set(value: Vec<u8>) -> Updated {
    Updated::Set { value, expires_at: None }
}

fn moment(ms: u64) -> Option<Timestamp> {
    Timestamp::from_ms(ms).filter(|_| ms > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_and_a_token_are_read_as_they_were_written() {
        let key = || b"key".to_vec();
        let deed = Deed {
            expected: vec![(key(), 5), (b"other".to_vec(), 0)],
            steps: vec![
                Step::Put { key: key(), seed: 1, len: 2, expires_ms: 3 },
                Step::Number { key: key(), number: 9 },
                Step::Add { key: key(), number: 8 },
                Step::Remove { key: key() },
                Step::RemoveRange { start: key(), end: b"kez".to_vec() },
            ],
        };
        let mut writer = Writer::default();
        deed.write(&mut writer);
        let bytes = writer.into_bytes();
        assert_eq!(Deed::read(&mut Reader::new(&bytes)), Some(deed));
        let token = Token { life: 3, thread: 250, number: 77 };
        assert_eq!(Token::parse(&token.key()), Some(token));
    }
}
