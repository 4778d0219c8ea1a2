//! Merges of lists against a map, with changes of direction at random.

use std::collections::BTreeMap;

use icecore_model::{Change, RangeTombstone, Timestamp};
use proptest::prelude::*;

use super::*;

/// An entry that owns its bytes; no value is a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    key: Vec<u8>,
    stamp: u64,
    value: Option<Vec<u8>>,
    expires_ms: u64,
}

impl Owned {
    fn new(key: u8, stamp: u64, expires_ms: Option<u64>) -> Owned {
        let value = expires_ms.map(|_| vec![key; usize::from(key)]);
        Owned { key: vec![key], stamp, value, expires_ms: expires_ms.unwrap_or(0) }
    }

    fn entry(&self) -> Entry<'_> {
        let expires_at = Timestamp::from_ms(self.expires_ms);
        let change = match &self.value {
            Some(value) => Change::Put { value, expires_at },
            None => Change::Delete,
        };
        Entry { key: &self.key, stamp: Versionstamp::new(self.stamp), change }
    }
}

/// A list as a source. It counts its moves and fails at one of them.
#[derive(Clone, Debug)]
struct List {
    entries: Vec<Owned>,
    /// An index, or none at an end.
    at: Option<usize>,
    moves_left: usize,
}

impl List {
    fn new(entries: Vec<Owned>) -> List {
        List { entries, at: None, moves_left: usize::MAX }
    }

    fn go(&mut self, to: Option<usize>) -> Result<(), &'static str> {
        self.moves_left = self.moves_left.checked_sub(1).ok_or("broken")?;
        self.at = to.filter(|index| *index < self.entries.len());
        Ok(())
    }

    fn standing(&self) -> usize {
        self.at.expect("a step is taken from an entry")
    }
}

impl Source for List {
    type Error = &'static str;

    fn seek_first(&mut self) -> Result<(), &'static str> {
        self.go(Some(0))
    }
    fn seek_last(&mut self) -> Result<(), &'static str> {
        self.go(self.entries.len().checked_sub(1))
    }
    fn seek(&mut self, key: &[u8]) -> Result<(), &'static str> {
        self.go(Some(self.entries.partition_point(|e| &e.key[..] < key)))
    }
    fn seek_before(&mut self, key: &[u8]) -> Result<(), &'static str> {
        self.go(self.entries.partition_point(|e| &e.key[..] < key).checked_sub(1))
    }
    fn next(&mut self) -> Result<(), &'static str> {
        self.go(Some(self.standing() + 1))
    }
    fn prev(&mut self) -> Result<(), &'static str> {
        self.go(self.standing().checked_sub(1))
    }
    fn run<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, &'static str> {
        while let Some(index) = self.at {
            if let ControlFlow::Break(found) = see(self.entries[index].entry()) {
                return Ok(Some(found));
            }
            Source::next(self)?;
        }
        Ok(None)
    }
    fn run_back<B>(
        &mut self,
        see: &mut impl FnMut(Entry<'_>) -> ControlFlow<B>,
    ) -> Result<Option<B>, &'static str> {
        while let Some(index) = self.at {
            if let ControlFlow::Break(found) = see(self.entries[index].entry()) {
                return Ok(Some(found));
            }
            Source::prev(self)?;
        }
        Ok(None)
    }
    fn entry(&self) -> Option<Entry<'_>> {
        self.at.map(|index| self.entries[index].entry())
    }
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn value_bytes(&self) -> Result<Bytes, &'static str> {
        Ok(Bytes::from(self.entries[self.standing()].value.clone().unwrap_or_default()))
    }
}

impl VersionSource for List {
    type Error = &'static str;

    fn first(&mut self) -> Result<(), &'static str> {
        self.seek_first()
    }
    fn next(&mut self) -> Result<(), &'static str> {
        Source::next(self)
    }
    fn entry(&self) -> Option<Entry<'_>> {
        Source::entry(self)
    }
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

const AT: Versionstamp = Versionstamp::new(60);
const NOW_MS: u64 = 10;

/// What a merge of `lists` is to show.
fn expected(lists: &[Vec<Owned>], ranges: &[RangeSet]) -> Vec<Owned> {
    let mut newest: BTreeMap<&[u8], &Owned> = BTreeMap::new();
    for entry in lists.iter().flatten() {
        let held = newest.entry(&entry.key).or_insert(entry);
        if held.stamp < entry.stamp {
            *held = entry;
        }
    }
    let covered = |e: &Owned| {
        let covers = |set: &RangeSet| set.covering(&e.key, AT).is_some_and(|s| s.get() > e.stamp);
        ranges.iter().any(covers)
    };
    let alive = |e: &Owned| e.value.is_some() && (e.expires_ms == 0 || e.expires_ms > NOW_MS);
    newest.into_values().filter(|e| alive(e) && !covered(e)).cloned().collect()
}

