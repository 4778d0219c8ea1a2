//! Any number of reads of one moment.

use icecore_engine as engine;
use icecore_model::Versionstamp;

use crate::children::Children;
use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::list::List;
use crate::read;
use crate::selector::Selector;
use crate::store::Picture;

/// The store as it was at one moment; made by [`Kv::snapshot`](crate::Kv::snapshot). The same reads
/// give the same answers for as long as it lives, whatever is committed or expires meanwhile.
///
/// Cheap to clone, and to be shared between threads. It keeps the files and the memory that it
/// reads from, and keeps the store open; after [`Kv::close`](crate::Kv::close) its reads get
/// [`Closed`](crate::ErrorKind::Closed).
///
/// ```
/// use icecore::{Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// let versionstamp = kv.set(key!["a"], 1)?;
/// let snapshot = kv.snapshot()?;
/// kv.set(key!["a"], 2)?;
/// assert_eq!(snapshot.get(key!["a"])?.u64()?, 1);
/// assert_eq!(snapshot.count(prefix![])?, 1);
/// assert_eq!(snapshot.versionstamp(), versionstamp);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot {
    picture: engine::Snapshot,
    limits: Limits,
}

impl Snapshot {
    pub(crate) fn new(picture: engine::Snapshot, limits: Limits) -> Snapshot {
        Snapshot { picture, limits }
    }

    /// The versionstamp of the newest commit that the snapshot sees; all zeros before the first.
    ///
    /// ```
    /// use icecore::{Kv, Versionstamp, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// assert_eq!(kv.snapshot()?.versionstamp(), Versionstamp::default());
    /// let versionstamp = kv.set(key!["a"], 1)?;
    /// assert_eq!(kv.snapshot()?.versionstamp(), versionstamp);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn versionstamp(&self) -> Versionstamp {
        self.picture.at()
    }

    /// The state of `key`, as [`Kv::get`](crate::Kv::get).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["name"], "ada")?;
    /// let snapshot = kv.snapshot()?;
    /// kv.delete(key!["name"])?;
    /// assert_eq!(snapshot.get(key!["name"])?.str()?, "ada");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`](crate::Kv::get).
    pub fn get(&self, key: impl Into<Key>) -> Result<Entry, Error> {
        let key = key.into();
        self.limits.check_read_key(key.encoded())?;
        let record = self.picture.get(key.stored())?;
        Entry::new(key, record)
    }

    /// The states of `keys`, as [`Kv::get_many`](crate::Kv::get_many).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["a"], 1)?;
    /// let snapshot = kv.snapshot()?;
    /// kv.set(key!["b"], 2)?;
    /// let [a, b] = snapshot.get_many([key!["a"], key!["b"]])?;
    /// assert!(a.is_present() && !b.is_present());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get_many`](crate::Kv::get_many).
    pub fn get_many<K: Into<Key>, const N: usize>(
        &self,
        keys: [K; N],
    ) -> Result<[Entry; N], Error> {
        let keys = keys.map(Into::into);
        read::check_many(&self.limits, &keys)?;
        let records = self.picture.get_many(&keys.each_ref().map(Key::stored))?;
        read::entries(keys, records)
    }

    /// The states of any number of keys, as [`Kv::get_all`](crate::Kv::get_all).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["user", 3], "ada")?;
    /// let snapshot = kv.snapshot()?;
    /// let users = snapshot.get_all((0..100).map(|id| ("user", id)))?;
    /// assert_eq!(users[3].str()?, "ada");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::get`](crate::Kv::get).
    pub fn get_all(&self, keys: impl IntoIterator<Item: Into<Key>>) -> Result<Vec<Entry>, Error> {
        keys.into_iter().map(|key| self.get(key)).collect()
    }

    /// The entries that `selector` selects, as [`Kv::list`](crate::Kv::list).
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", "ada"], 36)?;
    /// let snapshot = kv.snapshot()?;
    /// kv.set(key!["users", "bob"], 7)?;
    /// assert_eq!(snapshot.list(prefix!["users"]).count(), 1);
    /// assert_eq!(kv.list(prefix!["users"]).count(), 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn list(&self, selector: impl Into<Selector>) -> List {
        List::new(Ok(Picture::Here(self.picture.clone())), &self.limits, selector.into())
    }

    /// One list for each selector. All lists of a snapshot are of one moment.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["cats", "tom"], 1)?;
    /// let lists = kv.snapshot()?.list_many([prefix!["cats"], prefix!["dogs"]]);
    /// let counts: Vec<usize> = lists.into_iter().map(Iterator::count).collect();
    /// assert_eq!(counts, [1, 0]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn list_many(&self, selectors: impl IntoIterator<Item: Into<Selector>>) -> Vec<List> {
        selectors.into_iter().map(|selector| self.list(selector)).collect()
    }

    /// The keys that `selector` selects, as [`Kv::keys`](crate::Kv::keys).
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", "ada"], 36)?;
    /// let snapshot = kv.snapshot()?;
    /// kv.atomic().delete_prefix(key!["users"]).commit()?;
    /// let keys: Vec<_> = snapshot.keys(prefix!["users"]).collect::<Result<_, _>>()?;
    /// assert_eq!(keys, [key!["users", "ada"]]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn keys(&self, selector: impl Into<Selector>) -> Keys {
        Keys::new(Ok(Picture::Here(self.picture.clone())), &self.limits, selector.into())
    }

    /// How many keys `selector` selects, as [`Kv::count`](crate::Kv::count).
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["users", "ada"], 36)?;
    /// let snapshot = kv.snapshot()?;
    /// kv.set(key!["users", "bob"], 7)?;
    /// assert_eq!(snapshot.count(prefix!["users"])?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Kv::count`](crate::Kv::count).
    pub fn count(&self, selector: impl Into<Selector>) -> Result<u64, Error> {
        let selector = selector.into();
        let bounds = selector.resolved()?;
        bounds.check_size(&self.limits)?;
        Ok(self.picture.count(&bounds.start, &bounds.end)?)
    }

    /// The distinct parts that follow `prefix`, as [`Kv::children`](crate::Kv::children).
    ///
    /// ```
    /// use icecore::{Kv, Part, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a", 1], 1).set(key!["a", 2], 2).set(key!["b"], 3).commit()?;
    /// let children: Vec<Part> = kv.snapshot()?.children(key![]).collect::<Result<_, _>>()?;
    /// assert_eq!(children, [Part::String("a".into()), Part::String("b".into())]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn children(&self, prefix: impl Into<Key>) -> Children {
        Children::new(Ok(Picture::Here(self.picture.clone())), &self.limits, prefix.into())
    }
}
