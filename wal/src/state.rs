//! What the log's threads share: everything here is guarded by one lock.
//!
//! Nothing here touches the disk, except that a submission is announced to it under the lock, so
//! that writes are submitted in the order of their positions.
//!
//! 1. A commit is *visible* when every earlier one is, and its own durability is reached: a
//!    `Sync` commit lies below the durable position, a `Buffered` one below the written position.
//! 2. A group that must be durable is written durably if everything below it becomes durable by
//!    itself; otherwise it is written plainly and a sync is demanded, which covers both.
//! 3. After a failure nothing moves any more: no write is submitted, no position advances.
//! 4. Behind every commit there is room for a beacon and an end, and behind a beacon for an end, in
//!    the same segment: no commit is ever without a place for what proves that it was durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use icecore_disk::{Buffer, Ticket, Write};
use icecore_model::frame::{FrameHeader, HEADER_BYTES};
use icecore_model::{LogPosition, Planted, Versionstamp, planted};

use crate::alarm::Alarm;
use crate::drive::{Queued, View};
use crate::format::{BEACON, COMMIT, END, align_up};
use crate::group::{GROUP_BYTES, Group};
use crate::log::Goal;
use crate::progress::{Progress, Reach};
use crate::segment::Segment;
use crate::{Claim, Durability, Error, LogStats};

/// Buffers kept for reuse beyond those in flight.
const POOL_MAX: usize = 8;

/// A write in flight.
#[derive(Debug)]
pub(crate) struct Flight {
    end: LogPosition,
    bytes: usize,
    pub(crate) ticket: Ticket,
}

/// A commit that is not visible yet.
#[derive(Clone, Copy, Debug)]
struct Mark {
    stamp: Versionstamp,
    end: LogPosition,
    durability: Durability,
}

/// A thread that waits.
#[derive(Debug)]
pub(crate) struct Sleeper {
    pub(crate) goal: Goal,
    /// Work below this place helps.
    pub(crate) position: LogPosition,
    pub(crate) alarm: Arc<Alarm>,
}

/// What somebody wants to be made durable by a sync. `first` stays while later demands come, so
/// that a stream of them cannot put the sync off for ever.
#[derive(Clone, Copy, Debug)]
struct Demand {
    first: LogPosition,
    last: LogPosition,
}

/// A frame to be appended.
pub(crate) struct NewFrame<'a> {
    pub(crate) kind: u8,
    pub(crate) stamp: Versionstamp,
    pub(crate) clock_ms: u64,
    pub(crate) payload: &'a [u8],
    pub(crate) durable: bool,
}

/// A segment that is full but still on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retired {
    pub(crate) number: u32,
    pub(crate) bytes: u32,
    pub(crate) last: Versionstamp,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) segment: Arc<Segment>,
    pub(crate) retired: Vec<Retired>,
    pub(crate) visible: Versionstamp,
    pub(crate) last_appended: Versionstamp,
    pub(crate) last_clock_ms: u64,
    /// Wakers are left for later: somebody reserves room.
    pub(crate) hushed: bool,
    /// Threads that complete a write just now.
    pub(crate) completing: usize,
    /// Threads that wait for a change.
    pub(crate) sleepers: Vec<Sleeper>,
    /// Threads that wait for work on behalf of asynchronous commits.
    pub(crate) drivers: usize,
    /// The last commit that was announced by a kick.
    pub(crate) kicked: Versionstamp,
    pub(crate) wakers: Vec<(Versionstamp, Waker)>,
    pub(crate) stats: LogStats,
    /// Why the log is poisoned, if it is.
    pub(crate) failure: Option<String>,
    pub(crate) closed: bool,
    /// While a successor is made, nothing may be appended behind the length that it records.
    pub(crate) rotating: bool,
    /// Nobody has asked yet whether commits without a claim to the reserve may use the segment.
    pub(crate) on_reserve: bool,
    /// Where the last frame ends.
    end: u32,
    last_kind: Option<u8>,
    last_group_durable: bool,
    queue: VecDeque<Group>,
    unclaimed: Vec<Flight>,
    unclaimed_starts: Vec<LogPosition>,
    progress: Progress,
    demand: Option<Demand>,
    syncing: bool,
    marks: VecDeque<Mark>,
    pool: Vec<Buffer>,
    limit: usize,
}

