//! Zipfian choice: few keys get most of the requests, as in YCSB.
//!
//! The method is that of Gray et al., "Quickly generating billion-record synthetic databases"
//! (1994), with YCSB's exponent, and its scattering of the popular items over all keys by a hash.

use crate::compare::random::{Random, mix};

/// YCSB's constant.
const THETA: f64 = 0.99;

/// Chooses among `items` items.
#[derive(Clone, Debug)]
pub struct Zipf {
    items: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    /// A choice among so many items, at least one. Takes a moment for many.
    pub fn new(items: u64) -> Zipf {
        assert!(items > 0, "there is something to choose from");
        let zeta = zeta(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - THETA)) / (1.0 - zeta_two() / zeta);
        Zipf { items, alpha: 1.0 / (1.0 - THETA), zeta, eta }
    }

    /// A rank: 0 is the most popular.
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of the number of items")]
    pub fn rank(&self, random: &mut Random) -> u64 {
        let unit = random.unit();
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            0
        } else if scaled < zeta_two() {
            1.min(self.items - 1)
        } else {
            let spread = (self.eta * unit - self.eta + 1.0).powf(self.alpha);
            ((self.items as f64 * spread) as u64).min(self.items - 1)
        }
    }

    /// An item. Popular ones are spread over all numbers.
    pub fn item(&self, random: &mut Random) -> u64 {
        mix(self.rank(random)) % self.items
    }
}

fn zeta(items: u64) -> f64 {
    (1..=items).map(|rank| (rank as f64).powf(-THETA)).sum()
}

fn zeta_two() -> f64 {
    1.0 + 2.0_f64.powf(-THETA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_has_its_share_and_none_is_out_of_range() {
        let (zipf, mut random) = (Zipf::new(1000), Random::new(7));
        let mut counts = vec![0_u32; 1000];
        for _ in 0..100_000 {
            counts[usize::try_from(zipf.rank(&mut random)).expect("it is small")] += 1;
        }
        let share = f64::from(counts[0]) / 100_000.0;
        let expected = 1.0 / zeta(1000);
        assert!((share - expected).abs() < 0.01, "{share} is not {expected}");
        assert!(counts[0] > counts[10] && counts[10] > counts[500]);
    }

    #[test]
    fn one_item_is_a_choice() {
        let (zipf, mut random) = (Zipf::new(1), Random::new(7));
        assert!((0..100).all(|_| zipf.item(&mut random) == 0));
    }
}
