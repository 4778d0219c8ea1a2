//! The replay: commits in the order of their versionstamps, and whether all that was seen fits.
//!
//! 1. No versionstamp is given twice, and a commit that began after another was acknowledged has
//!    the higher one: the order is that of real time.
//! 2. The checks of a commit hold in the state before it. Those that failed, and no others, fail in
//!    some state between call and return.
//! 3. What a read showed is the state at one stamp, between what was acknowledged before the call
//!    and what was visible after it; at the snapshot's own stamp, if there is one.
//! 4. A watch shows states, each not older than the one before, and the last one in the end.
//! 5. Every message of a commit was received, none else, and none before its time.
//! 6. No money was made or lost.
//!
//! Whether an entry has expired depends on a reading of the clock between the call and its return:
//! in between, both answers are right. When a frame was taken is not known at all.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use icecore::{Commit, Key, Value, Versionstamp};

use super::history::{Change, Looked, Received, Record, Seen, Span, Tried};

/// After so many inconsistencies, one has seen enough.
const PROBLEMS_MAX: usize = 20;

/// What was checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) commits: usize,
    pub(crate) failed: usize,
    pub(crate) reads: usize,
    pub(crate) entries: usize,
    pub(crate) frames: usize,
    pub(crate) messages: usize,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { commits, failed, reads, entries, frames, messages } = self;
        write!(
            f,
            "{commits} commits, {failed} failed checks, {reads} reads of {entries} entries, \
             {frames} frames, {messages} messages"
        )
    }
}

/// What the store holds when everybody has gone home.
pub(crate) struct End {
    pub(crate) entries: Vec<Seen>,
    pub(crate) now_ms: u64,
    /// The sum of all balances, before and after.
    pub(crate) money: (u64, u64),
}

/// One version of a key.
#[derive(Clone, Debug)]
struct Version {
    stamp: Versionstamp,
    /// `None` for a deletion.
    value: Option<Value>,
    /// Between which two readings of the clock it expires.
    expires_ms: Option<(u64, u64)>,
}

/// Whether a version is there, or a check holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Yes,
    No,
    /// It expires about now.
    Either,
}

impl Presence {
    fn inverted(self) -> Presence {
        match self {
            Presence::Yes => Presence::No,
            Presence::No => Presence::Yes,
            Presence::Either => Presence::Either,
        }
    }
}

impl Version {
    fn presence(&self, span: &Span) -> Presence {
        match self.expires_ms {
            _ if self.value.is_none() => Presence::No,
            None => Presence::Yes,
            Some((_, latest)) if latest <= span.began_ms => Presence::No,
            Some((earliest, _)) if earliest > span.ended_ms => Presence::Yes,
            Some(_) => Presence::Either,
        }
    }
}

/// Every version of every key, oldest first.
#[derive(Default)]
struct Replay {
    keys: BTreeMap<Key, Vec<Version>>,
    stamps: Vec<Versionstamp>,
}

impl Replay {
    fn newest(&self, key: &Key, at: Versionstamp) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        let end = versions.partition_point(|version| version.stamp <= at);
        versions[..end].last()
    }

    /// Whether `found` can be what a read at `at` shows.
    fn fits(&self, seen: &Seen, at: Versionstamp, span: &Span) -> bool {
        let version = self.newest(&seen.key, at);
        let presence = version.map_or(Presence::No, |version| version.presence(span));
        match (&seen.found, version) {
            (None, _) => presence != Presence::Yes,
            (Some(_), None) => false,
            (Some((value, stamp)), Some(version)) => {
                presence != Presence::No
                    && version.stamp == *stamp
                    && version.value.as_ref() == Some(value)
            }
        }
    }

    /// The stamps of commits from `low` to `high`, and `low` itself.
    fn moments(&self, low: Versionstamp, high: Versionstamp) -> impl Iterator<Item = Versionstamp> {
        let start = self.stamps.partition_point(|stamp| *stamp <= low);
        let end = self.stamps.partition_point(|stamp| *stamp <= high);
        std::iter::once(low).chain(self.stamps[start..end.max(start)].iter().copied())
    }

    fn apply(&mut self, tried: &Tried, stamp: Versionstamp) {
        self.stamps.push(stamp);
        for change in &tried.changes {
            let (key, value, expires_ms) = match change {
                Change::Set { key, value, lifetime_ms } => {
                    let Span { began_ms, ended_ms, .. } = tried.span;
                    let moment = |life: u64| (began_ms + life, ended_ms + life);
                    (key.clone(), Some(value.clone()), lifetime_ms.map(moment))
                }
                Change::SetVersionstamped { prefix, value } => {
                    (prefix.clone().with(stamp.to_string()), Some(value.clone()), None)
                }
                Change::Delete { key } => (key.clone(), None, None),
                Change::Sum { key, operand } => {
                    let before = self.newest(key, stamp).and_then(|v| v.value.clone());
                    let Some(Value::U64(number)) = before.or(Some(Value::U64(0))) else { continue };
                    (key.clone(), Some(Value::U64(number + operand)), None)
                }
                Change::Send { .. } => continue,
            };
            self.keys.entry(key).or_default().push(Version { stamp, value, expires_ms });
        }
    }
}

