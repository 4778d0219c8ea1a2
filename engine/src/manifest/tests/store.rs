//! Whole manifests on a simulated disk: damage at every byte, power cuts at every operation.

use std::sync::Arc;

use icecore_disk::Name;
use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Crash, Rules, SimDisk};

use super::*;
use crate::error::Error;
use crate::manifest::{Loaded, Manifest};

/// A store with one manifest: its catalog after each edit, and where each frame ends.
struct Written {
    disk: Arc<SimDisk>,
    /// Number 0 is the catalog of the snapshot.
    catalogs: Vec<Catalog>,
    ends: Vec<usize>,
}

fn history() -> Vec<Edit> {
    vec![
        Edit { segment_added: Some(1), ceiling: Some(Versionstamp::new(900)), ..Edit::default() },
        adds(0, table(1, "a", "m")),
        adds(0, table(2, "c", "z")),
        Edit { added: vec![(1, table(1, "a", "m"))], ..removes(0, 1) },
        Edit { flushed: Some(Versionstamp::new(7)), ..Edit::default() },
        Edit { closed: true, ..Edit::default() },
    ]
}

fn create(disk: &SimDisk, number: u64, catalog: &Catalog) -> Result<Manifest, Error> {
    Manifest::create(disk, &SeededRandom::new(number), number, catalog)
}

fn write(rules: Rules) -> Written {
    let disk = SimDisk::new(1, rules);
    let mut catalogs = vec![Catalog::empty(DATABASE)];
    let mut manifest = create(&disk, 1, &catalogs[0]).unwrap();
    let end = |manifest: &Manifest| usize::try_from(manifest.bytes()).unwrap();
    let mut ends = vec![end(&manifest)];
    for edit in history() {
        let mut catalog = catalogs.last().unwrap().clone();
        catalog.apply(&edit).unwrap();
        manifest.append(&edit, catalog.flushed).unwrap();
        catalogs.push(catalog);
        ends.push(end(&manifest));
    }
    Written { disk, catalogs, ends }
}

impl Written {
    fn last(&self) -> &Catalog {
        self.catalogs.last().unwrap()
    }

    /// The bytes of `name`; of the manifest, those that were written.
    fn bytes(&self, name: Name) -> Vec<u8> {
        let mut bytes = self.disk.read_file(name).unwrap();
        if name != Name::Current {
            bytes.truncate(*self.ends.last().unwrap());
        }
        bytes
    }

    /// What is loaded when the file `name` has this content.
    fn load_with(&self, name: Name, content: &[u8]) -> Result<Option<Loaded>, Error> {
        let disk = self.disk.fork();
        disk.kill();
        disk.write_file(name, content);
        Manifest::load(&*disk.reopen())
    }

    /// Where the frame begins that holds `place`; 0 in the header.
    fn start_of_frame(&self, place: usize) -> usize {
        let starts = std::iter::once(HEADER_BYTES).chain(self.ends.iter().copied());
        starts.take_while(|start| *start <= place).last().unwrap_or(0)
    }
}

fn catalog_of(loaded: Result<Option<Loaded>, Error>) -> Catalog {
    loaded.unwrap().expect("there is a CURRENT").catalog
}

#[track_caller]
fn assert_refused(loaded: Result<Option<Loaded>, Error>, place: usize) {
    match loaded {
        Err(Error::Corrupt { .. }) => {}
        Err(Error::UnknownFormat { .. }) if (8..12).contains(&place) => {}
        other => panic!("byte {place}: {other:?}"),
    }
}

#[test]
fn a_directory_without_current_has_no_manifest() {
    assert!(Manifest::load(&*SimDisk::new(1, Rules::none())).unwrap().is_none());
}

#[test]
fn a_manifest_gives_the_catalog_after_its_last_edit() {
    let written = write(Rules::none());
    let loaded = Manifest::load(&*written.disk).unwrap().unwrap();
    assert_eq!((&loaded.catalog, loaded.number), (written.last(), 1));
}

