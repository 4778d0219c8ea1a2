//! The reads of the handle. Those of a [`Snapshot`] are the same, at its moment.

use icecore_engine::Record;

use crate::children::Children;
use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;
use crate::keys::Keys;
use crate::kv::Kv;
use crate::limits::{Limit, Limits, at_most};
use crate::list::List;
use crate::selector::Selector;
use crate::snapshot::Snapshot;
use crate::store::{Picture, Store};

impl Kv {
    /// The present state of `key`.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["name"], "ada")?;
    /// assert_eq!(kv.get(key!["name"])?.str()?, "ada");
    /// let absent = kv.get(("user", 42))?; // A tuple is a key as well.
    /// assert_eq!((absent.value, absent.versionstamp), (None, None));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) or [`Io`](crate::ErrorKind::Io) when a file of the
    /// store cannot be read, [`Closed`](crate::ErrorKind::Closed),
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for a key that is too long to be stored,
    /// and [`UnknownFormat`](crate::ErrorKind::UnknownFormat) for a value of a later version.
    pub fn get(&self, key: impl Into<Key>) -> Result<Entry, Error> {
        let key = key.into();
        self.limits().check_read_key(key.encoded())?;
        let record = self.store().get(key.stored())?;
        Entry::new(key, record)
    }

    /// The present states of `keys`, all of one moment, in their order. As in Deno KV there may be
    /// ten of them, see [`Limits::get_many_keys`]; [`Kv::get_all`] takes any number.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["width"], 3).set(key!["height"], 4).commit()?;
    /// let [width, height] = kv.get_many([key!["width"], key!["height"]])?;
    /// assert_eq!(width.u64()? * height.u64()?, 12);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn get_many<K: Into<Key>, const N: usize>(
        &self,
        keys: [K; N],
    ) -> Result<[Entry; N], Error> {
        let keys = keys.map(Into::into);
        check_many(self.limits(), &keys)?;
        let records = self.store().get_many(&keys.each_ref().map(Key::stored))?;
        entries(keys, records)
    }

    /// The present states of any number of keys, all of one moment, in their order.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["user", 3], "three")?;
    /// let users = kv.get_all((0..100).map(|id| ("user", id)))?;
    /// assert_eq!(users.iter().filter(|user| user.is_present()).count(), 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`].
    pub fn get_all(&self, keys: impl IntoIterator<Item: Into<Key>>) -> Result<Vec<Entry>, Error> {
        match self.store() {
            Store::Here(_) => self.snapshot()?.get_all(keys),
            #[cfg(feature = "remote")]
            Store::There(remote) => {
                let keys: Vec<Key> = keys.into_iter().map(Into::into).collect();
                keys.iter().try_for_each(|key| self.limits().check_read_key(key.encoded()))?;
                let stored: Vec<&[u8]> = keys.iter().map(Key::stored).collect();
                let records = remote.get_many(&stored)?;
                keys.into_iter().zip(records).map(|(key, record)| Entry::new(key, record)).collect()
            }
        }
    }

    /// The entries that `selector` selects, in key order, all of the moment of this call.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// let last: Vec<u64> = kv
    ///     .list(prefix!["visits"])
    ///     .reverse()
    ///     .limit(2)
    ///     .map(|entry| entry?.u64())
    ///     .collect::<Result<_, _>>()?;
    /// assert_eq!(last, [900, 800]);
    /// let some: Vec<_> = kv.list(key!["visits", 3]..key!["visits", 5]).collect::<Result<_, _>>()?;
    /// assert_eq!(some.len(), 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn list(&self, selector: impl Into<Selector>) -> List {
        List::new(self.picture(), self.limits(), selector.into())
    }

    /// One list for each selector, all of one moment.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["cats", "tom"], 1)?;
    /// let mut lists = kv.list_many([prefix!["cats"], prefix!["dogs"]])?;
    /// kv.set(key!["dogs", "rex"], 2)?; // Too late for either.
    /// assert_eq!(lists.pop().unwrap().count(), 0);
    /// assert_eq!(lists.pop().unwrap().count(), 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn list_many(
        &self,
        selectors: impl IntoIterator<Item: Into<Selector>>,
    ) -> Result<Vec<List>, Error> {
        Ok(self.snapshot()?.list_many(selectors))
    }

    /// The keys that `selector` selects, in order, all of the moment of this call. Their values
    /// are not read.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", "alice"], 1)?;
    /// let keys: Vec<_> = kv.keys(prefix!["users"]).collect::<Result<_, _>>()?;
    /// assert_eq!(keys, [key!["users", "alice"]]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn keys(&self, selector: impl Into<Selector>) -> Keys {
        Keys::new(self.picture(), self.limits(), selector.into())
    }

    /// How many keys `selector` selects. It walks over all of them, without reading values.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// assert_eq!(kv.count(prefix!["visits"])?, 9);
    /// assert_eq!(kv.count(key!["visits", 7]..)?, 3);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`], and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a selector
    /// that makes no sense.
    pub fn count(&self, selector: impl Into<Selector>) -> Result<u64, Error> {
        match self.store() {
            Store::Here(_) => self.snapshot()?.count(selector),
            #[cfg(feature = "remote")]
            Store::There(_) => self.keys(selector).try_fold(0, |count, key| key.map(|_| count + 1)),
        }
    }

    /// The distinct parts that follow `prefix` in the keys below it: what a folder contains. Each
    /// is found by a search, however many keys lie below it.
    ///
    /// ```
    /// use icecore::{Kv, Part, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", "alice", "name"], "Alice")?;
    /// kv.set(key!["users", "alice", "age"], 30)?;
    /// kv.set(key!["users", "bob", "name"], "Bob")?;
    /// let users: Vec<Part> = kv.children(key!["users"]).collect::<Result<_, _>>()?;
    /// let names: Vec<&str> = users.iter().filter_map(Part::as_str).collect();
    /// assert_eq!(names, ["alice", "bob"]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn children(&self, prefix: impl Into<Key>) -> Children {
        Children::new(self.picture(), self.limits(), prefix.into())
    }

    /// The store as it is at this moment, for any number of reads.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["count"], 1)?;
    /// let snapshot = kv.snapshot()?;
    /// kv.set(key!["count"], 2)?;
    /// assert_eq!(snapshot.get(key!["count"])?.u64()?, 1);
    /// assert_eq!(kv.get(key!["count"])?.u64()?, 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed).
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let engine = self.store().here("snapshots over several reads")?;
        Ok(Snapshot::new(engine.snapshot()?, self.limits().clone()))
    }

    fn picture(&self) -> Result<Picture, Error> {
        self.store().picture()
    }
}

/// Refuses too many keys, and keys that are too long.
pub(crate) fn check_many(limits: &Limits, keys: &[Key]) -> Result<(), Error> {
    at_most(Limit::GetManyKeys, limits.get_many_keys, keys.len(), String::new)?;
    keys.iter().try_for_each(|key| limits.check_read_key(key.encoded()))
}

/// The entries of `keys`, by what the store says of them in the same order.
pub(crate) fn entries<const N: usize>(
    keys: [Key; N],
    records: Vec<Option<Record>>,
) -> Result<[Entry; N], Error> {
    let mut entries = keys.map(Entry::absent);
    for (entry, record) in entries.iter_mut().zip(records) {
        entry.fill(record)?;
    }
    Ok(entries)
}
