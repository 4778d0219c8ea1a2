//! Queues over HTTP: what KV Connect lacks. `docs/queues.md` describes the two calls.
//!
//! 1. A message that was given out is *leased*: it is in the hands of its receiver until that says
//!    what became of it, or the time of the lease is over; then the attempt has failed.
//! 2. A lease is known by its receipt, a random number that only its receiver has seen. It is kept in
//!    memory: the end of the server is the end of all leases, and their messages come again.
//! 3. The place of a lease is reserved, and its payload paid for, before a message is received, so that
//!    none is received which could not be kept.
//! 4. *A receiver that goes away uses up no attempt* before its message is about to be sent to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use icecore::{Error, Kv, Message, Value};
use icecore_disk::Random;
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::account::Account;
use crate::budget::{Kind, Payment};
use crate::client::Reader;
use crate::drive::drive;
use crate::error::Refusal;
use crate::limits::{LEASE_MS, LEASE_MS_MAX, LEASES_MAX, VALUE_BYTES_MAX, WAIT_MS};
use crate::pool::Pool;
use crate::state::State;

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
        let wait = Duration::from_millis(sent.wait_ms.unwrap_or(WAIT_MS));
        let lease = Duration::from_millis(sent.lease_ms.unwrap_or(LEASE_MS).min(LEASE_MS_MAX));
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
    leased: Leased,
    ok: bool,
) -> Result<Result<(), Error>, Refusal> {
    let Leased { message, _payment: payment, .. } = leased;
    let settled = pool.run(move || if ok { message.finish_async() } else { message.fail_async() });
    let settled = settled.await.map_err(|_| Refusal::unknown_outcome())?.await;
    drop(payment);
    Ok(settled)
}

/// The messages that are in the hands of receivers.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By receipt.
    messages: HashMap<String, Leased>,
    reserved: usize,
}

/// A message in the hands of a receiver.
#[derive(Debug)]
pub(crate) struct Leased {
    /// The place of the database.
    database: usize,
    message: Message,
    /// For its payload.
    _payment: Payment,
}

/// A place for a message that may come.
#[derive(Debug)]
struct Reserved {
    leases: Arc<Leases>,
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

    /// A place for a message.
    fn reserve(self: Arc<Leases>) -> Result<Reserved, Refusal> {
        let mut kept = self.lock();
        if kept.messages.len() + kept.reserved >= LEASES_MAX {
            return Err(Refusal::too_many_messages());
        }
        kept.reserved += 1;
        drop(kept);
        Ok(Reserved { leases: self })
    }

    /// The message with this receipt, which is then nobody's but the caller's.
    pub(crate) fn take(&self, receipt: &str, database: usize) -> Option<Leased> {
        let mut kept = self.lock();
        kept.messages.get(receipt).filter(|leased| leased.database == database)?;
        kept.messages.remove(receipt)
    }
}

/// A receipt that nobody can guess.
fn receipt(random: &dyn Random) -> Result<String, Refusal> {
    let number = || {
        random.next_u64().map_err(|error| {
            tracing::error!(%error, "there is no random number for a receipt");
            Refusal::internal()
        })
    };
    Ok(format!("{:016x}{:016x}", number()?, number()?))
}

/// A message on its way to its receiver. Should that go away before it is [kept](Given::keep), the
/// message is given back, as if nobody had received it.
pub(crate) struct Given {
    /// `None` once it is kept.
    leased: Option<Leased>,
    receipt: String,
    _reserved: Reserved,
    state: Arc<State>,
}

impl Drop for Given {
    fn drop(&mut self) {
        let Some(Leased { message, _payment: payment, .. }) = self.leased.take() else { return };
        tracing::debug!(id = %message.id(), "a receiver has gone: its message is given back");
        let pool = Arc::clone(&self.state.budget.writes);
        tokio::spawn(async move {
            let given_back = pool.run(move || message.give_back()).await;
            if let Err(error) = given_back {
                tracing::error!(%error, "a message was not given back");
            }
            drop(payment);
        });
    }
}

impl Given {
    /// Waits for a message as long as is asked for and allowed, and as the server is not about to end. `of` is
    /// the place of the database, and its store.
    pub(crate) async fn wait(
        state: &Arc<State>,
        account: &Account,
        of: (usize, &Kv),
        asked: Asked,
    ) -> Result<Option<Given>, Refusal> {
        let reserved = Arc::clone(&state.leases).reserve()?;
        let receipt = receipt(&*state.settings.random)?;
        // The longest that clients send; what is left over is given back when the message is here.
        let payment = state.budget.pay(&account.share, Kind::Messages, VALUE_BYTES_MAX).await;
        let mut payment = payment.map_err(|_| Refusal::too_many_messages())?;
        let (database, receive) = (of.0, of.1.queue(&asked.queue).receive_async());
        let state = Arc::clone(state);
        let wait = asked.wait.min(state.settings.receive_timeout);
        let (mut given, receiver) = oneshot::channel();
        // A task of its own: what it has received when its receiver goes is not just dropped.
        tokio::spawn(async move {
            let mut shutdown = state.shutdown.clone();
            let over = async {
                tokio::select! {
                    () = sleep(wait) => {}
                    () = given.closed() => {}
                    _ = shutdown.wait_for(|is_over| *is_over) => {}
                }
            };
            let received = drive(&state.budget.receives, receive, over).await;
            let received = received.map_err(|_| Refusal::internal()).and_then(|received| {
                let Some(received) = received else { return Ok(None) };
                let message = received?.ok_or_else(Refusal::unavailable)?;
                payment.shrink(payload_bytes(message.payload()));
                let leased = Some(Leased { database, message, _payment: payment });
                Ok(Some(Given { leased, receipt, _reserved: reserved, state }))
            });
            // Whoever has gone gets nothing: a message that comes back here gives itself back.
            drop(given.send(received));
        });
        receiver.await.unwrap_or_else(|_| Err(Refusal::internal()))
    }

    pub(crate) fn message(&self) -> &Message {
        &self.leased.as_ref().expect("it is not kept yet").message
    }

    pub(crate) fn receipt(&self) -> &str {
        &self.receipt
    }

    /// Keeps the message for its receiver, for so long.
    pub(crate) fn keep(mut self, lease: Duration) {
        let Some(leased) = self.leased.take() else { return };
        let (receipt, database) = (self.receipt.clone(), leased.database);
        self.state.leases.lock().messages.insert(receipt.clone(), leased);
        let (leases, pool) =
            (Arc::downgrade(&self.state.leases), Arc::clone(&self.state.budget.writes));
        tokio::spawn(async move {
            sleep(lease).await;
            let Some(leased) = leases.upgrade().and_then(|leases| leases.take(&receipt, database))
            else {
                return;
            };
            let id = leased.message.id();
            tracing::info!(%id, "a receiver has not said what became of a message");
            if let Ok(Err(error)) = settle(&pool, leased, false).await {
                tracing::error!(%error, "a failed attempt was not noted");
            }
        });
    }
}

fn payload_bytes(value: &Value) -> usize {
    match value {
        Value::V8(bytes) | Value::Bytes(bytes) => bytes.len(),
        Value::U64(_) => size_of::<u64>(),
    }
}

#[cfg(test)]
mod tests;
