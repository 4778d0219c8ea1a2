//! Bytes that Node wrote, and Node as the reader of ours.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use icecore_v8::{for_deno, for_node, read, write};

/// What Node wrote: see `record.js`.
const RECORDED: &str = include_str!("../golden/node.txt");

/// How this crate shows the same values, line by line.
const SHOWN: &str = include_str!("../golden/shown.txt");

/// Expressions of JavaScript, and their values as Node stores them.
fn recorded() -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<&str> =
        RECORDED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let pairs = lines.chunks_exact(2);
    assert!(pairs.remainder().is_empty(), "a line is missing");
    pairs.map(|pair| (pair[0], bytes(pair[1].trim()))).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

#[test]
fn what_node_wrote_is_read_and_shown() {
    let mut shown = String::new();
    for (expression, bytes) in recorded() {
        let value = read(&bytes).unwrap_or_else(|error| panic!("{expression}: {error}"));
        writeln!(shown, "{value}").expect("a string takes everything");
    }
    let expected: Vec<&str> = SHOWN.lines().collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
}

/// V8 keeps the elements of some arrays as doubles and writes them as such.
#[test]
fn what_node_wrote_is_written_as_node_did() {
    for (expression, bytes) in recorded() {
        let value = read(&bytes).expect("well-formed");
        if expression != "[1.5, 2]" {
            assert_eq!(hex(&write(&value)), hex(&bytes), "{expression}");
        }
    }
}

#[test]
fn versions_13_to_16_of_the_same_bytes_are_the_same_value() {
    for (expression, mut bytes) in recorded() {
        let value = format!("{:?}", read(&bytes).expect("well-formed"));
        for version in 13..=16 {
            bytes[1] = version;
            let other = read(&bytes).unwrap_or_else(|error| panic!("{expression}: {error}"));
            assert_eq!(format!("{other:?}"), value, "{expression}");
        }
        bytes[1] = 16;
        assert_eq!(for_node(&bytes)[1], 15);
    }
}

#[test]
fn node_reads_what_is_written() {
    let mut lines = String::new();
    for (expression, bytes) in recorded() {
        let ours = write(&read(&bytes).expect("well-formed"));
        writeln!(lines, "{expression}\t{}", hex(&ours)).expect("a string takes everything");
        let deno = for_deno(&bytes);
        // A Buffer becomes a Uint8Array there.
        if !expression.starts_with("Buffer") {
            writeln!(lines, "{expression}\t{}", hex(&deno)).expect("a string takes everything");
        }
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/check.js");
    let node = Command::new("node")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut node) = node else {
        return println!("skipped: node is not there");
    };
    let mut stdin = node.stdin.take().expect("a pipe");
    stdin.write_all(lines.as_bytes()).expect("node takes its input");
    drop(stdin);
    let output = node.wait_with_output().expect("node ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
