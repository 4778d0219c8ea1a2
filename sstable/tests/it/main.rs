//! Tables through their public face.

mod damage;
mod model;
mod support;
