//! The suite that compares the store with its peers, for whoever has to choose one.
//!
//! What is stored: [`key`], [`value`], [`random`], [`zipf`]. What stores it: [`store`] says what the
//! suite asks of a store, and each file of [`peers`] answers for one. What is done with it: the
//! stages of [`stages`], whose rows are listed in [`row`]. How it is measured: [`drive`] runs
//! threads and takes times, [`model`] knows what a store must hold afterwards, [`process`] and
//! [`memory_group`] ask the operating system. How it is told: [`figure`], [`summary`], [`table`], [`chart`], [`report`], [`machine`].
//! [`run`] puts it together; [`arguments`] and [`child`] are the two ways into the program.
//!
//! 1. Each stage of each peer runs in a process of its own, from an empty directory: peers share no
//!    allocator, no memory and no counters, and a crash of one is a failed row and not the end.
//! 2. Peers take turns. A round is every peer once, and each round begins with another peer. The
//!    figure of a row is the median of its rounds.
//! 3. A figure counts only if the store did what was asked: reads find what they must and look at
//!    it, and at the end of a stage all keys and values are compared with the [`model`]. A store that
//!    fails is told as failed, without a number.
//! 4. Durability is equal: a durable row asks every peer for a sync before the commit returns, a
//!    buffered row asks none for it.

pub mod arguments;
pub mod chart;
pub mod child;
pub mod drive;
pub mod figure;
pub mod key;
pub mod machine;
pub mod memory_group;
pub mod model;
pub mod peers;
pub mod process;
pub mod random;
pub mod report;
pub mod row;
pub mod run;
pub mod stages;
pub mod store;
pub mod summary;
pub mod table;
pub mod value;
pub mod zipf;

/// What can go wrong in a store or in the suite: it is told, and the row has failed.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A result whose error is told as text.
pub type Result<T> = std::result::Result<T, Fault>;
