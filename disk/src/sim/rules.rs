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

/// Declares the switches: one list for the fields, their names, and the questions about them.
macro_rules! switches {
    ($($(#[$doc:meta])* $name:ident: $kind:ty,)*) => {
        /// The switches of the fault model. The numbers are those of the header of [`super`].
        ///
        /// A crash rule that is off spares its kind of item in a [`super::Crash::Random`]: what was
        /// pending survives as if it had been synced. The other kinds of crash name the items
        /// themselves and obey only `fresh` here.
        ///
        /// Kills, nested stops, damage at rest, clocks and locks are nothing that a disk does by
        /// itself. It does those when it is asked to; whoever draws a history asks only for what
        /// is switched on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Rules {
            $($(#[$doc])* pub $name: $kind,)*
        }

        impl Rules {
            /// The names of all switches, which are those of the fields.
            pub const SWITCHES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Nothing ever happens.
            const OFF: Rules = Rules { $($name: <$kind as Switch>::OFF),* };

            /// Whether the switch of this name is on.
            ///
            /// # Panics
            /// When no switch has this name.
            pub fn is_on(&self, name: &str) -> bool {
                match name {
                    $(stringify!($name) => self.$name != <$kind as Switch>::OFF,)*
                    _ => panic!("no rule is called {name}"),
                }
            }

            /// The same rules with one switched off.
            ///
            /// # Panics
            /// When no switch has this name.
            #[must_use]
            pub fn without(mut self, name: &str) -> Rules {
                match name {
                    $(stringify!($name) => self.$name = <$kind as Switch>::OFF,)*
                    _ => panic!("no rule is called {name}"),
                }
                self
            }

            /// The same rules without what the disk does by chance: no errors and no lies, but all
            /// that a crash may do.
            #[must_use]
            pub fn calm(self) -> Rules {
                Rules { $($name: self.$name.calm()),* }
            }
        }
    };
}

/// What a field of [`Rules`] can be.
trait Switch {
    /// The position in which nothing happens.
    const OFF: Self;
    /// The position in which nothing happens by chance.
    fn calm(self) -> Self;
}

impl Switch for bool {
    const OFF: bool = false;

    fn calm(self) -> bool {
        self
    }
}

impl Switch for Chance {
    const OFF: Chance = Chance::NEVER;

    fn calm(self) -> Chance {
        Chance::NEVER
    }
}

switches! {
    /// C1: each unsynced sector survives, or not, by itself.
    sectors: bool,
    /// C2: one sector of a crash may be cut at any byte.
    torn: bool,
    /// C3: unsynced changes of a length survive, or not, independently of the data.
    lengths: bool,
    /// C4: a sector that was never durable may show garbage or a removed file.
    fresh: bool,
    /// C5: each unsynced operation on a name survives, or not, by itself, in any order.
    names: bool,
    /// C5, second half: a rename that survives may leave the old name behind.
    alice: bool,
    /// C6: when the machine stops inside a sync, all that the sync covers is still pending. If it
    /// is off, the sync is done first.
    syncs: bool,
    /// C7: the operation during which the machine stops may have happened in part. If it is off,
    /// the machine stops before the operation.
    inside: bool,
    /// C8: recoveries are stopped, too.
    nested: bool,
    /// C9: a write in flight may have reached the disk in part. If it is off, nothing of it has.
    flights: bool,
    /// K1: some stops are those of the process alone.
    kills: bool,
    /// E1: a write stores a part and reports that much.
    short_writes: Chance,
    /// E1 and E7: a read or write is interrupted.
    interruptions: Chance,
    /// E1: a write fails after storing any part of it; `set_len` or `allocate` fails.
    write_errors: Chance,
    /// E2: the bound of [`super::SimDisk::set_space`] holds.
    space: bool,
    /// E2: a name costs space, too, and so does changing names and lengths, for a moment.
    entries: bool,
    /// E2: blocks are allocated late, so that it is the sync that finds no room.
    late_space: bool,
    /// E3: a sync or durable write fails, and some sectors are never written after all.
    sync_errors: Chance,
    /// E4: what a failing sync drops, reads no longer see, either.
    sync_reverts: bool,
    /// E5: a sync that fails says so only the next time.
    late_sync_errors: Chance,
    /// E6: a sync that fails says so only to other handles, or to nobody.
    stray_sync_errors: Chance,
    /// E7: a read fails, and succeeds when tried again.
    read_errors: Chance,
    /// E7: a sector becomes unreadable until it is written again.
    bad_sectors: Chance,
    /// E7: a read gives fewer bytes than there are.
    short_reads: Chance,
    /// E7: one bit of what a read gives is wrong; the disk has it right.
    bit_flips: Chance,
    /// E7: one bit goes wrong on the disk.
    bit_rot: Chance,
    /// E7: a mapping shows other bits from the second look at a page on.
    mutating_maps: Chance,
    /// E8: a write lands somewhere else.
    misdirected_writes: Chance,
    /// E8: a read gives what lies somewhere else.
    misdirected_reads: Chance,
    /// E9: a sync or durable write says that all is well, and nothing has become durable.
    lying_syncs: Chance,
    /// E10: create, open, rename, remove, link, list, sync of the directory, or map fails.
    metadata_errors: Chance,
    /// E10: from one operation on, the file system is read-only for the rest of the life.
    remounts: Chance,
    /// F1: between two lives, a file goes missing.
    missing: bool,
    /// F2: it is cut at any byte.
    truncated: bool,
    /// F3: it goes on with zeros or noise.
    extended: bool,
    /// F4: another name has the same content.
    duplicated: bool,
    /// F5: two files change places.
    swapped: bool,
    /// F6: an older version of a file is put back.
    older: bool,
    /// F7: a file of another store takes the place of one.
    strangers: bool,
    /// E7: between two lives, bits or sectors go wrong, or cannot be read any more.
    rotten: bool,
    /// F8: there are entries that no store makes.
    foreign: bool,
    /// T1: the wall clock jumps by years, in both directions.
    clocks: bool,
    /// L1: somebody else tries to own the store.
    locks: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::none()
    }
}

impl Rules {
    /// A disk without faults, which may be full: a crash keeps everything.
    pub fn none() -> Rules {
        Rules { space: true, ..Rules::OFF }
    }

    /// Power cuts and kills on a POSIX file system: C1, C3 to C9, K1, T1 and L1, and no errors.
    pub fn power_cut() -> Rules {
        Rules {
            sectors: true,
            lengths: true,
            fresh: true,
            names: true,
            syncs: true,
            inside: true,
            nested: true,
            flights: true,
            kills: true,
            clocks: true,
            locks: true,
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

    /// Everything that a disk does by itself at once, errors and lies included. Only a
    /// file system that becomes read-only is left out: nothing would happen after that.
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
            sync_reverts: true,
            late_space: true,
            entries: true,
            late_sync_errors: Chance::one_in(2_000),
            stray_sync_errors: Chance::one_in(2_000),
            lying_syncs: Chance::one_in(2_000),
            mutating_maps: Chance::one_in(2_000),
            misdirected_writes: Chance::one_in(2_000),
            misdirected_reads: Chance::one_in(2_000),
            ..Rules::impatient()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_a_name_and_can_be_turned_off() {
        let rules = Rules { sync_errors: Chance::one_in(3), ..Rules::alice() };
        for name in Rules::SWITCHES {
            assert!(!rules.without(name).is_on(name), "{name}");
            let others = Rules::SWITCHES.iter().filter(|other| *other != name);
            others.for_each(|other| {
                assert_eq!(rules.without(name).is_on(other), rules.is_on(other), "{name}, {other}");
            });
        }
        assert!(rules.is_on("sync_errors") && rules.is_on("alice") && !rules.is_on("torn"));
    }

    #[test]
    fn calm_rules_keep_what_a_crash_does_and_drop_every_error() {
        let calm = Rules::all().calm();
        assert!(calm.is_on("alice") && calm.is_on("torn") && !calm.is_on("sync_errors"));
    }
}
