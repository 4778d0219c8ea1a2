//! The oracle: what a store must hold, kept as plainly as possible.
//!
//! It is a map from keys to all their versions, in stamp order, so that the state at any stamp can
//! be asked for, and everything above a stamp can be forgotten as a crash forgets it. It follows
//! the engine's rules by its own means: effects in order, at most one per key, a companion in
//! the expiry index for each entry that expires, a sweeper that deletes through that index.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::batch::{BatchSpec, CheckSpec, MutationSpec, Rewritten, rewrite};
use crate::violation::Violation;

/// The keyspace of the expiry index. The oracle states the format by itself, so that a change of
/// it is noticed.
const EXPIRY: u8 = 0xe0;
/// Where the sweeper notes how far it has come.
const WATERMARK_KEY: &[u8] = &[0xf0, b'w'];
/// How many entries one sweep deletes at most.
const SWEEP_ENTRIES_MAX: usize = 256;

/// About so many keys that must be absent are read at once, one by one. Walks show that nothing else is
/// there; short histories never have so many.
const ABSENT_READ_MAX: usize = 150;

/// A value and when it ends, in milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The content.
    pub bytes: Vec<u8>,
    /// From this moment on it is absent.
    pub expires_at: Option<u64>,
}

impl Value {
    /// Whether it is absent at the clock reading `now`.
    pub fn has_ended(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|moment| moment <= now)
    }
}

/// What a reader sees: keys with their stamps and values.
pub type State = BTreeMap<Vec<u8>, (u64, Value)>;

/// The effects of one commit: ranges first, then points, which win.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
    points: BTreeMap<Vec<u8>, Option<Value>>,
}

#[derive(Clone, Debug)]
struct Version {
    stamp: u64,
    value: Option<Value>,
}

/// The sweeper's note: what expired up to `moment` and is not newer than `stamp` stays gone.
#[derive(Clone, Copy, Debug)]
struct Mark {
    moment: u64,
    stamp: u64,
}

/// A commit whose survival is open.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Its stamp.
    pub stamp: u64,
    /// Whether its acknowledgement promises that it survives a power cut.
    pub sync: bool,
}

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct Model {
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    marks: Vec<Mark>,
    /// Commits that a crash may take away, ascending.
    open: Vec<Open>,
    /// Everything up to here survives whatever comes.
    durable: u64,
}

/// Why a batch has no effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fruitless {
    /// These checks fail.
    CheckFailed(Vec<usize>),
    /// A mutation refuses.
    Refused,
}

impl Model {
    /// Everything up to this stamp must survive a power cut.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Notes that everything up to `stamp` is durable.
    pub fn note_durable(&mut self, stamp: u64) {
        self.durable = self.durable.max(stamp);
        self.open.retain(|commit| commit.stamp > self.durable);
    }

    /// The highest stamp that must survive a power cut, if readers have seen up to `visible`: a
    /// `Sync` commit is visible only when it is durable.
    pub fn must_survive_power_cut(&self, visible: u64) -> u64 {
        let seen = self.open.iter().filter(|commit| commit.sync && commit.stamp <= visible);
        seen.map(|commit| commit.stamp).max().unwrap_or(0).max(self.durable)
    }

    /// The ends that a recovery may come to: the stamps of the open commits, and the durable end.
    pub fn possible_ends(&self) -> impl DoubleEndedIterator<Item = u64> {
        std::iter::once(self.durable).chain(self.open.iter().map(|commit| commit.stamp))
    }

    /// Forgets everything above `end`; what is left is durable.
    pub fn recovered(&mut self, end: u64) {
        for versions in self.keys.values_mut() {
            versions.retain(|version| version.stamp <= end);
        }
        self.keys.retain(|_, versions| !versions.is_empty());
        self.marks.retain(|mark| mark.stamp <= end);
        self.open.clear();
        self.durable = self.durable.max(end);
    }

    /// Forgets everything above `end`, promised or not.
    pub fn roll_back(&mut self, end: u64) {
        self.recovered(end);
        self.durable = end;
    }

    /// The stamps of all commits, open or not, ascending; and 0, for the state before the first.
    pub fn all_ends(&self) -> BTreeSet<u64> {
        let stamps = self.keys.values().flatten().map(|version| version.stamp);
        let open = self.open.iter().map(|commit| commit.stamp);
        stamps.chain(open).chain([0, self.durable]).collect()
    }