#[derive(Clone, Debug)]
enum Move {
    Seek(u8),
    SeekBefore(u8),
    Next,
    Prev,
    /// Shows so many entries, as far as this key.
    Run(usize, u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        2 => (0u8..22).prop_map(Move::Seek),
        2 => (0u8..22).prop_map(Move::SeekBefore),
        8 => Just(Move::Next),
        8 => Just(Move::Prev),
        4 => (1usize..8, 0u8..22).prop_map(|(count, limit)| Move::Run(count, limit)),
    ];
    proptest::collection::vec(one, 0..60)
}

/// Lets `merge` run along `model`, from the place `at`, and says where it is to stand then.
fn run<F: Filter>(
    merge: &mut Merge<List, F>,
    model: &[Owned],
    at: usize,
    (count, limit): (usize, u8),
) -> Result<usize, TestCaseError> {
    let forward = merge.direction == Direction::Forward;
    let ahead = if forward { at.saturating_sub(1)..model.len() } else { 0..at.min(model.len()) };
    let is_at_entry = (1..=model.len()).contains(&at);
    let ahead: Vec<usize> = if forward { ahead.collect() } else { ahead.rev().collect() };
    let near = |index: &usize| {
        let key = model[*index].key[0];
        is_at_entry && if forward { key < limit } else { key >= limit }
    };
    let wanted: Vec<usize> = ahead.into_iter().take_while(near).take(count).collect();
    let mut shown = Vec::new();
    let key = [limit];
    let limit = if forward { Limit::Before(&key) } else { Limit::UpTo(&key) };
    let broken = merge.run(limit, |entry| {
        shown.push((entry.key.to_vec(), entry.stamp.get()));
        if shown.len() == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let told = |index: &usize| (model[*index].key.clone(), model[*index].stamp);
    prop_assert_eq!(shown, wanted.iter().map(told).collect::<Vec<_>>());
    prop_assert_eq!(broken, Ok((wanted.len() == count).then_some(())));
    match wanted.last() {
        Some(last) if wanted.len() == count => Ok(last + 1),
        _ => {
            merge.seek_before(&[0]).unwrap();
            Ok(0)
        }
    }
}

fn change() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 3 => Just(Some(0)), 2 => (1u64..20).prop_map(Some)]
}

/// Lists with one entry per key each; no version is in two of them.
fn lists() -> impl Strategy<Value = Vec<Vec<Owned>>> {
    let list = proptest::collection::btree_map(0u8..20, (0u64..10, change()), 0..16);
    proptest::collection::vec(list, 0..6).prop_map(|maps| {
        let stamp = |rough: u64, index: usize| rough * 6 + index as u64;
        let entries = |(index, map): (usize, BTreeMap<u8, (u64, Option<u64>)>)| {
            map.into_iter().map(|(k, (s, change))| Owned::new(k, stamp(s, index), change)).collect()
        };
        maps.into_iter().enumerate().map(entries).collect()
    })
}

fn range_sets() -> impl Strategy<Value = Vec<RangeSet>> {
    let one = (0u8..20, 1u8..22, 0u64..70).prop_map(|(start, end, stamp)| RangeTombstone {
        start: vec![start],
        end: vec![end],
        stamp: Versionstamp::new(stamp),
    });
    let set = proptest::collection::vec(one, 0..3).prop_map(RangeSet::new);
    proptest::collection::vec(set, 0..3)
}

/// What a reader at `AT` and `NOW_MS` must not see.
fn hides(entry: &Entry<'_>, ranges: &[RangeSet]) -> bool {
    let is_gone = match entry.change {
        Change::Put { expires_at, .. } => expires_at.is_some_and(|at| at.ms() <= NOW_MS),
        Change::Delete => true,
    };
    is_gone || is_covered(entry, ranges, AT)
}

