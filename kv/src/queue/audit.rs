//! Whether the stored rows of queues are what they should be, for [`Kv::check`](crate::Kv::check).

use bytes::Bytes;
use icecore_model::key::decode_first;

use super::format::{ATTEMPTS, BadRow, MessageRow, Spot, decode_attempts, split_name};
use crate::error::{Error, ErrorKind};

/// What a row of the keyspace of queues is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// A message that waits to be delivered, or is in the hands of a receiver.
    Message {
        /// Where its attempts are counted.
        attempt_key: Vec<u8>,
    },
    /// How often a message was given out.
    Attempts { key: Vec<u8> },
}

/// Reads a row; `key` has its keyspace byte.
pub(crate) fn audit(key: &[u8], value: &Bytes) -> Result<Row, Error> {
    read(key, value).map_err(|bad| match bad {
        BadRow::UnknownVersion(version) => {
            let text = format!("a row of a queue has the version {version}, which is not known");
            Error::with_text(ErrorKind::UnknownFormat, text, key.escape_ascii().to_string())
        }
        BadRow::Malformed(malformed) => {
            let file = format!("the queue row {}", key.escape_ascii());
            let offset = malformed.offset as u64;
            let text = format!("{file} is damaged at byte {offset}");
            let detail = format!("expected {malformed}");
            Error::with_text(ErrorKind::Corrupt { file, offset }, text, detail)
        }
    })
}

fn read(key: &[u8], value: &Bytes) -> Result<Row, BadRow> {
    match key.get(1) {
        Some(&ATTEMPTS) => {
            let (_, rest) = decode_first(&key[2..])?;
            // It is the key of the message, but for the deadline.
            Spot::decode(&[&[0; 8], rest].concat())?;
            decode_attempts(value)?;
            Ok(Row::Attempts { key: key.to_vec() })
        }
        _ => {
            let (name, rest) = split_name(key)?;
            let spot = Spot::decode(rest)?;
            MessageRow::decode(value)?;
            Ok(Row::Message { attempt_key: spot.id.attempt_key(&name) })
        }
    }
}
