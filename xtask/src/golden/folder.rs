//! Where the golden stores are kept: `engine/tests/golden/stores`.
//!
//! The test that holds them is there, too, and shares its reading of archives and contents.

use std::path::PathBuf;

#[path = "../../../engine/tests/golden/archive.rs"]
pub(crate) mod archive;
#[path = "../../../engine/tests/golden/contents.rs"]
pub(crate) mod contents;

/// A golden store.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) files: archive::Files,
    /// How many entries it shows, and the hash of all of them.
    pub(crate) expected: String,
}

fn path(name: &str) -> PathBuf {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/tests/golden/stores");
    PathBuf::from(tests).join(name)
}

/// All golden stores, in the order of their names.
pub(crate) fn all() -> Result<Vec<Golden>, String> {
    let list = String::from_utf8(read("contents.txt")?).map_err(|error| error.to_string())?;
    let golden = |line: &str| {
        let (name, expected) = line.split_once(' ').ok_or_else(|| format!("what is {line:?}?"))?;
        let files = archive::unpack(&read(&format!("{name}.store"))?)
            .map_err(|what| format!("{name}: {what}"))?;
        Ok(Golden { name: name.to_owned(), files, expected: expected.to_owned() })
    };
    list.lines().map(golden).collect()
}

/// Writes the store's archive.
pub(crate) fn write(golden: &Golden) -> Result<(), String> {
    put(&format!("{}.store", golden.name), &archive::pack(&golden.files))
}

/// Writes the list, if it has changed.
pub(crate) fn list(all: &[Golden]) -> Result<(), String> {
    let line = |golden: &Golden| format!("{} {}\n", golden.name, golden.expected);
    let list: String = all.iter().map(line).collect();
    if read("contents.txt")? == list.as_bytes() {
        Ok(())
    } else {
        put("contents.txt", list.as_bytes())
    }
}

#[expect(clippy::disallowed_methods, reason = "the golden stores are files of the repository")]
fn read(name: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path(name)).map_err(|error| format!("cannot read {name}: {error}"))
}

#[expect(clippy::disallowed_methods, reason = "the golden stores are files of the repository")]
fn put(name: &str, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))
}
