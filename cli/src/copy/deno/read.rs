//! Deno's own file as a source.
//!
//! Everything is read in one transaction, so at one moment, also while Deno has the file open. Rows
//! are read page by page, each from where the last one ended.

use std::path::Path;

use icecore::{Key, Value, Versionstamp};
use rusqlite::{Connection, OpenFlags, Row};

use super::{BYTES, MIGRATION, U64, V8, refused};
use crate::copy::record::{Entry, Message, Record};
use crate::copy::{Source, hex};
use crate::failure::Failure;

const ROWS_READ: i64 = 500;

const ENTRIES: &str = "select k, v, v_encoding, version, expiration_ms from kv
     where k > ?1 or ?1 is null order by k limit ?2";

/// What is being delivered comes again, so it is a message like the others.
const MESSAGES: &str = "select ts, id, data, backoff_schedule, keys_if_undelivered from (
         select ts, id, data, backoff_schedule, keys_if_undelivered from queue
         union all
         select deadline, id, data, backoff_schedule, keys_if_undelivered from queue_running)
     where ?1 is null or (ts, id) > (?1, ?2) order by ts, id limit ?3";

/// A `kv.sqlite3` that is read.
pub(crate) struct DenoSource {
    name: String,
    identity: String,
    connection: Connection,
    page: std::vec::IntoIter<Record>,
    /// The last key that was read; `None` before the first.
    key: Option<Vec<u8>>,
    /// The last message that was read.
    message: Option<(i64, String)>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Entries,
    Messages,
    Over,
}

impl DenoSource {
    /// The file of this name, which is not changed.
    pub(crate) fn open(path: &Path) -> Result<DenoSource, Failure> {
        let name = path.display().to_string();
        if !path.is_file() {
            return Err(Failure::problem(format!("there is no file {name}")));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let refused = |error| refused(&name, &error);
        let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
        connection.execute_batch("begin").map_err(refused)?;
        let ask = |sql| connection.query_row(sql, (), |row| row.get::<_, i64>(0)).map_err(refused);
        let migration = ask("select version from migration_state where k = 0")
            .map_err(|failure| failure.hint("name a file that Deno.openKv has made"))?;
        if migration != MIGRATION {
            let what = format!("{name}: version {migration} of Deno's tables is not known");
            return Err(Failure::problem(what));
        }
        let version = ask("select version from data_version where k = 0")?;
        let identity = format!("Deno's {name} at {version}");
        let (page, stage) = (Vec::new().into_iter(), Stage::Entries);
        Ok(DenoSource { name, identity, connection, page, key: None, message: None, stage })
    }

    fn turn_page(&mut self) -> Result<(), Failure> {
        let rows = match self.stage {
            Stage::Entries => self.entries()?,
            Stage::Messages => self.messages()?,
            Stage::Over => Vec::new(),
        };
        if rows.is_empty() {
            self.stage = match self.stage {
                Stage::Entries => Stage::Messages,
                Stage::Messages | Stage::Over => Stage::Over,
            };
        }
        self.page = rows.into_iter();
        Ok(())
    }

    fn entries(&mut self) -> Result<Vec<Record>, Failure> {
        let refused = |error| refused(&self.name, &error);
        let mut statement = self.connection.prepare_cached(ENTRIES).map_err(refused)?;
        let mut rows = statement.query((&self.key, ROWS_READ)).map_err(refused)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(refused)? {
            let (key, value, encoding, version, expiration_ms) = entry_row(row).map_err(refused)?;
            let wrong = |what: &str| wrong(&self.name, &format!("the key {}", hex(&key)), what);
            records.push(Record::Entry(Entry {
                value: value_of(encoding, value).map_err(|what| wrong(&what))?,
                // Before the first moment of 1970 there is none: -1 says that it does not expire.
                expires_ms: u64::try_from(expiration_ms).ok(),
                versionstamp: u64::try_from(version).ok().map(Versionstamp::new),
                key: Key::from_encoded(&key).map_err(|error| wrong(&error.to_string()))?,
            }));
            self.key = Some(key);
        }
        Ok(records)
    }

    fn messages(&mut self) -> Result<Vec<Record>, Failure> {
        let refused = |error| refused(&self.name, &error);
        let mut statement = self.connection.prepare_cached(MESSAGES).map_err(refused)?;
        let (ts, id) = self.message.clone().unzip();
        let mut rows = statement.query((ts, id, ROWS_READ)).map_err(refused)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next().map_err(refused)? {
            let (ts, id, data, backoff, keys) = message_row(row).map_err(refused)?;
            let wrong = |what: &str| wrong(&self.name, &format!("the message {id}"), what);
            let backoff: Option<Vec<u64>> =
                serde_json::from_str(&backoff).map_err(|error| wrong(&error.to_string()))?;
            let keys: Vec<Vec<u8>> =
                serde_json::from_str(&keys).map_err(|error| wrong(&error.to_string()))?;
            let keys = keys.iter().map(|key| Key::from_encoded(key));
            let keys = keys.collect::<Result<_, _>>().map_err(|error| wrong(&error.to_string()))?;
            records.push(Record::Message(Message {
                queue: String::new(),
                payload: Value::V8(data.into()),
                ready_ms: u64::try_from(ts).unwrap_or_default().max(1),
                backoff_ms: backoff.unwrap_or_default(),
                keys_if_undelivered: keys,
            }));
            self.message = Some((ts, id));
        }
        Ok(records)
    }
}

impl Source for DenoSource {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            if let Some(record) = self.page.next() {
                return Ok(Some(record));
            }
            if self.stage == Stage::Over {
                return Ok(None);
            }
            self.turn_page()?;
        }
    }
}

type EntryRow = (Vec<u8>, Vec<u8>, i64, i64, i64);
type MessageRow = (i64, String, Vec<u8>, String, String);

fn entry_row(row: &Row<'_>) -> rusqlite::Result<EntryRow> {
    row.try_into()
}

fn message_row(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    row.try_into()
}

fn value_of(encoding: i64, value: Vec<u8>) -> Result<Value, String> {
    match encoding {
        V8 => Ok(Value::V8(value.into())),
        BYTES => Ok(Value::from(value)),
        U64 => match value.try_into() {
            Ok(bytes) => Ok(Value::U64(u64::from_le_bytes(bytes))),
            Err(_) => Err("a number has eight bytes".to_owned()),
        },
        _ => Err(format!("the encoding {encoding} of its value is not known")),
    }
}

fn wrong(name: &str, place: &str, what: &str) -> Failure {
    Failure::problem(format!("{name}: {place}: {what}"))
}
