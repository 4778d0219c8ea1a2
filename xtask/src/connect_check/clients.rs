//! The clients: the Deno that `deno-diff` installs, and Node with the package that
//! `xtask/connect/package.json` pins. Neither is changed in any way.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::server::{Server, TOKEN};
use crate::deno_diff::deno::{Deno, NotHere, npm};

const SUITE: &str = "suite.mjs";
/// What programs copy to receive messages.
const LISTEN_QUEUE: &str = "listen_queue.mjs";

/// The command that outlives its server, and tells of every attempt to reach it meanwhile.
pub(super) const OUTLIVES: &str = "journal";

/// Both of them.
pub(super) struct Clients {
    deno: Deno,
}

/// One of them.
pub(super) enum Client<'a> {
    Deno(&'a Deno),
    Node,
}

/// Where the package is installed, with the suite beside it, so that Node finds the one from the
/// other. It is outside of what is under version control.
fn home() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is in the workspace").join("target/connect")
}

impl Clients {
    /// The pinned versions, which are installed if they are not yet.
    pub(super) fn install() -> Result<Clients, NotHere> {
        let deno = Deno::install()?;
        let unwritten = |e| NotHere(format!("{} cannot be written: {e}", home().display()));
        copy_sources().map_err(unwritten)?;
        npm("ci", &home(), "@deno/kv")?;
        let node = Command::new("node").arg("--version").output();
        let node = node.map_err(|_| NotHere("node is not there".to_owned()))?;
        let node = String::from_utf8_lossy(&node.stdout).trim_end().to_owned();
        println!("Deno {}, Node {node}", deno.version().unwrap_or_default());
        Ok(Clients { deno })
    }

    pub(super) fn deno(&self) -> Client<'_> {
        Client::Deno(&self.deno)
    }

    pub(super) fn node(&self) -> Client<'_> {
        Client::Node
    }
}

impl Client<'_> {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Client::Deno(_) => "deno",
            Client::Node => "node",
        }
    }

    /// Runs a command of the suite to its end, and says how many things held.
    pub(super) fn run(&self, server: &Server, what: &str, with: &str) -> Result<usize, String> {
        let mut running = self.start(server, what, with)?;
        let mut held = 0;
        while let Some(line) = running.line()? {
            println!("{}: {line}", self.name());
            held += usize::from(line.starts_with("holds: "));
        }
        running.end()?;
        Ok(held)
    }

    /// Starts a command of the suite.
    pub(super) fn start(&self, server: &Server, what: &str, with: &str) -> Result<Running, String> {
        let mut command = match self {
            Client::Deno(deno) => {
                let address = format!("--allow-net={}", server.address());
                let mut command = deno.command(&["run", "--unstable-kv", "--no-prompt"]);
                command.args(["--no-config", "--no-lock", "--no-npm", "--no-remote"]);
                command.args([&address, "--allow-env=DENO_KV_ACCESS_TOKEN"]);
                command
            }
            Client::Node => Command::new("node"),
        };
        command.arg(home().join(SUITE)).args([what, &server.url(), with]);
        command.env("DENO_KV_ACCESS_TOKEN", TOKEN).stdout(Stdio::piped());
        if what == OUTLIVES {
            command.stderr(Stdio::null());
        }
        let what = format!("{} {what} {with}", self.name());
        let mut child = command.spawn().map_err(|error| format!("cannot start {what}: {error}"))?;
        let out = child.stdout.take().expect("it is piped");
        Ok(Running { child, lines: BufReader::new(out).lines(), what })
    }
}

/// A program that runs.
pub(super) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    what: String,
}

impl Running {
    /// The next line that it writes; `None` at its end.
    pub(super) fn line(&mut self) -> Result<Option<String>, String> {
        let line = self.lines.next().transpose();
        line.map_err(|error| format!("reading from {}: {error}", self.what))
    }

    /// Waits for its end, which has to be a good one.
    pub(super) fn end(mut self) -> Result<(), String> {
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{} ended with {status}", self.what)),
            Err(error) => Err(format!("waiting for {}: {error}", self.what)),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where all is well.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

#[expect(clippy::disallowed_methods, reason = "files of this tool, not of a store")]
fn copy_sources() -> std::io::Result<()> {
    std::fs::create_dir_all(home())?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("connect");
    for name in ["package.json", "package-lock.json", SUITE] {
        std::fs::copy(sources.join(name), home().join(name))?;
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../connect/js").join(LISTEN_QUEUE);
    std::fs::copy(shipped, home().join(LISTEN_QUEUE))?;
    Ok(())
}