#[test]
fn damage_to_any_byte_is_refused_or_costs_the_last_edit_alone() {
    let written = write(Rules::none());
    let name = Name::Manifest(1);
    let good = written.bytes(name);
    let last_frame = written.ends[written.ends.len() - 2];
    for place in 0..good.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= bits;
            let loaded = written.load_with(name, &bad);
            if place >= last_frame {
                let before = &written.catalogs[written.catalogs.len() - 2];
                assert_eq!(catalog_of(loaded), *before, "byte {place}");
                continue;
            }
            if place >= HEADER_BYTES {
                let start = written.start_of_frame(place) as u64;
                match &loaded {
                    Err(Error::Corrupt { file, offset, .. }) => {
                        assert_eq!((&**file, *offset), ("0000000001.manifest", start));
                    }
                    other => panic!("byte {place}: {other:?}"),
                }
            }
            assert_refused(loaded, place);
        }
    }
}

#[test]
fn a_manifest_cut_at_any_byte_holds_its_whole_frames() {
    let written = write(Rules::none());
    let name = Name::Manifest(1);
    let good = written.bytes(name);
    for length in 0..good.len() {
        let loaded = written.load_with(name, &good[..length]);
        match written.ends.iter().rposition(|end| *end <= length) {
            Some(whole) => assert_eq!(catalog_of(loaded), written.catalogs[whole], "{length}"),
            None => assert!(matches!(loaded, Err(Error::Corrupt { .. })), "{length}"),
        }
    }
}

#[test]
fn what_follows_the_last_frame_and_is_none_means_nothing() {
    let written = write(Rules::none());
    let name = Name::Manifest(1);
    for tail in [vec![0; 5000], vec![0xff; 5000], written.bytes(name)] {
        let mut bytes = written.bytes(name);
        bytes.extend(tail);
        assert_eq!(catalog_of(written.load_with(name, &bytes)), *written.last());
    }
}

#[test]
fn damage_to_any_byte_of_current_is_refused() {
    let written = write(Rules::none());
    let good = written.bytes(Name::Current);
    for place in 0..good.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[place] ^= bits;
            assert_refused(written.load_with(Name::Current, &bad), place);
        }
        let loaded = written.load_with(Name::Current, &good[..place]);
        assert!(matches!(loaded, Err(Error::Corrupt { .. })), "cut to {place} bytes");
    }
    let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
    assert_refused(written.load_with(Name::Current, &longer), CURRENT_BYTES);
}

#[test]
fn current_must_lead_to_a_manifest_of_its_number_and_store() {
    let written = write(Rules::none());
    let refusal = |name, content: &[u8]| match written.load_with(name, content) {
        Err(Error::Corrupt { file, what, .. }) => format!("{file}: {what}"),
        other => panic!("{other:?}"),
    };
    let missing = refusal(Name::Current, &format::encode_current(DATABASE, 2));
    assert_eq!(missing, "0000000002.manifest: the manifest that CURRENT names does not exist");
    let foreign = refusal(Name::Current, &format::encode_current(DatabaseId([9; 16]), 1));
    assert!(foreign.contains("it belongs to store 000102"), "{foreign}");
    let other = SimDisk::new(2, Rules::none());
    create(&other, 5, &Catalog::empty(DATABASE)).unwrap();
    let renamed = refusal(Name::Manifest(1), &other.read_file(Name::Manifest(5)).unwrap());
    assert_eq!(renamed, "0000000001.manifest: this is manifest 5 under another name");
}

#[test]
fn an_edit_of_another_manifest_is_no_edit_of_this_one() {
    let (written, name) = (write(Rules::none()), Name::Manifest(1));
    // The same edits under another salt.
    let other = SimDisk::new(2, Rules::none());
    let random = SeededRandom::new(99);
    let mut manifest = Manifest::create(&*other, &random, 1, &written.catalogs[0]).unwrap();
    manifest.append(&history()[0], Versionstamp::ZERO).unwrap();
    let foreign = other.read_file(name).unwrap();
    let (start, end) = (written.ends[0], written.ends[1]);
    let mut bytes = written.bytes(name);
    bytes.truncate(start);
    bytes.extend(&foreign[start..end]);
    assert_eq!(catalog_of(written.load_with(name, &bytes)), written.catalogs[0]);
}

