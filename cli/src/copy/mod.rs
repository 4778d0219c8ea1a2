//! `icecore copy`: everything that one place holds, into another.
//!
//! Places are stores, here or behind an URL, dumps and Deno's own file. Each that can be read is a [`Source`], each that
//! can be written a [`Sink`]; `transfer` moves records between any two of them, and compares what
//! was read with what is there afterwards.

#[cfg(feature = "sqlite")]
mod deno;
mod digest;
mod dump;
mod place;
mod record;
mod store;
mod transfer;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use self::digest::Sum;
use self::place::Place;
use self::record::{Message, Record};
use self::transfer::Copied;
use crate::failure::Failure;
use crate::print;

/// Copy everything that one place holds into another, and verify the copy.
///
/// SRC and DST are the directory of a store, the URL of one that speaks KV Connect, a dump (a file
/// that ends with .ndjson, or - for standard input or output), or Deno's own file (kv.sqlite3). Keys,
/// values and expiries are copied byte for byte, and messages that were not yet delivered.
/// Versionstamps cannot be given to another store: entries get those of the copy's commits. A dump
/// records them.
///
/// The source is read at one moment and not changed. Afterwards the copy is read back; count and
/// hash of both sides must be equal. Messages that the destination cannot hold are counted and left
/// out, and the command ends with 5. A copy that was interrupted goes on with --resume, except a dump.
///
/// KV Connect does not tell when entries expire, nor which messages wait: a copy from an URL has
/// entries that last, and no messages; and it reads page by page, not at one moment. The access token
/// is in the variable DENO_KV_ACCESS_TOKEN, or in a file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is copied.
    src: Place,
    /// Where it is copied to: a new or empty place, unless an option says otherwise.
    dst: Place,
    /// Copy into a store that is not empty. Where both have a key, that of SRC replaces the other;
    /// everything else in DST stays.
    #[arg(long, conflicts_with = "resume")]
    merge: bool,
    /// Replace the dump DST, if there is one.
    #[arg(long)]
    overwrite: bool,
    /// Go on with a copy into a store that was interrupted. SRC must be as it was.
    #[arg(long)]
    resume: bool,
    /// The file with the access token of SRC.
    #[arg(long, value_name = "FILE")]
    src_token_file: Option<PathBuf>,
    /// The file with the access token of DST.
    #[arg(long, value_name = "FILE")]
    dst_token_file: Option<PathBuf>,
    /// Send tokens and data to another machine without TLS.
    #[arg(long)]
    insecure_http: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Where records come from: entries in the order of their keys, then messages, queue by queue, in
/// the order of their delivery. All are of one moment, unless it warns.
trait Source {
    /// What tells it from other sources, and from itself at other moments.
    fn identity(&self) -> &str;

    /// What the copy will not have, if anything.
    fn warning(&self) -> Option<&'static str> {
        None
    }

    /// The next record; `None` at the end. It may have expired.
    fn next(&mut self) -> Result<Option<Record>, Failure>;
}

/// Where records go to, in the order of a source.
trait Sink {
    /// Begins, or goes on with, a copy of the source with this identity, and says from where.
    fn begin(&mut self, source: &str) -> Result<Position, Failure>;

    /// Writes records, all or none if it can be resumed, and notes how far the copy got.
    fn write(&mut self, batch: &[Record], reached: &Position) -> Result<(), Failure>;

    /// Whether it takes such a message.
    fn takes(&self, _message: &Message) -> bool {
        true
    }

    /// Whether it cannot be compared as a whole, but entry by entry: it holds more than what is copied,
    /// or does not tell all that it holds.
    fn is_compared_by_entry(&self) -> bool {
        false
    }

    /// Visits what it has under the keys of these entries.
    fn read_entries(
        &mut self,
        _batch: &[Record],
        _visit: &mut dyn FnMut(&Record),
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// Visits everything that it holds; `false` if it cannot be read back.
    fn read_back(&mut self, visit: &mut dyn FnMut(&Record)) -> Result<bool, Failure>;

    /// The copy is right: from here on it is finished, and survives a power cut.
    fn accept(&mut self) -> Result<(), Failure>;
}

/// How far a copy got: the last key, as the hexadecimal digits of its encoding, and how many messages
/// came after the last entry. Digits sort like the bytes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Position {
    key: String,
    messages: u64,
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

#[derive(Serialize)]
struct Answer {
    source: Side,
    /// Absent where the copy could not be read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Side>,
    expired: u64,
    messages_not_compared: u64,
    messages_not_copied: u64,
}

#[derive(Serialize)]
struct Side {
    entries: u64,
    messages: u64,
    hash: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut source = args.src.source(args)?;
    let mut sink = args.dst.sink(args)?;
    if let Some(warning) = source.warning() {
        writeln!(io::stderr(), "{warning}")
            .map_err(|error| Failure::io("write to standard error", &error))?;
    }
    let copied = transfer::transfer(&mut *source, &mut *sink)?;
    let text = if args.json { json(&copied) } else { lines(&copied) };
    // Where the dump goes to standard output, what is said of it goes elsewhere.
    let is_piped = matches!(args.dst, Place::Pipe);
    if is_piped {
        writeln!(io::stderr(), "{text}")
            .map_err(|error| Failure::io("write to standard error", &error))?;
    } else {
        print(&text)?;
    }
    if copied.destination.is_some_and(|destination| destination != copied.source) {
        let what = "what was read back is not what was copied";
        let hint = "keep the source, and copy it to another place";
        return Err(Failure::damaged(what).hint(hint));
    }
    sink.accept()?;
    match copied.messages_not_copied {
        0 => Ok(()),
        count => {
            let what = format!("{count} messages were not copied; everything else was");
            Err(Failure::incomplete(what)
                .hint("keep the source until they are delivered, or copy to a store"))
        }
    }
}

fn json(copied: &Copied) -> String {
    let side = |sum: Sum| {
        let Sum { entries, messages, hash } = sum;
        Side { entries, messages, hash: format!("{hash:032x}") }
    };
    let answer = Answer {
        source: side(copied.source),
        destination: copied.destination.map(side),
        expired: copied.expired,
        messages_not_compared: copied.messages_not_compared,
        messages_not_copied: copied.messages_not_copied,
    };
    serde_json::to_string(&answer).expect("plain structs of numbers and texts serialize")
}

fn lines(copied: &Copied) -> String {
    let side = |name: &str, sum: Sum| {
        let Sum { entries, messages, hash } = sum;
        format!("{name:<12} {entries} entries, {messages} messages, hash {hash:032x}\n")
    };
    let mut text = side("source", copied.source);
    match copied.destination {
        Some(destination) => text += &side("destination", destination),
        None => text += "destination  not read back: its last line has count and hash of its own\n",
    }
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            text += &format!("{count} {what}\n");
        }
    };
    note(copied.expired, "entries had expired and were not copied");
    note(
        copied.messages_not_compared,
        "messages were copied and not read back, because the destination may have others",
    );
    note(
        copied.messages_not_copied,
        "messages were not copied: DST takes none with the name of a queue, none that is no value of \
         JavaScript, and over KV Connect none with one attempt alone or a wait of more than 49 days",
    );
    text.trim_end().to_owned()
}
