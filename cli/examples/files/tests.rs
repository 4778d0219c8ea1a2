//! A tree of everything that a tree can have, there and back.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use icecore::{key, prefix};

use crate::export::export;
use crate::import::import;
use crate::node::{CHUNK_BYTES, path_of, stray_chunks};
use crate::verify::verify;

/// Larger than what one commit may hold of one file.
const LARGE_BYTES: usize = (17 << 20) + 5;

fn plant(root: &Path) {
    fs::create_dir_all(root.join("a/empty")).unwrap();
    fs::write(root.join("a/nothing"), b"").unwrap();
    fs::write(root.join("a/script"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("a/script"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not\xffutf8")), b"\x00\xff").unwrap();
    symlink("a/script", root.join("link")).unwrap();
    symlink(OsStr::from_bytes(b"no\xffwhere"), root.join("dangling")).unwrap();
    for (name, bytes) in
        [("even", 2 * CHUNK_BYTES), ("odd", CHUNK_BYTES + 1), ("large", LARGE_BYTES)]
    {
        let content: Vec<u8> = (0..bytes).map(|i| (i / 1000 % 251).try_into().unwrap()).collect();
        fs::write(root.join(name), content).unwrap();
    }
}

#[test]
fn a_tree_comes_back_byte_for_byte() {
    let place = tempfile::tempdir().unwrap();
    let (source, target) = (place.path().join("source"), place.path().join("target"));
    plant(&source);
    let kv = crate::open(&place.path().join("store")).unwrap();
    let imported = import(&kv, &source).unwrap();
    assert_eq!((imported.files, imported.directories, imported.links), (6, 2, 2));
    assert_eq!(export(&kv, &target).unwrap(), imported);
    for directory in [&source, &target] {
        assert_eq!(verify(&kv, directory).unwrap(), (imported, Vec::new()));
    }
    assert!(export(&kv, &target).is_err(), "the directory is not empty");
    assert!(kv.check().unwrap().is_clean());
}

#[test]
fn a_second_import_follows_what_has_changed() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    plant(&source);
    let kv = crate::open(&place.path().join("store")).unwrap();
    import(&kv, &source).unwrap();
    fs::write(source.join("large"), b"small").unwrap();
    fs::remove_file(source.join("even")).unwrap();
    fs::create_dir(source.join("even")).unwrap();
    fs::remove_dir_all(source.join("a")).unwrap();
    let (_, differences) = verify(&kv, &source).unwrap();
    assert_eq!(differences.len(), 6, "{differences:#?}");
    let imported = import(&kv, &source).unwrap();
    assert_eq!(verify(&kv, &source).unwrap(), (imported, Vec::new()));
    // Two chunks of "odd", one of each other file that has content.
    assert_eq!(kv.list(prefix!["chunk"]).count(), 4);
}

#[test]
fn chunks_that_an_interrupted_import_has_left_are_not_read_and_go_with_the_next() {
    let place = tempfile::tempdir().unwrap();
    let (source, target) = (place.path().join("source"), place.path().join("target"));
    plant(&source);
    let kv = crate::open(&place.path().join("store")).unwrap();
    let imported = import(&kv, &source).unwrap();
    let chunks = kv.list(prefix!["chunk"]).count();
    let strays = [
        key!["chunk", "a", "script", 1], // the file has one chunk
        key!["chunk", "a", 0],           // a directory
        key!["chunk", "gone", "below", 7],
        key!["chunk", "gone", 0],
        key!["chunk", "link", 0],
        key!["chunk", "odd", "was a directory", 0],
        key!["chunk", "odd", 9],
    ];
    for stray in &strays {
        kv.set(stray, &b"left"[..]).unwrap();
    }
    let (_, differences) = verify(&kv, &source).unwrap();
    let expected = strays.each_ref().map(|key| format!("{key}: belongs to no file"));
    assert_eq!(differences, expected);
    assert_eq!(export(&kv, &target).unwrap(), imported);
    assert_eq!(import(&kv, &source).unwrap(), imported);
    for directory in [&source, &target] {
        assert_eq!(verify(&kv, directory).unwrap(), (imported, Vec::new()));
    }
    assert_eq!(kv.list(prefix!["chunk"]).count(), chunks);
}

#[test]
fn a_chunk_without_a_number_is_told_not_skipped() {
    let place = tempfile::tempdir().unwrap();
    for key in [key!["chunk", "a", -1], key!["chunk", "a"], key!["chunk", "a", 1_u128 << 64]] {
        let kv = crate::open(&place.path().join(key.to_string())).unwrap();
        kv.set(&key, &b"x"[..]).unwrap();
        assert!(stray_chunks(&kv).is_err(), "{key}");
    }
}

#[test]
fn every_kind_of_difference_is_told() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    plant(&source);
    let kv = crate::open(&place.path().join("store")).unwrap();
    import(&kv, &source).unwrap();
    fs::write(source.join("odd"), vec![1; CHUNK_BYTES + 1]).unwrap();
    fs::write(source.join("more"), b"x").unwrap();
    fs::remove_file(source.join("link")).unwrap();
    fs::set_permissions(source.join("a/script"), fs::Permissions::from_mode(0o640)).unwrap();
    let (_, differences) = verify(&kv, &source).unwrap();
    let expected = [
        "a/script: File { mode: 488, bytes: 10, chunks: 1 } in the store, \
         File { mode: 416, bytes: 10, chunks: 1 } outside",
        "link: only in the store",
        "odd: the content differs",
        "more: not in the store",
    ];
    assert_eq!(differences, expected);
}

#[test]
fn a_key_cannot_lead_out_of_the_directory() {
    for key in [
        key!["tree", ".."],
        key!["tree", "a", "."],
        key!["tree", "/etc"],
        key!["tree", ""],
        key!["tree", "a\0b"],
        key!["tree", 7],
    ] {
        assert!(path_of(&key).is_err(), "{key}");
    }
    assert_eq!(path_of(&key!["tree", "a", "..."]).unwrap(), Path::new("a/..."));
}
