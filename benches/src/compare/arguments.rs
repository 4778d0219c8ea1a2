//! What the program is told.

use std::path::PathBuf;

use clap::Parser;

use crate::compare::peers::{self, ENGINE, SUBJECT};
use crate::compare::row::{self, ROWS};
use crate::compare::stages::Stage;
use crate::compare::store::Peer;

/// Compares Icecore with other embedded stores.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare", disable_help_subcommand = true)]
pub struct Arguments {
    /// Fewer keys and shorter rows: everything in less than 20 minutes
    #[arg(long)]
    pub quick: bool,
    /// A few keys and milliseconds, to see that everything runs: figures mean nothing
    #[arg(long, conflicts_with = "quick")]
    pub smoke: bool,
    /// How long a row takes in each round, where nothing else ends it
    #[arg(long, value_name = "SECONDS")]
    pub seconds_per_row: Option<f64>,
    /// How many keys are loaded
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..))]
    pub keys: Option<u64>,
    /// How many rounds there are
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,
    /// Only these rows
    #[arg(long, value_delimiter = ',', value_name = "ROW,…")]
    pub only: Vec<String>,
    /// Only these stores
    #[arg(long, value_delimiter = ',', value_name = "STORE,…")]
    pub peers: Vec<String>,
    /// Where the figures and the report are written, instead of ./compare-report; a smoke run
    /// that names no place leaves none
    #[arg(long, value_name = "DIRECTORY")]
    pub out: Option<PathBuf>,
    /// Where the stores are put, instead of the current directory: the disk that is measured
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: Option<PathBuf>,
    /// Chooses the keys
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// List the rows and the stores of this build
    #[arg(long)]
    pub list: bool,
    /// A task for a process of its own
    #[arg(long, hide = true)]
    pub task: Option<String>,
}

impl Arguments {
    /// How many keys are loaded.
    pub fn keys(&self) -> u64 {
        self.keys.unwrap_or(self.sized(2_000_000, 300_000, 1000))
    }

    /// How long a row takes in one round.
    pub fn seconds(&self) -> f64 {
        self.seconds_per_row.unwrap_or(self.sized(3.0, 0.4, 0.01))
    }

    /// How many rounds there are.
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(self.sized(3, 3, 1))
    }

    /// How many rounds a stage has: filling more than memory takes too long to be quick.
    pub fn rounds_of(&self, stage: Stage) -> u32 {
        let once = self.quick && stage == Stage::Larger;
        if once { 1 } else { self.rounds() }
    }

    /// The memory of the rows whose data is three times as large.
    pub fn memory_bytes(&self) -> u64 {
        self.sized(1 << 30, 128 << 20, 32 << 20)
    }

    fn sized<T>(&self, full: T, quick: T, smoke: T) -> T {
        if self.smoke {
            smoke
        } else if self.quick {
            quick
        } else {
            full
        }
    }

    /// The names of the rows that are wanted, in the order of the list.
    ///
    /// # Errors
    /// When one is not known.
    pub fn rows(&self) -> Result<Vec<&'static str>, String> {
        if let Some(unknown) = self.only.iter().find(|name| row::find(name).is_none()) {
            return Err(format!("there is no row {unknown}: see --list"));
        }
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        Ok(ROWS.iter().map(|row| row.name).filter(|name| wanted(name)).collect())
    }

    /// The stores that are wanted, the subject first. All but the bare engine, if none is named.
    ///
    /// # Errors
    /// When one is not known.
    pub fn peers(&self) -> Result<Vec<&'static Peer>, String> {
        if let Some(unknown) = self.peers.iter().find(|name| peers::find(name).is_none()) {
            return Err(format!("there is no store {unknown} in this build: see --list"));
        }
        let named = |name: &str| self.peers.iter().any(|named| named == name);
        let all = |name: &str| self.peers.is_empty() && (name != ENGINE || self.smoke);
        let wanted: Vec<_> =
            peers::PEERS.iter().filter(|peer| named(peer.name) || all(peer.name)).collect();
        debug_assert_eq!(peers::PEERS[0].name, SUBJECT);
        Ok(wanted)
    }
}
