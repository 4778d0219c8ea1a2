//! Tables through their public face.

mod model;
mod support;
