//! What an argument of the command names.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use icecore::{Builder, Kv, Limits};

use super::dump::{DumpSink, DumpSource};
use super::store::{StoreSink, StoreSource};
use super::{Args, Sink, Source};
use crate::failure::Failure;

/// Where records come from or go to.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Standard input or output.
    Pipe,
    Dump(PathBuf),
    Sqlite(PathBuf),
    Remote(String),
    Store(PathBuf),
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Place, Self::Err> {
        let path = PathBuf::from(text);
        let extension = path.extension().and_then(|extension| extension.to_str());
        Ok(match extension {
            _ if text == "-" => Place::Pipe,
            _ if text.starts_with("http://") || text.starts_with("https://") => {
                Place::Remote(text.to_owned())
            }
            _ if path.is_dir() => Place::Store(path),
            Some("ndjson") => Place::Dump(path),
            Some("sqlite3" | "sqlite" | "db") => Place::Sqlite(path),
            _ if path.is_file() && begins_like_sqlite(&path) => Place::Sqlite(path),
            _ if path.is_file() => Place::Dump(path),
            _ => Place::Store(path),
        })
    }
}

impl Place {
    /// Opens it to read from it.
    pub(super) fn source(&self, args: &Args) -> Result<Box<dyn Source>, Failure> {
        match self {
            Place::Pipe => Ok(Box::new(DumpSource::from_stdin()?)),
            Place::Dump(path) => Ok(Box::new(DumpSource::open_whole(path)?)),
            Place::Sqlite(path) => sqlite_source(path),
            Place::Remote(url) => {
                let token = args.src_token_file.as_deref();
                Ok(Box::new(StoreSource::open_far(url, remote(url, token, args)?)?))
            }
            Place::Store(path) => Ok(Box::new(StoreSource::open(path)?)),
        }
    }

    /// Opens it to write to it.
    pub(super) fn sink(&self, args: &Args) -> Result<Box<dyn Sink>, Failure> {
        if args.overwrite && !matches!(self, Place::Dump(_)) {
            let what = "--overwrite is for dumps: a store is never emptied by a copy";
            return Err(Failure::problem(what).hint("name a new directory, or use --merge"));
        }
        let is_store = matches!(self, Place::Store(_) | Place::Remote(_));
        let is_resumed = is_store || matches!(self, Place::Sqlite(_));
        if args.merge && !is_store || args.resume && !is_resumed {
            let what =
                "--merge is for stores, --resume for all but dumps, which are written as a whole";
            return Err(Failure::problem(what).hint("run it without them"));
        }
        match self {
            Place::Pipe => Ok(Box::new(DumpSink::to_stdout())),
            Place::Dump(path) => Ok(Box::new(DumpSink::to_file(path, args.overwrite)?)),
            Place::Sqlite(path) => sqlite_sink(path, args),
            Place::Remote(url) => {
                let token = args.dst_token_file.as_deref();
                Ok(Box::new(StoreSink::open_far(remote(url, token, args)?, args)?))
            }
            Place::Store(path) => Ok(Box::new(StoreSink::open(path, args)?)),
        }
    }
}

/// How the store at `url` is reached. Without a file, the token is where Deno's programs have it.
fn remote(url: &str, token_file: Option<&Path>, args: &Args) -> Result<Builder, Failure> {
    let builder = Kv::builder(url).limits(Limits::none()).insecure_http(args.insecure_http);
    match token_file {
        None => Ok(builder),
        Some(file) => Ok(builder.access_token(token_in(file)?)),
    }
}

/// The first line that is no comment, as in the files that `icecore serve` reads.
fn token_in(file: &Path) -> Result<String, Failure> {
    let unread = |e| Failure::io(&format!("read {}", file.display()), &e);
    let text = std::fs::read_to_string(file).map_err(unread)?;
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    token
        .map(str::to_owned)
        .ok_or_else(|| Failure::problem(format!("there is no access token in {}", file.display())))
}

#[cfg(feature = "sqlite")]
fn sqlite_source(path: &Path) -> Result<Box<dyn Source>, Failure> {
    Ok(Box::new(super::deno::DenoSource::open(path)?))
}

#[cfg(feature = "sqlite")]
fn sqlite_sink(path: &Path, args: &Args) -> Result<Box<dyn Sink>, Failure> {
    Ok(Box::new(super::deno::DenoSink::open(path, args)?))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite_source(path: &Path) -> Result<Box<dyn Source>, Failure> {
    Err(without_sqlite(path))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite_sink(path: &Path, _: &Args) -> Result<Box<dyn Sink>, Failure> {
    Err(without_sqlite(path))
}

#[cfg(not(feature = "sqlite"))]
fn without_sqlite(path: &Path) -> Failure {
    let what = format!("{}: this command was built without SQLite", path.display());
    Failure::problem(what).hint("build it with the feature sqlite")
}

#[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
fn begins_like_sqlite(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 15];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && &start == b"SQLite format 3"
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "expiries are moments of the operator's clock")]
pub(super) fn now_ms() -> u64 {
    ms(SystemTime::now())
}

/// A moment, in milliseconds since 1970.
pub(super) fn ms(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
