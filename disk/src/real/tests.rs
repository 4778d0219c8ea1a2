#![expect(clippy::disallowed_methods, reason = "what the disk did is looked at from outside")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::*;

fn disk() -> (tempfile::TempDir, RealDisk) {
    let directory = tempfile::tempdir().unwrap();
    let disk = RealDisk::create(directory.path().join("store")).unwrap();
    (directory, disk)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_a_directory_that_exists_is_opened() {
    let (outer, disk) = disk();
    let missing = RealDisk::open(outer.path().join("missing")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    assert!(missing.to_string().contains("missing"), "{missing}");
    Disk::create(&disk, Name::Current).unwrap();
    let file = RealDisk::open(disk.path().join("CURRENT")).unwrap_err();
    assert_eq!(file.kind(), io::ErrorKind::NotADirectory);
    let file = RealDisk::create(disk.path().join("CURRENT")).unwrap_err();
    assert_eq!(file.kind(), io::ErrorKind::NotADirectory);
}

#[test]
fn what_is_created_belongs_to_its_owner_alone() {
    let (_outer, disk) = disk();
    Disk::create(&disk, Name::Wal(1)).unwrap();
    assert_eq!(mode(disk.path()), 0o700);
    assert_eq!(mode(&disk.path_of(Name::Wal(1))), 0o600);
}

#[test]
fn creating_a_directory_that_exists_opens_it() {
    let (_outer, disk) = disk();
    Disk::create(&disk, Name::Wal(1)).unwrap();
    let again = RealDisk::create(disk.path()).unwrap();
    assert_eq!(again.list().unwrap().len(), 1);
}

#[test]
fn nothing_but_regular_files_is_opened() {
    let (outer, disk) = disk();
    let secret = outer.path().join("secret");
    fs::write(&secret, "kept").unwrap();
    symlink(&secret, disk.path_of(Name::Table(1))).unwrap();
    symlink(outer.path().join("dangling"), disk.path_of(Name::Table(2))).unwrap();
    fs::create_dir(disk.path_of(Name::Table(3))).unwrap();
    let fifo = Command::new("mkfifo").arg(disk.path_of(Name::Table(4))).status().unwrap();
    assert!(fifo.success());
    let _socket = std::os::unix::net::UnixListener::bind(disk.path_of(Name::Table(5))).unwrap();
    for number in 1..=5 {
        for mode in [OpenMode::Read, OpenMode::ReadWrite] {
            let error = disk.open(Name::Table(number), mode).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{number} {mode:?}: {error}");
        }
        let error = Disk::create(&disk, Name::Table(number)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
    assert!(disk.list().unwrap().iter().all(|l| !l.regular && l.bytes == 0));
    assert_eq!(fs::read(&secret).unwrap(), b"kept");
    assert!(!outer.path().join("dangling").exists());
}

#[test]
fn foreign_names_are_listed_as_they_are() {
    let (_outer, disk) = disk();
    Disk::create(&disk, Name::Wal(7)).unwrap().write_all_at(0, b"12345").unwrap();
    fs::write(disk.path().join("notes.txt"), "mine").unwrap();
    fs::create_dir(disk.path().join("7.wal")).unwrap();
    let mut listed = disk.list().unwrap();
    listed.sort_by_key(|l| (l.bytes, l.name.clone().err()));
    let foreign = |text: &str, bytes, regular| Listed { name: Err(text.into()), bytes, regular };
    assert_eq!(
        listed,
        [
            foreign("7.wal", 0, false),
            foreign("notes.txt", 4, true),
            Listed { name: Ok(Name::Wal(7)), bytes: 5, regular: true },
        ]
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_name_that_is_no_text_is_listed_too() {
    use std::os::unix::ffi::OsStrExt;

    let (_outer, disk) = disk();
    fs::write(disk.path().join(std::ffi::OsStr::from_bytes(b"\xff.wal")), "ice").unwrap();
    let foreign = Listed { name: Err("\u{fffd}.wal".into()), bytes: 3, regular: true };
    assert_eq!(disk.list().unwrap(), [foreign]);
}

#[test]
fn errors_name_the_file_and_keep_their_code() {
    let (_outer, disk) = disk();
    let error = disk.open(Name::Wal(7), OpenMode::Read).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(os_code(&error), Some(Errno::NOENT.raw_os_error()));
    assert!(error.to_string().contains(&disk.path_of(Name::Wal(7)).display().to_string()));
}

#[test]
fn a_moved_directory_stays_the_same_disk() {
    let (outer, disk) = disk();
    let moved = outer.path().join("moved");
    fs::rename(disk.path(), &moved).unwrap();
    fs::create_dir(disk.path()).unwrap();
    Disk::create(&disk, Name::Wal(1)).unwrap();
    disk.sync_dir().unwrap();
    assert!(moved.join(Name::Wal(1).to_string()).exists());
}

#[test]
#[cfg(target_os = "linux")]
fn more_than_any_file_can_hold_is_refused() {
    let (_outer, disk) = disk();
    let file = Disk::create(&disk, Name::Wal(1)).unwrap();
    let error = file.allocate(i64::MAX as u64).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
    assert!(disk.free_bytes().unwrap() > 0);
}
