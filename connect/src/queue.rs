//! Queues over HTTP: what KV Connect lacks. `docs/queues.md` describes the two calls.
//!
//! 1. A message that was given out is *leased*: it is in the hands of its receiver until that says
//!    what became of it, or the time of the lease is over; then the attempt has failed.
//! 2. A lease is known by its receipt, a random number that only its receiver has seen. It is kept in
//!    memory: the end of the server is the end of all leases, and their messages come again.
//! 3. The place of a lease is reserved before a message is received, so that none is received which
//!    could not be kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use icecore::{Error, Message, Value};
use icecore_disk::Random;
use serde::Deserialize;
use tokio::time::sleep;

use crate::budget::Pool;
use crate::client::Reader;
use crate::error::Refusal;
use crate::limits::{LEASE_MS, LEASE_MS_MAX, LEASES_MAX, WAIT_MS, WAIT_MS_MAX};

/// What a receiver asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) queue: String,
    pub(crate) wait: Duration,
    pub(crate) lease: Duration,
}

/// As it is sent.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Sent {
    queue: String,
    wait_ms: Option<u64>,
    lease_ms: Option<u64>,
}

impl Asked {
    /// Reads a request; an empty one asks for a message of the queue to which clients send.
    pub(crate) fn decode(body: &[u8]) -> Result<Asked, Refusal> {
        let sent = if body.is_empty() { Sent::default() } else { json(body)? };
        let within =
            |ms: Option<u64>, usual, max| Duration::from_millis(ms.unwrap_or(usual).min(max));
        let wait = within(sent.wait_ms, WAIT_MS, WAIT_MS_MAX);
        let lease = within(sent.lease_ms, LEASE_MS, LEASE_MS_MAX);
        Ok(Asked { queue: sent.queue, wait, lease })
    }
}

/// What became of a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    /// The receipt.
    pub(crate) message: String,
    /// Whether it was dealt with; if not, the attempt has failed.
    pub(crate) ok: bool,
}

impl Ended {
    /// Reads a request.
    pub(crate) fn decode(body: &[u8]) -> Result<Ended, Refusal> {
        json(body)
    }
}

fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("Request is invalid: {error}.")))
}

/// How a payload is sent to this reader.
pub(crate) fn payload(value: &Value, reader: Reader) -> (&'static str, Bytes) {
    match value {
        Value::V8(serialized) => ("v8", reader.value(serialized)),
        Value::Bytes(bytes) => ("bytes", bytes.clone()),
        Value::U64(number) => ("u64", Bytes::copy_from_slice(&number.to_le_bytes())),
    }
}

/// Notes what became of a message.
pub(crate) async fn settle(
    pool: &Pool,
    message: Message,
    ok: bool,
) -> Result<Result<(), Error>, Refusal> {
    let settled = pool.run(move || if ok { message.finish_async() } else { message.fail_async() });
    Ok(settled.await.map_err(|_| Refusal::unknown_outcome())?.await)
}

/// The messages that are in the hands of receivers.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By receipt; with the place of the database.
    messages: HashMap<String, (usize, Message)>,
    reserved: usize,
}

/// A place for a message that may come.
#[derive(Debug)]
pub(crate) struct Reserved {
    leases: Arc<Leases>,
    database: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.leases.lock().reserved -= 1;
    }
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // No panic leaves anything changed by halves.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a message of this database.
    pub(crate) fn reserve(self: Arc<Leases>, database: usize) -> Result<Reserved, Refusal> {
        let mut kept = self.lock();
        if kept.messages.len() + kept.reserved >= LEASES_MAX {
            return Err(Refusal::too_many_messages());
        }
        kept.reserved += 1;
        drop(kept);
        Ok(Reserved { leases: self, database })
    }

    /// The message with this receipt, which is then nobody's but the caller's.
    pub(crate) fn take(&self, receipt: &str, database: usize) -> Option<Message> {
        let mut kept = self.lock();
        kept.messages.get(receipt).filter(|(of, _)| *of == database)?;
        kept.messages.remove(receipt).map(|(_, message)| message)
    }
}

impl Reserved {
    /// A receipt that nobody can guess.
    pub(crate) fn receipt(&self, random: &dyn Random) -> Result<String, Refusal> {
        let number = || {
            random.next_u64().map_err(|error| {
                tracing::error!(%error, "there is no random number for a receipt");
                Refusal::internal()
            })
        };
        Ok(format!("{:016x}{:016x}", number()?, number()?))
    }

    /// Keeps `message` for its receiver, for so long.
    pub(crate) fn fill(self, receipt: String, message: Message, lease: Duration, pool: Arc<Pool>) {
        let (leases, database) = (Arc::clone(&self.leases), self.database);
        leases.lock().messages.insert(receipt.clone(), (database, message));
        let leases = Arc::downgrade(&leases);
        tokio::spawn(async move {
            sleep(lease).await;
            let Some(message) = leases.upgrade().and_then(|leases| leases.take(&receipt, database))
            else {
                return;
            };
            tracing::info!(id = %message.id(), "a receiver has not said what became of a message");
            if let Ok(Err(error)) = settle(&pool, message, false).await {
                tracing::error!(%error, "a failed attempt was not noted");
            }
        });
    }
}
