//! What a program says of a message that it sends.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use icecore_engine as engine;
use icecore_model::key::VERSIONSTAMP_PART_BYTES;

use super::format::{self, MessageRow};
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::limits::{Counting, Limit, Limits, at_most};
use crate::value::Value;

/// The retries of a message that names none: five, after 0.1, 1, 5, 30 and 60 seconds.
pub(crate) const DEFAULT_BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// The longest name of a queue, so that every key of a queue is one that the engine takes.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// The last moment at which a message can become ready: no byte of it is mistaken for a part of
/// the queue's name.
const DEADLINE_MS_MAX: u64 = u64::MAX / 2;

/// The message and its attempts; and the same of another one, which is finished in that commit.
const GIVE_UP_DELETIONS: usize = 4;

/// What a commit takes for an effect at most, besides key and value: a tag and two lengths.
const EFFECT_BYTES_MAX: usize = 11;

/// A message that is about to be sent: [`Kv::enqueue`](crate::Kv::enqueue),
/// [`Atomic::enqueue`](crate::Atomic::enqueue).
///
/// ```
/// use std::time::Duration;
/// use icecore::{Enqueue, Kv, key};
///
/// let kv = Kv::in_memory()?;
/// let message = Enqueue::new("remind ada")
///     .queue("mail")
///     .delay(Duration::from_secs(3600))
///     .backoff([Duration::from_secs(1), Duration::from_secs(60)])
///     .keys_if_undelivered([key!["undelivered", "ada"]]);
/// kv.enqueue(message)?;
/// kv.enqueue("for the queue without a name")?;
/// assert_eq!((kv.queue("mail").len()?, kv.queue("").len()?), (1, 1));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "nothing is sent before it is enqueued"]
pub struct Enqueue {
    queue: String,
    payload: Value,
    delay: Delay,
    backoff: Option<Vec<Duration>>,
    dead_letters: Vec<Key>,
}

/// When a message becomes ready.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Delay {
    /// So long after it was sent.
    For(Duration),
    /// At this moment.
    Until(SystemTime),
}

