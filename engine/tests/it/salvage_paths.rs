//! Salvage of a directory, by its path, and in the words that an operator reads.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use icecore_disk::Name;
use icecore_engine::{Engine, ErrorKind, SalvageLoss, SalvagePhase, salvage, salvage_path};

use crate::support::{Machine, START_MS, contents, get, names, set, set_until, small};

/// A closed store in a directory, with 100 entries in tables and one more in the log.
fn store() -> (tempfile::TempDir, PathBuf, Vec<(String, Vec<u8>)>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let engine = Engine::open_path(&path, small()).unwrap();
    for i in 0..100 {
        set(&engine, &format!("{i:03}"), &[7; 300]);
    }
    engine.close().unwrap();
    let engine = Engine::open_path(&path, small()).unwrap();
    set(&engine, "last", b"in the log");
    let before = contents(&engine);
    engine.close().unwrap();
    (directory, path, before)
}

#[test]
fn a_directory_is_salvaged_into_another_one_and_never_into_itself() {
    let (directory, path, before) = store();
    let into = |out: &Path| salvage_path(&path, out, &small(), &mut |_| {});
    for out in [path.clone(), path.join("copy"), path.join("../store/deep/copy")] {
        assert_eq!(into(&out).unwrap_err().kind(), ErrorKind::InvalidArgument, "{out:?}");
    }
    let out = directory.path().join("copy");
    let missing = salvage_path(directory.path().join("none"), &out, &small(), &mut |_| {});
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let file = path.join("CURRENT");
    let no_directory = salvage_path(&file, &out, &small(), &mut |_| {});
    assert_eq!(no_directory.unwrap_err().kind(), ErrorKind::Io);
    assert!(!out.exists());
    let mut phases = Vec::new();
    let report = salvage_path(&path, &out, &small(), &mut |progress| phases.push(progress.phase));
    assert!(report.unwrap().is_complete());
    phases.dedup();
    let expected =
        [SalvagePhase::Tables, SalvagePhase::Log, SalvagePhase::Copy, SalvagePhase::Check];
    assert_eq!(phases, expected);
    let copy = Engine::open_path(&out, small()).unwrap();
    assert_eq!(contents(&copy), before);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the damage does not go through the disk")]
fn a_report_says_in_words_what_was_lost_and_where() {
    let (directory, path, before) = store();
    let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let is_table = |path: &PathBuf| path.extension().is_some_and(|e| e == "table");
    let table = entries.into_iter().find(is_table).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&table).unwrap();
    file.write_all_at(&[0xff; 8], 50).unwrap();
    let out = directory.path().join("copy");
    let report = salvage_path(&path, &out, &small(), &mut |_| {}).unwrap();
    let text = report.to_string();
    let lost = before.len() as u64 - report.data_entries;
    assert!(lost > 0 && report.versions_lost == lost, "{text}");
    for line in [
        format!("copied: {} entries of data, 0 of queues", report.data_entries),
        format!(
            "lost: {lost} versions (0 of them deletions), 0 range deletions, at most 0 commits"
        ),
        format!("may be stale, because something newer may be lost: {}", report.stale_entries),
    ] {
        assert!(text.contains(&line), "{text}");
    }
    let damage = report.damage[0].to_string();
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(damage.starts_with(&format!("{name} at byte 0: ")), "{damage}");
    assert!(damage.ends_with("; lost: versions"), "{damage}");
    let checked = report.check.to_string();
    assert!(checked.ends_with("no problem found"), "{checked}");
    let words: Vec<String> = [
        SalvageLoss::Nothing,
        SalvageLoss::RangeDeletions,
        SalvageLoss::Commits,
        SalvageLoss::FileSet,
    ]
    .map(|loss| loss.to_string())
    .into();
    assert_eq!(words, ["nothing", "range deletions", "commits", "the set of files"]);
}

#[test]
fn what_the_sweeper_had_passed_does_not_come_back_although_its_deletion_is_lost() {
    let machine = Machine::new(1);
    let engine = machine.open(small());
    let sweep = |engine: &Engine| {
        while engine.stats().unwrap().swept == 0 {
            engine.step(3).unwrap();
        }
    };
    set_until(&engine, "swept", b"v", START_MS + 10);
    set_until(&engine, "later", b"v", START_MS + 1_000);
    engine.compact().unwrap();
    let is_table = |name: Name| matches!(name, Name::Table(_));
    let values = machine.names(is_table);
    machine.clock.advance_ms(10);
    sweep(&engine);
    engine.flush().unwrap();
    engine.close().unwrap();
    // In this life, the log has no more of that than how far the sweeper has come.
    let engine = machine.open(small());
    set_until(&engine, "second", b"v", START_MS + 12);
    machine.clock.advance_ms(5);
    sweep(&engine);
    engine.close().unwrap();
    let deletions = machine.names(|name| is_table(name) && !values.contains(&name));
    assert_eq!((values.len(), deletions.len()), (1, 1));
    machine.disk.kill();
    machine.disk.remove_file(deletions[0]).unwrap();
    let machine = Machine { disk: machine.disk.reopen(), ..Machine::new(2) };
    let report = salvage(&machine.env(), Path::new("out"), &small(), &mut |_| {}).unwrap();
    assert!(report.deletions_lost > 0 && report.stale_entries > 0, "{report}");
    let copy = machine.disk.directory(Path::new("out")).unwrap();
    let copy = Engine::open(machine.env_on(copy), small()).unwrap();
    assert_eq!(copy.now_ms(), START_MS, "before the moment when it expired");
    assert_eq!(names(&copy), ["later"]);
    machine.clock.advance_ms(1_000);
    assert!(get(&copy, "later").is_none());
}
