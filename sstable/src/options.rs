//! How tables are written and read.

use std::sync::Arc;

use icecore_model::DatabaseId;

use crate::cache::BlockCache;

/// How a table is written. None of it must be known to read the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    /// A data block is closed before it grows beyond this many bytes, uncompressed. A block holds
    /// at least one entry, however large.
    pub block_bytes: usize,
    /// How data blocks are compressed.
    pub compression: Compression,
    /// Whether keys are found by an index from their hashes to their records, which is a filter, too.
    /// It takes about six bytes a key, and twelve of memory while the table is written.
    pub hash_index: bool,
    /// Bits of the filter for each key; 0 for no filter. A table with a hash index has none.
    pub filter_bits_per_key: u32,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions {
            block_bytes: 4096,
            compression: Compression::None,
            hash_index: true,
            filter_bits_per_key: 10,
        }
    }
}

/// How a block is compressed. A block that does not shrink is stored as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: the block is read in place.
    #[default]
    None,
    /// The LZ4 block format (Yann Collet).
    Lz4,
}

/// The identity of a table: a file of another store, or under another number, is not it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId {
    /// The store that it is born in.
    pub database: DatabaseId,
    /// The number of its file.
    pub number: u64,
}

/// How the bytes of a table reach memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadMode {
    /// The file is mapped; a block is verified the first time it is read after opening, then read
    /// in place. Damage that arrives in memory later is left for [`Table::verify`] to find; a page
    /// that cannot be read any more is an error of the read ([`Table::is_whole`]).
    ///
    /// A file that its file system does not let one map is read as with [`ReadMode::Read`].
    ///
    /// [`Table::verify`]: crate::Table::verify
    /// [`Table::is_whole`]: crate::Table::is_whole
    #[default]
    Mmap,
    /// The file is mapped, if it can be; every read copies a block, verifies the copy and uses the
    /// copy.
    MmapStrict,
    /// Blocks are read into memory and verified, then kept in the cache.
    Read,
}

/// What a table needs from its surroundings to be read.
#[derive(Clone, Debug)]
pub struct TableEnv {
    /// How bytes reach memory.
    pub read_mode: ReadMode,
    /// Shared by all tables.
    pub cache: Arc<BlockCache>,
    /// The stores whose tables count as ours: this one, and those it was copied from.
    pub accepted: Vec<DatabaseId>,
}
