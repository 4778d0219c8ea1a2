//! What salvage makes of stores with every kind of damage, compared with what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use icecore_disk::sim::{Damage, Foreign, SimDisk};
use icecore_disk::{Disk, LockMode, Name};
use icecore_engine::keyspace::{DATA, QUEUE};
use icecore_engine::{
    Access, Engine, Error, ErrorKind, LogOptions, Mutation, Options, SalvageLoss, SalvageReport,
    salvage,
};
use icecore_model::{Timestamp, Versionstamp};

use crate::support::{Machine, START_MS, assert_clean, commit, ms, small};

pub(crate) const OUT: &str = "out";
const SECTOR: u64 = 512;

/// One version of a key.
pub(crate) type Version = (Versionstamp, Vec<u8>, Option<Timestamp>);
pub(crate) type State = BTreeMap<Vec<u8>, Version>;

/// A store that nobody has open, what it holds, and all that it ever held.
pub(crate) struct Golden {
    machine: Machine,
    pub(crate) state: State,
    history: BTreeSet<(Vec<u8>, Version)>,
}

/// Settings under which commits stay in the log, in several segments.
fn logging() -> Options {
    let log = LogOptions { segment_bytes: 8 << 10, ..LogOptions::default() };
    Options { memtable_bytes: 1 << 20, log, ..small() }
}

pub(crate) fn state(engine: &Engine) -> State {
    let spaces = [DATA, QUEUE].map(|space| engine.scan(&[space], &[space + 1]).unwrap());
    let items = spaces.into_iter().flatten().map(Result::unwrap);
    items.map(|i| (i.key().to_vec(), (i.stamp, i.value.to_vec(), i.expires_at))).collect()
}

impl Golden {
    /// Three rounds in tables, of which only the last is not merged, and one in the log.
    pub(crate) fn new(closed: bool) -> Golden {
        let history = BTreeSet::new();
        let mut golden = Golden { machine: Machine::new(7), state: State::new(), history };
        let engine = golden.machine.open(small());
        for round in 0..3 {
            golden.commits(&engine, round);
            if round < 2 { engine.compact().unwrap() } else { engine.flush().unwrap() }
        }
        engine.close().unwrap();
        let engine = golden.machine.open(logging());
        golden.commits(&engine, 3);
        golden.state = state(&engine);
        if closed {
            engine.close().unwrap();
        }
        golden.machine.disk.kill();
        golden
    }

    fn commits(&mut self, engine: &Engine, round: u32) {
        for number in 0..150 {
            let space = if number % 10 == 0 { QUEUE } else { DATA };
            let key = [&[space], format!("{:03}", number * 7 % 150).as_bytes()].concat();
            let mut value = format!("{number} in round {round} ").into_bytes();
            value.resize(120 + number % 50, b'.');
            let expires_at = if number % 9 == 0 { ms(START_MS * 2) } else { None };
            let mutation = match (number + round as usize) % 15 {
                4 => Mutation::Delete { key: &key },
                9 if space == DATA => {
                    let end = [&key[..], b"~"].concat();
                    let start = [
                        &[DATA],
                        format!("{:03}", (number * 7 % 150).saturating_sub(3)).as_bytes(),
                    ]
                    .concat();
                    commit(engine, &[Mutation::DeleteRange { start: &start, end: &end }]);
                    continue;
                }
                _ => Mutation::Set { key: &key, value: &value, expires_at },
            };
            let stamp = commit(engine, std::slice::from_ref(&mutation));
            if matches!(mutation, Mutation::Set { .. }) {
                self.history.insert((key, (stamp, value, expires_at)));
            }
        }
    }

    /// A copy of the machine with this damage, running again.
    pub(crate) fn damaged(&self, damage: impl FnOnce(&SimDisk)) -> Machine {
        let disk = self.machine.disk.fork();
        damage(&disk);
        let fresh = Machine::new(8);
        Machine { disk: disk.reopen(), ..fresh }
    }

    fn names(&self) -> Vec<Name> {
        self.machine.names(|_| true)
    }

    fn find(&self, wanted: impl Fn(Name) -> bool) -> Vec<Name> {
        self.machine.names(wanted)
    }