impl Enqueue {
    /// A message with this payload, for the queue `""`, ready at once.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv, Value};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("hello"))?;
    /// assert_eq!(kv.queue("").peek(1)?[0].payload, Value::from("hello"));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn new(payload: impl Into<Value>) -> Enqueue {
        Enqueue {
            queue: String::new(),
            payload: payload.into(),
            delay: Delay::For(Duration::ZERO),
            backoff: None,
            dead_letters: Vec::new(),
        }
    }

    /// For the queue with this name, of at most 1,024 bytes. A queue exists while it has messages.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("remind ada").queue("mail"))?;
    /// assert_eq!((kv.queue("mail").len()?, kv.queue("").len()?), (1, 0));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn queue(mut self, name: impl Into<String>) -> Enqueue {
        self.queue = name.into();
        self
    }

    /// Ready only so long after it was sent, by the store's clock; counted in milliseconds,
    /// rounded up. At most 30 days, see [`Limits::enqueue_delay`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("later").delay(Duration::from_secs(3600)))?;
    /// assert!(kv.queue("").try_receive()?.is_none());
    /// assert_eq!(kv.queue("").len()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn delay(mut self, delay: Duration) -> Enqueue {
        self.delay = Delay::For(delay);
        self
    }

    /// Ready only at this moment, by the store's clock, counted in milliseconds, rounded up; at once
    /// if it has passed. As far ahead as a [delay](Enqueue::delay) may be.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// let new_year = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_800);
    /// kv.enqueue(Enqueue::new("happy 2000").ready_at(new_year))?;
    /// assert_eq!(kv.queue("").peek(1)?[0].ready_at, new_year);
    /// assert!(kv.queue("").try_receive()?.is_some());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn ready_at(mut self, moment: SystemTime) -> Enqueue {
        self.delay = Delay::Until(moment);
        self
    }

    /// How long to wait after each failure; after the last one there is no further attempt. None
    /// at all: one attempt. The default is 0.1, 1, 5, 30 and 60 seconds. At most five of at most an
    /// hour, see [`Limits::backoff_intervals`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Enqueue, Kv};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.enqueue(Enqueue::new("twice").backoff([Duration::ZERO]))?;
    /// let queue = kv.queue("");
    /// queue.receive()?.expect("the store is open").fail()?;
    /// let second = queue.receive()?.expect("the store is open");
    /// assert!(second.attempt() == 2 && second.is_last_attempt());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn backoff(mut self, intervals: impl IntoIterator<Item = Duration>) -> Enqueue {
        self.backoff = Some(intervals.into_iter().collect());
        self
    }

    /// Where the payload is stored when the last attempt has failed: it becomes the value of each
    /// of these keys, all in one commit: a message is refused whose dead letters together exceed the
    /// engine's largest one, 64 MiB unless the limits are wider. Without any key it is lost then. At
    /// most ten, see [`Limits::dead_letter_keys`].
    /// The empty key is refused, which Deno's runtime takes: nothing under it can be read.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let message = Enqueue::new("remind ada").backoff([]);
    /// kv.enqueue(message.keys_if_undelivered([key!["failed", 1]]))?;
    /// kv.queue("").receive()?.expect("the store is open").fail()?;
    /// assert_eq!(kv.get(key!["failed", 1])?.str()?, "remind ada");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn keys_if_undelivered(mut self, keys: impl IntoIterator<Item: Into<Key>>) -> Enqueue {
        self.dead_letters = keys.into_iter().map(Into::into).collect();
        self
    }

    /// What Deno looks at when a message is named, before it looks at the whole operation.
    pub(crate) fn check_times(&self, limits: &Limits) -> Result<(), Error> {
        if let Delay::For(delay) = self.delay {
            check_delay(limits, delay)?;
        }
        let backoff = self.backoff.as_deref().unwrap_or_default();
        at_most(Limit::BackoffIntervals, limits.backoff_intervals, backoff.len(), String::new)?;
        let max = limits.backoff_interval;
        match backoff.iter().enumerate().find(|(_, interval)| **interval > max) {
            Some((index, got)) => Err(too_long(
                Limit::BackoffInterval,
                max,
                *got,
                format!("Invalid backoffSchedule, interval at index {index} is invalid"),
            )),
            None => Ok(()),
        }
    }

    /// The rest of what Deno looks at, when all keys and values of the operation are right.
    pub(crate) fn check_sizes(&self, limits: &Limits) -> Result<(), Error> {
        let place = || format!("a message to the queue {:?}", self.queue);
        at_most(Limit::PayloadBytes, limits.value_bytes, self.payload.byte_len(), place)?;
        let keys = self.dead_letters.len();
        at_most(Limit::DeadLetterKeys, limits.dead_letter_keys, keys, place)?;
        check_name(&self.queue)
    }

    /// When the message is ready, if it is sent at `now_ms`.
    fn deadline_ms(&self, limits: &Limits, now_ms: u64) -> Result<u64, Error> {
        let deadline_ms = match self.delay {
            Delay::For(delay) => now_ms.saturating_add(ms(delay)),
            Delay::Until(moment) => {
                let moment_ms =
                    ms(moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
                check_delay(limits, Duration::from_millis(moment_ms.saturating_sub(now_ms)))?;
                moment_ms
            }
        };
        Ok(deadline_ms.min(DEADLINE_MS_MAX))
    }

    /// What is sent to a store elsewhere.
    #[cfg(feature = "remote")]
    pub(crate) fn parts(&self, limits: &Limits, now_ms: u64) -> Result<EnqueueParts<'_>, Error> {
        Ok(EnqueueParts {
            queue: &self.queue,
            payload: &self.payload,
            deadline_ms: self.deadline_ms(limits, now_ms)?,
            backoff: self.backoff.as_deref(),
            dead_letters: &self.dead_letters,
        })
    }

    pub(crate) fn dead_letters(&self) -> &[Key] {
        &self.dead_letters
    }

    /// What counts as a part of the operation: payload, four bytes for each interval, and the
    /// keys, which Deno's runtime leaves out.
    pub(crate) fn weight(&self, counting: Counting) -> usize {
        let keys: usize = match counting {
            Counting::Manual => self.dead_letters.iter().map(|key| key.encoded().len()).sum(),
            Counting::Runtime => 0,
        };
        let backoff = self.backoff.as_ref().map_or(0, |intervals| 4 * intervals.len());
        self.payload.byte_len().saturating_add(keys).saturating_add(backoff)
    }

    /// What is stored when the message is sent at `now_ms`, as number `index` of its operation. A
    /// message that this engine could never give up is refused, and one for a moment too far ahead.
    pub(crate) fn prepare(
        &self,
        limits: &Limits,
        options: &engine::Options,
        now_ms: u64,
        index: u32,
    ) -> Result<PreparedMessage, Error> {
        let deadline_ms = self.deadline_ms(limits, now_ms)?;
        let backoff = self.backoff.as_deref().unwrap_or(&DEFAULT_BACKOFF);
        let row = MessageRow {
            enqueued_ms: now_ms,
            backoff_ms: backoff.iter().copied().map(ms).collect(),
            dead_letters: self.dead_letters.clone(),
            payload: Bytes::copy_from_slice(&self.payload.stored()),
        };
        let mut prefix = format::messages_of(&self.queue);
        prefix.extend_from_slice(&deadline_ms.to_be_bytes());
        let key_bytes = prefix.len() + VERSIONSTAMP_PART_BYTES + size_of_val(&index);
        self.check_dead_letters(options, key_bytes, row.payload.len())?;
        Ok(PreparedMessage { prefix, suffix: index.to_be_bytes(), value: row.encode() })
    }

    /// Refuses dead letters that do not fit into one commit of the engine, with what else that
    /// commit does. Keys and payload have the lengths of their stored forms.
    fn check_dead_letters(
        &self,
        options: &engine::Options,
        key_bytes: usize,
        payload_bytes: usize,
    ) -> Result<(), Error> {
        let place = || format!("a message to the queue {:?}", self.queue);
        let mut commit_bytes = GIVE_UP_DELETIONS * (key_bytes + EFFECT_BYTES_MAX);
        for key in &self.dead_letters {
            // Without the byte of the keyspace, which is the engine's.
            let (max, got) = (options.key_bytes_max.saturating_sub(1), key.encoded().len());
            at_most(Limit::Engine("a dead-letter key"), max, got, place)?;
            let letter_bytes = key.stored().len() + payload_bytes + EFFECT_BYTES_MAX;
            commit_bytes = commit_bytes.saturating_add(letter_bytes);
        }
        if self.dead_letters.is_empty() {
            return Ok(());
        }
        let limit = Limit::Engine("the commit of all dead letters of a message");
        at_most(limit, options.commit_bytes_max, commit_bytes, place)
    }
}

