//! The simulation as a test: a budget of it in every run.

mod full;
mod scripts;
mod seeds;
