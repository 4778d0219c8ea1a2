//! The numbers below a bound in an order that looks random and takes no memory.
//!
//! A Feistel network permutes the numbers of twice so many bits as each half needs; what falls behind
//! the bound is permuted again until it does not (cycle walking: Black and Rogaway, "Ciphers with
//! Arbitrary Finite Domains", 2002).

use crate::compare::random::mix;

const ROUNDS: u64 = 4;

/// A permutation of the numbers below a bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    bound: u64,
    /// Bits of each half.
    half: u32,
    seed: u64,
}

impl Order {
    pub(super) fn new(bound: u64, seed: u64) -> Order {
        let bits = u64::BITS - bound.saturating_sub(1).leading_zeros();
        Order { bound, half: bits.div_ceil(2).max(1), seed }
    }

    /// The number at a place below the bound.
    pub(super) fn at(&self, place: u64) -> u64 {
        assert!(place < self.bound, "{place} is not below {}", self.bound);
        let mut number = place;
        loop {
            number = self.permuted(number);
            if number < self.bound {
                return number;
            }
        }
    }

    fn permuted(&self, number: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let (mut left, mut right) = (number >> self.half, number & mask);
        for round in 0..ROUNDS {
            let turned = left ^ (mix(right ^ mix(self.seed + round)) & mask);
            (left, right) = (right, turned);
        }
        left << self.half | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_not_in_order() {
        for bound in [1, 2, 3, 10, 1000, 1 << 12, 5000] {
            let order = Order::new(bound, 7);
            let numbers: Vec<u64> = (0..bound).map(|place| order.at(place)).collect();
            assert!(bound < 1000 || !numbers.is_sorted());
            let mut sorted = numbers;
            sorted.sort_unstable();
            assert_eq!(sorted, (0..bound).collect::<Vec<_>>());
        }
    }
}
