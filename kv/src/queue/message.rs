//! A message in the hands of its receiver, and how it gets there.

use std::fmt;
use std::time::SystemTime;

use icecore_engine::{CommitFuture, Outcome, Record};
use icecore_model::{Timestamp, Versionstamp};

use super::Queue;
use super::change::Change;
use super::enqueue::deadline_after;
use super::format::{BadRow, MessageId, MessageRow, Spot, decode_attempts};
use super::line::{Lease, Ready};
use super::settle::Settle;
use crate::error::{Error, ErrorKind};
use crate::expiry::system_time;
use crate::kv::Kv;
use crate::value::Value;

/// A message that was received. Nobody else gets it while this lives, however long that takes.
///
/// Receiving it counts as an attempt, which is durable before the message is given out. A message
/// is [finished](Message::finish) or has [failed](Message::fail); dropping it without either counts
/// as a failure. If the process ends first, the message is received again when the store is open
/// again, or given up if this was its last attempt.
///
/// ```
/// use icecore::{Kv, Value};
///
/// let kv = Kv::in_memory()?;
/// kv.enqueue("hello")?;
/// let message = kv.queue("").receive()?.expect("the store is open");
/// assert_eq!(message.payload(), &Value::from("hello"));
/// assert_eq!(message.attempt(), 1);
/// message.finish()?;
/// assert!(kv.queue("").is_empty()?);
/// # Ok::<(), icecore::Error>(())
/// ```
pub struct Message {
    kv: Kv,
    /// `None` once the message is settled.
    lease: Option<Lease>,
    row: MessageRow,
    payload: Value,
    attempt: u32,
    /// The commit that noted the attempt.
    begun: Versionstamp,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, attempt) = (self.id(), self.attempt);
        write!(f, "Message({id}, attempt {attempt}, {:?})", self.payload)
    }
}

