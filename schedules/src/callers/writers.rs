//! Those who change the store, keep it in order, look at it, or close it.

use std::sync::Arc;

use icecore::{Durability, Entry, Error, Kv};
use icecore_engine::{Options, Workers};
use icecore_sync::model::{self, Dice};

use super::ledger::{Deed, KEYS, Key, Look, found, read_all, stored};
use super::{Scene, block_on, now_ms};
use crate::machine::tiny;

/// Commits on a few keys.
pub fn committer(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    (0..4).try_for_each(|_| scene.commit(dice, 0))
}

/// Commits enough for several segments and memtables.
pub fn filler(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    (0..8).try_for_each(|_| scene.commit(dice, 0))
}

/// Sends messages, alone and with what makes them necessary.
pub fn enqueuer(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    (0..3).try_for_each(|_| {
        let messages = 1 + dice.below(2);
        scene.commit(dice, messages)
    })
}

/// Flushes.
pub fn flusher(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    for _ in 0..2 {
        rest(dice, 30);
        scene.kv.flush()?;
    }
    Ok(())
}

/// Reads keys, one after the other.
pub fn reader(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let mut chain = Vec::new();
    let read = (0..4).try_for_each(|_| {
        let key = dice.below(u64::from(KEYS)) as Key;
        let (after, begun_ms) = (scene.memory.ledger.acknowledged(), now_ms());
        let keys = vec![(key, found(&scene.kv.get(stored(key))?))];
        let times_ms = begun_ms..now_ms();
        chain.push(Look { after, at: None, times_ms, keys, is_copy: false });
        Ok(())
    });
    scene.memory.ledger.note(chain);
    read
}

/// Holds a snapshot, which stays as it is (I10).
pub fn holder(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    let (after, begun_ms) = (scene.memory.ledger.acknowledged(), now_ms());
    let snapshot = scene.kv.snapshot()?;
    let (at, times_ms) = (Some(snapshot.versionstamp().get()), begun_ms..now_ms());
    let keys = read_all(&snapshot)?;
    scene.memory.ledger.note(vec![Look {
        after,
        at,
        times_ms,
        keys: keys.clone(),
        is_copy: false,
    }]);
    for _ in 0..3 {
        rest(dice, 60);
        let (key, first) = keys[dice.below(u64::from(KEYS)) as usize];
        assert_eq!(found(&snapshot.get(stored(key))?), first, "a snapshot has changed");
    }
    assert_eq!(read_all(&snapshot)?, keys, "a snapshot has changed");
    Ok(())
}

/// Copies the store, opens the copy, and looks at it.
pub fn copier(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    rest(dice, 60);
    let name = format!("copy{}", scene.memory.ledger.token());
    let after = scene.memory.ledger.acknowledged();
    let stamp = scene.kv.checkpoint(&name)?;
    let disk = scene.machine.disk.directory(name.as_ref());
    let disk = disk.expect("a checkpoint has made its directory");
    let settings = Options { workers: Workers::Manual, ..tiny() };
    let copy = Kv::builder_in(scene.machine.env_on(disk)).engine_settings(settings).open()?;
    let begun_ms = now_ms();
    let keys = read_all(&copy.snapshot()?)?;
    let (at, times_ms) = (Some(stamp.get()), begun_ms..now_ms());
    scene.memory.ledger.note(vec![Look { after, at, times_ms, keys, is_copy: false }]);
    copy.close()
}

/// Closes the store while others use it.
pub fn closer(scene: &Arc<Scene>, dice: &mut Dice) -> Result<(), Error> {
    rest(dice, 600);
    scene.close()
}

/// Does nothing, for a while.
pub fn rest(dice: &mut Dice, turns: u64) {
    for _ in 0..dice.below(turns) {
        model::turn();
    }
}

impl Scene {
    /// Commits something, with so many messages.
    fn commit(&self, dice: &mut Dice, messages: u64) -> Result<(), Error> {
        let ledger = &self.memory.ledger;
        let (checks, deeds) = self.draw(dice)?;
        let token = ledger.token();
        let draft = |_| self.memory.post.draft(dice, token, self.manners.is_timeless);
        let drafts: Vec<_> = (0..messages).map(draft).collect();
        let buffers = self.manners.buffers && dice.below(2) == 0;
        let durability = if buffers { Durability::Buffered } else { self.manners.durability };
        let is_durable = durability == Durability::Sync;
        let waits = dice.below(2) == 0;
        let outcome = ledger.commit(&self.kv, token, &checks, deeds, |mut atomic| {
            for (_, message) in &drafts {
                atomic = atomic.enqueue(message.clone());
            }
            if waits {
                return (atomic.commit_with(durability), is_durable);
            }
            let outcome = block_on(atomic.commit_async_with(durability), None);
            (outcome.expect("it is polled until it is done"), is_durable)
        })?;
        for (number, _) in &drafts {
            self.memory.post.sent(*number, outcome.versionstamp().map(|stamp| stamp.get()));
        }
        Ok(())
    }

    fn draw(&self, dice: &mut Dice) -> Result<(Vec<Entry>, Vec<Deed>), Error> {
        let key = dice.below(u64::from(KEYS)) as Key;
        let checks = match dice.below(3) {
            0 => vec![self.kv.get(stored(key))?],
            _ => Vec::new(),
        };
        let mut deeds = Vec::new();
        if !self.manners.is_doomed && dice.below(6) == 0 {
            let end = 1 + dice.below(u64::from(KEYS)) as Key;
            deeds.push(Deed::Clear(dice.below(u64::from(end)) as Key..end));
        }
        if !self.manners.is_doomed && dice.below(4) == 0 {
            deeds.push(Deed::Delete((key + 1) % KEYS));
        }
        if deeds.is_empty() || dice.below(2) == 0 {
            let expires_ms = match dice.below(3) {
                0 if !self.manners.is_timeless => {
                    Some(now_ms() + [1, 30, 400][dice.below(3) as usize])
                }
                _ => None,
            };
            deeds.push(Deed::Set(key, [8, 200, 900][dice.below(3) as usize], expires_ms));
        }
        Ok((checks, deeds))
    }
}
