//! One entry for every check.
fn main() {}
