//! The stores. Each file sets one up as its own documentation advises, and says where it does so.

#[cfg(feature = "denokv")]
mod denokv;
#[cfg(feature = "fjall")]
mod fjall;
mod icecore;
mod icecore_engine;
#[cfg(feature = "lmdb")]
mod lmdb;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "surrealkv")]
mod surrealkv;

use crate::compare::store::Peer;

/// The store that is compared with the others.
pub const SUBJECT: &str = "icecore";

/// The store without its face: not a peer of its own, and not part of a run that does not name it.
pub const ENGINE: &str = "icecore-engine";

/// Every store that this build has, the subject first.
pub const PEERS: &[Peer] = &[
    icecore::PEER,
    #[cfg(feature = "rocksdb")]
    rocksdb::PEER,
    #[cfg(feature = "fjall")]
    fjall::PEER,
    #[cfg(feature = "redb")]
    redb::PEER,
    #[cfg(feature = "lmdb")]
    lmdb::PEER,
    #[cfg(feature = "surrealkv")]
    surrealkv::PEER,
    #[cfg(feature = "sqlite")]
    sqlite::PEER,
    #[cfg(feature = "denokv")]
    denokv::PEER,
    icecore_engine::PEER,
];

/// The store with this name.
pub fn find(name: &str) -> Option<&'static Peer> {
    PEERS.iter().find(|peer| peer.name == name)
}
