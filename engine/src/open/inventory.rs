//! What a directory holds, compared with what it should hold.

use std::collections::BTreeSet;

use icecore_disk::{Disk, Listed, Name};
use icecore_model::DatabaseId;

use crate::core::Environment;
use crate::error::Error;
use crate::manifest::{Catalog, Loaded, Manifest};
use crate::options::{Access, Create, Options};

/// Makes an empty store of a directory that holds nothing, or only the beginnings of one.
pub(super) fn create_empty(
    env: &Environment,
    options: &Options,
    listed: &[Listed],
) -> Result<Loaded, Error> {
    may_create(env, options, listed)?;
    remove_files(&*env.disk, listed, |name| matches!(name, Name::Manifest(_) | Name::Temp(_)))?;
    let catalog = Catalog::empty(new_database_id(env)?);
    let manifest = Manifest::create(&*env.disk, &*env.random, 1, &catalog)?;
    Ok(Loaded { catalog, number: manifest.number(), bytes: Vec::new() })
}

/// Refuses to make a store of a directory that holds something else, or parts of one.
pub(super) fn may_create(
    env: &Environment,
    options: &Options,
    listed: &[Listed],
) -> Result<(), Error> {
    let directory = env.disk.label();
    for entry in listed {
        match &entry.name {
            // Creation makes these, and a crash may leave them behind.
            Ok(Name::Lock | Name::Manifest(_) | Name::Temp(_)) => {}
            Ok(name) => {
                let what = format!("it does not exist, but {name} does: part of the store is lost");
                return Err(Error::corrupt(Name::Current, 0, what));
            }
            Err(foreign) => {
                let what =
                    format!("{directory} is not a store: it holds {foreign:?} but no CURRENT");
                return Err(Error::invalid(what));
            }
        }
    }
    if options.create == Create::Never || options.access == Access::ReadOnly {
        return Err(Error::NotFound { directory });
    }
    Ok(())
}

/// A fresh identity.
pub(crate) fn new_database_id(env: &Environment) -> Result<DatabaseId, Error> {
    let draw = || env.random.next_u64().map_err(|e| Error::io("a random number", "draw", e));
    let mut id = [0; 16];
    id[..8].copy_from_slice(&draw()?.to_le_bytes());
    id[8..].copy_from_slice(&draw()?.to_le_bytes());
    Ok(DatabaseId(id))
}

/// Compares what the catalog lists with what the directory holds.
pub(super) fn take_inventory(catalog: &Catalog, listed: &[Listed]) -> Result<(), Error> {
    let find = |name| listed.iter().find(|entry| entry.name == Ok(name));
    for (_, table) in catalog.tables() {
        let name = Name::Table(table.number);
        match find(name) {
            None => return Err(Error::corrupt(name, 0, "the file is missing")),
            Some(entry) if !entry.regular => {
                return Err(Error::corrupt(name, 0, "it is not a regular file"));
            }
            Some(entry) if entry.bytes != table.bytes => {
                let what = format!("it has {} bytes instead of {}", entry.bytes, table.bytes);
                return Err(Error::corrupt(name, entry.bytes.min(table.bytes), what));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The files of this listing that a store with this catalog and manifest does not use.
pub(super) fn unused_files(listed: &[Listed], catalog: &Catalog, manifest: u64) -> Vec<Name> {
    let tables: BTreeSet<u64> = catalog.tables().map(|(_, table)| table.number).collect();
    let unused = |name: &Name| match name {
        Name::Lock | Name::Current => false,
        Name::Manifest(number) => *number != manifest,
        Name::Wal(number) => !catalog.segments.iter().any(|used| u64::from(*used) == *number),
        Name::Table(number) => !tables.contains(number),
        Name::Temp(_) => true,
    };
    listed.iter().filter_map(|entry| entry.name.as_ref().ok()).copied().filter(unused).collect()
}

/// Removes the files of this listing that `condemned` picks.
pub(super) fn remove_files(
    disk: &dyn Disk,
    listed: &[Listed],
    condemned: impl Fn(Name) -> bool,
) -> Result<(), Error> {
    for name in listed.iter().filter_map(|entry| entry.name.as_ref().ok()) {
        if condemned(*name) {
            disk.remove(*name).map_err(|e| Error::io(*name, "remove", e))?;
        }
    }
    Ok(())
}
