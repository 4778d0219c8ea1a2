//! Which keys a read or a deletion is about, in every form that Deno has, and in Rust's ranges.
//!
//! ```text
//! prefix p              [p‖00, p‖FF)    the keys below p, without p
//! prefix p, start s     [s,    p‖FF)
//! prefix p, end e       [p‖00, e)
//! start s, end e        [s,    e)
//! s..=e                 [s,    e‖00)
//! ```
//!
//! Letters stand for encodings. No part begins with `00` or `FF`, and nothing lies between a key
//! `k` and `k‖00`.
//!
//! 1. All selected keys begin with [`Bounds::common`]: the prefix, or what the encodings of start
//!    and end have in common. The cursors of lists leave it out.
//! 2. Whether a bound lies within the prefix is a matter of bytes, as in Deno: `["a\0b"]` lies
//!    below the prefix `["a"]` in this sense, and selects nothing.

use std::fmt;
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use icecore_engine::keyspace::DATA;

use crate::error::Error;
use crate::key::{ESCAPE, Key};
use crate::limits::{Limit, Limits, at_most};

/// Below the first byte of every key part.
const BEFORE_PARTS: u8 = 0x00;

/// Above the first byte of every key part.
const AFTER_PARTS: u8 = ESCAPE;

/// Which keys: all, those below a prefix, or those of a range of keys.
///
/// Wherever a selector is asked for, a range of keys will do: `a..b`, `a..=b`, `a..`, `..b`, `..`.
/// [`prefix!`](crate::prefix) makes the selector of a prefix, which can be narrowed from one side:
///
/// ```
/// use icecore::{Kv, Selector, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// for day in 1..=5 {
///     kv.set(key!["visits", day], day * 100)?;
/// }
/// assert_eq!(kv.count(prefix!["visits"])?, 5);
/// assert_eq!(kv.count(prefix!["visits"].start(key!["visits", 4]))?, 2);
/// assert_eq!(kv.count(prefix!["visits"].end(key!["visits", 4]))?, 3);
/// assert_eq!(kv.count(key!["visits", 2]..key!["visits", 4])?, 2);
/// assert_eq!(kv.count(key!["visits", 2]..=key!["visits", 4])?, 3);
/// assert_eq!(kv.count(..)?, 5);
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Selector {
    prefix: Option<Key>,
    /// Excluded only where there is no prefix.
    start: Bound<Key>,
    /// Included only where there is no prefix.
    end: Bound<Key>,
    /// What follows from the three above.
    bounds: Result<Bounds, Senseless>,
}

/// Why a selector makes no sense: Deno's text, and the keys that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Senseless {
    text: &'static str,
    detail: String,
}

/// The keys of a selector as the engine knows them: `[start, end)`, keyspace byte included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
    /// With so many bytes of `start` all keys begin.
    pub(crate) common: usize,
    /// Whether the caller has named the start, and not only a prefix.
    pub(crate) has_start: bool,
    /// Whether the caller has named the end, and not only a prefix.
    pub(crate) has_end: bool,
}

impl Selector {
    /// A selector of the form that Deno has: a prefix, a prefix with a start or an end, or a start
    /// and an end. The start is included, the end is not.
    ///
    /// ```
    /// use icecore::{Selector, key};
    ///
    /// let same = Selector::new(None, Some(key!["a"]), Some(key!["b"]))?;
    /// assert_eq!(same, Selector::from(key!["a"]..key!["b"]));
    /// let error = Selector::new(Some(key!["a"]), Some(key!["b", 1]), None).unwrap_err();
    /// assert_eq!(error.text(), "Start key is not in the keyspace defined by prefix");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for any other combination, when start
    /// or end are not below the prefix, and when the start is greater than the end.
    pub fn new(
        prefix: Option<Key>,
        start: Option<Key>,
        end: Option<Key>,
    ) -> Result<Selector, Error> {
        if prefix.is_none() && (start.is_none() || end.is_none()) {
            let text = "Selector must specify either 'prefix' or both 'start' and 'end' key";
            return Err(Error::invalid(text, ""));
        }
        let start = start.map_or(Bound::Unbounded, Bound::Included);
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let selector = Selector::of(prefix, start, end);
        selector.bounds()?;
        Ok(selector)
    }

    fn of(prefix: Option<Key>, start: Bound<Key>, end: Bound<Key>) -> Selector {
        let bounds = match &prefix {
            Some(prefix) => bounds_below(prefix, named(&start), named(&end)),
            None => bounds_of_range(&start, &end),
        };
        Selector { prefix, start, end, bounds }
    }

