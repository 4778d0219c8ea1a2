//! Callers of the whole store: those who watch keys, follow them, and work on messages.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of a model are small")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use icecore::{Durability, Kv};
use icecore_disk::sim::{Crash, Rules};
use icecore_engine::{Options, Workers};
use icecore_sync::model::{self, Dice};

use crate::callers::followers::{self, know};
use crate::callers::workers::{both, glancer, listener, receiver, task};
use crate::callers::writers::{
    closer, committer, copier, enqueuer, filler, flusher, holder, reader,
};
use crate::callers::{Manners, Memory, Part, Scene, join, watchers};
use crate::history::assert_never_idle;
use crate::machine::{Machine, roomy, tiny};

/// Nobody says when the others are done but the store itself.
fn calm() -> Manners {
    let dice = model::current() >> 8;
    let durability = if dice & 1 == 0 { Durability::Sync } else { Durability::Buffered };
    Manners { is_timeless: dice & 6 == 0, durability, buffers: true, is_doomed: false }
}

fn scene(options: Options) -> Arc<Scene> {
    let machine = Machine::new(model::current());
    Arc::new(Scene::open(machine, options, Memory::default(), calm()))
}

/// Closes the store, and compares what it holds when it is open again.
fn end(scene: Arc<Scene>) {
    let scene = Arc::into_inner(scene).expect("no part is left");
    let Scene { machine, kv, memory, .. } = scene;
    drop(kv);
    assert_eq!(machine.disk.open_files(), 0, "a file was left open");
    judge(&machine, &memory, false);
}

/// Judges all that is known by what the store of `machine` holds.
fn judge(machine: &Machine, memory: &Memory, power_failed: bool) -> Kv {
    let settings = Options { workers: Workers::Manual, ..tiny() };
    let kv =
        Kv::builder_in(machine.env()).engine_settings(settings).open().expect("the store opens");
    let tokens = memory.ledger.judge(&kv, power_failed);
    memory.post.judge(&kv, &tokens);
    let report = kv.check().expect("the store can be read");
    assert!(report.problems.is_empty(), "{report:?}");
    kv
}

/// Commits, expiries, and those who watch: each ends on the newest state of its keys (I12).
pub(super) fn watch() {
    let scene = scene(roomy());
    let watching: &[Part] = &[watchers::blocked, watchers::awaiting, watchers::fickle];
    let lasting = scene.begin(1, watching);
    join(scene.begin(10, &[committer, committer, flusher]));
    let outlook = scene.memory.ledger.outlook();
    scene.wait(|| scene.views.show(watching.len(), &outlook));
    if scene.manners.is_timeless {
        assert_never_idle();
    }
    scene.close().expect("the store closes");
    join(lasting);
    end(scene);
}

/// Commits, deletions of ranges, flushes and merges below those who follow, go away and resume.
pub(super) fn feed() {
    let scene = scene(tiny());
    let following: &[Part] = &[followers::blocked, followers::fickle];
    let lasting = scene.begin(1, following);
    join(scene.begin(10, &[filler, filler, flusher]));
    let outlook = scene.memory.ledger.outlook();
    scene.wait(|| know(&scene, following.len(), &outlook));
    scene.close().expect("the store closes");
    join(lasting);
    end(scene);
}

/// Senders, with delays and backoffs, and those who receive in every way: each message is delivered
/// at its time, nobody waits while there is one, and in the end nothing is left (I11).
pub(super) fn queue_workers() {
    let scene = scene(roomy());
    let (all, rest): (&[Part], &[Part]) = match model::current() >> 16 & 3 {
        0 => (&[both], &[receiver, receiver]),
        1 => (&[both], &[task, glancer]),
        2 => (&[both], &[task, listener]),
        _ => (&[both, both], &[listener]),
    };
    let mut lasting = scene.begin(1, all);
    lasting.extend(scene.begin(4, rest));
    join(scene.begin(10, &[enqueuer, enqueuer]));
    settle(&scene);
    scene.close().expect("the store closes");
    join(lasting);
    end(scene);
}

/// Waits until all messages are settled, and nothing is left.
fn settle(scene: &Scene) {
    scene.wait(|| scene.memory.post.open() == 0);
    if scene.manners.is_timeless {
        assert_never_idle();
    }
    scene.wait_empty();
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// When everybody has what there is.
    Calm,
    /// One of the callers closes the store.
    Closed,
    /// The process ends at some operation of the disk.
    Killed,
    /// The power fails at some operation of the disk.
    PowerCut,
}

