//! Reading a dump, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::line::{Header, Line, TRAILER_START, Trailer, hex};
use super::{LINE_BYTES_MAX, VERSION};
use crate::copy::Source;
use crate::copy::record::Record;
use crate::failure::Failure;

/// A dump that is being read.
pub(crate) struct DumpSource {
    lines: Lines,
    identity: String,
    last_key: Option<Vec<u8>>,
    entries: u64,
    messages: u64,
    is_over: bool,
}

struct Lines {
    name: String,
    input: Box<dyn BufRead>,
    hash: Sha256,
    number: u64,
    line: Vec<u8>,
}

impl DumpSource {
    /// The dump in this file.
    #[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
    pub(crate) fn open(path: &Path) -> Result<DumpSource, Failure> {
        let name = path.display().to_string();
        let file =
            File::open(path).map_err(|error| Failure::io(&format!("read {name}"), &error))?;
        DumpSource::new(Box::new(BufReader::new(file)), name)
    }

    /// The dump in this file, which was read to its end and found whole.
    #[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
    pub(crate) fn open_whole(path: &Path) -> Result<DumpSource, Failure> {
        let name = path.display().to_string();
        let mut file =
            File::open(path).map_err(|error| Failure::io(&format!("read {name}"), &error))?;
        let again =
            file.try_clone().map_err(|error| Failure::io(&format!("read {name}"), &error))?;
        let mut source = DumpSource::new(Box::new(BufReader::new(again)), name.clone())?;
        while source.next()?.is_some() {}
        file.rewind().map_err(|error| Failure::io(&format!("read {name} again"), &error))?;
        DumpSource::new(Box::new(BufReader::new(file)), name)
    }

    /// The dump that comes from standard input. That it is whole shows at its end.
    pub(crate) fn from_stdin() -> Result<DumpSource, Failure> {
        DumpSource::new(Box::new(BufReader::new(io::stdin())), "standard input".to_owned())
    }

    fn new(input: Box<dyn BufRead>, name: String) -> Result<DumpSource, Failure> {
        let (hash, line) = (Sha256::new(), Vec::new());
        let mut lines = Lines { name, input, hash, number: 0, line };
        if !lines.advance()? {
            return Err(lines.wrong("it is empty"));
        }
        let header: Header = lines.parse()?;
        if header.icecore != "dump" {
            return Err(lines.wrong("it is no dump"));
        }
        if header.version != VERSION {
            let what = format!("version {} of the format is not known", header.version);
            return Err(lines.wrong(&what).hint("read it with a newer version"));
        }
        let identity = format!("the dump of {} at {} ms", header.source, header.created_ms);
        let (entries, messages, is_over) = (0, 0, false);
        Ok(DumpSource { lines, identity, last_key: None, entries, messages, is_over })
    }

    /// Notes the record, and says what is wrong with its place.
    fn count(&mut self, record: &Record) -> Result<(), &'static str> {
        match record {
            Record::Message(_) => self.messages += 1,
            Record::Entry(_) if self.messages > 0 => return Err("entries come before messages"),
            Record::Entry(entry) => {
                let key = entry.key.encoded();
                if self.last_key.as_deref().is_some_and(|last| key <= last) {
                    return Err("its key is not greater than that of the line before");
                }
                self.last_key = Some(key.to_vec());
                self.entries += 1;
            }
        }
        Ok(())
    }

    fn end(&mut self, sha256: String) -> Result<(), Failure> {
        let (entries, messages) = (self.entries, self.messages);
        let found: Trailer = self.lines.parse()?;
        if found != (Trailer { end: true, entries, messages, sha256 }) {
            let what = "counts or hash are not those of the lines before: the dump was changed";
            return Err(self.lines.wrong(what));
        }
        if self.lines.advance()? {
            return Err(self.lines.wrong("something follows the end"));
        }
        self.is_over = true;
        Ok(())
    }
}

impl Source for DumpSource {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn next(&mut self) -> Result<Option<Record>, Failure> {
        if self.is_over {
            return Ok(None);
        }
        let before = self.lines.hash.clone();
        if !self.lines.advance()? {
            let what = "the dump is cut off: its last line is missing";
            return Err(self.lines.wrong(what).hint("make the dump again"));
        }
        if self.lines.line.starts_with(TRAILER_START) {
            self.end(hex(before))?;
            return Ok(None);
        }
        let line: Line = self.lines.parse()?;
        let record = line.record().map_err(|what| self.lines.wrong(&what))?;
        self.count(&record).map_err(|what| self.lines.wrong(what))?;
        Ok(Some(record))
    }
}

impl Lines {
    /// Reads the next line; `false` at the end.
    fn advance(&mut self) -> Result<bool, Failure> {
        self.line.clear();
        self.number += 1;
        let most = LINE_BYTES_MAX as u64;
        let read = (&mut self.input).take(most).read_until(b'\n', &mut self.line);
        read.map_err(|error| Failure::io(&format!("read {}", self.name), &error))?;
        if self.line.len() == LINE_BYTES_MAX {
            return Err(self.wrong("the line is too long"));
        }
        self.hash.update(&self.line);
        Ok(!self.line.is_empty())
    }

    fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.line).map_err(|error| self.wrong(&error.to_string()))
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::problem(format!("{}, line {}: {what}", self.name, self.number))
    }
}
