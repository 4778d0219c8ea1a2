//! Who observes which keys.
//!
//! Single keys (ranges `[k, k‖00)`) are in an ordered map. Other ranges are cut into *segments* at
//! each other's ends, and each segment knows the ranges that cover it. So a lookup of a key is a
//! search in two ordered maps, however many ranges there are; a range is entered in every segment
//! that it covers, which costs memory in proportion to the square of their number for ranges that
//! are nested in each other and all different, and nothing for ranges that are disjoint or equal.
//!
//! Locks: the registry's is held for lookups and changes, never while an observer is called. That
//! happens inside the observation's *gate*, which remembers the thread that is inside:
//!
//! 1. Whoever shuts a gate first takes the observer out, so that no call begins, and then waits
//!    until the call at hand has ended, unless that call is its own.
//! 2. A call gives its reference to the observer back before it leaves the gate. So it is the thread
//!    that shuts the gate which drops the observer, not a commit under the writer lock; unless an
//!    observer shuts its own gate during a call.
//! 3. When an observer panics, the others are called all the same; then the panic goes on.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, PoisonError};

use icecore_model::{Effects, Versionstamp};
use icecore_sync::atomic::{AtomicUsize, Ordering};
use icecore_sync::thread::{self, ThreadId};
use icecore_sync::{Condvar, Mutex, lock};

use super::{Observer, Touched};

/// The observers of a store.
#[derive(Default)]
pub(crate) struct Registry {
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
    registered: Mutex<Registered>,
}

#[derive(Default)]
struct Registered {
    closed: bool,
    /// The next identity; none is given twice.
    next: u64,
    gates: BTreeMap<u64, Arc<Gate>>,
    /// The observations of single keys.
    keys: BTreeMap<Vec<u8>, Vec<u64>>,
    /// The observations of other ranges.
    segments: Segments,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({} observations)", self.count.load(Ordering::Relaxed))
    }
}

impl Registry {
    /// Enters an observation of `ranges`, which are [merged], and gives it an identity. `None`: the
    /// store is closed.
    pub(super) fn insert(&self, ranges: &[Range<Vec<u8>>], gate: Arc<Gate>) -> Option<u64> {
        let mut registered = lock(&self.registered);
        if registered.closed {
            return None;
        }
        let id = registered.next;
        registered.next += 1;
        for range in ranges {
            if is_single(range) {
                registered.keys.entry(range.start.clone()).or_default().push(id);
            } else {
                registered.segments.insert(range, id);
            }
        }
        registered.gates.insert(id, gate);
        self.count.store(registered.gates.len(), Ordering::Relaxed);
        Some(id)
    }

    /// Removes an observation, if closing has not.
    pub(super) fn remove(&self, id: u64, ranges: &[Range<Vec<u8>>]) {
        let mut registered = lock(&self.registered);
        if registered.gates.remove(&id).is_none() {
            return;
        }
        self.count.store(registered.gates.len(), Ordering::Relaxed);
        for range in ranges {
            if !is_single(range) {
                registered.segments.remove(range, id);
            } else if let Some(ids) = registered.keys.get_mut(&range.start) {
                forget(ids, id);
                if ids.is_empty() {
                    registered.keys.remove(&range.start);
                }
            }
        }
    }

    /// Tells the observers what the commit `stamp` does. The caller holds the writer lock.
    #[inline]
    pub(crate) fn tell(&self, stamp: Versionstamp, effects: &[u8]) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.tell_registered(stamp, effects);
        }
    }

    #[inline(never)]
    fn tell_registered(&self, stamp: Versionstamp, effects: &[u8]) {
        let mut calls = Vec::new();
        let registered = lock(&self.registered);
        for effect in Effects::new(effects) {
            let effect = effect.expect("the engine encodes effects that decode");
            if let Some(touched) = Touched::of(effect) {
                let gates = registered.observing(touched);
                calls.extend(gates.map(|gate| (touched, Arc::clone(gate))));
            }
        }
        drop(registered);
        let calls = calls.into_iter();
        let panicked = calls.filter_map(|(touched, gate)| {
            gate.call(|observer| observer.touched(stamp, touched)).err()
        });
        if let Some(first) = panicked.reduce(|first, _| first) {
            resume_unwind(first);
        }
    }

    /// Whether nothing is left of anybody.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        let registered = lock(&self.registered);
        let keys = registered.keys.is_empty() && registered.segments.starts.is_empty();
        keys && registered.gates.is_empty()
    }

    /// Tells all observers that the store is closed. No commit comes after this. An observer's
    /// panic is given to the caller, who has more to do.
    pub(crate) fn close(&self) -> thread::Result<()> {
        let mut registered = lock(&self.registered);
        let gates = std::mem::take(&mut registered.gates);
        *registered = Registered { closed: true, next: registered.next, ..Registered::default() };
        self.count.store(0, Ordering::Relaxed);
        drop(registered);
        let panicked = gates.into_values().filter_map(|gate| gate.call(|o| o.closed()).err());
        panicked.reduce(|first, _| first).map_or(Ok(()), Err)
    }
}