    /// The value of `key` at the stamp `at` and the clock reading `now`.
    pub fn get(&self, key: &[u8], at: u64, now: u64) -> Option<(u64, &Value)> {
        let mark = self.mark(at);
        self.keys.get(key).and_then(|versions| seen(versions, at, now, mark))
    }

    /// Everything at the stamp `at` and the clock reading `now`.
    pub fn state(&self, at: u64, now: u64) -> State {
        self.seen(self.keys.iter(), at, now)
    }

    /// Everything from `start` up to `end` at the stamp `at` and the clock reading `now`.
    pub fn state_within(&self, start: &[u8], end: &[u8], at: u64, now: u64) -> State {
        if start >= end {
            return State::new();
        }
        let range = (Bound::Included(start), Bound::Excluded(end));
        self.seen(self.keys.range::<[u8], _>(range), at, now)
    }

    fn seen<'a>(
        &self,
        keys: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<Version>)>,
        at: u64,
        now: u64,
    ) -> State {
        let mark = self.mark(at);
        let seen = |(key, versions): (&Vec<u8>, &'a Vec<Version>)| {
            let (stamp, value) = seen(versions, at, now, mark)?;
            Some((key.clone(), (stamp, value.clone())))
        };
        keys.filter_map(seen).collect()
    }

    fn mark(&self, at: u64) -> Option<Mark> {
        self.marks.iter().rfind(|mark| mark.stamp <= at).copied()
    }

    /// Every key that ever had a version.
    pub fn known_keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.keys.keys()
    }

    /// The keys to be read one by one where `present` is expected: all of those, and some of the others
    /// that ever had a version. These are all, or a part that is another one with each `turn`.
    pub fn keys_to_read<'a>(
        &'a self,
        present: &'a State,
        turn: u64,
    ) -> impl Iterator<Item = &'a Vec<u8>> {
        let parts = self.keys.len().saturating_sub(present.len()).div_ceil(ABSENT_READ_MAX).max(1);
        let keys = self.keys.keys().zip(turn..).filter(move |(key, number)| {
            number.is_multiple_of(parts as u64) || present.contains_key(*key)
        });
        keys.map(|(key, _)| key)
    }

    /// What `batch` must come to at `stamp` and the clock reading `now`: its effects, or why it has
    /// none.
    pub fn resolve(&self, batch: &BatchSpec, stamp: u64, now: u64) -> Result<Effects, Fruitless> {
        let failed = self.failed_checks(batch, now);
        if !failed.is_empty() {
            return Err(Fruitless::CheckFailed(failed));
        }
        self.effects(batch, stamp, now).ok_or(Fruitless::Refused)
    }

    fn failed_checks(&self, batch: &BatchSpec, now: u64) -> Vec<usize> {
        let fails = |check: &CheckSpec| {
            let actual = self.get(&check.key, u64::MAX, now).map(|(stamp, _)| stamp);
            actual != check.expected
        };
        let checks = batch.checks.iter().enumerate();
        checks.filter(|(_, check)| fails(check)).map(|(index, _)| index).collect()
    }

    fn effects(&self, batch: &BatchSpec, stamp: u64, now: u64) -> Option<Effects> {
        let mut effects = Effects::default();
        for mutation in &batch.mutations {
            match mutation {
                MutationSpec::Set { key, value } => effects.put(key.clone(), value.clone()),
                MutationSpec::SetVersionstamped { prefix, value } => {
                    let mut key = prefix.clone();
                    key.push(0x02);
                    key.extend_from_slice(format!("{stamp:016x}0000").as_bytes());
                    key.push(0x00);
                    effects.put(key, value.clone());
                }
                MutationSpec::Delete { key } => {
                    effects.points.insert(key.clone(), None);
                }
                MutationSpec::DeleteRange { start, end } => {
                    effects.points.retain(|key, _| !(start <= key && key < end));
                    effects.ranges.push((start.clone(), end.clone()));
                }
                MutationSpec::Update { key, rule } => {
                    let current = self.current(&effects, key, now);
                    match rewrite(*rule, current.as_ref()) {
                        Rewritten::Set(value) => effects.put(key.clone(), value),
                        Rewritten::Delete => {
                            effects.points.insert(key.clone(), None);
                        }
                        Rewritten::Keep => {}
                        Rewritten::Refuse => return None,
                    }
                }
            }
        }
        effects.add_companions();
        Some(effects)
    }

    /// The state of a key as the mutations so far have left it.
    fn current(&self, effects: &Effects, key: &[u8], now: u64) -> Option<Value> {
        let present = |value: &Value| value.expires_at.is_none_or(|moment| moment > now);
        match effects.points.get(key) {
            Some(change) => change.clone().filter(present),
            None if effects.ranges.iter().any(|(s, e)| &s[..] <= key && key < &e[..]) => None,
            None => self.get(key, u64::MAX, now).map(|(_, value)| value.clone()),
        }
    }

    /// Commits `effects` at `stamp`. Whether it survives a power cut is open.
    pub fn apply(&mut self, effects: Effects, stamp: u64, sync: bool) {
        for (start, end) in effects.ranges {
            for (_, versions) in self.keys.range_mut(start..end) {
                put_version(versions, Version { stamp, value: None });
            }
        }
        for (key, value) in effects.points {
            put_version(self.keys.entry(key).or_default(), Version { stamp, value });
        }
        self.open.push(Open { stamp, sync });
    }

    /// What the sweeper does at `now` if readers see up to `visible`: commits that at `stamp`.
    pub fn sweep(&mut self, stamp: u64, visible: u64, now: u64) -> Result<(), Violation> {
        let mut due: Vec<Vec<u8>> = (self.keys.range(vec![EXPIRY]..vec![EXPIRY + 1]))
            .filter(|(index, versions)| {
                moment_of(index) <= now && seen(versions, visible, now, None).is_some()
            })
            .map(|(index, _)| index.clone())
            .take(SWEEP_ENTRIES_MAX + 1)
            .collect();
        let more = due.len() > SWEEP_ENTRIES_MAX;
        due.truncate(SWEEP_ENTRIES_MAX);
        let Some(last) = due.last() else {
            return Err(Violation::new("the sweeper committed although nothing was due"));
        };
        // Of a full batch, only the moments before the last one are done with.
        let moment = moment_of(last) - u64::from(more);
        let mut effects = Effects::default();
        for index in &due {
            let key = &index[9..];
            let newest = self.keys.get(key).and_then(|versions| versions.last());
            let expires_at = newest.and_then(|v| v.value.as_ref()).and_then(|v| v.expires_at);
            if expires_at == Some(moment_of(index)) {
                effects.points.insert(key.to_vec(), None);
            }
            effects.points.insert(index.clone(), None);
        }
        // The mark never goes back, though the clock may have.
        if self.marks.last().is_none_or(|old| moment > old.moment) {
            let note = Value { bytes: moment.to_le_bytes().to_vec(), expires_at: None };
            effects.points.insert(WATERMARK_KEY.to_vec(), Some(note));
            self.marks.push(Mark { moment, stamp });
        }
        self.apply(effects, stamp, false);
        Ok(())
    }
}

