//! Long histories in which nothing can be lost, so that their outcome does not depend on settings.
//!
//! The disk does what it says, callers wait for their commits, and before the power is cut
//! everything is flushed. The clock never goes back: what a sweep has deleted stays deleted and what
//! only a read has hidden may return with an earlier clock, and when a store sweeps is its own affair.
//!
//! The store does not grow with the length of the history, or the comparisons, which go through all of
//! it, would: keys that a stamp makes are deleted when there are many, or become rare where nothing
//! deletes ranges, and the clock moves on until what expires has expired.

use icecore_engine::Durability;

use super::{DATA, Generator, Kind, Profile};
use crate::batch::MutationSpec;
use crate::dice::Dice;
use crate::history::{Fate, Op, Revival};

/// What happens on a disk that does what it says.
const CALM: [Kind; 17] = [
    Kind::Commit,
    Kind::Poll,
    Kind::Get,
    Kind::GetMany,
    Kind::Scan,
    Kind::Snapshot,
    Kind::CheckSnapshots,
    Kind::Follow,
    Kind::Flush,
    Kind::Compact,
    Kind::Step,
    Kind::StepLog,
    Kind::Quiesce,
    Kind::Checkpoint,
    Kind::Check,
    Kind::Reopen,
    Kind::Stop,
];

/// What goes through the whole store. It comes less often than in short histories, so that many
/// commits lie between one and the next.
const DEAR: [Kind; 6] =
    [Kind::Compact, Kind::Quiesce, Kind::Checkpoint, Kind::Check, Kind::Reopen, Kind::Stop];

/// A history of at least `length` operations, drawn from `seed`.
pub fn steady(seed: u64, length: usize) -> Vec<Op> {
    let mut generator = Generator::new(Dice::new(seed), Profile::Honest);
    let mut ops = Vec::with_capacity(length + 3);
    let mut growth = Growth::default();
    while ops.len() < length {
        ops.extend(growth.shrink(&mut generator));
        match generator.kind() {
            Kind::Clock => {
                if let Op::Clock(ms @ 0..) = generator.clock() {
                    ops.push(Op::Clock(ms));
                }
            }
            kind if DEAR.contains(&kind) && !generator.dice.one_in(8) => {}
            kind if CALM.contains(&kind) => {
                let op = generator.op(kind);
                ops.extend(calm(growth.bound(op, &generator)));
            }
            _ => {}
        }
    }
    ops
}

/// So many keys that a stamp makes, and so many entries that expire, may be added before something is
/// done about them.
const ADDED_MAX: usize = 40;

/// The longest that anything lives before it expires: see the generator's values.
const LIFE_MS: i64 = 50_000;

/// What commits have added that later ones do not overwrite.
#[derive(Default)]
struct Growth {
    /// Keys that a stamp makes.
    stamped: usize,
    /// Values that expire, whose entries in the index stay until then.
    expiring: usize,
}

impl Growth {
    /// Counts what `op` adds. Where nothing deletes ranges, it adds no key to those that are many.
    fn bound(&mut self, mut op: Op, generator: &Generator) -> Op {
        let Op::Commit { mutations, .. } = &mut op else { return op };
        for mutation in mutations {
            if let MutationSpec::SetVersionstamped { value, .. } = mutation {
                self.stamped += 1;
                if self.stamped > ADDED_MAX && !generator.range_deletions {
                    let (key, value) = (generator.key(), value.clone());
                    *mutation = MutationSpec::Set { key, value };
                }
            }
            let (MutationSpec::Set { value, .. } | MutationSpec::SetVersionstamped { value, .. }) =
                mutation
            else {
                continue;
            };
            self.expiring += usize::from(value.expires_at.is_some());
        }
        op
    }

    /// What makes the store smaller, if it has grown.
    fn shrink(&mut self, generator: &mut Generator) -> Vec<Op> {
        let mut ops = Vec::new();
        if self.stamped > ADDED_MAX && generator.range_deletions {
            self.stamped = 0;
            let (start, end) = (vec![DATA, b'v'], vec![DATA, b'w']);
            let mutations = vec![MutationSpec::DeleteRange { start, end }];
            let (checks, durability) = (Vec::new(), Durability::Buffered);
            ops.push(Op::Commit { checks, mutations, durability, wait: true });
        }
        if self.expiring > ADDED_MAX {
            self.expiring = 0;
            generator.wall_ms = generator.wall_ms.saturating_add_signed(LIFE_MS);
            ops.extend([Op::Clock(LIFE_MS), Op::Quiesce]);
        }
        ops
    }
}

/// `op` in a form in which it loses nothing.
fn calm(op: Op) -> Vec<Op> {
    match op {
        Op::Commit { checks, mutations, durability, .. } => {
            vec![Op::Commit { checks, mutations, durability, wait: true }]
        }
        Op::Reopen { close, look_first, .. } => {
            vec![Op::Reopen { close, look_first, failure: None, options: None }]
        }
        Op::Stop(Revival { fate, nested, .. }) => {
            let revival = Revival { fate, nested, options: None };
            match revival.worst() {
                Fate::Kill => vec![Op::Stop(revival)],
                Fate::Power => vec![Op::Flush, Op::Stop(revival)],
            }
        }
        other => vec![other],
    }
}
