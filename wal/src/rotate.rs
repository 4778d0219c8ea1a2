//! Beginning the log, and going on in the next segment when one is full.
//!
//! The order of a rotation, each step durable before the next:
//!
//! 1. everything in the old segment;
//! 2. the successor's header, length and directory entry;
//! 3. the roster's record of it;
//! 4. only then frames in it.
//!
//! A crash before 3 leaves a file that nothing refers to; a crash after 3 leaves an empty segment
//! whose header proves how long its predecessor must be. Want of space up to 2, and at 3
//! before anything was recorded, leaves no trace: the old segment stays the current one. Any other
//! failure of 3 poisons the log, because it is not known whether the record will be found.
//!
//! Room on the disk is asked for when a segment is begun, once for all commits in it. A segment that
//! only a [freeing](Claim::Freeing) commit could begin is short, and other commits that find room in
//! it must ask for themselves, until one is admitted: else every deletion would open a door to the
//! reserve for whatever comes after it. The same is true of the segment that a log begins with, for
//! which nobody has asked.

use std::sync::Arc;

use icecore_model::frame::Salt;
use icecore_model::limits::COMMIT_BYTES_MAX;
use icecore_model::{Planted, Versionstamp, planted};

use crate::error::is_out_of_space;
use crate::format::{Header, Predecessor, align_up, is_block_size};
use crate::log::{Goal, Log};
use crate::retire::Spares;
use crate::segment::{self, Blank, Segment};
use crate::state::{State, end_after};
use crate::{Claim, Error, LogEnv, LogOptions};

/// Groups that may wait beyond those in flight before appending waits for them: a bound on the
/// memory that a caller who never waits can fill.
const QUEUED_MAX: usize = 4;

/// The usual size of a segment that only a freeing commit could begin: little of the reserve, and
/// enough for some hundreds of deletions.
const FREEING_BYTES: u32 = 256 << 10;

impl Log {
    /// Creates segment `number`, durably, and a log that goes on in it.
    ///
    /// `predecessor` is where the log ended before, as [`recover`](crate::recover) found it;
    /// `last` is the last stamp that may have been issued before. The caller records the number
    /// and the [ceiling](Log::ceiling) durably before it appends.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::OutOfSpace`].
    ///
    /// # Panics
    /// If the options contradict what they say about themselves.
    pub fn create(
        env: LogEnv,
        options: LogOptions,
        number: u32,
        predecessor: Option<Predecessor>,
        last: Versionstamp,
    ) -> Result<Log, Error> {
        assert!(is_block_size(options.block_bytes), "see LogOptions::block_bytes");
        assert!(options.writes_in_flight > 0, "see LogOptions::writes_in_flight");
        let mut spares = Spares::new(number);
        let bytes = segment_bytes(&options, 0);
        let number = spares.fresh_number();
        let blank = Blank::create(&*env.disk, number, bytes)?;
        let segment = begin(&env, &options, blank, predecessor, last)
            .inspect_err(|_| remove(&env, number))?;
        let state = State::new(Arc::new(segment), last, options.writes_in_flight);
        Ok(Log::over(env, options, spares, state))
    }

