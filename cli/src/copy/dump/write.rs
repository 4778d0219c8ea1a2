//! Writing a dump: into a file that gets its name when it is whole, or to standard output.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::line::{Header, Line, Trailer, hex};
use super::{DumpSource, VERSION};
use crate::copy::place::now_ms;
use crate::copy::record::Record;
use crate::copy::{Position, Sink, Source as _};
use crate::failure::Failure;

/// A dump that is being written.
pub(crate) struct DumpSink {
    out: Option<BufWriter<Box<dyn Write>>>,
    /// Where the file is until it is whole, and its name afterwards.
    file: Option<(PathBuf, PathBuf)>,
    hash: Sha256,
    entries: u64,
    messages: u64,
}

impl DumpSink {
    /// Into the file of this name; `overwrite` says that there may be one.
    #[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
    pub(crate) fn to_file(path: &Path, overwrite: bool) -> Result<DumpSink, Failure> {
        if path.exists() && !overwrite {
            let what = format!("there is a file {}", path.display());
            return Err(Failure::problem(what).hint("--overwrite, if the dump may replace it"));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part)
            .map_err(|error| Failure::io(&format!("write {}", part.display()), &error))?;
        Ok(DumpSink::new(Box::new(file), Some((part, path.to_owned()))))
    }

    /// To standard output, which cannot be read back.
    pub(crate) fn to_stdout() -> DumpSink {
        DumpSink::new(Box::new(io::stdout()), None)
    }

    fn new(out: Box<dyn Write>, file: Option<(PathBuf, PathBuf)>) -> DumpSink {
        let out = Some(BufWriter::new(out));
        DumpSink { out, file, hash: Sha256::new(), entries: 0, messages: 0 }
    }

    fn put(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        let mut text =
            serde_json::to_vec(line).expect("plain structs of numbers and texts serialize");
        text.push(b'\n');
        self.hash.update(&text);
        let Some(out) = &mut self.out else { return Ok(()) };
        out.write_all(&text).map_err(|error| Failure::io("write the dump", &error))
    }
}

impl Sink for DumpSink {
    fn begin(&mut self, source: &str) -> Result<Position, Failure> {
        let (icecore, source) = ("dump".to_owned(), source.to_owned());
        self.put(&Header { icecore, version: VERSION, source, created_ms: now_ms() })?;
        Ok(Position::default())
    }

    fn write(&mut self, batch: &[Record], _reached: &Position) -> Result<(), Failure> {
        for record in batch {
            match record {
                Record::Entry(_) => self.entries += 1,
                Record::Message(_) => self.messages += 1,
            }
            self.put(&Line::of(record)?)?;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
    fn read_back(&mut self, visit: &mut dyn FnMut(&Record)) -> Result<bool, Failure> {
        let sha256 = hex(std::mem::take(&mut self.hash));
        let (entries, messages) = (self.entries, self.messages);
        self.put(&Trailer { end: true, entries, messages, sha256 })?;
        let mut out = self.out.take().expect("a dump is read back once");
        out.flush().map_err(|error| Failure::io("write the dump", &error))?;
        let Some((part, _)) = &self.file else { return Ok(false) };
        let sync = || File::open(part)?.sync_all();
        sync().map_err(|error| Failure::io(&format!("sync {}", part.display()), &error))?;
        let mut source = DumpSource::open(part)?;
        while let Some(record) = source.next()? {
            visit(&record);
        }
        Ok(true)
    }

    #[expect(clippy::disallowed_methods, reason = "a file of the operator, not of a store")]
    fn accept(&mut self) -> Result<(), Failure> {
        let Some((part, path)) = &self.file else { return Ok(()) };
        let rename = || {
            std::fs::rename(part, path)?;
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
        };
        rename().map_err(|error| Failure::io(&format!("rename {}", part.display()), &error))
    }
}