    /// All keys.
    ///
    /// ```
    /// use icecore::{Kv, Selector, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key![true], 2).commit()?;
    /// assert_eq!(kv.count(Selector::all())?, 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn all() -> Selector {
        Selector::of(None, Bound::Unbounded, Bound::Unbounded)
    }

    /// The keys whose [encodings](Key::encoded) lie in `[start, end)`, for programs that know keys
    /// by these alone, as a server does. The bounds may be any bytes.
    ///
    /// ```
    /// use icecore::{Kv, Selector, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key!["b"], 2).set(key![true], 3).commit()?;
    /// assert_eq!(kv.count(Selector::encoded(b"\x02b", b"\xff"))?, 2);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn encoded(start: &[u8], end: &[u8]) -> Selector {
        let bound = |encoded: &[u8]| Key::from_stored([&[DATA], encoded].concat());
        Selector::of(None, Bound::Included(bound(start)), Bound::Excluded(bound(end)))
    }

    /// The keys that begin with the parts of `key` and have at least one part more.
    ///
    /// ```
    /// use icecore::{Kv, Selector, key};
    ///
    /// let kv = Kv::in_memory()?;
    /// kv.atomic().set(key!["a"], 1).set(key!["a", 2], 2).set(key!["ab"], 3).commit()?;
    /// let keys: Vec<_> = kv.keys(Selector::prefix(key!["a"])).collect::<Result<_, _>>()?;
    /// assert_eq!(keys, [key!["a", 2]]);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn prefix(key: impl Into<Key>) -> Selector {
        Selector::of(Some(key.into()), Bound::Unbounded, Bound::Unbounded)
    }

    /// Only the keys from `key` on. A prefix can be given a start or an end, not both; what makes
    /// no sense is told by the read that uses the selector.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=5 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// assert_eq!(kv.count(prefix!["visits"].start(key!["visits", 4]))?, 2);
    /// assert!(kv.count(prefix!["visits"].start(key!["visitors"])).is_err(), "it is not below");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    #[must_use]
    pub fn start(self, key: impl Into<Key>) -> Selector {
        Selector::of(self.prefix, Bound::Included(key.into()), self.end)
    }

    /// Only the keys before `key`. A prefix can be given a start or an end, not both; what makes
    /// no sense is told by the read that uses the selector.
    ///
    /// ```
    /// use icecore::{Kv, key, prefix};
    ///
    /// let kv = Kv::in_memory()?;
    /// for day in 1..=5 {
    ///     kv.set(key!["visits", day], day * 100)?;
    /// }
    /// assert_eq!(kv.count(prefix!["visits"].end(key!["visits", 4]))?, 3);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    #[must_use]
    pub fn end(self, key: impl Into<Key>) -> Selector {
        Selector::of(self.prefix, self.start, Bound::Excluded(key.into()))
    }

    /// The keys as the engine knows them, `[start, end)`, for who needs no more.
    pub(crate) fn bounds(&self) -> Result<(&[u8], &[u8]), Error> {
        self.resolved().map(|bounds| (&bounds.start[..], &bounds.end[..]))
    }

    /// The keys as the engine knows them.
    ///
    /// # Errors
    /// In Deno's words, when the selector makes no sense.
    pub(crate) fn resolved(&self) -> Result<&Bounds, Error> {
        let told = |senseless: &Senseless| Error::invalid(senseless.text, &*senseless.detail);
        self.bounds.as_ref().map_err(told)
    }
}

fn bounds_below(prefix: &Key, start: Option<&Key>, end: Option<&Key>) -> Result<Bounds, Senseless> {
    if start.is_some() && end.is_some() {
        let text = "Selector can not specify both 'start' and 'end' key when specifying 'prefix'";
        return Err(Senseless { text, detail: format!("the prefix is {prefix}") });
    }
    let inside = |key: &Key, text| match key.stored().strip_prefix(prefix.stored()) {
        Some([_, ..]) => Ok(()),
        _ => Err(Senseless { text, detail: format!("{key} is not below {prefix}") }),
    };
    if let Some(key) = start {
        inside(key, "Start key is not in the keyspace defined by prefix")?;
    }
    if let Some(key) = end {
        inside(key, "End key is not in the keyspace defined by prefix")?;
    }
    let bound = |key: Option<&Key>, last| match key {
        Some(key) => key.stored().to_vec(),
        None => followed_by(prefix, last),
    };
    Ok(Bounds {
        start: bound(start, BEFORE_PARTS),
        end: bound(end, AFTER_PARTS),
        common: prefix.stored().len(),
        has_start: start.is_some(),
        has_end: end.is_some(),
    })
}

