//! Atomic operations: checks and mutations that take effect together or not at all.
//!
//! This is optimistic concurrency control as in Deno KV: read without locks, then commit on the
//! condition that what was read is still so.

use icecore_engine::{Batch, Check, Durability, Engine};
use icecore_model::Versionstamp;

use crate::Selector;
use crate::entry::Entry;
use crate::error::Error;
use crate::expiry::Expiry;
use crate::key::Key;
use crate::kv::Kv;
use crate::mutation::{Mutation, Prepared};
use crate::outcome::{Commit, Pending};
use crate::queue::{Enqueue, PreparedMessage};
#[cfg(feature = "remote")]
use crate::remote::Remote;
use crate::store::Store;
use crate::sum::SumRange;
use crate::value::Value;
use crate::weigh;

/// An atomic operation that is being put together. [`Atomic::commit`] carries it out.
///
/// All checks are compared with the state before the operation. Then its mutations take effect in
/// the order in which they were added, each seeing those before it. If one of them fails, nothing
/// of the operation remains.
///
/// ```
/// use icecore::{Commit, Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["name"], "ada")?;
/// let failed = kv
///     .atomic()
///     .set(key!["before"], 1)
///     .sum(key!["name"], 1) // It holds text.
///     .set(key!["after"], 2)
///     .commit();
/// assert!(failed.is_err());
/// assert!(!kv.get(key!["before"])?.is_present(), "nothing of it remains");
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `commit`"]
pub struct Atomic<'kv> {
    kv: &'kv Kv,
    checks: Vec<(Key, Option<Versionstamp>)>,
    /// In the order in which they are carried out.
    mutations: Vec<Mutation>,
    /// After the mutations, in this order.
    messages: Vec<Enqueue>,
}

impl<'kv> Atomic<'kv> {
    pub(crate) fn new(kv: &'kv Kv) -> Atomic<'kv> {
        Atomic { kv, checks: Vec::new(), mutations: Vec::new(), messages: Vec::new() }
    }

    /// Only if the key of `entry` is still as it was read: no commit has set or deleted it since.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["balance"], 100)?;
    /// let read = kv.get(key!["balance"])?;
    /// kv.set(key!["balance"], 100)?; // The same value, but another commit.
    /// let commit = kv.atomic().check(&read).set(key!["balance"], read.u64()? - 30).commit()?;
    /// assert_eq!(commit.versionstamp(), None);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn check(self, entry: &Entry) -> Atomic<'kv> {
        self.check_versionstamp(&entry.key, entry.versionstamp)
    }