impl Effects {
    fn put(&mut self, key: Vec<u8>, value: Value) {
        self.points.insert(key, Some(value));
    }

    fn add_companions(&mut self) {
        let companion = |(key, value): (&Vec<u8>, &Option<Value>)| {
            let moment = value.as_ref()?.expires_at?;
            let mut index = vec![EXPIRY];
            index.extend_from_slice(&moment.to_be_bytes());
            index.extend_from_slice(key);
            Some((index, Some(Value { bytes: Vec::new(), expires_at: None })))
        };
        let companions: Vec<_> = self.points.iter().filter_map(companion).collect();
        self.points.extend(companions);
    }
}

fn moment_of(index: &[u8]) -> u64 {
    u64::from_be_bytes(index[1..9].try_into().expect("an index key has eight bytes of time"))
}

fn put_version(versions: &mut Vec<Version>, version: Version) {
    if versions.last().is_some_and(|last| last.stamp == version.stamp) {
        versions.pop();
    }
    versions.push(version);
}

fn seen(versions: &[Version], at: u64, now: u64, mark: Option<Mark>) -> Option<(u64, &Value)> {
    let version = versions.iter().rfind(|version| version.stamp <= at)?;
    let value = version.value.as_ref()?;
    let expired = value.expires_at.is_some_and(|moment| {
        let swept = mark.is_some_and(|m| version.stamp <= m.stamp && moment <= m.moment);
        moment <= now || swept
    });
    (!expired).then_some((version.stamp, value))
}
