//! The versions of one key, newest first.
//!
//! Besides the link to the next older version each one has a link that jumps over many, so placed
//! that the newest version at or below any stamp is found in a logarithmic number of steps (Eugene
//! Myers, "An applicative random-access stack", 1983): a snapshot that is a hundred thousand
//! commits behind a hot counter reads as fast as any other.
//!
//! 1. Stamps fall strictly along a chain; only its newest end grows.
//! 2. Cutting a chain behind a version clears one link. A jump may still lead past the cut; it is
//!    taken only towards a version that is too new for its reader, and those lie before the cut.

use icecore_model::{Change, Timestamp, Versionstamp};

use crate::arena::{Arena, Bump};
use crate::record::{Link, Ref, Shape, place};

const PUT: u32 = 0;
/// The value is followed by eight more bytes: when it expires, in ms, little-endian.
const PUT_EXPIRING: u32 = 1;
const DELETE: u32 = 2;

/// The bytes of the moment behind a value that expires.
const EXPIRY_BYTES: usize = 8;

/// The header of one version; its bytes are the value.
pub(crate) struct Version {
    older: Link<Version>,
    jump: Link<Version>,
    stamp: Versionstamp,
    /// How many versions of the key were made before this one.
    depth: u32,
    kind: u32,
}

impl Shape for Version {
    type Target = Version;
}

pub(crate) type VersionRef<'a> = Ref<'a, Version>;

/// Makes the version that goes before `older`.
pub(crate) fn make<'a>(
    bump: &mut Bump,
    arena: &'a Arena,
    older: Option<VersionRef<'_>>,
    stamp: Versionstamp,
    change: Change<'_>,
) -> VersionRef<'a> {
    let header = |kind| Version {
        older: Link::to(older),
        jump: Link::to(older.map(jump_over)),
        stamp,
        depth: older.map_or(0, |older| older.depth + 1),
        kind,
    };
    match change {
        Change::Put { value, expires_at: None } => place(bump, arena, header(PUT), 0, &[value]),
        Change::Put { value, expires_at: Some(moment) } => {
            let expiry = moment.ms().to_le_bytes();
            place(bump, arena, header(PUT_EXPIRING), 0, &[value, &expiry])
        }
        Change::Delete => place(bump, arena, header(DELETE), 0, &[]),
    }
}

/// Where the version directly before `older` jumps to: over two equal jumps if `older` starts
/// such a pair, otherwise to `older` itself.
fn jump_over(older: VersionRef<'_>) -> VersionRef<'_> {
    let first = jump_or_self(older);
    let second = jump_or_self(first);
    if older.depth - first.depth == first.depth - second.depth { second } else { older }
}

fn jump_or_self(version: VersionRef<'_>) -> VersionRef<'_> {
    version.get().jump.load().unwrap_or(version)
}

/// The newest version at or below `at`, from `newest` on.
#[inline]
pub(crate) fn at_or_below<'a>(newest: VersionRef<'a>, at: Versionstamp) -> Option<VersionRef<'a>> {
    let mut version = newest;
    while version.stamp > at {
        version = match version.get().jump.load() {
            Some(far) if far.stamp > at => far,
            _ => version.older()?,
        };
    }
    Some(version)
}

/// Cuts off what no reader at or above `floor` reaches, and returns how many versions that was.
pub(crate) fn cut(newest: VersionRef<'_>, floor: Versionstamp) -> usize {
    let Some(last) = at_or_below(newest, floor) else { return 0 };
    let first = last.older();
    if first.is_some() {
        last.older.store(None);
    }
    std::iter::successors(first, |version| version.older()).count()
}

impl<'a> VersionRef<'a> {
    #[inline]
    pub(crate) fn older(self) -> Option<VersionRef<'a>> {
        self.get().older.load()
    }

    pub(crate) fn stamp(self) -> Versionstamp {
        self.stamp
    }

    /// The ends of the value, with what is stored behind it.
    #[inline]
    pub(crate) fn first_and_last(self) -> Option<(u8, u8)> {
        let bytes = self.bytes();
        Some((*bytes.first()?, *bytes.last()?))
    }

    #[inline]
    pub(crate) fn change(self) -> Change<'a> {
        let bytes = self.bytes();
        match self.kind {
            PUT => Change::Put { value: bytes, expires_at: None },
            DELETE => Change::Delete,
            _ => {
                let (value, expiry) = bytes
                    .split_last_chunk::<EXPIRY_BYTES>()
                    .expect("an expiring value is made with its expiry");
                let expires_at = Timestamp::from_ms(u64::from_le_bytes(*expiry));
                Change::Put { value, expires_at }
            }
        }
    }
}