impl Message {
    /// What was sent.
    ///
    /// ```
    /// use icecore::{Kv, Value};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(7)?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// assert_eq!(message.payload(), &Value::U64(7));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn payload(&self) -> &Value {
        &self.payload
    }

    /// How often this message has been received, this time included.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("hello").backoff([Duration::ZERO]))?;
    /// kv.queue("").receive()?.expect("the store is open").fail()?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// assert_eq!(message.attempt(), 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether there is no further attempt after this one.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("only once").backoff([]))?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// assert!(message.is_last_attempt());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn is_last_attempt(&self) -> bool {
        is_exhausted(&self.row, self.attempt)
    }

    /// The identity of the message. It is the same in all attempts, so a receiver that must not do
    /// its work twice can note it with the work.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("greet ada")?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// // The work and the note of it, together or not at all.
    /// let done = key!["done", message.id().to_string()];
    /// let work = kv.atomic().check_absent(&done).set(&done, "").sum(key!["greetings"], 1);
    /// assert!(work.commit()?.versionstamp().is_some(), "no attempt has done it before");
    /// message.finish()?;
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn id(&self) -> MessageId {
        self.spot().id
    }

    /// When it was sent, by the store's clock.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("hello")?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// assert!(message.enqueued_at() <= message.ready_at());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn enqueued_at(&self) -> SystemTime {
        moment(self.row.enqueued_ms)
    }

    /// When it was ready for this attempt, by the store's clock.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// let wait = Duration::from_millis(5);
    /// kv.enqueue(Enqueue::new("soon").delay(wait))?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// assert_eq!(message.ready_at(), message.enqueued_at() + wait);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn ready_at(&self) -> SystemTime {
        moment(self.spot().deadline_ms)
    }

    /// The work is done: removes the message, with the store's default durability.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("hello")?;
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// message.finish()?;
    /// assert!(kv.queue("").is_empty()?);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::set`]. Then the message remains, and is received again: at once if the store takes
    /// commits, otherwise when it is open again. After
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) that is open. When somebody else has
    /// settled the message, [`InvalidArgument`](crate::ErrorKind::InvalidArgument).
    pub fn finish(mut self) -> Result<(), Error> {
        let (lease, change) = self.finishing();
        let outcome = change.commit(self.kv.engine())?;
        settled(outcome, lease, None)
    }

    /// As [`Message::finish`], and receives the next message of the queue that is ready, if one
    /// is, in the same commit: so a queue that has many messages takes one commit for each.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// for number in 0..10 {
    ///     kv.enqueue(number)?;
    /// }
    /// let mut next = kv.queue("").try_receive()?;
    /// while let Some(message) = next {
    ///     println!("{:?}", message.payload());
    ///     next = message.finish_and_receive()?;
    /// }
    /// assert!(kv.queue("").is_empty()?);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Message::finish`], and what keeps the next message from being received; whether this
    /// one is finished then, [`Queue::peek`] tells.
    pub fn finish_and_receive(mut self) -> Result<Option<Message>, Error> {
        let (lease, change) = self.finishing();
        let queue = Queue::new(&self.kv, lease.line());
        let next = match queue.begin_ready() {
            Ok(Some(next)) => {
                match change.commit_with(&next.change, self.kv.engine()) {
                    Ok(outcome @ Outcome::Committed(_)) => {
                        lease.settle(None);
                        let message = next.committed(outcome);
                        // One that had no attempt left was given up.
                        return message.map_or_else(|| queue.try_receive(), |next| Ok(Some(next)));
                    }
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => return Err(error),
                    // One of the two is not as it should be, or was refused: each for itself. What
                    // speaks against both, this one meets again.
                    Ok(Outcome::CheckFailed { .. }) | Err(_) => Ok(()),
                }
            }
            next => next.map(drop),
        };
        settled(change.commit(self.kv.engine())?, lease, None)?;
        next?;
        queue.try_receive()
    }

    /// As [`Message::finish`], without blocking a thread. The message is removed even if the
    /// future is dropped.
    ///
    /// ```
    /// use icecore::{Error, Kv};
    ///
    /// async fn work(kv: &Kv) -> Result<(), Error> {
    ///     if let Some(message) = kv.queue("").receive_async().await? {
    ///         message.finish_async().await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let kv = Kv::in_memory()?;
    /// # kv.enqueue("hello")?;
    /// # futures_lite::future::block_on(work(&kv))?;
    /// # assert!(kv.queue("").is_empty()?);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn finish_async(mut self) -> Settle {
        let (lease, change) = self.finishing();
        Settle::new(self.kv.clone(), &change, lease, None)
    }

    /// The work could not be done: the message is received again after the next interval of its
    /// schedule. If there is none, it is given up: its payload becomes the value of its dead-letter
    /// keys, if it has any, and it is removed.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("hello").backoff([]).keys_if_undelivered([key!["undelivered"]]))?;
    /// kv.queue("").receive()?.expect("the store is open").fail()?;
    /// assert_eq!(kv.get(key!["undelivered"])?.str()?, "hello");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Message::finish`].
    pub fn fail(mut self) -> Result<(), Error> {
        self.fail_in_place()
    }

    /// As [`Message::fail`], without blocking a thread. The failure counts even if the future is
    /// dropped.
    ///
    /// ```
    /// use icecore::{Error, Kv};
    ///
    /// async fn put_off(kv: &Kv) -> Result<(), Error> {
    ///     if let Some(message) = kv.queue("").receive_async().await? {
    ///         message.fail_async().await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let kv = Kv::in_memory()?;
    /// # kv.enqueue("hello")?;
    /// # futures_lite::future::block_on(put_off(&kv))?;
    /// # assert_eq!(kv.queue("").peek(1)?[0].attempts, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn fail_async(mut self) -> Settle {
        let (lease, change, moved_to) = self.failing();
        Settle::new(self.kv.clone(), &change, lease, moved_to)
    }

    /// The message has not come to whom it was meant for: it waits for the next receiver at once, and
    /// this attempt does not count, in a commit that is under way when this returns. Should that
    /// fail, the attempt counts, as at the end of the process.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("hello")?;
    /// kv.queue("").receive()?.expect("the store is open").give_back();
    /// let message = kv.queue("").receive()?.expect("the store is open");
    /// assert_eq!(message.attempt(), 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn give_back(mut self) {
        let lease = self.take_lease();
        let change = Change::unbegin(lease.line(), lease.spot(), self.attempt, self.begun);
        drop(change.submit(self.kv.engine()));
    }

    fn fail_in_place(&mut self) -> Result<(), Error> {
        let (lease, change, moved_to) = self.failing();
        let outcome = change.commit(self.kv.engine())?;
        settled(outcome, lease, moved_to)
    }

    pub(super) fn spot(&self) -> Spot {
        self.lease.as_ref().expect("the message is not settled").spot()
    }

    fn take_lease(&mut self) -> Lease {
        self.lease.take().expect("the message is not settled")
    }

    fn finishing(&mut self) -> (Lease, Change) {
        let lease = self.take_lease();
        let change = Change::finish(lease.line(), lease.spot(), Some(self.begun));
        (lease, change)
    }

    fn failing(&mut self) -> (Lease, Change, Option<Spot>) {
        let lease = self.take_lease();
        let (line, spot) = (lease.line(), lease.spot());
        let interval = usize::try_from(self.attempt - 1).ok();
        let backoff_ms = interval.and_then(|index| self.row.backoff_ms.get(index));
        let Some(backoff_ms) = backoff_ms else {
            let change = Change::give_up(line, spot, &self.row, Some(self.begun));
            return (lease, change, None);
        };
        let deadline_ms = deadline_after(self.kv.engine().now_ms(), *backoff_ms);
        let to = Spot { deadline_ms, ..spot };
        let change = Change::move_to(line, (spot, to), &self.row, self.begun);
        (lease, change, Some(to))
    }
}

impl Drop for Message {
    /// Fails the message, if it is not settled. An error leaves it as the end of the process
    /// would: it is received again.
    fn drop(&mut self) {
        if self.lease.is_some() {
            self.fail_in_place().unwrap_or_default();
        }
    }
}

