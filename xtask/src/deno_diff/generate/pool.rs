//! What histories are made of: keys, values, and texts that are almost right.

use icecore_disk::random::SeededRandom;

use crate::deno_diff::history::Parts;
use crate::deno_diff::tagged::Tagged;

/// Numbers of 64 bits.
pub(super) const COUNTERS: &str = "n";
/// Numbers of JavaScript.
pub(super) const FLOATS: &str = "f";
/// Bigints.
pub(super) const BIGINTS: &str = "g";
/// What expires; numbers of 64 bits.
pub(super) const EXPIRING: &str = "x";
/// Versionstamped keys.
const LOG: &str = "log";
/// Messages that nobody took.
pub(super) const DEAD: &str = "dead";

/// Versionstamps as a program may give them: the last four are well-formed, and never issued.
pub(super) const STAMPS: [&str; 10] = [
    "",
    "0",
    "000000000000000a000",
    "000000000000000a00000",
    "000000000000000g0000",
    "0x000000000000000a00",
    "00000000000000000000",
    "000000ab0000000a0000",
    "000000AB0000000A0000",
    "fffffffffffffffe0000",
];

/// Cursors as a program may give them: the last ones are well-formed.
pub(super) const CURSORS: [&str; 12] =
    ["!", "A", "AmI", "AmEA=", "Am+A", "Am/A", "AmIA\n", "", "AmIA", "Am-_", "/w==", "AA=="];

fn take(dice: &SeededRandom, bound: usize) -> usize {
    usize::try_from(dice.below(bound as u64)).expect("it is below a usize")
}

fn decimal(text: &str) -> Tagged {
    Tagged::bigint(text)
}

