//! Recordings: made with a real engine, its real threads, and real files; kept in a file if one
//! has to be looked at again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use icecore_disk::clock::SystemClock;
use icecore_disk::random::SystemRandom;
use icecore_disk::real::RealDisk;
use icecore_disk::record::{Note, RecordDisk, Recording};
use icecore_disk::{Disk, Name};
use icecore_engine::{Engine, Environment, Error, Workers};

use crate::witness::book::Acknowledgement;
use crate::witness::bytes::{Reader, Writer};
use crate::witness::deed::Token;
use crate::witness::labour::{prepare, small_options, work};

/// Threads that commit.
const COMMITTERS: u8 = 4;
/// How many deeds each does in each of two parts.
const ROUNDS: u32 = 45;

/// Makes a recording of a new store in the empty directory `directory`.
pub(super) fn record(directory: &Path, seed: u64) -> Result<Vec<Note>, Error> {
    let real = RealDisk::open(directory).map_err(|e| disk_error(directory, e))?;
    let recording = Arc::new(Recording::default());
    let disk: Arc<dyn Disk> = Arc::new(RecordDisk::new(Arc::new(real), Arc::clone(&recording)));
    // Two lives: the second begins where the first was closed in good order.
    for part in 0..2_u8 {
        let env = Environment {
            disk: Arc::clone(&disk),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
        };
        let engine = Engine::open(env, small_options(Workers::Threads))?;
        live(&engine, part, seed, &recording)?;
        if part == 0 {
            engine.close()?;
        }
    }
    Ok(recording.take())
}

fn disk_error(directory: &Path, source: io::Error) -> Error {
    Error::Io { file: directory.display().to_string(), action: "open", source: Arc::new(source) }
}

fn live(engine: &Engine, part: u8, seed: u64, recording: &Recording) -> Result<(), Error> {
    let witness = |acknowledgement| {
        recording.mark(mark(acknowledgement));
        Ok(())
    };
    if part == 0 {
        prepare(engine, 0, &witness)?;
    }
    let failure = Mutex::new(None);
    thread::scope(|scope| {
        for thread in part * COMMITTERS..(part + 1) * COMMITTERS {
            let failure = &failure;
            scope.spawn(move || {
                let seed = seed ^ u64::from(thread) << 56;
                let worked = work(engine, (0, thread), seed, ROUNDS, &|| true, &witness);
                if let Err(error) = worked {
                    failure.lock().expect("nobody panics with it").get_or_insert(error);
                }
            });
        }
    });
    failure.into_inner().expect("nobody panics with it").map_or(Ok(()), Err)?;
    engine.compact()
}

fn mark(Acknowledgement { token, stamp, durable }: Acknowledgement) -> Vec<u8> {
    let mut writer = Writer::default();
    token.write(&mut writer);
    writer.u64(stamp).u8(u8::from(durable));
    writer.into_bytes()
}

/// What a mark tells.
pub(super) fn acknowledged(mark: &[u8]) -> Option<Acknowledgement> {
    let mut reader = Reader::new(mark);
    let token = Token::read(&mut reader)?;
    Some(Acknowledgement { token, stamp: reader.u64()?, durable: reader.u8()? == 1 })
}

const MAGIC: &[u8] = b"icecore recording 1";

/// Keeps a recording where it stays after this process.
#[expect(clippy::disallowed_methods, reason = "a file of its own, which is no store")]
pub(super) fn keep(notes: &[Note], seed: u64) -> io::Result<PathBuf> {
    let mut writer = Writer::default();
    writer.string(MAGIC).u64(seed);
    notes.iter().for_each(|note| write_note(note, &mut writer));
    let path = std::env::temp_dir().join(format!("icecore-replay-{seed}.recording"));
    fs::write(&path, writer.into_bytes())?;
    Ok(path)
}

/// Reads a recording that was kept, and its seed.
#[expect(clippy::disallowed_methods, reason = "a file of its own, which is no store")]
pub(super) fn load(path: &Path) -> io::Result<(Vec<Note>, u64)> {
    parse(&fs::read(path)?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "this is not a recording"))
}

