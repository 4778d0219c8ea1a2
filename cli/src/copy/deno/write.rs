//! Deno's own file as a destination: one that Deno has made and nothing was put into, or a new one.
//!
//! 1. What is copied and how far the copy got is one transaction, which survives a power cut. A copy
//!    that is not finished has its mark in the file, as a store has.
//! 2. Each transaction is a commit to Deno: its rows have one versionstamp, greater than all before.

use std::path::Path;

use icecore::{Key, Value};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use xxhash_rust::xxh3::xxh3_64;

use super::{BYTES, DenoSource, MIGRATION, U64, V8, refused};
use crate::copy::record::{Entry, Message, Record};
use crate::copy::store::{Mark, mark};
use crate::copy::{Args, Position, Sink, Source as _};
use crate::failure::Failure;

/// As Deno's own migrations leave them.
const TABLES: &str = "
    create table migration_state (k integer not null primary key, version integer not null);
    insert into migration_state (k, version) values (0, 3);
    create table data_version (
        k integer primary key, version integer not null, seq integer not null default 0);
    insert into data_version (k, version) values (0, 0);
    create table kv (
        k blob primary key, v blob not null, v_encoding integer not null,
        version integer not null, seq integer not null default 0,
        expiration_ms integer not null default -1) without rowid;
    create index kv_expiration_ms_idx on kv (expiration_ms);
    create table queue (
        ts integer not null, id text not null, data blob not null,
        backoff_schedule text not null, keys_if_undelivered blob not null,
        primary key (ts, id));
    create table queue_running (
        deadline integer not null, id text not null, data blob not null,
        backoff_schedule text not null, keys_if_undelivered blob not null,
        primary key (deadline, id));";

const NEXT_VERSION: &str = "update data_version set version = version + 1 where k = 0
     returning version";
const SET: &str = "insert or replace into kv (k, v, v_encoding, version, expiration_ms)
     values (?1, ?2, ?3, ?4, ?5)";
const ENQUEUE: &str = "insert into queue (ts, id, data, backoff_schedule, keys_if_undelivered)
     values (?1, ?2, ?3, ?4, ?5)";

/// A `kv.sqlite3` that is written.
pub(crate) struct DenoSink {
    name: String,
    connection: Connection,
    source: String,
    resume: bool,
}

impl DenoSink {
    /// The file of this name, which is made if there is none.
    pub(crate) fn open(path: &Path, args: &Args) -> Result<DenoSink, Failure> {
        let name = path.display().to_string();
        let refused = |error| refused(&name, &error);
        let mut connection = Connection::open(path).map_err(refused)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(refused)?;
        connection.pragma_update(None, "synchronous", "full").map_err(refused)?;
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(refused)?;
        let tables = "select count(*) from sqlite_master";
        if transaction.query_row(tables, (), |row| row.get::<_, i64>(0)).map_err(refused)? == 0 {
            transaction.execute_batch(TABLES).map_err(refused)?;
        }
        let version = "select version from migration_state where k = 0";
        let migration: i64 = transaction
            .query_row(version, (), |row| row.get(0))
            .map_err(|error| refused(error).hint("name a file that Deno.openKv has made"))?;
        if migration != MIGRATION {
            let what = format!("{name}: version {migration} of Deno's tables is not known");
            return Err(Failure::problem(what));
        }
        transaction.commit().map_err(refused)?;
        Ok(DenoSink { name, connection, source: String::new(), resume: args.resume })
    }

    fn noted(&self) -> Result<Option<Mark>, Failure> {
        let asked = "select v from kv where k = ?1";
        let text: Vec<u8> =
            match self.connection.query_row(asked, [mark().encoded()], |row| row.get(0)) {
                Ok(text) => text,
                Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(None),
                Err(error) => return Err(refused(&self.name, &error)),
            };
        let wrong = |error| Failure::problem(format!("{} is not a mark: {error}", mark()));
        serde_json::from_slice(&text).map(Some).map_err(wrong)
    }

    fn is_empty(&self) -> Result<bool, Failure> {
        let asked = "select not exists (select 1 from kv) and not exists (select 1 from queue)
             and not exists (select 1 from queue_running)";
        let answer = self.connection.query_row(asked, (), |row| row.get(0));
        answer.map_err(|error| refused(&self.name, &error))
    }

