//! Seeded random numbers for one thread: SplitMix64 (Steele, Lea, Flood, "Fast splittable
//! pseudorandom number generators", 2014), without the atomic of
//! [`SeededRandom`](icecore_disk::random::SeededRandom), whose cost a point read would feel.

/// What a state moves on by.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A generator that gives the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The generator of one stream of many: threads, rows and rounds each have their own.
    pub fn stream(seed: u64, stream: u64) -> Random {
        Random::new(mix(seed ^ mix(stream.wrapping_add(STEP))))
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        mix(self.state)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "nothing is below zero");
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The numbers below `count`, shuffled.
    pub fn shuffled(&mut self, count: u64) -> Vec<u64> {
        let mut numbers: Vec<u64> = (0..count).collect();
        for place in (1..numbers.len()).rev() {
            let other = usize::try_from(self.below(place as u64 + 1)).expect("below a usize");
            numbers.swap(place, other);
        }
        numbers
    }
}

/// Every bit of the result depends on every bit of `z`.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
