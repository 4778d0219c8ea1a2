//! `atomic_write`: checks, mutations and messages that take effect together or not at all.
//!
//! 1. *What makes no sense is told before the store is asked*, as 400, in the words of the
//!    reference.
//! 2. *No key is stored that a client could not decode*: one such key makes every list over it
//!    fail, in every client.
//! 3. *A request allocates in proportion to its length*: repeated fields are counted before any is
//!    decoded.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use icecore::{Commit, Enqueue, Expiry, Key, Kv, Mutation, Pending, SumRange, Value, Versionstamp};
use icecore_wire::message::{
    self, AtomicWrite, AtomicWriteOutput, encoding, mutation_type, write_status,
};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::error::Refusal;
use crate::limits::{
    BACKOFF_INTERVALS_MAX, BACKOFF_MS_MAX, CHECKS_MAX, DEAD_LETTER_KEYS_MAX, DELAY_MS_MAX,
    KEY_BYTES_MAX, MUTATIONS_MAX, READ_KEY_BYTES_MAX, VALUE_BYTES_MAX, VERSIONSTAMP_PART_BYTES,
    WRITE_BYTES_MAX,
};
use crate::read::malformed;

/// A request that makes sense by itself.
#[derive(Debug)]
pub(crate) struct Write {
    checks: Vec<(Key, Option<Versionstamp>)>,
    mutations: Vec<Mutation>,
    messages: Vec<Enqueue>,
}

impl Write {
    /// Reads a request; `now_ms` is the time from which delays of messages count.
    pub(crate) fn decode(body: Bytes, now_ms: u64) -> Result<Write, Refusal> {
        count(&body)?;
        let write = AtomicWrite::decode(body).map_err(malformed)?;
        weigh(&write)?;
        Ok(Write {
            checks: write.checks.iter().map(check).collect::<Result<_, Refusal>>()?,
            mutations: write.mutations.iter().map(mutation).collect::<Result<_, Refusal>>()?,
            messages: {
                let messages = write.enqueues.iter().map(|message| enqueue(message, now_ms));
                messages.collect::<Result<_, Refusal>>()?
            },
        })
    }

    /// Hands the operation over to the store. It goes on whatever becomes of the caller.
    pub(crate) fn submit(self, kv: &Kv) -> Pending {
        let Write { checks, mutations, messages } = self;
        let atomic = kv.atomic();
        let atomic = checks.into_iter().fold(atomic, |a, (key, at)| a.check_versionstamp(key, at));
        let atomic = mutations.into_iter().fold(atomic, |a, mutation| a.mutate(mutation));
        messages.into_iter().fold(atomic, |a, message| a.enqueue(message)).commit_async()
    }
}

/// The answer for what became of a write.
pub(crate) fn output(commit: &Commit) -> AtomicWriteOutput {
    match commit {
        Commit::Done { versionstamp } => AtomicWriteOutput {
            status: write_status::SUCCESS,
            versionstamp: Bytes::copy_from_slice(&versionstamp.to_bytes()),
            failed_checks: Vec::new(),
        },
        Commit::CheckFailed { indexes } => {
            let place = |index: &usize| u32::try_from(*index).expect("checks are few");
            AtomicWriteOutput {
                status: write_status::CHECK_FAILURE,
                versionstamp: Bytes::new(),
                failed_checks: indexes.iter().map(place).collect(),
            }
        }
    }
}

/// The answer where nothing is written.
pub(crate) fn disabled() -> AtomicWriteOutput {
    AtomicWriteOutput { status: write_status::WRITE_DISABLED, ..AtomicWriteOutput::default() }
}

/// Refuses too many checks, mutations or messages, and too much of what one of those repeats, without
/// decoding any.
fn count(body: &[u8]) -> Result<(), Refusal> {
    let (mut rest, mut checks, mut mutations) = (body, 0, 0);
    while !rest.is_empty() {
        let (field, kind, content) = field(&mut rest)?;
        match field {
            1 => checks += 1,
            2 => mutations += 1,
            3 => {
                mutations += 1;
                if kind == WireType::LengthDelimited {
                    count_delivery(content)?;
                }
            }
            _ => {}
        }
    }
    if checks > CHECKS_MAX {
        return Err(Refusal::bad("Too many checks included in atomic write."));
    }
    if mutations > MUTATIONS_MAX {
        let text = "Too many mutations / enqueues included in atomic write.";
        return Err(Refusal::bad(text));
    }
    Ok(())
}

