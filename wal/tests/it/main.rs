//! The log over the simulated disk.

mod commit;
mod damage;
mod ending;
mod failure;
mod flights;
mod power;
mod rotation;
mod support;
