//! The open shards of a subscription, each with its cursor, in slots that are used again.

use std::sync::Arc;

use crate::hub::ShardKey;
use crate::hub::cursor::Cursor;
use crate::hub::shard::poll::{Outage, Pending};
use crate::model::{Checkpoint, ShardId, Timestamp};

/// One open shard.
#[derive(Debug)]
pub(super) struct OpenShard {
    pub(super) key: ShardKey,
    pub(super) cursor: Cursor,
    /// What was known at the last look, if it found nothing.
    pub(super) pending: Option<Pending>,
    /// The next record is too young for what the client asked for.
    pub(super) beyond: bool,
    /// It was entered at a place behind which records may have been trimmed, and nothing is known
    /// of that yet.
    pub(super) doubtful: bool,
    /// The upstream has not said anything yet.
    unheard: bool,
}

/// All open shards.
#[derive(Debug, Default)]
pub(super) struct OpenShards {
    slots: Vec<Option<Box<OpenShard>>>,
    free: Vec<u32>,
    count: usize,
    /// Open shards whose last look did not show the tip.
    behind: usize,
    /// Open shards of which no answer was asked for since they showed the tip.
    unlooked: usize,
    /// Open shards of which nothing was heard yet.
    unheard: usize,
}

impl OpenShard {
    pub(super) fn new(key: ShardKey, cursor: Cursor, doubtful: bool) -> Self {
        Self { key, cursor, pending: None, beyond: false, doubtful, unheard: true }
    }

    fn is_at_tip(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.at_tip)
    }

    /// Answers asked for since this client came show the tip.
    fn has_looked(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.at_tip && pending.empties > 0)
    }

    /// Creation of the next record, or else the newest time at which nothing was missing.
    fn next_time(&self) -> Option<Timestamp> {
        self.cursor.next_created().or(self.cursor.position.time)
    }
}

impl OpenShards {
    /// Adds a shard; its slot is known before its cursor registers.
    pub(super) fn add(&mut self, make: impl FnOnce(u32) -> OpenShard) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("shards are limited")
        });
        self.slots[id as usize] = Some(Box::new(make(id)));
        self.count += 1;
        self.behind += 1;
        self.unlooked += 1;
        self.unheard += 1;
        id
    }

    /// The shard at a slot; a slot that was left may still be in the ready queue.
    pub(super) fn get(&mut self, id: u32) -> Option<&mut OpenShard> {
        self.slots.get_mut(id as usize)?.as_deref_mut()
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<OpenShard> {
        self.note(id, None);
        let slot = self.slots.get_mut(id as usize)?.take()?;
        self.free.push(id);
        (self.count, self.behind, self.unlooked) =
            (self.count - 1, self.behind - 1, self.unlooked - 1);
        Some(*slot)
    }

    /// What the last look at a slot found, if it was nothing.
    pub(super) fn note(&mut self, id: u32, pending: Option<Pending>) {
        let Some(slot) = self.slots.get_mut(id as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        let before = (slot.is_at_tip(), slot.has_looked());
        let heard = |pending: &Pending| {
            pending.opened || pending.observed.is_some() || pending.outage.is_some()
        };
        if slot.unheard && pending.as_ref().is_none_or(heard) {
            slot.unheard = false;
            self.unheard -= 1;
        }
        slot.pending = pending;
        let after = (slot.is_at_tip(), slot.has_looked());
        self.behind = self.behind + usize::from(before.0) - usize::from(after.0);
        self.unlooked = self.unlooked + usize::from(before.1) - usize::from(after.1);
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Open shards of which the upstream has not said anything yet.
    pub(super) fn unheard(&self) -> usize {
        self.unheard
    }

    /// Every open shard was at its tip when it was last looked at.
    pub(super) fn are_at_tip(&self) -> bool {
        self.behind == 0
    }

    /// And every one by an answer that was asked for since.
    pub(super) fn have_looked(&self) -> bool {
        self.unlooked == 0
    }

    pub(super) fn ids(&self) -> Vec<u32> {
        (0..).zip(&self.slots).filter(|(_, slot)| slot.is_some()).map(|(id, _)| id).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OpenShard> {
        self.slots.iter().flatten().map(|slot| &**slot)
    }

    pub(super) fn checkpoints(&self) -> impl Iterator<Item = (ShardId, Checkpoint)> {
        self.iter().map(|slot| (slot.key.shard.clone(), slot.cursor.position.checkpoint()))
    }

    /// When the upstream was last heard of at the shard where that is longest ago.
    pub(super) fn observed(&self) -> Option<Timestamp> {
        let times =
            self.iter().map(|slot| slot.pending.as_ref().and_then(|pending| pending.observed));
        times.min().flatten()
    }

    /// The longest trouble of all.
    pub(super) fn outage(&self) -> Option<&Arc<Outage>> {
        let troubles = self.iter().filter_map(|slot| slot.pending.as_ref()?.outage.as_ref());
        troubles.min_by_key(|outage| outage.since)
    }

    /// The oldest of the next records of shards that are not at their tip.
    pub(super) fn oldest_next(&self) -> Option<Timestamp> {
        self.iter().filter(|slot| !slot.is_at_tip()).filter_map(OpenShard::next_time).min()
    }
}
