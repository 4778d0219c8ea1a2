//! The distinct parts that follow a prefix: what is in a folder, without reading what is in its
//! folders.
//!
//! A walk over keys gives the first key below the prefix; its next part is a child. If the next
//! key lies below the same child, the walk begins anew behind all keys that could: at the child's
//! encoding followed by `FF`, which no part begins with. So a child costs at most two keys and one
//! search, however many keys it has, and children without keys of their own cost one step each.

use std::iter::FusedIterator;

use icecore_model::key::{Part, decode_first};

use crate::error::Error;
use crate::key::{ESCAPE, Key};
use crate::limits::Limits;
use crate::selector::Selector;
use crate::store::Picture;
use crate::walk::KeysAlone;

/// The distinct next parts of the keys below a prefix, in order and all of one moment; made by
/// [`Kv::children`](crate::Kv::children) and [`Snapshot::children`](crate::Snapshot::children).
/// After an error it ends.
///
/// ```
/// use icecore::{Kv, Part, key};
///
/// let kv = Kv::in_memory()?;
/// for path in [key!["src", "lib.rs"], key!["src", "queue", "a"], key!["src", "queue", "b"]] {
///     kv.set(path, "")?;
/// }
/// let names: Vec<Part> = kv.children(key!["src"]).collect::<Result<_, _>>()?;
/// assert_eq!(names, [Part::String("lib.rs".into()), Part::String("queue".into())]);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is read until parts are taken"]
pub struct Children {
    /// `None` at the end, and after an error.
    folder: Option<Folder>,
    /// Why there is nothing to walk over, until it was told.
    failure: Option<Error>,
}

/// A walk over the keys below a prefix.
#[derive(Debug)]
struct Folder {
    picture: Picture,
    keys: KeysAlone,
    /// The stored prefix and the child that was given last.
    path: Vec<u8>,
    prefix_bytes: usize,
    end: Vec<u8>,
}

impl Children {
    pub(crate) fn new(picture: Result<Picture, Error>, limits: &Limits, prefix: Key) -> Children {
        match picture.and_then(|picture| Folder::new(picture, limits, prefix)) {
            Ok(folder) => Children { folder: Some(folder), failure: None },
            Err(error) => Children { folder: None, failure: Some(error) },
        }
    }
}

impl Folder {
    fn new(picture: Picture, limits: &Limits, prefix: Key) -> Result<Folder, Error> {
        let path = prefix.stored().to_vec();
        let selector = Selector::prefix(prefix);
        let bounds = selector.resolved()?;
        bounds.check_size(limits)?;
        let keys = KeysAlone::between(&picture, &bounds.start, &bounds.end);
        Ok(Folder { picture, keys, prefix_bytes: path.len(), path, end: bounds.end.clone() })
    }

    fn next(&mut self) -> Result<Option<Part>, Error> {
        let Some(mut key) = self.keys.next().transpose()? else { return Ok(None) };
        if self.is_below_child(&key) {
            let behind = [&self.path[..], &[ESCAPE]].concat();
            self.keys = KeysAlone::between(&self.picture, &behind, &self.end);
            key = match self.keys.next().transpose()? {
                Some(key) => key,
                None => return Ok(None),
            };
        }
        match decode_first(&key[self.prefix_bytes..]) {
            Ok((part, rest)) => {
                let child = self.prefix_bytes..key.len() - rest.len();
                self.path.truncate(self.prefix_bytes);
                self.path.extend_from_slice(&key[child]);
                Ok(Some(part))
            }
            Err(malformed) => Err(Error::bad_key(Key::from_stored(key), malformed)),
        }
    }

    /// Whether `key` continues the child that was given last.
    fn is_below_child(&self, key: &[u8]) -> bool {
        let has_child = self.path.len() > self.prefix_bytes;
        let rest = key.strip_prefix(&self.path[..]);
        has_child && rest.is_some_and(|rest| rest.first() != Some(&ESCAPE))
    }
}

impl Iterator for Children {
    type Item = Result<Part, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failure.take() {
            return Some(Err(error));
        }
        let part = self.folder.as_mut()?.next();
        if !matches!(part, Ok(Some(_))) {
            self.folder = None;
        }
        part.transpose()
    }
}

impl FusedIterator for Children {}
