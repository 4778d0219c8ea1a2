//! Integers of arbitrary size, as key parts: a sign and a magnitude of at most 255 bytes, which
//! is what the encoding of keys can hold.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// The longest magnitude in bytes.
pub const INT_BYTES_MAX: usize = 255;

/// More decimal digits than this need more than [`INT_BYTES_MAX`] bytes: log₁₀ 256 < 2.409.
const DIGITS_MAX: usize = 615;

/// An integer between −256²⁵⁵ and 256²⁵⁵, both excluded.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Int {
    /// Never with an empty magnitude.
    negative: bool,
    /// Big-endian, without leading zeros; empty for 0.
    magnitude: Vec<u8>,
}

/// The magnitude would take more than [`INT_BYTES_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntTooLarge;

/// Why a text is not an [`Int`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseIntError {
    /// It is not an optional minus sign and decimal digits.
    Syntax,
    /// It is one, but too large.
    TooLarge,
}

impl Int {
    /// The integer with this sign and this big-endian magnitude, which may have leading zeros. A
    /// negative zero is zero.
    pub fn from_magnitude(negative: bool, big_endian: &[u8]) -> Result<Int, IntTooLarge> {
        let zeros = big_endian.iter().take_while(|byte| **byte == 0).count();
        let magnitude = &big_endian[zeros..];
        if magnitude.len() > INT_BYTES_MAX {
            return Err(IntTooLarge);
        }
        let negative = negative && !magnitude.is_empty();
        Ok(Int { negative, magnitude: magnitude.to_vec() })
    }

    /// Whether it is below 0.
    pub fn is_negative(&self) -> bool {
        self.negative
    }

    /// The absolute value, big-endian, without leading zeros; empty for 0.
    pub fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }

    fn of(negative: bool, magnitude: u128) -> Int {
        Int::from_magnitude(negative, &magnitude.to_be_bytes()).expect("16 bytes are few enough")
    }

    /// The absolute value, if it fits.
    fn absolute(&self) -> Option<u128> {
        let mut bytes = [0; 16];
        let start = bytes.len().checked_sub(self.magnitude.len())?;
        bytes[start..].copy_from_slice(&self.magnitude);
        Some(u128::from_be_bytes(bytes))
    }
}

impl Ord for Int {
    fn cmp(&self, other: &Int) -> Ordering {
        let absolute = |a: &Int, b: &Int| {
            let (a, b) = (&a.magnitude, &b.magnitude);
            a.len().cmp(&b.len()).then_with(|| a.cmp(b))
        };
        match (self.negative, other.negative) {
            (false, false) => absolute(self, other),
            (true, true) => absolute(other, self),
            (mine, theirs) => theirs.cmp(&mine),
        }
    }
}

impl PartialOrd for Int {
    fn partial_cmp(&self, other: &Int) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

macro_rules! convert {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Int {
            fn from(number: $kind) -> Int {
                // Sign extension to 128 bits keeps every value; u128 itself is never negative.
                #[allow(clippy::unnecessary_cast, unused_comparisons, reason = "one macro for all")]
                let absolute = if number < 0 {
                    (number as i128).unsigned_abs()
                } else {
                    number as u128
                };
                #[allow(unused_comparisons, reason = "one macro for signed and unsigned")]
                Int::of(number < 0, absolute)
            }
        }

        impl TryFrom<&Int> for $kind {
            type Error = IntTooLarge;

            fn try_from(int: &Int) -> Result<$kind, IntTooLarge> {
                let absolute = int.absolute().ok_or(IntTooLarge)?;
                let converted = if int.negative {
                    0i128.checked_sub_unsigned(absolute).and_then(|n| <$kind>::try_from(n).ok())
                } else {
                    <$kind>::try_from(absolute).ok()
                };
                converted.ok_or(IntTooLarge)
            }
        }

        impl TryFrom<Int> for $kind {
            type Error = IntTooLarge;

            fn try_from(int: Int) -> Result<$kind, IntTooLarge> {
                <$kind>::try_from(&int)
            }
        }
    )*};
}

