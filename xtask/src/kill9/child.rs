//! The process that is killed: it opens the store, tells what is in it, and works until it dies.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Args;
use icecore_disk::clock::SystemClock;
use icecore_disk::random::{SeededRandom, SystemRandom};
use icecore_disk::real::RealDisk;
use icecore_engine::{Engine, Environment, Error, Workers};

use super::pipe::{Message, Pipe};
use super::place::copy_of_life;
use super::strike::{Bell, Strike, StrikeDisk};
use crate::witness::book::Content;
use crate::witness::labour::{prepare, small_options, work};

/// Threads that commit.
const COMMITTERS: u8 = 4;
const PAUSE_MS_MAX: u64 = 12;

#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    directory: PathBuf,
    #[arg(long)]
    life: u32,
    #[arg(long)]
    seed: u64,
    #[arg(long)]
    strike: Option<String>,
    #[arg(long, default_value_t = 1)]
    nth: u64,
    /// Counts calls only when the content has been told.
    #[arg(long)]
    working: bool,
}

type Parent = Pipe<io::Stdout>;

/// Returns only when something is wrong.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let parent = Arc::new(Pipe::new(io::stdout()));
    let Err(failure) = live(arguments, &parent);
    // When the parent is gone, too, there is nobody to tell.
    parent.tell(&Message::Failed(failure)).is_ok()
}

fn live(arguments: &Arguments, parent: &Arc<Parent>) -> Result<Infallible, String> {
    let disk = RealDisk::create(&arguments.directory).map_err(|e| e.to_string())?;
    let bell: Bell = {
        let parent = Arc::clone(parent);
        // Without a parent, nobody waits for the bell.
        Box::new(move || drop(parent.tell(&Message::Struck)))
    };
    let strike = Arc::new(Strike::new(arguments.strike.as_deref(), arguments.nth, bell));
    if !arguments.working {
        strike.arm();
    }
    let env = Environment {
        disk: Arc::new(StrikeDisk::new(Arc::new(disk), Arc::clone(&strike))),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
    };
    let engine = Engine::open(env, small_options(Workers::Threads)).map_err(told)?;
    parent.report(Content::of(&engine).map_err(told)?).map_err(|e| e.to_string())?;
    strike.arm();
    let life = Life { engine: &engine, arguments, parent };
    life.live().map_err(told)?;
    Err("the work has an end".to_owned())
}

fn told(error: Error) -> String {
    format!("{:?}: {error}", error.kind())
}

#[derive(Clone, Copy)]
struct Life<'a> {
    engine: &'a Engine,
    arguments: &'a Arguments,
    parent: &'a Parent,
}

impl Life<'_> {
    fn live(self) -> Result<(), Error> {
        let Arguments { life, seed, .. } = *self.arguments;
        let witness = |acknowledgement| self.tell(&Message::Acknowledged(acknowledgement));
        prepare(self.engine, life, &witness)?;
        thread::scope(|scope| {
            let committers = (0..COMMITTERS).map(|thread| {
                let seed = seed ^ u64::from(thread) << 56;
                scope.spawn(move || {
                    work(self.engine, (life, thread), seed, u32::MAX, &|| true, &witness)
                })
            });
            let mut threads: Vec<_> = committers.collect();
            threads.push(scope.spawn(move || self.maintain()));
            // The first one that ends tells why; the others end with the process.
            while !threads.iter().any(|thread| thread.is_finished()) {
                thread::park_timeout(Duration::from_millis(20));
            }
            for thread in threads.into_iter().filter(|thread| thread.is_finished()) {
                if let Err(error) = thread.join().map_err(|_| Error::Closed).flatten() {
                    self.tell(&Message::Failed(told(error)))?;
                }
            }
            std::process::exit(1)
        })
    }

    fn tell(self, message: &Message) -> Result<(), Error> {
        self.parent.tell(message).map_err(|_| Error::Closed)
    }

    /// Flushes, compacts, reads everything, and makes one copy.
    fn maintain(self) -> Result<(), Error> {
        let Arguments { life, seed, ref directory, .. } = *self.arguments;
        let random = SeededRandom::new(seed ^ 0x5eed);
        let mut copied = false;
        loop {
            thread::park_timeout(Duration::from_millis(random.below(PAUSE_MS_MAX)));
            match random.below(8) {
                0..3 => self.engine.flush()?,
                3 | 4 => self.engine.compact()?,
                5 => drop(Content::of(self.engine)?),
                _ if copied => {}
                _ => {
                    let stamp = self.engine.checkpoint(copy_of_life(directory, life))?.get();
                    self.tell(&Message::Copied { stamp })?;
                    copied = true;
                }
            }
        }
    }
}
