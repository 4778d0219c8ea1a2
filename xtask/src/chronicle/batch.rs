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

/// In a life with this bit, every batch also adds some kilobytes that no later one replaces.
pub(crate) const HEAVY: u64 = 1 << 40;

/// In a life with this bit, every batch also deletes what heavy ones have added.
pub(crate) const LIGHT: u64 = 1 << 41;

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
        if self.life & HEAVY != 0 {
            changes.push(Change::Set(ballast(number), bytes(&dice, dice.between(5_000, 40_000))));
        }
        if self.life & LIGHT != 0 {
            changes.push(Change::DeleteRange(ballast(0), ballast(u64::MAX)));
        }
        changes
    }
}

fn ballast(number: u64) -> Vec<u8> {
    format!("{}b{number:020}", char::from(DATA)).into_bytes()
}

fn key(number: usize) -> Vec<u8> {
    format!("{}k{number:04}", char::from(DATA)).into_bytes()
}

fn value(dice: &Dice) -> Vec<u8> {
    let length = match dice.below(20) {
        0..=11 => dice.below(100),
        12..=18 => dice.below(1_500),
        _ => dice.below(12_000),
    };
    bytes(dice, length)
}

/// Bytes that cannot be compressed.
fn bytes(dice: &Dice, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(dice.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
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

fn mutation(change: &Change) -> Mutation<'_> {
    match change {
        Change::Set(key, value) => Mutation::Set { key, value, expires_at: None },
        Change::Delete(key) => Mutation::Delete { key },
        Change::DeleteRange(start, end) => Mutation::DeleteRange { start, end },
        Change::Grow(key) => Mutation::Update { key, update: &grow },
    }
}

/// Submits the batch to a store.
pub(crate) fn submit(engine: &Engine, changes: &[Change], durability: Durability) -> CommitFuture {
    let mutations: Vec<_> = changes.iter().map(mutation).collect();
    engine.commit_async(Batch { checks: &[], mutations: &mutations }, durability)
}

/// Deletes what heavy batches have added, and nothing else. The model is not told: a light batch must
/// follow.
pub(crate) fn free(engine: &Engine) -> Result<(), Error> {
    let (start, end) = (ballast(0), ballast(u64::MAX));
    let mutations = [Mutation::DeleteRange { start: &start, end: &end }];
    engine.commit(Batch { checks: &[], mutations: &mutations }).map(drop)
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

    #[test]
    fn what_heavy_batches_add_stays_until_a_light_one() {
        let mut state = State::new();
        let lives = [1 | HEAVY, 1 | HEAVY, 1 | HEAVY, 2 | LIGHT];
        let weights: Vec<usize> = (1..)
            .zip(lives)
            .map(|(number, life)| {
                apply(&mut state, number, Origin { seed: 7, life }.batch(number));
                state.keys().filter(|key| key[1] == b'b').count()
            })
            .collect();
        assert_eq!(weights, [1, 2, 3, 0]);
    }
}
