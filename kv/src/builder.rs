//! How a store is opened.

use std::path::{Path, PathBuf};

use icecore_engine::{Access, Create, Durability, Engine, Environment, Options};

use crate::error::Error;
use crate::kv::Kv;
use crate::value::TAG_BYTES;

/// The settings of a store that is about to be opened. They may differ from one opening to the
/// next.
///
/// ```
/// use icecore::{Durability, Kv};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("store");
/// let kv = Kv::builder(path).durability(Durability::Buffered).memtable_bytes(8 << 20).open()?;
/// # Ok::<(), icecore::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct Builder {
    place: Place,
    options: Options,
}

/// Where the store is.
#[derive(Clone, Debug)]
enum Place {
    Path(PathBuf),
    Environment(Environment),
}

/// The engine's settings, with limits that do not count what the face adds.
fn default_options() -> Options {
    let options = Options::default();
    Options {
        key_bytes_max: options.key_bytes_max + 1,
        value_bytes_max: options.value_bytes_max + TAG_BYTES,
        ..options
    }
}

impl Builder {
    pub(crate) fn at(path: &Path) -> Builder {
        Builder { place: Place::Path(path.to_owned()), options: default_options() }
    }

    pub(crate) fn within(environment: Environment) -> Builder {
        Builder { place: Place::Environment(environment), options: default_options() }
    }

    /// The durability of commits that name none. The default is [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.options.durability = durability;
        self
    }

    /// Whether to open for reading only: then nothing in the directory changes, and several
    /// readers may have it open, but no writer. The default is `false`.
    pub fn read_only(mut self, read_only: bool) -> Builder {
        self.options.access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
        self
    }

    /// Whether to create the store if there is none. The default is `true`.
    pub fn create(mut self, create: bool) -> Builder {
        self.options.create = if create { Create::IfMissing } else { Create::Never };
        self
    }

    /// How many bytes of recent commits are collected in memory before they are written into a
    /// table. The default is 32 MiB; up to four times as much is in use under load.
    pub fn memtable_bytes(mut self, bytes: usize) -> Builder {
        self.options.memtable_bytes = bytes;
        self
    }

    /// How many bytes of memory hold decompressed blocks of tables. The default is 32 MiB.
    pub fn cache_bytes(mut self, bytes: usize) -> Builder {
        self.options.cache_bytes = bytes;
        self
    }

    /// The longest value in bytes. The default is 16 MiB.
    pub fn value_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.value_bytes_max = bytes.saturating_add(TAG_BYTES);
        self
    }

    /// The largest atomic operation in bytes of keys and values. The default is 64 MiB.
    pub fn commit_bytes_max(mut self, bytes: usize) -> Builder {
        self.options.commit_bytes_max = bytes;
        self
    }

    /// How many bytes commits leave free on the disk, for the work that makes room again: tables
    /// are written and merged before what they replace is removed. A commit for which the log
    /// must grow is refused with [`OutOfSpace`](crate::ErrorKind::OutOfSpace) when less would be
    /// left. The default is 256 MiB; on a small disk choose at least what is in memory under load,
    /// which is four times [`memtable_bytes`](Builder::memtable_bytes).
    pub fn reserve_bytes(mut self, bytes: u64) -> Builder {
        self.options.reserve_bytes = bytes;
        self
    }

    /// Opens the store.
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) when somebody else has it open,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) and
    /// [`UnknownFormat`](crate::ErrorKind::UnknownFormat) when its files are damaged or too new,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the directory holds something
    /// else, or no store and none may be created, and [`Io`](crate::ErrorKind::Io).
    pub fn open(self) -> Result<Kv, Error> {
        let engine = match self.place {
            Place::Path(path) => Engine::open_path(path, self.options)?,
            Place::Environment(environment) => Engine::open(environment, self.options)?,
        };
        Ok(Kv::new(engine))
    }
}
