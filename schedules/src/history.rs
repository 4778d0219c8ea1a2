//! What was committed and what was read, and whether it fits one order of commits: that of their
//! stamps, strictly, so that whoever begins after a commit was acknowledged sees it (I9).
//!
//! Threads note what they do as they do it, under a lock of `std` at which no thread changes. What
//! was read is judged at the end, when the stamps of all commits are known.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, Check, Engine, Error, Mutation, Outcome, Scan, Snapshot};
use icecore_model::Versionstamp;
use icecore_sync::model;

/// A key of the history.
pub type Key = u8;

/// The bytes of a key.
#[must_use]
pub fn key_bytes(key: Key) -> Vec<u8> {
    vec![DATA, b'k', key]
}

/// By key, which commit wrote what is there, and the number of the value.
pub type State = BTreeMap<Key, (u64, u32)>;

/// One commit. A value is a number that is used once; `None` deletes.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// What it expected: a stamp of each key.
    pub checks: Vec<(Key, Option<u64>)>,
    /// What it did.
    pub sets: Vec<(Key, Option<u32>)>,
}

/// What a reader saw.
#[derive(Debug)]
enum Seen {
    /// One key; `after` was acknowledged when the read began.
    Point { after: u64, key: Key, found: Option<(u64, u32)> },
    /// Everything at a stamp; likewise.
    Whole { after: u64, at: u64, state: State },
}

/// All that is known.
#[derive(Debug, Default)]
pub struct History {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    commits: BTreeMap<u64, Written>,
    /// Commits of which nobody was told a stamp.
    doubtful: Vec<Written>,
    /// The highest stamp that anybody was told of.
    acknowledged: u64,
    /// The highest stamp that was promised to survive a power cut.
    promised: u64,
    seen: Vec<Seen>,
    values: u32,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A value that nobody else writes, of about `bytes`.
    pub fn value(&self, bytes: usize) -> (u32, Vec<u8>) {
        let mut inner = self.lock();
        inner.values += 1;
        let number = inner.values;
        let mut value = number.to_le_bytes().to_vec();
        value.resize(bytes.max(4), number.to_le_bytes()[0]);
        (number, value)
    }

