//! One way through a selector: what lists of entries and walks over keys have in common.
//!
//! 1. The moment is fixed when the walk is made, of a store in this process; elsewhere each batch has
//!    its own. What it is asked for is looked at when the first
//!    item is taken, and whatever is wrong with it is the first item.
//! 2. After an error the walk is at its end for good.
//! 3. The cursor follows what was taken from the front, in the direction of the walk.

mod visit;

use icecore_engine as engine;
use icecore_engine::{Record, Scan};

use crate::cursor;
use crate::error::Error;
use crate::limits::{Limit, Limits, at_most};
use crate::list::Consistency;
#[cfg(feature = "remote")]
use crate::remote::Batches;
use crate::selector::{Bounds, Selector};
use crate::store::Picture;

/// What a walk goes over: entries, or only their keys.
pub(crate) trait Source: DoubleEndedIterator<Item = Result<Self::Found, Error>> {
    type Found;

    /// Begins with what lies in `[start, end)`.
    fn open(picture: &Picture, start: &[u8], end: &[u8], settings: &Settings) -> Self;
    fn key(found: &Self::Found) -> &[u8];
}

/// Entries: keys in their stored form, and what they hold.
#[derive(Debug)]
pub(crate) enum Entries {
    Here(Scan),
    #[cfg(feature = "remote")]
    There(Batches),
}

/// Keys in their stored form.
#[derive(Debug)]
pub(crate) enum KeysAlone {
    Here(engine::Keys),
    #[cfg(feature = "remote")]
    There(Batches),
}

impl Source for Entries {
    type Found = (Vec<u8>, Record);

    #[cfg_attr(not(feature = "remote"), expect(unused_variables, reason = "for stores elsewhere"))]
    fn open(picture: &Picture, start: &[u8], end: &[u8], settings: &Settings) -> Entries {
        match picture {
            Picture::Here(snapshot) => Entries::Here(snapshot.scan(start, end)),
            #[cfg(feature = "remote")]
            Picture::There(remote) => Entries::There(Batches::new(remote, start, end, settings)),
        }
    }

    fn key(found: &(Vec<u8>, Record)) -> &[u8] {
        &found.0
    }
}

/// Key and record of an item.
pub(crate) fn parts(item: Result<engine::Item, engine::Error>) -> Result<(Vec<u8>, Record), Error> {
    let mut item = item?;
    let value = std::mem::take(&mut item.value);
    let record = Record { stamp: item.stamp, value, expires_at: item.expires_at };
    Ok((item.into_key(), record))
}

impl Iterator for Entries {
    type Item = Result<(Vec<u8>, Record), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Entries::Here(scan) => scan.next().map(parts),
            #[cfg(feature = "remote")]
            Entries::There(batches) => batches.next(),
        }
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Entries::Here(scan) => scan.next_back().map(parts),
            #[cfg(feature = "remote")]
            Entries::There(batches) => batches.next_back(),
        }
    }
}

impl KeysAlone {
    /// The keys in `[start, end)`.
    pub(crate) fn between(picture: &Picture, start: &[u8], end: &[u8]) -> KeysAlone {
        KeysAlone::open(picture, start, end, &Settings::default())
    }
}

impl Source for KeysAlone {
    type Found = Vec<u8>;

    #[cfg_attr(not(feature = "remote"), expect(unused_variables, reason = "for stores elsewhere"))]
    fn open(picture: &Picture, start: &[u8], end: &[u8], settings: &Settings) -> KeysAlone {
        match picture {
            Picture::Here(snapshot) => KeysAlone::Here(snapshot.scan(start, end).keys()),
            #[cfg(feature = "remote")]
            Picture::There(remote) => KeysAlone::There(Batches::new(remote, start, end, settings)),
        }
    }

    fn key(key: &Vec<u8>) -> &[u8] {
        key
    }
}

impl Iterator for KeysAlone {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            KeysAlone::Here(keys) => keys.next().map(|key| Ok(key?)),
            #[cfg(feature = "remote")]
            KeysAlone::There(batches) => batches.next().map(|found| found.map(|(key, _)| key)),
        }
    }
}

impl DoubleEndedIterator for KeysAlone {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            KeysAlone::Here(keys) => keys.next_back().map(|key| Ok(key?)),
            #[cfg(feature = "remote")]
            KeysAlone::There(batches) => batches.next_back().map(|found| found.map(|(key, _)| key)),
        }
    }
}

/// What a walk can be asked for, besides the selector.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) reversed: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) batch_size: Option<usize>,
    /// How fresh a walk elsewhere has to be.
    pub(crate) consistency: Consistency,
    /// Where to go on; empty at the beginning.
    pub(crate) cursor: String,
}

