//! One way through a selector: what lists of entries and walks over keys have in common.
//!
//! 1. The moment is fixed when the walk is made; what it is asked for is looked at when the first
//!    item is taken, and whatever is wrong with it is the first item.
//! 2. After an error the walk is at its end for good.
//! 3. The cursor follows what was taken from the front, in the direction of the walk.

use icecore_engine as engine;
use icecore_engine::Scan;

use crate::cursor;
use crate::error::Error;
use crate::limits::{Limit, Limits, at_most};
use crate::selector::{Bounds, Selector};

/// What the engine walks over: entries, or only their keys.
pub(crate) trait Source:
    DoubleEndedIterator<Item = Result<Self::Found, engine::Error>>
{
    type Found;

    fn open(scan: Scan) -> Self;
    fn key(found: &Self::Found) -> &[u8];
}

impl Source for Scan {
    type Found = engine::Item;

    fn open(scan: Scan) -> Scan {
        scan
    }

    fn key(item: &engine::Item) -> &[u8] {
        item.key()
    }
}

impl Source for engine::Keys {
    type Found = Vec<u8>;

    fn open(scan: Scan) -> engine::Keys {
        scan.keys()
    }

    fn key(key: &Vec<u8>) -> &[u8] {
        key
    }
}

/// What a walk can be asked for, besides the selector.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) reversed: bool,
    pub(crate) limit: Option<usize>,
    pub(crate) batch_size: Option<usize>,
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
    Ready(Result<engine::Snapshot, Error>, Limits),
    Open(S),
    /// An error was told.
    Ended,
}

impl<S: Source> Walk<S> {
    /// A walk at the moment of `picture`.
    pub(crate) fn new(
        picture: Result<engine::Snapshot, Error>,
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
        if let State::Ready(picture, limits) = &self.state {
            match self.open(picture.clone(), limits) {
                Ok((source, bounds)) => {
                    (self.left, self.bounds) = (self.settings.limit, Some(bounds));
                    self.state = State::Open(source);
                }
                Err(error) => return Some(Err(error)),
            }
        }
        let State::Open(source) = &mut self.state else { return None };
        // The limit is not the end of what there is: the cursor stays.
        if self.left == Some(0) {
            return None;
        }
        let forwards = from_front != self.settings.reversed;
        let found = if forwards { source.next() } else { source.next_back() };
        self.is_exhausted |= found.is_none() && from_front;
        found.map(|found| found.map_err(Error::from))
    }

    /// Looks at everything that was asked for, and begins.
    fn open(
        &self,
        picture: Result<engine::Snapshot, Error>,
        limits: &Limits,
    ) -> Result<(S, Bounds), Error> {
        let Settings { reversed, limit, batch_size, cursor } = &self.settings;
        positive("Limit", *limit)?;
        positive("batchSize", *batch_size)?;
        let bounds = self.selector.resolved()?;
        let rest = cursor::behind(bounds, cursor, *reversed)?;
        rest.check_size(limits)?;
        let batch = batch_size.unwrap_or(0);
        at_most(Limit::ListBatchEntries, limits.list_batch_entries, batch, String::new)?;
        Ok((S::open(picture?.scan(&rest.start, &rest.end)), bounds.clone()))
    }
}

fn positive(what: &str, number: Option<usize>) -> Result<(), Error> {
    if number == Some(0) {
        let text = format!("{what} must be a positive integer: received 0");
        return Err(Error::invalid(text, ""));
    }
    Ok(())
}
