//! Under construction.
#[allow(dead_code, reason = "a part that the engine is yet to use")]
mod epoch;
#[allow(dead_code, reason = "a part that the engine is yet to use")]
mod sync;
