//! Elements of typed arrays.

use crate::value::{Item, ViewKind};

/// The element that these bytes are: a number, or a bigint.
///
/// `bytes` are as many as an element of this kind has.
pub(crate) fn element(kind: ViewKind, bytes: &[u8]) -> Item {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(word);
    let [a, b, c, d, ..] = word;
    let half_word = u16::from_le_bytes([a, b]);
    let whole_word = u32::from_le_bytes([a, b, c, d]);
    match kind {
        ViewKind::Int8Array => Item::Number(i8::from_le_bytes([a]).into()),
        ViewKind::Uint8Array | ViewKind::Uint8ClampedArray | ViewKind::DataView => {
            Item::Number(a.into())
        }
        ViewKind::Int16Array => Item::Number(half_word.cast_signed().into()),
        ViewKind::Uint16Array => Item::Number(half_word.into()),
        ViewKind::Int32Array => Item::Number(whole_word.cast_signed().into()),
        ViewKind::Uint32Array => Item::Number(whole_word.into()),
        ViewKind::Float16Array => Item::Number(half(half_word)),
        ViewKind::Float32Array => Item::Number(f32::from_bits(whole_word).into()),
        ViewKind::Float64Array => Item::Number(f64::from_bits(bits)),
        ViewKind::BigInt64Array => Item::BigInt(bits.cast_signed().into()),
        ViewKind::BigUint64Array => Item::BigInt(bits.into()),
    }
}

/// The number that 16 bits of IEEE 754 mean.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    match i32::from(bits >> 10 & 0x1f) {
        0 => sign * fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        exponent => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_half_precision_are_what_they_mean() {
        let table = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (1, 2f64.powi(-24)),
            (0xfc00, f64::NEG_INFINITY),
        ];
        for (bits, number) in table {
            assert_eq!(half(bits), number);
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn elements_have_the_sign_and_the_type_of_their_class() {
        let ones = [0xff; 8];
        let table = [
            (ViewKind::Int8Array, Item::Number(-1.0)),
            (ViewKind::Uint16Array, Item::Number(65535.0)),
            (ViewKind::Int32Array, Item::Number(-1.0)),
            (ViewKind::Uint32Array, Item::Number(4_294_967_295.0)),
            (ViewKind::BigInt64Array, Item::BigInt((-1).into())),
            (ViewKind::BigUint64Array, Item::BigInt(u64::MAX.into())),
        ];
        for (kind, expected) in table {
            assert_eq!(element(kind, &ones[..kind.element_bytes()]), expected);
        }
    }
}
