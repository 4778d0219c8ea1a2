//! Which of the entries that were found may not be the newest of their keys.
//!
//! A lost place can have held newer versions of the keys that it was about, up to some stamp. An
//! entry is in doubt if and only if it lies in such a place and its own stamp is below that one:
//! two versions of one key never have the same stamp.

use icecore_model::Versionstamp;

/// Keys and stamps that a lost place was about.
#[derive(Debug)]
struct Region {
    from: Vec<u8>,
    /// The last key; `None` for all that follow.
    to: Option<Vec<u8>>,
    through: Versionstamp,
}

/// So many regions are kept apart; more would make every entry slow. What comes on top counts as
/// being about every key.
const REGIONS_MAX: usize = 1024;

/// All that may be missing.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    regions: Vec<Region>,
    /// Anything below this stamp may have been overwritten.
    everything: Versionstamp,
}

impl Doubts {
    /// Something is missing that was about the keys from `from` to `to`.
    pub(super) fn about(&mut self, from: Vec<u8>, to: Option<Vec<u8>>, through: Versionstamp) {
        if self.regions.len() == REGIONS_MAX || (from.is_empty() && to.is_none()) {
            return self.about_everything(through);
        }
        self.regions.push(Region { from, to, through });
    }

    /// Something is missing that can have been about any key.
    pub(super) fn about_everything(&mut self, through: Versionstamp) {
        self.everything = self.everything.max(through);
    }

    /// Whether a newer version of this one may be missing.
    pub(super) fn concern(&self, key: &[u8], stamp: Versionstamp) -> bool {
        let within = |region: &Region| {
            stamp < region.through
                && region.from.as_slice() <= key
                && region.to.as_ref().is_none_or(|to| key <= to.as_slice())
        };
        stamp < self.everything || self.regions.iter().any(within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_older_and_lies_within_is_in_doubt() {
        let mut doubts = Doubts::default();
        doubts.about(vec![3], Some(vec![5]), Versionstamp::new(10));
        assert!(doubts.concern(&[3], Versionstamp::new(9)));
        assert!(doubts.concern(&[5], Versionstamp::new(1)));
        assert!(!doubts.concern(&[5], Versionstamp::new(10)));
        assert!(!doubts.concern(&[5, 0], Versionstamp::new(1)));
        assert!(!doubts.concern(&[2], Versionstamp::new(1)));
        doubts.about_everything(Versionstamp::new(4));
        assert!(doubts.concern(&[9], Versionstamp::new(3)));
        assert!(!doubts.concern(&[9], Versionstamp::new(4)));
    }
}
