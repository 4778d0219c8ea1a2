//! What is done to the files of a store.

use std::fmt;
use std::str::FromStr;

use icecore_disk::Name;
use icecore_disk::random::SeededRandom;

use super::forge::forge;
use super::layout::Layout;
use crate::golden::folder::archive::Files;

/// The unit of damage.
pub(super) const SECTOR: usize = 512;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Zeros in the place of the sector, or of a part of it.
    Zeros,
    /// Noise in the place of the sector, or of a part of it.
    Noise,
    /// One bit of the sector flips.
    Bit,
    /// The file ends in the sector.
    Cut,
    /// Another sector of the same file in the place of this one.
    Misplaced,
    /// A sector of a file of another store in the place of this one.
    Strange,
    /// The disk does not give the sector.
    Unreadable,
    /// The file is not there.
    Missing,
    /// The file goes on with zeros.
    LongerByZeros,
    /// The file goes on with noise.
    LongerByNoise,
    /// There is a second one under a name that was free.
    Twice,
    /// The file and another of the same kind have changed places.
    Swapped,
    /// The file as it was before its last frames were written.
    Older,
    /// A file of another store in its place.
    Foreign,
    /// A lie under a checksum that agrees; see [`super::forge`].
    Forged,
    /// The bit of this number in the file flips; the number is told as that of the sector.
    ThisBit,
}

/// The kinds that concern one sector.
pub(super) const OF_SECTORS: [Kind; 7] = [
    Kind::Zeros,
    Kind::Noise,
    Kind::Bit,
    Kind::Cut,
    Kind::Misplaced,
    Kind::Strange,
    Kind::Unreadable,
];

/// The kinds that concern a file as a whole.
pub(super) const OF_FILES: [Kind; 7] = [
    Kind::Missing,
    Kind::LongerByZeros,
    Kind::LongerByNoise,
    Kind::Twice,
    Kind::Swapped,
    Kind::Older,
    Kind::Foreign,
];

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{self:?}");
        f.write_str(&name)
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let mut all = OF_SECTORS.into_iter().chain(OF_FILES).chain([Kind::Forged, Kind::ThisBit]);
        all.find(|kind| kind.to_string() == text).ok_or_else(|| format!("{text:?} is no kind"))
    }
}

/// One damage to one store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Harm {
    pub(super) file: Name,
    pub(super) sector: usize,
    pub(super) kind: Kind,
    /// What the dice of this damage begin with. With 0 a sector is damaged in whole.
    pub(super) variant: u64,
}

/// A file that is now as it says, or not there.
pub(super) type Change = (Name, Option<Vec<u8>>);

impl Harm {
    /// What becomes of the files; nothing if this damage cannot be done to them. `strange` are the
    /// files of another store.
    pub(super) fn changes(&self, files: &Files, layout: &Layout, strange: &Files) -> Vec<Change> {
        let dice = SeededRandom::new(self.variant);
        let Some((_, bytes)) = files.iter().find(|(name, _)| *name == self.file) else {
            return Vec::new();
        };
        let whole = |bytes: Vec<u8>| vec![(self.file, Some(bytes))];
        let filler = |zeros: bool| {
            let longer = 1 + below(&dice, 2 * SECTOR);
            let byte = |_| if zeros { 0 } else { dice.next().to_le_bytes()[0] };
            whole(bytes.iter().copied().chain((0..longer).map(byte)).collect())
        };
        match self.kind {
            Kind::Missing => vec![(self.file, None)],
            Kind::ThisBit => {
                let mut flipped = bytes.clone();
                if let Some(byte) = flipped.get_mut(self.sector / 8) {
                    *byte ^= 1 << (self.sector % 8);
                }
                whole(flipped)
            }
            Kind::Forged => {
                let forged = forge(self.file, bytes, layout.frames(self.file), &dice);
                forged.map(whole).unwrap_or_default()
            }
            Kind::LongerByZeros => filler(true),
            Kind::LongerByNoise => filler(false),
            Kind::Twice => {
                let taken = |name: Name| files.iter().any(|(other, _)| *other == name);
                let free = (1..).map(|step| shifted(self.file, step)).find(|n| !taken(*n));
                let twin = free.filter(|twin| *twin != self.file);
                twin.map(|twin| (twin, Some(bytes.clone()))).into_iter().collect()
            }
            Kind::Swapped => {
                let like = |name: &Name| *name != self.file && same_kind(*name, self.file);
                let others: Vec<_> = files.iter().filter(|(name, _)| like(name)).collect();
                if others.is_empty() {
                    return Vec::new();
                }
                let (name, other) = others[below(&dice, others.len())];
                vec![(self.file, Some(other.clone())), (*name, Some(bytes.clone()))]
            }
            Kind::Older => {
                let frames = layout.frames(self.file);
                if frames.is_empty() {
                    return Vec::new();
                }
                let mut older = bytes.clone();
                older[frames[below(&dice, frames.len())].start..].fill(0);
                whole(older)
            }
            Kind::Foreign => {
                let like: Vec<_> =
                    strange.iter().filter(|(name, _)| same_kind(*name, self.file)).collect();
                if like.is_empty() {
                    return Vec::new();
                }
                whole(like[below(&dice, like.len())].1.clone())
            }
            _ => self.in_sector(bytes, strange, &dice).map(whole).unwrap_or_default(),
        }
    }

    fn in_sector(&self, bytes: &[u8], strange: &Files, dice: &SeededRandom) -> Option<Vec<u8>> {
        let start = self.sector * SECTOR;
        let end = bytes.len().min(start + SECTOR);
        if start >= end {
            return None;
        }
        let mut out = bytes.to_vec();
        // A part of the sector, or all of it.
        let first = start + if self.variant == 0 { 0 } else { below(dice, end - start) };
        let last = if self.variant == 0 { end } else { first + 1 + below(dice, end - first) };
        let mut put = |other: &[u8]| {
            for (place, byte) in out[start..end].iter_mut().zip(other) {
                *place = *byte;
            }
        };
        match self.kind {
            // What stands there now is of no account.
            Kind::Unreadable => out[start..end].iter_mut().for_each(|byte| *byte = !*byte),
            Kind::Zeros => out[first..last].fill(0),
            Kind::Noise => out[first..last].fill_with(|| dice.next().to_le_bytes()[0]),
            Kind::Bit => out[start + below(dice, end - start)] ^= 1 << below(dice, 8),
            Kind::Cut => out.truncate(first),
            Kind::Misplaced => {
                // Any place: a sector of a table need not begin on a boundary.
                let from = below(dice, bytes.len());
                put(&bytes[from..]);
            }
            _ => {
                let (_, other) = &strange[below(dice, strange.len())];
                put(other.get(start..).filter(|rest| !rest.is_empty()).unwrap_or(other));
            }
        }
        Some(out)
    }
}

fn same_kind(a: Name, b: Name) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

fn shifted(name: Name, step: u64) -> Name {
    match name {
        Name::Manifest(n) => Name::Manifest(n + step),
        Name::Wal(n) => Name::Wal(n + step),
        Name::Table(n) => Name::Table(n + step),
        Name::Temp(n) => Name::Temp(n + step),
        Name::Lock | Name::Current => Name::Temp(step),
    }
}

fn below(dice: &SeededRandom, bound: usize) -> usize {
    usize::try_from(dice.below(bound as u64)).expect("it is below a usize")
}
