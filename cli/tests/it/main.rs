//! The `icecore` command as a user meets it: what it prints, and how it exits.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the tests damage files behind the store's back")]

mod bench;
mod compact;
mod copy;
mod inspect;
mod ledger;
mod queue;
mod salvage;
mod serve;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the command to its end.
fn icecore(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_icecore")).args(args).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// The one JSON object that the command has printed.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}
