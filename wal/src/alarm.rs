//! What one thread sleeps on.
//!
//! Not `std::thread::park`: a thread has one token, and the caller's may be meant for something
//! else. An executor that parks, as the one in the documentation of [`std::task::Wake`] does, would
//! sleep for ever if its future had committed and the log had taken the token.

use icecore_sync::{Condvar, Mutex, lock};

/// Rings once, whether its owner is asleep already or not.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    rang: Mutex<bool>,
    ringing: Condvar,
}

impl Alarm {
    /// Sleeps until it rings.
    pub(crate) fn wait(&self) {
        let rang = lock(&self.rang);
        let rang = self.ringing.wait_while(rang, |rang| !*rang);
        drop(rang.expect("no thread panics while it holds an alarm"));
    }

    /// Wakes the owner.
    pub(crate) fn ring(&self) {
        *lock(&self.rang) = true;
        self.ringing.notify_one();
    }
}
