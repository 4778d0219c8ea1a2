//! What an argument of the command names.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

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
    pub(super) fn source(&self) -> Result<Box<dyn Source>, Failure> {
        match self {
            Place::Pipe => Ok(Box::new(DumpSource::from_stdin()?)),
            Place::Dump(path) => Ok(Box::new(DumpSource::open_whole(path)?)),
            Place::Sqlite(path) => sqlite(path),
            Place::Remote(url) => Err(remote(url)),
            Place::Store(path) => Ok(Box::new(StoreSource::open(path)?)),
        }
    }

    /// Opens it to write to it.
    pub(super) fn sink(&self, args: &Args) -> Result<Box<dyn Sink>, Failure> {
        if args.overwrite && !matches!(self, Place::Dump(_)) {
            let what = "--overwrite is for dumps: a store is never emptied by a copy";
            return Err(Failure::problem(what).hint("name a new directory, or use --merge"));
        }
        if (args.merge || args.resume) && !matches!(self, Place::Store(_)) {
            let what = "--merge and --resume are for stores: a dump is written as a whole";
            return Err(Failure::problem(what).hint("run it without them"));
        }
        match self {
            Place::Pipe => Ok(Box::new(DumpSink::to_stdout())),
            Place::Dump(path) => Ok(Box::new(DumpSink::to_file(path, args.overwrite)?)),
            Place::Sqlite(_) => {
                let what = "Deno's kv.sqlite3 can be copied from, but not to";
                Err(Failure::problem(what).hint("serve a store to Deno with icecore serve"))
            }
            Place::Remote(url) => Err(remote(url)),
            Place::Store(path) => Ok(Box::new(StoreSink::open(path, args)?)),
        }
    }
}

fn remote(url: &str) -> Failure {
    Failure::problem(format!("{url}: this version cannot copy over KV Connect"))
        .hint("end the server, and name the directory of its store")
}

#[cfg(feature = "sqlite")]
fn sqlite(path: &Path) -> Result<Box<dyn Source>, Failure> {
    Ok(Box::new(super::deno::DenoSource::open(path)?))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(path: &Path) -> Result<Box<dyn Source>, Failure> {
    let what = format!("{}: this command was built without SQLite", path.display());
    Err(Failure::problem(what).hint("build it with the feature sqlite"))
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
