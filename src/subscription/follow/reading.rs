//! Reads the open shards: one event at a time, in each shard's own order or in one order by time.

use crate::encode::ReadLimit;
use crate::hub::{Gap, GapCause, Polled, ReadPosition, ShardKey, WaitFor};
use crate::model::Now;

use crate::subscription::merge::MergeTurn;

use super::{EndedShard, Follow, SubscriptionEvent};

impl Follow {
    /// One event of the shard that has waited longest.
    pub(super) fn read_next(&mut self, room: ReadLimit) -> Option<SubscriptionEvent> {
        while let Some(id) = self.ready.pop() {
            let Some(slot) = self.slots.get(id) else { continue };
            let poll = slot.cursor.poll(room, WaitFor::Data);
            if let Some(told) = self.react(id, poll) {
                return Some(told);
            }
        }
        None
    }

    /// One event of the shard whose next record is the oldest.
    pub(super) fn read_by_time(&mut self, room: ReadLimit) -> Option<SubscriptionEvent> {
        let peek = ReadLimit { records: 1, ..room };
        while let Some(id) = self.ready.pop() {
            let now = self.now();
            let merge = self.merge.as_mut().expect("the order is by time");
            let Some(slot) = self.slots.get(id) else { continue };
            match slot.cursor.peek(peek, WaitFor::Data) {
                Polled::Records(..) | Polled::Unreadable(..) => {
                    merge.head(id, slot.cursor.next_created());
                    self.slots.note(id, None);
                }
                poll => {
                    match &poll {
                        Polled::Pending(pending) if !pending.at_tip => merge.block(id, now.at),
                        _ => merge.leave(id),
                    }
                    if let Some(told) = self.react(id, poll) {
                        return Some(told);
                    }
                }
            }
        }
        loop {
            let held = self.endings.iter().map(|ending| ending.since).min();
            let now = self.now().at;
            let merge = self.merge.as_mut().expect("the order is by time");
            let MergeTurn::Of(id, before) = merge.turn(held, now) else { return None };
            merge.leave(id);
            let Some(slot) = self.slots.get(id) else { continue };
            let bound = before.into_iter().chain(room.before).min();
            let mut poll = slot.cursor.poll(ReadLimit { before: bound, ..room }, WaitFor::Data);
            if matches!(poll, Polled::TooNew) && bound != room.before {
                // The next record is now younger than the one that was peeked at: deliver one
                // record, after which the shard has a new head.
                poll = slot.cursor.poll(ReadLimit { records: 1, ..room }, WaitFor::Data);
            }
            if matches!(&poll, Polled::Pending(pending) if !pending.at_tip) {
                // Its head was dropped to make room for others while it waited: the shard is read
                // again, and the merge waits for it.
                merge.block(id, now);
            }
            if let Some(told) = self.react(id, poll) {
                return Some(told);
            }
        }
    }

    pub(super) fn react(&mut self, id: u32, poll: Polled) -> Option<SubscriptionEvent> {
        let now = self.now();
        match poll {
            Polled::Records(chunk, after) => {
                let key = self.stand_at(id, after);
                let checkpoint = self.slots.get(id)?.cursor.position.checkpoint();
                Some(SubscriptionEvent::Records(key, chunk, checkpoint))
            }
            Polled::Unreadable(bad, after) => {
                let key = self.stand_at(id, after);
                let checkpoint = self.slots.get(id)?.cursor.position.checkpoint();
                Some(SubscriptionEvent::Unreadable(key, bad, checkpoint))
            }
            Polled::Gap(gap, after) => Some(self.tell_gap(id, gap, after, now)),
            Polled::TooNew => {
                let slot = self.slots.get(id)?;
                self.news |= !slot.beyond;
                slot.beyond = true;
                None
            }
            Polled::Ended => {
                let slot = self.slots.remove(id)?;
                self.discovery.ended(slot.key.shard());
                let checkpoint = Some(slot.cursor.position.checkpoint());
                self.endings.push_back(EndedShard {
                    key: slot.key.clone(),
                    checkpoint,
                    since: now.at,
                });
                self.news = true;
                self.tell_shard_end()
            }
            Polled::Refused(error) => Some(SubscriptionEvent::Refused(error)),
            Polled::Full => Some(SubscriptionEvent::Full),
            Polled::Pending(pending) => {
                self.news = true;
                self.slots.note(id, Some(pending));
                None
            }
        }
    }

    pub(super) fn tell_gap(
        &mut self,
        id: u32,
        gap: Gap,
        after: ReadPosition,
        now: Now,
    ) -> SubscriptionEvent {
        if gap.cause == GapCause::Trimmed {
            let checkpoint = after.checkpoint();
            let key = self.stand_at(id, after);
            return SubscriptionEvent::Gap(key, gap, Some(checkpoint));
        }
        let slot = self.slots.remove(id).expect("it was just looked at");
        let (shard, at) = (slot.key.shard(), slot.cursor.position.time);
        self.discovery.ended(shard);
        let frontier = &mut self.frontier;
        self.discovery.read(|catalog| frontier.finish_gone(shard, at, catalog.graph(), now.wall));
        self.seen = None;
        self.endings.push_back(EndedShard {
            key: slot.key.clone(),
            checkpoint: None,
            since: now.at,
        });
        SubscriptionEvent::Gap(slot.key, gap, None)
    }

    /// Moves a shard's cursor to `after`: everything before it is reported. The shard is polled
    /// again after the others had their turn, since there may be more.
    pub(super) fn stand_at(&mut self, id: u32, after: ReadPosition) -> ShardKey {
        self.news = true;
        self.slots.note(id, None);
        let slot = self.slots.get(id).expect("it was just looked at");
        slot.cursor.position = after;
        slot.doubtful = false;
        self.ready.push(id);
        slot.key.clone()
    }
}
