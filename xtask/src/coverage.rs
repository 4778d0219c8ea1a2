//! `cargo xtask coverage`: which lines of the storage crates the tests reach, and whether the error of
//! every call to the disk has been taken by a test.
//!
//! Test modules are not counted. The compiler gives each `?` a region of its own, which is counted
//! when the error is passed on; so a `?` behind a call to the disk that was never counted is an
//! error path that no test has been through.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::report::{Budget, Ending, grouped};

/// The crates that hold what users store.
const CRATES: [&str; 6] = ["disk", "model", "wal", "memtable", "sstable", "engine"];

/// The calls of `Disk` and `File`, as they are written behind a dot.
const DISK_CALLS: [&str; 20] = [
    "lock",
    "list",
    "create",
    "open",
    "rename",
    "remove",
    "sync_dir",
    "free_bytes",
    "create_directory",
    "link",
    "complete",
    "write_at",
    "write_all_at",
    "read_at",
    "read_full_at",
    "len",
    "set_len",
    "allocate",
    "sync",
    "map",
];

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    budget: Budget,
    /// The least share of lines, in percent.
    #[arg(long, default_value_t = 95.0)]
    least: f64,
    /// Lists the lines that no test reaches.
    #[arg(long)]
    list: bool,
}

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

/// A place in a file: first line and column, last line and column.
type Span = (usize, usize, usize, usize);

/// One source file and how often each of its regions was reached.
struct Source {
    lines: Vec<String>,
    /// The line, from 1, where its tests begin.
    tests_from: usize,
    regions: BTreeMap<Span, u64>,
}

/// Says whether enough is reached.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let run = arguments.budget.begin();
    let skipped =
        |reason: &str| run.conclude("B20", "coverage", "", &Ending::Skipped(reason.to_owned()));
    let asked = Command::new(env!("CARGO")).args(["llvm-cov", "--version"]).output();
    if !asked.is_ok_and(|output| output.status.success()) {
        return skipped("cargo-llvm-cov is not installed");
    }
    let sources = match measure() {
        Ok(sources) => sources,
        Err(error) => {
            println!("{error}");
            return run.conclude("B20", "coverage", "nothing was measured", &Ending::Violated);
        }
    };
    let (mut all, mut reached, mut untaken, mut questions) = (0, 0, 0, 0);
    for (path, source) in &sources {
        for (line, count) in source.line_counts() {
            all += 1;
            reached += u64::from(count > 0);
            if count == 0 && arguments.list {
                println!("{}:{line}: {}", path.display(), source.lines[line - 1].trim());
            }
        }
        for (line, count) in source.disk_errors() {
            questions += 1;
            if count == 0 {
                untaken += 1;
                let text = source.lines[line - 1].trim();
                println!("{}:{line}: this error was never taken: {text}", path.display());
            }
        }
    }
    let percent = 100.0 * reached as f64 / (all as f64).max(1.0);
    let counts = format!(
        "{} of {} lines ({percent:.1} %), {} of {} errors of disk calls taken",
        grouped(reached),
        grouped(all),
        grouped(questions - untaken),
        grouped(questions),
    );
    let enough = percent >= arguments.least && untaken == 0 && all > 0;
    run.conclude("B20", "coverage", &counts, &if enough { Ending::Held } else { Ending::Violated })
}

