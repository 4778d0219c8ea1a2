//! Reading ahead of a walk along the order.
//!
//! Keys that are neighbours in the order lie anywhere in memory, and only a key leads to the next one:
//! a walk would wait for memory at every step. The pages know many keys at a time, so the walk
//! reads a page of them before it comes to them. These reads do not wait for each other.
//!
//! 1. Nothing is concluded from what is read, so it does not matter what an inserter does meanwhile.
//! 2. A walk reads ahead at most as many keys as it has come past: a short one would pay for a page and
//!    leave before it had the use of it.

use std::hint::black_box;

use crate::list::List;
use crate::node::NodeRef;
use crate::pages::Way;

/// After so many steps, a walk is taken for a long one. The models of loom take few.
const STEPS_BEFORE: u32 = if cfg!(loom) { 1 } else { 8 };

/// How far a walk has read ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// So many steps are left until it has to read ahead again.
    left: u32,
    /// So many keys are read then, at most: as many as there were steps before.
    reach: u32,
}

impl Ahead {
    /// For a walk that begins.
    pub(crate) fn new() -> Ahead {
        Ahead { left: STEPS_BEFORE, reach: STEPS_BEFORE }
    }

    /// The walk has stepped to `node`.
    #[inline]
    pub(crate) fn step(&mut self, list: &List, node: Option<NodeRef<'_>>, way: Way) {
        self.left -= 1;
        if self.left == 0 {
            // At the end of a page there is nothing, and the next step leads into another one.
            self.left = node.map_or(1, |node| read(list, node, way, self.reach)).max(1);
            self.reach = self.reach.saturating_add(self.left);
        }
    }
}

/// Reads what a walk from `node` will need of the next `reach` keys, as far as they are in its page, and
/// says how many keys that are.
#[cold]
fn read(list: &List, node: NodeRef<'_>, way: Way, reach: u32) -> u32 {
    let nodes = list.near(node.key(), way).take(reach as usize);
    let mut count = 0;
    for near in nodes.clone() {
        black_box((near.newest().is_empty(), near.key().last()));
        count += 1;
    }
    // By now the links to the versions are there.
    for version in nodes.filter_map(|near| near.newest().load()) {
        black_box((version.stamp(), version.first_and_last()));
    }
    count
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use icecore_model::{Change, Versionstamp};

    use super::*;
    use crate::arena::{Arena, ArenaPool, Bump, CHUNK_BYTES_MIN};
    use crate::chain;

    #[test]
    fn a_walk_reads_ahead_as_many_keys_as_it_has_passed_and_at_most_to_the_end_of_a_page() {
        let pool = ArenaPool::new(CHUNK_BYTES_MIN, 0);
        let (arena, mut bump, list) = (Arena::new(&pool), Bump::new(), List::new());
        for key in 0..400u32 {
            list.insert((&mut bump, &arena), (&key.to_be_bytes(), 0), |bump| {
                chain::make(bump, &arena, None, Versionstamp::new(1), Change::Delete)
            });
        }
        for way in [Way::Up, Way::Down] {
            let mut ahead = Ahead::new();
            let mut node = if way == Way::Up { list.first() } else { list.last() };
            let (mut left, mut reads) = (STEPS_BEFORE as usize, 0);
            for steps in 1.. {
                let Some(here) = node else { break };
                node = match way {
                    Way::Up => here.after(),
                    Way::Down => here.before().load(),
                };
                ahead.step(&list, node, way);
                left -= 1;
                if left == 0 {
                    let near = node.map_or(0, |node| list.near(node.key(), way).count());
                    left = near.min(steps).max(1);
                    reads += 1;
                }
                assert_eq!(ahead.left as usize, left, "{way:?}, after {steps} steps");
            }
            assert!((7..=30).contains(&reads), "{way:?}: {reads} reads of 400 keys");
        }
    }
}
