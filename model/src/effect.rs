//! What one commit does, as bytes: the payload of a log frame, and what a memtable applies.
//!
//! ```text
//! effects   := effect*
//! effect    := 01 key value            a value that never expires
//!            | 02 key value expires    a value that expires (varint, ms since the epoch, not 0)
//!            | 03 key                  a deletion
//!            | 04 start end            a deletion of every key in [start, end)
//! key, value, start, end := length (varint) bytes
//! ```
//!
//! A run of effects is valid if and only if every tag is one of these, every length lies within
//! what is left and within [`limits`](crate::limits), every key is at least one byte long, and
//! every range has start < end. Within one commit, at most one of the effects 01 to 03 names a
//! given key, and such an effect wins over a range of the same commit, wherever it stands.

use crate::entry::Change;
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::read::{Malformed, Reader, put_varint};
use crate::time::Timestamp;

const PUT: u8 = 1;
const PUT_EXPIRING: u8 = 2;
const DELETE: u8 = 3;
const DELETE_RANGE: u8 = 4;

/// One effect of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// A key has a new version.
    Point {
        /// The key.
        key: &'a [u8],
        /// Its new version.
        change: Change<'a>,
    },
    /// Every older version of every key in `[start, end)` is gone.
    DeleteRange {
        /// The first key of the range.
        start: &'a [u8],
        /// The first key after the range.
        end: &'a [u8],
    },
}

impl Effect<'_> {
    /// Appends the encoded effect.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Effect::Point { key, change: Change::Put { value, expires_at } } => {
                out.push(if expires_at.is_some() { PUT_EXPIRING } else { PUT });
                put_run(out, key);
                put_run(out, value);
                if let Some(moment) = expires_at {
                    put_varint(out, moment.ms());
                }
            }
            Effect::Point { key, change: Change::Delete } => {
                out.push(DELETE);
                put_run(out, key);
            }
            Effect::DeleteRange { start, end } => {
                out.push(DELETE_RANGE);
                put_run(out, start);
                put_run(out, end);
            }
        }
    }
}

fn put_run(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Encoded effects, read one by one. After the first malformed one it ends.
#[derive(Clone, Debug)]
pub struct Effects<'a> {
    reader: Reader<'a>,
}

impl<'a> Effects<'a> {
    /// The effects encoded in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Effects<'a> {
        Effects { reader: Reader::new(bytes) }
    }

    fn key(&mut self) -> Result<&'a [u8], Malformed> {
        let malformed = self.reader.malformed("a key length");
        match self.reader.length(KEY_BYTES_MAX, "a key length")? {
            0 => Err(malformed),
            length => self.reader.bytes(length, "a key"),
        }
    }

    fn read(&mut self) -> Result<Effect<'a>, Malformed> {
        let malformed = self.reader.malformed("an effect");
        match self.reader.u8("an effect")? {
            tag @ (PUT | PUT_EXPIRING) => {
                let key = self.key()?;
                let length = self.reader.length(VALUE_BYTES_MAX, "a value length")?;
                let value = self.reader.bytes(length, "a value")?;
                let expires_at = if tag == PUT {
                    None
                } else {
                    let ms = self.reader.varint("an expiry")?;
                    Some(Timestamp::from_ms(ms).ok_or(malformed)?)
                };
                Ok(Effect::Point { key, change: Change::Put { value, expires_at } })
            }
            DELETE => Ok(Effect::Point { key: self.key()?, change: Change::Delete }),
            DELETE_RANGE => {
                let (start, end) = (self.key()?, self.key()?);
                if start < end { Ok(Effect::DeleteRange { start, end }) } else { Err(malformed) }
            }
            _ => Err(malformed),
        }
    }
}

impl<'a> Iterator for Effects<'a> {
    type Item = Result<Effect<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let effect = self.read();
        if effect.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(effect)
    }
}

#[cfg(test)]
mod tests;
