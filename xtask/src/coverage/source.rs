//! What a source file says about its own lines: which of them are counted, and where the error of a
//! call to the disk is passed on.
//!
//! Not counted are tests, and what shows values to programmers (`impl Debug`). A line counts as often
//! as the smallest region around its first character.
//!
//! The compiler gives each `?` a region of its own, which is counted when the error is passed on.
//! The argument of a `map_err` that ends an expression is counted for the same reason. A result that got
//! a name first counts as that of the call which it was bound to. Where a `match` takes the error,
//! its lines tell.

use std::collections::BTreeMap;
use std::ops::Range;

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

/// So many lines an expression may have.
const EXPRESSION_LINES_MAX: usize = 12;

/// A place in a file: first line and column, last line and column.
pub(super) type Span = (usize, usize, usize, usize);

/// One source file, and how often each of its regions was reached.
pub(super) struct Source {
    pub(super) lines: Vec<String>,
    /// Lines, from 0, that are not counted.
    left_out: Vec<Range<usize>>,
    pub(super) regions: BTreeMap<Span, u64>,
}

/// A place where the error of a call to the disk is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) line: usize,
    /// How often that happened.
    pub(super) count: u64,
}

impl Source {
    pub(super) fn new(text: &str) -> Source {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut left_out = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let is_tests =
                gated_by_test(line) && lines.get(at + 1).is_some_and(|l| opens_module(l));
            let is_debug = line.starts_with("impl") && line.contains("Debug for ");
            if is_tests || is_debug {
                let end = lines[at..].iter().position(|line| line == "}");
                left_out.push(at..end.map_or(lines.len(), |lines| at + lines + 1));
            }
        }
        Source { lines, left_out, regions: BTreeMap::new() }
    }

    /// The modules in files of their own that only tests have.
    pub(super) fn test_modules(&self) -> impl Iterator<Item = &str> {
        let declared = self.lines.windows(2).filter(|pair| gated_by_test(&pair[0]));
        declared.filter_map(|pair| pair[1].rsplit_once("mod ")?.1.strip_suffix(';'))
    }

    fn is_counted(&self, line: usize) -> bool {
        !self.left_out.iter().any(|lines| lines.contains(&(line - 1)))
    }

    /// The lines on which code begins, and how often each was reached.
    pub(super) fn line_counts(&self) -> Vec<(usize, u64)> {
        let mut counts: BTreeMap<usize, (Span, u64)> = BTreeMap::new();
        for (span, count) in &self.regions {
            for line in span.0..=span.2 {
                let Some(text) = self.lines.get(line - 1) else { continue };
                let indent = text.len() - text.trim_start().len() + 1;
                let begins = (span.0, span.1) <= (line, indent);
                let ends = (line, indent) < (span.2, span.3);
                if !begins || !ends || !is_code(text) || !self.is_counted(line) {
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

    /// Where errors of calls to the disk are passed on.
    pub(super) fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        for (&(line, column, to, end), &count) in &self.regions {
            let Some(text) = self.lines.get(line - 1) else { continue };
            if !self.is_counted(line) || !text.is_char_boundary(column - 1) {
                continue;
            }
            let (before, here) = text.split_at(column - 1);
            let asks = line == to && end - column == 1 && here.starts_with('?');
            let maps = before.ends_with(".map_err(") && !self.is_asked_after(to, end);
            let called = match maps {
                true => self.before(line, before.len() - ".map_err(".len()),
                false if asks => self.before(line, before.len()),
                false => continue,
            };
            if last_call(&called).is_some_and(|call| DISK_CALLS.contains(&call)) {
                questions.push(Question { line, count });
            }
        }
        questions
    }

    /// Whether a `?` follows the argument that ends at this place.
    fn is_asked_after(&self, line: usize, column: usize) -> bool {
        let rest = self.lines.get(line - 1).and_then(|text| text.get(column - 1..));
        rest.is_some_and(|rest| rest.trim_start_matches([',', ' ', ')']).starts_with('?'))
    }

    /// The text before the byte `at` of `line`, in one line.
    fn before(&self, line: usize, at: usize) -> String {
        let first = (line - 1).saturating_sub(EXPRESSION_LINES_MAX);
        let lines = self.lines[first..line - 1].iter().map(String::as_str);
        let lines: Vec<&str> = lines.chain([&self.lines[line - 1][..at]]).map(str::trim).collect();
        lines.join(" ")
    }
}

fn gated_by_test(line: &str) -> bool {
    line.starts_with("#[cfg(") && line.contains("test") && !line.contains("not(test")
}

fn opens_module(line: &str) -> bool {
    line.starts_with("mod ") && line.ends_with('{')
}

fn is_code(text: &str) -> bool {
    let text = text.trim_start();
    let is_comment = text.starts_with("//") || text.starts_with("#[");
    !is_comment && text.chars().any(char::is_alphanumeric)
}

/// The name of the method whose result an expression ends with, past what only changes an error
/// or takes a part of a result. For a name, the expression that it was bound to last.
fn last_call(mut text: &str) -> Option<&str> {
    loop {
        text = text.trim_end();
        text = text.strip_suffix(".0").or_else(|| text.strip_suffix(".1")).unwrap_or(text);
        if let Some(block) = text.strip_suffix('}') {
            text = block;
            continue;
        }
        let Some(arguments) = text.strip_suffix(')') else { return last_call(bound(text)?) };
        let mut depth = 1;
        let opened = arguments.char_indices().rev().find(|(_, c)| {
            depth += i32::from(*c == ')') - i32::from(*c == '(');
            depth == 0
        })?;
        let (caller, arguments) = (&text[..opened.0], &arguments[opened.0 + 1..]);
        let (rest, name) = caller.rsplit_once('.')?;
        let passes_on = name == "map_err" || name == "map" && !arguments.is_empty();
        match passes_on {
            true => text = rest,
            false => return name.chars().all(is_of_a_name).then_some(name),
        }
    }
}

/// What the name at the end of `text` was bound to last.
fn bound(text: &str) -> Option<&str> {
    let name = text.rsplit(|c| !is_of_a_name(c)).next()?;
    let before = &text[..text.len() - name.len()];
    let (_, bound) = before.rsplit_once(&format!("let {name} = "))?;
    (!name.is_empty() && !before.ends_with('.')).then_some(&bound[..bound.find(';')?])
}

fn is_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
fn f(file: &dyn File) -> io::Result<u64> {
    file.sync()?;
    let n = other(file.len())?;
    file
        .set_len(n)
        .map_err(late)?;
    file.sync().map_err(late)
}

impl fmt::Debug for Shown {
    fn f() {}
}

#[cfg(test)]
mod elsewhere;

#[cfg(test)]
mod tests {
    fn t() {}
}
";

    fn source() -> Source {
        let mut source = Source::new(TEXT);
        let whole = [((1, 1, 8, 2), 7), ((2, 16, 2, 17), 0), ((3, 30, 3, 31), 0)];
        let rest = [((6, 23, 6, 24), 3), ((7, 25, 7, 29), 0), ((11, 5, 11, 14), 0)];
        source.regions.extend(whole.into_iter().chain(rest).chain([((19, 5, 19, 14), 9)]));
        source
    }

    #[test]
    fn a_question_mark_counts_when_the_disk_was_asked() {
        let questions = source().questions();
        let question = |line, count| Question { line, count };
        assert_eq!(questions, [question(2, 0), question(6, 3), question(7, 0)]);
    }

    #[test]
    fn a_line_is_reached_as_often_as_the_smallest_region_around_its_beginning() {
        let counts = source().line_counts();
        assert_eq!(counts, [(1, 7), (2, 7), (3, 7), (4, 7), (5, 7), (6, 7), (7, 7)]);
    }

    #[test]
    fn tests_in_files_of_their_own_are_known() {
        assert_eq!(source().test_modules().collect::<Vec<_>>(), ["elsewhere"]);
    }

    #[test]
    fn the_last_call_is_the_one_whose_result_is_asked_for() {
        for (text, call) in [
            ("let file = disk.open(name, mode)", Some("open")),
            ("let file = disk.open(name).map_err(|e| io(name, e))", Some("open")),
            ("file.complete(ticket).1", Some("complete")),
            ("file.write_at(0, data).map(|()| data.len())", Some("write_at")),
            ("let region = file.map()", Some("map")),
            ("limit(\"a value\", value.len())", None),
            ("let grown = file.allocate(8); grown.map_err(late)", Some("allocate")),
            ("let done = if idle { Ok(()) } else { disk.sync_dir() }; done", Some("sync_dir")),
            ("let done = disk.list(); self.done.map_err(late)", None),
            ("from_utf8(&text[..text.len()]).ok()", Some("ok")),
            ("name", None),
        ] {
            assert_eq!(last_call(text), call, "{text}");
        }
    }
}