/// Runs the tests of the storage crates and of the simulation, and reads what they reached.
#[expect(clippy::disallowed_methods, reason = "sources and the export are files of this workspace")]
fn measure() -> io::Result<BTreeMap<PathBuf, Source>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let export = root.join("target/coverage.json");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root).args(["llvm-cov", "test", "--release", "--json", "--output-path"]);
    command.arg(&export);
    for name in CRATES.iter().chain(["sim"].iter()) {
        command.args(["--package", &format!("icecore-{name}")]);
    }
    if !command.status()?.success() {
        return Err(io::Error::other("the tests fail"));
    }
    let export: Export = serde_json::from_slice(&std::fs::read(&export)?)?;
    let mut sources = BTreeMap::new();
    for function in export.data.iter().flat_map(|data| &data.functions) {
        for Region(from, column, to, end, count, file, _, kind) in &function.regions {
            let Some(path) = function.filenames.get(*file).filter(|_| *kind == 0) else { continue };
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
    Ok(sources)
}

/// Whether `path` is a source of a storage crate, and not of its tests.
fn is_storage(path: &Path) -> bool {
    let mut parts = path.iter().map(|part| part.to_string_lossy());
    let of_a_crate = parts.next().is_some_and(|first| CRATES.contains(&&*first));
    let in_sources = parts.next().is_some_and(|second| second == "src");
    of_a_crate && in_sources && !parts.any(|part| part.contains("tests"))
}

impl Source {
    fn new(text: &str) -> Source {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let tests = lines.windows(2).position(|pair| {
            pair[0].starts_with("#[cfg(") && pair[0].contains("test") && pair[1].contains("mod ")
        });
        let tests_from = tests.map_or(usize::MAX, |at| at + 1);
        Source { lines, tests_from, regions: BTreeMap::new() }
    }

    /// The lines on which code begins, and how often each was reached: as often as the smallest region
    /// around its first character.
    fn line_counts(&self) -> Vec<(usize, u64)> {
        let mut counts: BTreeMap<usize, (Span, u64)> = BTreeMap::new();
        for (span, count) in &self.regions {
            for line in span.0..=span.2 {
                let Some(text) = self.lines.get(line - 1) else { continue };
                let indent = text.len() - text.trim_start().len() + 1;
                let begins = (span.0, span.1) <= (line, indent);
                let ends = (line, indent) < (span.2, span.3);
                let counted = text.trim_start().chars().any(char::is_alphanumeric);
                if line >= self.tests_from || !begins || !ends || !counted || is_comment(text) {
                    continue;
                }
                let smaller = counts.get(&line).is_none_or(|(known, _)| {
                    (known.0, known.1) <= (span.0, span.1) && (span.2, span.3) <= (known.2, known.3)
                });
                if smaller {
                    counts.insert(line, (*span, *count));
                }
            }
        }
        counts.into_iter().map(|(line, (_, count))| (line, count)).collect()
    }

    /// The lines with a `?` behind a call to the disk, and how often its error was passed on.
    fn disk_errors(&self) -> Vec<(usize, u64)> {
        let asked = self.regions.iter().filter(|((from, column, to, end), _)| {
            from == to && end - column == 1 && *from < self.tests_from
        });
        let asked = asked.filter(|((line, column, ..), _)| self.follows_disk_call(*line, *column));
        asked.map(|((line, ..), count)| (*line, *count)).collect()
    }

    /// Whether the character at `line` and `column` is a `?` whose statement calls the disk last.
    fn follows_disk_call(&self, line: usize, column: usize) -> bool {
        let Some(text) = self.lines.get(line - 1) else { return false };
        if text.as_bytes().get(column - 1) != Some(&b'?') {
            return false;
        }
        // A chain may have been broken over some lines.
        let first = line.saturating_sub(4);
        let mut before = self.lines[first..line - 1].join("\n");
        before.push('\n');
        before.push_str(&text[..column - 1]);
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or(&before);
        let statement = statement.rsplit('?').next().unwrap_or(statement);
        DISK_CALLS.iter().any(|call| statement.contains(&format!(".{call}(")))
    }
}

fn is_comment(text: &str) -> bool {
    text.trim_start().starts_with("//") || text.trim_start().starts_with("#[")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
fn f(file: &dyn File) -> io::Result<u64> {
    file.sync()?;
    let n = other()?;
    file
        .set_len(n)
        .map_err(late)?;
    Ok(n)
}

#[cfg(test)]
mod tests {
    fn t() {}
}
";

    fn source() -> Source {
        let mut source = Source::new(TEXT);
        let whole = [((1, 1, 8, 2), 7), ((2, 16, 2, 17), 0), ((3, 20, 3, 21), 0)];
        let rest = [((6, 23, 6, 24), 3), ((7, 5, 7, 10), 0), ((12, 5, 12, 14), 9)];
        source.regions.extend(whole.into_iter().chain(rest));
        source
    }

    #[test]
    fn a_question_mark_counts_when_the_disk_was_asked() {
        assert_eq!(source().disk_errors(), [(2, 0), (6, 3)]);
    }

    #[test]
    fn a_line_is_reached_as_often_as_the_smallest_region_around_its_beginning() {
        let counts = source().line_counts();
        assert_eq!(counts, [(1, 7), (2, 7), (3, 7), (4, 7), (5, 7), (6, 7), (7, 0)]);
    }
}
