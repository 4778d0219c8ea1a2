//! How a store is opened.

use icecore_model::limits::{COMMIT_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use icecore_sstable::{ReadMode, TableOptions};
use icecore_wal::format::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN};
use icecore_wal::{Durability, LogOptions};

use crate::error::Error;
use crate::keyspace::EXPIRY_KEY_OVERHEAD;

/// What happens when a directory holds no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// A store is created, if the directory is empty.
    IfMissing,
    /// It is an error.
    Never,
}

/// Whether the directory is opened for reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// For both.
    ReadWrite,
    /// For reading only: nothing in the directory changes. After a process was killed, what it had
    /// committed with [`Durability::Buffered`] is shown, and a power cut may still take it back.
    ReadOnly,
}

/// Who does the work that no caller waits for: flush, compaction, expiry, log segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Threads of the engine.
    Threads,
    /// The caller, by [`Engine::step`](crate::Engine::step). Commits that would have to wait for
    /// such work do it themselves.
    Manual,
}

/// The settings of a store. They may differ from one opening to the next.
#[derive(Clone, Debug)]
pub struct Options {
    /// The durability of commits that name none.
    pub durability: Durability,
    /// What happens when there is no store.
    pub create: Create,
    /// Reading and writing, or reading only.
    pub access: Access,
    /// Who works in the background.
    pub workers: Workers,
    /// A memtable of this many bytes is frozen and flushed.
    pub memtable_bytes: usize,
    /// Commits stop while this many frozen memtables wait to be flushed.
    pub frozen_memtables_max: usize,
    /// Commits freeze the memtable when the log has grown to this many bytes since the last flush,
    /// so that recovery stays short even when durable commits pad the log.
    pub log_bytes_max: u64,
    /// The log's own settings.
    pub log: LogOptions,
    /// The settings of tables.
    pub table: TableOptions,
    /// Compaction cuts tables of about this many bytes.
    pub table_bytes: u64,
    /// So many tables in level 0 are merged into level 1.
    pub level0_tables: usize,
    /// The target size of level 1.
    pub level_base_bytes: u64,
    /// Each further level is so many times larger.
    pub level_multiplier: u64,
    /// How tables are read.
    pub read_mode: ReadMode,
    /// Whether [`Engine::open_path`](crate::Engine::open_path) has the process handle SIGBUS for
    /// the tables it maps: a page that cannot be read is then an [`Error::Io`] of the read, and ends
    /// the process otherwise. What is not about a table goes to the handler that was there before.
    /// For a disk of the caller's see [`RealDisk::watching`](icecore_disk::RealDisk::watching).
    pub handle_sigbus: bool,
    /// Memory for decompressed blocks.
    pub cache_bytes: usize,
    /// Disk space that commits leave free, for what makes room again. Commits that only delete
    /// leave half of it free, for the flushes and compactions that make space of them. That half
    /// should hold every memtable, and what one merge of level 0 writes.
    pub reserve_bytes: u64,
    /// The longest key in bytes, keyspace byte included.
    pub key_bytes_max: usize,
    /// The longest value in bytes.
    pub value_bytes_max: usize,
    /// The largest commit in bytes of encoded effects.
    pub commit_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::Sync,
            create: Create::IfMissing,
            access: Access::ReadWrite,
            workers: Workers::Threads,
            memtable_bytes: 32 << 20,
            frozen_memtables_max: 3,
            log_bytes_max: 256 << 20,
            log: LogOptions::default(),
            table: TableOptions::default(),
            table_bytes: 8 << 20,
            level0_tables: 4,
            level_base_bytes: 64 << 20,
            level_multiplier: 10,
            read_mode: ReadMode::Mmap,
            handle_sigbus: true,
            cache_bytes: 32 << 20,
            reserve_bytes: 256 << 20,
            key_bytes_max: 4 << 10,
            value_bytes_max: 16 << 20,
            commit_bytes_max: 64 << 20,
        }
    }
}

/// More bits for each key make no filter better, but could make it larger than memory.
const FILTER_BITS_MAX: u32 = 64;

/// Places in a segment have 32 bits, with room to spare for rounding.
const SEGMENT_BYTES_MAX: u32 = 1 << 31;

impl Options {
    /// The largest setting for [`Options::key_bytes_max`]: the expiry index must hold the key, too.
    pub const KEY_BYTES_MAX: usize = KEY_BYTES_MAX - EXPIRY_KEY_OVERHEAD;
    /// The largest setting for [`Options::value_bytes_max`].
    pub const VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX;
    /// The largest setting for [`Options::commit_bytes_max`].
    pub const COMMIT_BYTES_MAX: usize = COMMIT_BYTES_MAX;

    /// Refuses settings that contradict each other or the formats.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let at_most = |limit, max: usize, got: usize| {
            if got <= max {
                Ok(())
            } else {
                Err(Error::LimitExceeded { limit, max: max as u64, got: got as u64 })
            }
        };
        at_most("key_bytes_max", Options::KEY_BYTES_MAX, self.key_bytes_max)?;
        at_most("value_bytes_max", VALUE_BYTES_MAX, self.value_bytes_max)?;
        at_most("commit_bytes_max", COMMIT_BYTES_MAX, self.commit_bytes_max)?;
        if self.memtable_bytes == 0 || self.table_bytes == 0 || self.level_base_bytes == 0 {
            return Err(Error::invalid("memtable, table and level sizes must be positive"));
        }
        if self.frozen_memtables_max == 0 || self.level0_tables == 0 || self.level_multiplier < 2 {
            return Err(Error::invalid(
                "frozen_memtables_max and level0_tables must be positive, level_multiplier at least 2",
            ));
        }
        if self.table.filter_bits_per_key > FILTER_BITS_MAX {
            return Err(Error::invalid(format!(
                "table.filter_bits_per_key must be at most {FILTER_BITS_MAX}"
            )));
        }
        let LogOptions { block_bytes, writes_in_flight, segment_bytes, .. } = self.log;
        let blocks = BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX;
        if !block_bytes.is_power_of_two() || !blocks.contains(&block_bytes) {
            return Err(Error::invalid(format!(
                "log.block_bytes must be a power of two from {BLOCK_BYTES_MIN} to {BLOCK_BYTES_MAX}"
            )));
        }
        if writes_in_flight == 0 || segment_bytes > SEGMENT_BYTES_MAX {
            return Err(Error::invalid(format!(
                "log.writes_in_flight must be positive, log.segment_bytes at most {SEGMENT_BYTES_MAX}"
            )));
        }
        Ok(())
    }
}
