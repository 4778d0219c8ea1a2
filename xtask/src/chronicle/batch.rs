//! The batch of a number: what it does, to a store and to the model of one.

use std::collections::BTreeMap;

use icecore_engine::keyspace::DATA;
use icecore_engine::{Batch, CommitFuture, Current, Durability, Engine, Error, Mutation, Updated};
use icecore_sim::dice::Dice;

/// Every batch puts its number here.
pub(crate) const COUNTER: &[u8] = &[DATA, b'n'];

/// So many keys are in use.
const KEYS: usize = 240;

/// Values that grow begin anew at this length.
const GROWN_BYTES_MAX: usize = 80;

/// All keys of a store, with the number of the batch that set each, and its value.
pub(crate) type State = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Set(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
    Grow(Vec<u8>),
}

/// Where a batch comes from: the store's seed and the life in which it was made. Two lives that
/// continue from the same number write different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) seed: u64,
    pub(crate) life: u64,
}

impl Origin {
    /// Dice for one purpose in this life.
    pub(crate) fn dice(self, purpose: u64) -> Dice {
        let seed = self.seed.rotate_left(32) ^ self.life.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Dice::new(seed ^ purpose.wrapping_mul(0xd1b5_4a32_d192_ed03))
    }

    /// What the batch `number` does.
    pub(crate) fn batch(self, number: u64) -> Vec<Change> {
        let dice = self.dice(number);
        let mut changes = vec![Change::Set(COUNTER.to_vec(), number.to_be_bytes().to_vec())];
        for _ in 0..dice.between(1, 5) {
            let chosen = dice.below(KEYS);
            changes.push(match dice.below(20) {
                0..=11 => Change::Set(key(chosen), value(&dice)),
                12..=14 => Change::Delete(key(chosen)),
                15 => Change::DeleteRange(key(chosen), key(chosen + dice.between(1, 30))),
                _ => Change::Grow(key(chosen)),
            });
        }
        changes
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("{}k{number:04}", char::from(DATA)).into_bytes()
}

fn value(dice: &Dice) -> Vec<u8> {
    let bytes = match dice.below(20) {
        0..=11 => dice.below(100),
        12..=18 => dice.below(1_500),
        _ => dice.below(12_000),
    };
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend(dice.next().to_le_bytes());
    }
    value.truncate(bytes);
    value
}

/// A value that has grown by a byte.
fn grown(value: &[u8]) -> Vec<u8> {
    let kept = if value.len() < GROWN_BYTES_MAX { value } else { &[] };
    [kept, b"+"].concat()
}

fn grow(current: Option<Current<'_>>) -> Result<Updated, Error> {
    let value = grown(current.map_or(&[], |c| c.value));
    Ok(Updated::Set { value, expires_at: None })
}

/// Submits the batch to a store.
pub(crate) fn submit(engine: &Engine, changes: &[Change], durability: Durability) -> CommitFuture {
    let mutation = |change| match change {
        &Change::Set(ref key, ref value) => Mutation::Set { key, value, expires_at: None },
        Change::Delete(key) => Mutation::Delete { key },
        Change::DeleteRange(start, end) => Mutation::DeleteRange { start, end },
        Change::Grow(key) => Mutation::Update { key, update: &grow },
    };
    let mutations: Vec<_> = changes.iter().map(mutation).collect();
    engine.commit_async(Batch { checks: &[], mutations: &mutations }, durability)
}

/// Does to the model what the batch `number` does to a store.
pub(crate) fn apply(state: &mut State, number: u64, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Set(key, value) => {
                state.insert(key, (number, value));
            }
            Change::Delete(key) => {
                state.remove(&key);
            }
            Change::DeleteRange(start, end) => state.retain(|key, _| *key < start || *key >= end),
            Change::Grow(key) => {
                let value = grown(state.get(&key).map_or(&[], |(_, value)| value));
                state.insert(key, (number, value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_follows_from_seed_life_and_number_alone() {
        let origin = Origin { seed: 1, life: 2 };
        assert_eq!(origin.batch(3), origin.batch(3));
        assert_ne!(origin.batch(3)[1..], origin.batch(4)[1..]);
        assert_ne!(origin.batch(3)[1..], Origin { life: 3, ..origin }.batch(3)[1..]);
        assert_ne!(origin.batch(3)[1..], Origin { seed: 2, ..origin }.batch(3)[1..]);
    }

    #[test]
    fn no_range_reaches_the_counter() {
        let mut state = State::new();
        for number in 1..500 {
            apply(&mut state, number, Origin { seed: 7, life: 1 }.batch(number));
            assert_eq!(state[COUNTER], (number, number.to_be_bytes().to_vec()));
        }
        assert!(state.len() > 50, "{} keys", state.len());
    }
}