impl Registered {
    /// Those who observe a key of what was touched, each once.
    fn observing(&self, touched: Touched<'_>) -> impl Iterator<Item = &Arc<Gate>> {
        let mut ids = Vec::new();
        match touched {
            Touched::Set { key } | Touched::Deleted { key } => {
                // The ranges of one observation are disjoint: none is found twice.
                ids.extend(self.keys.get(key).into_iter().flatten());
                ids.extend(self.segments.at(key));
            }
            Touched::RangeDeleted { start, end } => {
                let keys = self.keys.range::<[u8], _>((Included(start), Excluded(end)));
                ids.extend(keys.flat_map(|(_, ids)| ids));
                ids.extend(self.segments.overlapping(start, end));
                ids.sort_unstable();
                ids.dedup();
            }
        }
        ids.into_iter().map(|id| &self.gates[&id])
    }
}

/// Ranges, cut into segments at each other's ends.
#[derive(Debug, Default)]
struct Segments {
    /// From the first key of each segment to the ranges that cover it, ascending; the segment ends
    /// where the next one begins. A segment never has the same ranges as the one before it.
    starts: BTreeMap<Vec<u8>, Vec<u64>>,
}

impl Segments {
    fn insert(&mut self, range: &Range<Vec<u8>>, id: u64) {
        for end in [&range.start, &range.end] {
            if !self.starts.contains_key(end) {
                let covering = self.at(end).to_vec();
                self.starts.insert(end.clone(), covering);
            }
        }
        for (_, ids) in self.starts.range_mut(range.clone()) {
            ids.push(id);
        }
    }

    fn remove(&mut self, range: &Range<Vec<u8>>, id: u64) {
        for (_, ids) in self.starts.range_mut(range.clone()) {
            forget(ids, id);
        }
        for end in [&range.start, &range.end] {
            if self.starts.get(end).is_some_and(|ids| ids == self.before(end)) {
                self.starts.remove(end);
            }
        }
    }

    /// The ranges that hold `key`.
    fn at(&self, key: &[u8]) -> &[u64] {
        let mut until = self.starts.range::<[u8], _>((Unbounded, Included(key)));
        until.next_back().map_or(&[], |(_, ids)| ids)
    }

    /// The ranges that cover the segment before the one that begins at `start`.
    fn before(&self, start: &[u8]) -> &[u64] {
        let mut until = self.starts.range::<[u8], _>((Unbounded, Excluded(start)));
        until.next_back().map_or(&[], |(_, ids)| ids)
    }

    /// The ranges that have keys in `[start, end)`, some several times.
    fn overlapping(&self, start: &[u8], end: &[u8]) -> impl Iterator<Item = u64> {
        let later = self.starts.range::<[u8], _>((Excluded(start), Excluded(end)));
        self.at(start).iter().chain(later.flat_map(|(_, ids)| ids)).copied()
    }
}

/// Takes `id` out of `ids`, which ascend.
fn forget(ids: &mut Vec<u64>, id: u64) {
    if let Ok(place) = ids.binary_search(&id) {
        ids.remove(place);
    }
}

/// Whether `range` holds one key only.
fn is_single(range: &Range<Vec<u8>>) -> bool {
    range.end.split_last() == Some((&0, &range.start))
}

/// The same keys in ranges that ascend, and neither overlap nor touch.
pub(super) fn merged(mut ranges: Vec<Range<Vec<u8>>>) -> Vec<Range<Vec<u8>>> {
    ranges.retain(|range| range.start < range.end);
    ranges.sort_unstable_by(|a, b| a.start.cmp(&b.start));
    ranges.dedup_by(|range, before| {
        let touches = range.start <= before.end;
        if touches && range.end > before.end {
            before.end = std::mem::take(&mut range.end);
        }
        touches
    });
    ranges
}

/// What a call of an observer passes through, one at a time.
pub(super) struct Gate {
    state: Mutex<GateState>,
    left: Condvar,
}

struct GateState {
    /// `None` once the gate is shut.
    observer: Option<Arc<dyn Observer>>,
    inside: Option<ThreadId>,
}

impl Gate {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Arc<Gate> {
        let state = GateState { observer: Some(observer), inside: None };
        Arc::new(Gate { state: Mutex::new(state), left: Condvar::new() })
    }

    /// Calls the observer, unless the gate is shut. Calls come one at a time: under the writer lock,
    /// and after the last commit. The error is the observer's panic.
    fn call(&self, call: impl FnOnce(&dyn Observer)) -> thread::Result<()> {
        let mut state = lock(&self.state);
        let Some(observer) = state.observer.clone() else { return Ok(()) };
        state.inside = Some(thread::current().id());
        drop(state);
        let _inside = Inside(self);
        // A local of its own, which goes before `_inside` does.
        let observer = observer;
        // What the observer itself has left half done is its own matter, as with a thread.
        catch_unwind(AssertUnwindSafe(|| call(&*observer)))
    }

    /// Lets no call begin any more, and waits for the one at hand.
    pub(super) fn shut(&self) {
        let mut state = lock(&self.state);
        let observer = state.observer.take();
        let own = thread::current().id();
        while state.inside.is_some_and(|inside| inside != own) {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        drop(observer);
    }
}

/// A thread is inside a gate; it leaves also when the observer panics.
struct Inside<'g>(&'g Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).inside = None;
        self.0.left.notify_all();
    }
}
