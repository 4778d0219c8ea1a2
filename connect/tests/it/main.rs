//! The server as its clients see it: bytes on a socket.

#![expect(clippy::unwrap_used, reason = "a test that fails should say where")]

mod crowds;
mod data_path;
mod encrypted;
mod harness;
mod hostile;
mod identity;
mod negotiation;
mod operations;
mod queues;
mod readers;
mod stalled;
mod watching;
mod wire;
mod writing;
