//! What a store must hold after its process or its machine has stopped.
//!
//! A child process commits batches that are numbered; what a batch does is a pure function of its
//! number and of the life of the store in which it is made ([`batch`]). The child [tells](event) of
//! every commit, with its stamp, once it is acknowledged. So the parent needs no copy of what was
//! written: whatever number the store is found at, all that it must hold can be computed
//! ([`model`]), and one scan compares.
//!
//! - [`batch`]: from numbers to mutations.
//! - [`event`]: what the child says, as lines.
//! - [`child`]: the process that writes.
//! - [`teller`]: the parent's end of it.
//! - [`model`]: what must be there, and the comparison.
//! - [`settings`]: options that make small stores do everything.

pub(crate) mod batch;
pub(crate) mod child;
pub(crate) mod event;
pub(crate) mod model;
pub(crate) mod settings;
pub(crate) mod teller;
