//! Those who receive messages, in every way there is, and finish them, or not.

use std::sync::{Arc, Mutex, PoisonError};

use icecore::{Error, ListenOptions, Message, Queue};
use icecore_sync::model::Dice;
use icecore_sync::shuttle::thread;

use super::post::QUEUES;
use super::writers::rest;
use super::{Scene, block_on, now_ms};

/// Receives as a thread.
pub fn receiver(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let name = QUEUES[dice.below(2) as usize];
    work(scene, dice, name, |queue, _| queue.receive())
}

/// Receives from each queue in a thread of its own: so that no queue has nobody.
pub fn both(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let (other, mut others) = (Arc::clone(scene), Dice::new(dice.next()));
    let receive = |queue: &Queue, _: &mut Dice| queue.receive();
    let thread = thread::spawn(move || work(&other, &mut others, QUEUES[1], receive));
    let ended = work(scene, dice, QUEUES[0], receive);
    thread.join().expect("a panic ends the execution").and(ended)
}

/// Receives as a task, which sometimes goes away before it has a message.
pub fn task(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let mut cancels = 4;
    let name = QUEUES[dice.below(2) as usize];
    work(scene, dice, name, |queue, dice| {
        while cancels > 0 && dice.below(2) == 0 {
            cancels -= 1;
            if let Some(received) = block_on(queue.receive_async(), Some(1 + dice.below(3))) {
                return received;
            }
        }
        block_on(queue.receive_async(), None).expect("it is polled until it is done")
    })
}

/// Looks for messages now and then, and then waits for them.
pub fn glancer(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let mut glances = 6;
    let name = QUEUES[dice.below(2) as usize];
    work(scene, dice, name, |queue, dice| {
        while glances > 0 {
            glances -= 1;
            if let Some(message) = queue.try_receive()? {
                return Ok(Some(message));
            }
            rest(dice, 30);
        }
        queue.receive()
    })
}

/// Listens with two threads.
pub fn listener(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let handling = (Arc::clone(scene), Mutex::new(Dice::new(dice.next())));
    let handler = move |message: &Message| {
        let (scene, dice) = &handling;
        let mut dice = Dice::new(dice.lock().unwrap_or_else(PoisonError::into_inner).next());
        handle(scene, &mut dice, message)
    };
    let queue = scene.kv.queue(QUEUES[dice.below(2) as usize]);
    queue.listen(ListenOptions { concurrency: 2 }, handler)?.wait()
}

/// The handler of a listener, which does not hear what becomes of the end of its message.
fn handle(scene: &Scene, dice: &mut Dice, message: &Message) -> Result<(), &'static str> {
    let post = &scene.memory.post;
    let number = post.received(message, scene.is_sure());
    rest(dice, 20);
    let fails = dice.below(3) == 0;
    if fails {
        post.failing(number, scene.is_sure());
    } else {
        post.finishing(number);
    }
    scene.ring();
    if fails { Err("the dice said so") } else { Ok(()) }
}

/// Receives from this queue until the store is closed.
fn work(
    scene: &Arc<Scene>,
    dice: &mut Dice,
    name: &str,
    mut receive: impl FnMut(&Queue, &mut Dice) -> Result<Option<Message>, Error>,
) -> Result<(), Error> {
    let mut queue = scene.kv.queue(name);
    while let Some(message) = receive(&queue, dice)? {
        let mut next = Some(message);
        while let Some(message) = next {
            next = scene.settle(dice, message)?;
            scene.ring();
        }
        if dice.below(4) == 0 {
            // Perhaps the last handle of the queue.
            drop(queue);
            queue = scene.kv.queue(name);
        }
    }
    Ok(())
}

impl Scene {
    /// Whether no step in the life of a message fails.
    fn is_sure(&self) -> bool {
        !self.manners.is_doomed
    }

    /// Does something with a message that was received. Gives the next one, if it asked for it.
    fn settle(&self, dice: &mut Dice, message: Message) -> Result<Option<Message>, Error> {
        let post = &self.memory.post;
        let number = post.received(&message, self.is_sure());
        rest(dice, 20);
        let (attempt, begun_ms) = (message.attempt(), now_ms());
        let way = dice.below(10);
        if way < 4 {
            post.failing(number, self.is_sure());
            match way {
                0 => message.fail()?,
                1 => done(message.fail_async())?,
                2 => drop(block_on(message.fail_async(), Some(1))),
                _ => drop(message),
            }
            if way < 2 {
                post.failed(number, attempt, begun_ms);
            }
            return Ok(None);
        }
        post.finishing(number);
        let mut next = None;
        match way {
            4 => return block_on(message.finish_async(), Some(1)).unwrap_or(Ok(())).map(|()| None),
            5 => done(message.finish_async())?,
            6 | 7 => next = message.finish_and_receive()?,
            _ => message.finish()?,
        }
        post.finished(number);
        Ok(next)
    }
}

fn done<T>(future: impl Future<Output = T>) -> T {
    block_on(future, None).expect("it is polled until it is done")
}
