//! Any frames in a segment of the log.
//!
//! The frames have right checksums and anything else in them; between them may be any bytes. The
//! rules of the format are stated a second time here, so that recovery is compared with them:
//!
//! 1. What is read encodes to the bytes that were read.
//! 2. Recovery gives the same commits as the rules, and calls the same logs damaged: an order of
//!    stamps that is none, a frame that knows the future, a frame of no known kind, a hole below
//!    what a later frame knew to be durable.
//! 3. Of a front part of the log, recovery gives a front part of the commits.
//! 4. Salvage gives every commit that recovery gives.

use icecore_disk::sim::SimDisk;
use icecore_model::frame::{Frame, Salt};
use icecore_model::{DatabaseId, LogPosition, Versionstamp};
use icecore_wal::{Ending, salvage};

use crate::allocation::{MARGIN_BYTES, TIMES, bounded_by};
use crate::choices::Choices;
use crate::wal_image::{
    BEACON, COMMIT, DATABASE, END, Made, NUMBER, header_block, machine, number, recovered,
};

const BLOCK: usize = 512;
const SEGMENT: usize = 4096;
const SALT: Salt = Salt(0x0123_4567_89ab_cdef);
/// The last stamp before the segment.
const BEFORE: u64 = 10;

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    if choices.byte().is_multiple_of(4) {
        any_file(choices.rest());
        return;
    }
    let cut = choices.below(SEGMENT);
    let image = frames(&mut choices);
    let (commits, ended) = recovered(&image, DATABASE);
    let read = Rules::read(&image);
    assert_eq!(commits, read.commits, "{ended:?}");
    assert_eq!(ended.is_err(), read.damaged, "{ended:?}");
    if let Ok(recovery) = &ended {
        let clean = matches!(recovery.ending, Ending::Clean);
        assert_eq!(clean, read.closed, "a log is clean if and only if it has its end");
        assert_eq!(recovery.last, Some(Versionstamp::new(read.last)));
    }
    all_is_salvaged(&image, &commits);
    let mut front = image;
    front[cut.max(BLOCK)..].fill(0);
    let (fewer, _) = recovered(&front, DATABASE);
    assert!(commits.starts_with(&fewer), "the front of a log is a front of its commits");
}

/// Any bytes in the place of the file.
fn any_file(bytes: &[u8]) {
    let database = bytes.get(16..32).and_then(|id| id.try_into().ok()).unwrap_or_default();
    // The machine's own copies of the file are no allocation of the decoder.
    let (disk, mut last) = (machine(bytes), Versionstamp::ZERO);
    // The log is read in pieces of one MiB.
    bounded_by(TIMES * bytes.len() + 2 * MARGIN_BYTES, || {
        let after = Versionstamp::ZERO;
        icecore_wal::recover(&*disk, DatabaseId(database), &[NUMBER], after, &mut |commit| {
            assert!(commit.stamp > last, "stamps rise");
            last = commit.stamp;
            Ok(())
        })
        .ok();
    });
}

/// An image of a segment, with frames as the choices make them.
fn frames(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut image = header_block(BLOCK, SEGMENT, SALT, BEFORE);
    let mut stamp = BEFORE;
    while !choices.is_empty() && image.len() < SEGMENT {
        let shape = choices.byte();
        let mut frame = Made {
            kind: match shape % 8 {
                0..5 => COMMIT,
                5 => BEACON,
                6 => END,
                _ => choices.byte(),
            },
            padding: 0,
            stamp,
            durable: choices.pick(&[0, number(BLOCK), number(image.len())]),
            payload: Vec::new(),
        };
        if frame.kind == COMMIT {
            frame.stamp = frame.stamp.saturating_add(1);
            let length = choices.below(64);
            frame.payload = choices.take(length).to_vec();
        }
        spoil(&mut frame, shape, choices);
        if shape & 8 == 8 {
            let start = image.len().next_multiple_of(BLOCK);
            frame.padding = u16::try_from(start - image.len()).expect("blocks are small");
            image.resize(start, choices.byte());
        }
        frame.append(&mut image, SALT);
        stamp = frame.stamp;
        if shape & 0xf0 == 0xf0 {
            let length = choices.below(48);
            image.extend_from_slice(choices.take(length));
        }
    }
    image.resize(SEGMENT, 0);
    image
}