    /// Makes room for one commit with `payload_bytes` of encoded effects, and this claim to the disk.
    /// It may begin another segment, which takes several syncs, and it waits when too much is appended
    /// that nobody has written yet. One thread at a time may reserve and append. Wakers that become due meanwhile
    /// are left for [`Log::wake_left`].
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::OutOfSpace`] and [`Error::Io`] when the roster does not admit the
    /// commit, or another segment was needed and could not be made, which leaves no trace;
    /// [`Error::Poisoned`] and [`Error::Closed`].
    pub fn reserve(&self, payload_bytes: usize, claim: Claim) -> Result<(), Error> {
        if payload_bytes > COMMIT_BYTES_MAX {
            return Err(Error::TooLarge { max: COMMIT_BYTES_MAX, got: payload_bytes });
        }
        let mut state = self.lock();
        state.check_open()?;
        if state.on_reserve && claim == Claim::Ordinary && state.fits(payload_bytes) {
            let number = state.segment.number;
            drop(state);
            self.admit(number, 0, claim)?;
            state = self.lock();
            state.on_reserve = false;
        }
        if state.fits(payload_bytes) && state.queued() < QUEUED_MAX {
            return Ok(());
        }
        state.hushed = !planted(Planted::WakersUnderLock);
        drop(state);
        let made = self.make_room(payload_bytes, claim);
        self.lock().hushed = false;
        made
    }

    /// The slow part of reserving.
    fn make_room(&self, payload_bytes: usize, claim: Claim) -> Result<(), Error> {
        let mut state = self.lock();
        if !state.fits(payload_bytes) {
            state.rotating = true;
            drop(state);
            let rotated = self.rotate(payload_bytes, claim);
            state = self.lock();
            state.rotating = false;
            rotated?;
        }
        if state.queued() >= QUEUED_MAX {
            drop(state);
            self.drive(Goal::Queued(QUEUED_MAX))?;
        }
        Ok(())
    }

    /// Goes on in another segment that has room for `payload` bytes.
    fn rotate(&self, payload: usize, claim: Claim) -> Result<(), Error> {
        self.sync()?;
        let state = self.lock();
        let end = state.end();
        let last = state.last_appended;
        drop(state);
        let predecessor = Predecessor { segment: end.segment, length: end.offset, last };
        let (blank, claim) = self.blank_for(end.segment, payload, claim)?;
        let number = blank.number;
        let segment = begin(&self.env, &self.options, blank, Some(predecessor), last)
            .inspect_err(|_| remove(&self.env, number))?;
        if let Err(refusal) = self.env.roster.activate(number, segment.ceiling) {
            if is_out_of_space(&refusal) {
                remove(&self.env, number);
                return Err(Error::OutOfSpace { file: segment::name(number), source: refusal });
            }
            self.poison();
            return Err(Error::Poisoned);
        }
        self.lock().switch(Arc::new(segment), claim);
        Ok(())
    }

    /// A file for a segment with room for `payload` bytes, and the claim that it took: the reserve
    /// is the last resort also of a commit that may use it.
    fn blank_for(
        &self,
        current: u32,
        payload: usize,
        claim: Claim,
    ) -> Result<(Blank, Claim), Error> {
        let bytes = segment_bytes(&self.options, payload);
        match self.blank(current, bytes, Claim::Ordinary) {
            Err(Error::OutOfSpace { .. }) if claim == Claim::Freeing => {
                let short = self.options.segment_bytes.min(FREEING_BYTES);
                let options = LogOptions { segment_bytes: short, ..self.options };
                let bytes = segment_bytes(&options, payload);
                Ok((self.blank(current, bytes, claim)?, claim))
            }
            blank => Ok((blank?, Claim::Ordinary)),
        }
    }

    /// A file for the next segment: a spare one, or a new one.
    fn blank(&self, current: u32, bytes: u32, claim: Claim) -> Result<Blank, Error> {
        let disk = &*self.env.disk;
        let mut spares = self.lock_spares();
        if let Some(mut spare) = spares.take(disk, current)? {
            drop(spares);
            let missing = u64::from(bytes.saturating_sub(spare.bytes));
            // Asked also for a spare that is large enough: what is written into it will need the
            // space of a table.
            let admitted = self.admit(spare.number, missing, claim);
            let grown = admitted.and_then(|()| spare.grow(bytes));
            return match grown {
                Ok(()) => Ok(spare),
                Err(error) => {
                    self.lock_spares().put_back(spare);
                    Err(error)
                }
            };
        }
        let number = spares.fresh_number();
        drop(spares);
        self.admit(number, u64::from(bytes), claim)?;
        Blank::create(disk, number, bytes)
    }

    /// Asks whether `bytes` more may be used on the disk by whoever has this claim.
    pub(crate) fn admit(&self, number: u32, bytes: u64, claim: Claim) -> Result<(), Error> {
        let admitted = self.env.roster.admit(bytes, claim);
        admitted.map_err(|source| Error::io(segment::name(number), "reserve room for", source))
    }
}

impl Log {
    /// The size of a segment without a commit of unusual size.
    pub(crate) fn usual_bytes(&self) -> u32 {
        segment_bytes(&self.options, 0)
    }
}

/// The size of a segment whose first commit has `payload` bytes.
fn segment_bytes(options: &LogOptions, payload: usize) -> u32 {
    let needed = end_after(u64::from(options.block_bytes), payload, options.block_bytes);
    let usual = align_up(u64::from(options.segment_bytes), options.block_bytes);
    u32::try_from(needed.max(usual)).expect("the largest commit fits in a segment")
}

fn begin(
    env: &LogEnv,
    options: &LogOptions,
    blank: Blank,
    predecessor: Option<Predecessor>,
    last: Versionstamp,
) -> Result<Segment, Error> {
    let name = segment::name(blank.number);
    let salt = env.random.next_u64().map_err(|e| Error::io(name, "draw a salt for", e))?;
    let header = Header {
        database: env.database,
        number: blank.number,
        segment_bytes: blank.bytes,
        block_bytes: options.block_bytes,
        salt: Salt(if planted(Planted::SaltRepeated) { 1 } else { salt }),
        last,
        predecessor,
    };
    blank.begin(&*env.disk, &header)?;
    Ok(blank.into_segment(&header))
}

/// Takes away a segment that could not be finished. That it may stay is harmless: nothing refers
/// to it.
fn remove(env: &LogEnv, number: u32) {
    env.disk.remove(segment::name(number)).ok();
}
