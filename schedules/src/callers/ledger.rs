//! User keys: what was committed, what was read, and whether it fits one order of the commits, that
//! of their versionstamps, strictly (I9, I10, I12); and whether what the next life finds is a prefix
//! of them with all that was promised (I2 to I4).
//!
//! Every commit has a token, which is the front of the values that it sets. It is also set under a
//! key of its own, with its versionstamp as the last part: the *journal*, by which a later life
//! knows which commits it has.
//!
//! Threads note what they do as they do it, under a lock of `std` at which no thread changes. What
//! was read is judged when the life is over, and the stamps of all commits are known. Whoever reads
//! more than once sees states that follow each other: its looks are a *chain*.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use icecore::{Commit, Entry, Error, Kv, Value, key};

/// A key of the ledger.
pub type Key = u8;

/// How many keys there are: few, so that callers meet.
pub const KEYS: Key = 4;

/// The key in the store.
#[must_use]
pub fn stored(key: Key) -> icecore::Key {
    key!["k", u64::from(key)]
}

/// Which key of the ledger that is, if it is one.
#[must_use]
pub fn key_of(stored_key: &icecore::Key) -> Option<Key> {
    (0..KEYS).find(|key| stored(*key) == *stored_key)
}

/// What is read of a key that is there: the stamp and the token of its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The versionstamp.
    pub stamp: u64,
    /// Which commit set it.
    pub token: u32,
}

/// What an entry shows.
///
/// # Panics
/// When its value is none that was ever set.
#[must_use]
pub fn found(entry: &Entry) -> Option<Found> {
    let stamp = entry.versionstamp?.get();
    let bytes = entry.bytes().expect("all values are bytes");
    let token = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
    assert!(bytes[4..].iter().all(|byte| *byte == token as u8), "the value {token} is damaged");
    Some(Found { stamp, token })
}

fn value(token: u32, bytes: usize) -> Value {
    let mut value = token.to_le_bytes().to_vec();
    value.resize(bytes.max(4), token as u8);
    Value::from(value)
}

/// What a commit does.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Sets a key to a value of so many bytes, which expires at that moment.
    Set(Key, usize, Option<u64>),
    /// Deletes a key.
    Delete(Key),
    /// Deletes all keys in a range.
    Clear(Range<Key>),
}

/// A commit.
#[derive(Clone, Debug)]
struct Written {
    token: u32,
    checks: Vec<(Key, Option<u64>)>,
    deeds: Vec<Deed>,
    /// When it had returned.
    ended_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    found: Found,
    expires_ms: Option<u64>,
}

type State = BTreeMap<Key, Item>;

/// What was seen of some keys at one moment.
#[derive(Clone, Debug)]
pub struct Look {
    /// What was acknowledged when it began.
    pub after: u64,
    /// The versionstamp of the moment, if it is known.
    pub at: Option<u64>,
    /// When it began and ended.
    pub times_ms: Range<u64>,
    /// What was there. An expired value may be there if it is known from a feed, until it is swept.
    pub keys: Vec<(Key, Option<Found>)>,
    /// It is known from a feed.
    pub is_copy: bool,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    commits: BTreeMap<u64, Written>,
    /// By token, commits of which nobody was told a stamp.
    doubtful: BTreeMap<u32, Written>,
    /// The highest stamp in this life that anybody was told of.
    acknowledged: u64,
    /// The highest stamp that was promised to survive a power cut.
    promised: u64,
    /// The highest stamp that anybody was told of in an earlier life: it never comes again (I7).
    spent: u64,
    chains: Vec<Vec<Look>>,
    tokens: u32,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of a commit that will be.
    pub fn token(&self) -> u32 {
        let mut inner = self.lock();
        inner.tokens += 1;
        inner.tokens
    }

