//! The same program against every kind of store: in memory, on a disk, our server through the
//! client, and a `denokv`, if the environment variable `DENOKV` says where its program is. And what
//! the client makes of servers that lose answers, refuse, or send nonsense.

#![expect(clippy::unwrap_used, reason = "a test that fails should say where")]

mod backend;
mod faults;
mod scenarios;
mod scripted;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use backend::Backend;

/// Runs every scenario against a store of this kind.
fn conforms(backend: &Backend) {
    for (name, scenario) in scenarios::ALL {
        let ran = catch_unwind(AssertUnwindSafe(|| scenario(backend)));
        if let Err(panic) = ran {
            eprintln!("{}: {name} does not hold", backend.name);
            resume_unwind(panic);
        }
    }
}

#[test]
fn a_store_in_memory_conforms() {
    conforms(&Backend::memory());
}

#[test]
fn a_store_on_a_disk_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conforms(&Backend::disk(directory.path()));
}

#[test]
fn a_store_behind_our_server_conforms() {
    conforms(&Backend::served());
}

#[test]
fn a_store_behind_our_server_with_tls_conforms() {
    conforms(&Backend::served_with_tls());
}

#[test]
fn a_store_in_a_denokv_conforms() {
    match Backend::denokv() {
        Some(backend) => conforms(&backend),
        None => println!("skipped: a store in a denokv (DENOKV names no program)"),
    }
}
