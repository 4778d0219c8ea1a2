//! Batches as values: what a history asks the store to commit.

use icecore_engine::{Batch, Check, Current, Error, Mutation, Updated};
use icecore_model::{Timestamp, Versionstamp};

use crate::model::Value;

/// A check as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSpec {
    /// The key.
    pub key: Vec<u8>,
    /// The stamp that it must have.
    pub expected: Option<u64>,
}

/// A mutation as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the mutation of the engine that bears its name")]
pub enum MutationSpec {
    Set { key: Vec<u8>, value: Value },
    SetVersionstamped { prefix: Vec<u8>, value: Value },
    Delete { key: Vec<u8> },
    DeleteRange { start: Vec<u8>, end: Vec<u8> },
    Update { key: Vec<u8>, rule: u8 },
}

/// A batch as a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchSpec {
    /// Its checks.
    pub checks: Vec<CheckSpec>,
    /// Its mutations.
    pub mutations: Vec<MutationSpec>,
}

/// What a read-modify-write makes of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// This.
    Set(Value),
    /// Nothing is left.
    Delete,
    /// The same.
    Keep,
    /// The whole batch fails.
    Refuse,
}

/// The read-modify-write of number `rule`: a function of nothing but the value before.
pub fn rewrite(rule: u8, current: Option<&Value>) -> Rewritten {
    let set = |bytes: Vec<u8>, expires_at| Rewritten::Set(Value { bytes, expires_at });
    match (rule % 6, current) {
        (0, None) => set(vec![1], None),
        (0 | 1, Some(value)) => {
            let mut bytes = value.bytes.clone();
            bytes.truncate(200);
            bytes.push(rule.wrapping_add(u8::try_from(value.bytes.len() % 251).unwrap_or(0)));
            set(bytes, value.expires_at)
        }
        (1 | 2, None) | (3, _) => Rewritten::Keep,
        (2, Some(_)) => Rewritten::Delete,
        (4, _) => Rewritten::Refuse,
        (_, None) => set(vec![rule; 40], None),
        (_, Some(value)) => set(value.bytes.iter().rev().copied().collect(), None),
    }
}

type Update = dyn Fn(Option<Current<'_>>) -> Result<Updated, Error>;

fn update(rule: u8) -> Box<Update> {
    Box::new(move |current| {
        let current = current.map(|c| Value {
            bytes: c.value.to_vec(),
            expires_at: c.expires_at.map(Timestamp::ms),
        });
        match rewrite(rule, current.as_ref()) {
            Rewritten::Set(value) => {
                Ok(Updated::Set { expires_at: moment(&value), value: value.bytes })
            }
            Rewritten::Delete => Ok(Updated::Delete),
            Rewritten::Keep => Ok(Updated::Keep),
            Rewritten::Refuse => Err(Error::TypeMismatch { what: "refused".to_owned() }),
        }
    })
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.expires_at.and_then(Timestamp::from_ms)
}

impl BatchSpec {
    /// Calls `commit` with the batch in the engine's own form.
    pub fn with<T>(&self, commit: impl FnOnce(Batch<'_>) -> T) -> T {
        let checks: Vec<Check<'_>> = (self.checks.iter())
            .map(|c| Check { key: &c.key, expected: c.expected.map(Versionstamp::new) })
            .collect();
        let rules: Vec<Box<Update>> = (self.mutations.iter())
            .map(|m| update(if let MutationSpec::Update { rule, .. } = m { *rule } else { 0 }))
            .collect();
        let mutations: Vec<Mutation<'_>> = (self.mutations.iter().zip(&rules))
            .map(|(mutation, rule)| match mutation {
                MutationSpec::Set { key, value } => {
                    Mutation::Set { key, value: &value.bytes, expires_at: moment(value) }
                }
                MutationSpec::SetVersionstamped { prefix, value } => Mutation::SetVersionstamped {
                    prefix,
                    suffix: b"",
                    value: &value.bytes,
                    expires_at: moment(value),
                },
                MutationSpec::Delete { key } => Mutation::Delete { key },
                MutationSpec::DeleteRange { start, end } => Mutation::DeleteRange { start, end },
                MutationSpec::Update { key, .. } => Mutation::Update { key, update: &**rule },
            })
            .collect();
        commit(Batch { checks: &checks, mutations: &mutations })
    }
}
