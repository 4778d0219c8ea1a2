//! Queues: messages that are delivered at least once, at their time, and retried when their
//! receiver fails.
//!
//! A queue is rows of the engine, like everything else, so a message is sent by the atomic
//! operation that makes it necessary, or not at all. From the stored form up: `format` (bytes),
//! `audit` (whether they are right), `enqueue` (what a sender says), `change` (the commits of a
//! message's life), `board` (who hears of new messages), `line` (leases, and what comes next),
//! `lines` (all queues of a store), `message` and `settle` (in the hands of a receiver), `receive`,
//! `listen` and `timer` (how receivers wait).
//!
//! 1. *A message that was committed is delivered at least once, or stored under its dead-letter
//!    keys, or dropped after its last attempt if it has none.* It is a row until the commit that
//!    finishes it or gives it up; what puts a row below the place from which a queue reads lowers
//!    that place.
//! 2. *No message is delivered that was not committed, nor before its deadline* by the store's
//!    clock: only visible rows are looked at.
//! 3. *A message is in the hands of one receiver at a time*, however long that takes: its lease
//!    lives as long as its handle. The end of the process ends all leases.
//! 4. *There are no more attempts than the schedule has intervals, and one*: each is committed
//!    before the message is given out, with the store's default durability. With buffered commits
//!    a power cut may forget attempts, as everything else.
//! 5. Messages with equal deadlines come in the order of their commits and of their places in
//!    them.

mod audit;
mod board;
mod change;
mod enqueue;
mod format;
mod line;
mod lines;
mod listen;
mod message;
mod receive;
mod settle;
mod timer;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use icecore_engine as engine;
use icecore_engine::keyspace::QUEUE;
use icecore_model::Versionstamp;

pub(crate) use self::audit::{Row, audit};
#[cfg(feature = "remote")]
pub(crate) use self::enqueue::EnqueueParts;
pub(crate) use self::enqueue::PreparedMessage;
pub(crate) use self::lines::Lines;

pub use self::enqueue::Enqueue;
pub use self::format::MessageId;
pub use self::listen::{ListenOptions, Listener};
pub use self::message::Message;
pub use self::receive::Receive;
pub use self::settle::Settle;

use self::format::{MessageRow, Spot, end_of, split_name};
use self::line::{Line, Pick};
use self::message::{Begin, attempts, moment};
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::kv::{Kv, committed};
use crate::value::Value;

/// One of the queues of a store. Cheap to clone. All handles of a queue share its messages: each
/// message goes to one receiver.
///
/// Messages become ready at their deadlines, and are received in the order of these; those with
/// equal deadlines in the order in which they were committed. See [`Message`] for what a receiver
/// does with them.
///
/// ```
/// use icecore::{Kv, key};
///
/// let kv = Kv::in_memory()?;
/// // The order and the message that tells of it, together or not at all.
/// let order = key!["order", 17];
/// kv.atomic().check_absent(&order).set(&order, "two books").enqueue("order 17").commit()?;
///
/// let queue = kv.queue("");
/// while let Some(message) = queue.try_receive()? {
///     println!("attempt {}: {:?}", message.attempt(), message.payload());
///     message.finish()?;
/// }
/// assert!(queue.is_empty()?);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone)]
pub struct Queue {
    line: Arc<Line>,
    kv: Kv,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({:?})", self.line.name)
    }
}

/// A message in its queue, as [`Queue::peek`] sees it.
///
/// ```
/// use icecore::Kv;
///
/// let kv = Kv::in_memory()?;
/// let versionstamp = kv.enqueue("hello")?;
/// let message = kv.queue("").receive()?.expect("the store is open");
/// let waiting = &kv.queue("").peek(1)?[0];
/// assert_eq!((waiting.id, waiting.attempts), (message.id(), 1));
/// assert_eq!(waiting.id.versionstamp, versionstamp);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Waiting {
    /// Its identity.
    pub id: MessageId,
    /// What was sent.
    pub payload: Value,
    /// How often it has been received.
    pub attempts: u32,
    /// When it was sent, by the store's clock.
    pub enqueued_at: SystemTime,
    /// From when on it is received, by the store's clock.
    pub ready_at: SystemTime,
    /// How long to wait after each failure, from the first one on.
    pub backoff: Vec<Duration>,
    /// Where the payload is stored when the last attempt has failed.
    pub keys_if_undelivered: Vec<Key>,
}

impl Kv {
    /// The queue with this name. Nothing is stored until a message is sent to it.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("remind ada").queue("mail"))?;
    /// assert_eq!(kv.queue("mail").len()?, 1);
    /// assert_eq!(kv.queue("nobody has sent anything to").len()?, 0);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn queue(&self, name: impl AsRef<str>) -> Queue {
        Queue::new(self, &self.lines().line(name.as_ref()))
    }

    /// Sends a message, or a value as one to the queue `""`, and returns once receivers see it.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("hello")?;
    /// kv.enqueue(Enqueue::new("hello").queue("greetings"))?;
    /// assert_eq!(icecore::Queue::names(&kv)?, ["", "greetings"]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Atomic::commit`](crate::Atomic::commit).
    pub fn enqueue(&self, message: impl Into<Enqueue>) -> Result<Versionstamp, Error> {
        committed(self.atomic().enqueue(message).commit()?)
    }
}