    /// What was acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Commits under a new token, and notes it. `submit` is given the operation to add to, and does it its own way;
    /// it says what came of it and whether that is durable.
    pub fn commit(
        &self,
        kv: &Kv,
        token: u32,
        checks: &[Entry],
        deeds: Vec<Deed>,
        submit: impl FnOnce(icecore::Atomic<'_>) -> (Result<Commit, Error>, bool),
    ) -> Result<Commit, Error> {
        let begun_after = self.acknowledged();
        let mut atomic = kv.atomic().set_versionstamped(key!["j"], u64::from(token));
        for entry in checks {
            atomic = atomic.check(entry);
        }
        for deed in &deeds {
            atomic = match deed {
                Deed::Set(key, bytes, None) => atomic.set(stored(*key), value(token, *bytes)),
                Deed::Set(key, bytes, Some(ms)) => {
                    let at = std::time::UNIX_EPOCH + std::time::Duration::from_millis(*ms);
                    atomic.set_expiring(stored(*key), value(token, *bytes), at)
                }
                Deed::Delete(key) => atomic.delete(stored(*key)),
                Deed::Clear(keys) => atomic.delete_range(stored(keys.start)..stored(keys.end)),
            };
        }
        let checked = |entry: &Entry| (key_of(&entry.key), entry.versionstamp.map(|s| s.get()));
        let checks: Vec<_> =
            checks.iter().map(checked).filter_map(|(key, stamp)| Some((key?, stamp))).collect();
        let written = Written { token, checks, deeds, ended_ms: u64::MAX };
        self.lock().doubtful.insert(token, written);
        let (outcome, is_durable) = submit(atomic);
        let mut inner = self.lock();
        match &outcome {
            Ok(Commit::Done { versionstamp }) => {
                let stamp = versionstamp.get();
                assert!(stamp > begun_after, "commit {stamp} began after {begun_after} was told");
                let mut written = inner.doubtful.remove(&token).expect("it was just put in");
                written.ended_ms = super::now_ms();
                inner.enter(stamp, written);
                inner.acknowledged = inner.acknowledged.max(stamp);
                if is_durable {
                    inner.promised = inner.promised.max(stamp);
                }
            }
            Ok(Commit::CheckFailed { .. }) => {
                let written = inner.doubtful.remove(&token).expect("it was just put in");
                assert!(!written.checks.is_empty(), "no check can fail");
            }
            Err(_) => {}
        }
        outcome
    }

    /// Notes what one reader saw, look by look.
    pub fn note(&self, chain: Vec<Look>) {
        self.lock().chains.push(chain);
    }

    /// What there will be of each key when all that expires has expired, for whoever knows that
    /// nobody commits any more.
    ///
    /// # Panics
    /// When the outcome of a commit is not known.
    pub fn outlook(&self) -> Vec<Option<Found>> {
        let inner = self.lock();
        assert!(inner.doubtful.is_empty(), "every commit has ended");
        let last = inner.states().pop_last().map(|(_, state)| state).unwrap_or_default();
        let lasting = |key| last.get(&key).filter(|item| item.expires_ms.is_none());
        (0..KEYS).map(|key| lasting(key).map(|item| item.found)).collect()
    }

    /// Judges everything that was read in the life that is over. `kv` is the store in the next one.
    /// All that was acknowledged must be there, or only what was promised if the power failed.
    ///
    /// Gives the tokens of the commits that are there.
    ///
    /// # Panics
    /// When something fits no order.
    pub fn judge(&self, kv: &Kv, power_failed: bool) -> Vec<u32> {
        let begun_ms = super::now_ms();
        let snapshot = kv.snapshot().expect("an open store can be read");
        let entries: Result<Vec<Entry>, Error> =
            snapshot.list(icecore::Selector::prefix(key!["j"])).collect();
        let journal: Vec<(u64, u32)> =
            entries.expect("every entry can be read").iter().map(noted).collect();
        let keys = read_all(&snapshot).expect("every entry can be read");
        let inner = &mut *self.lock();
        for (stamp, token) in &journal {
            inner.adopt(*stamp, *token);
        }
        inner.adopt_seen();
        inner.judge_chains();
        inner.keep_prefix(&journal, power_failed);
        let look = Look {
            after: 0,
            at: Some(u64::MAX),
            times_ms: begun_ms..super::now_ms(),
            keys,
            is_copy: false,
        };
        let states = inner.states();
        let last = states.last_key_value().map(|(_, state)| state.clone()).unwrap_or_default();
        assert!(look.fits(&last), "{look:?} is not what was committed: {last:?}");
        journal.into_iter().map(|(_, token)| token).collect()
    }
}

/// The stamp and the token of an entry of the journal.
fn noted(entry: &Entry) -> (u64, u32) {
    let stamp = entry.versionstamp.expect("it is there");
    assert_eq!(entry.key, key!["j", stamp], "a key has the stamp of its commit");
    (stamp.get(), entry.u64().expect("a token") as u32)
}

/// All keys of the ledger at the moment of a snapshot.
pub fn read_all(snapshot: &icecore::Snapshot) -> Result<Vec<(Key, Option<Found>)>, Error> {
    let mut keys: Vec<_> = (0..KEYS).map(|key| (key, None)).collect();
    for entry in snapshot.list(icecore::Selector::prefix(key!["k"])) {
        let entry = entry?;
        let key = key_of(&entry.key).expect("nobody sets another key");
        keys[usize::from(key)].1 = found(&entry);
    }
    Ok(keys)
}

impl Look {
    fn fits(&self, state: &State) -> bool {
        self.keys.iter().all(|(key, found)| match (state.get(key), found) {
            (None, found) => found.is_none(),
            (Some(item), Some(found)) => {
                let is_alive = item.expires_ms.is_none_or(|ms| self.times_ms.start < ms);
                item.found == *found && (is_alive || self.is_copy)
            }
            (Some(item), None) => item.expires_ms.is_some_and(|ms| ms <= self.times_ms.end),
        })
    }
}

impl Inner {
    fn enter(&mut self, stamp: u64, written: Written) {
        let spent = self.spent;
        assert!(stamp > spent, "the stamp {stamp} comes again: {spent} was given");
        let twice = self.commits.insert(stamp, written);
        assert!(twice.is_none(), "the stamp {stamp} was given twice");
    }