/// What a message consists of.
#[cfg(feature = "remote")]
pub(crate) struct EnqueueParts<'a> {
    pub(crate) queue: &'a str,
    pub(crate) payload: &'a Value,
    pub(crate) deadline_ms: u64,
    pub(crate) backoff: Option<&'a [Duration]>,
    pub(crate) dead_letters: &'a [Key],
}

impl<T: Into<Value>> From<T> for Enqueue {
    fn from(payload: T) -> Enqueue {
        Enqueue::new(payload)
    }
}

/// A message in the form from which the engine's mutation is borrowed.
pub(crate) struct PreparedMessage {
    prefix: Vec<u8>,
    suffix: [u8; 4],
    value: Vec<u8>,
}

impl PreparedMessage {
    pub(crate) fn engine(&self) -> engine::Mutation<'_> {
        engine::Mutation::SetVersionstamped {
            prefix: &self.prefix,
            suffix: &self.suffix,
            value: &self.value,
            expires_at: None,
        }
    }
}

/// When a message that has failed is ready again.
pub(crate) fn deadline_after(now_ms: u64, backoff_ms: u64) -> u64 {
    now_ms.saturating_add(backoff_ms).min(DEADLINE_MS_MAX)
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    at_most(Limit::Engine("the name of a queue"), NAME_BYTES_MAX, name.len(), String::new)
}

fn check_delay(limits: &Limits, delay: Duration) -> Result<(), Error> {
    let max = limits.enqueue_delay;
    if delay <= max {
        return Ok(());
    }
    let text = format!("{}: received {}", Limit::EnqueueDelay.text(ms(max)), ms(delay));
    Err(too_long(Limit::EnqueueDelay, max, delay, text))
}

fn too_long(limit: Limit, max: Duration, got: Duration, text: String) -> Error {
    let kind = ErrorKind::LimitExceeded { limit, max: ms(max), got: ms(got) };
    let detail = format!("{} ms of at most {}", ms(got), ms(max));
    Error::with_text(kind, text, detail)
}

/// Milliseconds, rounded up: a wait is never shorter than was asked for.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
