//! How far the log has got: which of its bytes are in the kernel, and which are durable.
//!
//! The log's writes form a list of *extents* in the order of their positions. An extent is in
//! flight, in the kernel, or durable. Two prefixes of the list matter:
//!
//! 1. *written* is the end of the longest prefix in which nothing is in flight: it survives the
//!    end of the process.
//! 2. *durable* is the end of the longest prefix in which everything is durable: it survives a
//!    power cut. durable ≤ written.
//!
//! Extents below the durable position are forgotten, and neighbours in the kernel are merged, so
//! the list is about as long as the number of writes in flight.

use std::collections::VecDeque;

use icecore_model::{LogPosition, Planted, Versionstamp, planted};

/// A place in the log with the last stamp at or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) position: LogPosition,
    pub(crate) stamp: Versionstamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    InFlight {
        /// Whether the write is durable once it completes.
        durable: bool,
    },
    InKernel,
    Durable,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    end: Reach,
    stage: Stage,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Progress {
    extents: VecDeque<Extent>,
    written: Reach,
    durable: Reach,
    in_flight: usize,
}

impl Progress {
    /// Everything up to `start` is durable.
    pub(crate) fn new(start: Reach) -> Progress {
        let extents = VecDeque::with_capacity(16);
        Progress { extents, written: start, durable: start, in_flight: 0 }
    }

    /// The end of the prefix that is in the kernel.
    pub(crate) fn written(&self) -> Reach {
        self.written
    }

    /// The end of the prefix that is durable.
    pub(crate) fn durable(&self) -> Reach {
        self.durable
    }

    /// How many writes are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether everything begun so far becomes durable without a sync. Only above such a prefix
    /// is a durable write of any use.
    pub(crate) fn is_durable_by_itself(&self) -> bool {
        self.extents
            .iter()
            .all(|e| matches!(e.stage, Stage::Durable | Stage::InFlight { durable: true }))
    }

    /// A write up to `end`, above all others, is in flight.
    pub(crate) fn begin(&mut self, end: Reach, durable: bool) {
        self.in_flight += 1;
        self.extents.push_back(Extent { end, stage: Stage::InFlight { durable } });
    }

    /// The write up to `end` completed.
    pub(crate) fn complete(&mut self, end: LogPosition) {
        let found = self.extents.iter().position(|e| e.end.position == end);
        let mut index = found.expect("a completed write was begun");
        self.in_flight -= 1;
        let Stage::InFlight { durable } = self.extents[index].stage else {
            panic!("a write completes once");
        };
        if durable && planted(Planted::DurableBeyondGaps) {
            self.durable = self.extents[index].end;
        }
        self.extents[index].stage = if durable { Stage::Durable } else { Stage::InKernel };
        if index > 0 && self.mergeable(index - 1) {
            self.extents.remove(index - 1);
            index -= 1;
        }
        if self.mergeable(index) {
            self.extents.remove(index);
        }
        self.settle();
    }

    /// Everything up to `reach`, where the written prefix ended when a sync began, is durable.
    pub(crate) fn synced(&mut self, reach: Reach) {
        if reach.position <= self.durable.position {
            return;
        }
        while let Some(front) = self.extents.front()
            && front.end.position <= reach.position
        {
            assert!(!matches!(front.stage, Stage::InFlight { .. }), "a sync covers no flight");
            self.extents.pop_front();
        }
        // The extent above may begin below `reach`: writes that completed during the sync have
        // been merged with those that it covered.
        self.durable = reach;
        self.settle();
    }

    fn mergeable(&self, index: usize) -> bool {
        let in_kernel =
            |i| self.extents.get(i).is_some_and(|e: &Extent| matches!(e.stage, Stage::InKernel));
        in_kernel(index) && in_kernel(index + 1)
    }

    fn settle(&mut self) {
        while let Some(front) = self.extents.front()
            && front.stage == Stage::Durable
        {
            self.durable = front.end;
            self.extents.pop_front();
        }
        let in_kernel =
            self.extents.iter().take_while(|e| !matches!(e.stage, Stage::InFlight { .. })).last();
        let reached = in_kernel.map_or(self.durable, |e| e.end);
        if reached.position > self.written.position {
            self.written = reached;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(offset: u32) -> Reach {
        let stamp = Versionstamp::new(u64::from(offset));
        Reach { position: LogPosition::new(1, offset), stamp }
    }

    fn at(offset: u32) -> LogPosition {
        LogPosition::new(1, offset)
    }

    #[test]
    fn a_completion_out_of_order_counts_only_when_the_gap_closes() {
        let mut progress = Progress::new(reach(0));
        for end in [10, 20, 30] {
            progress.begin(reach(end), true);
        }
        progress.complete(at(20));
        assert_eq!((progress.written(), progress.durable()), (reach(0), reach(0)));
        progress.complete(at(10));
        assert_eq!((progress.written(), progress.durable()), (reach(20), reach(20)));
        progress.complete(at(30));
        assert_eq!((progress.written(), progress.durable()), (reach(30), reach(30)));
        assert_eq!(progress.in_flight(), 0);
    }

    #[test]
    fn bytes_in_the_kernel_become_durable_only_by_a_sync() {
        let mut progress = Progress::new(reach(0));
        progress.begin(reach(10), false);
        progress.complete(at(10));
        assert!(!progress.is_durable_by_itself());
        progress.begin(reach(20), false);
        assert_eq!((progress.written(), progress.durable()), (reach(10), reach(0)));
        progress.synced(reach(10));
        assert_eq!((progress.written(), progress.durable()), (reach(10), reach(10)));
        progress.complete(at(20));
        assert_eq!((progress.written(), progress.durable()), (reach(20), reach(10)));
    }

    #[test]
    fn a_long_buffered_run_is_one_extent() {
        let mut progress = Progress::new(reach(0));
        for end in 1..1000 {
            progress.begin(reach(end), false);
            progress.complete(at(end));
        }
        assert_eq!(progress.extents.len(), 1);
        progress.synced(reach(999));
        assert_eq!((progress.extents.len(), progress.durable()), (0, reach(999)));
    }

    #[test]
    fn a_sync_covers_what_was_written_before_it_although_more_was_written_during_it() {
        let mut progress = Progress::new(reach(0));
        progress.begin(reach(10), false);
        progress.complete(at(10));
        let covered = progress.written();
        progress.begin(reach(20), false);
        progress.complete(at(20));
        progress.synced(covered);
        assert_eq!((progress.written(), progress.durable()), (reach(20), reach(10)));
        assert!(!progress.is_durable_by_itself());
    }

    #[test]
    fn a_late_sync_of_an_earlier_segment_says_nothing_about_this_one() {
        let start = Reach { position: LogPosition::new(2, 512), stamp: Versionstamp::new(5) };
        let mut progress = Progress::new(start);
        progress.synced(reach(30));
        assert_eq!((progress.written(), progress.durable()), (start, start));
    }
}