impl State {
    /// The state of a log that begins in the empty `segment`; `last` was issued before it.
    pub(crate) fn new(segment: Arc<Segment>, last: Versionstamp, limit: usize) -> State {
        let end = segment.block_bytes;
        let start = Reach { position: LogPosition::new(segment.number, end), stamp: last };
        State {
            segment,
            retired: Vec::new(),
            visible: last,
            last_appended: last,
            last_clock_ms: 0,
            hushed: false,
            completing: 0,
            sleepers: Vec::new(),
            drivers: 0,
            kicked: last,
            wakers: Vec::new(),
            stats: LogStats { segments: 1, ..LogStats::default() },
            failure: None,
            closed: false,
            rotating: false,
            on_reserve: true,
            end,
            last_kind: None,
            last_group_durable: true,
            queue: VecDeque::with_capacity(8),
            unclaimed: Vec::with_capacity(limit),
            unclaimed_starts: Vec::with_capacity(limit),
            progress: Progress::new(start),
            demand: None,
            syncing: false,
            marks: VecDeque::with_capacity(64),
            pool: Vec::with_capacity(POOL_MAX),
            limit,
        }
    }

    /// Goes on in `segment`, which was begun for a commit with this claim. Everything before it is
    /// durable.
    pub(crate) fn switch(&mut self, segment: Arc<Segment>, claim: Claim) {
        assert!(self.queue.is_empty() && self.progress.in_flight() == 0, "the old segment is done");
        let (number, bytes) = (self.segment.number, self.segment.bytes);
        self.retired.push(Retired { number, bytes, last: self.last_appended });
        self.end = segment.block_bytes;
        let position = LogPosition::new(segment.number, self.end);
        self.progress = Progress::new(Reach { position, stamp: self.last_appended });
        self.segment = segment;
        self.on_reserve = claim == Claim::Freeing;
        self.demand = None;
        self.last_group_durable = true;
        self.last_kind = None;
        self.stats.segments += 1;
    }