    /// Salvages, and holds what is true of every salvage.
    fn salvage(&self, machine: &Machine) -> Result<(SalvageReport, State), Error> {
        let before = machine.disk.snapshot_files();
        let result = salvage(&machine.env(), Path::new(OUT), &small(), &mut |_| {});
        assert!(machine.disk.snapshot_files() == before, "the original has changed");
        let report = result?;
        assert!(report.check.is_clean(), "{:?}", report.check);
        let copy = machine.disk.directory(Path::new(OUT)).unwrap();
        let found = state(&Engine::open(machine.env_on(copy.clone()), small()).unwrap());
        assert_clean(
            &Engine::open(machine.env_on(copy), Options { access: Access::ReadOnly, ..small() })
                .unwrap(),
        );
        for (key, version) in &found {
            let known = self.history.contains(&(key.clone(), version.clone()));
            assert!(known, "{} was never {version:?}", key.escape_ascii());
        }
        assert_eq!(report.data_entries + report.queue_entries, found.len() as u64);
        Ok((report, found))
    }

    /// Holds that whatever differs from the golden state was announced.
    pub(crate) fn honest(&self, report: &SalvageReport, found: &State) {
        if report.is_complete() {
            assert!(*found == self.state, "complete, but different: {report}");
        }
        let wrong = found.iter().filter(|(key, version)| self.state.get(*key) != Some(*version));
        assert!(wrong.count() as u64 <= report.stale_entries, "{report}\n{:?}", report.damage);
    }
}

fn is_table(name: Name) -> bool {
    matches!(name, Name::Table(_))
}

fn is_segment(name: Name) -> bool {
    matches!(name, Name::Wal(_))
}

fn is_manifest(name: Name) -> bool {
    matches!(name, Name::Manifest(_))
}

#[test]
fn an_intact_store_comes_out_exactly_as_it_was() {
    for closed in [true, false] {
        let golden = Golden::new(closed);
        assert!(golden.find(is_table).len() > 2 && golden.find(is_segment).len() > 2);
        let machine = golden.damaged(|_| {});
        let (report, found) = golden.salvage(&machine).unwrap();
        assert!(report.is_complete(), "{report}\n{:?}", report.damage);
        assert_eq!(report.damage, []);
        assert!(found == golden.state);
        assert!(report.queue_entries > 0 && report.range_deletions > 0 && report.commits > 0);
        assert!(report.to_string().ends_with("nothing was lost"), "{report}");
    }
}

#[test]
fn the_copy_expires_what_it_should_and_issues_higher_stamps() {
    let golden = Golden::new(true);
    let machine = golden.damaged(|_| {});
    golden.salvage(&machine).unwrap();
    let copy =
        Engine::open(machine.env_on(machine.disk.directory(Path::new(OUT)).unwrap()), small());
    let copy = copy.unwrap();
    let newest = golden.history.iter().map(|(_, (stamp, ..))| *stamp).max().unwrap();
    let set = Mutation::Set { key: &[DATA, b'n'], value: b"new", expires_at: None };
    assert!(commit(&copy, &[set]) > newest);
    machine.clock.set_wall_ms(START_MS * 3);
    while copy.step(0).unwrap() != icecore_engine::Step::Idle {}
    let expiring = golden.state.values().filter(|(.., expires_at)| expires_at.is_some()).count();
    assert!(expiring > 5);
    assert_eq!(state(&copy).len(), golden.state.len() - expiring + 1);
    assert_clean(&copy);
}

#[test]
fn whichever_file_is_missing_the_rest_is_saved_and_the_loss_is_told() {
    for closed in [true, false] {
        let golden = Golden::new(closed);
        for name in golden.names() {
            let machine = golden.damaged(|disk| disk.remove_file(name).unwrap());
            let (report, found) = golden.salvage(&machine).unwrap();
            golden.honest(&report, &found);
            assert!(!found.is_empty(), "{name}");
            let is_loss = !matches!(name, Name::Lock | Name::Current | Name::Wal(_));
            assert!(!is_loss || !report.is_complete(), "{name}: {report}");
            if is_table(name) {
                assert!(report.damage.iter().any(|d| d.file == name.to_string()), "{report:?}");
                assert!(report.versions_lost > 0, "{report}");
            }
        }
    }
}