fn parse(bytes: &[u8]) -> Option<(Vec<Note>, u64)> {
    let mut reader = Reader::new(bytes);
    if reader.string()? != MAGIC {
        return None;
    }
    let seed = reader.u64()?;
    let mut notes = Vec::new();
    while !reader.is_at_end() {
        notes.push(read_note(&mut reader)?);
    }
    Some((notes, seed))
}

/// Handles are small numbers: this one stands for the directory.
const DIRECTORY: u64 = u64::MAX;

fn write_note(note: &Note, writer: &mut Writer) {
    let text = |name: &Name| name.to_string().into_bytes();
    match note {
        Note::Create { name, handle } => writer.u8(0).string(&text(name)).u64(*handle),
        Note::Open { name, handle } => writer.u8(1).string(&text(name)).u64(*handle),
        Note::Rename { from, to } => writer.u8(2).string(&text(from)).string(&text(to)),
        Note::Remove { name } => writer.u8(3).string(&text(name)),
        Note::SyncBegun { handle, sync } => {
            writer.u8(4).u64(handle.unwrap_or(DIRECTORY)).u64(*sync)
        }
        Note::SyncEnded { sync } => writer.u8(5).u64(*sync),
        Note::Submit { handle, write, offset, data, durable } => {
            let writer = writer.u8(6).u64(*handle).u64(*write).u64(*offset);
            writer.string(data).u8(u8::from(*durable))
        }
        Note::Complete { write } => writer.u8(7).u64(*write),
        Note::WriteAt { handle, offset, data } => {
            writer.u8(8).u64(*handle).u64(*offset).string(data)
        }
        Note::SetLen { handle, bytes } => writer.u8(9).u64(*handle).u64(*bytes),
        Note::Allocate { handle, bytes } => writer.u8(10).u64(*handle).u64(*bytes),
        Note::Mark(mark) => writer.u8(11).string(mark),
    };
}

fn read_note(reader: &mut Reader<'_>) -> Option<Note> {
    let kind = reader.u8()?;
    let name = |reader: &mut Reader<'_>| Name::parse(str::from_utf8(reader.string()?).ok()?);
    Some(match kind {
        0 => Note::Create { name: name(reader)?, handle: reader.u64()? },
        1 => Note::Open { name: name(reader)?, handle: reader.u64()? },
        2 => Note::Rename { from: name(reader)?, to: name(reader)? },
        3 => Note::Remove { name: name(reader)? },
        4 => {
            let handle = Some(reader.u64()?).filter(|handle| *handle != DIRECTORY);
            Note::SyncBegun { handle, sync: reader.u64()? }
        }
        5 => Note::SyncEnded { sync: reader.u64()? },
        6 => {
            let (handle, write, offset) = (reader.u64()?, reader.u64()?, reader.u64()?);
            let data = reader.string()?.to_vec();
            Note::Submit { handle, write, offset, data, durable: reader.u8()? == 1 }
        }
        7 => Note::Complete { write: reader.u64()? },
        8 => {
            let (handle, offset) = (reader.u64()?, reader.u64()?);
            Note::WriteAt { handle, offset, data: reader.string()?.to_vec() }
        }
        9 => Note::SetLen { handle: reader.u64()?, bytes: reader.u64()? },
        10 => Note::Allocate { handle: reader.u64()?, bytes: reader.u64()? },
        11 => Note::Mark(reader.string()?.to_vec()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_as_it_was_kept() {
        let directory = tempfile::tempdir().unwrap();
        let notes = record(directory.path(), 4).unwrap();
        let marks = notes.iter().filter(|note| matches!(note, Note::Mark(_))).count();
        let rounds = 2 * u32::from(COMMITTERS) * ROUNDS + 1;
        assert_eq!(marks, rounds as usize);
        let mut writer = Writer::default();
        writer.string(MAGIC).u64(4);
        notes.iter().for_each(|note| write_note(note, &mut writer));
        let bytes = writer.into_bytes();
        assert_eq!(parse(&bytes), Some((notes, 4)));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
    }
}
