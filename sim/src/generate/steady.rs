//! Long histories in which nothing can be lost, so that their outcome does not depend on settings.
//!
//! The disk does what it says, callers wait for their commits, and before the power is cut
//! everything is flushed. The clock never goes back: what a sweep has deleted stays deleted and what
//! only a read has hidden may return with an earlier clock, and when a store sweeps is its own affair.

use super::{Generator, Kind, Profile};
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
    let mut ops = Vec::with_capacity(length + 1);
    while ops.len() < length {
        match generator.kind() {
            Kind::Clock => {
                if let Op::Clock(ms @ 0..) = generator.clock() {
                    ops.push(Op::Clock(ms));
                }
            }
            kind if DEAR.contains(&kind) && !generator.dice.one_in(8) => {}
            kind if CALM.contains(&kind) => ops.extend(calm(generator.op(kind))),
            _ => {}
        }
    }
    ops
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
