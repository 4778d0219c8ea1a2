//! `icecore bench`.

use serde_json::Value;

use crate::{code, errors, icecore, lines, text};

/// Runs the quickest form.
fn bench(directory: &std::path::Path, more: &[&str]) -> std::process::Output {
    let mut args = vec!["bench", "--dir", text(directory)];
    args.extend(["--keys", "3000", "--seconds", "0.02"]);
    args.extend(more);
    icecore(&args)
}

#[test]
fn every_row_is_measured_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let output = bench(directory.path(), &["--json"]);
    assert_eq!(code(&output), 0, "{}", errors(&output));
    let rows: Vec<Value> =
        lines(&output).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 20, "{rows:?}");
    for row in &rows {
        assert!(row["operations"].as_u64().unwrap() > 0, "{row}");
        assert!(row["per_second"].as_f64().unwrap() > 0.0, "{row}");
    }
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[test]
fn one_row_is_told_for_people() {
    let directory = tempfile::tempdir().unwrap();
    let output = bench(directory.path(), &["--only", "list 100, back", "--value-bytes", "8"]);
    assert_eq!(code(&output), 0, "{}", errors(&output));
    let lines = lines(&output);
    assert!(lines[0].starts_with("3,000 records, values of 8 bytes"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("list 100, backwards ")).count(), 1);
    assert_eq!(lines.len(), 4, "{lines:?}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let output = bench(std::path::Path::new("not/there"), &[]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("create a directory in not/there"), "{}", errors(&output));
}
