//! A store of nothing but a log, on a simulated machine.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use icecore_disk::random::SeededRandom;
use icecore_disk::sim::{Rules, SimDisk};
use icecore_disk::{Disk, Name};
use icecore_model::frame::{Frame, FrameHeader, HEADER_BYTES, Salt};
use icecore_model::{DatabaseId, LogPosition, Versionstamp};
use icecore_wal::{Claim, Durability, Error, Log, LogEnv, LogOptions, Recovery, Roster, recover};

pub(crate) const DATABASE: DatabaseId = DatabaseId(*b"a database's id.");
pub(crate) const SYNC: Durability = Durability::Sync;
pub(crate) const BUFFERED: Durability = Durability::Buffered;
pub(crate) const SMALL: LogOptions =
    LogOptions { segment_bytes: 4096, block_bytes: 512, writes_in_flight: 4, spare_segments: 1 };

/// The list of segments, which is as durable as its machine's operator remembers.
#[derive(Default)]
pub(crate) struct TestRoster {
    pub(crate) active: Mutex<Vec<u32>>,
    pub(crate) full: AtomicBool,
    /// Only the reserve is left, and so much of it for commits that free space.
    pub(crate) left: Mutex<Option<u64>>,
    pub(crate) broken: AtomicBool,
    /// There is no room for the list itself.
    pub(crate) list_full: AtomicBool,
}

impl Roster for TestRoster {
    fn activate(&self, segment: u32, _ceiling: Versionstamp) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the manifest failed"));
        }
        if self.list_full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.active.lock().unwrap().push(segment);
        Ok(())
    }

    fn admit(&self, bytes: u64, claim: Claim) -> io::Result<()> {
        if let Some(left) = *self.left.lock().unwrap()
            && (claim == Claim::Ordinary || bytes > left)
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if bytes > 0 && self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// A log and what it stands on.
pub(crate) struct Store {
    pub(crate) log: Log,
    pub(crate) disk: Arc<SimDisk>,
    pub(crate) roster: Arc<TestRoster>,
}

/// A commit as recovery gives it.
pub(crate) type Read = (u64, Vec<u8>);

impl Store {
    pub(crate) fn new() -> Store {
        Store::on(SimDisk::new(1, Rules::power_cut()), SMALL)
    }

    pub(crate) fn on(disk: Arc<SimDisk>, options: LogOptions) -> Store {
        let roster = Arc::new(TestRoster::default());
        let env = env(disk.clone(), roster.clone());
        let log = Log::create(env, options, 1, None, Versionstamp::ZERO).unwrap();
        roster.active.lock().unwrap().push(1);
        Store { log, disk, roster }
    }

    /// Appends the commit with the next stamp, and says which that is.
    pub(crate) fn append(&self, effects: &[u8], durability: Durability) -> Versionstamp {
        self.try_append(effects, durability).unwrap()
    }

    pub(crate) fn try_append(
        &self,
        effects: &[u8],
        durability: Durability,
    ) -> Result<Versionstamp, Error> {
        self.try_append_with(effects, durability, Claim::Ordinary)
    }

    pub(crate) fn try_append_with(
        &self,
        effects: &[u8],
        durability: Durability,
        claim: Claim,
    ) -> Result<Versionstamp, Error> {
        self.log.reserve(effects.len(), claim)?;
        let stamp = self.log.last_appended().next();
        self.log.append(stamp, 1000 + stamp.get(), effects, durability)?;
        Ok(stamp)
    }

    pub(crate) fn commit(&self, effects: &[u8], durability: Durability) -> Versionstamp {
        let stamp = self.append(effects, durability);
        self.log.wait(stamp).unwrap();
        stamp
    }

    pub(crate) fn active(&self) -> Vec<u32> {
        self.roster.active.lock().unwrap().clone()
    }

    pub(crate) fn recover(&self, disk: &dyn Disk) -> Result<(Recovery, Vec<Read>), Error> {
        read_all(disk, &self.active())
    }
}

pub(crate) fn env(disk: Arc<dyn Disk>, roster: Arc<dyn Roster>) -> LogEnv {
    let random = Arc::new(SeededRandom::new(disk.list().unwrap().len() as u64));
    LogEnv { disk, random, database: DATABASE, roster }
}

pub(crate) fn read_all(disk: &dyn Disk, active: &[u32]) -> Result<(Recovery, Vec<Read>), Error> {
    let mut read = Vec::new();
    let recovery = recover(disk, DATABASE, active, Versionstamp::ZERO, &mut |commit| {
        assert_eq!(commit.clock_ms, 1000 + commit.stamp.get());
        read.push((commit.stamp.get(), commit.effects.to_vec()));
        Ok(())
    })?;
    Ok((recovery, read))
}

/// The stamps of the commits.
pub(crate) fn stamps(read: &[Read]) -> Vec<u64> {
    read.iter().map(|(stamp, _)| *stamp).collect()
}

/// The places of all frames of a segment, in order, with their headers.
pub(crate) fn frames(disk: &SimDisk, number: u32) -> Vec<(u32, u32, FrameHeader)> {
    let bytes = disk.read_file(Name::Wal(u64::from(number))).unwrap();
    let salt = salt(&bytes);
    let mut found = Vec::new();
    let mut at = 0;
    while at + HEADER_BYTES <= bytes.len() {
        let start = u32::try_from(at).unwrap();
        match Frame::decode(&bytes[at..], start, salt) {
            Ok(frame) => {
                at += frame.bytes();
                found.push((start, u32::try_from(at).unwrap(), frame.header));
            }
            Err(_) => at += 1,
        }
    }
    found
}

pub(crate) fn salt(segment: &[u8]) -> Salt {
    Salt(u64::from_le_bytes(segment[40..48].try_into().unwrap()))
}

/// Writes a frame of our own making over the segment's bytes.
pub(crate) fn forge(segment: &mut [u8], header: FrameHeader, payload: &[u8]) {
    let at = header.position as usize;
    let bytes = header.encode(payload, salt(segment));
    segment[at..at + HEADER_BYTES].copy_from_slice(&bytes);
    segment[at + HEADER_BYTES..][..payload.len()].copy_from_slice(payload);
}

/// A header for [`forge`].
pub(crate) fn forged(kind: u8, position: u32, stamp: u64) -> FrameHeader {
    FrameHeader {
        kind,
        padding: 0,
        position,
        stamp: Versionstamp::new(stamp),
        clock_ms: 1000 + stamp,
        durable: LogPosition::new(0, 0),
    }
}