#[test]
fn without_current_or_without_any_manifest_everything_is_still_found() {
    let golden = Golden::new(true);
    let machine = golden.damaged(|disk| disk.remove_file(Name::Current).unwrap());
    let (report, found) = golden.salvage(&machine).unwrap();
    assert!(found == golden.state && report.is_complete(), "{report:?}");
    assert_eq!(report.damage[0].file, "CURRENT");

    let machine = golden.damaged(|disk| {
        disk.remove_file(Name::Current).unwrap();
        golden.find(is_manifest).into_iter().for_each(|name| disk.remove_file(name).unwrap());
    });
    let (report, found) = golden.salvage(&machine).unwrap();
    assert!(found == golden.state);
    assert_eq!(report.damage[0].loss, SalvageLoss::FileSet);
    assert_eq!(report.stale_entries, found.len() as u64, "nothing says that these are all files");
}

#[test]
fn a_damaged_manifest_leaves_all_tables_and_segments() {
    let golden = Golden::new(true);
    let manifest = *golden.find(is_manifest).last().unwrap();
    let damage = |disk: &SimDisk| disk.corrupt(manifest, 60, Damage::ZeroSector).unwrap();
    let (report, found) = golden.salvage(&golden.damaged(damage)).unwrap();
    assert!(found == golden.state);
    assert!(!report.is_complete());
    assert_eq!(report.damage[0].file, manifest.to_string());
}

#[test]
fn of_a_table_with_a_damaged_block_only_this_block_is_lost() {
    let golden = Golden::new(true);
    for table in golden.find(is_table) {
        let machine = golden.damaged(|disk| disk.corrupt(table, 100, Damage::FlipBit(3)).unwrap());
        let (report, found) = golden.salvage(&machine).unwrap();
        golden.honest(&report, &found);
        assert_eq!(report.damage.len(), 1, "{:?}", report.damage);
        let damage = &report.damage[0];
        assert_eq!((damage.loss, damage.offset), (SalvageLoss::Versions, 0));
        assert!(report.versions_lost > 0);
        assert!(report.stale_entries < found.len() as u64 / 2, "{report}");
    }
}

#[test]
fn a_table_without_index_or_footer_gives_all_its_entries() {
    let golden = Golden::new(true);
    for table in golden.find(is_table) {
        let bytes = golden.machine.disk.read_file(table).unwrap().len() as u64;
        for offset in [bytes - 1, bytes - 119] {
            let damage = |disk: &SimDisk| disk.corrupt(table, offset, Damage::FlipBit(3)).unwrap();
            let (report, found) = golden.salvage(&golden.damaged(damage)).unwrap();
            assert!(found == golden.state, "{report}\n{:?}", report.damage);
            assert!(report.is_complete(), "{:?}", report.damage);
            assert_eq!(report.damage[0].file, table.to_string());
        }
    }
}

#[test]
fn a_table_without_footer_is_found_to_be_of_the_store_without_a_manifest() {
    let golden = Golden::new(true);
    let no_manifest = |disk: &SimDisk| {
        disk.remove_file(Name::Current).unwrap();
        golden.find(is_manifest).into_iter().for_each(|name| disk.remove_file(name).unwrap());
    };
    let (whole, _) = golden.salvage(&golden.damaged(no_manifest)).unwrap();
    for table in golden.find(is_table) {
        let bytes = golden.machine.disk.read_file(table).unwrap().len() as u64;
        let machine = golden.damaged(|disk| {
            no_manifest(disk);
            disk.corrupt(table, bytes - 1, Damage::FlipBit(3)).unwrap();
        });
        let (report, found) = golden.salvage(&machine).unwrap();
        assert!(found == golden.state, "{report}\n{:?}", report.damage);
        assert_eq!(report.versions, whole.versions, "{:?}", report.damage);
    }
}

#[test]
fn a_table_without_footer_is_found_in_a_checkpoint_of_its_store() {
    let golden = Golden::new(true);
    let disk = golden.machine.disk.fork().reopen();
    let engine = Engine::open(golden.machine.env_on(disk.clone()), small()).unwrap();
    engine.checkpoint(Path::new("checkpoint")).unwrap();
    drop(engine);
    disk.kill();
    let checkpoint = disk.directory(Path::new("checkpoint")).unwrap();
    let tables = checkpoint.snapshot_files().into_iter().filter(|(name, _)| is_table(*name));
    for (table, content) in tables {
        let copy = checkpoint.fork();
        copy.corrupt(table, content.len() as u64 - 1, Damage::FlipBit(3)).unwrap();
        let machine = Machine { disk: copy.reopen(), ..Machine::new(8) };
        let (report, found) = golden.salvage(&machine).unwrap();
        assert!(found == golden.state, "{table}: {report}\n{:?}", report.damage);
        assert!(report.is_complete(), "{:?}", report.damage);
    }
}