/// The same for what one message says of its delivery.
fn count_delivery(message: &[u8]) -> Result<(), Refusal> {
    let (mut rest, mut keys, mut intervals) = (message, 0, 0);
    while !rest.is_empty() {
        match field(&mut rest)? {
            (3, ..) => keys += 1,
            // Packed, each number ends with the only one of its bytes that has no highest bit.
            (4, WireType::LengthDelimited, packed) => {
                intervals += packed.iter().filter(|byte| **byte < 0x80).count();
            }
            (4, ..) => intervals += 1,
            _ => {}
        }
    }
    few_deliveries(keys, intervals)
}

/// The next field: its number, its kind, and its content if it has a length.
fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, WireType, &'a [u8]), Refusal> {
    let (field, kind) = decode_key(rest).map_err(malformed)?;
    if kind != WireType::LengthDelimited {
        let skipped = skip_field(kind, field, rest, DecodeContext::default());
        return skipped.map(|()| (field, kind, &[][..])).map_err(malformed);
    }
    let mut after = *rest;
    let length = decode_varint(&mut after).map_err(malformed)?;
    // The length is judged by who skips it.
    skip_field(kind, field, rest, DecodeContext::default()).map_err(malformed)?;
    let length = usize::try_from(length).ok().and_then(|length| after.get(..length));
    Ok((field, kind, length.expect("it was skipped")))
}

fn few_deliveries(keys: usize, intervals: usize) -> Result<(), Refusal> {
    if keys > DEAD_LETTER_KEYS_MAX {
        return Err(Refusal::bad("Too many dead letter keys for a single queue message."));
    }
    if intervals > BACKOFF_INTERVALS_MAX {
        return Err(Refusal::bad("Too many backoff intervals for a single queue message."));
    }
    Ok(())
}

/// Refuses what is too large, piece by piece and as a whole.
fn weigh(write: &AtomicWrite) -> Result<(), Refusal> {
    let mut total = 0;
    for check in &write.checks {
        total += key_bytes(&check.key, READ_KEY_BYTES_MAX)?;
    }
    for mutation in &write.mutations {
        let is_stamped = mutation.mutation_type == mutation_type::SET_SUFFIX_VERSIONSTAMPED_KEY;
        let stamp_bytes = if is_stamped { VERSIONSTAMP_PART_BYTES } else { 0 };
        total += key_bytes(&mutation.key, KEY_BYTES_MAX - stamp_bytes)?;
        total += mutation.value.as_ref().map_or(Ok(0), |value| value_bytes(&value.data))?;
        total += value_bytes(&mutation.sum_min)? + value_bytes(&mutation.sum_max)?;
    }
    for message in &write.enqueues {
        total += value_bytes(&message.payload)? + weigh_delivery(message)?;
    }
    if total > WRITE_BYTES_MAX {
        return Err(Refusal::bad("The total size of the atomic write is too large."));
    }
    Ok(())
}

/// What a message says of its delivery, in bytes.
fn weigh_delivery(message: &message::Enqueue) -> Result<usize, Refusal> {
    let intervals = &message.backoff_schedule;
    few_deliveries(message.keys_if_undelivered.len(), intervals.len())?;
    if intervals.iter().any(|ms| *ms > BACKOFF_MS_MAX) {
        return Err(Refusal::bad(
            "A backoff interval exceeds the maximum allowed backoff interval.",
        ));
    }
    let keys = message.keys_if_undelivered.iter().map(|key| key_bytes(key, KEY_BYTES_MAX));
    Ok(keys.sum::<Result<usize, Refusal>>()? + size_of_val(&intervals[..]))
}

fn key_bytes(key: &Bytes, max: usize) -> Result<usize, Refusal> {
    if key.len() > max {
        Err(Refusal::bad("A key exceeds the key size limit."))
    } else {
        Ok(key.len())
    }
}

fn value_bytes(value: &Bytes) -> Result<usize, Refusal> {
    let bytes = value.len();
    let too_large = || Refusal::bad("A value exceeds the value size limit.");
    (bytes <= VALUE_BYTES_MAX).then_some(bytes).ok_or_else(too_large)
}

