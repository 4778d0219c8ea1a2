//! What survives when the machine stops.

use std::sync::Arc;

use super::dice::Dice;
use super::directory::NameChange;
use super::inode::{Inode, sectors, usize_of};
use super::page::{PAGE, Page, SECTOR, SECTORS_PER_PAGE, Sector};
use super::rules::Rules;
use super::world::World;

/// Which pending items survive a power cut.
///
/// A pending item is one write of one sector, one change of a length, or one operation on a name,
/// that is not durable; [`super::SimDisk::pending`] counts them. They are numbered from 0: file by
/// file in the order of creation, first the sectors in ascending order (the writes of each in the
/// order of issue), then the lengths; then directory by directory the operations on names in
/// the order of issue. A write in flight counts like one that was issued last.
///
/// Of several writes of a sector, the last one that survives wins; so it is with lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Any subset, drawn under the [`Rules`]: the chance of an item is one of 0, 10, 50, 90 and
    /// 100 %, drawn for each crash.
    Random,
    /// Nothing that is pending.
    KeepNone,
    /// Everything that is pending.
    KeepAll,
    /// One item.
    Only(usize),
    /// All items but one.
    AllBut(usize),
    /// The first so many items.
    First(usize),
    /// All items from this one on.
    From(usize),
    /// Item `i` survives if bit `i % 64` of word `i / 64` is set; what has no word does not.
    Subset(Vec<u64>),
}

enum Class {
    Sector,
    Length,
    Name,
}

/// Decides item after item.
struct Survivors<'a> {
    crash: &'a Crash,
    rules: Rules,
    percent: u64,
    next: usize,
    /// The item that is torn, under rule C2.
    torn: Option<usize>,
}

impl Survivors<'_> {
    fn keep(&mut self, class: Class, dice: &mut Dice) -> bool {
        let i = self.next;
        self.next += 1;
        match self.crash {
            Crash::Random => {
                let spared = match class {
                    Class::Sector => !self.rules.sectors,
                    Class::Length => !self.rules.lengths,
                    Class::Name => !self.rules.names,
                };
                spared || dice.below(100) < self.percent
            }
            Crash::KeepNone => false,
            Crash::KeepAll => true,
            Crash::Only(n) => i == *n,
            Crash::AllBut(n) => i != *n,
            Crash::First(n) => i < *n,
            Crash::From(n) => i >= *n,
            Crash::Subset(words) => words.get(i / 64).is_some_and(|word| word >> (i % 64) & 1 == 1),
        }
    }
}

/// The blocks of a removed file, which may turn up where nothing was written.
struct Remains {
    pages: Vec<Option<Arc<Page>>>,
}

impl Remains {
    fn sector(&self, n: usize) -> Option<&Sector> {
        let page = self.pages.get(n / SECTORS_PER_PAGE)?.as_ref()?;
        Some(page.sector(n % SECTORS_PER_PAGE))
    }
}

/// What the fresh blocks of one file hold.
struct Dirt<'a> {
    remains: Option<&'a Remains>,
    shift: usize,
}

impl Dirt<'_> {
    /// What a fresh sector reads as: zeros, noise, or a sector of a removed file.
    fn sector(&self, page: usize, s: usize, dice: &mut Dice) -> Sector {
        let mut bytes = [0; SECTOR];
        let n = page * SECTORS_PER_PAGE + s + self.shift;
        match (dice.below(4), self.remains.and_then(|remains| remains.sector(n))) {
            (0, _) => {}
            (1, _) | (_, None) => dice.fill(&mut bytes),
            (_, Some(stale)) => bytes = *stale,
        }
        bytes
    }
}

impl World {
    /// The power is cut: `crash` says what of the pending items survives. Then everything stands
    /// still, and what survived is durable.
    pub(super) fn crash(&mut self, crash: &Crash) {
        self.stop();
        self.land_flights(crash);
        let random = *crash == Crash::Random;
        let rules = self.rules;
        let percent = if random { [0, 10, 50, 90, 100][self.dice.index(5)] } else { 0 };
        let torn = if rules.torn && random {
            let pending = self.pending();
            (pending > 0).then(|| self.dice.index(pending))
        } else {
            None
        };
        let mut survivors = Survivors { crash, rules, percent, next: 0, torn };
        let remains = self.remains();
        for inode in self.inodes.values_mut() {
            crash_inode(inode, &mut survivors, &remains, &mut self.dice);
        }
        for i in 0..self.directories.len() {
            let pending = std::mem::take(&mut self.directories[i].pending);
            if pending.is_empty() {
                continue;
            }
            let mut kept: Vec<NameChange> = Vec::with_capacity(pending.len());
            for change in pending {
                if survivors.keep(Class::Name, &mut self.dice) {
                    kept.push(change);
                }
            }
            let mut order = Dice::new(self.dice.next());
            let mut alice = Dice::new(self.dice.next());
            self.directories[i].stand_still(
                kept,
                (random && rules.names).then_some(&mut order),
                (random && rules.alice).then_some(&mut alice),
            );
        }
        self.lossy = false;
        self.take_stock();
        self.judged = true;
    }

