//! What the threads of a model do. Each is a function of the stage and of dice of its own; a model
//! says who plays together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use icecore_engine::keyspace::DATA;
use icecore_engine::{
    Batch, Durability, Engine, Error, ErrorKind, Mutation, Observer, Options, Outcome, Touched,
    Workers,
};
use icecore_model::{Timestamp, Versionstamp};
use icecore_sync::model::{self, Dice};
use icecore_sync::shuttle::thread;
use icecore_sync::{Mutex, lock};

use crate::history::{History, Key, collect, key_bytes};
use crate::machine::{Machine, tiny};

/// A machine, the store on it, and what is known of it.
#[derive(Debug)]
pub struct Stage {
    /// The machine.
    pub machine: Machine,
    /// The store.
    pub engine: Engine,
    /// What was done to it.
    pub history: History,
    /// Which errors the parts may meet, beside that the store is closed by one of them.
    pub tolerated: &'static [ErrorKind],
    /// Whether commits may only set keys, so that one of unknown outcome shows in what it set.
    pub sets_only: bool,
    /// Somebody was told that the store is closed.
    pub is_closed: AtomicBool,
}

/// What one thread does.
pub type Part = fn(&Stage, &mut Dice) -> Result<(), Error>;

impl Stage {
    /// A stage with a new store.
    #[must_use]
    pub fn new(machine: Machine, options: Options) -> Stage {
        let engine = machine.open(options);
        Stage {
            machine,
            engine,
            history: History::default(),
            tolerated: &[],
            sets_only: false,
            is_closed: AtomicBool::new(false),
        }
    }

