//! Records in an arena, and the links between them: all that is unsafe about the ordered
//! structure, so that the rest of it is safe code.
//!
//! A record is a header, then a run of links, then a run of bytes, in one piece of an [`Arena`].
//!
//! 1. A record is complete before a [`Link`] to it is stored, and apart from the atomics in it, it
//!    is never written again. Stores release and loads acquire, so whoever follows a link sees a
//!    complete record.
//! 2. A link lies in the same arena as its target, or in something that keeps this arena alive:
//!    the memtable, its inserter, a cursor. Handles of two memtables never meet in this crate.
//! 3. No record is freed before its arena. So a [`Ref`] found through a borrowed link is good for
//!    as long as the borrow.

#![expect(unsafe_code, reason = "headers and their runs lie in raw memory of the arena")]

use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::ptr::{NonNull, null_mut};

use bytes::Bytes;

use crate::arena::{Arena, Bump, PIECE_ALIGN};
use icecore_sync::fine::{AtomicPtr, Birth, Ordering};

/// The header of a kind of record.
pub(crate) trait Shape: Send + Sync {
    /// What the run of links leads to.
    type Target: Shape;
}

/// A header with the lengths of the runs behind it.
#[repr(C)]
pub(crate) struct Record<H: Shape> {
    header: H,
    birth: Birth,
    links: u32,
    bytes: u32,
    /// The run of links follows: this keeps the header's size a multiple of their alignment.
    run: [Link<H::Target>; 0],
}

/// A record that lives at least for `'a`.
pub(crate) struct Ref<'a, H: Shape> {
    /// With the provenance of the whole chunk: the runs lie behind the header.
    at: NonNull<Record<H>>,
    life: PhantomData<&'a Record<H>>,
}

impl<H: Shape> Clone for Ref<'_, H> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: Shape> Copy for Ref<'_, H> {}

impl<H: Shape> PartialEq for Ref<'_, H> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

// SAFETY: a Ref is a shared reference to a header, links (atomics) and bytes, all of them Sync.
unsafe impl<H: Shape> Send for Ref<'_, H> {}
// SAFETY: as above.
unsafe impl<H: Shape> Sync for Ref<'_, H> {}

impl<H: Shape> Deref for Ref<'_, H> {
    type Target = H;

    #[inline(always)]
    fn deref(&self) -> &H {
        self.get()
    }
}

impl<'a, H: Shape> Ref<'a, H> {
    /// Where the run of bytes starts, from the start of the record.
    const fn bytes_at(links: usize) -> usize {
        size_of::<Record<H>>() + links * size_of::<Link<H::Target>>()
    }

    #[inline(always)]
    fn record(self) -> &'a Record<H> {
        // SAFETY: complete and alive for 'a, by invariants 1 and 3; only atomics change.
        unsafe { self.at.as_ref() }
    }

    /// The header.
    #[inline(always)]
    pub(crate) fn get(self) -> &'a H {
        &self.record().header
    }

    /// The run of links.
    #[inline(always)]
    pub(crate) fn links(self) -> &'a [Link<H::Target>] {
        let count = self.record().links as usize;
        // SAFETY: `place` put `count` links directly behind the header, aligned because the size
        // of a Record is a multiple of its alignment; they are alive for 'a.
        unsafe { std::slice::from_raw_parts(self.at.add(1).cast().as_ptr(), count) }
    }

    /// The run of bytes.
    #[inline(always)]
    pub(crate) fn bytes(self) -> &'a [u8] {
        let record = self.record();
        let start = Self::bytes_at(record.links as usize);
        // SAFETY: `place` put this many bytes behind the links, and they are alive for 'a.
        unsafe {
            let start = self.at.cast::<u8>().add(start);
            std::slice::from_raw_parts(start.as_ptr(), record.bytes as usize)
        }
    }

    /// A part of the run of bytes that keeps its chunk alive by itself. `arena` is the record's.
    pub(crate) fn pin(self, arena: &Arena, part: Range<usize>) -> Bytes {
        assert!(part.start <= part.end && part.end <= self.bytes().len());
        let start = Self::bytes_at(self.record().links as usize);
        // SAFETY: the record is a piece of the arena, by invariant 2; the part lies within its
        // bytes, by the assertion; they are initialised and never written again, by invariant 1.
        unsafe { arena.pin(self.at.cast(), start + part.start..start + part.end) }
    }
}

