//! Any bytes as a key, and keys of any parts.
//!
//! 1. Bytes decode to parts that encode to the same bytes, or to an error.
//! 2. What decodes here decodes in Deno's own crate, and encodes there to the same bytes.
//! 3. Keys of any parts encode as Deno's crate encodes them, decode to the same parts, and sort
//!    like their parts.

use std::cmp::Ordering;

use denokv_proto::{KeyPart, decode_key, encode_key};
use icecore_model::int::Int;
use icecore_model::key::{self, Part};
use icecore_model::limits::KEY_BYTES_MAX;

use crate::allocation::bounded;
use crate::choices::Choices;

/// How many parts a key has at most.
const PARTS_MAX: usize = 6;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    if choices.byte().is_multiple_of(2) {
        any_bytes(choices.take(KEY_BYTES_MAX));
        return;
    }
    let (one, other) = (parts(&mut choices), parts(&mut choices));
    round_trip(&one);
    round_trip(&other);
    let sorted = key::encode(&one).cmp(&key::encode(&other));
    assert_eq!(sorted, compare(&one, &other), "{one:?} and {other:?}");
}

fn any_bytes(bytes: &[u8]) {
    let Ok(parts) = bounded(bytes.len(), || key::decode(bytes)) else { return };
    assert_eq!(key::encode(&parts), bytes, "{parts:?}");
    let theirs = decode_key(bytes).expect("what is a key here is one there");
    assert_eq!(encode_key(&theirs).expect("it was decoded"), bytes, "{parts:?}");
    let (first, rest) = match (parts.first(), key::decode_first(bytes)) {
        (Some(first), Ok(found)) => (first, found),
        (None, Err(_)) => return,
        (first, found) => panic!("{first:?} and {found:?} are the first part"),
    };
    assert_eq!(key::encode(std::slice::from_ref(first)).len() + rest.1.len(), bytes.len());
    assert_eq!(compare(std::slice::from_ref(first), &[rest.0]), Ordering::Equal);
}

fn round_trip(parts: &[Part]) {
    let encoded = key::encode(parts);
    assert_eq!(encode_key(&of_deno(parts)).expect("Deno has such keys"), encoded, "{parts:?}");
    let decoded = key::decode(&encoded).expect("what was encoded is decoded");
    assert_eq!(compare(&decoded, parts), Ordering::Equal, "{decoded:?} and {parts:?}");
}

/// The key as Deno's own crate has it.
fn of_deno(parts: &[Part]) -> denokv_proto::Key {
    let part = |part: &Part| match part {
        Part::Bytes(bytes) => KeyPart::Bytes(bytes.clone()),
        Part::String(text) => KeyPart::String(text.clone()),
        Part::Int(int) => KeyPart::Int(int.to_string().parse().expect("it is a number")),
        Part::Float(number) => KeyPart::Float(*number),
        Part::Bool(false) => KeyPart::False,
        Part::Bool(true) => KeyPart::True,
    };
    denokv_proto::Key(parts.iter().map(part).collect())
}

fn parts(choices: &mut Choices<'_>) -> Vec<Part> {
    let count = choices.below(PARTS_MAX);
    (0..count).map(|_| part(choices)).collect()
}

fn part(choices: &mut Choices<'_>) -> Part {
    let kind = choices.below(6);
    let length = choices.below(12);
    match kind {
        0 => Part::Bytes(choices.take(length).to_vec()),
        1 => Part::String(String::from_utf8_lossy(choices.take(length)).into_owned()),
        2 | 3 => {
            // The length of a large integer has a form of its own.
            let times = if kind == 3 { 1 + usize::from(choices.byte()) / 8 } else { 1 };
            let magnitude = choices.take(length).repeat(times);
            let negative = choices.one_in(2);
            Part::Int(Int::from_magnitude(negative, &magnitude).unwrap_or_default())
        }
        4 => Part::Float(f64::from_bits(choices.word())),
        _ => Part::Bool(length % 2 == 1),
    }
}

/// The order of keys: by their parts, from the first on.
fn compare(a: &[Part], b: &[Part]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| compare_parts(a, b)).find(|order| order.is_ne());
    unequal.unwrap_or(a.len().cmp(&b.len()))
}

fn compare_parts(a: &Part, b: &Part) -> Ordering {
    let rank = |part: &Part| match part {
        Part::Bytes(_) => 1,
        Part::String(_) => 2,
        Part::Int(_) => 3,
        Part::Float(_) => 4,
        Part::Bool(_) => 5,
    };
    // All NaNs of one sign are one.
    let plain = |n: f64| if n.is_nan() { f64::NAN.copysign(n) } else { n };
    match (a, b) {
        (Part::Bytes(a), Part::Bytes(b)) => a.cmp(b),
        (Part::String(a), Part::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Part::Int(a), Part::Int(b)) => compare_integers(a, b),
        (Part::Float(a), Part::Float(b)) => plain(*a).total_cmp(&plain(*b)),
        (Part::Bool(a), Part::Bool(b)) => a.cmp(b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn compare_integers(a: &Int, b: &Int) -> Ordering {
    let (m, n) = (a.magnitude(), b.magnitude());
    let further = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
    match (a.is_negative(), b.is_negative()) {
        (false, false) => further,
        (true, true) => further.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}
