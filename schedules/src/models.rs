//! Who plays with whom, and what must hold at the end.
//!
//! Every model ends with its judgement: all that was read fits the order of the commits; the store
//! finds nothing wrong with itself, and shows the same after it was closed, or killed, and opened
//! again.

mod callers;
mod queue;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use icecore_disk::sim::{Crash, Failure, Rules};
use icecore_engine::{Engine, ErrorKind, Options, ReadMode, Workers};
use icecore_sync::model::{self, Dice};

use crate::cast::{
    Part, Stage, checkpointer, closer, committer, compacter, filler, flusher, holder, janitor,
    observer, reader, renewer, stubborn, submitter,
};
use crate::history::assert_never_idle;
use crate::machine::{Machine, roomy, tiny};

/// A closure to be run under many schedules.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// What it is called on the command line.
    pub name: &'static str,
    /// One execution.
    pub run: fn(),
}

/// All models.
pub const MODELS: &[Model] = &[
    Model { name: "commits", run: commits },
    Model { name: "rotation", run: rotation },
    Model { name: "flush", run: flush },
    Model { name: "pictures", run: pictures },
    Model { name: "garbage", run: garbage },
    Model { name: "close", run: close },
    Model { name: "observers", run: observers },
    Model { name: "futures", run: futures },
    Model { name: "sweeper", run: sweeper },
    Model { name: "poison", run: poison },
    Model { name: "full-disk", run: full_disk },
    Model { name: "power-cut", run: power_cut },
    Model { name: "queue", run: queue::queue },
    Model { name: "watch", run: callers::watch },
    Model { name: "feed", run: callers::feed },
    Model { name: "queue-workers", run: callers::queue_workers },
    Model { name: "lives", run: callers::lives },
    Model { name: "everything", run: callers::everything },
];

/// How an opened store is asked again what it holds: by one thread.
fn judging() -> Options {
    Options { workers: Workers::Manual, ..tiny() }
}

/// Closes the store, or kills its process; opens it again, and compares what it holds.
fn judge(stage: Arc<Stage>) {
    stage.history.judge();
    let stage = Arc::into_inner(stage).expect("no part is left");
    let Stage { mut machine, engine, history, is_closed, .. } = stage;
    let killed = model::current() & 2 == 0;
    if killed {
        machine.disk.kill();
        drop(engine);
        machine.reopen();
    } else {
        let closed = engine.close();
        let was_closed = is_closed.load(Ordering::SeqCst);
        assert!(
            closed.is_ok() || was_closed && closed.is_err_and(|e| e.kind() == ErrorKind::Closed)
        );
        drop(engine);
        assert_eq!(machine.disk.open_files(), 0, "a file was left open");
    }
    let again = machine.open(judging());
    history.judge_reopened(&again, false);
    assert_sound(&again);
}

fn assert_sound(engine: &Engine) {
    let report = engine.check().expect("the store can be read");
    assert!(report.is_clean(), "{report}: {:?}", report.problems);
    engine.close().expect("the store closes");
}

fn act(options: Options, parts: &[Part]) {
    let stage = Arc::new(Stage::new(Machine::new(model::current()), options));
    stage.play(parts);
    judge(stage);
}

/// Commits with checks against each other, and reads: one order, strictly.
fn commits() {
    let stage = Arc::new(Stage::new(Machine::new(model::current()), roomy()));
    stage.play(&[committer, committer, reader, reader]);
    assert_never_idle();
    judge(stage);
}

/// Commits that go on into the next segments, while old ones are reused.
fn rotation() {
    act(Options { memtable_bytes: 16 << 10, ..tiny() }, &[filler, filler, flusher]);
}

/// Commits that fill memtables, while these are flushed.
fn flush() {
    act(tiny(), &[filler, filler, flusher, reader]);
}

/// Pictures that are held while everything below them is rewritten (I10).
fn pictures() {
    act(tiny(), &[filler, compacter, holder, holder]);
}