    /// Writes in flight become pending writes, issued last.
    fn land_flights(&mut self, crash: &Crash) {
        for flight in std::mem::take(&mut self.flights).into_values() {
            if *crash != Crash::Random || self.rules.flights {
                self.inode(flight.inode).write(flight.offset, &flight.data);
            }
        }
    }

    /// The process is killed: the cache and the names survive. Of a write in flight, any sectors
    /// were written.
    pub(super) fn kill(&mut self) {
        self.stop();
        for flight in std::mem::take(&mut self.flights).into_values() {
            let end = flight.offset + flight.data.len() as u64;
            for (page, s) in sectors(flight.offset, flight.data.len()) {
                if !self.rules.flights || self.dice.coin() {
                    continue;
                }
                let start = ((page * PAGE + s * SECTOR) as u64).max(flight.offset);
                let stop = ((page * PAGE + (s + 1) * SECTOR) as u64).min(end);
                let at = usize_of(start - flight.offset)..usize_of(stop - flight.offset);
                self.inode(flight.inode).write(start, &flight.data[at]);
            }
        }
        self.take_stock();
        self.judged = true;
    }

    /// Counts names and space anew after a stop: handles and locks are gone.
    pub(super) fn take_stock(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.links = 0;
            inode.handles.clear();
            inode.owed.clear();
        }
        for directory in &mut self.directories {
            directory.exclusive = false;
            directory.shared = 0;
            for id in directory.names.values() {
                self.inodes.get_mut(id).expect("a name leads to a file").links += 1;
            }
        }
        self.used = 0;
        self.nameless.clear();
        for (id, inode) in &self.inodes {
            if inode.links == 0 {
                self.nameless.push(*id);
            } else {
                self.used += inode.charged;
            }
        }
        self.bury();
    }

    /// The files whose blocks may turn up in others.
    fn remains(&self) -> Vec<Remains> {
        if !self.rules.fresh {
            return Vec::new();
        }
        let nameless = self.inodes.values().filter(|inode| inode.links == 0);
        let all = self.graves.iter().chain(nameless);
        all.map(|inode| Remains { pages: inode.pages.clone() }).collect()
    }
}

fn crash_inode(
    inode: &mut Inode,
    survivors: &mut Survivors<'_>,
    remains: &[Remains],
    dice: &mut Dice,
) {
    if inode.unsettled.is_empty() && inode.lengths.is_empty() && inode.settled_len >= inode.len {
        return;
    }
    let stale = (!remains.is_empty()).then(|| &remains[dice.index(remains.len())]);
    let shift = if dice.coin() { 0 } else { dice.index(16) };
    let dirt = survivors.rules.fresh.then_some(Dirt { remains: stale, shift });
    let dirty = inode.dirty_sectors();
    for (page, s) in &dirty {
        let bytes = surviving_sector(inode, (*page, *s), survivors, dirt.as_ref(), dice);
        inode.put(*page, *s, &bytes);
    }
    let mut len = inode.durable_len;
    for changed in std::mem::take(&mut inode.lengths) {
        if survivors.keep(Class::Length, dice) {
            len = changed;
        }
    }
    if let Some(dirt) = &dirt {
        soil_untouched(inode, len, &dirty, dirt, dice);
    }
    inode.stand_still(len);
}

/// Chooses the version of a dirty sector that survives.
fn surviving_sector(
    inode: &Inode,
    (page, s): (usize, usize),
    survivors: &mut Survivors<'_>,
    dirt: Option<&Dirt<'_>>,
    dice: &mut Dice,
) -> Sector {
    let holder = inode.pages[page].as_ref().expect("a dirty sector has a page");
    let first_item = survivors.next;
    let mut survivor = 0;
    for write in 1..=holder.pending_of(s) {
        if survivors.keep(Class::Sector, dice) {
            survivor = write;
        }
    }
    if survivors.torn.is_some_and(|torn| (first_item..survivors.next).contains(&torn)) {
        let newer = survivor.max(1);
        let mut bytes = holder.version(s, newer - 1);
        let cut = 1 + dice.index(SECTOR - 1);
        bytes[..cut].copy_from_slice(&holder.version(s, newer)[..cut]);
        return bytes;
    }
    match dirt {
        Some(dirt) if survivor == 0 && inode.is_fresh(page, s) => dirt.sector(page, s, dice),
        _ => holder.version(s, survivor),
    }
}

/// Blocks that a file got without writing them may show foreign content: a run of them, once in a
/// while.
fn soil_untouched(
    inode: &mut Inode,
    len: u64,
    dirty: &[(usize, usize)],
    dirt: &Dirt<'_>,
    dice: &mut Dice,
) {
    let start = usize_of(inode.settled_len).div_ceil(SECTOR);
    let end = usize_of(len).div_ceil(SECTOR);
    if start >= end || dice.coin() {
        return;
    }
    let first = start + dice.index(end - start);
    let run = 1 + dice.index(16);
    for n in first..end.min(first + run) {
        let at = (n / SECTORS_PER_PAGE, n % SECTORS_PER_PAGE);
        if inode.is_fresh(at.0, at.1) && dirty.binary_search(&at).is_err() {
            let bytes = dirt.sector(at.0, at.1, dice);
            inode.put(at.0, at.1, &bytes);
        }
    }
}