impl Queue {
    fn new(kv: &Kv, line: &Arc<Line>) -> Queue {
        Queue { line: Arc::clone(line), kv: kv.clone() }
    }

    /// The names of the queues that have messages, in order.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv, Queue};
    ///
    /// let kv = Kv::in_memory()?;
    /// for name in ["print", "mail", "print"] {
    ///     kv.enqueue(Enqueue::new("hello").queue(name))?;
    /// }
    /// assert_eq!(Queue::names(&kv)?, ["mail", "print"]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn names(kv: &Kv) -> Result<Vec<String>, Error> {
        let snapshot = kv.store().here("queues to look into")?.snapshot()?;
        let (mut start, end) = ([QUEUE, format::MESSAGES].to_vec(), [QUEUE, format::MESSAGES + 1]);
        let mut names = Vec::new();
        while let Some(key) = snapshot.scan(&start, &end).keys().next() {
            let key = key?;
            let (name, _) = split_name(&key).map_err(|bad| Error::bad_queue("", bad))?;
            start = end_of(&format::messages_of(&name));
            names.push(name);
        }
        Ok(names)
    }

    /// The name of the queue.
    ///
    /// ```
    /// let kv = icecore::Kv::in_memory()?;
    /// assert_eq!(kv.queue("mail").name(), "mail");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.line.name
    }

    /// How many messages are in the queue: those that are ready, those that will be, and those
    /// that somebody has received and not settled. It walks over all of them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("now")?;
    /// kv.enqueue(Enqueue::new("later").delay(Duration::from_secs(60)))?;
    /// let queue = kv.queue("");
    /// let message = queue.receive()?.expect("the store is open");
    /// assert_eq!(queue.len()?, 2);
    /// message.finish()?;
    /// assert_eq!(queue.len()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn len(&self) -> Result<u64, Error> {
        let (snapshot, first) = self.line.look(self.kv.store().here("queues to look into")?)?;
        Ok(snapshot.count(&first, &end_of(&self.line.messages))?)
    }

    /// Whether no message is in the queue.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// assert!(kv.queue("").is_empty()?);
    /// kv.enqueue("hello")?;
    /// assert!(!kv.queue("").is_empty()?);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        let (snapshot, first) = self.line.look(self.kv.store().here("queues to look into")?)?;
        let mut keys = snapshot.scan(&first, &end_of(&self.line.messages)).keys();
        Ok(keys.next().transpose()?.is_none())
    }

    /// How many messages somebody has received and not settled.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue("hello")?;
    /// let queue = kv.queue("");
    /// let message = queue.receive()?.expect("the store is open");
    /// assert_eq!(queue.in_work(), 1);
    /// message.finish()?;
    /// assert_eq!(queue.in_work(), 0);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn in_work(&self) -> usize {
        self.line.leased()
    }

    /// The first messages, at most `limit`, all of one moment, without receiving them: also those
    /// that are not ready, and those that somebody has received.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv, Value};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("later").delay(Duration::from_secs(60)))?;
    /// kv.enqueue("now")?;
    /// let waiting = kv.queue("").peek(10)?;
    /// assert_eq!(waiting[0].payload, Value::from("now"));
    /// assert_eq!(waiting[1].ready_at, waiting[1].enqueued_at + Duration::from_secs(60));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn peek(&self, limit: usize) -> Result<Vec<Waiting>, Error> {
        let (snapshot, first) = self.line.look(self.kv.store().here("queues to look into")?)?;
        self.waiting(&snapshot, &first, limit)
    }

    /// As [`Queue::peek`], for the messages that come after one that was seen before: the next page
    /// of a queue that is longer than one wants to hold. Each page is of a moment of its own.
    ///
    /// ```
    /// use icecore::{Kv, Value};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().enqueue("one").enqueue("two").enqueue("three").commit()?;
    /// let queue = kv.queue("");
    /// let page = queue.peek(2)?;
    /// let next = queue.peek_after(&page[1], 2)?;
    /// assert_eq!(next.len(), 1);
    /// assert_eq!(next[0].payload, Value::from("three"));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn peek_after(&self, seen: &Waiting, limit: usize) -> Result<Vec<Waiting>, Error> {
        let since_1970 = seen.ready_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let deadline_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let start = Spot { deadline_ms, id: seen.id }.next().message_key(&self.line.messages);
        let (snapshot, first) = self.line.look(self.kv.store().here("queues to look into")?)?;
        self.waiting(&snapshot, &first.max(start), limit)
    }

    /// The messages from the key `first` on.
    fn waiting(
        &self,
        snapshot: &engine::Snapshot,
        first: &[u8],
        limit: usize,
    ) -> Result<Vec<Waiting>, Error> {
        let (name, end) = (&self.line.name, end_of(&self.line.messages));
        let waiting = snapshot.scan(first, &end).take(limit).map(|item| {
            let item = item?;
            let spot = self.line.spot(item.key())?;
            let decoded = MessageRow::decode(&item.value);
            let (row, payload) = decoded.map_err(|bad| Error::bad_queue(name, bad))?;
            let record = snapshot.get(&spot.id.attempt_key(name))?;
            let (attempts, _) = attempts(record.as_ref(), name)?;
            let (enqueued_at, ready_at) = (moment(row.enqueued_ms), moment(spot.deadline_ms));
            let backoff = row.backoff_ms.iter().copied().map(Duration::from_millis).collect();
            let keys_if_undelivered = row.dead_letters;
            let id = spot.id;
            Ok(Waiting {
                id,
                payload,
                attempts,
                enqueued_at,
                ready_at,
                backoff,
                keys_if_undelivered,
            })
        });
        waiting.collect()
    }

    /// Waits for a message, and receives it: notes the attempt, with the store's default
    /// durability, and takes a lease that lives as long as the message. `None` once the store is
    /// closed.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// let queue = kv.queue("");
    /// let receiver = std::thread::spawn(move || queue.receive()?.unwrap().finish());
    /// kv.enqueue("hello")?;
    /// receiver.join().unwrap()?;
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::set`] and [`Kv::get`]. No message is lost by it. When a message is to be given up
    /// and its dead letters exceed a limit of this store, because it was sent under wider ones, that
    /// is told once, by [`LimitExceeded`](crate::ErrorKind::LimitExceeded): then the message is set
    /// aside, so that others come, until the store is opened again.
    pub fn receive(&self) -> Result<Option<Message>, Error> {
        receive::receive(self, || false)
    }

    /// Receives the first message that is ready; `None` if none is.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let kv = Kv::in_memory()?;
    /// let queue = kv.queue("");
    /// assert!(queue.try_receive()?.is_none());
    /// kv.enqueue("hello")?;
    /// queue.try_receive()?.expect("there is one").finish()?;
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Queue::receive`], and [`Closed`](crate::ErrorKind::Closed).
    pub fn try_receive(&self) -> Result<Option<Message>, Error> {
        while let Some(begin) = self.begin_ready()? {
            if let Some(message) = begin.commit()? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Takes a lease on the first message that is ready.
    fn begin_ready(&self) -> Result<Option<Begin>, Error> {
        match self.line.pick(self.kv.store().here(RECEIVING)?, None)? {
            Pick::Ready(ready, lease) => Begin::new(&self.kv, ready, lease).map(Some),
            Pick::Unseen(_) | Pick::Nothing => Ok(None),
            Pick::Closed => Err(closed()),
        }
    }

    /// As [`Queue::receive`], for any executor, and without blocking a thread.
    ///
    /// A message that is dropped fails, which blocks until that is committed: in a task rather
    /// await [`Message::finish_async`] or [`Message::fail_async`].
    ///
    /// ```
    /// # fn block_on<F: std::future::Future>(future: F) -> F::Output {
    /// #     struct Unpark(std::thread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// #     let mut context = std::task::Context::from_waker(&waker);
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut context) {
    /// #             std::task::Poll::Ready(output) => break output,
    /// #             std::task::Poll::Pending => std::thread::park(),
    /// #         }
    /// #     }
    /// # }
    /// # block_on(async {
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("soon").delay(Duration::from_millis(5)))?;
    /// let message = kv.queue("").receive_async().await?.expect("the store is open");
    /// message.finish_async().await?;
    /// # Ok::<(), icecore::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn receive_async(&self) -> Receive {
        Receive::new(self.clone())
    }

    /// Starts threads that receive messages and call `handler` with each. When it returns `Ok`,
    /// the message is finished; when it returns an error or panics, the message has failed.
    ///
    /// Several listeners share the messages of the queue. When the store is closed, they end;
    /// handlers that are running then come to their end, but what they did is not noted: their
    /// messages are received again when the store is open again.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use icecore::{Kv, ListenOptions};
    ///
    /// let kv = Kv::in_memory()?;
    /// let (done, results) = mpsc::channel();
    /// let listener = kv.queue("").listen(ListenOptions { concurrency: 4 }, move |message| {
    ///     done.send(message.id())
    /// })?;
    /// for greeting in ["hello", "salut", "hallo"] {
    ///     kv.enqueue(greeting)?;
    /// }
    /// assert_eq!(results.iter().take(3).count(), 3);
    /// listener.stop()?;
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed),
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a concurrency of 0, and
    /// [`Io`](crate::ErrorKind::Io) when a thread cannot be started. Threads that meet an error
    /// later end, unless it [is retryable](Error::is_retryable) or tells of a message that cannot be
    /// given up; [`Listener::stop`] tells it.
    pub fn listen<E>(
        &self,
        options: ListenOptions,
        handler: impl Fn(&Message) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Listener, Error> {
        if !self.line.is_open(self.kv.store().here(RECEIVING)?)? {
            return Err(closed());
        }
        Listener::start(self, options, handler)
    }
}

/// What only a store in this process has.
const RECEIVING: &str = "messages to receive";

fn closed() -> Error {
    Error::with_text(ErrorKind::Closed, "Queue already closed", "")
}

#[cfg(test)]
mod tests;
