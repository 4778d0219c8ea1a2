//! A mapping whose content changes under its reader: from the second look at a page on, some of
//! its bits are others. So a decoder that relies on seeing the same bytes twice is found out.
//!
//! A look that touches a page which was looked at before sees the second image throughout.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::dice::Dice;
use super::page::PAGE;
use crate::region::Faults;

/// How many bits of a page may change at once.
const BITS_MAX: u64 = 64;

pub(super) struct Mutating {
    /// The sectors that cannot be read.
    bad: Arc<dyn Faults>,
    second: Bytes,
    /// Which pages were looked at.
    seen: Mutex<Vec<bool>>,
}

impl Mutating {
    /// A mapping of `image`, which changes as `dice` say.
    pub(super) fn new(image: &Bytes, bad: Arc<dyn Faults>, dice: &mut Dice) -> Mutating {
        let mut second = image.to_vec();
        for page in second.chunks_mut(PAGE) {
            if dice.coin() {
                for _ in 0..1 + dice.below(BITS_MAX) {
                    page[dice.index(page.len())] ^= 1 << dice.below(8);
                }
            }
        }
        let seen = Mutex::new(vec![false; image.len().div_ceil(PAGE)]);
        Mutating { bad, second: Bytes::from(second), seen }
    }
}

impl Faults for Mutating {
    fn first_in(&self, range: Range<usize>) -> Option<usize> {
        self.bad.first_in(range)
    }

    fn shown(&self, range: Range<usize>) -> Option<&Bytes> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let pages = range.start / PAGE..range.end.div_ceil(PAGE);
        let pages = seen.get_mut(pages)?;
        let again = pages.contains(&true);
        pages.fill(true);
        again.then_some(&self.second)
    }
}
