//! What a store must hold, whatever became of the process that wrote it.
//!
//! 1. *Durability*: what was acknowledged as durable is there. So is what an opened store has shown:
//!    whatever a reader sees after a recovery survives the next power cut.
//! 2. *Prefix, whole batches*: the store holds exactly what the batches up to some number have made.
//!    The store itself says the number, and everything else is compared with it.
//! 3. *Stamps*: every entry has the stamp that its batch was acknowledged with, and no stamp is ever
//!    given again: each new one is larger than all that anybody was shown, lost or not.
//! 4. *Fail-stop*: after a commit whose outcome is unknown, nothing is acknowledged until the store
//!    is opened again.

use std::collections::BTreeMap;
use std::path::Path;

use icecore_engine::keyspace::DATA;
use icecore_engine::{Create, Engine, Item, Options, Workers};

use super::batch::{COUNTER, Origin, State, apply};
use super::event::Event;

/// So many batches a child has under way at most.
pub(crate) const WINDOW: usize = 8;

/// What must not be, in words.
pub(crate) type Violation = String;

/// The history of one store.
#[derive(Clone, Debug)]
pub(crate) struct Chronicle {
    seed: u64,
    /// A number up to which the content is known to be what it was, and that content.
    base: u64,
    state: State,
    /// From which number on the batches are those of which life, ascending.
    lives: Vec<(u64, u64)>,
    /// The last batch that was acknowledged or found.
    told: u64,
    /// The last batch that must survive a power cut.
    floor: u64,
    /// The largest stamp that anybody was shown.
    shown: u64,
    /// The stamps of batches, as far as they are known.
    stamps: BTreeMap<u64, u64>,
    /// Whether a commit of this opening has failed so that its outcome is open.
    failed: bool,
    /// The checkpoints of this life, with the stamps of those that are complete.
    copies: BTreeMap<u64, Option<u64>>,
    /// How many batches were acknowledged as durable.
    durable: u64,
}

impl Chronicle {
    /// The history of a store that does not exist yet.
    pub(crate) fn new(seed: u64) -> Chronicle {
        Chronicle {
            seed,
            base: 0,
            state: State::new(),
            lives: Vec::new(),
            told: 0,
            floor: 0,
            shown: 0,
            stamps: BTreeMap::new(),
            failed: false,
            copies: BTreeMap::new(),
            durable: 0,
        }
    }

    /// How many acknowledgements of durable batches were received.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Demands no more than this number, for a store at an earlier moment of its life.
    pub(crate) fn lower_floor(&mut self, floor: u64) {
        assert!(floor <= self.floor && floor >= self.base, "an earlier moment of the same life");
        self.floor = floor;
    }

    /// Takes in what a child has said.
    pub(crate) fn note(&mut self, event: &Event) -> Result<(), Violation> {
        match *event {
            Event::Opening => self.failed = false,
            Event::Opened { number, life } => self.note_opened(number, life)?,
            Event::Committed { number, stamp, durable, .. } => {
                self.note_committed(number, stamp, durable)?;
            }
            Event::Failed { ref kind, .. } => {
                self.failed |= kind == "OutcomeUnknown" || kind == "Poisoned";
            }
            Event::Copying { copy } => {
                self.copies.insert(copy, None);
            }
            Event::Copied { copy, stamp } => {
                self.copies.insert(copy, Some(stamp));
            }
            Event::Misread { ref what } => return Err(format!("a child has misread: {what}")),
            Event::Unopened { .. } | Event::Trouble { .. } | Event::Done => {}
        }
        Ok(())
    }

    /// Takes in what a child has said when its machine was already losing its power. It must be true,
    /// but promises nothing: nobody outside would have heard it.
    pub(crate) fn note_too_late(&mut self, event: &Event) -> Result<(), Violation> {
        if matches!(event, Event::Copied { .. }) {
            return Ok(());
        }
        let (floor, durable) = (self.floor, self.durable);
        self.note(event)?;
        (self.floor, self.durable) = (floor, durable);
        Ok(())
    }

