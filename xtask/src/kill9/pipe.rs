//! What a child tells its parent, over a pipe that outlives it.
//!
//! A message is complete or not there: what a kill has cut off is not read.

use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};

use crate::witness::book::{Acknowledgement, Content, Held};
use crate::witness::bytes::{Reader, Writer};
use crate::witness::deed::Token;

/// A content is told in pieces of about this size.
const PIECE_BYTES: usize = 32 << 10;
/// No message is larger: the largest value and some more.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// One message.
#[derive(Debug)]
pub(super) enum Message {
    /// Some entries of the store as it was opened.
    Piece(Vec<(Vec<u8>, Held)>),
    /// That was all; the rest of the content.
    Reported { began_ms: u64, ended_ms: u64, visible: u64 },
    /// A deed was acknowledged.
    Acknowledged(Acknowledgement),
    /// There is a copy of the store as it was at this stamp.
    Copied { stamp: u64 },
    /// The disk stands still at the failpoint.
    Struck,
    /// Something went wrong.
    Failed(String),
}

impl Message {
    fn write(&self, writer: &mut Writer) {
        match self {
            Message::Piece(entries) => {
                writer.u8(0);
                entries.iter().for_each(|(key, held)| held.write(key, writer));
            }
            Message::Reported { began_ms, ended_ms, visible } => {
                writer.u8(1).u64(*began_ms).u64(*ended_ms).u64(*visible);
            }
            Message::Acknowledged(Acknowledgement { token, stamp, durable }) => {
                token.write(writer.u8(2));
                writer.u64(*stamp).u8(u8::from(*durable));
            }
            Message::Copied { stamp } => drop(writer.u8(3).u64(*stamp)),
            Message::Struck => drop(writer.u8(4)),
            Message::Failed(text) => drop(writer.u8(5).string(text.as_bytes())),
        }
    }

    fn read(bytes: &[u8]) -> Option<Message> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8()? {
            0 => {
                let mut entries = Vec::new();
                while !reader.is_at_end() {
                    entries.push(Held::read(&mut reader)?);
                }
                Message::Piece(entries)
            }
            1 => {
                let (began_ms, ended_ms) = (reader.u64()?, reader.u64()?);
                Message::Reported { began_ms, ended_ms, visible: reader.u64()? }
            }
            2 => {
                let (token, stamp) = (Token::read(&mut reader)?, reader.u64()?);
                let durable = reader.u8()? == 1;
                Message::Acknowledged(Acknowledgement { token, stamp, durable })
            }
            3 => Message::Copied { stamp: reader.u64()? },
            4 => Message::Struck,
            5 => Message::Failed(String::from_utf8_lossy(reader.string()?).into_owned()),
            _ => return None,
        };
        reader.is_at_end().then_some(message)
    }
}

/// The child's end.
pub(super) struct Pipe<W> {
    end: Mutex<W>,
}

impl<W: Write> Pipe<W> {
    pub(super) fn new(end: W) -> Pipe<W> {
        Pipe { end: Mutex::new(end) }
    }

    /// Tells one message; the parent has it when this returns, even if the child dies.
    pub(super) fn tell(&self, message: &Message) -> io::Result<()> {
        let mut writer = Writer::default();
        message.write(&mut writer);
        let body = writer.into_bytes();
        let mut frame = Writer::default();
        frame.string(&body);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.write_all(&frame.into_bytes())?;
        end.flush()
    }

    /// Tells a whole content.
    pub(super) fn report(&self, content: Content) -> io::Result<()> {
        let mut piece = Vec::new();
        let mut bytes = 0;
        for (key, held) in content.entries {
            bytes += key.len() + held.value.len();
            piece.push((key, held));
            if bytes >= PIECE_BYTES {
                self.tell(&Message::Piece(std::mem::take(&mut piece)))?;
                bytes = 0;
            }
        }
        self.tell(&Message::Piece(piece))?;
        let Content { began_ms, ended_ms, visible, .. } = content;
        self.tell(&Message::Reported { began_ms, ended_ms, visible })
    }
}

/// Reads the next message; `None` at the end, also when it is in the middle of a message.
pub(super) fn hear(end: &mut impl Read) -> io::Result<Option<Message>> {
    let mut length = [0; 4];
    if !fill(end, &mut length)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    let mut body = vec![0; length as usize];
    if !fill(end, &mut body)? {
        return Ok(None);
    }
    let message = Message::read(&body);
    message.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a message"))
}

fn fill(end: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match end.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_heard_and_what_was_cut_off_is_not() {
        let held = |n: u8| Held { value: vec![n; 20_000], stamp: n.into(), expires_ms: 0 };
        let entries = (0..5).map(|n| (vec![n], held(n))).collect();
        let content = Content { entries, began_ms: 1, ended_ms: 2, visible: 3 };
        let mut bytes = Vec::new();
        let token = Token { life: 1, thread: 2, number: 3 };
        let acknowledgement = Acknowledgement { token, stamp: 4, durable: true };
        let pipe = Pipe::new(&mut bytes);
        pipe.report(content.clone()).unwrap();
        pipe.tell(&Message::Acknowledged(acknowledgement)).unwrap();

        let mut end = &bytes[..];
        let mut heard = Vec::new();
        while let Some(message) = hear(&mut end).unwrap() {
            heard.push(message);
        }
        let mut found = Content::default();
        for message in &heard {
            match message {
                Message::Piece(entries) => found.entries.extend(entries.iter().cloned()),
                Message::Reported { visible, .. } => found.visible = *visible,
                Message::Acknowledged(told) => assert_eq!(*told, acknowledgement),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((found.entries, found.visible), (content.entries, 3));

        let mut cut = &bytes[..bytes.len() - 1];
        let mut count = 0;
        while hear(&mut cut).unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, heard.len() - 1);
    }
}
