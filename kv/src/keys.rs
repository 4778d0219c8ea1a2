//! Walks over keys whose values are not read.

use std::iter::FusedIterator;

use crate::error::Error;
use crate::key::Key;
use crate::limits::Limits;
use crate::selector::Selector;
use crate::store::Picture;
use crate::walk::{KeysAlone, Walk};

/// The keys of a selector, all of one moment, in order; made by [`Kv::keys`](crate::Kv::keys) and
/// [`Snapshot::keys`](crate::Snapshot::keys).
///
/// Settings and ends are those of a [`List`](crate::List), and so are cursors.
///
/// ```
/// use icecore::{Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// for name in ["ada", "bob", "eve"] {
///     kv.set(key!["users", name], vec![0; 60_000])?;
/// }
/// let mut keys = kv.keys(prefix!["users"]);
/// assert_eq!(keys.next().unwrap()?, key!["users", "ada"]);
/// assert_eq!(keys.next_back().unwrap()?, key!["users", "eve"]);
/// assert_eq!(keys.count(), 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is read until keys are taken"]
pub struct Keys {
    walk: Walk<KeysAlone>,
}

impl Keys {
    pub(crate) fn new(
        picture: Result<Picture, Error>,
        limits: &Limits,
        selector: Selector,
    ) -> Keys {
        Keys { walk: Walk::new(picture, limits, selector) }
    }

    /// The same keys in the opposite order.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key!["b"], 2).commit()?;
    /// let keys: Vec<_> = kv.keys(..).reverse().collect::<Result<_, _>>()?;
    /// assert_eq!(keys, [key!["b"], key!["a"]]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn reverse(mut self) -> Keys {
        self.walk.set(|settings| settings.reversed = !settings.reversed);
        self
    }

    /// Ends after `keys` keys, at least one, from whichever end they were taken.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for id in 0..9 {
    ///     kv.set(key!["jobs", id], "")?;
    /// }
    /// assert_eq!(kv.keys(prefix!["jobs"]).limit(2).count(), 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn limit(mut self, keys: usize) -> Keys {
        self.walk.set(|settings| settings.limit = Some(keys));
        self
    }

    /// Goes on where another walk or list stopped, as [`List::cursor`](crate::List::cursor).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key!["b"], 2).commit()?;
    /// let mut list = kv.list(..).limit(1);
    /// list.next().unwrap()?;
    /// let mut rest = kv.keys(..).cursor(&list.cursor_after()?);
    /// assert_eq!(rest.next().unwrap()?, key!["b"]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn cursor(mut self, cursor: &str) -> Keys {
        self.walk.set(|settings| cursor.clone_into(&mut settings.cursor));
        self
    }

    /// The cursor behind the last key, as [`List::cursor_after`](crate::List::cursor_after).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key!["b"], 2).commit()?;
    /// let mut pages = 0;
    /// let mut cursor = String::new();
    /// loop {
    ///     let mut page = kv.keys(..).cursor(&cursor).limit(1);
    ///     if page.next().transpose()?.is_none() {
    ///         break;
    ///     }
    ///     cursor = page.cursor_after()?;
    ///     pages += 1;
    /// }
    /// assert_eq!(pages, 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) before the first key.
    pub fn cursor_after(&self) -> Result<String, Error> {
        self.walk.cursor_after()
    }

    fn take(&mut self, from_front: bool) -> Option<Result<Key, Error>> {
        Some(self.walk.take(from_front)?.map(Key::from_stored))
    }
}

impl Iterator for Keys {
    type Item = Result<Key, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(true)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.walk.left_at_most())
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(false)
    }
}

impl FusedIterator for Keys {}