    /// A new process begins.
    pub(crate) fn begin(&mut self) {
        self.failed = false;
        self.copies.clear();
    }

    fn note_opened(&mut self, number: u64, life: u64) -> Result<(), Violation> {
        self.check_number(number)?;
        self.cut(number);
        self.lives.push((number + 1, life));
        self.failed = false;
        Ok(())
    }

    fn note_committed(&mut self, number: u64, stamp: u64, durable: bool) -> Result<(), Violation> {
        if self.failed {
            return Err(format!("batch {number} was acknowledged after a failure"));
        }
        if number != self.told + 1 {
            return Err(format!("batch {number} was acknowledged after batch {}", self.told));
        }
        if stamp <= self.shown {
            let shown = self.shown;
            return Err(format!("batch {number} has the stamp {stamp}, but {shown} was shown"));
        }
        (self.told, self.shown) = (number, stamp);
        self.stamps.insert(number, stamp);
        if durable {
            self.floor = number;
            self.durable += 1;
        }
        Ok(())
    }

    fn check_number(&self, number: u64) -> Result<(), Violation> {
        let most = self.told + WINDOW as u64;
        if (self.floor..=most).contains(&number) {
            return Ok(());
        }
        let floor = self.floor;
        Err(format!("the store is at batch {number}, but {floor} must and {most} may be there"))
    }

    /// The store was found at `number`: what came later never was.
    fn cut(&mut self, number: u64) {
        self.lives.retain(|(first, _)| *first <= number);
        self.stamps.split_off(&(number + 1));
        (self.told, self.floor) = (number, number);
    }

    /// What the batches up to `number` have made.
    fn state_at(&self, number: u64) -> Result<State, Violation> {
        let mut state = self.state.clone();
        let mut lives = self.lives.iter().peekable();
        let mut life = None;
        for number in self.base + 1..=number {
            while let Some((_, next)) = lives.next_if(|(first, _)| *first <= number) {
                life = Some(*next);
            }
            let life = life.ok_or_else(|| format!("nobody has made batch {number}"))?;
            apply(&mut state, number, Origin { seed: self.seed, life }.batch(number));
        }
        Ok(state)
    }

    /// Compares the store with what it must hold, and gives the number that it is at.
    pub(crate) fn verify(&mut self, engine: &Engine) -> Result<u64, Violation> {
        let items = read_all(engine)?;
        let number = number_of(&items)?;
        self.check_number(number)?;
        let state = self.state_at(number)?;
        self.cut(number);
        self.compare(&items, &state)?;
        self.shown = self.shown.max(engine.visible().get());
        (self.base, self.state) = (number, state);
        self.lives.clear();
        check_clean(engine)?;
        Ok(number)
    }

    /// Compares every checkpoint of the last life with what it must hold; `place` says where each
    /// is. To be done before the store itself is opened again. Gives how many were complete.
    pub(crate) fn verify_copies(
        &self,
        place: impl Fn(u64) -> std::path::PathBuf,
    ) -> Result<u64, Violation> {
        let mut complete = 0;
        for (copy, stamp) in &self.copies {
            let verified = self.verify_copy(&place(*copy), *stamp);
            verified.map_err(|what| format!("checkpoint {copy}: {what}"))?;
            complete += u64::from(stamp.is_some());
        }
        Ok(complete)
    }

