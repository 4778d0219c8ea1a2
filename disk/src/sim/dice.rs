//! The one source of chance in a world. A value, so that a copied world throws the same dice.

use super::rules::Chance;
use crate::random::SeededRandom;

/// A seeded generator of plain state.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice { state: seed }
    }

    /// The next 64 bits. The output function of [`SeededRandom`] is a bijection of its state, so
    /// that feeding it back walks one long cycle.
    pub(super) fn next(&mut self) -> u64 {
        self.state = SeededRandom::new(self.state).next();
        self.state
    }

    /// A number below `bound`, which must not be 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below zero");
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// An index below `bound`, which must not be 0.
    pub(super) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("it is below a usize")
    }

    /// True every other time.
    pub(super) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// Whether something of the chance `chance` happens. What never happens throws no dice.
    pub(super) fn happens(&mut self, chance: Chance) -> bool {
        match chance.every() {
            0 => false,
            n => self.below(u64::from(n)) == 0,
        }
    }

    /// Fills `bytes` with noise.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let noise = self.next().to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
    }

    /// Brings `items` into any order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }
}
