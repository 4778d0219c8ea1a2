//! Stores in one file each: how golden directories are kept.
//!
//! ```text
//! archive := "icecore golden store 1" newline file*
//! file    := name space length space kept newline bytes newline
//! ```
//!
//! *length* is that of the file and *kept* how many of its bytes follow, both in decimal digits:
//! the zeros at its end are left out. Files are in the order of their names.

use icecore_disk::{Disk, MemoryDisk, Name};

const FIRST_LINE: &[u8] = b"icecore golden store 1\n";

/// Longer than any file here: a damaged archive takes no memory.
const FILE_BYTES_MAX: usize = 16 << 20;

/// The files of one directory, in the order of their names.
pub(crate) type Files = Vec<(Name, Vec<u8>)>;

/// The bytes of an archive.
pub(crate) fn pack(files: &Files) -> Vec<u8> {
    let mut out = FIRST_LINE.to_vec();
    for (name, bytes) in files {
        let kept = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        out.extend_from_slice(format!("{name} {} {kept}\n", bytes.len()).as_bytes());
        out.extend_from_slice(&bytes[..kept]);
        out.push(b'\n');
    }
    out
}

/// The files in an archive, or what is wrong with it.
pub(crate) fn unpack(archive: &[u8]) -> Result<Files, String> {
    let mut rest = archive.strip_prefix(FIRST_LINE).ok_or("it is not an archive")?;
    let mut files = Files::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or("a line has no end")?;
        let line = str::from_utf8(&rest[..end]).map_err(|error| error.to_string())?;
        rest = &rest[end + 1..];
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(|| format!("{line:?} is not of three words"));
        let name = word()?;
        let name = Name::parse(name).ok_or_else(|| format!("{name:?} is no name of a store"))?;
        let length: usize = word()?.parse().map_err(|error| format!("{line:?}: {error}"))?;
        let kept: usize = word()?.parse().map_err(|error| format!("{line:?}: {error}"))?;
        if length > FILE_BYTES_MAX || kept > length || rest.get(kept) != Some(&b'\n') {
            return Err(format!("{line:?} does not fit what follows"));
        }
        let mut bytes = rest[..kept].to_vec();
        bytes.resize(length, 0);
        files.push((name, bytes));
        rest = &rest[kept + 1..];
    }
    Ok(files)
}

/// A disk with these files.
pub(crate) fn disk_of(files: &[(Name, Vec<u8>)]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for (name, bytes) in files {
        place(&disk, *name, bytes);
    }
    disk
}

/// Puts a file on the disk, in the place of one of this name.
pub(crate) fn place(disk: &MemoryDisk, name: Name, bytes: &[u8]) {
    take_away(disk, name);
    let file = disk.create(name).expect("the name is free");
    file.write_all_at(0, bytes).expect("there is memory");
}

/// Removes a file, if it is there.
pub(crate) fn take_away(disk: &MemoryDisk, name: Name) {
    match disk.remove(name) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name}"),
    }
}
