//! Any bytes as a value of JavaScript, and as an operand of sums.
//!
//! 1. Bytes are read or refused; what is read is written, shown and read again as the same.
//! 2. The rewritten forms for Deno and for Node are values if and only if the original is.
//! 3. Sums, minima and maxima of a store are those of wrapping integers, of IEEE numbers and of
//!    large integers; a value of another type, or no value at all, is refused and stays.

use std::sync::OnceLock;

use icecore::{Kv, SumRange, Value, key};
use icecore_v8::{Number, for_deno, for_node, read, write};

use crate::allocation::{MARGIN_BYTES, bounded_by};
use crate::choices::Choices;

/// A value in memory is larger than its bytes: one of two bytes is a number in a tree.
const TREE_TIMES: usize = 128;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.byte() % 8 {
        0 => integers(&mut choices),
        1 | 2 => sums(&mut choices),
        _ => any_value(choices.rest()),
    }
}

fn any_value(bytes: &[u8]) {
    let max = TREE_TIMES * bytes.len() + MARGIN_BYTES;
    let number = bounded_by(max, || Number::read(bytes));
    if let Ok(Some(number)) = &number {
        assert!(matches!(Number::read(&number.write()), Ok(Some(_))));
    }
    let (deno, node) = bounded_by(max, || (for_deno(bytes), for_node(bytes)));
    let value = bounded_by(max, || read(bytes));
    let Ok(value) = value else { return };
    assert!(number.is_ok(), "a value is a number or something else");
    drop(value.to_string());
    // Bytes, because NaN is not equal to itself.
    let written = write(&value);
    assert_eq!(read(&written).map(|again| write(&again)), Ok(written));
    assert!(read(&deno).is_ok(), "what was rewritten for Deno is a value");
    drop(node);
}

/// A store in memory, for its sums.
fn store() -> &'static Kv {
    static STORE: OnceLock<Kv> = OnceLock::new();
    STORE.get_or_init(|| Kv::in_memory().expect("there is room in memory"))
}

fn integers(choices: &mut Choices<'_>) {
    let (a, b) = (choices.word(), choices.word());
    let kv = store();
    type Sum = fn(u64, u64) -> u64;
    let answers: [(u8, Sum); 3] = [(0, u64::wrapping_add), (1, u64::min), (2, u64::max)];
    for (which, expected) in answers {
        let mutated = |operand| {
            let atomic = kv.atomic();
            let atomic = match which {
                0 => atomic.sum(key!["n"], operand),
                1 => atomic.min(key!["n"], operand),
                _ => atomic.max(key!["n"], operand),
            };
            let committed = atomic.commit_buffered().expect("integers are computed with");
            assert!(committed.versionstamp().is_some(), "there was no check that could fail");
            kv.get(key!["n"]).expect("it is open").value
        };
        kv.delete(key!["n"]).expect("it is open");
        assert_eq!(mutated(a), Some(Value::U64(a)), "what is absent becomes the operand");
        assert_eq!(mutated(b), Some(Value::U64(expected(a, b))));
    }
}

fn sums(choices: &mut Choices<'_>) {
    let length = choices.below(32);
    let stored = choices.take(length).to_vec();
    let length = choices.below(32);
    let operand = choices.take(length).to_vec();
    let bounds = (choices.byte(), choices.byte());
    let kv = store();
    kv.set(key!["v"], Value::V8(stored.clone().into())).expect("any bytes are stored");
    let range = SumRange {
        min: (bounds.0 & 1 == 1).then(|| Value::bigint(i64::from(bounds.0) - 128)),
        max: (bounds.1 & 1 == 1).then(|| Value::bigint(i64::from(bounds.1))),
        clamp: bounds.0 & 2 == 2,
    };
    let free = range == SumRange { clamp: range.clamp, ..SumRange::default() };
    let atomic = kv.atomic().sum_within(key!["v"], Value::V8(operand.clone().into()), range);
    let summed = atomic.commit_buffered();
    let found = kv.get(key!["v"]).expect("it is open").value;
    let expected = match (Number::read(&stored), Number::read(&operand)) {
        (Ok(Some(Number::Float(a))), Ok(Some(Number::Float(b)))) => Some(Number::Float(a + b)),
        (Ok(Some(Number::BigInt(a))), Ok(Some(Number::BigInt(b)))) => Some(Number::BigInt(a + b)),
        _ => None,
    };
    match (summed, expected) {
        (Ok(_), Some(sum)) if free => {
            assert_eq!(found, Some(Value::V8(sum.write().into())), "{stored:?} + {operand:?}");
        }
        (Ok(_), Some(_)) => assert!(matches!(found, Some(Value::V8(_)))),
        (Err(_), expected) => {
            assert!(expected.is_none() || !free, "{stored:?} and {operand:?} add up");
            assert_eq!(found, Some(Value::V8(stored.into())), "a sum that fails changes nothing");
        }
        (Ok(_), None) => panic!("{stored:?} and {operand:?} do not add up"),
    }
}
