//! Where a store is: in this process, or elsewhere. This is the only place that decides; what a store
//! elsewhere does is in `remote`.

use icecore_engine as engine;
use icecore_engine::{Engine, Record};

use crate::error::Error;
#[cfg(feature = "remote")]
use crate::remote::Remote;
#[cfg(feature = "remote")]
use std::sync::Arc;

/// An open store.
#[derive(Debug)]
pub(crate) enum Store {
    Here(Engine),
    #[cfg(feature = "remote")]
    There(Arc<Remote>),
}

/// What reads that follow each other go over: a moment of a store in this process, or a store
/// elsewhere as it is when it is asked.
#[derive(Clone, Debug)]
pub(crate) enum Picture {
    Here(engine::Snapshot),
    #[cfg(feature = "remote")]
    There(Arc<Remote>),
}

/// What a store can do; made by [`Kv::capabilities`](crate::Kv::capabilities). What is `false` is
/// refused with [`Unsupported`](crate::ErrorKind::Unsupported), if nothing else is said.
///
/// ```
/// use icecore::{Error, Kv, key, prefix};
///
/// fn clear(kv: &Kv) -> Result<(), Error> {
///     if kv.capabilities().range_deletions {
///         kv.atomic().delete_prefix(key!["cart"]).commit()?;
///         return Ok(());
///     }
///     kv.keys(prefix!["cart"]).try_for_each(|key| kv.delete(key?).map(drop))
/// }
/// # let kv = Kv::in_memory()?;
/// # kv.set(key!["cart", "tea"], 2)?;
/// # clear(&kv)?;
/// # assert_eq!(kv.count(..)?, 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`Kv::snapshot`](crate::Kv::snapshot) and [`Kv::list_many`](crate::Kv::list_many): several
    /// reads of one moment.
    pub snapshots: bool,
    /// Lists, walks over keys, counts and children are of one moment, however long. Where this is
    /// `false`, they work, and each batch of them is of a moment of its own.
    pub lists_of_one_moment: bool,
    /// [`Kv::get_all`](crate::Kv::get_all) takes any number of keys. Where this is `false` it takes
    /// ten, and more are refused with [`LimitExceeded`](crate::ErrorKind::LimitExceeded).
    pub reads_of_many_keys: bool,
    /// [`Entry::expires_at`](crate::Entry::expires_at) tells when a value expires. Where this is
    /// `false` values do expire, but reads do not tell when.
    pub expiry_times: bool,
    /// [`Atomic::delete_range`](crate::Atomic::delete_range) and
    /// [`Atomic::delete_prefix`](crate::Atomic::delete_prefix).
    pub range_deletions: bool,
    /// [`Atomic::touch`](crate::Atomic::touch).
    pub touch: bool,
    /// [`Kv::watch_prefix`](crate::Kv::watch_prefix) and [`Kv::changes`](crate::Kv::changes).
    pub feeds: bool,
    /// Queues other than `""`, payloads other than values of JavaScript, and messages without
    /// further attempts.
    pub named_queues: bool,
    /// Receiving messages, and looking into queues. Sending works everywhere.
    pub receiving: bool,
    /// The durability of each commit can be chosen. Where this is `false` the choice has no effect.
    pub durability: bool,
    /// Flushes, compaction, checkpoints, checks and statistics.
    pub maintenance: bool,
}

impl Capabilities {
    const HERE: Capabilities = Capabilities::all(true);
    #[cfg(feature = "remote")]
    const THERE: Capabilities = Capabilities::all(false);

    const fn all(is: bool) -> Capabilities {
        Capabilities {
            snapshots: is,
            lists_of_one_moment: is,
            reads_of_many_keys: is,
            expiry_times: is,
            range_deletions: is,
            touch: is,
            feeds: is,
            named_queues: is,
            receiving: is,
            durability: is,
            maintenance: is,
        }
    }
}

impl Store {
    /// The engine, for what only a store in this process can do, which `what` names.
    #[cfg_attr(not(feature = "remote"), expect(unused_variables, reason = "for stores elsewhere"))]
    #[inline]
    pub(crate) fn here(&self, what: &str) -> Result<&Engine, Error> {
        match self {
            Store::Here(engine) => Ok(engine),
            #[cfg(feature = "remote")]
            Store::There(_) => Err(Error::unsupported(what)),
        }
    }

    #[inline]
    pub(crate) fn get(&self, stored: &[u8]) -> Result<Option<Record>, Error> {
        match self {
            Store::Here(engine) => Ok(engine.get(stored)?),
            #[cfg(feature = "remote")]
            Store::There(remote) => Ok(remote.get_many(&[stored])?.pop().flatten()),
        }
    }

    #[inline]
    pub(crate) fn get_many(&self, stored: &[&[u8]]) -> Result<Vec<Option<Record>>, Error> {
        match self {
            Store::Here(engine) => Ok(engine.get_many(stored)?),
            #[cfg(feature = "remote")]
            Store::There(remote) => remote.get_many(stored),
        }
    }

    pub(crate) fn picture(&self) -> Result<Picture, Error> {
        match self {
            Store::Here(engine) => Ok(Picture::Here(engine.snapshot()?)),
            #[cfg(feature = "remote")]
            Store::There(remote) => Ok(Picture::There(Arc::clone(remote))),
        }
    }

    pub(crate) fn id(&self) -> [u8; 16] {
        match self {
            Store::Here(engine) => engine.database_id().0,
            #[cfg(feature = "remote")]
            Store::There(remote) => remote.id(),
        }
    }

    pub(crate) fn capabilities(&self) -> Capabilities {
        match self {
            Store::Here(_) => Capabilities::HERE,
            #[cfg(feature = "remote")]
            Store::There(_) => Capabilities::THERE,
        }
    }

    pub(crate) fn close(&self) -> Result<(), Error> {
        match self {
            Store::Here(engine) => Ok(engine.close()?),
            #[cfg(feature = "remote")]
            Store::There(remote) => {
                remote.close();
                Ok(())
            }
        }
    }
}
