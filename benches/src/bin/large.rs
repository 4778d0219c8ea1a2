//! Loads many small entries within little memory, and reads them: see [`icecore_benches::large`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use icecore_benches::large::{Arguments, run};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