proptest! {
    #[test]
    fn a_merge_moves_like_a_cursor_over_a_map(
        lists in lists(), ranges in range_sets(), moves in moves(),
    ) {
        let model = expected(&lists, &ranges);
        let sources = lists.into_iter().map(List::new).collect();
        let mut merge = Merge::new(sources, |e: &Entry<'_>| hides(e, &ranges));
        // One more than the index, so that 0 is before the first and `len + 1` behind the last.
        let (before, behind) = (0, model.len() + 1);
        let mut at = before;
        for step in moves {
            let lower = |key: u8| model.partition_point(|e| e.key[0] < key);
            match step {
                Move::Seek(key) => (at, _) = (lower(key) + 1, merge.seek(&[key]).unwrap()),
                Move::SeekBefore(key) => (at, _) = (lower(key), merge.seek_before(&[key]).unwrap()),
                Move::Next => (at, _) = ((at + 1).min(behind), merge.next().unwrap()),
                Move::Prev => (at, _) = (at.saturating_sub(1), merge.prev().unwrap()),
                Move::Run(count, limit) => at = run(&mut merge, &model, at, (count, limit))?,
            }
            let entry = at.checked_sub(1).and_then(|index| model.get(index));
            prop_assert_eq!(merge.entry(), entry.map(Owned::entry));
            let value = entry.and_then(|e| e.value.clone()).unwrap_or_default();
            prop_assert_eq!(merge.value_bytes(), Ok(Bytes::from(value)));
        }
    }

    #[test]
    fn a_merge_of_versions_shows_each_version_once_in_order(
        versions in proptest::collection::btree_map((0u8..8, 0u64..30), change(), 0..60),
        homes in proptest::collection::vec(1u8..8, 60),
    ) {
        let mut model: Vec<Owned> =
            versions.into_iter().map(|((key, at), c)| Owned::new(key, at, c)).collect();
        model.sort_by(|a, b| a.entry().order(&b.entry()));
        // Bit `n` of a version's home says whether list `n` holds it.
        let list = |n: usize| {
            model.iter().zip(&homes).filter(move |(_, home)| (**home >> n) & 1 == 1).map(|(e, _)| e)
        };
        let sources = (0..3).map(|n| List::new(list(n).cloned().collect())).collect();
        let mut merge = MergeVersions::new(sources).unwrap();
        for version in &model {
            prop_assert_eq!(merge.entry(), Some(version.entry()));
            merge.next().unwrap();
        }
        prop_assert_eq!(merge.entry(), None);
        merge.next().unwrap();
        prop_assert_eq!(merge.entry(), None);
    }

    #[test]
    fn after_an_error_a_merge_is_empty_for_good(
        lists in lists(), broken in 0usize..6, moves_left in 0usize..12,
    ) {
        let mut sources: Vec<List> = lists.into_iter().map(List::new).collect();
        if let Some(list) = sources.get_mut(broken) {
            list.moves_left = moves_left;
        }
        let mut merge = Merge::new(sources.clone(), |_: &Entry<'_>| false);
        let mut result = merge.seek(&[]);
        while result.is_ok() && merge.entry().is_some() {
            result = merge.next();
        }
        if result.is_err() {
            prop_assert_eq!(merge.entry(), None);
            prop_assert_eq!(merge.seek_before(&[99]), Ok(()));
            prop_assert_eq!(merge.prev(), Ok(()));
            prop_assert_eq!(merge.entry(), None);
        }
        let Ok(mut merge) = MergeVersions::new(sources) else { return Ok(()) };
        let mut result = Ok(());
        while result.is_ok() && merge.entry().is_some() {
            result = merge.next();
        }
        if result.is_err() {
            prop_assert_eq!(merge.next(), Ok(()));
            prop_assert_eq!(merge.entry(), None);
        }
    }
}

#[test]
fn a_merge_without_sources_is_empty() {
    let mut merge = Merge::new(Vec::<List>::new(), |_: &Entry<'_>| false);
    merge.seek(&[]).unwrap();
    merge.prev().unwrap();
    assert_eq!((merge.entry(), merge.value_bytes()), (None, Ok(Bytes::new())));
}

#[test]
fn an_entry_is_covered_by_later_ranges_that_its_reader_sees() {
    let set = RangeSet::new([RangeTombstone {
        start: vec![3],
        end: vec![7],
        stamp: Versionstamp::new(20),
    }]);
    let covers_at = |key, stamp, at| {
        let owned = Owned::new(key, stamp, Some(0));
        is_covered(&owned.entry(), [&RangeSet::default(), &set], Versionstamp::new(at))
    };
    assert!(covers_at(3, 19, 20));
    assert!(!covers_at(3, 20, 20));
    assert!(!covers_at(3, 10, 19));
    assert!(!covers_at(7, 10, 30));
}

#[test]
fn a_bounded_merge_does_not_walk_over_what_is_hidden_outside() {
    let shown = 100..103;
    let entries = (0..200).map(|key| Owned::new(key, 1, shown.contains(&key).then_some(0)));
    let source = List { moves_left: 6, ..List::new(entries.collect()) };
    let deleted = |e: &Entry<'_>| e.change == Change::Delete;
    let merge = || Merge::new(vec![source.clone()], deleted).within(&[100], &[103]);
    let mut forward = merge();
    forward.seek(&[100]).unwrap();
    for key in shown.clone() {
        assert_eq!(forward.entry().unwrap().key, [key]);
        forward.next().unwrap();
    }
    assert!(forward.entry().is_none_or(|entry| entry.key >= &[103][..]));
    let mut backward = merge();
    backward.seek_before(&[103]).unwrap();
    for key in shown.rev() {
        assert_eq!(backward.entry().unwrap().key, [key]);
        backward.prev().unwrap();
    }
    assert!(backward.entry().is_none_or(|entry| entry.key < &[100][..]));
}