/// A walk, and what it was asked for.
#[derive(Debug)]
pub(crate) struct Walk<S> {
    selector: Selector,
    settings: Settings,
    state: State<S>,
    /// How many more items may be given.
    left: Option<usize>,
    /// The bounds of the selector, once the walk is open.
    bounds: Option<Bounds>,
    /// The key that was given last from the front; reused, so that it costs no memory each time.
    last: Vec<u8>,
    /// The front has met the end.
    is_exhausted: bool,
}

#[derive(Debug)]
enum State<S> {
    /// Nothing was taken yet. Without a picture there is no moment to read from.
    Ready(Result<Picture, Error>, Limits),
    Open(S),
    /// An error was told.
    Ended,
}

impl<S: Source> Walk<S> {
    /// A walk at the moment of `picture`.
    pub(crate) fn new(
        picture: Result<Picture, Error>,
        limits: &Limits,
        selector: Selector,
    ) -> Walk<S> {
        Walk {
            selector,
            settings: Settings::default(),
            state: State::Ready(picture, limits.clone()),
            left: None,
            bounds: None,
            last: Vec::new(),
            is_exhausted: false,
        }
    }

    /// Changes the settings, unless the walk has begun.
    pub(crate) fn set(&mut self, change: impl FnOnce(&mut Settings)) {
        if matches!(self.state, State::Ready(..)) {
            change(&mut self.settings);
        }
    }

    /// The cursor behind the item that was given last from the front.
    pub(crate) fn cursor_after(&self) -> Result<String, Error> {
        match &self.bounds {
            _ if self.is_exhausted => Ok(String::new()),
            Some(bounds) if !self.last.is_empty() => Ok(cursor::cursor(bounds, &self.last)),
            _ if !self.settings.cursor.is_empty() => Ok(self.settings.cursor.clone()),
            _ => Err(Error::invalid("Cannot get cursor before first iteration", "")),
        }
    }

    /// How many items are left at most, if that is known. An error may come instead of one.
    pub(crate) fn left_at_most(&self) -> Option<usize> {
        match self.state {
            State::Ready(..) => self.settings.limit.map(|limit| limit.max(1)),
            State::Open(_) => self.left,
            State::Ended => Some(0),
        }
    }

    /// There is nothing more to take, after an error.
    pub(crate) fn end(&mut self) {
        self.state = State::Ended;
    }

    /// The next item from the front, or from the back.
    pub(crate) fn take(&mut self, from_front: bool) -> Option<Result<S::Found, Error>> {
        let taken = self.advance(from_front);
        match &taken {
            Some(Ok(found)) => {
                self.left = self.left.map(|left| left - 1);
                if from_front {
                    self.last.clear();
                    self.last.extend_from_slice(S::key(found));
                }
            }
            Some(Err(_)) => self.end(),
            None => {}
        }
        taken
    }

    fn advance(&mut self, from_front: bool) -> Option<Result<S::Found, Error>> {
        if let Err(error) = self.begin() {
            return Some(Err(error));
        }
        let State::Open(source) = &mut self.state else { return None };
        // The limit is not the end of what there is: the cursor stays.
        if self.left == Some(0) {
            return None;
        }
        let forwards = from_front != self.settings.reversed;
        let found = if forwards { source.next() } else { source.next_back() };
        self.is_exhausted |= found.is_none() && from_front;
        found
    }

    /// Opens the walk, unless it is.
    fn begin(&mut self) -> Result<(), Error> {
        if let State::Ready(picture, limits) = &self.state {
            let (source, bounds) = self.open(picture.clone(), limits)?;
            (self.left, self.bounds) = (self.settings.limit, Some(bounds));
            self.state = State::Open(source);
        }
        Ok(())
    }

    /// Looks at everything that was asked for.
    fn open(&self, picture: Result<Picture, Error>, limits: &Limits) -> Result<(S, Bounds), Error> {
        let Settings { reversed, limit, batch_size, cursor, consistency: _ } = &self.settings;
        positive("Limit", *limit)?;
        positive("batchSize", *batch_size)?;
        let bounds = self.selector.resolved()?;
        let rest = cursor::behind(bounds, cursor, *reversed)?;
        rest.check_size(limits)?;
        let batch = batch_size.unwrap_or(0);
        at_most(Limit::ListBatchEntries, limits.list_batch_entries, batch, String::new)?;
        let source = S::open(&picture?, &rest.start, &rest.end, &self.settings);
        Ok((source, bounds.clone()))
    }
}

fn positive(what: &str, number: Option<usize>) -> Result<(), Error> {
    if number == Some(0) {
        let text = format!("{what} must be a positive integer: received 0");
        return Err(Error::invalid(text, ""));
    }
    Ok(())
}