/// Two segments of one store of which the one with the higher number has the older commits.
#[test]
fn segments_whose_stamps_are_not_in_order_are_all_taken() {
    let machine = Machine::new(3);
    let engine = machine.open(logging());
    let mut history = BTreeSet::new();
    for number in 0..200_u32 {
        let key = [&[DATA], format!("{:02}", number % 40).as_bytes()].concat();
        let value = format!("{number:>200}").into_bytes();
        let set = Mutation::Set { key: &key, value: &value, expires_at: None };
        let stamp = commit(&engine, &[set]);
        history.insert((key, (stamp, value, None)));
    }
    let golden = Golden { state: state(&engine), machine, history };
    engine.close().unwrap();
    golden.machine.disk.kill();
    let segments = golden.find(is_segment);
    let used = segments.iter().map(|n| (*n, golden.machine.disk.read_file(*n).unwrap()));
    let used: Vec<_> = used.filter(|(_, bytes)| bytes[512..1024].iter().any(|b| *b != 0)).collect();
    assert!(used.len() > 6, "{segments:?}");
    for (one, other) in [(0, 1), (1, 2), (2, 5)] {
        let disk = golden.machine.disk.fork();
        disk.remove_file(Name::Current).unwrap();
        golden.find(is_manifest).into_iter().for_each(|name| disk.remove_file(name).unwrap());
        disk.write_file(used[one].0, &renumbered(&used[other].1, used[one].0));
        disk.write_file(used[other].0, &renumbered(&used[one].1, used[other].0));
        let machine = Machine { disk: disk.reopen(), ..Machine::new(8) };
        let (report, found) = golden.salvage(&machine).unwrap();
        assert!(found == golden.state, "{one} and {other}: {report}\n{:?}", report.damage);
    }
}

