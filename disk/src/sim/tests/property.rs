//! Whatever is done, and however the machine stops: a sector that was durable and not touched
//! since is intact, every sector holds some version of itself, and durable names are there.
//!
//! The model keeps, for each file and sector, the versions that may be on the disk: one after a
//! sync, more with each write.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::OpenMode;

const SECTORS: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    Write { file: u64, sector: usize, count: usize },
    Flight { file: u64, sector: usize, count: usize, durable: bool },
    Sync { file: u64 },
    FailSync { file: u64 },
    SetLen { file: u64, sectors: usize },
    SyncDir,
    Create { file: u64 },
    Rename { from: u64, to: u64 },
    Remove { file: u64 },
    Stop { kill: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let file = 0..4u64;
    let place = (0..4u64, 0..SECTORS, 1..9usize);
    let step = prop_oneof![
        8 => place.clone().prop_map(|(file, sector, count)| Step::Write { file, sector, count }),
        4 => (place, any::<bool>()).prop_map(|((file, sector, count), durable)| {
            Step::Flight { file, sector, count, durable }
        }),
        3 => file.clone().prop_map(|file| Step::Sync { file }),
        1 => file.clone().prop_map(|file| Step::FailSync { file }),
        1 => (file.clone(), 0..SECTORS).prop_map(|(file, sectors)| Step::SetLen { file, sectors }),
        2 => Just(Step::SyncDir),
        3 => file.clone().prop_map(|file| Step::Create { file }),
        1 => (file.clone(), file.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        1 => file.prop_map(|file| Step::Remove { file }),
        1 => any::<bool>().prop_map(|kill| Step::Stop { kill }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the model knows of one file.
struct Known {
    /// What each sector may hold after a crash, the newest last.
    sectors: Vec<Vec<[u8; 512]>>,
    /// Sectors that were never durable may hold anything, too.
    fresh: Vec<bool>,
    /// A failed sync has left it open what reads show, and what the next sync covers.
    doubtful: Vec<bool>,
    durable_sectors: usize,
    /// The length was set since the last sync.
    cut: bool,
}

impl Known {
    fn new() -> Known {
        Known {
            sectors: vec![vec![[0; 512]]; SECTORS + 8],
            fresh: vec![true; SECTORS + 8],
            doubtful: vec![false; SECTORS + 8],
            durable_sectors: 0,
            cut: false,
        }
    }

    fn write(&mut self, sector: usize, count: usize, version: u32) {
        for s in sector..sector + count {
            self.sectors[s].push(image(version));
            self.doubtful[s] = false;
        }
    }

    /// The newest version of sectors is durable from here on.
    fn sync(&mut self, range: Range<usize>) {
        self.durable_sectors = self.durable_sectors.max(range.end);
        for s in range.filter(|s| !self.doubtful[*s]) {
            let newest = *self.sectors[s].last().unwrap();
            self.sectors[s] = vec![newest];
            self.fresh[s] = false;
        }
    }

    /// The blocks from `end` on are given back.
    fn release(&mut self, end: usize) {
        for s in end..SECTORS + 8 {
            self.sectors[s] = vec![[0; 512]];
            self.fresh[s] = true;
            self.doubtful[s] = false;
        }
    }

    /// Compares with the bytes that survived, and after a crash takes them for what is durable.
    fn observe(&mut self, bytes: &[u8], crashed: bool) {
        assert!(bytes.len() >= self.durable_sectors * 512, "a durable length was lost");
        for (s, held) in bytes.as_chunks().0.iter().enumerate() {
            let known = &self.sectors[s];
            if crashed || self.doubtful[s] {
                let foreign = crashed && self.fresh[s];
                assert!(foreign || known.contains(held), "sector {s} has been damaged");
            } else {
                assert_eq!(known.last(), Some(held), "sector {s} has not survived the kill");
            }
        }
        if crashed {
            *self = Known::new();
            self.durable_sectors = bytes.len() / 512;
            for (s, held) in bytes.as_chunks().0.iter().enumerate() {
                self.sectors[s] = vec![*held];
                self.fresh[s] = false;
            }
        }
    }
}

/// A sector full of the number of its write.
fn image(version: u32) -> [u8; 512] {
    let mut bytes = [0; 512];
    bytes.chunks_mut(4).for_each(|chunk| chunk.copy_from_slice(&version.to_le_bytes()));
    bytes
}

/// The names in the model lead to files by number; a crash may bring any of several states.
struct Model {
    disk: Arc<SimDisk>,
    files: BTreeMap<u64, Box<dyn File>>,
    live: BTreeMap<u64, usize>,
    known: Vec<Known>,
    /// Names on which nothing happened since the last sync of the directory.
    settled: BTreeMap<u64, Option<usize>>,
    version: u32,
}

impl Model {
    fn new(seed: u64) -> Model {
        Model {
            disk: SimDisk::new(seed, Rules::power_cut()),
            files: BTreeMap::new(),
            live: BTreeMap::new(),
            known: Vec::new(),
            settled: (0..4).map(|name| (name, None)).collect(),
            version: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        self.version += 1;
        let data = |version: u32, count: usize| image(version).repeat(count);
        match *step {
            Step::Create { file } => {
                if let Ok(handle) = self.disk.create(Name::Wal(file)) {
                    self.files.insert(file, handle);
                    self.live.insert(file, self.known.len());
                    self.known.push(Known::new());
                    self.settled.remove(&file);
                }
            }
            Step::Write { file, sector, count } => {
                let Some(handle) = self.files.get(&file) else { return };
                handle.write_all_at(sector as u64 * 512, &data(self.version, count)).unwrap();
                self.known[self.live[&file]].write(sector, count, self.version);
            }
            Step::Flight { file, sector, count, durable } => {
                let Some(handle) = self.files.get(&file) else { return };
                let bytes = data(self.version, count);
                let ticket = handle.submit(write(sector as u64 * 512, &bytes, durable));
                handle.complete(ticket).1.unwrap();
                let known = &mut self.known[self.live[&file]];
                known.write(sector, count, self.version);
                if durable {
                    known.sync(sector..sector + count);
                }
            }
            Step::Sync { file } => {
                let Some(handle) = self.files.get(&file) else { return };
                handle.sync().unwrap();
                let len = usize::try_from(handle.len().unwrap()).unwrap();
                let known = &mut self.known[self.live[&file]];
                known.sync(0..len / 512);
                known.release(len / 512);
                known.cut = false;
            }
            Step::FailSync { file } => {
                let Some(handle) = self.files.get(&file) else { return };
                if self.known[self.live[&file]].cut {
                    // The failed sync may lose the cut, too, and bring back what lay behind it.
                    // This model follows contents, not lengths.
                    return;
                }
                self.disk.fail_next(OpKind::Sync, Failure::Io, 1);
                handle.sync().unwrap_err();
                let known = &mut self.known[self.live[&file]];
                for s in 0..SECTORS + 8 {
                    known.doubtful[s] |= known.sectors[s].len() > 1;
                }
            }
            Step::SetLen { file, sectors } => {
                let Some(handle) = self.files.get(&file) else { return };
                handle.set_len(sectors as u64 * 512).unwrap();
                let known = &mut self.known[self.live[&file]];
                known.cut = true;
                known.write(sectors, SECTORS + 8 - sectors, 0);
                known.durable_sectors = known.durable_sectors.min(sectors);
            }
            Step::SyncDir => {
                self.disk.sync_dir().unwrap();
                self.settled = (0..4).map(|n| (n, self.live.get(&n).copied())).collect();
            }
            Step::Rename { from, to } => {
                if from == to || self.disk.rename(Name::Wal(from), Name::Wal(to)).is_err() {
                    return;
                }
                let moved = self.live.remove(&from).unwrap();
                self.live.insert(to, moved);
                let handle = self.files.remove(&from).unwrap();
                self.files.insert(to, handle);
                self.settled.remove(&from);
                self.settled.remove(&to);
            }
            Step::Remove { file } => {
                if self.disk.remove(Name::Wal(file)).is_ok() {
                    self.live.remove(&file);
                    self.files.remove(&file);
                    self.settled.remove(&file);
                }
            }
            Step::Stop { kill } => self.stop(kill),
        }
    }

    fn stop(&mut self, kill: bool) {
        if kill {
            self.disk.kill();
        } else {
            self.disk.crash(Crash::Random);
        }
        let names = names(&self.disk);
        for (name, inode) in &self.settled {
            assert_eq!(names.contains(&Name::Wal(*name)), inode.is_some(), "name {name}");
            if let Some(inode) = inode {
                let bytes = self.disk.read_file(Name::Wal(*name)).unwrap();
                self.known[*inode].observe(&bytes, !kill);
            }
        }
        self.disk = self.disk.reopen();
        self.files.clear();
        if kill {
            self.reopen_all();
        } else {
            self.start_over(&names);
        }
    }

    fn reopen_all(&mut self) {
        for name in self.live.keys() {
            let file = self.disk.open(Name::Wal(*name), OpenMode::ReadWrite).unwrap();
            self.files.insert(*name, file);
        }
    }

    /// After a crash, files whose names were in doubt are removed; the others are durable.
    fn start_over(&mut self, names: &[Name]) {
        self.live.clear();
        for n in 0..4 {
            match self.settled.get(&n) {
                Some(Some(inode)) => {
                    self.live.insert(n, *inode);
                }
                Some(None) => {}
                None if names.contains(&Name::Wal(n)) => self.disk.remove(Name::Wal(n)).unwrap(),
                None => {}
            }
        }
        self.disk.sync_dir().unwrap();
        self.settled = (0..4).map(|n| (n, self.live.get(&n).copied())).collect();
        self.reopen_all();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_durable_and_untouched_survives_everything(seed: u64, steps in steps()) {
        let mut model = Model::new(seed);
        for step in &steps {
            model.apply(step);
            check(&model.disk);
        }
        model.stop(false);
    }
}
