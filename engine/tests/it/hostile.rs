//! Directories that somebody prepared: opening them does not hang, does not follow a link, and does
//! not take memory because a file says so.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use icecore_engine::{Access, Engine, Error, ErrorKind, Options};
use tempfile::TempDir;

use crate::support::{contents, set, small};

/// More than any machine can allocate; the file system stores nothing of it.
const SPARSE_BYTES: u64 = 1 << 40;

/// A directory with a store that nobody has open, of tables and a log.
fn store() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open_path(directory.path(), small()).unwrap();
    for i in 0..60 {
        set(&engine, &format!("{i}"), &[7; 300]);
    }
    engine.flush().unwrap();
    set(&engine, "in the log", b"v");
    engine.close().unwrap();
    directory
}

/// The names of the files, without `LOCK`.
#[expect(clippy::disallowed_methods, reason = "the test looks at a directory from outside")]
fn names(directory: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<_> = listed.map(|e| name(e).into_string().unwrap()).collect();
    names.retain(|name| name != "LOCK");
    names.sort();
    names
}

/// The first file of a kind, which the store uses.
fn one(directory: &Path, kind: &str) -> String {
    names(directory).into_iter().find(|name| name.ends_with(kind)).unwrap()
}

const BOTH: [Access; 2] = [Access::ReadOnly, Access::ReadWrite];

fn open(directory: &Path, access: Access) -> Result<Engine, Error> {
    Engine::open_path(directory, Options { access, ..small() })
}

#[expect(clippy::disallowed_methods, reason = "the test changes a directory from outside")]
fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the test changes a directory from outside")]
fn stretch(path: &Path, bytes: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the test changes a directory from outside")]
fn create(path: &Path) -> PathBuf {
    std::fs::File::create(path).unwrap();
    path.to_owned()
}

#[test]
fn nothing_but_a_file_is_opened_in_the_place_of_a_file() {
    let elsewhere = tempfile::tempdir().unwrap();
    for kind in ["CURRENT", ".manifest", ".wal", ".table", "LOCK"] {
        for trap in ["link", "device", "fifo", "directory"] {
            let directory = store();
            let name = if kind == "LOCK" { kind.to_owned() } else { one(directory.path(), kind) };
            let path = directory.path().join(&name);
            remove(&path);
            match trap {
                "link" => symlink(elsewhere.path().join("target"), &path).unwrap(),
                "device" => symlink("/dev/zero", &path).unwrap(),
                "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
                _ => assert!(Command::new("mkdir").arg(&path).status().unwrap().success()),
            }
            for access in BOTH {
                let opened = open(directory.path(), access);
                let error = opened.expect_err(&format!("there is a {trap} for {name}"));
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Io), "{trap}: {error:?}");
            }
            assert!(names(elsewhere.path()).is_empty(), "a link was followed for {name}");
        }
    }
}

#[test]
fn a_file_that_says_to_be_enormous_takes_no_memory() {
    for kind in ["CURRENT", ".manifest", ".table"] {
        let directory = store();
        stretch(&directory.path().join(one(directory.path(), kind)), SPARSE_BYTES);
        for access in BOTH {
            let error = open(directory.path(), access).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{kind}");
        }
    }
}

#[test]
fn a_log_segment_that_goes_on_for_ever_is_read_to_its_end() {
    let directory = store();
    let segment = directory.path().join(one(directory.path(), ".wal"));
    stretch(&segment, SPARSE_BYTES);
    for access in BOTH {
        assert_eq!(contents(&open(directory.path(), access).unwrap()).len(), 61);
    }
}

#[test]
fn a_file_without_end_that_is_no_segment_is_not_read() {
    let directory = store();
    stretch(&create(&directory.path().join("0000000099.wal")), SPARSE_BYTES);
    for access in BOTH {
        assert_eq!(contents(&open(directory.path(), access).unwrap()).len(), 61);
    }
    assert!(!names(directory.path()).contains(&"0000000099.wal".to_owned()), "it is of no use");
}

#[test]
fn a_hundred_thousand_files_of_others_are_left_alone() {
    const FILES: usize = 100_000;
    let directory = store();
    for i in 0..FILES {
        // Names that are nearly ours, and names that could lead elsewhere.
        let name = [format!("{i}.table"), format!("..{i}"), format!("{i:010}.tables")];
        create(&directory.path().join(&name[i % 3]));
    }
    for access in BOTH {
        let engine = open(directory.path(), access).unwrap();
        assert_eq!(contents(&engine).len(), 61);
        engine.close().unwrap();
    }
    let ours = names(directory.path()).len() - FILES;
    assert!(ours < 10, "{ours} files are ours");
}