    /// Whether the log takes frames.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.failure.is_some() {
            Err(Error::Poisoned)
        } else if self.closed {
            Err(Error::Closed)
        } else {
            Ok(())
        }
    }

    /// Where the last frame ends.
    pub(crate) fn end(&self) -> LogPosition {
        LogPosition::new(self.segment.number, self.end)
    }

    /// How far the log is durable.
    pub(crate) fn durable(&self) -> Reach {
        self.progress.durable()
    }

    /// How many groups wait to be submitted.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether a commit of `payload` bytes fits behind the last frame, with room for a beacon and an
    /// end behind it. What fits goes on to fit until something is appended that is no beacon.
    pub(crate) fn fits(&self, payload: usize) -> bool {
        let block = self.segment.block_bytes;
        let mut end = u64::from(self.end);
        if self.last_kind == Some(COMMIT) {
            // A beacon may come between the promise of room and the commit.
            end = align_up(end, block) + u64::from(block);
        }
        end_after(end, payload, block) <= u64::from(self.segment.bytes)
    }

    /// Whether a beacon would say something, and all there is to say: a commit that came after the
    /// sync has its turn later, when there must be room for another beacon.
    pub(crate) fn wants_beacon(&self) -> bool {
        let complete = self.progress.durable().position == self.end();
        self.last_kind == Some(COMMIT) && complete && !self.rotating
    }

    /// Whether an end can be written. There is room for it (4).
    pub(crate) fn wants_end(&self) -> bool {
        self.last_kind != Some(END) && !self.rotating
    }

    /// Appends a commit.
    pub(crate) fn append(&mut self, frame: &NewFrame<'_>) {
        assert!(frame.stamp > self.last_appended, "stamps increase");
        assert!(frame.stamp < self.segment.ceiling, "stamps stay below the ceiling");
        assert!(self.fits(frame.payload.len()), "room is reserved first");
        self.last_appended = frame.stamp;
        self.last_clock_ms = frame.clock_ms;
        self.push(frame);
        let durability = if frame.durable { Durability::Sync } else { Durability::Buffered };
        self.marks.push_back(Mark { stamp: frame.stamp, end: self.end(), durability });
        self.stats.commits += 1;
    }

    /// Appends a frame to the last group, or to a group of its own.
    pub(crate) fn push(&mut self, frame: &NewFrame<'_>) {
        let bytes = HEADER_BYTES + frame.payload.len();
        let joins = self.queue.back().is_some_and(|group| group.takes(bytes, frame.durable));
        let padding = if joins { 0 } else { self.open_group(bytes, frame.durable) };
        let header = FrameHeader {
            kind: frame.kind,
            padding,
            position: self.end,
            stamp: frame.stamp,
            clock_ms: frame.clock_ms,
            durable: match planted(Planted::DurableUnnoted) {
                true => LogPosition::new(0, 0),
                false => self.progress.durable().position,
            },
        };
        let group = self.queue.back_mut().expect("there is a group");
        group.push(&header, frame.payload, self.segment.salt, frame.durable);
        self.last_group_durable = group.durable;
        self.end = group.end().offset;
        self.last_kind = Some(frame.kind);
    }

    /// Starts a group behind the last one; returns how many bytes it skips.
    fn open_group(&mut self, bytes: usize, durable: bool) -> u16 {
        if let Some(group) = self.queue.back_mut() {
            group.closed = true;
        }
        let block = self.segment.block_bytes;
        let floor = LogPosition::new(self.segment.number, self.end - self.end % block);
        let continues = !durable
            && !self.last_group_durable
            && !self.syncing
            && !self.end.is_multiple_of(block)
            && self.progress.durable().position <= floor;
        let old_end = self.end;
        if !continues {
            self.end = u32::try_from(align_up(u64::from(old_end), block)).expect("it fits");
        }
        let needed = usize::try_from(align_up(bytes as u64, block)).expect("it fits");
        let usual = self.usual_bytes();
        let capacity = needed.max(usual);
        let pooled = if capacity == usual { self.pool.pop() } else { None };
        // Those of an earlier segment may be smaller.
        let pooled = pooled.filter(|buffer| buffer.capacity() >= capacity);
        let buffer = pooled.unwrap_or_else(|| Buffer::with_capacity(capacity));
        let start = LogPosition::new(self.segment.number, self.end);
        self.queue.push_back(Group::new(start, continues, buffer, capacity));
        u16::try_from(self.end - old_end).expect("a block is at most 32 KiB")
    }

    /// The usual capacity of a group: no more than a segment holds.
    fn usual_bytes(&self) -> usize {
        let most = u64::from(self.segment.bytes).min(GROUP_BYTES as u64);
        usize::try_from(align_up(most, self.segment.block_bytes)).expect("it fits")
    }

    /// What the decision about the next action rests on; `None` after a failure.
    pub(crate) fn view(&self) -> Option<View<'_>> {
        let queued = self.queue.front();
        let view = View {
            queued: queued.map(|g| Queued { start: g.start, continues: g.continues }),
            unclaimed: &self.unclaimed_starts,
            in_flight: self.progress.in_flight(),
            limit: self.limit,
            syncing: self.syncing,
            demanded: self.demand.map(|d| d.first),
            written: self.progress.written().position,
        };
        self.failure.is_none().then_some(view)
    }

    /// Submits the first group. The caller completes it, or [leaves it](State::leave) to others.
    pub(crate) fn submit(&mut self) -> Flight {
        let group = self.queue.pop_front().expect("the decision saw a group");
        let end = Reach { position: group.end(), stamp: group.last };
        let durable = group.durable && self.progress.is_durable_by_itself();
        if group.durable && !durable {
            self.demand(end.position);
        }
        self.progress.begin(end, durable);
        let offset = u64::from(group.start.offset);
        let data = group.into_buffer(self.segment.block_bytes);
        let bytes = data.len();
        // Announcing the write under the lock keeps submissions in the order of positions; the
        // disk does the work when the write is completed.
        let ticket = self.segment.file.submit(Write { offset, data, durable });
        Flight { end: end.position, bytes, ticket }
    }

    /// Leaves a submitted write for somebody else to complete.
    pub(crate) fn leave(&mut self, flight: Flight) {
        let start = u32::try_from(flight.ticket.write.offset).expect("offsets have 32 bits");
        self.unclaimed_starts.push(LogPosition::new(self.segment.number, start));
        self.unclaimed.push(flight);
    }

    /// Whether there are writes in flight that nobody completes yet.
    pub(crate) fn has_unclaimed(&self) -> bool {
        !self.unclaimed.is_empty()
    }

    /// Takes the write with this index among those that nobody completes yet.
    pub(crate) fn claim(&mut self, index: usize) -> Flight {
        self.unclaimed_starts.remove(index);
        self.unclaimed.remove(index)
    }

    /// A write is complete.
    pub(crate) fn completed(&mut self, end: LogPosition, bytes: usize) {
        self.stats.writes += 1;
        self.stats.bytes += bytes as u64;
        self.progress.complete(end);
        self.advance();
    }

    /// Keeps a buffer for reuse.
    pub(crate) fn recycle(&mut self, mut buffer: Buffer) {
        let usual = self.usual_bytes();
        let fits = (usual..=2 * usual).contains(&buffer.capacity());
        if fits && self.pool.len() < POOL_MAX {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    /// Asks for everything up to `position` to be made durable.
    pub(crate) fn demand(&mut self, position: LogPosition) {
        if position > self.progress.durable().position {
            let first = self.demand.map_or(position, |d| d.first.min(position));
            let last = self.demand.map_or(position, |d| d.last.max(position));
            self.demand = Some(Demand { first, last });
        }
    }

    /// A sync starts; it will cover the place that is returned.
    pub(crate) fn sync_begins(&mut self) -> Reach {
        self.syncing = true;
        self.progress.written()
    }

    /// The sync that covers `reach` succeeded.
    pub(crate) fn synced(&mut self, reach: Reach) {
        self.syncing = false;
        self.stats.syncs += 1;
        self.progress.synced(reach);
        self.advance();
    }

    /// The first failure decides; it is never undone.
    pub(crate) fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
    }

    /// Moves the visible stamp and the demand as far as the progress allows.
    fn advance(&mut self) {
        let durable = self.progress.durable().position;
        let written = self.progress.written().position;
        if let Some(demand) = self.demand
            && demand.first <= durable
        {
            let rest = Demand { first: demand.last, ..demand };
            self.demand = (demand.last > durable).then_some(rest);
        }
        if self.failure.is_some() {
            return;
        }
        while let Some(mark) = self.marks.front() {
            let reached = match mark.durability {
                Durability::Sync if !planted(Planted::VisibleBeforeDurable) => durable,
                Durability::Sync => written,
                Durability::Buffered => written,
            };
            if mark.end > reached {
                break;
            }
            self.visible = mark.stamp;
            self.marks.pop_front();
        }
    }

    /// Where the frame of a commit ends that is not visible yet.
    pub(crate) fn end_of(&self, stamp: Versionstamp) -> Option<LogPosition> {
        let index = self.marks.partition_point(|mark| mark.stamp < stamp);
        self.marks.get(index).map(|mark| mark.end)
    }

    /// Whether an asynchronous commit needs a thread that acts for it.
    pub(crate) fn needs_driver(&self) -> bool {
        self.visible < self.kicked && self.view().is_some_and(|view| view.any(0).is_some())
    }

    /// Takes the sleepers that need not wait any longer.
    pub(crate) fn satisfied(&mut self) -> Vec<Arc<Alarm>> {
        let mut sleepers = std::mem::take(&mut self.sleepers);
        let failed = self.failure.is_some();
        let done = |sleeper: &mut Sleeper| failed || sleeper.goal.reached(self);
        let satisfied = sleepers.extract_if(.., done).map(|sleeper| sleeper.alarm).collect();
        self.sleepers = sleepers;
        satisfied
    }

    /// Takes a sleeper that can do something, if there is anything to do.
    pub(crate) fn helper(&mut self) -> Option<Arc<Alarm>> {
        let view = self.view().filter(|view| view.any(0).is_some())?;
        let able = |sleeper: &Sleeper| view.towards(sleeper.position).is_some();
        let index = self.sleepers.iter().position(able)?;
        Some(self.sleepers.remove(index).alarm)
    }

    /// Takes the wakers whose answer is known.
    pub(crate) fn due_wakers(&mut self) -> Vec<Waker> {
        let (failed, visible) = (self.failure.is_some(), self.visible);
        let due = |(stamp, _): &mut (Versionstamp, Waker)| failed || *stamp <= visible;
        self.wakers.extract_if(.., due).map(|(_, waker)| waker).collect()
    }
}

impl Flight {
    /// The ticket to complete, and what to report then.
    pub(crate) fn take_off(self) -> (Ticket, LogPosition, usize) {
        (self.ticket, self.end, self.bytes)
    }
}

/// How large a segment must be for a commit of `payload` bytes behind `end`, a beacon and an end.
pub(crate) fn end_after(end: u64, payload: usize, block_bytes: u32) -> u64 {
    let frame = (HEADER_BYTES + payload) as u64;
    let marks = 2 * u64::from(block_bytes);
    align_up(align_up(end, block_bytes) + frame, block_bytes) + marks
}

/// A frame that carries nothing but what is durable.
pub(crate) fn mark_frame(state: &State, kind: u8) -> NewFrame<'static> {
    debug_assert!(kind == BEACON || kind == END, "a mark is not a commit");
    NewFrame {
        kind,
        stamp: state.last_appended,
        clock_ms: state.last_clock_ms,
        payload: &[],
        durable: true,
    }
}
