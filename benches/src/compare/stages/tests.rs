//! The suite against stores that cheat: each way to be fast and wrong must be found out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crate::compare::Result;
use crate::compare::figure::Figure;
use crate::compare::key::Key;
use crate::compare::row::ROWS;
use crate::compare::stages::{Bench, Part, Stage, Task};
use crate::compare::store::{Change, Peer, Setup, Stamp, Stamps, Store, Visit};
use crate::compare::value;

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cheat {
    Nothing,
    /// One commit in a hundred is acknowledged and forgotten.
    Forgets,
    /// One commit is done although its checks have failed.
    Unchecked,
    /// Values come back with one bit changed at their end.
    Damages,
    /// Reads of one key give another one's value.
    Confuses,
    /// Lists leave out the last entry.
    Shortens,
    /// What was never set is found.
    Invents,
}

type Map = BTreeMap<Vec<u8>, (Stamp, Vec<u8>)>;

/// An ordered map, with stamps.
struct Memory {
    entries: Mutex<Map>,
    stamps: Stamps,
    commits: AtomicU64,
    cheated: Once,
    cheat: Cheat,
}

type Entries<'a> = MutexGuard<'a, Map>;

impl Memory {
    fn lock(&self) -> Entries<'_> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value as this store gives it back.
    fn told(&self, entry: &(Stamp, Vec<u8>)) -> Vec<u8> {
        let mut value = entry.1.clone();
        if let (Cheat::Damages, Some(last)) = (self.cheat, value.last_mut()) {
            *last ^= 1;
        }
        value
    }

    fn walk<'a>(
        &self,
        entries: impl Iterator<Item = (&'a Vec<u8>, &'a (Stamp, Vec<u8>))>,
        limit: usize,
        visit: Visit<'_>,
    ) -> Result<usize> {
        let mut listed: Vec<_> = entries.take(limit).collect();
        if self.cheat == Cheat::Shortens {
            listed.pop();
        }
        for (key, entry) in &listed {
            visit(key, entry.0, &self.told(entry))?;
        }
        Ok(listed.len())
    }
}

/// Moves one unit away from the account that a transfer has just read. Both are honest; that the
/// transfer is not refused is the cheat.
fn rival(entries: &mut Entries<'_>, stamp: Stamp, sets: &[(Key, Vec<u8>)]) {
    let concerned = |number: &u64| sets.iter().any(|(key, _)| key.number() == *number);
    let other = (0..).find(|number| !concerned(number)).unwrap();
    for (key, change) in [(sets[0].0, -1), (Key::of(other), 1)] {
        let (last, value) = entries.get_mut(key.encoded()).unwrap();
        *last = stamp;
        let content = value::content(key.number(), value).unwrap().wrapping_add_signed(change);
        let bytes = value.len();
        value::write(value, &key, content, bytes);
    }
}