/// Parts of all kinds, near the borders of their encodings.
fn parts() -> Vec<Tagged> {
    let texts = ["", "a", "a\0", "a\0b", "b", "é", "😀", "\u{ffff}"];
    let bytes: [&[u8]; 4] = [&[], &[0], &[0, 255], &[255, 0, 1]];
    let ints = [
        "0",
        "1",
        "-1",
        "255",
        "-255",
        "256",
        "-256",
        "18446744073709551615",
        "18446744073709551616",
        "-18446744073709551615",
        "-18446744073709551616",
        "340282366920938463463374607431768211456",
    ];
    let floats =
        [0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let bools = [false, true];
    let mut all: Vec<Tagged> = texts.into_iter().map(Tagged::text).collect();
    all.extend(bytes.into_iter().map(Tagged::bytes));
    all.extend(ints.into_iter().map(decimal));
    all.extend(floats.into_iter().map(Tagged::number));
    all.extend(bools.map(|v| Tagged::Bool { v }));
    all
}

/// One of eight parts, or any.
pub(super) fn part(dice: &SeededRandom, which: usize) -> Tagged {
    match which {
        0 => Tagged::bigint(1),
        1 => Tagged::text("b"),
        2 => Tagged::text(""),
        _ => {
            let all = parts();
            all[take(dice, all.len())].clone()
        }
    }
}

/// The keys of one history that may hold anything: related ones and odd ones.
pub(super) fn some_keys(dice: &SeededRandom) -> Vec<Parts> {
    let a = || Tagged::text("a");
    let related: [Parts; 6] = [
        vec![a()],
        vec![a(), Tagged::text("b")],
        vec![a(), Tagged::text("b"), Tagged::number(0.0)],
        vec![a(), Tagged::bigint(1)],
        vec![a(), Tagged::bigint(2)],
        vec![Tagged::text("b")],
    ];
    let odd = |_| (0..1 + dice.below(2)).map(|_| part(dice, 7)).collect();
    related.into_iter().filter(|_| !dice.one_in(3)).chain((0..5).map(odd)).collect()
}

/// Prefixes of lists.
pub(super) fn prefixes() -> Vec<Parts> {
    let mut prefixes: Vec<Parts> = ["a", "a", COUNTERS, EXPIRING, LOG, LOG, "nothing"]
        .map(|name| vec![Tagged::text(name)])
        .to_vec();
    prefixes.push(vec![Tagged::text("a"), Tagged::text("b")]);
    prefixes.push(Vec::new());
    prefixes.push(Vec::new());
    prefixes
}

/// What stands before the versionstamp in a key.
pub(super) fn log_prefixes() -> [Parts; 3] {
    let log = || Tagged::text(LOG);
    [vec![log()], vec![log()], vec![log(), Tagged::bigint(7)]]
}

pub(super) fn u64(dice: &SeededRandom) -> Tagged {
    match dice.below(8) {
        0 => Tagged::u64(0),
        1 => Tagged::u64(u64::MAX),
        2 => Tagged::u64(1 << 63),
        _ => Tagged::u64(dice.below(100)),
    }
}

pub(super) fn number(dice: &SeededRandom) -> Tagged {
    let odd = [
        0.0,
        -0.0,
        0.1,
        -2.5,
        1e300,
        -1e300,
        5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        2_147_483_647.0,
        -2_147_483_648.0,
        4_294_967_295.0,
        9_007_199_254_740_991.0,
    ];
    match dice.below(3) {
        0 => Tagged::number(odd[take(dice, odd.len())]),
        1 => Tagged::number(-(dice.below(1000) as f64)),
        _ => Tagged::number(dice.below(1000) as f64),
    }
}

pub(super) fn bigint(dice: &SeededRandom) -> Tagged {
    let odd = [
        "0",
        "-1",
        "18446744073709551615",
        "18446744073709551616",
        "-18446744073709551616",
        "-340282366920938463463374607431768211456",
        "99999999999999999999999999999999999999999",
    ];
    match dice.below(2) {
        0 => decimal(odd[take(dice, odd.len())]),
        _ => Tagged::bigint(dice.below(1000)),
    }
}

fn text(dice: &SeededRandom) -> Tagged {
    let texts = ["", "hello", "a\0b", "é", "naïve", "😀 and more", "\u{100}", "x\ny"];
    Tagged::text(texts[take(dice, texts.len())])
}

fn bytes(dice: &SeededRandom) -> Tagged {
    let length = dice.below(12);
    let bytes: Vec<u8> = (0..length).map(|_| dice.next().to_le_bytes()[0]).collect();
    Tagged::bytes(&bytes)
}

/// Any value.
pub(super) fn value(dice: &SeededRandom) -> Tagged {
    match dice.below(8) {
        0 => u64(dice),
        1 => bytes(dice),
        _ => in_javascript(dice, 2),
    }
}

/// What a sum may be asked to add: mostly numbers.
pub(super) fn operand(dice: &SeededRandom) -> Tagged {
    match dice.below(10) {
        0..5 => u64(dice),
        5..7 => number(dice),
        7..9 => bigint(dice),
        _ => text(dice),
    }
}

/// A payload that differs from all others of the history.
pub(super) fn payload(dice: &SeededRandom, message: usize) -> Tagged {
    let number = Tagged::bigint(message);
    match dice.below(5) {
        0 => number,
        1 => Tagged::text(&format!("message {message}")),
        2 => Tagged::bytes(&message.to_be_bytes()),
        3 => Tagged::Array { v: vec![number, in_javascript(dice, 1)] },
        _ => {
            let body = ("body".to_owned(), in_javascript(dice, 1));
            Tagged::Object { v: vec![("message".to_owned(), number), body] }
        }
    }
}

/// A value that V8 serialises, nested at most so deep.
fn in_javascript(dice: &SeededRandom, depth: u32) -> Tagged {
    let items = || (0..dice.below(3)).map(|_| in_javascript(dice, depth - 1)).collect();
    match dice.below(if depth == 0 { 9 } else { 13 }) {
        0 => Tagged::Undefined,
        1 => Tagged::Null,
        2 => Tagged::Bool { v: dice.one_in(2) },
        3 | 4 => number(dice),
        5 => bigint(dice),
        6 => text(dice),
        7 => Tagged::date([0.0, -1.5e12, 1.7e12, f64::NAN][take(dice, 4)]),
        8 => {
            let flags = ["", "g", "im", "su"][take(dice, 4)].to_owned();
            Tagged::Regexp { source: "^a+[é😀]$".to_owned(), flags }
        }
        9 => Tagged::Array { v: items() },
        10 => {
            let names = ["b", "a", "é"];
            let members = take(dice, names.len() + 1);
            let member = |name: &&str| (name.to_string(), in_javascript(dice, depth - 1));
            Tagged::Object { v: names[..members].iter().map(member).collect() }
        }
        11 => {
            let pairs = (0..dice.below(3))
                .map(|index| (Tagged::bigint(index), in_javascript(dice, depth - 1)));
            Tagged::Map { v: pairs.collect() }
        }
        _ => Tagged::Set { v: (0..dice.below(3)).map(Tagged::u64).map(only_bigint).collect() },
    }
}

/// A set holds no value twice, and JavaScript no unsigned ones.
fn only_bigint(number: Tagged) -> Tagged {
    match number {
        Tagged::U64 { v } => Tagged::Bigint { v },
        other => other,
    }
}
