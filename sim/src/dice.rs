//! The chance of a history: everything random in it is drawn here, from one seed.

use icecore_disk::random::SeededRandom;

/// A seeded source of choices.
#[derive(Debug)]
pub struct Dice {
    random: SeededRandom,
}

impl Dice {
    /// Dice for `seed`. Neighbouring seeds give unrelated throws.
    pub fn new(seed: u64) -> Dice {
        Dice { random: SeededRandom::new(SeededRandom::new(seed).next()) }
    }

    /// The next 64 bits.
    pub fn next(&self) -> u64 {
        self.random.next()
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).expect("it is below a usize")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True once in `n` times on average.
    pub fn one_in(&self, n: u64) -> bool {
        self.random.one_in(n)
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}