    /// A checkpoint that was under way need not be a store; if it is one, it must be whole.
    fn verify_copy(&self, path: &Path, stamp: Option<u64>) -> Result<(), Violation> {
        let options =
            Options { create: Create::Never, workers: Workers::Manual, ..Options::default() };
        let engine = match Engine::open_path(path, options) {
            Err(_) if stamp.is_none() => return Ok(()),
            opened => opened.map_err(|e| format!("it cannot be opened: {e}"))?,
        };
        let items = read_all(&engine)?;
        let number = number_of(&items)?;
        if number < self.base || number > self.told + WINDOW as u64 {
            return Err(format!("it is at batch {number}, but the store at {}", self.told));
        }
        let state = self.state_at(number)?;
        compare_values(&items, &state)?;
        let Some(stamp) = stamp else { return check_clean(&engine) };
        // An opening may skip stamps, so that the copy is at one that no commit has.
        let newest = items.iter().map(|item| item.stamp.get()).max().unwrap_or(0);
        let next = self.stamps.get(&(number + 1)).copied().unwrap_or(u64::MAX);
        if stamp < newest || stamp >= next {
            return Err(format!("stamp {stamp} was told, but it lies from {newest} to {next}"));
        }
        check_clean(&engine)
    }

    /// Keys, values and stamps.
    fn compare(&mut self, items: &[Item], state: &State) -> Result<(), Violation> {
        compare_values(items, state)?;
        for (item, (number, _)) in items.iter().zip(state.values()) {
            let stamp = item.stamp.get();
            let known = *self.stamps.entry(*number).or_insert(stamp);
            if known != stamp {
                let key = item.key().escape_ascii();
                return Err(format!("{key} of batch {number} has stamp {stamp}, not {known}"));
            }
            self.shown = self.shown.max(stamp);
        }
        if !self.stamps.values().is_sorted_by(|a, b| a < b) {
            return Err("a batch that was not acknowledged has a stamp out of order".to_owned());
        }
        Ok(())
    }
}

/// Everything in the store, forwards; and the same backwards.
fn read_all(engine: &Engine) -> Result<Vec<Item>, Violation> {
    let scan = || engine.scan(&[DATA], &[DATA + 1]).map_err(|e| format!("no scan: {e}"));
    let read = |e| format!("a scan failed: {e}");
    let forwards = scan()?.collect::<Result<Vec<_>, _>>().map_err(read)?;
    let backwards = scan()?.rev().collect::<Result<Vec<_>, _>>().map_err(read)?;
    let pairs = forwards.iter().zip(backwards.iter().rev());
    let differ = |(a, b): (&Item, &Item)| a.key() != b.key() || a.value != b.value;
    if forwards.len() != backwards.len() || pairs.into_iter().any(differ) {
        return Err("a scan backwards shows something else than one forwards".to_owned());
    }
    Ok(forwards)
}

/// The number of the last batch.
fn number_of(items: &[Item]) -> Result<u64, Violation> {
    let Some(counter) = items.iter().find(|item| item.key() == COUNTER) else {
        return if items.is_empty() { Ok(0) } else { Err("the counter is missing".to_owned()) };
    };
    let bytes = counter.value.as_ref().try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| "the counter is no number".to_owned())
}

fn compare_values(items: &[Item], state: &State) -> Result<(), Violation> {
    let mut expected = state.iter();
    for item in items {
        let Some((key, (number, value))) = expected.next() else {
            return Err(format!("{} is too much", item.key().escape_ascii()));
        };
        if item.key() != key {
            let (found, key) = (item.key().escape_ascii(), key.escape_ascii());
            return Err(format!("{found} was found where {key} of batch {number} must be"));
        }
        if item.value[..] != value[..] {
            return Err(format!(
                "{} has another value than batch {number} set",
                key.escape_ascii()
            ));
        }
    }
    match expected.next() {
        None => Ok(()),
        Some((key, (number, _))) => {
            Err(format!("{} of batch {number} is missing", key.escape_ascii()))
        }
    }
}

fn check_clean(engine: &Engine) -> Result<(), Violation> {
    let report = engine.check().map_err(|e| format!("it cannot be checked: {e}"))?;
    match report.problems.first() {
        None => Ok(()),
        Some(first) => Err(format!("{report}: {first}")),
    }
}

#[cfg(test)]
mod tests;
