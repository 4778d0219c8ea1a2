//! Any damage at all to a log at rest: what is read is a prefix of what was written, or an error.

use std::sync::LazyLock;

use icecore_disk::Name;
use icecore_disk::sim::{Crash, Rules, SimDisk};
use icecore_model::{LogPosition, Versionstamp};
use icecore_wal::{Error, recover};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{BUFFERED, DATABASE, Read, SYNC, Store, forge, forged};

/// Two segments, the first of a stopped machine's log: their bytes, and the commits.
struct Sample {
    segments: [Vec<u8>; 2],
    commits: Vec<Read>,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let store = Store::new();
    let mut commits = Vec::new();
    let mut more = 4;
    while store.log.stats().segments < 2 || more > 0 {
        let payload = vec![u8::try_from(commits.len()).unwrap(); 10 + 97 * (commits.len() % 5)];
        let durability = if commits.len() % 3 == 1 { SYNC } else { BUFFERED };
        let stamp = store.commit(&payload, durability);
        commits.push((stamp.get(), payload));
        more -= u32::from(store.log.stats().segments == 2);
    }
    store.disk.crash(Crash::KeepAll);
    let read = |n| store.disk.read_file(Name::Wal(n)).unwrap();
    Sample { segments: [read(1), read(2)], commits }
});

fn read_damaged(segments: &[Vec<u8>]) -> (Vec<Read>, Result<(), Error>) {
    let disk = SimDisk::new(0, Rules::none());
    disk.crash(Crash::KeepAll);
    for (number, bytes) in (1..).zip(segments) {
        disk.write_file(Name::Wal(number), bytes);
    }
    let mut read = Vec::new();
    let result = recover(&*disk.reopen(), DATABASE, &[1, 2], Versionstamp::ZERO, &mut |commit| {
        read.push((commit.stamp.get(), commit.effects.to_vec()));
        Ok(())
    });
    (read, result.map(|_| ()))
}

fn is_a_prefix_or_an_error(segments: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let (read, result) = read_damaged(segments);
    prop_assert_eq!(&SAMPLE.commits[..read.len()], &read[..]);
    let expected =
        matches!(result, Ok(()) | Err(Error::Corrupt { .. } | Error::UnknownFormat { .. }));
    prop_assert!(expected, "{:?}", result);
    Ok(())
}

#[test]
fn the_sample_itself_is_whole() {
    let (read, result) = read_damaged(&SAMPLE.segments);
    result.unwrap();
    assert_eq!(read, SAMPLE.commits);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn changed_bytes_give_a_prefix_or_an_error(
        which in 0..2usize,
        changes in vec((0..4096usize, any::<u8>()), 1..6),
    ) {
        let mut segments = SAMPLE.segments.clone();
        for (at, byte) in changes {
            segments[which][at] = byte;
        }
        is_a_prefix_or_an_error(&segments)?;
    }

    #[test]
    fn lost_repeated_and_exchanged_sectors_give_a_prefix_or_an_error(
        moves in vec(((0..2usize, 0..8usize), (0..2usize, 0..8usize)), 1..4),
    ) {
        let mut segments = SAMPLE.segments.clone();
        for ((from, source), (to, target)) in moves {
            let sector = SAMPLE.segments[from][source * 512..][..512].to_vec();
            segments[to][target * 512..][..512].copy_from_slice(&sector);
        }
        is_a_prefix_or_an_error(&segments)?;
    }

    #[test]
    fn any_length_gives_a_prefix_or_an_error(which in 0..2usize, length in 0..6000usize) {
        let mut segments = SAMPLE.segments.clone();
        segments[which].resize(length, 0xa5);
        is_a_prefix_or_an_error(&segments)?;
    }

    #[test]
    fn frames_by_somebody_who_knows_the_salt_are_a_log_or_an_error(
        forgeries in vec((0..4u8, 0..5u64, 1..4096u32, 0..80usize, any::<[bool; 2]>()), 1..12),
    ) {
        let mut segments = SAMPLE.segments.clone();
        let mut position = 512;
        for (kind, stamp, jump, length, [padded, knows]) in forgeries {
            let next = if padded { jump.next_multiple_of(512).max(position) } else { position };
            if next as usize + 40 + length > 4096 {
                break;
            }
            let mut header = forged(kind, next, stamp);
            header.padding = u16::try_from(next - position).unwrap();
            header.durable = LogPosition::new(1, if knows { jump } else { 0 });
            forge(&mut segments[0], header, &vec![kind; length]);
            position = next + 40 + u32::try_from(length).unwrap();
        }
        let (read, result) = read_damaged(&segments);
        prop_assert!(read.windows(2).all(|w| w[0].0 < w[1].0));
        let expected = matches!(result, Ok(()) | Err(Error::Corrupt { .. }));
        prop_assert!(expected, "{:?}", result);
    }

    #[test]
    fn any_bytes_are_no_log(bytes in vec(any::<u8>(), 0..2000)) {
        let (read, result) = read_damaged(&[bytes.clone(), bytes]);
        prop_assert!(read.is_empty() && result.is_err());
    }
}
