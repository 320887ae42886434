//! What the open shards give: one thing at a time, in their own order or in one by time.

use crate::encode::Room;
use crate::hub::ShardKey;
use crate::hub::look::{Ask, Gap, GapCause, Look};
use crate::hub::position::ReadPosition;
use crate::model::Now;

use crate::subscription::merge::Turn;

use super::{Ending, Follow, Told};

impl Follow {
    /// One thing of the shard that has waited longest.
    pub(super) fn read_next(&mut self, room: Room) -> Option<Told> {
        while let Some(id) = self.ready.pop() {
            let Some(slot) = self.slots.get(id) else { continue };
            let look = slot.cursor.look(room, Ask::Flow);
            if let Some(told) = self.react(id, look) {
                return Some(told);
            }
        }
        None
    }

    /// One thing of the shard whose next record is the oldest.
    pub(super) fn read_by_time(&mut self, room: Room) -> Option<Told> {
        let peek = Room { records: 1, ..room };
        while let Some(id) = self.ready.pop() {
            let now = self.now();
            let merge = self.merge.as_mut().expect("the order is by time");
            let Some(slot) = self.slots.get(id) else { continue };
            match slot.cursor.peek(peek, Ask::Flow) {
                Look::Records(..) | Look::Unreadable(..) => {
                    merge.head(id, slot.cursor.next_created());
                    self.slots.note(id, None);
                }
                look => {
                    match &look {
                        Look::Pending(pending) if !pending.at_tip => merge.block(id, now.at),
                        _ => merge.leave(id),
                    }
                    if let Some(told) = self.react(id, look) {
                        return Some(told);
                    }
                }
            }
        }
        loop {
            let held = self.endings.iter().map(|ending| ending.since).min();
            let now = self.now().at;
            let merge = self.merge.as_mut().expect("the order is by time");
            let Turn::Of(id, before) = merge.turn(held, now) else { return None };
            merge.leave(id);
            let Some(slot) = self.slots.get(id) else { continue };
            let bound = before.into_iter().chain(room.before).min();
            let mut look = slot.cursor.look(Room { before: bound, ..room }, Ask::Flow);
            if matches!(look, Look::TooNew) && bound != room.before {
                // What stands there now is younger than what stood there when it was looked at: one of it, then it has a new head.
                look = slot.cursor.look(Room { records: 1, ..room }, Ask::Flow);
            }
            if matches!(&look, Look::Pending(pending) if !pending.at_tip) {
                // Its head was given up for others' sake while it waited: it is read again, and waited for.
                merge.block(id, now);
            }
            if let Some(told) = self.react(id, look) {
                return Some(told);
            }
        }
    }

    pub(super) fn react(&mut self, id: u32, look: Look) -> Option<Told> {
        let now = self.now();
        match look {
            Look::Records(chunk, after) => {
                let key = self.stand_at(id, after);
                let mark = self.slots.get(id)?.cursor.spot.checkpoint();
                Some(Told::Records(key, chunk, mark))
            }
            Look::Unreadable(bad, after) => {
                let key = self.stand_at(id, after);
                let mark = self.slots.get(id)?.cursor.spot.checkpoint();
                Some(Told::Unreadable(key, bad, mark))
            }
            Look::Gap(gap, after) => Some(self.tell_gap(id, gap, after, now)),
            Look::TooNew => {
                let slot = self.slots.get(id)?;
                self.news |= !slot.beyond;
                slot.beyond = true;
                None
            }
            Look::Ended => {
                let slot = self.slots.remove(id)?;
                self.survey.ended(&slot.key.shard);
                let mark = Some(slot.cursor.spot.checkpoint());
                self.endings.push_back(Ending { key: slot.key.clone(), mark, since: now.at });
                self.news = true;
                self.tell_shard_end()
            }
            Look::Refused(error) => Some(Told::Refused(error)),
            Look::Full => Some(Told::Full),
            Look::Pending(pending) => {
                self.news = true;
                self.slots.note(id, Some(pending));
                None
            }
        }
    }

    pub(super) fn tell_gap(&mut self, id: u32, gap: Gap, after: ReadPosition, now: Now) -> Told {
        if gap.cause == GapCause::Trimmed {
            let mark = after.checkpoint();
            let key = self.stand_at(id, after);
            return Told::Gap(key, gap, Some(mark));
        }
        let slot = self.slots.remove(id).expect("it was just looked at");
        let (shard, at) = (&slot.key.shard, slot.cursor.spot.time);
        self.survey.ended(shard);
        let frontier = &mut self.frontier;
        self.survey.look(|chart| frontier.finish_gone(shard, at, chart.graph(), now.wall));
        self.seen = None;
        self.endings.push_back(Ending { key: slot.key.clone(), mark: None, since: now.at });
        Told::Gap(slot.key, gap, None)
    }

    /// What stood before the spot is told; there may be more, when the others had their turn.
    pub(super) fn stand_at(&mut self, id: u32, after: ReadPosition) -> ShardKey {
        self.news = true;
        self.slots.note(id, None);
        let slot = self.slots.get(id).expect("it was just looked at");
        slot.cursor.spot = after;
        slot.doubtful = false;
        self.ready.push(id);
        slot.key.clone()
    }
}