    /// Has all of `parts` played at once, and waits for their ends.
    ///
    /// # Panics
    /// When one meets an error that is not tolerated.
    pub fn play(self: &Arc<Stage>, parts: &[Part]) {
        let threads: Vec<_> = (1..)
            .zip(parts)
            .map(|(number, part)| {
                let (stage, part) = (Arc::clone(self), *part);
                let mut dice = Dice::new(model::current() ^ (number << 48));
                thread::spawn(move || {
                    if let Err(error) = part(&stage, &mut dice) {
                        let kind = error.kind();
                        let closed =
                            kind == ErrorKind::Closed && stage.is_closed.load(Ordering::SeqCst);
                        assert!(closed || stage.tolerated.contains(&kind), "{error}");
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a panic ends the execution");
        }
    }

    /// Commits one or two keys, perhaps after a look at one of them.
    pub fn commit(&self, dice: &mut Dice) -> Result<(), Error> {
        let durability = if dice.chance(2) { Durability::Sync } else { Durability::Buffered };
        self.commit_as(dice, durability)
    }

    fn commit_as(&self, dice: &mut Dice, durability: Durability) -> Result<(), Error> {
        let (checks, sets) = self.draw(dice)?;
        self.history.commit(&checks, &sets, |batch| {
            (self.engine.commit_with(batch, durability), durability == Durability::Sync)
        })
    }

    fn draw(&self, dice: &mut Dice) -> Result<(Vec<Checked>, Vec<Drawn>), Error> {
        let key = dice.key(KEYS);
        let checks = match dice.chance(3) {
            true => vec![(key, self.history.read(&self.engine, key)?)],
            false => Vec::new(),
        };
        let mut sets = vec![(key, Some(dice.value_bytes()))];
        if dice.chance(2) {
            let value = (self.sets_only || dice.chance(2)).then(|| dice.value_bytes());
            sets.push((key + KEYS, value));
        }
        Ok((checks, sets))
    }
}

/// What a commit expects of a key.
type Checked = (Key, Option<Versionstamp>);
/// What a commit does to a key: a value of so many bytes, or its deletion.
type Drawn = (Key, Option<usize>);

/// The keys that commits choose from: few, so that they meet.
const KEYS: Key = 3;

/// Short forms of common rolls.
trait Roll {
    fn chance(&mut self, one_in: u64) -> bool;
    fn key(&mut self, below: Key) -> Key;
    fn value_bytes(&mut self) -> usize;
}

impl Roll for Dice {
    fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    fn key(&mut self, below: Key) -> Key {
        Key::try_from(self.below(u64::from(below))).expect("it is below a key")
    }

    fn value_bytes(&mut self) -> usize {
        self.among(&[8, 200, 900, 1400])
    }
}

/// Commits.
pub fn committer(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    (0..3).try_for_each(|_| stage.commit(dice))
}

/// Commits enough for several segments and memtables.
pub fn filler(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    (0..6).try_for_each(|_| stage.commit(dice))
}

/// Commits, and goes on after an error until it is told that it is for good.
pub fn stubborn(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    for _ in 0..4 {
        match stage.commit(dice) {
            Err(error) if !stage.tolerated.contains(&error.kind()) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Reads keys and pictures.
pub fn reader(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    for _ in 0..3 {
        stage.history.read(&stage.engine, dice.key(KEYS * 2))?;
    }
    let picture = stage.history.snapshot(&stage.engine)?;
    stage.history.look(&picture).map(drop)
}

/// Holds a picture, which stays as it is (I10).
pub fn holder(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    let picture = stage.history.snapshot(&stage.engine)?;
    let first = stage.history.look(&picture)?;
    for _ in 0..3 {
        let key = dice.key(KEYS * 2);
        let got = picture.1.get(&key_bytes(key))?.map(|record| record.stamp.get());
        assert_eq!(got, first.get(&key).map(|(stamp, _)| *stamp), "a picture has changed");
        model::turn();
    }
    assert_eq!(stage.history.look(&picture)?, first, "a picture has changed");
    Ok(())
}

/// Flushes.
pub fn flusher(stage: &Stage, _dice: &mut Dice) -> Result<(), Error> {
    stage.engine.flush()?;
    stage.engine.flush()
}

/// Flushes and compacts.
pub fn compacter(stage: &Stage, _dice: &mut Dice) -> Result<(), Error> {
    stage.engine.flush()?;
    stage.engine.compact()
}

/// Copies the store, opens the copy, and looks at it.
pub fn checkpointer(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    let name = format!("copy{}", dice.below(1 << 40));
    let stamp = stage.engine.checkpoint(&name)?;
    let disk = stage.machine.disk.directory(name.as_ref());
    let disk = disk.expect("a checkpoint has made its directory");
    let options = Options { workers: Workers::Manual, ..tiny() };
    let copy = Engine::open(stage.machine.env_on(disk), options)?;
    let state = collect(copy.scan(&[DATA], &[DATA + 1])?)?;
    stage.history.note_whole(0, stamp.get(), &state);
    copy.close()
}

/// Closes the store while others use it.
pub fn closer(stage: &Stage, _dice: &mut Dice) -> Result<(), Error> {
    // Said before: others hear of it before this returns.
    stage.is_closed.store(true, Ordering::SeqCst);
    stage.engine.close()
}

/// Submits commits, and waits for some of them as futures.
pub fn submitter(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    for _ in 0..3 {
        let waits = !dice.chance(3);
        let (checks, sets) = stage.draw(dice)?;
        let durability = if dice.chance(2) { Durability::Sync } else { Durability::Buffered };
        let submit = |batch: Batch<'_>| {
            let future = stage.engine.commit_async(batch, durability);
            match future.stamp() {
                // The future is dropped, and the commit goes on.
                Some(stamp) if !waits => {
                    let engine = &stage.engine;
                    (engine.wait_visible(stamp).map(|()| Outcome::Committed(stamp)), false)
                }
                _ => (block_on(&stage.engine, future), durability == Durability::Sync),
            }
        };
        stage.history.commit(&checks, &sets, submit)?;
    }
    Ok(())
}

/// Wakes a thread, and uses the store on the way: a waker may, where no lock of the store is held.
struct Nosy {
    engine: Engine,
    is_woken: Mutex<bool>,
    thread: thread::Thread,
}

impl Wake for Nosy {
    fn wake(self: Arc<Nosy>) {
        self.engine.wait_told();
        *lock(&self.is_woken) = true;
        self.thread.unpark();
    }
}

/// Waits for `future` in this thread.
pub fn block_on<F: Future>(engine: &Engine, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let thread = thread::current();
    let nosy = Arc::new(Nosy { engine: engine.clone(), is_woken: Mutex::new(false), thread });
    let waker = Waker::from(Arc::clone(&nosy));
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        while !std::mem::take(&mut *lock(&nosy.is_woken)) {
            thread::park();
        }
    }
}

/// Remembers what it is told.
#[derive(Default)]
struct Told {
    stamps: std::sync::Mutex<Vec<u64>>,
    closed: AtomicBool,
}

impl Observer for Told {
    fn touched(&self, stamp: Versionstamp, _effect: Touched<'_>) {
        let mut stamps = self.stamps.lock().expect("nobody panics");
        let last = stamps.last().copied().unwrap_or(0);
        assert!(stamp.get() >= last, "told of {stamp} after {last}");
        if stamp.get() > last {
            stamps.push(stamp.get());
        }
    }

    fn closed(&self) {
        assert!(!self.closed.swap(true, Ordering::SeqCst), "closed twice");
    }
}

/// Observes everything for a while: what it is told of is exactly the commits of that while, and
/// each can be waited for.
pub fn observer(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    let told = Arc::<Told>::default();
    let observation = stage.engine.observe(vec![vec![DATA]..vec![DATA + 1]], told.clone())?;
    let since = observation.since().get();
    for _ in 0..2 {
        stage.commit(dice)?;
        let news = told.stamps.lock().expect("nobody panics").last().copied();
        let newest = Versionstamp::new(news.unwrap_or(since));
        if dice.chance(2) {
            stage.engine.wait_visible(newest)?;
        } else {
            let engine = stage.engine.clone();
            let poll =
                |context: &mut std::task::Context<'_>| engine.poll_visible(newest, context.waker());
            block_on(&stage.engine, std::future::poll_fn(poll))?;
        }
        let (after, picture) = stage.history.snapshot(&stage.engine)?;
        assert!(picture.at() >= newest, "{newest} was waited for");
        stage.history.look(&(after, picture))?;
    }
    // In this order: a commit may become visible after the wait and be told of later still.
    let until = stage.engine.visible().get();
    stage.engine.wait_told();
    let told_until: Vec<u64> = {
        let stamps = told.stamps.lock().expect("nobody panics");
        stamps.iter().copied().filter(|stamp| *stamp <= until).collect()
    };
    drop(observation);
    let committed = stage.history.stamps();
    let missed = committed.iter().filter(|stamp| (since + 1..=until).contains(stamp));
    let missed: Vec<_> = missed.filter(|stamp| !told_until.contains(stamp)).collect();
    assert!(missed.is_empty(), "an observer since {since} was not told of {missed:?}");
    Ok(())
}

/// Sets a key of its own that expires, sets it for ever, and finds it (I8).
pub fn renewer(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    let key = [&[DATA, b'x'][..], &dice.below(1 << 40).to_be_bytes()].concat();
    let set = |value: &[u8], expires_at| {
        let mutations = [Mutation::Set { key: &key, value, expires_at }];
        stage.engine.commit(Batch { checks: &[], mutations: &mutations }).map(drop)
    };
    for round in 0..3 {
        let soon = stage.engine.now_ms() + dice.below(400);
        set(b"soon", Timestamp::from_ms(soon))?;
        let picture = stage.engine.snapshot()?;
        let before = picture.get(&key)?;
        if round == 1 {
            set(b"gone", Timestamp::from_ms(1))?;
            assert_eq!(stage.engine.get(&key)?, None, "it expired long ago");
        }
        set(b"ever", None)?;
        model::turn();
        let found = stage.engine.get(&key)?.map(|record| record.value.to_vec());
        assert_eq!(found.as_deref(), Some(&b"ever"[..]), "what does not expire is gone");
        assert_eq!(picture.get(&key)?, before, "a picture has changed");
    }
    Ok(())
}

/// Gives a full disk its space back after a while.
pub fn janitor(stage: &Stage, dice: &mut Dice) -> Result<(), Error> {
    for _ in 0..dice.below(200) {
        model::turn();
    }
    stage.machine.disk.set_space(None);
    Ok(())
}