/// Makes one frame in a few what it must not be.
fn spoil(frame: &mut Made, shape: u8, choices: &mut Choices<'_>) {
    match shape & 0xf0 {
        0x80 => frame.stamp = choices.word() >> choices.below(64),
        0x90 => frame.durable = choices.below(2 * SEGMENT).try_into().expect("it is small"),
        0xa0 => frame.payload = choices.take(8).to_vec(),
        _ => {}
    }
}

/// Salvage goes past damage; so it never finds less.
fn all_is_salvaged(image: &[u8], commits: &[(u64, Vec<u8>)]) {
    let disk: std::sync::Arc<SimDisk> = machine(image);
    let (zero, mut found) = (Versionstamp::ZERO, Vec::new());
    let salvaged = salvage(&*disk, DATABASE, &[NUMBER], zero, zero, &mut |commit| {
        found.push((commit.stamp.get(), commit.effects.to_vec()));
        Ok(())
    });
    assert!(salvaged.is_ok(), "what cannot be read is part of the answer");
    assert!(commits.iter().all(|commit| found.contains(commit)), "{commits:?} of {found:?}");
}

/// What the words of the format say about an image.
#[derive(Default)]
struct Rules {
    commits: Vec<(u64, Vec<u8>)>,
    damaged: bool,
    closed: bool,
    last: u64,
}

impl Rules {
    fn read(image: &[u8]) -> Rules {
        let mut rules = Rules { last: BEFORE, ..Rules::default() };
        let mut end = BLOCK;
        while let Some((start, frame)) = next(image, end) {
            let encoded = frame.header.encode(frame.payload, SALT);
            let bytes = &image[start..start + frame.bytes()];
            assert_eq!([&encoded, frame.payload].concat(), bytes, "a frame encodes as it was read");
            if !rules.takes(start, &frame) {
                rules.damaged = true;
                return rules;
            }
            end = start + frame.bytes();
        }
        rules.damaged = proves_damage(image, end) || rules.closed && frame_beyond(image, end);
        rules
    }

    /// Whether a frame is valid where it stands.
    fn takes(&mut self, start: usize, frame: &Frame<'_>) -> bool {
        let header = &frame.header;
        let stamp = header.stamp.get();
        let knows_the_past = header.durable <= LogPosition::new(NUMBER, number(start));
        let fits = match header.kind {
            COMMIT => stamp > self.last && stamp <= Versionstamp::ISSUED_MAX.get(),
            BEACON | END => stamp == self.last && frame.payload.is_empty(),
            _ => false,
        };
        if self.closed || !knows_the_past || !fits {
            return false;
        }
        self.last = stamp;
        self.closed = header.kind == END;
        if header.kind == COMMIT {
            self.commits.push((stamp, frame.payload.to_vec()));
        }
        true
    }
}

/// The frame at `start`, if one verifies there.
fn at(image: &[u8], start: usize) -> Option<Frame<'_>> {
    Frame::decode(image.get(start..)?, number(start), SALT).ok()
}

/// The frame that follows one which ends at `end`: there, or where the next block begins.
fn next(image: &[u8], end: usize) -> Option<(usize, Frame<'_>)> {
    let boundary = end.next_multiple_of(BLOCK);
    [end, boundary].into_iter().find_map(|start| {
        let frame = at(image, start)?;
        (usize::from(frame.header.padding) == start - end).then_some((start, frame))
    })
}

/// The frames behind the hole at `end` that begin with a block or follow one that does.
fn beyond(image: &[u8], end: usize) -> impl Iterator<Item = Frame<'_>> {
    let boundaries = (end.next_multiple_of(BLOCK)..SEGMENT).step_by(BLOCK);
    boundaries.flat_map(move |boundary| {
        let mut place = at(image, boundary).map(|frame| (boundary, frame));
        std::iter::from_fn(move || {
            let (start, frame) = place.take()?;
            place = next(image, start + frame.bytes());
            Some(frame)
        })
    })
}

fn proves_damage(image: &[u8], end: usize) -> bool {
    let hole = LogPosition::new(NUMBER, number(end));
    beyond(image, end).any(|frame| frame.header.durable > hole)
}

fn frame_beyond(image: &[u8], end: usize) -> bool {
    beyond(image, end).next().is_some()
}