    /// The commit with this token has this stamp.
    fn adopt(&mut self, stamp: u64, token: u32) {
        if let Some(written) = self.commits.get(&stamp) {
            assert_eq!(written.token, token, "two commits have the stamp {stamp}");
            return;
        }
        let written = self.doubtful.remove(&token);
        let written = written.unwrap_or_else(|| panic!("nobody committed {token} at {stamp}"));
        self.enter(stamp, written);
    }

    /// Finds the stamps of doubtful commits in what was read.
    fn adopt_seen(&mut self) {
        let looks = self.chains.iter().flatten();
        let seen: Vec<Found> = looks.flat_map(|l| &l.keys).filter_map(|(_, f)| *f).collect();
        for Found { stamp, token } in seen {
            self.adopt(stamp, token);
        }
    }

    /// What there is after each commit. The checks of each are compared with the state before it.
    fn states(&self) -> BTreeMap<u64, State> {
        let mut states = BTreeMap::new();
        let mut state = State::new();
        for (stamp, written) in &self.commits {
            for (key, expected) in &written.checks {
                let item = state.get(key);
                let holds = item.map(|item| item.found.stamp) == *expected
                    || expected.is_none()
                        && item
                            .and_then(|item| item.expires_ms)
                            .is_some_and(|ms| ms <= written.ended_ms);
                assert!(holds, "commit {stamp} has checked key {key} for {expected:?}: {item:?}");
            }
            for deed in &written.deeds {
                match deed {
                    Deed::Set(key, _, expires_ms) => {
                        let found = Found { stamp: *stamp, token: written.token };
                        state.insert(*key, Item { found, expires_ms: *expires_ms });
                    }
                    Deed::Delete(key) => drop(state.remove(key)),
                    Deed::Clear(keys) => state.retain(|key, _| !keys.contains(key)),
                }
            }
            states.insert(*stamp, state.clone());
        }
        states
    }

    /// Each look must be at a state that is not before the one of the look before it, nor before
    /// what was acknowledged when it began. The first such state leaves the most room to the rest.
    fn judge_chains(&mut self) {
        let states = self.states();
        for chain in std::mem::take(&mut self.chains) {
            let mut reached = 0;
            for look in &chain {
                let floor = reached.max(look.after);
                if let Some(at) = look.at {
                    assert!(at >= floor, "a look at {at}, after one at {floor}: {chain:?}");
                }
                let until = look.at.unwrap_or(u64::MAX);
                let first = look.at.unwrap_or(floor);
                let before = states.range(..=first).next_back();
                let before = before.map(|(_, state)| state.clone()).unwrap_or_default();
                reached = if look.fits(&before) {
                    first
                } else {
                    let mut later = states.range(first + 1..).take_while(|(at, _)| **at <= until);
                    let place = later.find(|(_, state)| look.fits(state)).map(|(at, _)| *at);
                    place.unwrap_or_else(|| {
                        panic!("{look:?} is at no moment from {floor} on: {states:?}, {chain:?}")
                    })
                };
            }
        }
    }

    /// What is in the journal is all that is left.
    fn keep_prefix(&mut self, journal: &[(u64, u32)], power_failed: bool) {
        let last = journal.iter().map(|(stamp, _)| *stamp).max().unwrap_or(0);
        let floor = if power_failed { self.promised } else { self.acknowledged };
        let kept = journal.len();
        let known = self.commits.range(..=last).count();
        assert_eq!(
            kept, known,
            "the journal has holes before {last}: {journal:?}, {:?}",
            self.commits
        );
        let missed = self.commits.range(last + 1..).next().filter(|(stamp, _)| **stamp <= floor);
        assert!(
            missed.is_none(),
            "{missed:?} is gone: the store ends at {last}, with {floor} told"
        );
        let highest = self.commits.keys().next_back().copied().unwrap_or(0);
        self.spent = self.spent.max(highest).max(self.acknowledged);
        self.commits.split_off(&(last + 1));
        self.doubtful.clear();
        (self.acknowledged, self.promised) = (last, last);
    }
}
