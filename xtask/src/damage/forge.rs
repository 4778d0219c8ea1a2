//! Damage under checksums that agree: what somebody does who knows the formats.
//!
//! Nobody can tell such a file from a true one, so nothing is demanded of the answers. But decoders
//! meet what no accident would show them, and must neither panic nor hang nor take what memory a
//! forged length asks for.

use icecore_disk::Name;
use icecore_disk::random::SeededRandom;
use icecore_model::frame::{Frame, Salt};
use icecore_model::hash::{crc32, hash64};
use icecore_model::{LogPosition, Versionstamp};

use super::layout::Placed;

const FOOTER_BYTES: usize = 120;
/// Database id and number, with which the footer begins and all checksums of blocks do.
const IDENTITY_BYTES: usize = 24;
/// Where a footer tells where blocks are: ranges, filter, index, properties.
const HANDLES: [usize; 4] = [24, 40, 56, 72];
const INDEX_HANDLE: usize = 56;
/// Kind, compression, transform, zero, checksum.
const TRAILER_BYTES: usize = 8;

/// The file with a lie in it; `None` if it has no place for one.
pub(super) fn forge(
    name: Name,
    bytes: &[u8],
    frames: &[Placed],
    dice: &SeededRandom,
) -> Option<Vec<u8>> {
    let mut out = bytes.to_vec();
    match name {
        Name::Current => {
            spoil(out.get_mut(8..40)?, dice);
            seal(&mut out, 40);
        }
        Name::Manifest(_) | Name::Wal(_) if !frames.is_empty() && !dice.one_in(8) => {
            let salt = Salt(u64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?));
            forge_frame(&mut out, frames[below(dice, frames.len())], salt, dice)?;
        }
        Name::Manifest(_) => {
            spoil(out.get_mut(8..48)?, dice);
            seal(&mut out, 48);
        }
        Name::Wal(_) => {
            spoil(out.get_mut(8..72)?, dice);
            let checksum = hash64(out.get(..72)?);
            out.get_mut(72..80)?.copy_from_slice(&checksum.to_le_bytes());
        }
        Name::Table(_) if dice.one_in(8) => forge_footer(&mut out, dice)?,
        Name::Table(_) => forge_block(&mut out, dice)?,
        Name::Lock | Name::Temp(_) => return None,
    }
    Some(out)
}

/// Changes a few bytes, or makes a number of eight bytes as large as it can be.
fn spoil(bytes: &mut [u8], dice: &SeededRandom) {
    if bytes.is_empty() {
        return;
    }
    let at = below(dice, bytes.len());
    match below(dice, 4) {
        0 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
        1 => bytes[at] = bytes[at].wrapping_add(1),
        2 => bytes[at] ^= 1 << below(dice, 8),
        _ => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = dice.next().to_le_bytes()[0]),
    }
}

/// Writes the CRC-32 of all that lies before `at` there.
fn seal(bytes: &mut [u8], at: usize) {
    let checksum = crc32(&bytes[..at]);
    bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}

fn forge_frame(out: &mut [u8], place: Placed, salt: Salt, dice: &SeededRandom) -> Option<()> {
    let (start, end) = (place.start, place.end);
    let frame = Frame::decode(&out[start..], u32::try_from(start).ok()?, salt).ok()?;
    let (mut header, mut payload) = (frame.header, frame.payload.to_vec());
    match below(dice, 8) {
        0 => header.kind = header.kind.wrapping_add(1) % 5,
        1 => header.stamp = Versionstamp::new(u64::MAX >> below(dice, 3)),
        2 => header.durable = LogPosition::from_u64(dice.next()),
        3 => header.clock_ms = u64::MAX,
        _ => spoil(&mut payload, dice),
    }
    let sealed = header.encode(&payload, salt);
    out[start..start + sealed.len()].copy_from_slice(&sealed);
    out[start + sealed.len()..end].copy_from_slice(&payload);
    Some(())
}

fn forge_footer(out: &mut [u8], dice: &SeededRandom) -> Option<()> {
    let footer = out.len().checked_sub(FOOTER_BYTES)?;
    let footer = &mut out[footer..];
    // The first part leads to blocks; id and number are compared with the manifest.
    spoil(&mut footer[24..96], dice);
    let checked = [&footer[..104], &footer[108..]].concat();
    let checksum = crc32(&checked);
    footer[104..108].copy_from_slice(&checksum.to_le_bytes());
    Some(())
}

fn forge_block(out: &mut [u8], dice: &SeededRandom) -> Option<()> {
    let mut blocks = blocks(out)?;
    let identity: [u8; IDENTITY_BYTES] = *out[out.len() - FOOTER_BYTES..].first_chunk()?;
    let (start, bytes) = blocks.swap_remove(below(dice, blocks.len()));
    let block = out.get_mut(start..start.checked_add(bytes)?)?;
    let stored = bytes.checked_sub(TRAILER_BYTES)?;
    // Mostly the ends of a body, where its counts are.
    match below(dice, 3) {
        0 => spoil(&mut block[..stored], dice),
        1 => spoil(&mut block[stored.saturating_sub(12)..stored], dice),
        _ => spoil(&mut block[stored..stored + 4], dice),
    }
    let offset = (start as u64).to_le_bytes();
    let checked = [&identity[..], &offset, &block[..stored + 4]].concat();
    block[stored + 4..].copy_from_slice(&crc32(&checked).to_le_bytes());
    Some(())
}

/// All blocks of a table: where each begins, and its length.
fn blocks(table: &[u8]) -> Option<Vec<(usize, usize)>> {
    let footer = &table[table.len().checked_sub(FOOTER_BYTES)?..];
    let number = |at: usize| {
        let bytes = footer.get(at..at + 8)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let handle = |at: usize| Some((number(at)?, number(at + 8)?));
    let mut blocks: Vec<_> = HANDLES.into_iter().filter_map(handle).collect();
    blocks.retain(|(_, bytes)| *bytes > 0);
    let (start, bytes) = handle(INDEX_HANDLE)?;
    let body = table.get(start..start + bytes.checked_sub(TRAILER_BYTES)?)?;
    let (before, tail) = body.split_last_chunk::<8>()?;
    let number = |bytes: &[u8]| Some(u32::from_le_bytes(*bytes.first_chunk()?) as usize);
    let (count, prefix) = (number(tail)?, number(&tail[4..])?);
    // The ends of the blocks lie before the places of entries (four bytes each) and the prefix.
    let places = before.len().checked_sub(prefix)?.checked_sub(count.checked_mul(4)?)?;
    let ends = before.get(places.checked_sub(count.checked_mul(8)?)?..places)?;
    let mut begin = 0;
    for end in ends.as_chunks::<8>().0 {
        let end = usize::try_from(u64::from_le_bytes(*end)).ok()?;
        blocks.push((begin, end.checked_sub(begin)?));
        begin = end;
    }
    Some(blocks)
}

fn below(dice: &SeededRandom, bound: usize) -> usize {
    usize::try_from(dice.below(bound as u64)).expect("it is below a usize")
}
