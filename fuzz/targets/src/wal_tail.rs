//! A log as it is written, whose tail is damaged, stale, or torn.
//!
//! Groups of commits begin on block boundaries, and each frame tells what was durable before its
//! group; the file held another log before, whose frames still lie behind this one's end. Then
//! sectors are zeroed, brought back from the former life, or changed in a few bytes.
//!
//! 1. Recovery gives a front part of the commits, with their stamps and payloads: no frame of the
//!    former life, and nothing behind a hole (I4).
//! 2. Every commit that lies before the first damaged byte is given.
//! 3. A log is called damaged if a frame that is left, in a group that is whole so far, knew the
//!    hole to be durable; it is not called damaged if no frame behind the hole is left (I5).

use icecore_model::frame::Salt;

use crate::choices::Choices;
use crate::wal_image::{COMMIT, DATABASE, Made, header_block, number, recovered};

const BLOCK: usize = 512;
const SEGMENT: usize = 8192;
const SALT: Salt = Salt(0xfeed_0000_0000_0001);
const FORMER_SALT: Salt = Salt(0xfeed_0000_0000_0002);
/// Damage comes in runs of this length at most.
const RUN: usize = 512;

/// A frame of the log, and where it lies.
struct Placed {
    start: usize,
    end: usize,
    /// Where its group begins.
    group: usize,
    made: Made,
}

/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let former = log(&mut choices, FORMER_SALT, 1).0;
    // The former life was full; this one is not.
    let (mut image, frames) = log(&mut choices, SALT, 100);
    let end = image.len();
    image.extend_from_slice(&former[end.min(former.len())..]);
    image.resize(SEGMENT, 0);
    let whole = image.clone();
    damage(&mut choices, &mut image, &former);
    let first_bad = whole.iter().zip(&image).position(|(a, b)| a != b).unwrap_or(SEGMENT);

    let (commits, ended) = recovered(&image, DATABASE);
    let written: Vec<_> =
        frames.iter().map(|frame| (frame.made.stamp, frame.made.payload.clone())).collect();
    assert!(written.starts_with(&commits), "recovery gives a front of what was written");
    let intact = |frame: &Placed| image[frame.start..frame.end] == whole[frame.start..frame.end];
    let kept = frames.iter().take_while(|frame| intact(frame)).count();
    let untouched = frames.iter().take_while(|frame| frame.end <= first_bad).count();
    assert!(kept >= untouched);
    assert_eq!(commits.len(), kept, "{ended:?}: a commit ends only at a hole");
    let hole = frames.get(kept).map_or(end, |frame| frame.start);
    // A padding that was damaged is no hole; what is known of it lies where the frame begins.
    let proof = frames[kept.min(frames.len())..].iter().any(|frame| {
        let group = frames.iter().filter(|other| other.group == frame.group);
        let reached = group.take_while(|other| other.start <= frame.start).all(intact);
        reached && frame.made.durable as usize > hole
    });
    let later = frames.iter().skip(kept).any(intact);
    assert!(!proof || ended.is_err(), "a frame at the end knew that the hole was durable");
    assert!(later || ended.is_ok(), "{ended:?}: nothing is left behind the hole");
}

/// A log up to its end: the image, and its frames.
fn log(choices: &mut Choices<'_>, salt: Salt, first: u64) -> (Vec<u8>, Vec<Placed>) {
    let mut image = header_block(BLOCK, SEGMENT, salt, first - 1);
    let mut frames: Vec<Placed> = Vec::new();
    let (mut durable, mut group) = (BLOCK, BLOCK);
    let count = choices.below(24);
    for stamp in first..first + count as u64 {
        let shape = choices.byte();
        let mut padding = 0;
        if shape & 1 == 1 {
            // A durable write begins with a block.
            let start = image.len().next_multiple_of(BLOCK);
            padding = start - image.len();
            image.resize(start, 0);
            group = start;
            if shape & 2 == 2 {
                durable = start - padding;
            }
        }
        let made = Made {
            kind: COMMIT,
            padding: u16::try_from(padding).expect("blocks are small"),
            stamp,
            durable: number(durable),
            payload: vec![shape; choices.below(300)],
        };
        let start = image.len();
        if start + made.bytes() > SEGMENT {
            image.truncate(start - padding);
            break;
        }
        made.append(&mut image, salt);
        frames.push(Placed { start, end: image.len(), group, made });
    }
    (image, frames)
}

/// Damages a few runs of bytes behind the header.
fn damage(choices: &mut Choices<'_>, image: &mut [u8], former: &[u8]) {
    for _ in 0..choices.below(4) {
        let kind = choices.byte();
        let start = BLOCK + choices.below(SEGMENT - BLOCK);
        let (start, length) = match kind & 1 {
            0 => (start, 1 + choices.below(8)),
            _ => (start / BLOCK * BLOCK, RUN),
        };
        let run = &mut image[start..(start + length).min(SEGMENT)];
        match kind & 6 {
            0 => run.fill(0),
            2 => run.iter_mut().for_each(|byte| *byte ^= choices.byte().max(1)),
            4 => run.fill(kind),
            _ => {
                let stale = former.iter().copied().chain(std::iter::repeat(0)).skip(start);
                run.iter_mut().zip(stale).for_each(|(byte, stale)| *byte = stale);
            }
        }
    }
}
