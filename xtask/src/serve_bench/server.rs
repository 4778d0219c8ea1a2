//! The servers that are measured, each as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The access token.
pub(super) const TOKEN: &str = "the-token-of-serve-bench";

/// Which server, and how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// `icecore serve`, as it is built from this workspace, with the settings that it has by itself.
    Icecore {
        /// What tells it from others.
        name: &'static str,
    },
    /// `denokv serve`, with these options beside those that it needs.
    Denokv { program: PathBuf, options: Vec<String> },
}

impl Seat {
    pub(super) fn name(&self) -> String {
        match self {
            Seat::Icecore { name } => (*name).to_owned(),
            Seat::Denokv { options, .. } if options.is_empty() => "denokv".to_owned(),
            Seat::Denokv { options, .. } => format!("denokv {}", options.join(" ")),
        }
    }

    /// What a write that was acknowledged has behind it.
    pub(super) fn promise(&self) -> &'static str {
        match self {
            Seat::Icecore { .. } => {
                "durable before it is acknowledged: the log is written with RWF_DSYNC, and \
                 commits that come at the same time share a write"
            }
            Seat::Denokv { .. } => {
                "durable before it is acknowledged: SQLite, journal_mode = WAL, and synchronous \
                 as SQLite has it by itself, FULL: the log is synced at each transaction"
            }
        }
    }

    fn command(&self, directory: &Path) -> Result<Command, String> {
        match self {
            Seat::Icecore { .. } => {
                let this = std::env::current_exe()
                    .map_err(|error| format!("no path to this program: {error}"))?;
                // Cargo puts it beside this program.
                let mut command = Command::new(this.with_file_name("icecore"));
                command.arg("serve").arg(directory.join("store")).args(["--addr", "127.0.0.1:0"]);
                command.env("ICECORE_ACCESS_TOKEN", TOKEN).stdout(Stdio::piped());
                Ok(command)
            }
            Seat::Denokv { program, options } => {
                let mut command = Command::new(program);
                command.arg("--sqlite-path").arg(directory.join("kv.sqlite3")).arg("serve");
                command.args(["--addr", "127.0.0.1:0", "--access-token", TOKEN]).args(options);
                // It tells in its log where it listens.
                command.env("RUST_LOG", "info").stderr(Stdio::piped());
                Ok(command)
            }
        }
    }

    /// Starts it on what is in `directory`, and waits until it listens.
    pub(super) fn start(&self, directory: &Path) -> Result<Server, String> {
        let failed = |error: std::io::Error| format!("cannot start {}: {error}", self.name());
        let mut child = self.command(directory)?.stdin(Stdio::null()).spawn().map_err(failed)?;
        let pipe: Box<dyn Read> = match (child.stdout.take(), child.stderr.take()) {
            (Some(pipe), _) => Box::new(pipe),
            (None, Some(pipe)) => Box::new(pipe),
            (None, None) => unreachable!("one of them is a pipe"),
        };
        let any = SocketAddr::from(([0; 4], 0));
        let mut server = Server { child, said: BufReader::new(pipe), address: any };
        let mut said = String::new();
        loop {
            if server.said.read_line(&mut said).map_err(failed)? == 0 {
                return Err(format!("{} does not listen: it said {said:?}", self.name()));
            }
            let address = said.split_once("Listening on http://").map(|(_, rest)| rest.trim_end());
            if let Some(address) = address {
                server.address = address.parse().map_err(|error| format!("{address}: {error}"))?;
                return Ok(server);
            }
        }
    }
}

/// A server that runs. Dropped, it is killed.
pub(super) struct Server {
    child: Child,
    /// Kept open, for what it says later. Those are lines in case of trouble, and a pipe holds many.
    said: BufReader<Box<dyn Read>>,
    address: SocketAddr,
}

impl Server {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in the middle of whatever it does.
    pub(super) fn kill(mut self) -> Result<(), String> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|error| format!("cannot kill the server: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where all is well.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Builds ours, with the settings with which this program was built.
pub(super) fn build() -> Result<(), String> {
    crate::connect_check::server::build()
}

/// Where the program `denokv` is, and which version, if that can be told; or why it cannot be used.
pub(super) fn find(program: &Path) -> Result<(PathBuf, String), String> {
    let missing = || "denokv is not installed (cargo install denokv --locked)".to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path);
    let found = match program.components().count() {
        1 => directories.map(|directory| directory.join(program)).find(|path| path.is_file()),
        _ => program.is_file().then(|| program.to_owned()),
    };
    let found = found.ok_or_else(missing)?;
    let version = version(&found).unwrap_or_else(|| "denokv of a version that is not known".into());
    Ok((found, version))
}

/// It does not say its version itself, but Cargo notes what it installs.
#[expect(clippy::disallowed_methods, reason = "a list of Cargo is in no store")]
fn version(program: &Path) -> Option<String> {
    let root = program.parent()?.parent()?;
    let list = std::fs::read(root.join(".crates.toml")).ok()?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let version =
        list.lines().find_map(|line| line.strip_prefix("\"denokv "))?.split(' ').next()?;
    Some(format!("denokv {version}"))
}
