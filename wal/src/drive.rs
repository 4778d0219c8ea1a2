//! What the log should do next: a pure decision.
//!
//! 1. Groups are submitted in the order of their positions, at most `limit` at a time.
//! 2. A group that continues the block of its neighbour waits until nothing is in flight, so that
//!    writes in flight never share a block.
//! 3. One sync runs at a time, and only when everything that was asked to be durable is in the
//!    kernel: a sync covers exactly the writes that completed before it started.

use icecore_model::{LogPosition, Planted, planted};

/// One piece of work, done by one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Submit the first queued group.
    Submit,
    /// Complete the write with this index among those in flight that nobody completes yet.
    Complete(usize),
    /// Sync the file.
    Sync,
}

/// A queued group, as far as the decision needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    /// Where it begins.
    pub(crate) start: LogPosition,
    /// Whether it begins inside a block that its neighbour wrote.
    pub(crate) continues: bool,
}

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// The first queued group.
    pub(crate) queued: Option<Queued>,
    /// Where the writes begin that are in flight and that nobody completes yet.
    pub(crate) unclaimed: &'a [LogPosition],
    /// How many writes are in flight in all.
    pub(crate) in_flight: usize,
    /// How many writes may be in flight.
    pub(crate) limit: usize,
    /// Whether a sync is running.
    pub(crate) syncing: bool,
    /// The place through which the log must be made durable by a sync.
    pub(crate) demanded: Option<LogPosition>,
    /// The end of the prefix that is in the kernel.
    pub(crate) written: LogPosition,
}

impl View<'_> {
    fn submit(&self) -> Option<LogPosition> {
        let queued = self.queued?;
        let apart = queued.continues && !planted(Planted::BlocksShared);
        let free = if apart { self.in_flight == 0 } else { self.in_flight < self.limit };
        free.then_some(queued.start)
    }

    fn sync(&self) -> Option<LogPosition> {
        self.demanded.filter(|demanded| !self.syncing && *demanded <= self.written)
    }

    /// One of the possible actions, chosen by `choice`; 0 completes the oldest write first.
    pub(crate) fn any(&self, choice: u64) -> Option<Action> {
        let completions = self.unclaimed.len();
        let count =
            completions + usize::from(self.submit().is_some()) + usize::from(self.sync().is_some());
        let bound = u64::try_from(count).expect("a count fits in 64 bits");
        let chosen = usize::try_from(choice.checked_rem(bound)?).expect("it is below a usize");
        if chosen < completions {
            Some(Action::Complete(chosen))
        } else if chosen == completions && self.submit().is_some() {
            Some(Action::Submit)
        } else {
            Some(Action::Sync)
        }
    }

    /// What a thread can do that waits until the log has reached `goal`.
    pub(crate) fn towards(&self, goal: LogPosition) -> Option<Action> {
        if let Some(index) = self.unclaimed.iter().position(|start| *start < goal) {
            return Some(Action::Complete(index));
        }
        if self.submit().is_some_and(|start| start < goal) {
            return Some(Action::Submit);
        }
        // A sync may have been asked for further than the goal, by the group that the goal lies in.
        self.sync().map(|_| Action::Sync)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u32) -> LogPosition {
        LogPosition::new(1, offset)
    }

    const IDLE: View<'_> = View {
        queued: None,
        unclaimed: &[],
        in_flight: 0,
        limit: 2,
        syncing: false,
        demanded: None,
        written: LogPosition::new(1, 512),
    };

    #[test]
    fn an_idle_log_does_nothing_whatever_is_chosen() {
        for choice in [0, 1, u64::MAX] {
            assert_eq!(IDLE.any(choice), None);
        }
        assert_eq!(IDLE.towards(at(9999)), None);
    }

    #[test]
    fn a_group_that_continues_a_block_waits_for_its_neighbour() {
        let queued = Some(Queued { start: at(600), continues: true });
        let busy = View { queued, in_flight: 1, ..IDLE };
        assert_eq!(busy.any(0), None);
        assert_eq!(View { in_flight: 0, ..busy }.any(0), Some(Action::Submit));
        let aligned = Some(Queued { start: at(1024), continues: false });
        assert_eq!(View { queued: aligned, ..busy }.any(0), Some(Action::Submit));
        assert_eq!(View { queued: aligned, in_flight: 2, ..busy }.any(0), None);
    }

    #[test]
    fn a_sync_waits_until_all_that_was_asked_for_is_written() {
        let early = View { demanded: Some(at(700)), ..IDLE };
        assert_eq!(early.any(0), None);
        let ready = View { written: at(700), ..early };
        assert_eq!(ready.any(0), Some(Action::Sync));
        assert_eq!(View { syncing: true, ..ready }.any(0), None);
        assert_eq!(ready.towards(at(700)), Some(Action::Sync));
        assert_eq!(ready.towards(at(699)), Some(Action::Sync));
    }

    #[test]
    fn every_possible_action_can_be_chosen() {
        let unclaimed = [at(512), at(1024)];
        let queued = Some(Queued { start: at(2048), continues: false });
        let view = View {
            queued,
            unclaimed: &unclaimed,
            in_flight: 2,
            limit: 3,
            demanded: Some(at(512)),
            ..IDLE
        };
        let actions: Vec<_> = (0..4).map(|choice| view.any(choice).unwrap()).collect();
        let all = [Action::Complete(0), Action::Complete(1), Action::Submit, Action::Sync];
        assert_eq!(actions, all);
        assert_eq!(view.any(4), Some(Action::Complete(0)));
    }

    #[test]
    fn a_waiter_leaves_alone_what_lies_above_its_goal() {
        let unclaimed = [at(512)];
        let queued = Some(Queued { start: at(1024), continues: false });
        let view = View { queued, unclaimed: &unclaimed, in_flight: 1, ..IDLE };
        assert_eq!(view.towards(at(1000)), Some(Action::Complete(0)));
        let view = View { unclaimed: &[], ..view };
        assert_eq!(view.towards(at(1000)), None);
        assert_eq!(view.towards(at(1100)), Some(Action::Submit));
    }
}
