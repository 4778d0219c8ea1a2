//! Lists: the entries of a selector, in key order or in reverse, and on from where another list
//! stopped.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::ControlFlow;
use std::str::FromStr;

use crate::entry::Entry;
use crate::error::Error;
use crate::key::Key;
use crate::lent::EntryRef;
use crate::limits::Limits;
use crate::selector::Selector;
use crate::store::Picture;
use crate::walk::{Entries, Walk};

/// How fresh a read has to be. Deno KV offers the choice. The reads of a store in this process are
/// all strong.
///
/// ```
/// use icecore::{Consistency, Kv, key};
///
/// let kv = Kv::in_memory()?;
/// kv.set(key!["a"], 1)?;
/// let asked: Consistency = "eventual".parse()?;
/// assert_eq!(kv.list(..).consistency(asked).count(), 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Consistency {
    /// Everything that was committed before the read is seen.
    #[default]
    Strong,
    /// The read may be of an earlier moment.
    Eventual,
}

impl FromStr for Consistency {
    type Err = Error;

    fn from_str(text: &str) -> Result<Consistency, Error> {
        match text {
            "strong" => Ok(Consistency::Strong),
            "eventual" => Ok(Consistency::Eventual),
            _ => {
                let expected = "expected `strong` or `eventual`";
                Err(Error::invalid(format!("unknown variant `{text}`, {expected}"), ""))
            }
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Consistency::Strong => "strong",
            Consistency::Eventual => "eventual",
        })
    }
}

/// The entries of a selector, all of one moment, in key order; made by
/// [`Kv::list`](crate::Kv::list) and [`Snapshot::list`](crate::Snapshot::list).
///
/// Settings come first: they have no effect once an entry was taken. What is wrong with them is
/// told by the first entry. A list can be read from both ends, also in turn. After an error it
/// ends.
///
/// ```
/// use icecore::{Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// for name in ["ada", "bob", "eve"] {
///     kv.set(key!["users", name], name.len() as u64)?;
/// }
/// let mut list = kv.list(prefix!["users"]);
/// assert_eq!(list.next().unwrap()?.key, key!["users", "ada"]);
/// assert_eq!(list.next_back().unwrap()?.key, key!["users", "eve"]);
/// assert_eq!(list.count(), 1);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a list reads nothing until its entries are taken"]
pub struct List {
    walk: Walk<Entries>,
}

impl List {
    pub(crate) fn new(
        picture: Result<Picture, Error>,
        limits: &Limits,
        selector: Selector,
    ) -> List {
        List { walk: Walk::new(picture, limits, selector) }
    }

