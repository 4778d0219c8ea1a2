//! The real Deno: installed with npm, in the version that `xtask/deno/package.json` pins, and
//! started on the programs beside that file.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::history::{History, Outcomes};

/// An installed Deno.
pub(crate) struct Deno {
    program: PathBuf,
}

/// Why there is no Deno here. Then nothing can be compared.
pub(crate) struct NotHere(pub(crate) String);

/// The programs, and the version in which Deno is installed.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deno")
}

/// Where Deno is installed; outside of what is under version control.
fn home() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is in the workspace").join("target/deno")
}

/// The version in `xtask/deno/package.json`.
fn pinned() -> String {
    const PACKAGE: &str = include_str!("../../deno/package.json");
    let package: serde_json::Value = serde_json::from_str(PACKAGE).expect("it is JSON");
    package["dependencies"]["deno"].as_str().expect("it names a version").to_owned()
}

/// Has npm `task` what the package in `home` asks for, which is called `what`.
pub(crate) fn npm(task: &str, home: &Path, what: &str) -> Result<(), NotHere> {
    let npm = Command::new("npm")
        .args([task, "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(home)
        .output()
        .map_err(|_| NotHere("npm is not there".to_owned()))?;
    if npm.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&npm.stderr).into_owned();
    let first = said.lines().find(|line| line.contains("error")).unwrap_or_default();
    Err(NotHere(format!("npm could not install {what}: {first}")))
}

impl Deno {
    /// The pinned version, which is installed if it is not yet.
    pub(crate) fn install() -> Result<Deno, NotHere> {
        if let Some(deno) = Deno::installed() {
            return Ok(deno);
        }
        println!("installing Deno {} with npm in {}", pinned(), home().display());
        copy_package()
            .map_err(|e| NotHere(format!("{} cannot be written: {e}", home().display())))?;
        npm("install", &home(), "Deno")?;
        Deno::installed().ok_or_else(|| NotHere("npm has no Deno for this machine".to_owned()))
    }

    /// The pinned version, if it is there.
    fn installed() -> Option<Deno> {
        // One package for each kind of machine; npm has chosen.
        let packages = list(&home().join("node_modules/@deno"));
        let programs = packages.into_iter().map(|package| package.join("deno"));
        let mut denos = programs.map(|program| Deno { program });
        denos.find(|deno| deno.version().as_deref() == Some(&*pinned()))
    }

    /// What it says of itself.
    pub(crate) fn version(&self) -> Option<String> {
        let said = self.command(&["--version"]).output().ok()?;
        let text = String::from_utf8(said.stdout).ok()?;
        text.strip_prefix("deno ")?.split_whitespace().next().map(str::to_owned)
    }

    /// Carries the histories out; the outcomes are in the order of the histories.
    pub(crate) fn run(
        &self,
        histories: &[History],
        patient: bool,
    ) -> Result<Vec<Outcomes>, String> {
        let lines = histories.iter().map(|history| {
            serde_json::to_string(history).expect("a history can be written") + "\n"
        });
        let arguments: &[&str] = if patient { &["--patient"] } else { &[] };
        let said = self.start("runner.ts", arguments, lines.collect())?;
        let outcomes: Result<Vec<Outcomes>, _> = said.lines().map(serde_json::from_str).collect();
        let mut outcomes = outcomes.map_err(|error| format!("Deno's answer: {error}"))?;
        let place = |seed: &str| histories.iter().position(|history| history.seed == seed);
        outcomes.sort_by_key(|outcomes| place(&outcomes.seed));
        let is_complete = outcomes.len() == histories.len()
            && outcomes.iter().zip(histories).all(|(outcomes, history)| {
                outcomes.seed == history.seed && outcomes.outcomes.len() == history.steps.len()
            });
        if is_complete { Ok(outcomes) } else { Err("Deno has not answered everything".to_owned()) }
    }

    /// Starts a program of `xtask/deno` with this input and a file for a store, which is not there
    /// yet, and gives what it has written.
    pub(crate) fn run_on_file(&self, program: &str, input: String) -> Result<String, String> {
        let folder = home().join("store");
        make_empty(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let folder = folder.to_str().ok_or("the path of the workspace is not UTF-8")?;
        let rights = [format!("--allow-read={folder}"), format!("--allow-write={folder}")];
        let rights = rights.each_ref().map(String::as_str);
        self.start_with(&rights, program, &[&format!("{folder}/kv.sqlite3")], input)
    }

    /// Starts a program of `xtask/deno` with this input, and gives what it has written.
    pub(crate) fn start(
        &self,
        program: &str,
        arguments: &[&str],
        input: String,
    ) -> Result<String, String> {
        self.start_with(&[], program, arguments, input)
    }

    fn start_with(
        &self,
        rights: &[&str],
        program: &str,
        arguments: &[&str],
        input: String,
    ) -> Result<String, String> {
        let program = sources().join(program);
        let failed = |what: &str, error: std::io::Error| format!("{what} Deno: {error}");
        let mut child = self
            .command(&["run", "--unstable-kv", "--no-prompt", "--no-remote", "--no-npm"])
            .arg("--no-config")
            .arg("--no-lock")
            .args(rights)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed("starting", error))?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let mut stderr = child.stderr.take().expect("it is piped");
        let mut stdout = child.stdout.take().expect("it is piped");
        let (mut out, mut complaints) = (String::new(), String::new());
        // All three at the same time, so that neither side waits for the other.
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || stdin.write_all(input.as_bytes()));
            let reader = scope.spawn(|| stderr.read_to_string(&mut complaints));
            let read = stdout.read_to_string(&mut out);
            let joined = |thread: std::thread::ScopedJoinHandle<'_, _>| {
                thread.join().expect("it does not panic")
            };
            let written = writer.join().expect("it does not panic");
            read.and(joined(reader)).and(written)
        })
        .map_err(|error| failed("talking to", error))?;
        let status = child.wait().map_err(|error| failed("waiting for", error))?;
        if status.success() {
            Ok(out)
        } else {
            Err(format!("Deno ended with {status}: {complaints}"))
        }
    }

    /// It, with these arguments and an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("DENO_DIR", home().join("cache"))
            .env("DENO_NO_PACKAGE_JSON", "1")
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env("NO_COLOR", "1");
        command
    }
}

#[expect(clippy::disallowed_methods, reason = "files of this tool, not of a store")]
fn copy_package() -> std::io::Result<()> {
    std::fs::create_dir_all(home())?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(sources().join(name), home().join(name))?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "files of this tool, not of a store")]
fn make_empty(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(directory),
    }
}

/// What is in a directory; nothing if it is none.
#[expect(clippy::disallowed_methods, reason = "files of this tool, not of a store")]
fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