    /// Commits, and notes it. `submit` does it its own way, and says of which stamp it was told, and
    /// whether that is durable.
    pub fn commit(
        &self,
        checks: &[(Key, Option<Versionstamp>)],
        sets: &[(Key, Option<usize>)],
        submit: impl FnOnce(Batch<'_>) -> (Result<Outcome, Error>, bool),
    ) -> Result<(), Error> {
        let begun_after = self.lock().acknowledged;
        let values: Vec<_> = sets.iter().map(|(_, n)| n.map(|n| self.value(n))).collect();
        let keys: Vec<_> = sets.iter().map(|(key, _)| key_bytes(*key)).collect();
        let mutations: Vec<_> = keys
            .iter()
            .zip(&values)
            .map(|(key, value)| match value {
                Some((_, value)) => Mutation::Set { key, value, expires_at: None },
                None => Mutation::Delete { key },
            })
            .collect();
        let checked: Vec<_> = checks.iter().map(|(key, _)| key_bytes(*key)).collect();
        let expected = checks.iter().map(|(_, stamp)| *stamp);
        let checks_of: Vec<_> =
            checked.iter().zip(expected).map(|(key, expected)| Check { key, expected }).collect();
        let written = Written {
            checks: checks.iter().map(|(key, stamp)| (*key, stamp.map(|s| s.get()))).collect(),
            sets: sets
                .iter()
                .zip(&values)
                .map(|((key, _), value)| (*key, value.as_ref().map(|(number, _)| *number)))
                .collect(),
        };
        let (outcome, durable) = submit(Batch { checks: &checks_of, mutations: &mutations });
        let mut inner = self.lock();
        match &outcome {
            Ok(Outcome::Committed(stamp)) => {
                let stamp = stamp.get();
                assert!(stamp > begun_after, "commit {stamp} began after {begun_after} was told");
                let twice = inner.commits.insert(stamp, written);
                assert!(twice.is_none(), "the stamp {stamp} was given twice");
                inner.acknowledged = inner.acknowledged.max(stamp);
                if durable {
                    inner.promised = inner.promised.max(stamp);
                }
            }
            Ok(Outcome::CheckFailed { .. }) => assert!(!checks.is_empty(), "no check can fail"),
            Err(_) => inner.doubtful.push(written),
        }
        outcome.map(drop)
    }

    /// Reads one key.
    pub fn read(&self, engine: &Engine, key: Key) -> Result<Option<Versionstamp>, Error> {
        let after = self.lock().acknowledged;
        let record = engine.get(&key_bytes(key))?;
        let found = record.as_ref().map(|r| (r.stamp.get(), number_of(&r.value)));
        self.lock().seen.push(Seen::Point { after, key, found });
        Ok(record.map(|r| r.stamp))
    }

    /// Takes a picture, which sees at least what was acknowledged.
    pub fn snapshot(&self, engine: &Engine) -> Result<(u64, Snapshot), Error> {
        let after = self.lock().acknowledged;
        Ok((after, engine.snapshot()?))
    }

    /// Reads all keys of a picture.
    pub fn look(&self, (after, snapshot): &(u64, Snapshot)) -> Result<State, Error> {
        let state = collect(snapshot.scan(&[DATA], &[DATA + 1]))?;
        self.note_whole(*after, snapshot.at().get(), &state);
        Ok(state)
    }

    /// Notes that `state` is what there was at `at`.
    pub fn note_whole(&self, after: u64, at: u64, state: &State) {
        self.lock().seen.push(Seen::Whole { after, at, state: state.clone() });
    }

    /// The stamps of all commits that were acknowledged.
    pub fn stamps(&self) -> Vec<u64> {
        self.lock().commits.keys().copied().collect()
    }

    /// Judges everything that was noted.
    ///
    /// # Panics
    /// When it fits no order.
    pub fn judge(&self) {
        let inner = &mut *self.lock();
        inner.adopt();
        let states = inner.states();
        let until = |at: u64| states.range(..=at).next_back().map(|(_, s)| s.clone());
        for seen in &inner.seen {
            match seen {
                Seen::Whole { after, at, state } => {
                    assert!(at >= after, "a picture at {at} began after {after} was told");
                    let right = until(*at).unwrap_or_default();
                    assert_eq!(*state, right, "a picture at {at} is not what was committed");
                }
                Seen::Point { after, key, found } => {
                    let fits = |state: &State| state.get(key) == found.as_ref();
                    let first = until(*after).unwrap_or_default();
                    let holds =
                        fits(&first) || states.range(after + 1..).any(|(_, state)| fits(state));
                    assert!(holds, "{key} was read as {found:?} after {after}: {states:?}");
                }
            }
        }
    }

    /// Judges what a store shows after it was opened again: a prefix of the commits, with all that
    /// was acknowledged, or only what was promised if the power failed.
    ///
    /// # Panics
    /// When it is none.
    pub fn judge_reopened(&self, engine: &Engine, power_cut: bool) {
        let scan = engine.scan(&[DATA], &[DATA + 1]).expect("an open store can be read");
        let state = collect(scan).expect("every entry can be read");
        let inner = &mut *self.lock();
        inner.adopt_from(&state);
        let floor = if power_cut { inner.promised } else { inner.acknowledged };
        let mut states = inner.states();
        let first = states.range(..=floor).next_back().map(|(_, s)| s.clone()).unwrap_or_default();
        let rest = states.split_off(&(floor + 1));
        let holds = first == state || rest.values().any(|later| *later == state);
        assert!(holds, "{state:?} is no prefix with all up to {floor}: {first:?}, {rest:?}");
    }
}

impl Inner {
    /// Finds the stamps of doubtful commits in what was read.
    fn adopt(&mut self) {
        let mut known = State::new();
        let mut found = Vec::new();
        for seen in &self.seen {
            match seen {
                Seen::Whole { state, .. } => found.extend(state.values().copied()),
                Seen::Point { found: one, .. } => found.extend(one.iter().copied()),
            }
        }
        for item in found {
            // One at a time: a key may have been read at many stamps.
            known.insert(0, item);
            self.adopt_from(&known);
        }
    }

    fn adopt_from(&mut self, state: &State) {
        for (stamp, number) in state.values() {
            if self.commits.contains_key(stamp) {
                continue;
            }
            let wrote = |w: &Written| w.sets.iter().any(|(_, value)| *value == Some(*number));
            let place = self.doubtful.iter().position(wrote);
            let place = place.unwrap_or_else(|| panic!("nobody wrote {number} at {stamp}"));
            let written = self.doubtful.swap_remove(place);
            self.commits.insert(*stamp, written);
        }
    }

    /// What there is after each commit. The checks of each are compared with the state before it.
    fn states(&self) -> BTreeMap<u64, State> {
        let mut states = BTreeMap::new();
        let mut state = State::new();
        for (stamp, written) in &self.commits {
            for (key, expected) in &written.checks {
                let actual = state.get(key).map(|(stamp, _)| *stamp);
                assert_eq!(actual, *expected, "commit {stamp} has checked key {key}");
            }
            for (key, value) in &written.sets {
                match value {
                    Some(number) => drop(state.insert(*key, (*stamp, *number))),
                    None => drop(state.remove(key)),
                }
            }
            states.insert(*stamp, state.clone());
        }
        states
    }
}

/// Everything that a scan gives.
pub fn collect(scan: Scan) -> Result<State, Error> {
    scan.filter(|item| item.as_ref().map_or(true, |item| item.key()[1] == b'k'))
        .map(|item| item.map(|item| (item.key()[2], (item.stamp.get(), number_of(&item.value)))))
        .collect()
}

fn number_of(value: &[u8]) -> u32 {
    let bytes = value[..4].try_into().expect("four bytes");
    let number = u32::from_le_bytes(bytes);
    assert!(
        value[4..].iter().all(|byte| *byte == number.to_le_bytes()[0]),
        "value {number} is damaged"
    );
    number
}

/// Holds that no thread waited until its time was over.
pub fn assert_never_idle() {
    assert_eq!(model::idles(), 0, "everybody waited, and only a time limit went on");
}
