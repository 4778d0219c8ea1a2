//! From mutations to effects: at most one per key, all computed before any is applied.
//!
//! 1. Mutations are resolved in order, each against the state that those before it have left, so
//!    an error in any of them leaves no trace.
//! 2. A later mutation of a key replaces the earlier effect on it.
//! 3. A range deletion drops the earlier effects inside it. Effects on keys inside it that come
//!    later stay beside it: within one commit a point wins over a range.
//! 4. An entry that expires gets a companion in the expiry index, in the same commit.

use std::borrow::Cow;
use std::collections::HashMap;

use icecore_model::{Change, Effect, Timestamp, Versionstamp, key};

use crate::batch::{Current, Mutation, Updated};
use crate::error::Error;
use crate::keyspace;

/// The state before the commit.
pub(crate) trait Base {
    /// Calls `see` once with the present state of `key`; what has expired is absent.
    fn look(&self, key: &[u8], see: &mut Look<'_>) -> Result<(), Error>;
    /// Whether an entry with this expiry is absent at the commit's reading of the clock.
    fn has_expired(&self, moment: Timestamp) -> bool;
    /// Refuses a value of this length if it is too long.
    fn check_value_bytes(&self, bytes: usize) -> Result<(), Error>;
}

/// What is done with the state of a key.
pub(crate) type Look<'l> = dyn FnMut(Option<Current<'_>>) -> Result<(), Error> + 'l;

#[derive(Debug)]
struct Point<'a> {
    key: Cow<'a, [u8]>,
    change: PointChange<'a>,
}

#[derive(Debug)]
enum PointChange<'a> {
    Put {
        value: Cow<'a, [u8]>,
        expires_at: Option<Timestamp>,
    },
    Delete,
    /// Overtaken by a later range deletion of the same commit.
    Dropped,
}

/// Below this many points, looking at each is faster than hashing.
const SCAN_MAX: usize = 8;

#[derive(Debug)]
struct Effects<'a> {
    points: Vec<Point<'a>>,
    /// Whether all points came in the order of their keys, as they do when sorted data is loaded.
    is_sorted: bool,
    /// From key to place in `points`; filled only where these are not sorted, and [`SCAN_MAX`] or more.
    places: HashMap<Cow<'a, [u8]>, usize>,
    ranges: Vec<(&'a [u8], &'a [u8])>,
}

