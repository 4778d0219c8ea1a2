//! The server under examination: `icecore serve`, as it is built from this workspace.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The access token.
pub(super) const TOKEN: &str = "the-token-of-connect-check";

/// A server that runs. Dropped, it is killed.
pub(super) struct Server {
    child: Child,
    address: String,
}

/// Builds it, with the settings with which this program was built.
pub(crate) fn build() -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "-p", "icecore-cli"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match command.current_dir(root).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("building icecore ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

/// Cargo puts it beside this program.
fn program() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("no path to itself: {error}"))?;
    Ok(this.with_file_name("icecore"))
}

/// Where the store is.
pub(super) fn store_in(directory: &Path) -> PathBuf {
    directory.join("store")
}

impl Server {
    /// Starts it on a store in `directory`, at `address` or at any that is free, and waits until it
    /// listens.
    pub(super) fn start(directory: &Path, address: Option<&str>) -> Result<Server, String> {
        let failed = |error: std::io::Error| format!("cannot start icecore serve: {error}");
        let child = Command::new(program()?)
            .arg("serve")
            .arg(store_in(directory))
            .args(["--addr", address.unwrap_or("127.0.0.1:0"), "--log-level", "error"])
            .env("ICECORE_ACCESS_TOKEN", TOKEN)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut server = Server { child, address: String::new() };
        let out = server.child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map_err(failed)?;
        let address = line.trim_end().strip_prefix("Listening on http://");
        let address = address.ok_or_else(|| format!("icecore serve said {line:?}"))?;
        address.clone_into(&mut server.address);
        Ok(server)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// What clients open.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as an operator does.
    pub(super) fn end(mut self) -> Result<(), String> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)
            .map_err(|error| format!("cannot end the server: {error}"))?;
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the server ended with {status}")),
            Err(error) => Err(format!("cannot wait for the server: {error}")),
        }
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
