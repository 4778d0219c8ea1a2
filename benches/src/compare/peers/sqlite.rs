//! SQLite, through rusqlite: one file of B-trees, one writer.
//!
//! Setup after <https://www.sqlite.org/wal.html> and <https://www.sqlite.org/pragma.html>: a
//! write-ahead log; `synchronous` FULL when durable and NORMAL when buffered, which syncs at
//! checkpoints only; a table without rowid (<https://www.sqlite.org/withoutrowid.html>) whose primary
//! key is the key; reads through a mapping (<https://www.sqlite.org/mmap.html>); prepared statements;
//! a connection for each thread that reads, and one that writes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::compare::Result;
use crate::compare::key::Key;
use crate::compare::store::{
    CACHE_BYTES, Change, Durability, Peer, Setup, Stamps, Store, Visit, holds, split, stamped,
};

/// SQLite.
pub(super) const PEER: Peer = Peer {
    name: "sqlite",
    open,
    buffered_survives: "the end of the process",
    setup: "write-ahead log, 512 MiB cache for the writer, mapped reads",
};

const GET: &str = "SELECT stored FROM users WHERE key = ?1";
const SET: &str = "INSERT INTO users (key, stored) VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET stored = excluded.stored";
const DELETE: &str = "DELETE FROM users WHERE key = ?1";
const LIST: &str = "SELECT key, stored FROM users WHERE key >= ?1 ORDER BY key LIMIT ?2";
const LIST_REVERSE: &str =
    "SELECT key, stored FROM users WHERE key < ?1 ORDER BY key DESC LIMIT ?2";

/// Address space of the mapping.
const MAP_BYTES: u64 = 64 << 30;

/// Pages of a reader that is not mapped for want of memory, in KiB.
const READER_KIB: usize = 2000;

struct Sqlite {
    path: PathBuf,
    setup: Setup,
    writer: Mutex<Connection>,
    /// Those that no thread uses at this moment.
    readers: Mutex<Vec<Connection>>,
    stamps: Stamps,
}

fn open(directory: &Path, setup: Setup) -> Result<Box<dyn Store>> {
    let path = directory.join("store.sqlite");
    let writer = connect(&path, setup, setup.cache_bytes >> 10)?;
    writer.execute_batch(
        "CREATE TABLE IF NOT EXISTS users (key BLOB PRIMARY KEY, stored BLOB) WITHOUT ROWID",
    )?;
    let (writer, readers) = (Mutex::new(writer), Mutex::default());
    Ok(Box::new(Sqlite { path, setup, writer, readers, stamps: Stamps::since_now() }))
}

fn connect(path: &Path, setup: Setup, cache_kib: usize) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let synchronous = match setup.durability {
        Durability::Durable => "full",
        Durability::Buffered => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // A negative size is in KiB.
    connection.pragma_update(None, "cache_size", format!("-{cache_kib}"))?;
    if setup.cache_bytes >= CACHE_BYTES {
        connection.pragma_update(None, "mmap_size", MAP_BYTES.to_string())?;
    }
    Ok(connection)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sqlite {
    /// Lends a connection to a read.
    fn reading<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = lock(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, self.setup, READER_KIB)?,
        };
        let result = read(&connection);
        lock(&self.readers).push(connection);
        result
    }

    fn walk(&self, statement: &str, at: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        self.reading(|connection| {
            let mut statement = connection.prepare_cached(statement)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query((at.encoded(), limit))?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let (stamp, value) = split(row.get_ref(1)?.as_blob()?)?;
                visit(row.get_ref(0)?.as_blob()?, stamp, value)?;
                count += 1;
            }
            Ok(count)
        })
    }

    fn checkpoint(&self, mode: &str) -> Result<()> {
        let statement = format!("PRAGMA wal_checkpoint({mode})");
        let busy: i64 = lock(&self.writer).query_row(&statement, (), |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err("the checkpoint was blocked".into()) }
    }
}

/// Visits one key; `false` if it is absent.
fn look(connection: &Connection, key: &Key, visit: Visit<'_>) -> Result<bool> {
    let mut statement = connection.prepare_cached(GET)?;
    let mut rows = statement.query([key.encoded()])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let (stamp, value) = split(row.get_ref(0)?.as_blob()?)?;
    visit(key.encoded(), stamp, value)?;
    Ok(true)
}

impl Store for Sqlite {
    fn commit(&self, change: Change<'_>) -> Result<bool> {
        let mut writer = lock(&self.writer);
        let write = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (key, expected) in change.checks {
            let mut get = write.prepare_cached(GET)?;
            let stored = get.query_row([key.encoded()], |row| row.get::<_, Vec<u8>>(0));
            if !holds(*expected, stored.optional()?.as_deref())? {
                return Ok(false);
            }
        }
        let (stamp, mut stored) = (self.stamps.next(), Vec::new());
        {
            let mut set = write.prepare_cached(SET)?;
            for (key, value) in change.sets {
                stamped(&mut stored, stamp, value);
                set.execute((key.encoded(), &stored))?;
            }
        }
        for key in change.deletes {
            write.prepare_cached(DELETE)?.execute([key.encoded()])?;
        }
        write.commit()?;
        Ok(true)
    }

    fn get(&self, key: &Key, visit: Visit<'_>) -> Result<bool> {
        self.reading(|connection| look(connection, key, visit))
    }

    fn get_many(&self, keys: &[Key], visit: Visit<'_>) -> Result<usize> {
        self.reading(|connection| {
            let read = connection.unchecked_transaction()?;
            let mut count = 0;
            for key in keys {
                count += usize::from(look(&read, key, &mut *visit)?);
            }
            read.commit()?;
            Ok(count)
        })
    }

    fn list(&self, from: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        self.walk(LIST, from, limit, visit)
    }

    fn list_reverse(&self, to: &Key, limit: usize, visit: Visit<'_>) -> Result<usize> {
        self.walk(LIST_REVERSE, to, limit, visit)
    }

    fn sync(&self) -> Result<()> {
        self.checkpoint("FULL")
    }

    fn settle(&self) -> Result<()> {
        self.checkpoint("TRUNCATE")
    }

    fn close(self: Box<Self>) -> Result<()> {
        lock(&self.readers).clear();
        let writer = self.writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        writer.close().map_err(|(_, error)| error.into())
    }
}
