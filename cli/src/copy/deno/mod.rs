//! Deno's own file, `kv.sqlite3`.

mod read;
mod write;

pub(super) use read::DenoSource;
pub(super) use write::DenoSink;

use crate::failure::Failure;

/// The version of Deno's tables that is known.
const MIGRATION: i64 = 3;

/// How values are encoded, as in KV Connect.
const V8: i64 = 1;
const U64: i64 = 2;
const BYTES: i64 = 3;

fn refused(name: &str, error: &rusqlite::Error) -> Failure {
    Failure::problem(format!("{name}: {error}"))
}
