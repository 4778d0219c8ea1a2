//! Which rules of the fault model a world obeys, each one a switch, so that a failure can be
//! narrowed down rule by rule.

/// How often something happens on average: once in so many times, or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(u32);

impl Chance {
    /// It does not happen, and costs no random number.
    pub const NEVER: Chance = Chance(0);

    /// Once in `n` times on average; `one_in(0)` is [`Chance::NEVER`].
    pub const fn one_in(n: u32) -> Chance {
        Chance(n)
    }

    /// The mean distance between two times; 0 for never.
    pub(super) fn every(self) -> u32 {
        self.0
    }
}

/// The switches of the fault model. The numbers are those of the header of [`super`].
///
/// A crash rule that is off spares its kind of item in a [`super::Crash::Random`]: what was pending
/// survives as if it had been synced. The other kinds of crash name the items themselves and
/// obey only `fresh` here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// C1: each unsynced sector survives, or not, by itself.
    pub sectors: bool,
    /// C2: one sector of a crash may be cut at any byte.
    pub torn: bool,
    /// C3: unsynced changes of a length survive, or not, independently of the data.
    pub lengths: bool,
    /// C4: a sector that was never durable may show garbage or a removed file.
    pub fresh: bool,
    /// C5: each unsynced operation on a name survives, or not, by itself, in any order.
    pub names: bool,
    /// C5, second half: a rename that survives may leave the old name behind.
    pub alice: bool,
    /// C7: the operation during which the machine stops may have happened in part. If it is off,
    /// the machine stops before the operation.
    pub inside: bool,
    /// C9: a write in flight may have reached the disk in part. If it is off, nothing of it has.
    pub flights: bool,
    /// E1: a write stores a part and reports that much.
    pub short_writes: Chance,
    /// E1 and E7: a read or write is interrupted.
    pub interruptions: Chance,
    /// E1: a write fails after storing any part of it; `set_len` or `allocate` fails.
    pub write_errors: Chance,
    /// E3: a sync or durable write fails, and some sectors are never written after all.
    pub sync_errors: Chance,
    /// E7: a read fails, and succeeds when tried again.
    pub read_errors: Chance,
    /// E7: a sector becomes unreadable until it is written again.
    pub bad_sectors: Chance,
    /// E7: a read gives fewer bytes than there are.
    pub short_reads: Chance,
    /// E7: one bit of what a read gives is wrong; the disk has it right.
    pub bit_flips: Chance,
    /// E7: one bit goes wrong on the disk.
    pub bit_rot: Chance,
    /// E10: create, open, rename, remove, link, list, sync of the directory, or map fails.
    pub metadata_errors: Chance,
}

impl Rules {
    /// A disk without faults: a crash keeps everything.
    pub fn none() -> Rules {
        Rules::default()
    }

    /// A power cut on a POSIX file system: C1, C3, C4, C5, C7, C9, and no errors.
    pub fn power_cut() -> Rules {
        Rules {
            sectors: true,
            lengths: true,
            fresh: true,
            names: true,
            inside: true,
            flights: true,
            ..Rules::none()
        }
    }

    /// [`Rules::power_cut`] on a disk that tears sectors: C2.
    pub fn torn() -> Rules {
        Rules { torn: true, ..Rules::power_cut() }
    }

    /// [`Rules::power_cut`] on a file system without atomic renames (named after Pillai et al.,
    /// "All file systems are not created equal", 2014).
    pub fn alice() -> Rules {
        Rules { alice: true, ..Rules::power_cut() }
    }

    /// A disk that only asks for patience: short reads and writes, and interruptions. A correct
    /// store does not notice.
    pub fn impatient() -> Rules {
        Rules {
            short_writes: Chance::one_in(4),
            short_reads: Chance::one_in(4),
            interruptions: Chance::one_in(4),
            ..Rules::power_cut()
        }
    }

    /// Everything at once, errors included.
    pub fn all() -> Rules {
        Rules {
            torn: true,
            alice: true,
            write_errors: Chance::one_in(200),
            sync_errors: Chance::one_in(200),
            read_errors: Chance::one_in(200),
            bad_sectors: Chance::one_in(2_000),
            bit_flips: Chance::one_in(2_000),
            bit_rot: Chance::one_in(2_000),
            metadata_errors: Chance::one_in(200),
            ..Rules::impatient()
        }
    }
}
