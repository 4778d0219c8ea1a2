//! Receivers that wait, and messages that come: no wake-up is lost.

use std::sync::Arc;

use icecore::{Durability, Enqueue, Kv};
use icecore_sync::shuttle::thread;
use icecore_sync::{Condvar, Mutex, lock, model};

use crate::history::assert_never_idle;
use crate::machine::{Machine, roomy};

/// How many messages are put in, and how many receivers wait for them.
const MESSAGES: usize = 3;
const RECEIVERS: usize = 2;

/// Two receivers, and one who puts messages in: each message is received once, and nobody
/// waits while there is one.
pub(super) fn queue() {
    let machine = Machine::new(model::current());
    let builder = Kv::builder_in(machine.env()).engine_settings(roomy());
    let kv = builder.durability(Durability::Buffered).open();
    let kv = kv.expect("the store opens");
    let received = Arc::new((Mutex::new(0), Condvar::new()));
    let receivers: Vec<_> = (0..RECEIVERS)
        .map(|_| {
            let (queue, received) = (kv.queue("jobs"), Arc::clone(&received));
            thread::spawn(move || {
                while let Some(message) = queue.receive().expect("a message is received") {
                    message.finish().expect("a message is finished");
                    *lock(&received.0) += 1;
                    received.1.notify_all();
                }
            })
        })
        .collect();
    for n in 0..MESSAGES {
        let message = Enqueue::new(n as u64).queue("jobs");
        kv.enqueue(message).expect("a message is put in");
    }
    let all = received.1.wait_while(lock(&received.0), |received| *received < MESSAGES);
    drop(all.expect("nobody panics"));
    assert_never_idle();
    // Now both wait, until they are told that the store is closed.
    kv.close().expect("the store closes");
    for receiver in receivers {
        receiver.join().expect("a panic ends the execution");
    }
}
