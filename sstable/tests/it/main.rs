//! Tables through their public face.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod damage;
mod golden;
mod life;
mod model;
mod parts;
mod salvage;
mod support;
mod unreadable;
