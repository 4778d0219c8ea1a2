//! What a feed tells.

use std::fmt;
use std::ops::Bound;

use icecore_engine::keyspace::DATA;
use icecore_model::Versionstamp;

use crate::entry::Entry;
use crate::key::{ESCAPE, Key};
use crate::selector::Selector;

/// What has happened to the keys of a [`Feed`](crate::Feed), to be carried out on a copy of them.
///
/// ```
/// use icecore::{Event, Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// let mut feed = kv.watch_prefix(prefix!["users"])?;
/// while feed.try_next()?.is_some() {}
/// kv.set(key!["users", "ada"], 36)?;
/// let versionstamp = kv.delete(key!["users", "ada"])?;
/// let told = std::iter::from_fn(|| feed.try_next().transpose()).collect::<Result<Vec<_>, _>>()?;
/// let deleted = Event::Deleted { key: key!["users", "ada"], versionstamp };
/// assert_eq!(told, [deleted, Event::UpTo(versionstamp)], "the state in between is left out");
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Forget everything: the full state follows.
    Reset,
    /// The key has this value.
    Set(Entry),
    /// The key is absent.
    Deleted {
        /// The key.
        key: Key,
        /// The commit that deleted it, or the one that set it, if it has expired since and is not
        /// deleted yet.
        versionstamp: Versionstamp,
    },
    /// All keys of the range are absent, except those that events after this one set.
    DeletedRange {
        /// Which keys.
        range: KeyRange,
        /// The commit that deleted them.
        versionstamp: Versionstamp,
    },
    /// Now the copy is what the store was at this stamp: go on with
    /// [`Kv::changes`](crate::Kv::changes) since it at any time.
    UpTo(Versionstamp),
}

/// A range of keys that was deleted. Its ends need not be keys: they are encodings of keys, or
/// lie between those.
///
/// It is a [`Selector`], so that another store can carry out the same deletion:
///
/// ```
/// use icecore::{Event, Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// let mut feed = kv.watch_prefix(..)?;
/// while feed.try_next()?.is_some() {}
/// let _ = kv.atomic().delete_prefix(key!["users"]).commit()?;
/// let Some(Event::DeletedRange { range, .. }) = feed.try_next()? else { panic!() };
/// assert!(range.contains(&key!["users", "ada"]));
/// assert!(!range.contains(&key!["users"]));
///
/// let other = Kv::in_memory()?;
/// other.set(key!["users", "ada"], 1)?;
/// let _ = other.atomic().delete_range(range).commit()?;
/// assert_eq!(other.count(..)?, 0);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key and the first one after the range, as the engine knows them; not empty.
    start: Vec<u8>,
    end: Vec<u8>,
}

impl KeyRange {
    /// The range of stored keys from `start` to `end`, which lies within user data.
    pub(super) fn new(start: Vec<u8>, end: Vec<u8>) -> KeyRange {
        debug_assert!(start.first() == Some(&DATA) && start < end && end[..] <= [DATA + 1][..]);
        KeyRange { start, end }
    }

    /// Whether `key` is in the range.
    ///
    /// ```
    /// # use icecore::{Event, Kv, key, prefix};
    /// # let kv = Kv::in_memory()?;
    /// # let mut feed = kv.watch_prefix(..)?;
    /// # while feed.try_next()?.is_some() {}
    /// kv.atomic().delete_range(key!["day", 3]..key!["day", 5]).commit()?;
    /// let Some(Event::DeletedRange { range, .. }) = feed.try_next()? else { panic!() };
    /// assert!(range.contains(&key!["day", 3]) && range.contains(&key!["day", 4]));
    /// assert!(!range.contains(&key!["day", 5]));
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn contains(&self, key: &Key) -> bool {
        self.start.as_slice() <= key.stored() && key.stored() < self.end.as_slice()
    }

    /// Where the range begins: no [encoding](Key::encoded) of a key in it is below this.
    ///
    /// ```
    /// # use icecore::{Event, Kv, key, prefix};
    /// # let kv = Kv::in_memory()?;
    /// # let mut feed = kv.watch_prefix(..)?;
    /// # while feed.try_next()?.is_some() {}
    /// kv.atomic().delete_range(key!["day", 3]..key!["day", 5]).commit()?;
    /// let Some(Event::DeletedRange { range, .. }) = feed.try_next()? else { panic!() };
    /// assert_eq!(range.start_encoded(), key!["day", 3].encoded());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn start_encoded(&self) -> &[u8] {
        &self.start[1..]
    }

    /// Where the range ends: all [encodings](Key::encoded) of keys in it are below this.
    ///
    /// ```
    /// # use icecore::{Event, Kv, key, prefix};
    /// # let kv = Kv::in_memory()?;
    /// # let mut feed = kv.watch_prefix(..)?;
    /// # while feed.try_next()?.is_some() {}
    /// kv.atomic().delete_range(key!["day", 3]..key!["day", 5]).commit()?;
    /// let Some(Event::DeletedRange { range, .. }) = feed.try_next()? else { panic!() };
    /// assert_eq!(range.end_encoded(), key!["day", 5].encoded());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn end_encoded(&self) -> &[u8] {
        // No key is encoded with this byte in front, and all are below it.
        if self.end[0] == DATA { &self.end[1..] } else { &[ESCAPE] }
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.start_encoded(), self.end_encoded());
        write!(f, "KeyRange({}..{})", start.escape_ascii(), end.escape_ascii())
    }
}

impl From<KeyRange> for Selector {
    fn from(KeyRange { start, end }: KeyRange) -> Selector {
        // As keys the ends are not those of a store, but a selector only compares them.
        let end =
            if end[0] == DATA { Bound::Excluded(Key::from_stored(end)) } else { Bound::Unbounded };
        Selector::from((Bound::Included(Key::from_stored(start)), end))
    }
}

impl From<&KeyRange> for Selector {
    fn from(range: &KeyRange) -> Selector {
        range.clone().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;

    #[test]
    fn a_range_to_the_end_of_everything_holds_every_key() {
        let range = KeyRange::new(vec![DATA], vec![DATA + 1]);
        assert!(range.contains(&key![&[0xff; 9]]) && range.contains(&key![true]));
        assert!(key![true].encoded() < range.end_encoded());
        assert!(range.start_encoded().is_empty());
        assert_eq!(Selector::from(range).bounds().unwrap(), Selector::all().bounds().unwrap());
    }

    #[test]
    fn as_a_selector_a_range_has_the_same_keys() {
        let (start, end) =
            ([key!["a"].stored(), &[0]].concat(), [key!["b"].stored(), &[255]].concat());
        let range = KeyRange::new(start.clone(), end.clone());
        let selector = Selector::from(&range);
        assert_eq!(selector.bounds().unwrap(), (&start[..], &end[..]));
        assert!(!range.contains(&key!["a"]) && range.contains(&key!["a", 1]));
        assert!(range.contains(&key!["b", true]) && !range.contains(&key!["b\0"]));
    }
}
