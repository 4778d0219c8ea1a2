//! Callers of the whole store, of the crate `icecore`: a scene with a store on it, and what is known
//! of what its callers did.
//!
//! - [`ledger`]: user keys. What was read fits one order of the commits, and what is found in the
//!   next life is a prefix of them.
//! - [`post`]: messages. Each is delivered, at its time, to one holder at a time, and none is lost.
//! - [`writers`], [`watchers`], [`followers`], [`workers`]: what the threads do.
//!
//! Parts are of two kinds. Those that *act* come to an end of their own. Those that *last* (who
//! watches, follows, or waits for messages) end when the store is closed; so whoever waits in
//! vain is a deadlock, which the scheduler finds.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of a model are small")]

pub mod followers;
pub mod ledger;
pub mod post;
pub mod watchers;
pub mod workers;
pub mod writers;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use icecore::{Durability, Error, ErrorKind, Kv};
use icecore_disk::Clock;
use icecore_engine::Options;
use icecore_sync::model::{self, Dice};
use icecore_sync::shuttle::thread::{self, JoinHandle};
use icecore_sync::{Condvar, Mutex, lock};

use self::followers::Follower;
use self::ledger::Ledger;
use self::post::{Post, QUEUES};
use self::watchers::Views;
use crate::machine::{Machine, ModelClock};

/// What goes on from life to life.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was committed and read.
    pub ledger: Ledger,
    /// What was sent and received.
    pub post: Post,
    /// Who follows the keys, with what it knows.
    pub followers: std::sync::Mutex<Vec<Follower>>,
    /// How many of them are on their way in this life.
    pub entered: AtomicUsize,
}

/// A store in one life of its machine, and those who call it.
#[derive(Debug)]
pub struct Scene {
    /// The machine.
    pub machine: Machine,
    /// The store.
    pub kv: Kv,
    /// What is known of it.
    pub memory: Memory,
    /// What those who watch have seen last.
    pub views: Views,
    /// What the callers do besides.
    pub manners: Manners,
    /// Somebody closes the store, or has.
    pub is_closing: AtomicBool,
    bell: (Mutex<()>, Condvar),
}

/// What callers do, and may meet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Nothing is ever waited for by time: no expiry, no delay, no backoff.
    pub is_timeless: bool,
    /// How commits are made that do not say it themselves.
    pub durability: Durability,
    /// Whether some commits are only buffered, whatever the default is.
    pub buffers: bool,
    /// Whether the machine stops in the middle: errors are met, and commits only set keys, so that
    /// one of unknown outcome shows.
    pub is_doomed: bool,
}

/// What one thread does.
pub type Part = fn(&Arc<Scene>, &mut Dice) -> Result<(), Error>;

/// Threads that play.
pub type Players = Vec<JoinHandle<()>>;

/// The errors of a machine that has stopped.
const DOOM: [ErrorKind; 3] = [ErrorKind::Io, ErrorKind::Poisoned, ErrorKind::OutcomeUnknown];

/// The wall clock of the model.
#[must_use]
pub fn now_ms() -> u64 {
    ModelClock.wall_ms()
}

impl Scene {
    /// Opens the store of `machine`.
    ///
    /// # Panics
    /// When it does not open.
    #[must_use]
    pub fn open(machine: Machine, options: Options, memory: Memory, manners: Manners) -> Scene {
        let builder = Kv::builder_in(machine.env()).engine_settings(options);
        let kv = builder.durability(manners.durability).open().expect("the store opens");
        let is_closing = AtomicBool::new(false);
        let views = Views::default();
        Scene { machine, kv, memory, views, manners, is_closing, bell: Default::default() }
    }

    /// Has all of `parts` begun at once. The dice of each are those of its `first` and its place.
    pub fn begin(self: &Arc<Scene>, first: u64, parts: &[Part]) -> Players {
        let begin = |(number, part): (u64, &Part)| {
            let (scene, part) = (Arc::clone(self), *part);
            let mut dice = Dice::new(model::current() ^ (number << 48));
            thread::spawn(move || scene.met(part(&scene, &mut dice)))
        };
        (first..).zip(parts).map(begin).collect()
    }

    /// What a part has met.
    ///
    /// # Panics
    /// When that is an error that it may not meet.
    pub fn met(&self, result: Result<(), Error>) {
        let Err(error) = result else { return };
        let kind = error.kind();
        let is_told = kind == ErrorKind::Closed && self.is_closing.load(Ordering::SeqCst);
        let is_doom = self.manners.is_doomed && DOOM.contains(&kind);
        assert!(is_told || is_doom, "{error} ({kind:?})");
    }

    /// Tells whoever waits in [`Scene::wait`] that something has changed.
    pub fn ring(&self) {
        drop(lock(&self.bell.0));
        self.bell.1.notify_all();
    }

    /// Waits until nothing is in any queue, as time goes on.
    ///
    /// # Panics
    /// When somebody panicked, or a queue cannot be read.
    pub fn wait_empty(&self) {
        let is_empty = |name: &&str| self.kv.queue(name).is_empty().expect("a queue is read");
        while !QUEUES.iter().all(is_empty) {
            let waited = self.bell.1.wait_timeout(lock(&self.bell.0), Duration::from_millis(100));
            drop(waited.expect("nobody panics"));
        }
    }

    /// Waits until `holds`.
    ///
    /// # Panics
    /// When somebody panicked.
    pub fn wait(&self, mut holds: impl FnMut() -> bool) {
        let waited = self.bell.1.wait_while(lock(&self.bell.0), |()| !holds());
        drop(waited.expect("nobody panics"));
    }

    /// Closes the store, which ends the parts that last.
    pub fn close(&self) -> Result<(), Error> {
        // Said before: others hear of it before this returns.
        self.is_closing.store(true, Ordering::SeqCst);
        self.kv.close()
    }
}

/// Waits for the ends of all.
///
/// # Panics
/// When one has panicked.
pub fn join(players: Players) {
    for player in players {
        player.join().expect("a panic ends the execution");
    }
}

/// Waits for one thread's futures.
struct Bell {
    is_rung: Mutex<bool>,
    thread: thread::Thread,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        *lock(&self.is_rung) = true;
        self.thread.unpark();
    }
}

/// Waits for `future` in this thread; after so many polls it is dropped instead.
pub fn block_on<F: Future>(future: F, polls: Option<u64>) -> Option<F::Output> {
    let mut future = pin!(future);
    let bell = Arc::new(Bell { is_rung: Mutex::new(false), thread: thread::current() });
    let waker = Waker::from(Arc::clone(&bell));
    let mut context = Context::from_waker(&waker);
    let mut left = polls;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        left = left.map(|left| left.saturating_sub(1));
        if left == Some(0) {
            return None;
        }
        while !std::mem::take(&mut *lock(&bell.is_rung)) {
            thread::park();
        }
    }
}