    /// Only if `key` has no value.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let name = key!["users", "ada"];
    /// assert!(kv.atomic().check_absent(&name).set(&name, 1).commit()?.versionstamp().is_some());
    /// assert!(kv.atomic().check_absent(&name).set(&name, 2).commit()?.versionstamp().is_none());
    /// assert_eq!(kv.get(&name)?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn check_absent(self, key: impl Into<Key>) -> Atomic<'kv> {
        self.check_versionstamp(key, None)
    }

    /// Only if the value of `key` was set by this commit, or is absent for `None`.
    ///
    /// Deno accepts any twenty hexadecimal digits here, and a check for digits that no commit ever
    /// had fails. A [`Versionstamp`] has only those that end in four zeros, and no commit has any
    /// other: a program that takes such texts from others checks for [`Versionstamp::MAX`] instead,
    /// which no commit ever has.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let versionstamp = kv.set(key!["page"], "draft")?;
    /// let publish = kv.atomic().check_versionstamp(key!["page"], Some(versionstamp));
    /// let commit = publish.set(key!["page"], "published").commit()?;
    /// assert!(commit.versionstamp() > Some(versionstamp));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn check_versionstamp(
        mut self,
        key: impl Into<Key>,
        expected: Option<Versionstamp>,
    ) -> Atomic<'kv> {
        self.checks.push((key.into(), expected));
        self
    }

    /// Does `mutation` after those that were added before.
    ///
    /// ```
    /// use icecore::{Kv, Mutation, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let asked = vec![
    ///     Mutation::Set { key: key!["a"], value: 1.into(), expiry: None },
    ///     Mutation::Delete { key: key!["b"] },
    /// ];
    /// let commit = asked.into_iter().fold(kv.atomic(), |atomic, m| atomic.mutate(m)).commit()?;
    /// assert_eq!(kv.get(key!["a"])?.versionstamp, commit.versionstamp());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn mutate(mut self, mutation: Mutation) -> Atomic<'kv> {
        self.mutations.push(mutation);
        self
    }

    /// Sets `key` to `value`. An expiry that it had is gone.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let commit = kv.atomic().set(key!["user", 1], "ada").set(key!["name", "ada"], 1).commit()?;
    /// assert_eq!(kv.get(key!["user", 1])?.versionstamp, commit.versionstamp());
    /// assert_eq!(kv.get(key!["name", "ada"])?.versionstamp, commit.versionstamp());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn set(self, key: impl Into<Key>, value: impl Into<Value>) -> Atomic<'kv> {
        self.mutate(Mutation::Set { key: key.into(), value: value.into(), expiry: None })
    }

    /// Sets `key` to `value` until `expiry`: a duration from the commit on, or a moment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let session = key!["session", "4f2a"];
    /// kv.atomic().set_expiring(&session, "ada", Duration::from_secs(1800)).commit()?;
    /// assert!(kv.get(&session)?.is_present());
    /// kv.atomic().set_expiring(&session, "ada", Duration::ZERO).commit()?;
    /// assert!(!kv.get(&session)?.is_present());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn set_expiring(
        self,
        key: impl Into<Key>,
        value: impl Into<Value>,
        expiry: impl Into<Expiry>,
    ) -> Atomic<'kv> {
        let (key, value, expiry) = (key.into(), value.into(), Some(expiry.into()));
        self.mutate(Mutation::Set { key, value, expiry })
    }

    /// Sets the key that is `prefix` and one part more, the versionstamp of this commit as a
    /// string of twenty digits, to `value`. Such keys are unique, and in the order of commits.
    ///
    /// ```
    /// use icecore::{Commit, Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for line in ["first", "second"] {
    ///     kv.atomic().set_versionstamped(key!["log"], line).commit()?;
    /// }
    /// let lines: Vec<_> = kv.list(prefix!["log"]).collect::<Result<_, _>>()?;
    /// let stamp = lines[1].versionstamp.unwrap();
    /// assert_eq!(lines[1].key, key!["log", stamp.to_string()]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn set_versionstamped(
        self,
        prefix: impl Into<Key>,
        value: impl Into<Value>,
    ) -> Atomic<'kv> {
        let (prefix, value) = (prefix.into(), value.into());
        self.mutate(Mutation::SetVersionstamped { prefix, value, expiry: None })
    }

    /// Makes `key` absent.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["old name"], "ada")?;
    /// let old = kv.get(key!["old name"])?;
    /// kv.atomic().check(&old).delete(key!["old name"]).set(key!["name"], old.str()?).commit()?;
    /// assert!(!kv.get(key!["old name"])?.is_present());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn delete(self, key: impl Into<Key>) -> Atomic<'kv> {
        self.mutate(Mutation::Delete { key: key.into() })
    }

    /// Makes every key of the selection absent, however many there are, at the cost of one.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// kv.atomic().delete_range(key!["visits", 3]..key!["visits", 8]).commit()?;
    /// assert_eq!(kv.list(prefix!["visits"]).count(), 4);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn delete_range(self, selector: impl Into<Selector>) -> Atomic<'kv> {
        self.mutate(Mutation::DeleteRange { selector: selector.into() })
    }

    /// Makes every key absent that begins with the parts of `prefix` and has at least one part
    /// more.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["cart"], 1).set(key!["cart", "tea"], 2).set(key!["cars"], 3).commit()?;
    /// kv.atomic().delete_prefix(key!["cart"]).commit()?;
    /// let left: Vec<_> = kv.keys(..).collect::<Result<_, _>>()?;
    /// assert_eq!(left, [key!["cars"], key!["cart"]]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn delete_prefix(self, prefix: impl Into<Key>) -> Atomic<'kv> {
        self.delete_range(Selector::prefix(prefix))
    }

    /// Adds `operand` to the [`Value::U64`] of `key`, modulo 2^64; an absent key gets `operand`.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// for _ in 0..3 {
    ///     kv.atomic().sum(key!["visits"], 1).commit()?;
    /// }
    /// kv.atomic().max(key!["most"], 7).min(key!["least"], 7).commit()?;
    /// assert_eq!(kv.get(key!["visits"])?.u64()?, 3);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn sum(self, key: impl Into<Key>, operand: u64) -> Atomic<'kv> {
        self.sum_within(key, operand, SumRange::default())
    }

    /// Adds `operand` to the number of `key`, which is a [`Value::U64`], or a number or bigint of
    /// JavaScript; the result of the latter two has to lie in `range`. An operand that is a
    /// [`Value::U64`] wraps around at 2^64 and knows no range: as in Deno, `range` is then ignored.
    ///
    /// ```
    /// use icecore::{Kv, SumRange, Value, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let range = SumRange { max: Some(Value::number(10.0)), clamp: true, ..SumRange::default() };
    /// for _ in 0..5 {
    ///     kv.atomic().sum_within(key!["level"], Value::number(2.5), range.clone()).commit()?;
    /// }
    /// assert_eq!(kv.get(key!["level"])?.number()?, 10.0);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn sum_within(
        self,
        key: impl Into<Key>,
        operand: impl Into<Value>,
        range: SumRange,
    ) -> Atomic<'kv> {
        self.mutate(Mutation::Sum { key: key.into(), operand: operand.into(), range })
    }

    /// Gives `key` the smaller of its [`Value::U64`] and `operand`; an absent key gets `operand`.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// for millis in [31, 12, 57] {
    ///     kv.atomic().min(key!["fastest"], millis).commit()?;
    /// }
    /// assert_eq!(kv.get(key!["fastest"])?.u64()?, 12);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn min(self, key: impl Into<Key>, operand: u64) -> Atomic<'kv> {
        self.mutate(Mutation::Min { key: key.into(), operand: operand.into() })
    }

    /// Gives `key` the larger of its [`Value::U64`] and `operand`; an absent key gets `operand`.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// for score in [310, 120, 570] {
    ///     kv.atomic().max(key!["record"], score).commit()?;
    /// }
    /// assert_eq!(kv.get(key!["record"])?.u64()?, 570);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn max(self, key: impl Into<Key>, operand: u64) -> Atomic<'kv> {
        self.mutate(Mutation::Max { key: key.into(), operand: operand.into() })
    }

    /// Changes when the value of `key` expires, `None` for never. The value stays as it is and
    /// gets the versionstamp of this commit; an absent key stays absent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{Expiry, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set_expiring(key!["session"], "ada", Duration::from_secs(60))?;
    /// let expiry = Some(Expiry::In(Duration::from_secs(3600)));
    /// kv.atomic().touch(key!["session"], expiry).commit()?;
    /// kv.atomic().touch(key!["session"], None).commit()?;
    /// assert_eq!(kv.get(key!["session"])?.expires_at(), None);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn touch(self, key: impl Into<Key>, expiry: Option<Expiry>) -> Atomic<'kv> {
        self.mutate(Mutation::Touch { key: key.into(), expiry })
    }

    /// Sends a message, or a value as one to the queue `""`, if the operation takes effect.
    ///
    /// ```
    /// use icecore::{Enqueue, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let book = |seat: u64| {
    ///     let message = Enqueue::new(seat).queue("tickets");
    ///     kv.atomic().check_absent(("seat", seat)).set(("seat", seat), "taken").enqueue(message)
    /// };
    /// assert!(book(7).commit()?.versionstamp().is_some());
    /// assert!(book(7).commit()?.versionstamp().is_none());
    /// assert_eq!(kv.queue("tickets").len()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn enqueue(mut self, message: impl Into<Enqueue>) -> Atomic<'kv> {
        self.messages.push(message.into());
        self
    }

    /// Carries the operation out with the store's default durability, and returns once every
    /// later read sees it.
    ///
    /// ```
    /// use icecore::{Commit, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// match kv.atomic().check_absent(key!["id"]).set(key!["id"], 1).commit()? {
    ///     Commit::Done { versionstamp } => {
    ///         assert_eq!(kv.get(key!["id"])?.versionstamp, Some(versionstamp));
    ///     }
    ///     Commit::CheckFailed { .. } => unreachable!("the store is new"),
    /// }
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for a key, a value or an operation that
    /// is too large, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty key or an
    /// expiry beyond all times, [`TypeMismatch`](crate::ErrorKind::TypeMismatch) for a sum, minimum
    /// or maximum of what is not such a number,
    /// [`OutOfSpace`](crate::ErrorKind::OutOfSpace),
    /// [`ReadOnly`](crate::ErrorKind::ReadOnly), [`Closed`](crate::ErrorKind::Closed),
    /// [`Poisoned`](crate::ErrorKind::Poisoned) after a failed write, and what
    /// [`Kv::get`](crate::Kv::get) may meet when it reads what is checked. After any of these
    /// nothing took effect. Only after [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) it is
    /// open.
    pub fn commit(self) -> Result<Commit, Error> {
        match self.kv.store() {
            Store::Here(engine) => self.commit_with(engine.options().durability),
            #[cfg(feature = "remote")]
            Store::There(_) => self.commit_with(Durability::Sync),
        }
    }

    /// As [`Atomic::commit`], but the operation need not survive a power cut, only the end of
    /// the process.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let kv = Kv::open(&path)?;
    /// for line in 0..100 {
    ///     kv.atomic().set(key!["log", line], line).commit_buffered()?;
    /// }
    /// kv.close()?; // Now they survive a power cut, too.
    /// assert_eq!(Kv::open(&path)?.count(..)?, 100);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn commit_buffered(self) -> Result<Commit, Error> {
        self.commit_with(Durability::Buffered)
    }

    /// As [`Atomic::commit`], with this durability.
    ///
    /// ```
    /// use icecore::{Durability, Kv, key};
    ///
    /// let kv = Kv::builder_in_memory().durability(Durability::Buffered).open()?;
    /// kv.atomic().sum(key!["visits"], 1).commit()?; // As the store says.
    /// let order = kv.atomic().set(key!["order", 7], "paid").commit_with(Durability::Sync)?;
    /// assert!(order.versionstamp().is_some());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Atomic::commit`].
    pub fn commit_with(self, durability: Durability) -> Result<Commit, Error> {
        match self.kv.store() {
            Store::Here(engine) => {
                let commit = |batch: Batch<'_>| engine.commit_with(batch, durability);
                Ok(Commit::from_outcome(self.submit(engine, commit)??))
            }
            #[cfg(feature = "remote")]
            Store::There(remote) => crate::remote::commit(self.send(remote)?.wait()),
        }
    }

    /// Submits the operation, with the store's default durability, and returns a future of what
    /// became of it, for any executor. The operation goes on even if the future is dropped.
    ///
    /// No thread waits for the disk to make the commit durable. The submission itself is done by
    /// this call, in the calling thread: it reads what is checked and computed with, waits for its
    /// turn behind other writers, and is slowed down, or held back, while tables cannot be written
    /// or merged as fast as commits come. An executor that must never wait for that calls it where
    /// waiting is allowed, such as `spawn_blocking`.
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
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// let commit = kv.atomic().set(key!["greeting"], "hello").commit_async().await?;
    /// assert!(commit.versionstamp().is_some());
    /// # Ok::<(), icecore::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn commit_async(self) -> Pending {
        match self.kv.store() {
            Store::Here(engine) => self.commit_async_with(engine.options().durability),
            #[cfg(feature = "remote")]
            Store::There(_) => self.commit_async_with(Durability::Sync),
        }
    }

    /// As [`Atomic::commit_async`], with this durability.
    ///
    /// ```
    /// use icecore::{Durability, Error, Kv, key};
    ///
    /// async fn count(kv: &Kv) -> Result<(), Error> {
    ///     kv.atomic().sum(key!["visits"], 1).commit_async_with(Durability::Buffered).await?;
    ///     Ok(())
    /// }
    /// # let kv = Kv::in_memory()?;
    /// # futures_lite::future::block_on(count(&kv))?;
    /// # assert_eq!(kv.get(key!["visits"])?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn commit_async_with(self, durability: Durability) -> Pending {
        match self.kv.store() {
            Store::Here(engine) => {
                Pending::new(self.submit(engine, |batch| engine.commit_async(batch, durability)))
            }
            #[cfg(feature = "remote")]
            Store::There(remote) => Pending::there(self.send(remote)),
        }
    }

    /// Sends the operation to a store elsewhere.
    #[cfg(feature = "remote")]
    fn send(
        &self,
        remote: &Remote,
    ) -> Result<icecore_remote::Pending<icecore_wire::message::AtomicWriteOutput>, Error> {
        remote.write(self.kv.limits(), &self.checks, &self.mutations, &self.messages)
    }

    /// Puts the operation into the engine's form, and hands it over.
    fn submit<T>(
        &self,
        engine: &Engine,
        hand_over: impl FnOnce(Batch<'_>) -> T,
    ) -> Result<T, Error> {
        let limits = self.kv.limits();
        weigh::count(limits, self.checks.len(), &self.mutations, &self.messages)?;
        let now_ms = engine.now_ms();
        let checks: Vec<Check<'_>> = self
            .checks
            .iter()
            .map(|(key, expected)| Check { key: key.stored(), expected: *expected })
            .collect();
        let prepared = self.mutations.iter().filter_map(|m| m.prepare(now_ms).transpose());
        let prepared: Vec<Prepared<'_>> = prepared.collect::<Result<_, Error>>()?;
        weigh::check(limits, &self.checks, &self.mutations, &self.messages)?;
        let messages = (0..).zip(&self.messages);
        let options = engine.options();
        let messages =
            messages.map(|(index, message)| message.prepare(limits, options, now_ms, index));
        let messages: Vec<PreparedMessage> = messages.collect::<Result<_, Error>>()?;
        let mutations = prepared.iter().map(Prepared::engine);
        let mutations: Vec<_> =
            mutations.chain(messages.iter().map(PreparedMessage::engine)).collect();
        Ok(hand_over(Batch { checks: &checks, mutations: &mutations }))
    }
}
