//! An external witness of what a store has acknowledged, for checks that end its life violently.
//!
//! - [`deed`]: one commit, with all that is needed to repeat it; it enters itself in a journal.
//! - [`labour`]: threads that do deeds, and tell of each that was acknowledged.
//! - [`book`]: repeats the deeds of a journal, and compares.
//! - [`bytes`]: how all that is written down.
//!
//! Whoever finds a store after its process ended reads its whole [`Content`], and asks
//! [`Book::advance`] whether it keeps what was promised:
//!
//! 1. What was acknowledged is there, with its stamp.
//! 2. Every commit is there whole or not at all, as its checks and its counting demand: the store is
//!    what the deeds of its journal make, one after the other, in the order of their stamps.
//! 3. The commits that are there are the first ones of all: their counts have no gap.
//! 4. Nothing that was removed, or has expired once, is there again.
//! 5. The accounts together hold what they always held.
//! 6. A life shows only stamps above all that were shown before it began.
//!
//! [`Content`]: book::Content
//! [`Book::advance`]: book::Book::advance

pub(crate) mod book;
pub(crate) mod bytes;
pub(crate) mod deed;
pub(crate) mod labour;