struct Checker {
    replay: Replay,
    totals: Totals,
    problems: Vec<String>,
}

/// Checks everything; the second part is what is wrong.
pub(crate) fn check(records: &[Record], end: &End) -> (Totals, Vec<String>) {
    let mut checker =
        Checker { replay: Replay::default(), totals: Totals::default(), problems: Vec::new() };
    checker.replay_commits(records);
    for record in records {
        record.tried.iter().for_each(|tried| checker.check_failure(tried));
        record.looked.iter().for_each(|looked| checker.check_look(looked));
        checker.check_frames(&record.frames);
    }
    checker.check_messages(records);
    checker.check_end(end);
    (checker.totals, checker.problems)
}

impl Checker {
    fn problem(&mut self, what: impl FnOnce() -> String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what());
        }
    }

    fn replay_commits(&mut self, records: &[Record]) {
        let tried = records.iter().flat_map(|record| &record.tried);
        let mut commits: Vec<(Versionstamp, &Tried)> =
            tried.filter_map(|tried| Some((tried.commit.versionstamp()?, tried))).collect();
        commits.sort_by_key(|(stamp, _)| *stamp);
        for pair in commits.windows(2) {
            if pair[0].0 == pair[1].0 {
                self.problem(|| format!("{} was given twice", pair[0].0));
            }
        }
        for (stamp, tried) in commits {
            self.totals.commits += 1;
            let Span { acknowledged, visible, .. } = tried.span;
            if stamp <= acknowledged || stamp > visible {
                self.problem(|| {
                    format!("{stamp} is not between {acknowledged} and {visible}: {tried:?}")
                });
            }
            for (key, expected) in &tried.checks {
                // In the state of all commits so far.
                if self.holds(key, *expected, Versionstamp::MAX, &tried.span) == Presence::No {
                    self.problem(|| format!("at {stamp} a check of {key} passed: {tried:?}"));
                }
            }
            self.replay.apply(tried, stamp);
        }
    }

    /// Whether a check holds in the state at `at`.
    fn holds(
        &self,
        key: &Key,
        expected: Option<Versionstamp>,
        at: Versionstamp,
        span: &Span,
    ) -> Presence {
        let version = self.replay.newest(key, at);
        let presence = version.map_or(Presence::No, |version| version.presence(span));
        match expected {
            None => presence.inverted(),
            Some(stamp) if version.is_some_and(|version| version.stamp == stamp) => presence,
            Some(_) => Presence::No,
        }
    }

    fn check_failure(&mut self, tried: &Tried) {
        let Commit::CheckFailed { indexes } = &tried.commit else { return };
        self.totals.failed += 1;
        let span = &tried.span;
        let explains = |at: Versionstamp| {
            tried.checks.iter().enumerate().all(|(index, (key, expected))| {
                let impossible =
                    if indexes.contains(&index) { Presence::Yes } else { Presence::No };
                self.holds(key, *expected, at, span) != impossible
            })
        };
        if !self.replay.moments(span.acknowledged, span.visible).any(explains) {
            self.problem(|| format!("no state explains what failed: {tried:?}"));
        }
    }

    fn check_look(&mut self, looked: &Looked) {
        self.totals.reads += 1;
        self.totals.entries += looked.seen.len();
        let explained = match looked.at {
            Some(at) => {
                at >= looked.span.acknowledged
                    && at <= looked.span.visible
                    && self.explains(looked, at)
            }
            None => {
                // Nothing that was shown is newer than the moment.
                let shown = looked.seen.iter().filter_map(|seen| Some(seen.found.as_ref()?.1));
                let low = shown.max().unwrap_or_default().max(looked.span.acknowledged);
                let mut moments = self.replay.moments(low, looked.span.visible);
                moments.any(|at| self.explains(looked, at))
            }
        };
        if !explained {
            self.problem(|| format!("no state explains what was read: {looked:?}"));
        }
    }

    fn explains(&self, looked: &Looked, at: Versionstamp) -> bool {
        let span = &looked.span;
        if !looked.seen.iter().all(|seen| self.replay.fits(seen, at, span)) {
            return false;
        }
        let Some(prefix) = &looked.all_of else { return true };
        let below = self.replay.keys.range(prefix.clone()..);
        let shown = looked.seen.iter().filter(|seen| seen.found.is_some());
        let mut listed = shown.map(|seen| &seen.key).peekable();
        for (key, _) in below.take_while(|(key, _)| key.starts_with(prefix)) {
            if listed.next_if_eq(&key).is_some() {
                continue;
            }
            let absent = Seen { key: key.clone(), found: None };
            if !self.replay.fits(&absent, at, span) {
                return false;
            }
        }
        listed.next().is_none()
    }

    fn check_frames(&mut self, frames: &[Vec<Seen>]) {
        self.totals.frames += frames.len();
        let span = Span {
            acknowledged: Versionstamp::ZERO,
            visible: Versionstamp::MAX,
            began_ms: 0,
            ended_ms: u64::MAX,
        };
        let mut low = Versionstamp::ZERO;
        for frame in frames {
            let shown = frame.iter().filter_map(|seen| Some(seen.found.as_ref()?.1));
            let from = shown.max().unwrap_or_default().max(low);
            let fits =
                |at: &Versionstamp| frame.iter().all(|seen| self.replay.fits(seen, *at, &span));
            let found = self.replay.moments(from, Versionstamp::MAX).find(fits);
            match found {
                Some(at) => low = at,
                None => self.problem(|| format!("no state after {low} explains {frame:?}")),
            }
        }
        let Some(last) = frames.last() else { return };
        if !last.iter().all(|seen| self.replay.fits(seen, Versionstamp::MAX, &span)) {
            self.problem(|| format!("the last frame is not the last state: {last:?}"));
        }
    }

    fn check_messages(&mut self, records: &[Record]) {
        let mut due: HashMap<u64, u64> = HashMap::new();
        for tried in records.iter().flat_map(|record| &record.tried) {
            for change in &tried.changes {
                if let (Change::Send { number, delay_ms }, Commit::Done { .. }) =
                    (change, &tried.commit)
                {
                    due.insert(*number, tried.span.began_ms + delay_ms);
                }
            }
        }
        let received: Vec<Received> =
            records.iter().flat_map(|record| &record.received).copied().collect();
        self.totals.messages += received.len();
        let mut missing = due.clone();
        for Received { number, at_ms } in received {
            match due.get(&number) {
                None => self.problem(|| format!("message {number} was never committed")),
                Some(due) if at_ms < *due => {
                    self.problem(|| format!("message {number} came at {at_ms}, before {due}"));
                }
                // Nobody failed and nothing crashed: each comes once.
                Some(_) if missing.remove(&number).is_none() => {
                    self.problem(|| format!("message {number} came twice"));
                }
                Some(_) => {}
            }
        }
        if let Some(number) = missing.keys().next() {
            let count = missing.len();
            self.problem(|| format!("{count} messages never came, {number} among them"));
        }
    }

    fn check_end(&mut self, end: &End) {
        let (before, after) = end.money;
        if before != after {
            self.problem(|| format!("there were {before} coins, and now there are {after}"));
        }
        let span = Span {
            acknowledged: Versionstamp::ZERO,
            visible: Versionstamp::MAX,
            began_ms: end.now_ms,
            ended_ms: end.now_ms,
        };
        let looked = Looked { span, at: None, all_of: Some(Key::new()), seen: end.entries.clone() };
        if !self.explains(&looked, Versionstamp::MAX) {
            self.problem(|| "the store does not end as the replay does".to_owned());
        }
    }
}