/// Who plays in each life of a machine, on what.
struct Plan {
    options: Options,
    /// Those who act in every life.
    acting: &'static [Part],
    /// Those who last.
    watching: &'static [Part],
    following: &'static [Part],
    working: &'static [Part],
    /// At which of so many operations of the disk a life ends.
    operations: u64,
}

/// The lives of one machine that end so, one after the other, and a calm one.
fn live(plan: &Plan, endings: &[Ending]) {
    let mut dice = Dice::new(model::current());
    let cuts_power = endings.contains(&Ending::PowerCut);
    let rules = if cuts_power { Rules::power_cut() } else { Rules::none() };
    let mut machine = Machine::with_rules(model::current(), rules);
    let (mut memory, mut power_failed) = (Memory::default(), None);
    for ending in endings.iter().copied().chain([Ending::Calm]) {
        let is_doomed = matches!(ending, Ending::Killed | Ending::PowerCut);
        let calm = calm();
        // What a receiver has finished is finished for good only if that survives.
        let durability = if cuts_power { Durability::Sync } else { calm.durability };
        let manners = Manners { is_doomed, is_timeless: false, durability, ..calm };
        let scene = Scene::open(machine, plan.options.clone(), memory, manners);
        if let Some(power_failed) = power_failed {
            let tokens = scene.memory.ledger.judge(&scene.kv, power_failed);
            scene.memory.post.judge(&scene.kv, &tokens);
        }
        (machine, memory) = live_once(Arc::new(scene), plan, ending, &mut dice);
        power_failed = Some(ending == Ending::PowerCut);
    }
    let kv = judge(&machine, &memory, false);
    memory.post.assert_empty(&kv);
    kv.close().expect("the store closes");
}

/// One life.
fn live_once(scene: Arc<Scene>, plan: &Plan, ending: Ending, dice: &mut Dice) -> (Machine, Memory) {
    let disk = &scene.machine.disk;
    scene.memory.entered.store(0, Ordering::SeqCst);
    if scene.manners.is_doomed {
        disk.crash_at(disk.operations() + dice.below(plan.operations));
    }
    let mut lasting = scene.begin(1, plan.watching);
    lasting.extend(scene.begin(4, plan.following));
    lasting.extend(scene.begin(7, plan.working));
    let mut acting = scene.begin(12, plan.acting);
    if ending == Ending::Closed {
        acting.extend(scene.begin(30, &[closer]));
    }
    join(acting);
    match ending {
        Ending::Calm => {
            let outlook = scene.memory.ledger.outlook();
            scene.wait(|| scene.views.show(plan.watching.len(), &outlook));
            scene.wait(|| know(&scene, plan.following.len(), &outlook));
            settle(&scene);
            scene.close().expect("the store closes");
        }
        Ending::Closed => {}
        Ending::Killed => disk.kill(),
        Ending::PowerCut => disk.crash(Crash::Random),
    }
    if scene.manners.is_doomed {
        // They hear of it by that alone.
        scene.met(scene.close());
    }
    join(lasting);
    let scene = Arc::into_inner(scene).expect("no part is left");
    let Scene { mut machine, kv, memory, manners, .. } = scene;
    drop(kv);
    if manners.is_doomed {
        machine.reopen();
    } else {
        assert_eq!(machine.disk.open_files(), 0, "a file was left open");
    }
    (machine, memory)
}

/// The machine stops in the middle, once or twice: what was promised is there, what was finished
/// does not come again, and everything else does (I2 to I4, I7, I11, I12).
pub(super) fn lives() {
    let mut dice = Dice::new(model::current() ^ 1);
    let ending = if dice.below(2) == 0 { Ending::PowerCut } else { Ending::Killed };
    let plan = Plan {
        options: roomy(),
        acting: &[committer, enqueuer, reader],
        watching: &[watchers::fickle],
        following: &[followers::fickle],
        working: &[both, task],
        operations: 80,
    };
    live(&plan, &[ending; 2][..1 + dice.below(2) as usize]);
}

/// All callers at once over small files, which are rewritten and removed all the time, in a life
/// that ends in any way, and a calm one.
pub(super) fn everything() {
    let endings = [Ending::Closed, Ending::Closed, Ending::Killed, Ending::PowerCut];
    let ending = endings[(model::current() >> 16 & 3) as usize];
    let plan = Plan {
        options: tiny(),
        acting: &[filler, enqueuer, flusher, holder, copier, reader],
        watching: &[watchers::fickle, watchers::awaiting],
        following: &[followers::fickle, followers::blocked],
        working: &[both, task, listener],
        operations: 200,
    };
    live(&plan, &[ending]);
}
