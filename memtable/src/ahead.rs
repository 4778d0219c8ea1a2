//! Reading ahead of a walk along the order.
//!
//! Keys that are neighbours in the order lie anywhere in memory, and only a key leads to the next one:
//! a walk would wait for memory at every step. The pages know many keys at a time, so the walk
//! reads a page of them before it comes to them. These reads do not wait for each other.
//!
//! 1. Nothing is concluded from what is read, so it does not matter what an inserter does meanwhile.
//! 2. A short walk reads nothing ahead: it would pay for a page and leave before it had the use of it.

use std::hint::black_box;

use crate::list::List;
use crate::node::NodeRef;
use crate::pages::Way;

/// After so many steps, a walk is taken for a long one.
const STEPS_BEFORE: u32 = 8;

/// How far a walk has read ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// So many steps are left until it has to read ahead again.
    left: u32,
}

impl Ahead {
    /// For a walk that begins.
    pub(crate) fn new() -> Ahead {
        Ahead { left: STEPS_BEFORE }
    }

    /// The walk has stepped to `node`.
    #[inline]
    pub(crate) fn step(&mut self, list: &List, node: Option<NodeRef<'_>>, way: Way) {
        self.left -= 1;
        if self.left == 0 {
            // At the end of a page there is nothing, and the next step leads into another one.
            self.left = node.map_or(1, |node| read(list, node, way)).max(1);
        }
    }
}

/// Reads what a walk from `node` will need of the rest of its page, and says how many keys that are.
#[cold]
fn read(list: &List, node: NodeRef<'_>, way: Way) -> u32 {
    let nodes = list.near(node.key(), way);
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
    fn a_short_walk_reads_nothing_ahead_and_a_long_one_a_page_at_a_time() {
        let pool = ArenaPool::new(CHUNK_BYTES_MIN, 0);
        let (arena, mut bump, list) = (Arena::new(&pool), Bump::new(), List::new());
        for key in 0..200u32 {
            list.insert((&mut bump, &arena), (&key.to_be_bytes(), 0), |bump| {
                chain::make(bump, &arena, None, Versionstamp::new(1), Change::Delete)
            });
        }
        for way in [Way::Up, Way::Down] {
            let mut ahead = Ahead::new();
            let mut node = if way == Way::Up { list.first() } else { list.last() };
            let mut left = STEPS_BEFORE;
            let mut reads = 0;
            while let Some(here) = node {
                node = match way {
                    Way::Up => here.after(),
                    Way::Down => here.before().load(),
                };
                ahead.step(&list, node, way);
                left -= 1;
                if left == 0 {
                    let near = node.map_or(0, |node| list.near(node.key(), way).count());
                    left = u32::try_from(near).expect("a page has a few keys").max(1);
                    reads += 1;
                }
                assert_eq!(ahead.left, left, "{way:?}");
            }
            assert!((3..=9).contains(&reads), "{way:?}: {reads} reads of 200 keys");
        }
    }
}
