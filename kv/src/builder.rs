//! How a store is opened.

use std::path::{Path, PathBuf};
#[cfg(feature = "remote")]
use std::sync::Arc;
#[cfg(feature = "remote")]
use std::time::Duration;

use icecore_engine::{Access, Create, Durability, Engine, Environment, Options};
#[cfg(feature = "remote")]
use icecore_remote as remote;

use crate::error::Error;
use crate::kv::Kv;
use crate::limits::Limits;
#[cfg(feature = "remote")]
use crate::remote::Remote;
use crate::store::Store;
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
    limits: Limits,
    #[cfg(feature = "remote")]
    remote: remote::Settings,
}

/// Where the store is.
#[derive(Clone, Debug)]
enum Place {
    Path(PathBuf),
    /// An URL of a store that is elsewhere.
    Url(String),
    Memory,
    Environment(Environment),
}

impl Builder {
    fn of(place: Place) -> Builder {
        Builder {
            place,
            options: Options::default(),
            limits: Limits::default(),
            #[cfg(feature = "remote")]
            remote: remote::Settings::new("", ""),
        }
    }

    pub(crate) fn at(path: &Path) -> Builder {
        let is_url = |text: &&str| {
            let begins = |scheme: &str| {
                text.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme))
            };
            begins("http://") || begins("https://")
        };
        match path.to_str().filter(is_url) {
            Some(url) => Builder::of(Place::Url(url.to_owned())),
            None => Builder::of(Place::Path(path.to_owned())),
        }
    }

    pub(crate) fn memory() -> Builder {
        Builder::of(Place::Memory)
    }

    pub(crate) fn within(environment: Environment) -> Builder {
        Builder::of(Place::Environment(environment))
    }

    /// The durability of commits that name none. The default is [`Durability::Sync`].
    ///
    /// ```
    /// use icecore::{Durability, Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let kv = Kv::builder(&path).durability(Durability::Buffered).open()?;
    /// kv.set(key!["visits"], 1)?; // Survives the end of the process, but perhaps no power cut.
    /// kv.close()?; // Now it survives both.
    /// assert_eq!(Kv::open(&path)?.get(key!["visits"])?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Builder {
        self.options.durability = durability;
        self
    }

    /// Whether to open for reading only: then nothing in the directory changes, and several
    /// readers may have it open, but no writer. The default is `false`.
    ///
    /// Values that expire are absent from every read as always. But their end is a commit, which a
    /// reader cannot make: [watches](crate::Kv::watch) and [feeds](crate::Kv::changes) do not tell
    /// of it.
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let kv = Kv::open(&path)?;
    /// kv.set(key!["a"], 1)?;
    /// kv.close()?;
    /// let readers = [0, 1].map(|_| Kv::builder(&path).read_only(true).open());
    /// for reader in readers {
    ///     let reader = reader?;
    ///     assert_eq!(reader.get(key!["a"])?.u64()?, 1);
    ///     assert_eq!(reader.set(key!["a"], 2).unwrap_err().kind(), ErrorKind::ReadOnly);
    /// }
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn read_only(mut self, read_only: bool) -> Builder {
        self.options.access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
        self
    }

    /// Whether to create the store if there is none. The default is `true`.
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let error = Kv::builder(&path).create(false).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// Kv::builder(&path).open()?.close()?;
    /// assert!(Kv::builder(&path).create(false).open().is_ok());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn create(mut self, create: bool) -> Builder {
        self.options.create = if create { Create::IfMissing } else { Create::Never };
        self
    }

    /// How many bytes of recent commits are collected in memory before they are written into a
    /// table. The default is 32 MiB; up to four times as much is in use under load.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::builder_in_memory().memtable_bytes(4 << 20).open()?;
    /// kv.set(key!["a"], 1)?;
    /// assert!(kv.stats()?.memtable_bytes < 4 << 20);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn memtable_bytes(mut self, bytes: usize) -> Builder {
        self.options.memtable_bytes = bytes;
        self
    }

    /// All of the engine's own settings, for models of small stores.
    #[cfg(shuttle)]
    pub fn engine_settings(mut self, options: Options) -> Builder {
        self.options = options;
        self
    }

    /// How many bytes of memory hold decompressed blocks of tables. The default is 32 MiB.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// let kv = Kv::builder_in_memory().cache_bytes(0).open()?; // Every read decompresses.
    /// kv.set(key!["a"], 1)?;
    /// kv.flush()?;
    /// assert_eq!(kv.get(key!["a"])?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn cache_bytes(mut self, bytes: usize) -> Builder {
        self.options.cache_bytes = bytes;
        self
    }

    /// How much one call may carry. The default is what Deno KV's manual promises.
    ///
    /// ```
    /// use icecore::{Kv, Limits, key};
    ///
    /// let kv = Kv::builder_in_memory().limits(Limits::none()).open()?;
    /// kv.set(key!["photo"], vec![0; 5_000_000])?;
    /// assert_eq!(kv.get(key!["photo"])?.bytes()?.len(), 5_000_000);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// How many bytes commits leave free on the disk, for the work that makes room again: tables
    /// are written and merged before what they replace is removed. A commit for which the log
    /// must grow is refused with [`OutOfSpace`](crate::ErrorKind::OutOfSpace) when less would be
    /// left. One that only deletes leaves half of it free, so that a full store can make room for
    /// itself. The default is 256 MiB; on a small disk choose at least twice what is in memory under
    /// load, which is four times [`memtable_bytes`](Builder::memtable_bytes).
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let small = Kv::builder(path).memtable_bytes(1 << 20).reserve_bytes(4 << 20).open()?;
    /// assert!(small.set(key!["a"], 1).is_ok(), "the disk has more than 4 MiB left");
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn reserve_bytes(mut self, bytes: u64) -> Builder {
        self.options.reserve_bytes = bytes;
        self
    }

    /// Whether the process handles the signal SIGBUS for the files of this store. The default is
    /// `true`.
    ///
    /// Tables are mapped into memory. When a page of one cannot be read (the medium fails, or
    /// somebody cuts the file), the system sends this signal, which ends the process unless it is
    /// handled. The handler makes the read fail with [`Io`](crate::ErrorKind::Io) and has the file
    /// read without a mapping from then on; every other SIGBUS goes to the handler that was there
    /// before. Turn it off in a program that installs one of its own later and does not call the
    /// one before, or that unloads the library that contains Icecore.
    ///
    /// ```
    /// use icecore::{Kv, key};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let kv = Kv::builder(path).handle_sigbus(false).open()?;
    /// kv.set(key!["a"], 1)?;
    /// kv.flush()?;
    /// assert_eq!(kv.get(key!["a"])?.u64()?, 1);
    /// # Ok::<(), icecore::Error>(())
    /// ```
    pub fn handle_sigbus(mut self, handle: bool) -> Builder {
        self.options.handle_sigbus = handle;
        self
    }

    /// The access token of a store that is elsewhere. The default is what the environment variable
    /// `DENO_KV_ACCESS_TOKEN` says when the store is opened, as in Deno.
    ///
    /// ```
    /// let builder = icecore::Kv::builder("https://db.example").access_token("secret");
    /// assert!(!format!("{builder:?}").contains("secret"));
    /// ```
    #[cfg(feature = "remote")]
    pub fn access_token(mut self, token: impl Into<String>) -> Builder {
        self.remote.access_token = token.into();
        self
    }

    /// Whether tokens may go to another machine over plain `http`, where whoever is in between can
    /// read them: for networks that nobody else is in. The default is `false`; a store on this
    /// machine is reached with `http` in any case.
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv};
    ///
    /// let error = Kv::builder("http://10.0.0.7:4512").access_token("secret").open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    /// ```
    #[cfg(feature = "remote")]
    pub fn insecure_http(mut self, allow: bool) -> Builder {
        self.remote.insecure_http = allow;
        self
    }

    /// How long a call to a store that is elsewhere may take, with all repetitions. The default is
    /// 30 seconds. After that a read gets [`Io`](crate::ErrorKind::Io), and a commit too if it was
    /// certainly not carried out; if that is open, it gets
    /// [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown).
    ///
    /// ```
    /// use std::time::Duration;
    /// use icecore::{ErrorKind, Kv};
    ///
    /// let builder = Kv::builder("http://localhost:1").access_token("secret");
    /// let error = builder.call_timeout(Duration::from_secs(1)).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Io, "nobody is there");
    /// ```
    #[cfg(feature = "remote")]
    pub fn call_timeout(mut self, timeout: Duration) -> Builder {
        self.remote.call_timeout = timeout;
        self
    }

    /// Trusts these certificates, in PEM, when a store elsewhere shows one, besides those that the
    /// machine trusts: for a server with a certificate of one's own.
    ///
    /// ```
    /// use icecore::Kv;
    ///
    /// let builder = Kv::builder("https://localhost:1").access_token("secret");
    /// let error = builder.trust_certificates("no certificate").open().unwrap_err();
    /// assert!(error.to_string().contains("no certificate"), "{error}");
    /// ```
    #[cfg(feature = "remote")]
    pub fn trust_certificates(mut self, pem: impl Into<Vec<u8>>) -> Builder {
        self.remote.trusted = pem.into();
        self
    }

    /// Opens the store.
    ///
    /// A store that is elsewhere is called once, and nothing is tried again: whether it is there and
    /// takes the token is told at once. Of the settings, those of its name count, and
    /// [`limits`](Builder::limits) and [`read_only`](Builder::read_only).
    ///
    /// ```
    /// use icecore::{ErrorKind, Kv};
    ///
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("store");
    /// let kv = Kv::builder(&path).open()?;
    /// let error = Kv::builder(&path).open().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Locked);
    /// kv.close()?;
    /// assert!(Kv::builder(&path).open().is_ok());
    /// # Ok::<(), icecore::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Locked`](crate::ErrorKind::Locked) when somebody else has it open,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) and
    /// [`UnknownFormat`](crate::ErrorKind::UnknownFormat) when its files are damaged or too new,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the directory holds something
    /// else, [`NotFound`](crate::ErrorKind::NotFound) when it holds no store and none may be
    /// created, and [`Io`](crate::ErrorKind::Io). The parent of the directory has to exist.
    ///
    /// For an URL [`InvalidArgument`](crate::ErrorKind::InvalidArgument) without the feature
    /// `remote`, without a token, and for plain `http` to another machine;
    /// [`Unauthorized`](crate::ErrorKind::Unauthorized) for another token, and
    /// [`Io`](crate::ErrorKind::Io) when nobody answers, or somebody who does not speak KV Connect.
    pub fn open(self) -> Result<Kv, Error> {
        let options = self.engine_options();
        let in_memory = matches!(self.place, Place::Memory);
        let engine = match self.place {
            #[cfg(feature = "remote")]
            Place::Url(url) => {
                let read_only = self.options.access == Access::ReadOnly;
                let remote = open_remote(url, self.remote, read_only)?;
                return Ok(Kv::new(Store::There(Arc::new(remote)), self.limits, false));
            }
            #[cfg(not(feature = "remote"))]
            Place::Url(url) => {
                let text =
                    "a store that is elsewhere needs the feature `remote` of the crate icecore";
                return Err(Error::invalid(text, url));
            }
            Place::Path(path) => Engine::open_path(path, options)?,
            Place::Memory => Engine::open_in_memory(options)?,
            Place::Environment(environment) => Engine::open(environment, options)?,
        };
        Ok(Kv::new(Store::Here(engine), self.limits, in_memory))
    }

    /// The engine's settings, wide enough for the limits of this store and for what the face adds
    /// to keys and values, as far as the engine's formats can hold it.
    fn engine_options(&self) -> Options {
        let Options { key_bytes_max, value_bytes_max, commit_bytes_max, .. } = self.options;
        let widened = |own: usize, asked: usize, max: usize| asked.clamp(own, max);
        let commit_bytes = self.limits.commit_bytes.saturating_mul(2);
        Options {
            key_bytes_max: widened(
                key_bytes_max,
                self.limits.key_bytes.saturating_add(KEYSPACE_BYTES),
                Options::KEY_BYTES_MAX,
            ),
            value_bytes_max: widened(
                value_bytes_max,
                self.limits.value_bytes.saturating_add(TAG_BYTES),
                Options::VALUE_BYTES_MAX,
            ),
            commit_bytes_max: widened(commit_bytes_max, commit_bytes, Options::COMMIT_BYTES_MAX),
            ..self.options.clone()
        }
    }
}

/// Opens the store at `url`, with the token of the environment if none was given.
#[cfg(feature = "remote")]
fn open_remote(
    url: String,
    mut settings: remote::Settings,
    read_only: bool,
) -> Result<Remote, Error> {
    settings.url = url;
    if settings.access_token.is_empty() {
        #[expect(clippy::disallowed_methods, reason = "Deno's programs have their token there")]
        let token = std::env::var(TOKEN_VARIABLE).map_err(|_| {
            let text = format!("Missing {TOKEN_VARIABLE} environment variable");
            Error::invalid(text, "an access token is needed for a store that is elsewhere")
        });
        settings.access_token = token?;
    }
    Remote::open(settings, read_only)
}

/// Where Deno looks for an access token.
#[cfg(feature = "remote")]
const TOKEN_VARIABLE: &str = "DENO_KV_ACCESS_TOKEN";

/// What the engine's keys have in front of the encoded parts.
const KEYSPACE_BYTES: usize = 1;
