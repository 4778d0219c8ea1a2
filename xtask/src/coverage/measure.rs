//! Runs the tests with counters in every region, and reads what they counted.
//!
//! What runs is always the same: the tests of the storage crates and of the simulation, and each call of
//! each script of the simulation failing in turn. So an error that was never taken stays untaken
//! however often one looks.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::CRATES;
use super::source::Source;

/// The test in which every call of every script fails; too long for every day.
const FAILURES: &str = "failures::each_call_of_each_script_and_of_its_recovery_may_fail";

/// What `cargo llvm-cov --json` exports, as far as it is needed.
#[derive(Deserialize)]
struct Export {
    data: Vec<Data>,
}

#[derive(Deserialize)]
struct Data {
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Function {
    filenames: Vec<PathBuf>,
    regions: Vec<Region>,
}

/// First line and column, last line and column, count, file, expanded file, kind.
#[derive(Deserialize)]
struct Region(usize, usize, usize, usize, u64, usize, IgnoredAny, u8);

/// The kind of regions that hold code.
const CODE: u8 = 0;

/// The sources of the storage crates, without tests, and whether all tests passed.
pub(super) fn measure() -> io::Result<(BTreeMap<PathBuf, Source>, bool)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    perform(cargo(root, &["clean", "--profraw-only"]))?;
    let mut tests = cargo(root, &["test", "--no-report", "--release", "--no-fail-fast", "--tests"]);
    for name in CRATES.iter().chain(["sim"].iter()) {
        tests.args(["--package", &format!("icecore-{name}")]);
    }
    let mut passed = tests.status()?.success();
    let mut failures = cargo(root, &["test", "--no-report", "--release", "--test", "it"]);
    failures.args(["--package", "icecore-sim", "--", "--ignored", "--exact", FAILURES]);
    passed &= failures.status()?.success();
    let export = root.join("target/coverage.json");
    let mut report = cargo(root, &["report", "--release", "--json", "--output-path"]);
    report.arg(&export);
    perform(report)?;
    Ok((read(root, &export)?, passed))
}

/// Less is optimised than in a release, so that building does not take longer than the tests.
fn cargo(root: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).arg("llvm-cov").args(words);
    command
        .envs([("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"), ("CARGO_PROFILE_RELEASE_DEBUG", "none")]);
    command
}

fn perform(mut command: Command) -> io::Result<()> {
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{command:?} fails"))),
    }
}

#[expect(clippy::disallowed_methods, reason = "sources and the export are files of this workspace")]
fn read(root: &Path, export: &Path) -> io::Result<BTreeMap<PathBuf, Source>> {
    let export: Export = serde_json::from_slice(&std::fs::read(export)?)?;
    let mut sources = BTreeMap::new();
    for function in export.data.iter().flat_map(|data| &data.functions) {
        for Region(from, column, to, end, count, file, _, kind) in &function.regions {
            let Some(path) = function.filenames.get(*file).filter(|_| *kind == CODE) else {
                continue;
            };
            let Ok(relative) = path.strip_prefix(root) else { continue };
            if !is_storage(relative) {
                continue;
            }
            if !sources.contains_key(relative) {
                let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
                sources.insert(relative.to_owned(), Source::new(&text));
            }
            let source = sources.get_mut(relative).expect("it was just inserted");
            *source.regions.entry((*from, *column, *to, *end)).or_default() += count;
        }
    }
    // Modules that hold nothing but other modules have no regions.
    let paths: Vec<PathBuf> = sources.keys().cloned().collect();
    for folder in paths.iter().flat_map(|path| path.ancestors().skip(1)) {
        for parent in [folder.join("mod.rs"), folder.join("lib.rs"), folder.with_extension("rs")] {
            if sources.contains_key(&parent) {
                continue;
            }
            if let Ok(text) = std::fs::read_to_string(root.join(&parent)) {
                sources.insert(parent, Source::new(&text));
            }
        }
    }
    leave_out_tests(&mut sources);
    Ok(sources)
}

/// Whether `path` is a source of a storage crate.
fn is_storage(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let of_a_crate = parts.next().is_some_and(|first| CRATES.contains(&&*first));
    of_a_crate && parts.next().is_some_and(|second| second == "src")
}

/// Drops the modules that are declared for tests alone, and what lies below them.
fn leave_out_tests(sources: &mut BTreeMap<PathBuf, Source>) {
    let mut modules = Vec::new();
    for (path, source) in &*sources {
        let home = match path.file_name().and_then(|name| name.to_str()) {
            Some("lib.rs" | "mod.rs") => path.with_file_name(""),
            _ => path.with_extension(""),
        };
        modules.extend(source.test_modules().map(|name| home.join(name)));
    }
    let is_test =
        |path: &Path| modules.iter().any(|module| path.with_extension("").starts_with(module));
    sources.retain(|path, _| !is_test(path));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_only_tests_have_are_left_out_with_all_below_them() {
        let parent = Source::new("#[cfg(test)]\nmod hostile;\nmod kept;\n");
        let root = Source::new("#[cfg(all(test, not(loom)))]\npub(crate) mod models;\n");
        let mut sources = BTreeMap::from([
            (PathBuf::from("wal/src/table.rs"), parent),
            (PathBuf::from("wal/src/lib.rs"), root),
        ]);
        for path in ["table/hostile.rs", "table/hostile/deep.rs", "table/kept.rs", "models.rs"] {
            sources.insert(Path::new("wal/src").join(path), Source::new(""));
        }
        leave_out_tests(&mut sources);
        let left: Vec<_> = sources.keys().map(|path| path.to_string_lossy()).collect();
        assert_eq!(left, ["wal/src/lib.rs", "wal/src/table/kept.rs", "wal/src/table.rs"]);
    }

    #[test]
    fn only_sources_of_storage_crates_are_looked_at() {
        assert!(is_storage(Path::new("wal/src/log.rs")));
        assert!(!is_storage(Path::new("wal/tests/it/main.rs")));
        assert!(!is_storage(Path::new("kv/src/kv.rs")));
    }
}