/// A key as the store knows it.
pub(crate) fn key(encoded: &Bytes) -> Result<Key, Refusal> {
    Key::from_encoded(encoded).map_err(|_| Refusal::bad("A key is not an encoded key."))
}

fn check(check: &message::Check) -> Result<(Key, Option<Versionstamp>), Refusal> {
    let expected = match check.versionstamp.len() {
        0 => None,
        // What is not of the form of a versionstamp, no key has: the check fails, as in Deno.
        10 => Some(Versionstamp::from_bytes(&check.versionstamp).unwrap_or(Versionstamp::MAX)),
        _ => return Err(Refusal::bad("Invalid versionstamp.")),
    };
    Ok((key(&check.key)?, expected))
}

fn mutation(mutation: &message::Mutation) -> Result<Mutation, Refusal> {
    let invalid = || Refusal::bad("Invalid mutation kind or arguments.");
    let value = || value(mutation.value.as_ref().ok_or_else(invalid)?);
    let expiry = expiry(mutation.expire_at_ms)?;
    let key = || key(&mutation.key);
    Ok(match mutation.mutation_type {
        mutation_type::SET => Mutation::Set { value: value()?, key: key()?, expiry },
        mutation_type::DELETE => Mutation::Delete { key: key()? },
        mutation_type::SUM => {
            let bound = |v8: &Bytes| (!v8.is_empty()).then(|| Value::V8(v8.clone()));
            let (min, max) = (bound(&mutation.sum_min), bound(&mutation.sum_max));
            let range = SumRange { min, max, clamp: mutation.sum_clamp };
            Mutation::Sum { operand: value()?, key: key()?, range }
        }
        mutation_type::MAX => Mutation::Max { operand: value()?, key: key()? },
        mutation_type::MIN => Mutation::Min { operand: value()?, key: key()? },
        mutation_type::SET_SUFFIX_VERSIONSTAMPED_KEY => {
            Mutation::SetVersionstamped { value: value()?, prefix: key()?, expiry }
        }
        _ => return Err(invalid()),
    })
}

fn value(value: &message::KvValue) -> Result<Value, Refusal> {
    let data = value.data.clone();
    match value.encoding {
        encoding::V8 => Ok(Value::V8(data)),
        encoding::BYTES => Ok(Value::Bytes(data)),
        encoding::LE64 => match data[..].try_into() {
            Ok(number) => Ok(Value::U64(u64::from_le_bytes(number))),
            Err(_) => Err(Refusal::bad("A value of the encoding VE_LE64 has eight bytes.")),
        },
        _ => Err(Refusal::bad("Invalid value encoding.")),
    }
}

/// The moment `ms` after the beginning of 1970; 0 and −1 stand for never.
fn expiry(ms: i64) -> Result<Option<Expiry>, Refusal> {
    match u64::try_from(ms) {
        Ok(0) => Ok(None),
        Ok(ms) => Ok(Some(Expiry::At(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)))),
        Err(_) if ms == -1 => Ok(None),
        Err(_) => Err(Refusal::bad("Invalid mutation expire at.")),
    }
}

/// A message; an empty schedule stands for the usual one.
fn enqueue(message: &message::Enqueue, now_ms: u64) -> Result<Enqueue, Refusal> {
    let invalid = || Refusal::bad("Invalid mutation enqueue deadline.");
    let deadline_ms = u64::try_from(message.deadline_ms).map_err(|_| invalid())?;
    let delay_ms = deadline_ms.saturating_sub(now_ms);
    if delay_ms > DELAY_MS_MAX {
        return Err(invalid());
    }
    let keys = message.keys_if_undelivered.iter().map(key).collect::<Result<Vec<_>, Refusal>>()?;
    let enqueue = Enqueue::new(Value::V8(message.payload.clone()))
        .delay(Duration::from_millis(delay_ms))
        .keys_if_undelivered(keys);
    if message.backoff_schedule.is_empty() {
        return Ok(enqueue);
    }
    let wait = |ms: &u32| Duration::from_millis(u64::from(*ms));
    Ok(enqueue.backoff(message.backoff_schedule.iter().map(wait)))
}

#[cfg(test)]
mod tests;