fn bounds_of_range(first: &Bound<Key>, last: &Bound<Key>) -> Result<Bounds, Senseless> {
    let start = match first {
        Bound::Included(key) => key.stored().to_vec(),
        Bound::Excluded(key) => followed_by(key, BEFORE_PARTS),
        Bound::Unbounded => vec![DATA],
    };
    let end = match last {
        Bound::Included(key) => followed_by(key, BEFORE_PARTS),
        Bound::Excluded(key) => key.stored().to_vec(),
        Bound::Unbounded => vec![DATA + 1],
    };
    if start > end {
        let show = |bound| named(bound).map_or(String::from("the beginning"), Key::to_string);
        let detail = format!("from {} to {}", show(first), show(last));
        return Err(Senseless { text: "Start key is greater than end key", detail });
    }
    let (has_start, has_end) = (named(first).is_some(), named(last).is_some());
    let alike = start.iter().zip(&end).take_while(|(a, b)| a == b).count();
    // Without both bounds all keys of the store have their keyspace in common.
    let common = if has_start && has_end { alike } else { 1 };
    Ok(Bounds { start, end, common, has_start, has_end })
}

impl Bounds {
    /// Refuses bounds that are too long to be read.
    pub(crate) fn check_size(&self, limits: &Limits) -> Result<(), Error> {
        // The keyspace byte does not count.
        let longer = self.start.len().max(self.end.len()) - 1;
        at_most(Limit::ReadKeyBytes, limits.read_key_bytes(), longer, String::new)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Selector { prefix, start, end, bounds: _ } = self;
        let mut shown = f.debug_struct("Selector");
        shown.field("prefix", prefix).field("start", start).field("end", end).finish()
    }
}

fn named(bound: &Bound<Key>) -> Option<&Key> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

fn followed_by(key: &Key, last: u8) -> Vec<u8> {
    [key.stored(), &[last]].concat()
}

impl From<&Selector> for Selector {
    fn from(selector: &Selector) -> Selector {
        selector.clone()
    }
}

impl From<(Bound<Key>, Bound<Key>)> for Selector {
    fn from((start, end): (Bound<Key>, Bound<Key>)) -> Selector {
        Selector::of(None, start, end)
    }
}

/// Selectors from ranges, by the bounds on the right.
macro_rules! from_ranges {
    ($($kind:ty: $range:ident => $start:expr, $end:expr;)*) => {$(
        impl From<$kind> for Selector {
            fn from($range: $kind) -> Selector {
                Selector::of(None, $start, $end)
            }
        }
    )*};
}

from_ranges! {
    Range<Key>: range => Bound::Included(range.start), Bound::Excluded(range.end);
    RangeFrom<Key>: range => Bound::Included(range.start), Bound::Unbounded;
    RangeTo<Key>: range => Bound::Unbounded, Bound::Excluded(range.end);
    RangeToInclusive<Key>: range => Bound::Unbounded, Bound::Included(range.end);
    RangeFull: _range => Bound::Unbounded, Bound::Unbounded;
}

/// Selectors from ranges of borrowed keys.
macro_rules! from_borrowed_ranges {
    ($($kind:ty: $range:ident => $owned:expr;)*) => {$(
        impl From<$kind> for Selector {
            fn from($range: $kind) -> Selector {
                Selector::from($owned)
            }
        }
    )*};
}

from_borrowed_ranges! {
    Range<&Key>: range => range.start.clone()..range.end.clone();
    RangeFrom<&Key>: range => range.start.clone()..;
    RangeTo<&Key>: range => ..range.end.clone();
    RangeInclusive<&Key>: range => (*range.start()).clone()..=(*range.end()).clone();
    RangeToInclusive<&Key>: range => ..=range.end.clone();
}

impl From<RangeInclusive<Key>> for Selector {
    fn from(range: RangeInclusive<Key>) -> Selector {
        let (start, end) = range.into_inner();
        Selector::of(None, Bound::Included(start), Bound::Included(end))
    }
}

/// The [`Selector`] of all keys that begin with these parts and have at least one part more;
/// `prefix![]` selects all keys.
///
/// ```
/// use icecore::{Kv, key, prefix};
///
/// let kv = Kv::in_memory()?;
/// kv.atomic().set(key!["a"], 1).set(key!["a", 2], 2).set(key!["b"], 3).commit()?;
/// assert_eq!(kv.count(prefix!["a"])?, 1);
/// assert_eq!(kv.count(prefix![])?, 3);
/// # Ok::<(), icecore::Error>(())
/// ```
#[macro_export]
macro_rules! prefix {
    ($($part:expr),* $(,)?) => {
        $crate::Selector::prefix($crate::key![$($part),*])
    };
}

#[cfg(test)]
mod tests;
