//! Damage to files at rest (F1 to F8, and rot), drawn from a seed and done to a stopped machine.

use std::fmt;
use std::sync::OnceLock;

use icecore_disk::clock::ManualClock;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Damage, Filler, Foreign, Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_engine::{Durability, Engine, Environment, Options};

use crate::batch::{BatchSpec, MutationSpec};
use crate::dice::Dice;
use crate::generate::settings;
use crate::model::{Model, Value};

/// Files with their contents.
pub(crate) type Files = Vec<(Name, Vec<u8>)>;

/// A machine at rest.
#[derive(Clone, Debug)]
pub(crate) struct Rest {
    pub(crate) files: Files,
    /// What was known then. A commit whose outcome was unknown may be in these files, although a
    /// later recovery has found that it is not there.
    pub(crate) model: Model,
}

/// What happens to the files of a store that nobody has open.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    /// F1.
    Missing(Name),
    /// F2: it ends here.
    Truncated(Name, u64),
    /// F3: so many bytes more.
    Extended(Name, u64, Filler),
    /// F4.
    Duplicated(Name, Name),
    /// F5.
    Swapped(Name, Name),
    /// F6: these files are what they were at the rest of this index.
    Older(Files, usize),
    /// F7: this file is that of another store.
    Stranger(Name, Vec<u8>),
    /// F8.
    Foreign(String, Foreign),
    /// E7 at rest: around this byte.
    Rotten(Name, u64, Damage),
}

impl Harm {
    /// A harm that `rules` allow, for these files; `None` if there is nothing to harm.
    pub(crate) fn draw(dice: &Dice, rules: Rules, files: &Files, older: &[Rest]) -> Option<Harm> {
        const KINDS: [(&str, usize); 9] = [
            ("missing", 2),
            ("truncated", 3),
            ("extended", 2),
            ("duplicated", 1),
            ("swapped", 2),
            ("older", 3),
            ("strangers", 2),
            ("foreign", 1),
            ("rotten", 6),
        ];
        let mut on = KINDS.to_vec();
        on.retain(|(name, _)| rules.is_on(name));
        let sum: usize = on.iter().map(|(_, weight)| weight).sum();
        if sum == 0 || files.is_empty() {
            return None;
        }
        let mut place = dice.below(sum);
        let kind = on.iter().find(|(_, weight)| {
            let here = place < *weight;
            place = place.saturating_sub(*weight);
            here
        });
        let (name, content) = &files[dice.below(files.len())];
        let (other, _) = &files[dice.below(files.len())];
        let len = content.len();
        match kind?.0 {
            "missing" => Some(Harm::Missing(*name)),
            "truncated" => (len > 0).then(|| Harm::Truncated(*name, cut(dice, len))),
            "extended" => {
                let bytes = 1 + dice.below(dice.pick(&[8, 600, 9_000])) as u64;
                let filler = dice.pick(&[Filler::Zeros, Filler::Garbage]);
                Some(Harm::Extended(*name, bytes, filler))
            }
            "duplicated" => Some(Harm::Duplicated(*name, double(dice, *name, *other))),
            "swapped" => (name != other).then_some(Harm::Swapped(*name, *other)),
            "older" => earlier(dice, files, older),
            "strangers" => {
                let others = strangers();
                let like: Vec<_> = others.iter().filter(|(n, _)| same_kind(*n, *name)).collect();
                let stranger = (!like.is_empty()).then(|| like[dice.below(like.len())]);
                stranger.map(|(_, content)| Harm::Stranger(*name, content.clone()))
            }
            "foreign" => Some(foreign(dice, *name)),
            _ => (len > 0).then(|| rot(dice, *name, len)),
        }
    }

    /// Does it to a stopped machine.
    pub(crate) fn strike(&self, disk: &SimDisk) -> std::io::Result<()> {
        match self {
            Harm::Missing(name) => disk.remove_file(*name),
            Harm::Truncated(name, bytes) => disk.truncate_file(*name, *bytes),
            Harm::Extended(name, bytes, filler) => disk.extend_file(*name, *bytes, *filler),
            Harm::Duplicated(from, to) => disk.duplicate_file(*from, *to),
            Harm::Swapped(one, other) => disk.swap_files(*one, *other),
            Harm::Older(files, _) => {
                disk.restore_older(files, |_| true);
                Ok(())
            }
            Harm::Stranger(name, content) => {
                disk.write_file(*name, content);
                Ok(())
            }
            Harm::Foreign(name, entry) => {
                disk.add_foreign_entry(name, entry.clone());
                Ok(())
            }
            Harm::Rotten(name, offset, damage) => disk.corrupt(*name, *offset, *damage),
        }
    }

    /// The table that it changes, if it is one.
    pub(crate) fn table(&self) -> Option<Name> {
        match self {
            Harm::Truncated(name, _)
            | Harm::Extended(name, _, _)
            | Harm::Stranger(name, _)
            | Harm::Rotten(name, _, _) => Some(*name).filter(|n| matches!(n, Name::Table(_))),
            _ => None,
        }
    }

