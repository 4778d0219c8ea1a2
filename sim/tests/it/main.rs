//! The simulation as a test: a budget of it in every run.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod failures;
mod full;
mod misplaced;
mod properties;
mod scripts;
mod seeds;
mod smaller;