/// Resolves `mutations` at `stamp` and appends their encoded effects to `out`. Gives the earliest
/// moment at which one of the entries that they set expires.
pub(crate) fn resolve(
    mutations: &[Mutation<'_>],
    stamp: Versionstamp,
    base: &dyn Base,
    out: &mut Vec<u8>,
) -> Result<Option<Timestamp>, Error> {
    if let [mutation] = mutations
        && let Some(expires_at) = encode_alone(mutation, out)
    {
        return Ok(expires_at);
    }
    let mut effects = Effects::new(mutations.len());
    for mutation in mutations {
        effects.add(mutation, stamp, base)?;
    }
    Ok(effects.encode(out))
}

/// The common case of one plain mutation, which needs no state. Gives its expiry if it was one.
fn encode_alone(mutation: &Mutation<'_>, out: &mut Vec<u8>) -> Option<Option<Timestamp>> {
    match *mutation {
        Mutation::Set { key, value, expires_at } => {
            encode_put(key, value, expires_at, out);
            Some(expires_at)
        }
        Mutation::Delete { key } => {
            Effect::Point { key, change: Change::Delete }.encode(out);
            Some(None)
        }
        Mutation::DeleteRange { start, end } => {
            Effect::DeleteRange { start, end }.encode(out);
            Some(None)
        }
        Mutation::SetVersionstamped { .. } | Mutation::Update { .. } => None,
    }
}

fn encode_put(key: &[u8], value: &[u8], expires_at: Option<Timestamp>, out: &mut Vec<u8>) {
    Effect::Point { key, change: Change::Put { value, expires_at } }.encode(out);
    if let Some(moment) = expires_at {
        let index = keyspace::expiry_key(moment, key);
        let change = Change::Put { value: &[], expires_at: None };
        Effect::Point { key: &index, change }.encode(out);
    }
}

impl<'a> Effects<'a> {
    fn new(mutations: usize) -> Effects<'a> {
        Effects {
            points: Vec::with_capacity(mutations),
            is_sorted: true,
            places: HashMap::new(),
            ranges: Vec::new(),
        }
    }

    fn add(
        &mut self,
        mutation: &Mutation<'a>,
        stamp: Versionstamp,
        base: &dyn Base,
    ) -> Result<(), Error> {
        match *mutation {
            Mutation::Set { key, value, expires_at } => {
                let change = PointChange::Put { value: Cow::Borrowed(value), expires_at };
                self.put(Cow::Borrowed(key), change);
            }
            Mutation::SetVersionstamped { prefix, suffix, value, expires_at } => {
                let mut stamped = prefix.to_vec();
                key::append_versionstamp(&mut stamped, stamp);
                stamped.extend_from_slice(suffix);
                let change = PointChange::Put { value: Cow::Borrowed(value), expires_at };
                self.put(Cow::Owned(stamped), change);
            }
            Mutation::Delete { key } => self.put(Cow::Borrowed(key), PointChange::Delete),
            Mutation::DeleteRange { start, end } => {
                for point in &mut self.points {
                    if start <= &*point.key && &*point.key < end {
                        point.change = PointChange::Dropped;
                    }
                }
                self.ranges.push((start, end));
            }
            Mutation::Update { key, update } => {
                let mut updated = Updated::Keep;
                self.look(key, base, &mut |current| {
                    updated = update(current)?;
                    Ok(())
                })?;
                match updated {
                    Updated::Set { value, expires_at } => {
                        base.check_value_bytes(value.len())?;
                        let change = PointChange::Put { value: Cow::Owned(value), expires_at };
                        self.put(Cow::Borrowed(key), change);
                    }
                    Updated::Delete => self.put(Cow::Borrowed(key), PointChange::Delete),
                    Updated::Keep => {}
                }
            }
        }
        Ok(())
    }

    fn find(&self, key: &[u8]) -> Option<usize> {
        if self.is_sorted {
            let is_new = self.points.last().is_none_or(|last| *last.key < *key);
            let search = || self.points.binary_search_by(|point| (*point.key).cmp(key));
            if is_new { None } else { search().ok() }
        } else if self.places.is_empty() {
            self.points.iter().position(|point| *point.key == *key)
        } else {
            self.places.get(key).copied()
        }
    }

    fn put(&mut self, key: Cow<'a, [u8]>, change: PointChange<'a>) {
        if let Some(place) = self.find(&key) {
            self.points[place].change = change;
            return;
        }
        self.is_sorted &= self.points.last().is_none_or(|last| last.key < key);
        self.points.push(Point { key, change });
        if !self.is_sorted && self.points.len() >= SCAN_MAX {
            let known = self.places.len();
            let points = self.points.iter().enumerate().skip(known);
            self.places.extend(points.map(|(place, point)| (point.key.clone(), place)));
        }
    }

    /// The state of `key` as the mutations so far have left it.
    fn look(&self, key: &[u8], base: &dyn Base, see: &mut Look<'_>) -> Result<(), Error> {
        match self.find(key).map(|place| &self.points[place].change) {
            Some(PointChange::Put { value, expires_at })
                if !expires_at.is_some_and(|moment| base.has_expired(moment)) =>
            {
                see(Some(Current { value, expires_at: *expires_at }))
            }
            Some(_) => see(None),
            None if self.ranges.iter().any(|(start, end)| *start <= key && key < *end) => see(None),
            None => base.look(key, see),
        }
    }

    /// Gives the earliest expiry.
    fn encode(&self, out: &mut Vec<u8>) -> Option<Timestamp> {
        let mut earliest: Option<Timestamp> = None;
        for (start, end) in &self.ranges {
            Effect::DeleteRange { start, end }.encode(out);
        }
        for point in &self.points {
            match &point.change {
                PointChange::Put { value, expires_at } => {
                    encode_put(&point.key, value, *expires_at, out);
                    earliest = earliest.into_iter().chain(*expires_at).min();
                }
                PointChange::Delete => {
                    Effect::Point { key: &point.key, change: Change::Delete }.encode(out);
                }
                PointChange::Dropped => {}
            }
        }
        earliest
    }
}

#[cfg(test)]
mod tests;
