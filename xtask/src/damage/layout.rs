//! What is alive in the directory of a store, read by the page on formats alone.
//!
//! It says of any damage whether it must be found: the oracle of the check. It shares the frame and
//! the reader of numbers with the store, and nothing else.
//!
//! Of a directory, these bytes live:
//!
//! 1. `CURRENT`, and every table that the manifest lists, in whole.
//! 2. Of the manifest that `CURRENT` names: the header and the frames.
//! 3. Of a log segment that the manifest lists: the header block and the frames, not what lies
//!    between or behind them. The file must not be shorter than its header says.
//!
//! Damage to them is *provable* unless it destroys the only witness: the last edits of a manifest
//! with nothing behind them, or the last frames of a log that no surviving frame behind the hole,
//! no flushed stamp and no clean end knows of.

use std::ops::Range;

use icecore_disk::Name;
use icecore_model::frame::{Frame, Salt};
use icecore_model::{LogPosition, Malformed, Reader};

use crate::golden::folder::archive::Files;

const MANIFEST_HEADER_BYTES: usize = 52;

/// A frame in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) start: usize,
    pub(super) end: usize,
    stamp: u64,
    durable: LogPosition,
}

/// A log segment that the manifest lists.
#[derive(Debug)]
struct Segment {
    name: Name,
    number: u32,
    header_bytes: usize,
    bytes: usize,
    /// The stamp before its first frame.
    last: u64,
    frames: Vec<Placed>,
}

/// What is alive.
#[derive(Debug)]
pub(super) struct Layout {
    manifest: Name,
    edits: Vec<Placed>,
    tables: Vec<u64>,
    segments: Vec<Segment>,
    flushed: u64,
    closed: bool,
}

/// What must come of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// No living byte is concerned: nothing may change.
    Dead,
    /// The last edits of the manifest are gone, and nothing proves it. The content must be the
    /// same, or the store is refused.
    LastEdits,
    /// The log ends before this frame of its last segment, and nothing proves that it went on.
    Torn(usize),
    /// It must be found.
    Provable,
}

impl Layout {
    pub(super) fn of(files: &Files) -> Result<Layout, String> {
        let find = |name: Name| files.iter().find(|(n, _)| *n == name).map(|(_, bytes)| &bytes[..]);
        let current = find(Name::Current).ok_or("there is no CURRENT")?;
        let number = number_at(current, 32).ok_or("CURRENT is too short")?;
        let manifest = Name::Manifest(number);
        let bytes = find(manifest).ok_or("there is no manifest")?;
        let mut layout = Layout {
            manifest,
            edits: Vec::new(),
            tables: Vec::new(),
            segments: Vec::new(),
            flushed: 0,
            closed: false,
        };
        let salt = Salt(number_at(bytes, 40).ok_or("the manifest is too short")?);
        let mut active = Vec::new();
        let mut at = MANIFEST_HEADER_BYTES;
        while let Some((placed, frame)) = frame_at(bytes, at, salt) {
            let read = match frame.header.kind {
                1 => layout.read_snapshot(frame.payload, &mut active),
                _ => layout.read_edit(frame.payload, &mut active),
            };
            read.map_err(|malformed| format!("{manifest} at byte {at}: {malformed}"))?;
            layout.edits.push(placed);
            at = placed.end;
        }
        for number in active {
            let name = Name::Wal(u64::from(number));
            let bytes = find(name).ok_or_else(|| format!("there is no {name}"))?;
            layout.segments.push(Segment::of(name, number, bytes).ok_or("what is this segment?")?);
        }
        Ok(layout)
    }

    fn read_snapshot(&mut self, payload: &[u8], active: &mut Vec<u32>) -> Result<(), Malformed> {
        let mut reader = Reader::new(payload);
        reader.bytes(16, "an id")?;
        for _ in 0..reader.varint("a count")? {
            reader.bytes(16, "an id")?;
        }
        self.flushed = reader.varint("flushed")?;
        reader.varint("the ceiling")?;
        self.closed = reader.u8("closed")? != 0;
        reader.varint("the next table")?;
        for _ in 0..reader.varint("a count")? {
            active.push(segment_number(&mut reader)?);
        }
        for _ in 0..reader.varint("a count")? {
            self.tables.push(table_number(&mut reader)?);
        }
        Ok(())
    }

    fn read_edit(&mut self, payload: &[u8], active: &mut Vec<u32>) -> Result<(), Malformed> {
        let mut reader = Reader::new(payload);
        while reader.left() > 0 {
            match reader.u8("a field")? {
                1 => self.tables.push(table_number(&mut reader)?),
                2 => {
                    reader.varint("a level")?;
                    let number = reader.varint("a table")?;
                    // Removals come before additions: the one that was listed first goes.
                    let place = self.tables.iter().position(|table| *table == number);
                    self.tables.remove(place.expect("what is removed was listed"));
                }
                3 => self.flushed = reader.varint("flushed")?,
                5 => active.push(segment_number(&mut reader)?),
                6 => {
                    let below = segment_number(&mut reader)?;
                    active.retain(|segment| *segment >= below);
                }
                8 => self.closed = true,
                9 => {
                    reader.u8("a keyspace")?;
                    reader.varint("a stamp")?;
                }
                _ => drop(reader.varint("a number")?),
            }
        }
        Ok(())
    }

