//! Bytes as a list of choices.
//!
//! Each choice takes the next bytes, as few as its range needs, so that a change of one byte of the
//! input is a change of one choice. When the bytes have run out, every choice falls on the first
//! possibility.

use arbitrary::Unstructured;

/// The choices that are left.
#[derive(Debug)]
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    /// The choices that `bytes` make.
    pub fn new(bytes: &'a [u8]) -> Choices<'a> {
        Choices(Unstructured::new(bytes))
    }

    /// Whether the bytes have run out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Eight bytes as a number.
    pub fn word(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.int_in_range(0..=bound - 1).unwrap_or_default()
    }

    /// True for one of `n` possibilities.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }

    /// One of `items`.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// At most `max` of the bytes that are left.
    pub fn take(&mut self, max: usize) -> &'a [u8] {
        let length = self.0.len().min(max);
        self.0.bytes(length).unwrap_or_default()
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0.take_rest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_follow_the_bytes_and_end_on_the_first_possibility() {
        let mut choices = Choices::new(&[7, 3, 9, 8]);
        assert_eq!((choices.byte(), choices.below(4)), (7, 3));
        assert_eq!(choices.take(1), [9]);
        assert!(!choices.is_empty());
        assert_eq!(choices.take(9), [8]);
        assert!(choices.is_empty());
        assert_eq!((choices.byte(), choices.word(), choices.below(9)), (0, 0, 0));
        assert!(!choices.one_in(2));
        assert!(choices.rest().is_empty());
    }
}