    /// Whether a store that is intact otherwise can always tell that something is missing. It
    /// cannot when the end of its log or of its manifest is gone: that is what a power cut leaves
    /// of what nobody was promised, too.
    ///
    /// `end_of_log` is where the last write to the log began, in its file.
    pub(crate) fn is_provable(&self, end_of_log: Option<(Name, u64)>) -> bool {
        let is_tail = |name: &Name| matches!(name, Name::Wal(_) | Name::Manifest(_));
        match self {
            Harm::Missing(_) | Harm::Foreign(..) | Harm::Extended(..) => true,
            Harm::Truncated(name, _) => !is_tail(name),
            Harm::Duplicated(..) | Harm::Swapped(..) | Harm::Stranger(..) => true,
            Harm::Older(files, _) => !files.iter().any(|(name, _)| is_tail(name)),
            Harm::Rotten(name, offset, _) => match (name, end_of_log) {
                (Name::Manifest(_), _) => false,
                (Name::Wal(_), Some((end, start))) => *name != end || offset / 512 < start / 512,
                (Name::Wal(_), None) => false,
                _ => true,
            },
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Harm::Missing(name) => write!(f, "F1: {name} is missing"),
            Harm::Truncated(name, bytes) => write!(f, "F2: {name} ends at {bytes}"),
            Harm::Extended(name, bytes, filler) => {
                write!(f, "F3: {name} has {bytes} bytes more of {filler:?}")
            }
            Harm::Duplicated(from, to) => write!(f, "F4: {to} is a copy of {from}"),
            Harm::Swapped(one, other) => write!(f, "F5: {one} and {other} have changed places"),
            Harm::Older(files, _) => {
                let names: Vec<_> = files.iter().map(|(name, _)| name.to_string()).collect();
                write!(f, "F6: {} are what they were", names.join(", "))
            }
            Harm::Stranger(name, _) => write!(f, "F7: {name} is that of another store"),
            Harm::Foreign(name, entry) => write!(f, "F8: {name} is {entry:?}"),
            Harm::Rotten(name, offset, damage) => write!(f, "E7: {damage:?} at {offset} of {name}"),
        }
    }
}

/// Where a file is cut: anywhere, or close to its end, or at a sector.
fn cut(dice: &Dice, len: usize) -> u64 {
    let at = match dice.below(3) {
        0 => len - 1 - dice.below(len.min(40)),
        1 => dice.below(len) / 512 * 512,
        _ => dice.below(len),
    };
    at as u64
}

fn rot(dice: &Dice, name: Name, len: usize) -> Harm {
    let damage = match dice.below(6) {
        0 => Damage::ZeroSector,
        1 => Damage::RandomSector,
        2 => Damage::BadSector,
        3 => Damage::FlipBits(dice.pick(&[1, 2, 3, 8, 64])),
        _ => Damage::FlipBit(dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7])),
    };
    Harm::Rotten(name, dice.below(len) as u64, damage)
}

/// Another valid name of the same kind: free, or that of another file.
fn double(dice: &Dice, name: Name, other: Name) -> Name {
    if same_kind(name, other) && name != other && dice.one_in(2) {
        return other;
    }
    let further = 1 + dice.below(5) as u64;
    match name {
        Name::Manifest(n) => Name::Manifest(n + further),
        Name::Wal(n) => Name::Wal(n + further),
        Name::Table(n) => Name::Table(n + further),
        Name::Temp(n) => Name::Temp(n + further),
        Name::Current | Name::Lock => Name::Temp(further),
    }
}

/// One file as it was, or several.
fn earlier(dice: &Dice, files: &Files, older: &[Rest]) -> Option<Harm> {
    if older.is_empty() {
        return None;
    }
    let (rest, many) = (dice.below(older.len()), dice.one_in(2));
    let changed = |(name, content): &&(Name, Vec<u8>)| {
        files.iter().any(|(n, now)| n == name && now != content)
    };
    let mut changed: Files = older[rest].files.iter().filter(changed).cloned().collect();
    if changed.is_empty() {
        return None;
    }
    if !many {
        let one = changed.swap_remove(dice.below(changed.len()));
        changed = vec![one];
    }
    Some(Harm::Older(changed, rest))
}

fn foreign(dice: &Dice, name: Name) -> Harm {
    let entry = match dice.below(3) {
        0 => Foreign::Symlink,
        1 => Foreign::Directory,
        _ => Foreign::Fifo,
    };
    match dice.below(3) {
        0 => Harm::Foreign("letter.txt".to_owned(), Foreign::File(vec![7; 100])),
        1 => Harm::Foreign("0000000000-old".to_owned(), entry),
        _ => Harm::Foreign(name.to_string(), entry),
    }
}

fn same_kind(one: Name, other: Name) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// The files of another store, which is the same for all histories.
fn strangers() -> &'static Files {
    static STRANGERS: OnceLock<Files> = OnceLock::new();
    STRANGERS.get_or_init(|| {
        let disk = SimDisk::new(1, Rules::none());
        let environment = Environment {
            disk: std::sync::Arc::clone(&disk) as std::sync::Arc<dyn Disk>,
            clock: std::sync::Arc::new(ManualClock::at(1)),
            random: std::sync::Arc::new(SeededRandom::new(0x57a1)),
        };
        let options = Options { memtable_bytes: 1 << 10, ..settings(&Dice::new(1)) };
        let engine = Engine::open(environment, options).expect("nothing fails on this disk");
        for n in 0..40u8 {
            let value = Value { bytes: vec![n; 90], expires_at: None };
            let set = MutationSpec::Set { key: vec![0x10, b'a' + n % 12], value };
            let batch = BatchSpec { checks: Vec::new(), mutations: vec![set] };
            let outcome = batch.with(|batch| engine.commit_with(batch, Durability::Sync));
            assert!(outcome.is_ok(), "nothing fails on this disk");
            if n % 16 == 15 {
                engine.flush().expect("nothing fails on this disk");
            }
        }
        disk.snapshot_files()
    })
}
