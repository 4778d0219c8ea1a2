//! When to ask for blocks before a walk comes to them.
//!
//! A mapping is told that it is read here and there, so that a read of one key brings one page. A walk
//! from block to block would wait for the disk at each of them; so it says how far it will go, and
//! says so in good time.
//!
//! 1. A walk of a few blocks asks for nothing: most lists are that short, and asking costs a system
//!    call.
//! 2. The longer a walk has gone on, the further it asks ahead, up to [`WINDOW_BYTES_MAX`]; one that is
//!    known to be long begins there.
//! 3. No byte is asked for twice, as long as the walk keeps its direction.

use std::ops::Range;

/// So many blocks in a row are a walk.
const BLOCKS_MIN: usize = 4;
/// What a walk asks for at first.
const WINDOW_BYTES_MIN: u64 = 128 << 10;
/// What it asks for at most. A disk that needs 100 µs for a request gives a gigabyte and more a second
/// with pieces of half of it.
const WINDOW_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Back,
}

/// How a walk has gone so far.
#[derive(Debug)]
pub(crate) struct Ahead {
    last: Option<usize>,
    direction: Direction,
    /// Blocks that were entered in this direction, one after the other.
    blocks: usize,
    /// Blocks that make a walk.
    blocks_min: usize,
    window: u64,
    /// Where what was asked for ends, in this direction.
    asked: Option<u64>,
}

impl Ahead {
    /// For a walk of unknown length.
    pub(crate) fn new() -> Ahead {
        Ahead {
            last: None,
            direction: Direction::Forward,
            blocks: 0,
            blocks_min: BLOCKS_MIN,
            window: WINDOW_BYTES_MIN,
            asked: None,
        }
    }

    /// For a walk that goes forward for long.
    pub(crate) fn long() -> Ahead {
        Ahead { blocks_min: 1, window: WINDOW_BYTES_MAX, ..Ahead::new() }
    }

    /// A new walk; one that has turned begins with the block where it did.
    fn begin(&mut self, turned: Option<Direction>) {
        let (last, blocks_min) = (self.last, self.blocks_min);
        let fresh = if blocks_min == BLOCKS_MIN { Ahead::new() } else { Ahead::long() };
        let blocks = usize::from(turned.is_some());
        let direction = turned.unwrap_or(Direction::Forward);
        *self = Ahead { last, direction, blocks, ..fresh };
    }

    /// The walk comes to the block `ordinal`, which is at `place`. Gives what is to be asked for now; it
    /// may go beyond the end of the file.
    pub(crate) fn enter(&mut self, ordinal: usize, place: Range<u64>) -> Option<Range<u64>> {
        let direction = match self.last.replace(ordinal) {
            Some(last) if ordinal == last + 1 => Some(Direction::Forward),
            Some(last) if ordinal + 1 == last => Some(Direction::Back),
            _ => None,
        };
        match direction {
            // One block has no direction yet.
            Some(direction) if direction == self.direction || self.blocks == 1 => {
                self.direction = direction;
            }
            _ => self.begin(direction),
        }
        self.blocks += 1;
        if self.blocks < self.blocks_min {
            return None;
        }
        let range = match self.direction {
            Direction::Forward => {
                let from = self.asked.unwrap_or(place.end).max(place.end);
                from..place.end.saturating_add(self.window)
            }
            Direction::Back => {
                let to = self.asked.unwrap_or(place.start).min(place.start);
                place.start.saturating_sub(self.window)..to
            }
        };
        // More is asked for when half of what was asked for has been used.
        if range.end.saturating_sub(range.start) < self.window / 2 {
            return None;
        }
        self.asked = Some(match self.direction {
            Direction::Forward => range.end,
            Direction::Back => range.start,
        });
        self.window = WINDOW_BYTES_MAX.min(self.window * 2);
        Some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u64 = 4096;

    fn block(ordinal: usize) -> Range<u64> {
        ordinal as u64 * BLOCK..(ordinal as u64 + 1) * BLOCK
    }

    /// What is asked for on a way through these blocks.
    fn asked(mut ahead: Ahead, way: impl IntoIterator<Item = usize>) -> Vec<Range<u64>> {
        way.into_iter().filter_map(|ordinal| ahead.enter(ordinal, block(ordinal))).collect()
    }

    #[test]
    fn a_short_walk_and_scattered_reads_ask_for_nothing() {
        assert_eq!(asked(Ahead::new(), 7..10), []);
        assert_eq!(asked(Ahead::new(), [5, 900, 3, 4, 70, 71, 72, 10, 9]), []);
    }

    #[test]
    fn a_long_walk_asks_for_all_that_it_will_read_once_and_in_time() {
        for ahead in [Ahead::new(), Ahead::long()] {
            let first = ahead.blocks_min;
            let ranges = asked(ahead, 0..10_000);
            assert_eq!(ranges[0].start, first as u64 * BLOCK);
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{ranges:?}");
            assert!(ranges.iter().all(|range| range.end - range.start >= WINDOW_BYTES_MIN / 2));
            assert!(ranges.len() < 100, "{} calls", ranges.len());
        }
    }

    #[test]
    fn a_walk_back_asks_down_to_the_beginning_of_the_file() {
        let ranges = asked(Ahead::new(), (0..10_000).rev());
        assert_eq!(ranges[0].end, 9_996 * BLOCK);
        assert!(ranges.windows(2).all(|pair| pair[0].start == pair[1].end), "{ranges:?}");
        assert!(ranges.last().is_some_and(|range| range.start < WINDOW_BYTES_MAX));
    }

    #[test]
    fn a_walk_that_turns_or_jumps_begins_anew() {
        let way = (0..4).chain((0..3).rev()).chain(100..103);
        let ranges = asked(Ahead::new(), way);
        assert_eq!(ranges.len(), 1, "{ranges:?}");
    }
}