    /// The same entries in the opposite order.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// let last = kv.list(prefix!["visits"]).reverse().next().unwrap()?;
    /// assert_eq!(last.key, key!["visits", 9]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn reverse(mut self) -> List {
        self.walk.set(|settings| settings.reversed = !settings.reversed);
        self
    }

    /// Ends after `entries` entries, at least one, from whichever end they were taken.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// assert_eq!(kv.list(prefix!["visits"]).limit(2).count(), 2);
    /// assert!(kv.list(prefix!["visits"]).limit(0).next().unwrap().is_err());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn limit(mut self, entries: usize) -> List {
        self.walk.set(|settings| settings.limit = Some(entries));
        self
    }

    /// How many entries Deno would fetch at once: at least one, and at most what
    /// [`Limits::list_batch_entries`] allows. A list of a store in this process has no batches: it is
    /// of one moment, and reads entry by entry. Of a store elsewhere, each batch is one request, and
    /// of one moment; the default is the limit, or 100, and at most 500.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key!["b"], 2).commit()?;
    /// assert_eq!(kv.list(..).batch_size(1).count(), 2);
    /// let error = kv.list(..).batch_size(5000).next().unwrap().unwrap_err();
    /// assert_eq!(error.text(), "Too many entries (max 1000)");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn batch_size(mut self, entries: usize) -> List {
        self.walk.set(|settings| settings.batch_size = Some(entries));
        self
    }

    /// Goes on where another list of the same selector and direction stopped. The empty text is no
    /// cursor.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for name in ["a", "b", "c"] {
    ///     kv.set(key!["names", name], name)?;
    /// }
    /// let mut page = kv.list(prefix!["names"]).limit(2);
    /// assert_eq!(page.by_ref().count(), 2);
    /// let cursor = page.cursor_after()?;
    /// let rest: Vec<_> = kv.list(prefix!["names"]).cursor(&cursor).collect::<Result<_, _>>()?;
    /// assert_eq!(rest.len(), 1);
    /// assert_eq!(rest[0].key, key!["names", "c"]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn cursor(mut self, cursor: &str) -> List {
        self.walk.set(|settings| cursor.clone_into(&mut settings.cursor));
        self
    }

    /// How fresh the list has to be. It makes no difference to a store in this process, whose reads
    /// are all strong.
    ///
    /// ```
    /// use icecore::{Consistency, Kv, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["a"], 1)?;
    /// assert_eq!(kv.list(..).consistency(Consistency::Eventual).count(), 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn consistency(mut self, consistency: Consistency) -> List {
        self.walk.set(|settings| settings.consistency = consistency);
        self
    }

    /// The cursor that goes on behind the entry that `next` gave last: Deno's, so that either
    /// understands the other's. It is empty once `next` has given `None` because there was nothing
    /// more; after a [limit](List::limit) it is not. What `next_back` gives does not move it.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.set(key!["names", "ada"], 1)?;
    /// let mut list = kv.list(prefix!["names"]);
    /// assert!(list.cursor_after().is_err(), "there is no entry to go on behind");
    /// list.next().unwrap()?;
    /// assert_eq!(list.cursor_after()?, "AmFkYQA=");
    /// assert!(list.next().is_none());
    /// assert_eq!(list.cursor_after()?, "");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) before the first entry, unless the
    /// list was given a cursor, which it then gives back.
    pub fn cursor_after(&self) -> Result<String, Error> {
        self.walk.cursor_after()
    }

    /// Shows the entries that are left, in order, until `see` breaks or there are no more: the fastest
    /// way through many entries, as keys and values are lent where they lie, and not copied. What `see`
    /// breaks with is given back. The list can go on afterwards, also by `next`, behind the entry that
    /// was shown last. To go from the back, [reverse](List::reverse) the list.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use icecore::{Kv, ValueRef, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=9 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// let mut sum = 0;
    /// let mut list = kv.list(prefix!["visits"]);
    /// let reached = list.visit(|entry| match entry.value {
    ///     ValueRef::U64(visits) if sum < 1000 => {
    ///         sum += visits;
    ///         ControlFlow::Continue(())
    ///     }
    ///     _ => ControlFlow::Break(entry.key.to_key()),
    /// })?;
    /// assert_eq!((sum, reached), (1000, Some(key!["visits", 5])));
    /// assert_eq!(list.next().unwrap()?.key, key!["visits", 6]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the list, after which it is at its end. That an entry could not be read may turn out only
    /// after `see` has been shown it: what was made of the last one must not be used after an error.
    pub fn visit<B>(
        &mut self,
        see: impl FnMut(EntryRef<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, Error> {
        self.walk.visit(see)
    }

    fn take(&mut self, from_front: bool) -> Option<Result<Entry, Error>> {
        let entry = self
            .walk
            .take(from_front)?
            .and_then(|(key, record)| Entry::new(Key::from_stored(key), Some(record)));
        if entry.is_err() {
            self.walk.end();
        }
        Some(entry)
    }
}

impl Iterator for List {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.take(true)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.walk.left_at_most())
    }
}

impl DoubleEndedIterator for List {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.take(false)
    }
}

impl FusedIterator for List {}
