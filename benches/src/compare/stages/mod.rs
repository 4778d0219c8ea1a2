//! What is done with a store: stages, each a process of its own that starts from nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::compare::figure::Figure;
use crate::compare::process;
use crate::compare::store::{Durability, Peer, Setup, Store};
use crate::compare::{Result, row};

mod commits;
mod durable;
mod larger;
mod load;
mod main;
mod open;
mod overwrite;
mod reads;
mod transfers;
mod values;
mod ycsb;

#[cfg(test)]
mod tests;

/// A stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Durable commits.
    Durable,
    /// Buffered commits.
    Buffered,
    /// Loads that are not read afterwards.
    Load,
    /// One load, and all that is done with what it loaded.
    Main,
    /// Larger values.
    Values,
    /// Opening.
    Open,
    /// More data than memory.
    Larger,
}

/// The stages in the order in which a round has them.
pub const STAGES: [Stage; 7] = [
    Stage::Durable,
    Stage::Buffered,
    Stage::Load,
    Stage::Main,
    Stage::Values,
    Stage::Open,
    Stage::Larger,
];

/// Some stages need more than one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The stage, which starts the others.
    Whole,
    /// Fill a store and close it.
    Fill,
    /// Fill a store and be killed.
    FillAndDie,
    /// Open what was filled, and measure.
    Reopen,
}

/// What a child is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The stage.
    pub stage: Stage,
    /// The name of the peer.
    pub peer: String,
    /// The names of the rows that are wanted.
    pub rows: Vec<String>,
    /// The round, from 0.
    pub round: u32,
    /// Chooses keys.
    pub seed: u64,
    /// So many keys are loaded.
    pub keys: u64,
    /// So long a row that has no other end takes.
    pub seconds: f64,
    /// An empty directory; for [`Part::Reopen`], that of the store.
    pub directory: PathBuf,
    /// The memory of the stage whose data is larger.
    pub memory_bytes: u64,
    /// The cgroup that the process enters.
    pub group: Option<PathBuf>,
    /// Which part of the stage it is.
    pub part: Part,
}

/// A stage that runs.
pub struct Bench<'a> {
    /// What is to be done.
    pub task: &'a Task,
    /// With whom.
    pub peer: &'static Peer,
    tell: &'a mut dyn FnMut(Figure),
    directories: u32,
}

impl<'a> Bench<'a> {
    /// Runs the stage of `task`, and tells every figure as soon as it is there.
    ///
    /// # Errors
    /// What stopped the stage. A row that fails by itself is told as such.
    pub fn run(task: &Task, peer: &'static Peer, tell: &mut dyn FnMut(Figure)) -> Result<()> {
        let mut bench = Bench { task, peer, tell, directories: 0 };
        match task.stage {
            Stage::Durable => durable::run(&mut bench),
            Stage::Buffered => durable::run_buffered(&mut bench),
            Stage::Load => load::run(&mut bench),
            Stage::Main => main::run(&mut bench),
            Stage::Values => values::run(&mut bench),
            Stage::Open => open::run(&mut bench),
            Stage::Larger => larger::run(&mut bench),
        }
    }

    /// Whether a row is wanted.
    pub fn wants(&self, row: &str) -> bool {
        debug_assert!(row::find(row).is_some(), "{row} is not in the list of rows");
        self.task.rows.iter().any(|wanted| wanted == row)
    }

    /// Tells the figure of a row, if it is wanted.
    pub fn tell(&mut self, row: &str, figure: Figure) {
        if self.wants(row) {
            let peer = self.peer.name.to_owned();
            (self.tell)(Figure { row: row.to_owned(), peer, round: self.task.round, ..figure });
        }
    }

    /// Does what gives the figure of a row, if it is wanted; a failure is that of the row alone.
    pub fn row(&mut self, row: &str, measure: impl FnOnce(&mut Bench<'a>) -> Result<Figure>) {
        if self.wants(row) {
            let figure = measure(self).unwrap_or_else(Figure::failed);
            self.tell(row, figure);
        }
    }

    /// Opens a store in an empty directory of its own.
    ///
    /// # Errors
    /// When it does not open.
    pub fn open(&mut self, durability: Durability) -> Result<Box<dyn Store>> {
        self.directories += 1;
        let directory = self.directory();
        process::create_directory(&directory)?;
        (self.peer.open)(&directory, Setup::of(durability))
    }

    /// The directory of the store that was opened last.
    pub fn directory(&self) -> PathBuf {
        self.task.directory.join(self.directories.to_string())
    }

    /// A number that is another one for each row and round, the same for every peer.
    pub fn seed(&self, row: &str) -> u64 {
        let place = row::ROWS.iter().position(|known| known.name == row).unwrap_or(0);
        self.task.seed ^ (u64::from(self.task.round) << 32) ^ ((place as u64) << 16)
    }
}
