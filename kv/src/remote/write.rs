//! Commits of a store elsewhere: what is sent, and what comes back.

use std::time::Duration;

use bytes::Bytes;
use icecore_model::{Timestamp, Versionstamp};
use icecore_remote as remote;
use icecore_wire::message::{
    self, AtomicWrite, AtomicWriteOutput, KvValue, encoding, mutation_type, write_status,
};

use super::Remote;
use crate::error::{Error, ErrorKind};
use crate::expiry::Expiry;
use crate::key::Key;
use crate::limits::Limits;
use crate::mutation::Mutation;
use crate::outcome::Commit;
use crate::queue::{Enqueue, EnqueueParts};
use crate::value::Value;
use crate::weigh;

impl Remote {
    /// Sends an operation, once it is seen to be right.
    pub(crate) fn write(
        &self,
        limits: &Limits,
        checks: &[(Key, Option<Versionstamp>)],
        mutations: &[Mutation],
        messages: &[Enqueue],
    ) -> Result<remote::Pending<AtomicWriteOutput>, Error> {
        if self.client.is_closed() {
            return Err(Error::with_text(ErrorKind::Closed, "the store was closed", ""));
        }
        if self.read_only {
            let text = "the store is open for reading only";
            return Err(Error::with_text(ErrorKind::ReadOnly, text, ""));
        }
        weigh::count(limits, checks.len(), mutations, messages)?;
        let now_ms = self.now_ms();
        let mutated = mutations.iter().map(|one| mutation(one, now_ms));
        let mutated: Vec<message::Mutation> = mutated.collect::<Result<_, Error>>()?;
        weigh::check(limits, checks, mutations, messages)?;
        let sent = messages.iter().map(|one| enqueue(one.parts(limits, now_ms)?));
        let enqueues: Vec<message::Enqueue> = sent.collect::<Result<_, Error>>()?;
        let checks = checks.iter().map(|(key, expected)| message::Check {
            key: encoded(key),
            versionstamp: expected.map_or_else(Bytes::new, stamp_bytes),
        });
        let write = AtomicWrite { checks: checks.collect(), mutations: mutated, enqueues };
        Ok(self.client.atomic_write(write))
    }
}

/// What an answer says.
pub(crate) fn commit(answer: Result<AtomicWriteOutput, remote::Error>) -> Result<Commit, Error> {
    let output = answer?;
    if output.status == write_status::CHECK_FAILURE {
        let indexes = output.failed_checks.iter().map(|place| *place as usize);
        let mut indexes: Vec<usize> = indexes.collect();
        indexes.sort_unstable();
        indexes.dedup();
        return Ok(Commit::CheckFailed { indexes });
    }
    let stamp = Versionstamp::from_bytes(&output.versionstamp).ok_or_else(|| {
        let text = format!("the commit has a versionstamp {:02x?}", &output.versionstamp[..]);
        Error::with_text(ErrorKind::OutcomeUnknown, text, "this version does not know such ones")
    });
    Ok(Commit::Done { versionstamp: stamp? })
}

fn encoded(key: &Key) -> Bytes {
    Bytes::copy_from_slice(key.encoded())
}

fn stamp_bytes(stamp: Versionstamp) -> Bytes {
    Bytes::copy_from_slice(&stamp.to_bytes())
}

fn value(value: &Value) -> KvValue {
    let (data, encoding) = match value {
        Value::V8(serialized) => (serialized.clone(), encoding::V8),
        Value::U64(number) => (Bytes::copy_from_slice(&number.to_le_bytes()), encoding::LE64),
        Value::Bytes(bytes) => (bytes.clone(), encoding::BYTES),
    };
    KvValue { data, encoding }
}

fn expiry(expiry: &Option<Expiry>, now_ms: u64) -> Result<i64, Error> {
    let moment = expiry.map(|expiry| expiry.moment(now_ms)).transpose()?;
    let ms = |moment: Timestamp| i64::try_from(moment.ms()).expect("the last moment is below 2^63");
    Ok(moment.map_or(0, ms))
}

fn mutation(mutation: &Mutation, now_ms: u64) -> Result<message::Mutation, Error> {
    let of = |key: &Key, kind: i32, given: Option<&Value>| message::Mutation {
        key: encoded(key),
        mutation_type: kind,
        value: given.map(value),
        ..message::Mutation::default()
    };
    Ok(match mutation {
        Mutation::Set { key, value, expiry: at } => {
            let expire_at_ms = expiry(at, now_ms)?;
            message::Mutation { expire_at_ms, ..of(key, mutation_type::SET, Some(value)) }
        }
        Mutation::SetVersionstamped { prefix, value, expiry: at } => {
            let kind = mutation_type::SET_SUFFIX_VERSIONSTAMPED_KEY;
            let expire_at_ms = expiry(at, now_ms)?;
            message::Mutation { expire_at_ms, ..of(prefix, kind, Some(value)) }
        }
        Mutation::Delete { key } => of(key, mutation_type::DELETE, None),
        Mutation::Min { key, operand } => of(key, mutation_type::MIN, Some(operand)),
        Mutation::Max { key, operand } => of(key, mutation_type::MAX, Some(operand)),
        Mutation::Sum { key, operand: operand @ Value::U64(_), range: _ } => {
            of(key, mutation_type::SUM, Some(operand))
        }
        Mutation::Sum { key, operand, range } => message::Mutation {
            sum_min: bound(&range.min)?,
            sum_max: bound(&range.max)?,
            sum_clamp: range.clamp,
            ..of(key, mutation_type::SUM, Some(operand))
        },
        Mutation::DeleteRange { .. } => return Err(Error::unsupported("deletions of ranges")),
        Mutation::Touch { .. } => return Err(Error::unsupported("change of expiry alone")),
    })
}

fn bound(bound: &Option<Value>) -> Result<Bytes, Error> {
    match bound {
        None => Ok(Bytes::new()),
        Some(Value::V8(serialized)) => Ok(serialized.clone()),
        Some(_) => {
            let text = "Some of the parameters are not valid V8 values";
            Err(Error::with_text(ErrorKind::TypeMismatch, text, ""))
        }
    }
}

fn enqueue(parts: EnqueueParts<'_>) -> Result<message::Enqueue, Error> {
    let EnqueueParts { queue, payload, deadline_ms, backoff, dead_letters } = parts;
    if !queue.is_empty() {
        return Err(Error::unsupported("queues with names"));
    }
    let Value::V8(payload) = payload else {
        return Err(Error::unsupported("messages other than values of JavaScript"));
    };
    if backoff.is_some_and(<[Duration]>::is_empty) {
        return Err(Error::unsupported("messages with one attempt alone"));
    }
    let interval = |wait: &Duration| {
        let ms = wait.as_nanos().div_ceil(1_000_000);
        u32::try_from(ms).map_err(|_| Error::unsupported("waits of more than 49 days"))
    };
    let backoff = backoff.unwrap_or_default().iter().map(interval);
    Ok(message::Enqueue {
        payload: payload.clone(),
        deadline_ms: i64::try_from(deadline_ms).expect("deadlines are below 2^63"),
        keys_if_undelivered: dead_letters.iter().map(encoded).collect(),
        backoff_schedule: backoff.collect::<Result<_, Error>>()?,
    })
}