/// The segment under another number, with a header that is valid.
fn renumbered(segment: &[u8], name: Name) -> Vec<u8> {
    let Name::Wal(number) = name else { panic!("{name} is no segment") };
    let mut bytes = segment.to_vec();
    bytes[32..36].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    let checksum = icecore_model::hash::hash64(&bytes[..72]);
    bytes[72..80].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[test]
fn behind_a_damaged_frame_the_log_goes_on() {
    let golden = Golden::new(true);
    let segments = golden.find(|name| {
        let used = |bytes: Vec<u8>| bytes[1024..1536].iter().any(|byte| *byte != 0);
        is_segment(name) && used(golden.machine.disk.read_file(name).unwrap())
    });
    assert!(segments.len() > 2, "{segments:?}");
    for segment in segments {
        let machine =
            golden.damaged(|disk| disk.corrupt(segment, 1024 + 20, Damage::FlipBit(1)).unwrap());
        let (report, found) = golden.salvage(&machine).unwrap();
        golden.honest(&report, &found);
        let damage = &report.damage[0];
        assert_eq!((&damage.file, damage.loss), (&segment.to_string(), SalvageLoss::Commits));
        assert!(damage.offset <= 1024, "the frame before it may end earlier: {damage}");
        assert_eq!(report.commits_lost, 1, "{report}");
    }
}

#[test]
fn one_damaged_sector_anywhere_never_makes_a_wrong_value_nor_goes_untold() {
    for closed in [true, false] {
        let golden = Golden::new(closed);
        let names = golden.names();
        let sizes: Vec<_> =
            names.iter().map(|name| golden.machine.disk.read_file(*name).unwrap().len()).collect();
        let mut dice = 1_u64;
        let mut roll = |below: usize| {
            dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            usize::try_from(dice >> 33).unwrap() % below
        };
        for round in 0..105 {
            let which = roll(names.len());
            let (name, size) = (names[which], sizes[which]);
            if size == 0 {
                continue;
            }
            let offset = roll(size) as u64;
            let other = roll(size) as u64 / SECTOR * SECTOR;
            let stranger = names[roll(names.len())];
            let machine = golden.damaged(|disk| match round % 7 {
                0 => disk.corrupt(name, offset, Damage::FlipBit(round)).unwrap(),
                1 => disk.corrupt(name, offset, Damage::FlipBits(5)).unwrap(),
                2 => disk.corrupt(name, offset, Damage::ZeroSector).unwrap(),
                3 => disk.corrupt(name, offset, Damage::RandomSector).unwrap(),
                4 => disk.corrupt(name, offset, Damage::BadSector).unwrap(),
                5 => copy_sector(disk, name, other, offset / SECTOR * SECTOR),
                _ => copy_from(disk, stranger, name, offset / SECTOR * SECTOR),
            });
            match golden.salvage(&machine) {
                // In a store that was not closed, the very end of the log has no witness.
                Ok((report, found)) if closed => golden.honest(&report, &found),
                Ok(_) => {}
                Err(error) => panic!("{name} at {offset}: {error}"),
            }
        }
    }
}

fn copy_sector(disk: &SimDisk, name: Name, from: u64, to: u64) {
    let mut content = disk.read_file(name).unwrap();
    let (from, to) = (from as usize, to as usize);
    let bytes = (content.len() - from.max(to)).min(SECTOR as usize);
    content.copy_within(from..from + bytes, to);
    disk.write_file(name, &content);
}

/// Puts a sector of another file into the place of the same one.
fn copy_from(disk: &SimDisk, from: Name, to: Name, offset: u64) {
    let source = disk.read_file(from).unwrap();
    let mut content = disk.read_file(to).unwrap();
    let offset = offset as usize;
    let end = (offset + SECTOR as usize).min(content.len()).min(source.len());
    if offset < end {
        content[offset..end].copy_from_slice(&source[offset..end]);
        disk.write_file(to, &content);
    }
}

#[test]
fn an_open_store_is_locked_and_an_empty_directory_holds_nothing() {
    let machine = Machine::new(1);
    let none = salvage(&machine.env(), Path::new(OUT), &small(), &mut |_| {}).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    let engine = machine.open(small());
    let held = salvage(&machine.env(), Path::new(OUT), &small(), &mut |_| {}).unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Locked);
    engine.close().unwrap();
    let report = salvage(&machine.env(), Path::new(OUT), &small(), &mut |_| {}).unwrap();
    assert!(report.is_complete() && report.data_entries == 0);
}

#[test]
fn readers_may_go_on_while_a_store_is_salvaged() {
    let golden = Golden::new(true);
    let machine = golden.damaged(|_| {});
    let reader = machine.open(Options { access: Access::ReadOnly, ..small() });
    golden.salvage(&machine).unwrap();
    assert!(state(&reader) == golden.state);
}

#[test]
fn a_directory_that_is_not_empty_is_refused_and_left_alone() {
    let golden = Golden::new(true);
    let machine = golden.damaged(|_| {});
    golden.salvage(&machine).unwrap();
    let copy = machine.disk.directory(Path::new(OUT)).unwrap();
    let before = copy.snapshot_files();
    let error = salvage(&machine.env(), Path::new(OUT), &small(), &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(copy.snapshot_files() == before);
}

#[test]
fn when_nothing_can_be_read_there_is_an_error_and_no_copy() {
    let golden = Golden::new(true);
    let names = golden.names();
    let machine = golden.damaged(|disk| {
        for name in names {
            disk.write_file(name, &[7; 3000]);
        }
    });
    let error = golden.salvage(&machine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(machine.disk.directory(Path::new(OUT)).is_none());
}

#[test]
fn foreign_files_are_named_and_not_used() {
    let golden = Golden::new(true);
    let machine =
        golden.damaged(|disk| disk.add_foreign_entry("letter.txt", Foreign::File(vec![1; 10])));
    let (report, found) = golden.salvage(&machine).unwrap();
    assert!(found == golden.state && report.is_complete());
    assert!(report.ignored.iter().any(|file| file.contains("letter.txt")), "{:?}", report.ignored);
    assert!(machine.disk.lock(LockMode::Exclusive).is_ok(), "the lock was given back");
}
