//! Numbers and byte strings, one after the other, as deeds, pipes and recordings hold them.
//!
//! Reading never panics and never allocates more than there are bytes.

/// Appends what was written to it.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, n: u8) -> &mut Writer {
        self.bytes.push(n);
        self
    }

    pub(crate) fn u32(&mut self, n: u32) -> &mut Writer {
        self.bytes.extend_from_slice(&n.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, n: u64) -> &mut Writer {
        self.bytes.extend_from_slice(&n.to_le_bytes());
        self
    }

    /// The length comes first.
    pub(crate) fn string(&mut self, bytes: &[u8]) -> &mut Writer {
        self.u32(u32::try_from(bytes.len()).expect("no value is that long"));
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes from the front; every answer is `None` once something was missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[n]| n)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        let (first, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_cut_is_missing() {
        let mut writer = Writer::default();
        writer.u8(7).u32(70_000).u64(1 << 40).string(b"abc");
        let bytes = writer.into_bytes();
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let all = (reader.u8()?, reader.u32()?, reader.u64()?, reader.string()?.to_vec());
            Some(all).filter(|_| reader.is_at_end())
        };
        assert_eq!(read(&bytes), Some((7, 70_000, 1 << 40, b"abc".to_vec())));
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len]), None, "{len}");
        }
    }
}
