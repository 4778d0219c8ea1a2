//! Sums, minima and maxima: mutations that compute a number from the one that is stored.
//!
//! Two worlds of numbers meet here. A [`Value::U64`] wraps around at 2^64. Numbers and bigints of
//! JavaScript add up as in JavaScript, and may have to stay in a range. The texts of the errors are
//! Deno's.

use bytes::Bytes;
use icecore_engine::{Current, Error, Updated};
use icecore_v8::Number;

use crate::value::{BadValue, Value};

/// The range in which the sum of JavaScript numbers has to lie. Its bounds are numbers of the same
/// kind as the operand. It has no effect on an operand that is a [`Value::U64`].
///
/// ```
/// use icecore::{Kv, SumRange, Value, key};
///
/// let kv = Kv::in_memory()?;
/// let range = SumRange { min: Some(Value::bigint(0)), ..SumRange::default() };
/// let add = |n: i64| {
///     let operand = Value::bigint(n);
///     kv.atomic().sum_within(key!["stock"], operand, range.clone()).commit()
/// };
/// add(3)?;
/// add(-2)?;
/// assert!(add(-2).is_err(), "there is only one left");
/// assert_eq!(kv.get(key!["stock"])?.value, Some(Value::bigint(1)));
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SumRange {
    /// The smallest result: a [`Value::V8`].
    pub min: Option<Value>,
    /// The largest result: a [`Value::V8`].
    pub max: Option<Value>,
    /// What a result outside the range becomes: with `true` the bound next to it; with `false` it
    /// is an error.
    pub clamp: bool,
}

/// Which of two numbers stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Min,
    Max,
}

impl Extreme {
    fn name(self) -> &'static str {
        match self {
            Extreme::Min => "min",
            Extreme::Max => "max",
        }
    }

    fn of(self, a: u64, b: u64) -> u64 {
        match self {
            Extreme::Min => a.min(b),
            Extreme::Max => a.max(b),
        }
    }
}

/// The smaller or larger of the stored number and `operand`.
pub(crate) fn extreme(
    extreme: Extreme,
    current: Option<Current<'_>>,
    operand: &Value,
) -> Result<Updated, Error> {
    let Value::U64(operand) = *operand else {
        let name = extreme.name();
        return mismatch(format!("Failed to perform '{name}' mutation on a non-U64 operand"));
    };
    match stored(current)? {
        None => Ok(set(&Value::U64(operand))),
        Some(Value::U64(number)) => Ok(set(&Value::U64(extreme.of(number, operand)))),
        Some(_) => not_a_u64(extreme.name()),
    }
}

/// The stored number plus `operand`.
pub(crate) fn sum(
    current: Option<Current<'_>>,
    operand: &Value,
    range: &SumRange,
) -> Result<Updated, Error> {
    match operand {
        Value::U64(operand) => match stored(current)? {
            None => Ok(set(&Value::U64(*operand))),
            Some(Value::U64(number)) => Ok(set(&Value::U64(number.wrapping_add(*operand)))),
            Some(_) => not_a_u64("sum"),
        },
        operand => sum_v8(stored(current)?, operand, range),
    }
}

/// A range as numbers.
struct Bounds {
    min: Option<Number>,
    max: Option<Number>,
    clamp: bool,
}

impl Bounds {
    fn is_given(&self) -> bool {
        self.clamp || self.min.is_some() || self.max.is_some()
    }

    fn keep(&self, result: Number) -> Result<Number, Error> {
        let broken = match (&self.min, &self.max) {
            (Some(min), _) if is_below(&result, min) => min,
            (_, Some(max)) if is_below(max, &result) => max,
            _ => return Ok(result),
        };
        if self.clamp {
            return Ok(broken.clone());
        }
        let what = "The result of a Sum operation would exceed its range limit";
        Err(Error::InvalidArgument { what: what.to_owned() })
    }
}

/// Numbers of different kinds have no order here, nor has NaN.
fn is_below(a: &Number, b: &Number) -> bool {
    match (a, b) {
        (Number::Float(a), Number::Float(b)) => a < b,
        (Number::BigInt(a), Number::BigInt(b)) => a < b,
        _ => false,
    }
}

fn sum_v8(current: Option<Value>, operand: &Value, range: &SumRange) -> Result<Updated, Error> {
    let operand = parameter(operand)?;
    let bound = |value: &Option<Value>| value.as_ref().map(parameter).transpose();
    let bounds = Bounds { min: bound(&range.min)?, max: bound(&range.max)?, clamp: range.clamp };
    let differs =
        |bound: &Option<Number>| bound.as_ref().is_some_and(|bound| bound.kind() != operand.kind());
    if differs(&bounds.min) || differs(&bounds.max) {
        return mismatch("Min/max parameters have different types than the operand");
    }
    let result = match (current, operand) {
        (None, operand) => operand,
        (Some(Value::U64(number)), operand) => return sum_u64_v8(number, &operand, &bounds),
        (Some(Value::Bytes(_)), _) => return mismatch("unsupported value type"),
        (Some(Value::V8(stored)), operand) => match (stored_number(&stored)?, operand) {
            (Number::Float(a), Number::Float(b)) => Number::Float(a + b),
            (Number::BigInt(a), Number::BigInt(b)) => Number::BigInt(a + b),
            (a, b) => return mismatch(format!("Cannot sum {} with {}", a.kind(), b.kind())),
        },
    };
    Ok(set(&Value::V8(bounds.keep(result)?.write().into())))
}

/// A stored u64 takes a bigint that is one, as long as no range is asked for.
fn sum_u64_v8(number: u64, operand: &Number, bounds: &Bounds) -> Result<Updated, Error> {
    if let Number::BigInt(int) = operand
        && let Ok(operand) = u64::try_from(int)
        && !bounds.is_given()
    {
        return Ok(set(&Value::U64(number.wrapping_add(operand))));
    }
    mismatch(format!("Cannot sum KvU64 with {}", operand.kind()))
}

fn parameter(value: &Value) -> Result<Number, Error> {
    let number = match value {
        Value::V8(serialized) => Number::read(serialized).ok().flatten(),
        _ => None,
    };
    number.map_or_else(|| mismatch("Some of the parameters are not valid V8 values"), Ok)
}

fn stored_number(serialized: &[u8]) -> Result<Number, Error> {
    match Number::read(serialized) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => mismatch("unsupported value type"),
        Err(_) => mismatch("invalid v8 value"),
    }
}

fn stored(current: Option<Current<'_>>) -> Result<Option<Value>, Error> {
    let decode = |current: Current<'_>| Value::decode(Bytes::copy_from_slice(current.value));
    current.map(decode).transpose().map_err(|bad: BadValue| Error::UnknownFormat {
        file: "the stored value".to_owned(),
        what: bad.to_string(),
    })
}

/// A number that was computed does not expire, as in Deno.
fn set(value: &Value) -> Updated {
    Updated::Set { value: value.stored().to_vec(), expires_at: None }
}

fn not_a_u64(name: &str) -> Result<Updated, Error> {
    mismatch(format!("Failed to perform '{name}' mutation on a non-U64 value in the database"))
}

fn mismatch<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::TypeMismatch { what: what.into() })
}
