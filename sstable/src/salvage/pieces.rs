//! The entries of a damaged table's blocks, one after the other.

use bytes::Bytes;
use icecore_model::{Entry, Malformed};

use crate::block::{DataBlock, Raw};
use crate::blocks::read_block;
use crate::error::Error;
use crate::format::{Handle, Kind, Seal};
use crate::source::Source;

/// Calls `see` with every entry of a block.
pub(super) fn walk(
    body: &[u8],
    mut see: impl FnMut(&Entry<'_>) -> Result<(), &'static str>,
) -> Result<(), Malformed> {
    let count = DataBlock::new(body)?.shape().count;
    let mut key = Vec::new();
    for index in 0..count {
        let raw = read(body, index, &mut key)?;
        let entry = Entry { key: &key, stamp: raw.stamp, change: raw.change(body) };
        see(&entry).map_err(|what| Malformed { what, offset: raw.value_range().start })?;
    }
    Ok(())
}

/// The entry of this number, whose key goes into `key`.
fn read(body: &[u8], index: usize, key: &mut Vec<u8>) -> Result<Raw, Malformed> {
    let block = DataBlock::new(body)?;
    let raw = block.entry(index)?;
    key.clear();
    key.extend_from_slice(block.prefix());
    key.extend_from_slice(raw.rest(body));
    if key.is_empty() {
        return Err(Malformed { what: "an empty key", offset: raw.value_range().start });
    }
    Ok(raw)
}

/// A place among the entries that were found.
#[derive(Debug)]
pub struct Pieces {
    source: Source,
    /// Not known only where no block was found.
    seal: Option<Seal>,
    blocks: Vec<Handle>,
    next: usize,
    block: Bytes,
    /// The number in the block of the entry that comes next.
    at: usize,
    here: Option<Raw>,
    key: Vec<u8>,
}

impl Pieces {
    pub(super) fn new(source: Source, seal: Option<Seal>, blocks: Vec<Handle>) -> Pieces {
        let (block, key) = (Bytes::new(), Vec::new());
        Pieces { source, seal, blocks, next: 0, block, at: 0, here: None, key }
    }

    /// To the next entry; from before the first to the first.
    ///
    /// # Errors
    /// When a block that could be read before cannot be read any more.
    #[expect(clippy::should_implement_trait, reason = "the entry is lent, which Iterator cannot")]
    pub fn next(&mut self) -> Result<(), Error> {
        self.here = None;
        let base = |pieces: &Pieces| pieces.blocks[..pieces.next].last().map_or(0, |b| b.offset);
        loop {
            if !self.block.is_empty() {
                let malformed = Error::malformed(self.source.file, base(self));
                let count = DataBlock::new(&self.block).map_err(malformed)?.shape().count;
                if self.at < count {
                    let malformed = Error::malformed(self.source.file, base(self));
                    let raw = read(&self.block, self.at, &mut self.key).map_err(malformed)?;
                    (self.here, self.at) = (Some(raw), self.at + 1);
                    return Ok(());
                }
            }
            let (Some(handle), Some(seal)) = (self.blocks.get(self.next), &self.seal) else {
                self.block = Bytes::new();
                return Ok(());
            };
            self.block = read_block(&self.source, seal, *handle, Kind::Data)?.0;
            (self.next, self.at) = (self.next + 1, 0);
        }
    }

    /// The entry here; `None` before the first one and after the last.
    pub fn entry(&self) -> Option<Entry<'_>> {
        let raw = self.here.as_ref()?;
        Some(Entry { key: &self.key, stamp: raw.stamp, change: raw.change(&self.block) })
    }
}