impl Store for Memory {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mut entries = self.lock();
        let holds = |(key, stamp): &(Key, Option<Stamp>)| {
            entries.get(key.encoded()).map(|entry| entry.0) == *stamp
        };
        if !change.checks.iter().all(holds) {
            return Ok(false);
        }
        // All others are honest: their lost updates could make up for this one.
        if self.cheat == Cheat::Unchecked && !change.checks.is_empty() {
            self.cheated.call_once(|| rival(&mut entries, self.stamps.next(), change.sets));
        }
        let count = self.commits.fetch_add(1, Ordering::Relaxed);
        if self.cheat == Cheat::Forgets && count % 100 == 3 {
            return Ok(true);
        }
        let stamp = self.stamps.next();
        for (key, value) in change.sets {
            entries.insert(key.encoded().to_vec(), (stamp, value.clone()));
        }
        for key in change.deletes {
            entries.remove(key.encoded());
        }
        Ok(true)
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        let entries = self.lock();
        let found = match self.cheat {
            Cheat::Confuses | Cheat::Invents => {
                let exact = entries.contains_key(key.encoded());
                let other = if exact == (self.cheat == Cheat::Confuses) {
                    entries.range(key.encoded().to_vec()..).nth(usize::from(exact))
                } else {
                    entries.get_key_value(key.encoded())
                };
                other.map(|(_, entry)| entry)
            }
            _ => entries.get(key.encoded()),
        };
        let Some(entry) = found else { return Ok(false) };
        visit(key.encoded(), entry.0, &self.told(entry))?;
        Ok(true)
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        let entries = self.lock();
        let mut count = 0;
        for key in keys {
            if let Some(entry) = entries.get(key.encoded()) {
                visit(key.encoded(), entry.0, &self.told(entry))?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        self.walk(self.lock().range(from.encoded().to_vec()..), limit, visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        self.walk(self.lock().range(..to.encoded().to_vec()).rev(), limit, visit)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn open(cheat: Cheat) -> Result<Box<dyn Store>> {
    let (entries, stamps, commits) = (Mutex::default(), Stamps::since_now(), AtomicU64::new(0));
    Ok(Box::new(Memory { entries, stamps, commits, cheated: Once::new(), cheat }))
}

/// Runs a stage against the store of `open`: its figures and how it ended.
fn run(
    stage: Stage,
    open: fn(&Path, Setup) -> Result<Box<dyn Store>>,
) -> (Vec<Figure>, Result<()>) {
    let peer = Box::leak(Box::new(Peer { name: "memory", open, buffered_survives: "", setup: "" }));
    let directory = tempfile::tempdir().unwrap();
    let task = Task {
        stage,
        peer: "memory".into(),
        rows: ROWS.iter().map(|row| row.name.to_owned()).collect(),
        round: 0,
        seed: 1,
        keys: 2000,
        seconds: 0.02,
        directory: directory.path().to_owned(),
        memory_bytes: 1 << 20,
        group: None,
        part: Part::Whole,
    };
    let mut figures = Vec::new();
    let ended = Bench::run(&task, peer, &mut |figure| figures.push(figure));
    (figures, ended)
}

/// What went wrong in a stage, as text.
fn failures(outcome: (Vec<Figure>, Result<()>)) -> String {
    let (figures, ended) = outcome;
    let failed = figures.iter().filter_map(|figure| figure.failure.clone());
    failed.chain(ended.err().map(|error| error.to_string())).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_honest_store_has_a_figure_in_every_row() {
    for stage in [Stage::Durable, Stage::Buffered, Stage::Load, Stage::Main, Stage::Values] {
        let (figures, ended) = run(stage, |_, _| open(Cheat::Nothing));
        ended.unwrap();
        for row in ROWS.iter().filter(|row| row.stage == stage) {
            let figure = figures.iter().find(|figure| figure.row == row.name).unwrap();
            assert_eq!(figure.failure, None, "{}", row.name);
        }
    }
}

#[test]
fn a_forgotten_commit_is_found_out_in_every_stage() {
    for stage in [Stage::Durable, Stage::Buffered, Stage::Main] {
        let failures = failures(run(stage, |_, _| open(Cheat::Forgets)));
        assert!(!failures.is_empty(), "{stage:?}");
    }
}

#[test]
fn a_commit_in_spite_of_its_checks_changes_the_total() {
    let failures = failures(run(Stage::Buffered, |_, _| open(Cheat::Unchecked)));
    assert_eq!(failures, "the total is 1000001 instead of 1000000");
}

#[test]
fn a_damaged_value_is_found_out_at_the_end() {
    let failures = failures(run(Stage::Load, |_, _| open(Cheat::Damages)));
    assert!(failures.contains("is damaged"), "{failures}");
}

#[test]
fn the_value_of_another_key_is_found_out_by_reads() {
    let failures = failures(run(Stage::Main, |_, _| open(Cheat::Confuses)));
    assert!(failures.contains("belongs to"), "{failures}");
}

#[test]
fn a_list_without_its_last_entry_is_found_out() {
    let failures = failures(run(Stage::Main, |_, _| open(Cheat::Shortens)));
    assert!(failures.contains("is missing"), "{failures}");
}

#[test]
fn a_key_that_was_never_set_is_found_out() {
    let failures = failures(run(Stage::Main, |_, _| open(Cheat::Invents)));
    assert!(failures.contains("was never set"), "{failures}");
}
