//! What keeps the levels in shape, and gives space back.
//!
//! - [`pick`]: what to do next, a pure choice.
//! - [`garbage`]: which versions survive, a pure rule.
//! - [`output`]: writing what survives into tables.
//! - [`run`]: carrying a choice out.

pub(crate) mod garbage;
pub(crate) mod output;
pub(crate) mod pick;
mod run;