    /// Carries out `work` with the version of a commit of its own, all of it or nothing.
    fn commit(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, i64) -> rusqlite::Result<()>,
    ) -> Result<(), Failure> {
        let name = &self.name;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let committed = transaction.and_then(|transaction| {
            let version = transaction.query_row(NEXT_VERSION, (), |row| row.get(0))?;
            work(&transaction, version)?;
            transaction.commit()
        });
        committed.map_err(|error| refused(name, &error))
    }
}

impl Sink for DenoSink {
    fn begin(&mut self, source: &str) -> Result<Position, Failure> {
        self.source = source.to_owned();
        match (self.noted()?, self.resume) {
            (None, false) if self.is_empty()? => {
                let reached = Position::default();
                self.write(&[], &reached)?;
                Ok(reached)
            }
            (None, false) => {
                let what = "the destination is not empty";
                Err(Failure::problem(what).hint("name a new file"))
            }
            (noted, resume) => Mark::resumed(noted, resume, source).map(|mark| mark.reached),
        }
    }

    fn write(&mut self, batch: &[Record], reached: &Position) -> Result<(), Failure> {
        let messages = batch.iter().filter(|record| matches!(record, Record::Message(_))).count();
        let mut ids = message_ids(&self.source, reached.messages - messages as u64);
        let (source, reached) = (self.source.clone(), reached.clone());
        let noted = Mark { source, merge: false, reached }.to_text();
        self.commit(|transaction, version| {
            let mut set = transaction.prepare_cached(SET)?;
            let mut enqueue = transaction.prepare_cached(ENQUEUE)?;
            for record in batch {
                match record {
                    Record::Entry(Entry { key, value, expires_ms, .. }) => {
                        let expires_ms = expires_ms.map(number).transpose()?;
                        let (bytes, encoding) = stored(value);
                        let key = key.encoded();
                        set.execute(params![
                            key,
                            bytes,
                            encoding,
                            version,
                            expires_ms.unwrap_or(-1)
                        ])?;
                    }
                    Record::Message(message) => {
                        let Message { payload, ready_ms, backoff_ms, .. } = message;
                        let id = ids.next();
                        let ready_ms = number(*ready_ms)?;
                        let backoff = json(backoff_ms);
                        let keys = message.keys_if_undelivered.iter().map(Key::encoded);
                        let keys = json(&keys.collect::<Vec<_>>());
                        enqueue.execute(params![ready_ms, id, stored(payload).0, backoff, keys])?;
                    }
                }
            }
            set.execute(params![mark().encoded(), noted.as_bytes(), BYTES, version, -1])?;
            Ok(())
        })
    }

    /// Deno knows one queue, of values of JavaScript.
    fn takes(&self, message: &Message) -> bool {
        message.queue.is_empty() && matches!(message.payload, Value::V8(_))
    }

    fn read_back(&mut self, visit: &mut dyn FnMut(&Record)) -> Result<bool, Failure> {
        let mut source = DenoSource::open(Path::new(&self.name))?;
        let mark = mark();
        while let Some(record) = source.next()? {
            if !matches!(&record, Record::Entry(entry) if entry.key == mark) {
                visit(&record);
            }
        }
        Ok(true)
    }

    fn accept(&mut self) -> Result<(), Failure> {
        self.commit(|transaction, _| {
            transaction.execute("delete from kv where k = ?1", [mark().encoded()]).map(drop)
        })?;
        // Where Deno has the file open as well, it is Deno's to fold the log into it.
        let folded = self.connection.query_row("pragma wal_checkpoint(truncate)", (), |_| Ok(()));
        folded.map_err(|error| refused(&self.name, &error))
    }
}

/// Milliseconds as the file has them: a dump may tell of more than fit.
fn number(ms: u64) -> rusqlite::Result<i64> {
    let wrong = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    i64::try_from(ms).map_err(wrong)
}

fn stored(value: &Value) -> (Vec<u8>, i64) {
    match value {
        Value::V8(bytes) => (bytes.to_vec(), V8),
        Value::U64(number) => (number.to_le_bytes().to_vec(), U64),
        Value::Bytes(bytes) => (bytes.to_vec(), BYTES),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("numbers serialize")
}

/// Names of messages, from that of the message with this number in the copy on. Deno gives random
/// ones; among messages of one moment, these keep their order.
fn message_ids(source: &str, first: u64) -> impl Iterator<Item = String> + use<> {
    let name = xxh3_64(source.as_bytes());
    (first..).map(move |number| format!("{name:016x}{number:016x}"))
}
