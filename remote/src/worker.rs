//! The thread that works for a client: all its calls, on a runtime of its own. A program needs no
//! runtime to call, and one that has another is not disturbed.
//!
//! 1. Closing waits for the writes that are under way: each has a deadline. Reads are given up.
//! 2. Closing from a waker, which this thread itself calls, does not wait for the thread.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};

/// The thread, and how it is told to end.
pub(crate) struct Worker {
    handle: Handle,
    writes: Arc<Writes>,
    running: Mutex<Option<Running>>,
}

struct Running {
    /// The thread ends when this is gone.
    _stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// The writes that are under way.
#[derive(Default)]
struct Writes {
    count: AtomicUsize,
    changed: Notify,
}

/// One of them, until it is dropped.
pub(crate) struct Write {
    writes: Arc<Writes>,
}

impl Worker {
    pub(crate) fn start() -> io::Result<Worker> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (handle, writes) = (runtime.handle().clone(), Arc::<Writes>::default());
        let to_end = Arc::clone(&writes);
        let thread = thread::Builder::new().name("icecore-remote".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(async {
                // Nothing is ever sent: it is gone.
                stopped.await.unwrap_or_default();
                to_end.ended().await;
            });
            // Who looks up a name may take longer, and waits for nothing.
            runtime.shutdown_background();
        })?;
        let running = Mutex::new(Some(Running { _stop: stop, thread }));
        Ok(Worker { handle, writes, running })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn begin_write(&self) -> Write {
        self.writes.count.fetch_add(1, Ordering::SeqCst);
        Write { writes: Arc::clone(&self.writes) }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Tells the thread to end; with `wait` it has ended then.
    pub(crate) fn stop(&self, wait: bool) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { _stop: stop, thread }) = running else { return };
        drop(stop);
        if wait && thread.thread().id() != thread::current().id() {
            // It panics where there is a bug; whoever waited for a call has heard of it.
            thread.join().unwrap_or_default();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop(false);
    }
}

impl Writes {
    async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Write {
    fn drop(&mut self) {
        self.writes.count.fetch_sub(1, Ordering::SeqCst);
        self.writes.changed.notify_one();
    }
}
