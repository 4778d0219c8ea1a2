//! Any bytes in the place of a log segment are recovered as a prefix, or named as damage.
#![no_main]

use icecore_disk::Name;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_model::{DatabaseId, Versionstamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let disk = SimDisk::new(1, Rules::none());
    disk.kill();
    disk.write_file(Name::Wal(1), bytes);
    let disk = disk.reopen();
    let database = DatabaseId(bytes.get(16..32).map_or([0; 16], |id| {
        id.try_into().expect("the range has sixteen bytes")
    }));
    let mut last = Versionstamp::ZERO;
    let _ = icecore_wal::recover(&*disk, database, &[1], Versionstamp::ZERO, &mut |commit| {
        assert!(commit.stamp > last);
        last = commit.stamp;
        Ok(())
    });
});
