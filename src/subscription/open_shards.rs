//! The open shards of a subscription, each with its cursor, in slots that are reused.

use std::sync::Arc;

use crate::hub::{Cursor, Outage, Pending, ShardKey};
use crate::model::{Checkpoint, ShardId, Timestamp};

/// One open shard.
#[derive(Debug)]
pub(super) struct OpenShard {
    pub(super) key: ShardKey,
    pub(super) cursor: Cursor,
    /// The result of the last poll, if it found nothing.
    pub(super) pending: Option<Pending>,
    /// The next record was created at or after the time that the client reads up to.
    pub(super) beyond: bool,
    /// Records after the position it was entered at may have been trimmed, and whether they were is
    /// not known yet.
    pub(super) doubtful: bool,
    /// No upstream response for this shard has come yet.
    unheard: bool,
}

/// All open shards.
#[derive(Debug, Default)]
pub(super) struct OpenShards {
    slots: Vec<Option<Box<OpenShard>>>,
    free: Vec<u32>,
    count: usize,
    /// How many open shards did not show the tip at their last poll.
    behind: usize,
    /// How many open shards have not shown the tip by a response requested since the client came.
    unlooked: usize,
    /// How many open shards have had no upstream response yet.
    unheard: usize,
}

impl OpenShard {
    pub(super) fn new(key: ShardKey, cursor: Cursor, doubtful: bool) -> Self {
        Self { key, cursor, pending: None, beyond: false, doubtful, unheard: true }
    }

    fn is_at_tip(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.at_tip)
    }

    /// Whether responses requested since this client came show the tip.
    fn has_looked(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.at_tip && pending.empties > 0)
    }

    /// Creation time of the next record, or else the newest time up to which nothing was missing.
    fn next_time(&self) -> Option<Timestamp> {
        self.cursor.next_created().or(self.cursor.position.time)
    }
}

impl OpenShards {
    /// Adds a shard; `make` receives its slot before the cursor registers.
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

    /// The shard in a slot; `None` for a freed slot, which may still be in the ready queue.
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

    /// Stores the result of the last poll of a slot; `None`: it found something.
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

    /// How many open shards have had no upstream response yet.
    pub(super) fn unheard(&self) -> usize {
        self.unheard
    }

    /// Whether every open shard was at its tip at its last poll.
    pub(super) fn are_at_tip(&self) -> bool {
        self.behind == 0
    }

    /// Whether every open shard was at its tip by a response requested since the client came.
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
        self.iter().map(|slot| (slot.key.shard().clone(), slot.cursor.position.checkpoint()))
    }

    /// The oldest of the shards' times of their last upstream response; `None` if any shard has
    /// none.
    pub(super) fn observed(&self) -> Option<Timestamp> {
        let times =
            self.iter().map(|slot| slot.pending.as_ref().and_then(|pending| pending.observed));
        times.min().flatten()
    }

    /// The longest-lasting outage among the open shards.
    pub(super) fn outage(&self) -> Option<&Arc<Outage>> {
        let troubles = self.iter().filter_map(|slot| slot.pending.as_ref()?.outage.as_ref());
        troubles.min_by_key(|outage| outage.since)
    }

    /// The oldest creation time among the next records of shards that are not at their tip.
    pub(super) fn oldest_next(&self) -> Option<Timestamp> {
        self.iter().filter(|slot| !slot.is_at_tip()).filter_map(OpenShard::next_time).min()
    }
}