/// Cuts the power at each operation of `work` in turn, in several ways, and hands what is loaded
/// afterwards to `judge`. Returns when `work` has run to its end.
fn cut_everywhere(
    prepare: impl Fn(&SimDisk) -> Manifest,
    work: impl Fn(&SimDisk, Manifest) -> Result<(), Error>,
    judge: impl Fn(Loaded),
) {
    for operation in 0.. {
        for seed in 0..8 {
            let disk = SimDisk::new(seed, Rules::power_cut());
            let manifest = prepare(&disk);
            disk.crash_at(disk.operations() + operation);
            let finished = work(&disk, manifest).is_ok();
            if finished && disk.is_running() {
                assert!(operation > 1, "there was something to interrupt");
                return;
            }
            let crash = match seed {
                0 => Crash::KeepNone,
                1 => Crash::KeepAll,
                _ => Crash::Random,
            };
            disk.crash(crash);
            judge(Manifest::load(&*disk.reopen()).unwrap().expect("CURRENT is never lost"));
        }
    }
}

#[test]
fn a_power_cut_during_an_edit_leaves_all_of_it_or_nothing() {
    let (first, second) = (history()[0].clone(), history()[1].clone());
    let prepare = |disk: &SimDisk| {
        let mut manifest = create(disk, 1, &Catalog::empty(DATABASE)).unwrap();
        manifest.append(&first, Versionstamp::ZERO).unwrap();
        manifest
    };
    let work = |_: &SimDisk, mut manifest: Manifest| manifest.append(&second, Versionstamp::ZERO);
    let (without, with) = (after(&history()[..1]), after(&history()[..2]));
    cut_everywhere(prepare, work, |loaded| {
        assert!(loaded.catalog == without || loaded.catalog == with, "{:?}", loaded.catalog);
    });
}

#[test]
fn a_power_cut_during_a_switch_leaves_one_of_the_two_manifests() {
    let (old, new) = (after(&history()[..1]), after(&history()));
    let prepare = |disk: &SimDisk| create(disk, 1, &old).unwrap();
    let work = |disk: &SimDisk, _: Manifest| create(disk, 2, &new).map(drop);
    cut_everywhere(prepare, work, |loaded| match loaded.number {
        1 => assert_eq!(loaded.catalog, old),
        2 => assert_eq!(loaded.catalog, new),
        number => panic!("there is no manifest {number}"),
    });
}

#[test]
fn a_full_disk_refuses_the_room_for_an_edit_and_nothing_else() {
    let disk = SimDisk::new(1, Rules::none());
    let mut manifest = create(&disk, 1, &Catalog::empty(DATABASE)).unwrap();
    disk.set_space(Some(disk.used_bytes()));
    assert!(matches!(manifest.reserve(1 << 20), Err(Error::OutOfSpace { .. })));
    manifest.append(&history()[0], Versionstamp::ZERO).unwrap();
    let loaded = Manifest::load(&*disk).unwrap().unwrap();
    assert_eq!(loaded.catalog, after(&history()[..1]));
}

#[test]
fn a_manifest_that_has_grown_long_wants_to_be_replaced() {
    let disk = SimDisk::new(1, Rules::none());
    let mut manifest = create(&disk, 1, &Catalog::empty(DATABASE)).unwrap();
    let long = "k".repeat(16 << 10);
    for number in 1..8 {
        assert!(!manifest.wants_roll(), "{} bytes are few", manifest.bytes());
        manifest.append(&adds(0, table(number, &long, &long)), Versionstamp::ZERO).unwrap();
    }
    manifest.append(&adds(0, table(8, &long, &long)), Versionstamp::ZERO).unwrap();
    assert!(manifest.wants_roll(), "{} bytes are many", manifest.bytes());
}