/// Makes a record of `header`, `links` empty links, and the concatenated `parts`.
pub(crate) fn place<'a, H: Shape>(
    bump: &mut Bump,
    arena: &'a Arena,
    header: H,
    links: usize,
    parts: &[&[u8]],
) -> Ref<'a, H> {
    const { assert!(align_of::<Record<H>>() <= PIECE_ALIGN) };
    #[cfg(not(loom))]
    const {
        assert!(!std::mem::needs_drop::<Record<H>>(), "records are never dropped")
    };
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let bytes_at = Ref::<H>::bytes_at(links);
    let at = bump.cut(arena, bytes_at + bytes).cast::<Record<H>>();
    let record = Record {
        header,
        birth: Birth::here(),
        links: u32::try_from(links).expect("a run of links is far shorter than 2^32"),
        bytes: u32::try_from(bytes).expect("keys and values are far shorter than 2^32"),
        run: [],
    };
    // SAFETY: the piece is aligned, as large as header, links and parts together, and nobody else
    // refers to it; each write below stays within its own part of it.
    unsafe {
        at.write(record);
        let run = at.add(1).cast::<Link<H::Target>>();
        for i in 0..links {
            run.add(i).write(Link::empty());
        }
        let mut end = at.cast::<u8>().add(bytes_at);
        for part in parts {
            end.copy_from_nonoverlapping(NonNull::from(*part).cast(), part.len());
            end = end.add(part.len());
        }
    }
    Ref { at, life: PhantomData }
}

/// The largest tag of a link.
pub(crate) const TAG_MAX: usize = PIECE_ALIGN - 1;

/// Leads to a record or nowhere; can be changed while others follow it. It may carry a tag of up
/// to [`TAG_MAX`] in the low bits that the alignment of records leaves free.
pub(crate) struct Link<H: Shape>(AtomicPtr<Record<H>>);

impl<H: Shape> Link<H> {
    /// Leads nowhere.
    pub(crate) fn empty() -> Link<H> {
        Link(AtomicPtr::new(null_mut()))
    }

    /// Leads to `target`.
    pub(crate) fn to(target: Option<Ref<'_, H>>) -> Link<H> {
        Link(AtomicPtr::new(target.map_or(null_mut(), |target| target.at.as_ptr())))
    }

    /// Whether it leads nowhere.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// The target of a link without a tag.
    #[inline(always)]
    pub(crate) fn load(&self) -> Option<Ref<'_, H>> {
        let at = NonNull::new(self.0.load(Ordering::Acquire))?;
        let target = Ref { at, life: PhantomData };
        target.record().birth.check();
        Some(target)
    }

    /// The target if the link's tag is `tag`; `Err(true)` if it is another one, `Err(false)` if
    /// the link leads nowhere. A target with another tag is not touched.
    #[inline(always)]
    pub(crate) fn load_tagged(&self, tag: usize) -> Result<Ref<'_, H>, bool> {
        let at = self.0.load(Ordering::Acquire);
        let at = NonNull::new(at).ok_or(false)?;
        if at.addr().get() & TAG_MAX != tag {
            return Err(true);
        }
        let at = at.as_ptr().map_addr(|address| address & !TAG_MAX);
        let target = Ref { at: NonNull::new(at).ok_or(false)?, life: PhantomData };
        target.record().birth.check();
        Ok(target)
    }

    /// Publishes `target` to whoever loads this link from then on.
    #[inline(always)]
    pub(crate) fn store(&self, target: Option<Ref<'_, H>>) {
        let at = target.map_or(null_mut(), |target| target.at.as_ptr());
        self.0.store(at, Ordering::Release);
    }

    /// Publishes `target` with a tag of at most [`TAG_MAX`].
    pub(crate) fn store_tagged(&self, target: Ref<'_, H>, tag: usize) {
        assert!(tag <= TAG_MAX);
        self.0.store(target.at.as_ptr().map_addr(|address| address | tag), Ordering::Release);
    }

    /// The target whatever its tag.
    pub(crate) fn load_untagged(&self) -> Option<Ref<'_, H>> {
        let at = self.0.load(Ordering::Acquire).map_addr(|address| address & !TAG_MAX);
        let target = Ref { at: NonNull::new(at)?, life: PhantomData };
        target.record().birth.check();
        Some(target)
    }
}