/// Tables that go while readers open them.
fn garbage() {
    let read_mode = if model::current() & 4 == 0 { ReadMode::Mmap } else { ReadMode::Read };
    act(Options { read_mode, ..tiny() }, &[compacter, compacter, reader, holder, filler]);
}

/// A store that is closed while it is used in every way.
fn close() {
    let stage = Arc::new(Stage::new(Machine::new(model::current()), tiny()));
    stage.play(&[filler, flusher, checkpointer, holder, closer]);
    judge(stage);
}

/// Observers and those who wait for a stamp: nobody misses the last.
fn observers() {
    let stage = Arc::new(Stage::new(Machine::new(model::current()), roomy()));
    stage.play(&[observer, observer, committer]);
    assert_never_idle();
    judge(stage);
}

/// Commits as futures, some of which are dropped, with wakers that use the store.
fn futures() {
    let stage = Arc::new(Stage::new(Machine::new(model::current()), roomy()));
    stage.play(&[submitter, submitter, committer]);
    assert_never_idle();
    judge(stage);
}

/// The sweeper against commits that set again what expires.
fn sweeper() {
    act(roomy(), &[renewer, renewer, holder, committer]);
}

/// A write or sync that fails, under committers: all are told, and nobody waits for ever (I15).
fn poison() {
    let mut dice = Dice::new(model::current());
    let mut stage = Stage::new(Machine::new(model::current()), tiny());
    let tolerated = &[ErrorKind::Io, ErrorKind::Poisoned, ErrorKind::OutcomeUnknown];
    (stage.tolerated, stage.sets_only) = (tolerated, true);
    let disk = &stage.machine.disk;
    disk.fail_op(disk.operations() + dice.below(60), Failure::Io);
    let stage = Arc::new(stage);
    stage.play(&[stubborn, stubborn, flusher, reader]);
    stage.history.judge();
    // What was not promised is gone with the pages that could not be written.
    judge_after_a_kill(stage, true);
}

/// A disk that is full for a while, under commits that wait for flushes.
fn full_disk() {
    let mut dice = Dice::new(model::current());
    let mut stage = Stage::new(Machine::new(model::current()), tiny());
    let tolerated = &[ErrorKind::OutOfSpace, ErrorKind::Poisoned, ErrorKind::OutcomeUnknown];
    (stage.tolerated, stage.sets_only) = (tolerated, true);
    let disk = &stage.machine.disk;
    disk.set_space(Some(disk.used_bytes() + dice.below(24 << 10)));
    let stage = Arc::new(stage);
    stage.play(&[stubborn, stubborn, flusher, reader, janitor]);
    stage.history.judge();
    judge_after_a_kill(stage, false);
}

/// Kills the process, and judges what the next life finds. `loses` says whether what was not
/// promised may be gone.
fn judge_after_a_kill(stage: Arc<Stage>, loses: bool) {
    let stage = Arc::into_inner(stage).expect("no part is left");
    let Stage { mut machine, engine, history, .. } = stage;
    machine.disk.kill();
    drop(engine);
    machine.reopen();
    let again = machine.open(judging());
    history.judge_reopened(&again, loses);
    assert_sound(&again);
}

/// The power fails in the middle of everything: what was promised is there (I2 to I4).
fn power_cut() {
    let mut dice = Dice::new(model::current());
    let machine = Machine::with_rules(model::current(), Rules::power_cut());
    let mut stage = Stage::new(machine, tiny());
    let tolerated = &[ErrorKind::Io, ErrorKind::Poisoned, ErrorKind::OutcomeUnknown];
    (stage.tolerated, stage.sets_only) = (tolerated, true);
    stage.machine.disk.crash_at(stage.machine.disk.operations() + dice.below(100));
    let stage = Arc::new(stage);
    stage.play(&[stubborn, stubborn, compacter, reader]);
    let stage = Arc::into_inner(stage).expect("no part is left");
    let Stage { mut machine, engine, history, .. } = stage;
    machine.disk.crash(Crash::Random);
    drop(engine);
    machine.reopen();
    machine.disk.set_rules(Rules::none());
    let again = machine.open(judging());
    history.judge_reopened(&again, true);
    assert_sound(&again);
}
