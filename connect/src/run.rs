//! A whole server, for a process that does nothing else.

use std::io;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

use crate::auth::AccessTokens;
use crate::budget::BLOCKING_THREADS;
use crate::database::Served;
use crate::files;
use crate::server::{ServeError, Server, Tokens};
use crate::settings::Settings;

/// Serves until the process is told to end, by SIGTERM or SIGINT. `listening` is called once
/// connections are accepted; `tokens` whenever SIGHUP asks to read the access tokens again, of all
/// databases in their order. As long as it fails, the tokens stay as they were.
///
/// The process is given as many open files as it may have, and takes only as many connections as they
/// suffice for.
///
/// # Errors
/// As [`Server::bind`] and [`Server::run`], and [`ServeError::Settings`] where the threads of the
/// server cannot be started.
pub fn run(
    mut settings: Settings,
    databases: Vec<Served>,
    tokens: impl Fn() -> Result<Vec<AccessTokens>, String> + Send + Sync + 'static,
    listening: impl FnOnce(&Server),
) -> Result<(), ServeError> {
    let failed = |error: io::Error| ServeError::Settings(format!("cannot start: {error}"));
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(failed)?;
    settings.connections_max = files::connections(settings.connections_max);
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let server = Server::bind(settings, databases).await?;
        let hangups = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::spawn(reload(hangups, server.tokens(), Arc::new(tokens)));
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

/// Reads the access tokens again whenever a signal comes.
async fn reload<F>(mut signals: Signal, tokens: Tokens, read: Arc<F>)
where
    F: Fn() -> Result<Vec<AccessTokens>, String> + Send + Sync + 'static,
{
    while signals.recv().await.is_some() {
        let read = Arc::clone(&read);
        match spawn_blocking(move || read()).await {
            Ok(Ok(read)) => {
                tokens.replace(read);
                tracing::info!("the access tokens were read again");
            }
            Ok(Err(error)) => tracing::error!(error, "the access tokens stay as they were"),
            Err(error) => tracing::error!(%error, "the access tokens stay as they were"),
        }
    }
}
