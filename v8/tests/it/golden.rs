//! Bytes that Node wrote, and Node as the reader of ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use icecore_v8::{for_deno, for_node, parse_json, read, to_vec, write};

/// What Node wrote: see `record.js`.
const RECORDED: &str = include_str!("../golden/node.txt");

/// How this crate shows the same values, line by line.
const SHOWN: &str = include_str!("../golden/shown.txt");

/// An expression of JavaScript, and its value in bytes.
struct Recorded {
    expression: &'static str,
    /// As Node stores it.
    node: Vec<u8>,
    /// As V8 stores it without Node's help, if that differs.
    deno: Option<Vec<u8>>,
}

impl Recorded {
    /// Every form of the value.
    fn forms(&self) -> impl Iterator<Item = &Vec<u8>> {
        [&self.node].into_iter().chain(&self.deno)
    }
}

fn recorded() -> Vec<Recorded> {
    let mut all: Vec<Recorded> = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(hex) = line.strip_prefix("  node ") {
            all.last_mut().expect("an expression").node = bytes(hex);
        } else if let Some(hex) = line.strip_prefix("  deno ") {
            all.last_mut().expect("an expression").deno = Some(bytes(hex));
        } else {
            all.push(Recorded { expression: line, node: Vec::new(), deno: None });
        }
    }
    all
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
    for Recorded { expression, node, .. } in recorded() {
        let value = read(&node).unwrap_or_else(|error| panic!("{expression}: {error}"));
        writeln!(shown, "{value}").expect("a string takes everything");
    }
    let expected: Vec<&str> = SHOWN.lines().collect();
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
}

/// V8 keeps the elements of some arrays as doubles and writes them as such.
const OF_DOUBLES: &str = "[1.5, 2]";

#[test]
fn what_v8_wrote_is_written_as_v8_did() {
    for recorded in recorded() {
        for bytes in recorded.forms().filter(|_| recorded.expression != OF_DOUBLES) {
            let value = read(bytes).expect("well-formed");
            assert_eq!(hex(&write(&value)), hex(bytes), "{}", recorded.expression);
        }
    }
}

/// Node does not write what of its buffer a view does not show, so these cannot be the same.
#[test]
fn what_node_wrote_becomes_what_deno_would_have_written() {
    let mut count = 0;
    for Recorded { expression, node, deno } in recorded() {
        if let Some(deno) = deno.filter(|_| !expression.to_lowercase().contains("buffer")) {
            assert_eq!(hex(&for_deno(&node)), hex(&deno), "{expression}");
            count += 1;
        }
    }
    assert!(count > 10, "only {count} values have views");
}

#[test]
fn versions_14_to_16_of_the_same_bytes_are_the_same_value() {
    for recorded in recorded() {
        for bytes in recorded.forms() {
            let value = format!("{:?}", read(bytes));
            let mut other = bytes.clone();
            for version in 14..=16 {
                other[1] = version;
                assert_eq!(format!("{:?}", read(&other)), value, "{}", recorded.expression);
            }
            assert_eq!(*for_node(&other), **bytes);
        }
    }
}

#[test]
fn node_reads_what_is_written() {
    let mut lines = String::new();
    for recorded in recorded() {
        let deno = for_deno(&recorded.node);
        // A Buffer becomes a Uint8Array there.
        let deno = Some(deno).filter(|_| !recorded.expression.starts_with("Buffer"));
        let ours = recorded.forms().map(|bytes| write(&read(bytes).expect("well-formed")));
        for bytes in ours.chain(deno.map(Into::into)) {
            writeln!(lines, "{}\t{}", recorded.expression, hex(&bytes)).expect("a string");
        }
    }
    assert_node_agrees(&lines);
}

#[test]
fn node_reads_types_of_rust_as_its_own() {
    #[derive(serde::Serialize)]
    enum Shape {
        Unit,
        Tuple(u8, bool),
        Struct { x: Option<f64> },
    }
    let shapes = [Shape::Unit, Shape::Tuple(1, true), Shape::Struct { x: None }];
    let numbers = BTreeMap::from([(1u64 << 60, "\u{65e5}"), (2, "b")]);
    let names = BTreeMap::from([("a", i64::MIN), ("b", -1)]);
    let table = [
        ("['Unit', { Tuple: [1, true] }, { Struct: { x: null } }]", to_vec(&shapes)),
        ("new Map([[2, 'b'], [2n ** 60n, '\\u65e5']])", to_vec(&numbers)),
        ("({ a: -(2n ** 63n), b: -1 })", to_vec(&names)),
        ("({ a: [1, 2.5, 'x'] })", Ok(write(&parse_json(r#"{"a":[1,2.5,"x"]}"#).expect("JSON")))),
    ];
    let mut lines = String::new();
    for (expression, bytes) in table {
        let bytes = bytes.expect("serializable");
        writeln!(lines, "{expression}\t{}", hex(&bytes)).expect("a string takes everything");
    }
    assert_node_agrees(&lines);
}

/// Asks Node, if it is there, whether the bytes are what the expressions say.
fn assert_node_agrees(lines: &str) {
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