    /// What must come of it that the file `name` is as `now`, or not there.
    pub(super) fn judge(&self, name: Name, before: &[u8], now: Option<&[u8]>) -> Verdict {
        let segment = self.segments.iter().position(|segment| segment.name == name);
        let is_table = matches!(name, Name::Table(number) if self.tables.contains(&number));
        let lives = segment.is_some() || is_table || [Name::Current, self.manifest].contains(&name);
        match (now, segment) {
            _ if !lives || now == Some(before) => Verdict::Dead,
            (Some(now), Some(place)) => self.judge_segment(place, before, now),
            (Some(now), None) if name == self.manifest => self.judge_manifest(before, now),
            _ => Verdict::Provable,
        }
    }

    fn judge_manifest(&self, before: &[u8], now: &[u8]) -> Verdict {
        let hit = |range: Range<usize>| now.get(range.clone()) != Some(&before[range]);
        let lost = |edit: &Placed| hit(edit.start..edit.end);
        match self.edits.iter().position(lost) {
            _ if hit(0..MANIFEST_HEADER_BYTES) => Verdict::Provable,
            None => Verdict::Dead,
            Some(0) => Verdict::Provable,
            Some(first) if self.edits[first..].iter().all(lost) => Verdict::LastEdits,
            Some(_) => Verdict::Provable,
        }
    }

    fn judge_segment(&self, place: usize, before: &[u8], now: &[u8]) -> Verdict {
        let segment = &self.segments[place];
        let hit = |range: Range<usize>| now.get(range.clone()) != Some(&before[range]);
        let lost = |frame: &Placed| hit(frame.start..frame.end);
        if hit(0..segment.header_bytes) || now.len() < segment.bytes {
            return Verdict::Provable;
        }
        let Some(first) = segment.frames.iter().position(lost) else { return Verdict::Dead };
        let last_intact = first.checked_sub(1).map(|before| segment.frames[before]);
        let end = last_intact.map_or(segment.header_bytes, |frame| frame.end);
        let end = u32::try_from(end).expect("places in a segment have 32 bits");
        let hole = LogPosition::new(segment.number, end);
        let is_witness = |frame: &Placed| !lost(frame) && frame.durable > hole;
        let is_flushed = last_intact.map_or(segment.last, |frame| frame.stamp) < self.flushed;
        let is_last = place + 1 == self.segments.len();
        if !is_last || self.closed || is_flushed || segment.frames[first..].iter().any(is_witness) {
            return Verdict::Provable;
        }
        Verdict::Torn(first)
    }

    /// The last segment, and its bytes when it ends before its frame `first`.
    pub(super) fn torn_at(&self, files: &Files, first: usize) -> (Name, Vec<u8>) {
        let segment = self.segments.last().expect("a log is torn in a segment");
        let (_, bytes) = files.iter().find(|(n, _)| *n == segment.name).expect("it is there");
        let mut bytes = bytes.clone();
        bytes[segment.frames[first].start..].fill(0);
        (segment.name, bytes)
    }

    /// The frames of the file, if it has any that live.
    pub(super) fn frames(&self, name: Name) -> &[Placed] {
        if name == self.manifest {
            return &self.edits;
        }
        let segment = self.segments.iter().find(|segment| segment.name == name);
        segment.map_or(&[], |segment| &segment.frames)
    }
}

impl Segment {
    fn of(name: Name, number: u32, bytes: &[u8]) -> Option<Segment> {
        let header_bytes = u32::from_le_bytes(bytes.get(12..16)?.try_into().ok()?) as usize;
        let length = u32::from_le_bytes(bytes.get(36..40)?.try_into().ok()?) as usize;
        let salt = Salt(number_at(bytes, 40)?);
        let last = number_at(bytes, 48)?;
        let whole = bytes.get(..length)?;
        let mut frames: Vec<Placed> = Vec::new();
        let mut end = header_bytes;
        loop {
            let aligned = end.next_multiple_of(header_bytes);
            let next = [end, aligned].into_iter().find_map(|at| {
                let (placed, frame) = frame_at(whole, at, salt)?;
                (usize::from(frame.header.padding) == at - end).then_some(placed)
            });
            let Some(placed) = next else { break };
            end = placed.end;
            frames.push(placed);
        }
        Some(Segment { name, number, header_bytes, bytes: length, last, frames })
    }
}

fn frame_at(bytes: &[u8], at: usize, salt: Salt) -> Option<(Placed, Frame<'_>)> {
    let frame = Frame::decode(bytes.get(at..)?, u32::try_from(at).ok()?, salt).ok()?;
    let (stamp, durable) = (frame.header.stamp.get(), frame.header.durable);
    Some((Placed { start: at, end: at + frame.bytes(), stamp, durable }, frame))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn segment_number(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let malformed = reader.malformed("a segment");
    u32::try_from(reader.varint("a segment")?).map_err(|_| malformed)
}

fn table_number(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    reader.varint("a level")?;
    let length = reader.length(reader.left(), "a summary")?;
    let mut summary = Reader::new(reader.bytes(length, "a summary")?);
    summary.varint("a table")
}
