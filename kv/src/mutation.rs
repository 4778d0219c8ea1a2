//! What an atomic operation does to one key, or to a range of them.

use icecore_engine as engine;
use icecore_engine::{Current, Updated};
use icecore_model::Timestamp;

use crate::Selector;
use crate::error::Error;
use crate::expiry::Expiry;
use crate::key::Key;
use crate::sum::{self, Extreme, SumRange};
use crate::value::{Stored, Value};

/// A change of one key or of a range of keys. [`Atomic`](crate::Atomic) has a method for each;
/// this is for programs that pass on what others ask for.
///
/// ```
/// use icecore::{Kv, Mutation, key};
///
/// fn parse(key: &str, change: &str) -> Mutation {
///     let key = key!["counter", key];
///     match change.parse::<u64>() {
///         Ok(number) => Mutation::Set { key, value: number.into(), expiry: None },
///         Err(_) => Mutation::Delete { key },
///     }
/// }
///
/// let kv = Kv::in_memory()?;
/// kv.atomic().mutate(parse("a", "7")).mutate(parse("b", "none")).commit()?;
/// assert_eq!(kv.get(key!["counter", "a"])?.u64()?, 7);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Mutation {
    /// Gives the key this value, whatever it held before.
    Set {
        /// The key.
        key: Key,
        /// The value.
        value: Value,
        /// When the key becomes absent again.
        expiry: Option<Expiry>,
    },
    /// Gives a value to the key that is `prefix` and one part more: the versionstamp of the
    /// commit, as a string of twenty hexadecimal digits.
    SetVersionstamped {
        /// The front of the key.
        prefix: Key,
        /// The value.
        value: Value,
        /// When the key becomes absent again.
        expiry: Option<Expiry>,
    },
    /// Makes the key absent.
    Delete {
        /// The key.
        key: Key,
    },
    /// Makes every key of the selection absent. Costs the same for any number of keys.
    DeleteRange {
        /// Which keys.
        selector: Selector,
    },
    /// Adds to the number that the key holds; an absent key gets the operand. The key no longer
    /// expires.
    Sum {
        /// The key.
        key: Key,
        /// What is added: a [`Value::U64`], or a number or bigint of JavaScript.
        operand: Value,
        /// In which the result has to lie; for numbers of JavaScript. With an operand that is a
        /// [`Value::U64`] it is ignored, as in Deno.
        range: SumRange,
    },
    /// Gives the key the smaller of its number and the operand, both [`Value::U64`]. The key no
    /// longer expires.
    Min {
        /// The key.
        key: Key,
        /// The number that it is compared with.
        operand: Value,
    },
    /// Gives the key the larger of its number and the operand, both [`Value::U64`]. The key no
    /// longer expires.
    Max {
        /// The key.
        key: Key,
        /// The number that it is compared with.
        operand: Value,
    },
    /// Changes when the key expires. Its value stays and gets the versionstamp of this commit; an
    /// absent key stays absent.
    Touch {
        /// The key.
        key: Key,
        /// When it becomes absent; `None` for never.
        expiry: Option<Expiry>,
    },
}

/// The computation of an engine's update.
type Update<'m> = Box<dyn Fn(Option<Current<'_>>) -> Result<Updated, engine::Error> + 'm>;

/// A mutation in the form from which the engine's is borrowed.
pub(crate) enum Prepared<'m> {
    Set { key: &'m Key, value: Stored, expires_at: Option<Timestamp> },
    SetVersionstamped { prefix: &'m Key, value: Stored, expires_at: Option<Timestamp> },
    Delete { key: &'m Key },
    DeleteRange { start: &'m [u8], end: &'m [u8] },
    Update { key: &'m Key, update: Update<'m> },
}

impl Mutation {
    /// The key, or the front of it; `None` for a range.
    pub(crate) fn key(&self) -> Option<&Key> {
        match self {
            Mutation::Set { key, .. }
            | Mutation::SetVersionstamped { prefix: key, .. }
            | Mutation::Delete { key }
            | Mutation::Sum { key, .. }
            | Mutation::Min { key, .. }
            | Mutation::Max { key, .. }
            | Mutation::Touch { key, .. } => Some(key),
            Mutation::DeleteRange { .. } => None,
        }
    }

    /// The value that comes with it, if one does.
    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            Mutation::Set { value, .. } | Mutation::SetVersionstamped { value, .. } => Some(value),
            Mutation::Sum { operand, .. }
            | Mutation::Min { operand, .. }
            | Mutation::Max { operand, .. } => Some(operand),
            Mutation::Delete { .. } | Mutation::DeleteRange { .. } | Mutation::Touch { .. } => None,
        }
    }

    /// What is committed at `now_ms`; `None` when there is nothing to do.
    pub(crate) fn prepare(&self, now_ms: u64) -> Result<Option<Prepared<'_>>, Error> {
        let moment =
            |expiry: &Option<Expiry>| expiry.map(|expiry| expiry.moment(now_ms)).transpose();
        Ok(Some(match self {
            Mutation::Set { key, value, expiry } => {
                Prepared::Set { key, value: value.stored(), expires_at: moment(expiry)? }
            }
            Mutation::SetVersionstamped { prefix, value, expiry } => Prepared::SetVersionstamped {
                prefix,
                value: value.stored(),
                expires_at: moment(expiry)?,
            },
            Mutation::Delete { key } => Prepared::Delete { key },
            Mutation::DeleteRange { selector } => {
                let (start, end) = selector.bounds()?;
                if start >= end {
                    return Ok(None);
                }
                Prepared::DeleteRange { start, end }
            }
            Mutation::Sum { key, operand, range } => {
                Prepared::update(key, |current| sum::sum(current, operand, range))
            }
            Mutation::Min { key, operand } => {
                Prepared::update(key, |current| sum::extreme(Extreme::Min, current, operand))
            }
            Mutation::Max { key, operand } => {
                Prepared::update(key, |current| sum::extreme(Extreme::Max, current, operand))
            }
            Mutation::Touch { key, expiry } => {
                let expires_at = moment(expiry)?;
                Prepared::update(key, move |current| Ok(touch(current, expires_at)))
            }
        }))
    }
}

fn touch(current: Option<Current<'_>>, expires_at: Option<Timestamp>) -> Updated {
    match current {
        Some(current) => Updated::Set { value: current.value.to_vec(), expires_at },
        None => Updated::Keep,
    }
}

impl<'m> Prepared<'m> {
    fn update(
        key: &'m Key,
        update: impl Fn(Option<Current<'_>>) -> Result<Updated, engine::Error> + 'm,
    ) -> Prepared<'m> {
        Prepared::Update { key, update: Box::new(update) }
    }

    /// As the engine takes it.
    pub(crate) fn engine(&self) -> engine::Mutation<'_> {
        match self {
            Prepared::Set { key, value, expires_at } => {
                engine::Mutation::Set { key: key.stored(), value, expires_at: *expires_at }
            }
            Prepared::SetVersionstamped { prefix, value, expires_at } => {
                let (prefix, expires_at) = (prefix.stored(), *expires_at);
                engine::Mutation::SetVersionstamped { prefix, suffix: &[], value, expires_at }
            }
            Prepared::Delete { key } => engine::Mutation::Delete { key: key.stored() },
            Prepared::DeleteRange { start, end } => engine::Mutation::DeleteRange { start, end },
            Prepared::Update { key, update } => {
                engine::Mutation::Update { key: key.stored(), update: &**update }
            }
        }
    }
}
