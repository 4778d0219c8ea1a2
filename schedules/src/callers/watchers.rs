//! Those who watch keys: each sees states that follow each other, and ends on the newest (I12).

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use icecore::{Entry, Error, Watch};
use icecore_sync::model::Dice;

use super::ledger::{Found, KEYS, Key, Look, found, stored};
use super::{Scene, block_on, now_ms};

/// A frame: keys, and what each held.
type Frame = Vec<(Key, Option<Found>)>;

/// By watcher, the newest frame that it was given.
#[derive(Debug, Default)]
pub struct Views(Mutex<Vec<Frame>>);

impl Views {
    fn add(&self) -> usize {
        let mut views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        views.push(Vec::new());
        views.len() - 1
    }

    fn set(&self, place: usize, frame: Frame) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = frame;
    }

    /// Whether so many watch, and all see what will be.
    pub fn show(&self, watchers: usize, outlook: &[Option<Found>]) -> bool {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_newest = |(key, found): &(Key, Option<Found>)| outlook[usize::from(*key)] == *found;
        let shows = |frame: &Frame| !frame.is_empty() && frame.iter().all(is_newest);
        views.len() == watchers && views.iter().all(shows)
    }
}

/// Watches as a thread.
pub fn blocked(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    watch(scene, dice, 0, |watch, _| watch.next())
}

/// Watches as a task, which comes and goes.
pub fn awaiting(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    watch(scene, dice, 0, |watch, _| next_frame(watch))
}

/// Watches in either way, looks whether there is something in between, and drops the watch in
/// the middle to begin a new one.
pub fn fickle(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    watch(scene, dice, 3, |watch, dice| match dice.below(4) {
        0 => match watch.try_next() {
            Ok(Some(frame)) => Some(Ok(frame)),
            Ok(None) => next_frame(watch),
            Err(error) => Some(Err(error)),
        },
        1 => {
            let poll = poll_fn(|context| watch.poll_next(context));
            // A poll that nobody waits for leaves a waker behind.
            block_on(poll, Some(1)).unwrap_or_else(|| watch.next())
        }
        2 => next_frame(watch),
        _ => watch.next(),
    })
}

fn next_frame(watch: &mut Watch) -> Option<Result<Vec<Entry>, Error>> {
    let frame = block_on(poll_fn(|context| watch.poll_next(context)), None);
    frame.expect("it is polled until it is done")
}

/// Watches some keys until the store is closed; the watch is dropped, and begun anew, so often.
fn watch(
    scene: &Scene,
    dice: &mut Dice,
    mut drops: u64,
    next: impl Fn(&mut Watch, &mut Dice) -> Option<Result<Vec<Entry>, Error>>,
) -> Result<(), Error> {
    let place = scene.views.add();
    let first = dice.below(u64::from(KEYS)) as Key;
    let keys = [first, (first + 1 + dice.below(u64::from(KEYS) - 1) as Key) % KEYS];
    let mut chain = Vec::new();
    let begin = |dice: &mut Dice| Ok(scene.kv.watch(keys.map(stored))?.raw(dice.below(4) == 0));
    let mut watching: Result<Watch, Error> = begin(dice);
    let ended = loop {
        let watch = match &mut watching {
            Ok(watch) => watch,
            Err(_) => break watching.map(drop),
        };
        let (after, begun_ms) = (scene.memory.ledger.acknowledged(), now_ms());
        match next(watch, dice) {
            None => break Ok(()),
            Some(Err(error)) => break Err(error),
            Some(Ok(frame)) => {
                let keys: Frame = keys.into_iter().zip(frame.iter().map(found)).collect();
                let times_ms = begun_ms..now_ms();
                chain.push(Look { after, at: None, times_ms, keys: keys.clone(), is_copy: false });
                scene.views.set(place, keys);
                scene.ring();
            }
        }
        if drops > 0 && dice.below(2) == 0 {
            drops -= 1;
            watching = begin(dice);
        }
    };
    scene.memory.ledger.note(chain);
    ended
}
