//! The parts of a store without the store, for those who examine the decoders one by one, as the
//! fuzz targets do. Applications have no use for it.

use icecore_disk::Disk;

use crate::error::Error;
use crate::manifest::Manifest;

/// Reads the manifest `number` from the start to its end. Gives its catalog as the payload of a
/// snapshot: the first frame of a manifest that would say the same.
///
/// # Errors
/// For everything that opening a store would refuse.
pub fn replay_manifest(disk: &dyn Disk, number: u64) -> Result<Vec<u8>, Error> {
    Manifest::load_numbered(disk, number, None).map(|loaded| loaded.catalog.encode())
}