/// Ends the lease after the commit of a settlement.
pub(crate) fn settled(outcome: Outcome, lease: Lease, moved_to: Option<Spot>) -> Result<(), Error> {
    match outcome {
        Outcome::Committed(_) => {
            lease.settle(moved_to);
            Ok(())
        }
        Outcome::CheckFailed { .. } => {
            let detail =
                format!("message {} of the queue {:?}", lease.spot().id, lease.line().name);
            Err(Error::invalid("the attempt is over", detail))
        }
    }
}

/// Whether attempt number `attempts` is the last, or one beyond it.
fn is_exhausted(row: &MessageRow, attempts: u32) -> bool {
    usize::try_from(attempts).is_ok_and(|attempts| attempts > row.backoff_ms.len())
}

/// A message that was picked: what is to be committed before anybody gets it.
#[derive(Debug)]
pub(crate) struct Begin {
    kv: Kv,
    lease: Lease,
    row: MessageRow,
    payload: Value,
    /// `None`: no attempt is left, it is given up.
    attempt: Option<u32>,
    change: Change,
}

impl Begin {
    pub(crate) fn new(kv: &Kv, ready: Ready, lease: Lease) -> Result<Begin, Error> {
        let line = lease.line();
        let (row, payload) =
            MessageRow::decode(&ready.stored).map_err(|bad| Error::bad_queue(&line.name, bad))?;
        let record = kv.engine().get(&ready.spot.id.attempt_key(&line.name))?;
        let (attempts, stamp) = attempts(record.as_ref(), &line.name)?;
        let (attempt, change) = if is_exhausted(&row, attempts) {
            (None, Change::bury(line, &ready, &row, stamp))
        } else {
            let attempt = attempts + 1;
            (Some(attempt), Change::begin(line, &ready, stamp, attempt))
        };
        Ok(Begin { kv: kv.clone(), lease, row, payload, attempt, change })
    }

    /// Commits it; `None` when there is no message to give out.
    pub(crate) fn commit(self) -> Result<Option<Message>, Error> {
        match self.change.commit(self.kv.engine()) {
            Ok(outcome) => Ok(self.committed(outcome)),
            Err(error) => Err(self.refused(error)),
        }
    }

    pub(crate) fn submit(&self) -> CommitFuture {
        self.change.submit(self.kv.engine())
    }

    /// What became of the commit.
    pub(crate) fn committed(self, outcome: Outcome) -> Option<Message> {
        let Begin { kv, lease, row, payload, attempt, .. } = self;
        match (outcome, attempt) {
            (Outcome::Committed(begun), Some(attempt)) => {
                Some(Message { kv, lease: Some(lease), row, payload, attempt, begun })
            }
            (Outcome::Committed(_), None) => {
                lease.settle(None);
                None
            }
            // A step before this one was not visible yet: the lease goes back, to look again.
            (Outcome::CheckFailed { .. }, _) => None,
        }
    }

    /// The commit came to an error. A message that cannot be given up, since its dead letters exceed
    /// what this store commits at once, is set aside: it would be the first of its queue for good.
    pub(crate) fn refused(self, error: Error) -> Error {
        if self.attempt.is_some() || !matches!(error.kind(), ErrorKind::LimitExceeded { .. }) {
            return error;
        }
        let message =
            format!("message {} of the queue {:?}", self.lease.spot().id, self.lease.line().name);
        let detail = format!("{error}; it is set aside");
        self.lease.set_aside();
        Error::with_text(error.kind(), format!("{message} cannot be given up"), detail)
    }

    /// Nobody waits for the message any more, while its commit `begun` is under way: takes the
    /// attempt back, in a commit that comes after it. Should that fail, the attempt counts.
    pub(crate) fn take_back(self, begun: Versionstamp) {
        if let Some(attempt) = self.attempt {
            let change = Change::unbegin(self.lease.line(), self.lease.spot(), attempt, begun);
            drop(change.submit(self.kv.engine()));
        }
    }
}

/// What a stored moment is to callers.
pub(crate) fn moment(ms: u64) -> SystemTime {
    system_time(Timestamp::from_ms(ms.max(1)).expect("it is at least 1"))
}

/// How often a message was given out, and the commit that noted it.
pub(crate) fn attempts(
    record: Option<&Record>,
    queue: &str,
) -> Result<(u32, Option<Versionstamp>), Error> {
    let Some(record) = record else { return Ok((0, None)) };
    let attempts = decode_attempts(&record.value).map_err(|bad| Error::bad_queue(queue, bad))?;
    Ok((attempts, Some(record.stamp)))
}

impl Error {
    /// What is stored of a queue cannot be read.
    pub(crate) fn bad_queue(queue: &str, bad: impl Into<BadRow>) -> Error {
        let place = format!("the queue {queue:?}");
        match bad.into() {
            BadRow::UnknownVersion(version) => Error::with_text(
                ErrorKind::UnknownFormat,
                format!("{place} holds a message of the version {version}"),
                "this version does not know it",
            ),
            BadRow::Malformed(malformed) => Error::with_text(
                ErrorKind::Corrupt { file: place.clone(), offset: malformed.offset as u64 },
                format!("a message of {place} is damaged"),
                format!("expected {malformed}"),
            ),
        }
    }
}
