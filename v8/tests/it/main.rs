//! The crate from the outside, against what JavaScript's own engine writes and reads.

mod golden;
