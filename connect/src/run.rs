//! A whole server, for a process that does nothing else.

use std::io;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::budget::BLOCKING_THREADS;
use crate::database::Served;
use crate::server::{ServeError, Server};
use crate::settings::Settings;

/// Serves until the process is told to end, by SIGTERM or SIGINT. `listening` is called once
/// connections are accepted.
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`], and [`ServeError::Settings`] where the threads of the
/// server cannot be started.
pub fn run(
    settings: Settings,
    databases: Vec<Served>,
    listening: impl FnOnce(&Server),
) -> Result<(), ServeError> {
    let failed = |error: io::Error| ServeError::Settings(format!("cannot start: {error}"));
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let server = Server::bind(settings, databases).await?;
        listening(&server);
        let end = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        server.run(end).await
    })
}