convert!(i32, i64, i128, u8, u32, u64, u128);

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BILLION: u64 = 1_000_000_000;
        let mut number = self.magnitude.clone();
        let mut groups = Vec::new();
        while number.iter().any(|byte| *byte != 0) {
            let mut rest = 0;
            for byte in &mut number {
                let partial = rest << 8 | u64::from(*byte);
                *byte = u8::try_from(partial / BILLION).expect("rest is below the divisor");
                rest = partial % BILLION;
            }
            groups.push(rest);
        }
        let mut text = groups.pop().unwrap_or(0).to_string();
        groups.iter().rev().for_each(|group| text.push_str(&format!("{group:09}")));
        f.pad_integral(!self.negative, "", &text)
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Int {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Int, ParseIntError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseIntError::Syntax);
        }
        let digits = digits.trim_start_matches('0');
        if digits.len() > DIGITS_MAX {
            return Err(ParseIntError::TooLarge);
        }
        // One byte more than the largest magnitude, so that what is too large shows.
        let mut magnitude = [0u8; INT_BYTES_MAX + 1];
        for digit in digits.bytes() {
            let mut carry = u16::from(digit - b'0');
            for byte in magnitude.iter_mut().rev() {
                let [high, low] = (u16::from(*byte) * 10 + carry).to_be_bytes();
                (*byte, carry) = (low, u16::from(high));
            }
        }
        Int::from_magnitude(negative, &magnitude).map_err(|_| ParseIntError::TooLarge)
    }
}

impl fmt::Display for IntTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the integer is too large")
    }
}

impl std::error::Error for IntTooLarge {}

impl fmt::Display for ParseIntError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseIntError::Syntax => "an integer is an optional minus sign and decimal digits",
            ParseIntError::TooLarge => "the integer takes more than 255 bytes",
        })
    }
}

impl std::error::Error for ParseIntError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_largest_integers_read_back_and_the_next_ones_are_refused() {
        for negative in [false, true] {
            let largest = Int::from_magnitude(negative, &[0xff; INT_BYTES_MAX]).unwrap();
            assert_eq!(largest.to_string().parse(), Ok(largest));
            let mut next = [0; INT_BYTES_MAX + 1];
            next[0] = 1;
            assert_eq!(Int::from_magnitude(negative, &next), Err(IntTooLarge));
        }
        let largest = Int::from_magnitude(false, &[0xff; INT_BYTES_MAX]).unwrap().to_string();
        assert_eq!(largest.len(), DIGITS_MAX);
        let next = format!("{}6", &largest[..DIGITS_MAX - 1]);
        assert!(largest.ends_with('5'));
        assert_eq!(next.parse::<Int>(), Err(ParseIntError::TooLarge));
        assert_eq!("1".repeat(10_000).parse::<Int>(), Err(ParseIntError::TooLarge));
    }

    #[test]
    fn other_texts_are_refused_and_zero_has_no_sign() {
        for text in ["", "-", "+1", "1 ", "0x1", "--1", "1e3"] {
            assert_eq!(text.parse::<Int>(), Err(ParseIntError::Syntax), "{text}");
        }
        for text in ["0", "-0", "000"] {
            assert_eq!(text.parse::<Int>(), Ok(Int::default()));
        }
        assert_eq!(Int::default().to_string(), "0");
    }

    #[test]
    fn what_does_not_fit_a_machine_word_is_refused() {
        assert_eq!(u64::try_from(Int::from(-1)), Err(IntTooLarge));
        assert_eq!(i64::try_from(Int::from(u64::MAX)), Err(IntTooLarge));
        assert_eq!(i128::try_from(Int::from(u128::MAX)), Err(IntTooLarge));
        assert_eq!(i128::try_from(Int::from(i128::MIN)), Ok(i128::MIN));
        let wide = Int::from_magnitude(false, &[1; 17]).unwrap();
        assert_eq!(u128::try_from(wide), Err(IntTooLarge));
    }

    #[test]
    fn what_is_refused_says_why() {
        let says = |text: &str| text.parse::<Int>().unwrap_err().to_string();
        assert!(says("ten").contains("decimal digits"));
        assert!(says(&"9".repeat(DIGITS_MAX)).contains("255 bytes"));
        assert_eq!(IntTooLarge.to_string(), "the integer is too large");
    }

    proptest! {
        #[test]
        fn integers_behave_like_the_machine_s(a: i128, b: i128) {
            let (x, y) = (Int::from(a), Int::from(b));
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x < y, a < b);
            prop_assert_eq!(x.to_string(), a.to_string());
            prop_assert_eq!(a.to_string().parse(), Ok(x.clone()));
            prop_assert_eq!(i128::try_from(&x), Ok(a));
            prop_assert_eq!(i64::try_from(&x).ok(), i64::try_from(a).ok());
            prop_assert_eq!(u64::try_from(x).ok(), u64::try_from(a).ok());
        }

        #[test]
        fn any_magnitude_reads_back(negative: bool, bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(int) = Int::from_magnitude(negative, &bytes) {
                prop_assert_eq!(int.to_string().parse(), Ok(int));
            }
        }
    }
}
