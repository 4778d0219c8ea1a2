//! The queues of a store: those that somebody has a handle of, and those that are remembered.
//!
//! 1. *All handles of a queue share one [`Line`]*, which is gone with the last of them.
//! 2. *What a line knew is kept*: its floor, and its observation, by which the board goes on to
//!    note what is put below the floor. So whoever takes a handle for each message does not read
//!    over all that was there before it. At most [`KEPT_MAX`] queues are kept; one that is
//!    forgotten only reads again.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use icecore_sync::{Mutex, lock};

use super::line::{Kept, Line};
use super::timer::Timer;

/// How many queues without handles are remembered: each takes some hundred bytes.
const KEPT_MAX: usize = 1_000;

/// All queues of a store.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    names: Arc<Mutex<Names>>,
    timer: Arc<Timer>,
}

/// What is known by the name of a queue.
#[derive(Debug, Default)]
pub(super) struct Names {
    lines: HashMap<String, Weak<Line>>,
    kept: HashMap<String, Kept>,
}

impl Lines {
    /// The queue `name`.
    pub(crate) fn line(&self, name: &str) -> Arc<Line> {
        let mut names = lock(&self.names);
        if let Some(line) = names.lines.get(name).and_then(Weak::upgrade) {
            return line;
        }
        let kept = names.kept.remove(name);
        let line = Arc::new(Line::new(name, kept, &self.timer, &self.names));
        names.lines.insert(name.to_owned(), Arc::downgrade(&line));
        line
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        lock(&self.names).kept.len()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.timer.stop();
    }
}

impl Names {
    /// The last handle of `line` is gone, of which `kept` is known.
    pub(super) fn leave(names: &Mutex<Names>, line: &Line, kept: Option<Kept>) {
        let mut guard = lock(names);
        let own = guard.lines.get(&line.name).is_some_and(|own| std::ptr::eq(own.as_ptr(), line));
        // Somebody may have made the queue anew since the last handle of this one was gone.
        let forgotten = if own {
            guard.lines.remove(&line.name);
            kept.and_then(|kept| guard.keep(&line.name, kept))
        } else {
            kept
        };
        drop(guard);
        // Without the lock: this waits for a commit that is about to tell it something.
        drop(forgotten);
    }

    /// Keeps it, and gives what is to be forgotten for it.
    fn keep(&mut self, name: &str, kept: Kept) -> Option<Kept> {
        let full = self.kept.len() >= KEPT_MAX;
        let any = full.then(|| self.kept.keys().next().cloned()).flatten();
        let forgotten = any.and_then(|any| self.kept.remove(&any));
        // The name is not there: its line took what was kept.
        self.kept.insert(name.to_owned(), kept);
        forgotten
    }
}
