//! How LATEST becomes a place: at an iterator of AWS's own or at a lane that has seen the tip,
//! shared by all who ask for it. Pure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{Now, Position};

use super::lane::{Iter, Lane, LaneEnd, LaneOrigin};
use super::poll::Anchoring;
use super::position::{Anchor, PositionBase, ReadPosition};
use super::state::ShardState;
use super::tip::EMPTIES_TO_TIP;
use super::waiter::WaiterKind;

impl ShardState {
    /// The same shard of an upstream that stamps records in steps of `grain`, and not of whole
    /// seconds.
    pub fn stamped(mut self, grain: Duration) -> Self {
        self.grain = grain;
        self
    }

    /// Asks for LATEST, or asks again under the same `waiter`.
    pub fn latest(&mut self, waiter: &mut Option<u64>, now: Now) -> Anchoring {
        let registered = waiter.and_then(|id| {
            self.waiters
                .get(&id)
                .map(|waiter| (waiter.kind, waiter.lane, waiter.since, waiter.answers))
        });
        let anchored = match registered {
            Some((kind, Some(lane), since, _)) => self.anchored(kind, lane, since, now),
            Some(_) | None => None,
        };
        if let Some(anchoring) = anchored {
            self.leave(waiter);
            return anchoring;
        }
        let patience = EMPTIES_TO_TIP;
        let hopeless = registered
            .is_some_and(|(kind, _, _, answers)| kind == WaiterKind::Tip && answers >= patience);
        let unplaced = registered.is_none_or(|(_, lane, ..)| lane.is_none());
        if hopeless || unplaced {
            let (kind, lane) = self.place_for_latest(!hopeless, now);
            if lane.is_none()
                && waiter.is_none()
                && self.queue.len() >= self.limits.waiting_per_shard
            {
                return Anchoring::Full;
            }
            self.register(waiter, lane, kind, now);
            // A lane that has ended says all it has to say at once: nothing would wake whoever
            // waits at it.
            if let Some(anchoring) = lane.and_then(|lane| self.anchored(kind, lane, now.at, now)) {
                self.leave(waiter);
                return anchoring;
            }
        }
        Anchoring::Pending(self.outage.clone())
    }

    /// LATESTs that began at different moments, with nothing between them, need one iterator, not
    /// one each.
    pub(super) fn join(&mut self, id: u64) {
        let Some(first) = self.lanes.iter().find(|lane| lane.id == id) else { return };
        // What a call under way brings to a lane that is gone is dropped: the first one reads it,
        // too.
        let covered = |lane: &&Lane| lane.id != id && first.covers(lane);
        let covered: Vec<u64> = self.lanes.iter().filter(covered).map(|lane| lane.id).collect();
        for other in covered {
            let at = self.lanes.iter().position(|lane| lane.id == other).expect("just found");
            let other = self.lanes.remove(at);
            for waiter in self.waiters.values_mut().filter(|waiter| waiter.lane == Some(other.id)) {
                waiter.lane = Some(id);
                // It waits at the tip from now on.
                self.wakeups.add(waiter.wake_id);
            }
            self.lane(id).expect("just found").take_over(other);
        }
    }

    /// Where a LATEST waits: at a lane that has seen the tip, else at an iterator of AWS's own that
    /// is still to be asked for.
    pub(super) fn place_for_latest(
        &mut self,
        tip_will_do: bool,
        now: Now,
    ) -> (WaiterKind, Option<u64>) {
        let reading = |lane: &&Lane| match lane.iter {
            Iter::Done(LaneEnd::Closed) => true,
            Iter::Done(_) => false,
            Iter::Needed | Iter::Opening | Iter::Ready { .. } | Iter::Reading { .. } => {
                tip_will_do && lane.saw_tip()
            }
        };
        if let Some(lane) =
            self.lanes.iter().filter(reading).max_by_key(|lane| (lane.tail, lane.id))
        {
            return (WaiterKind::Tip, Some(lane.id));
        }
        let unasked = |lane: &&Lane| lane.origin == LaneOrigin::Latest && lane.iter == Iter::Needed;
        let unasked = self.lanes.iter().find(unasked).map(|lane| lane.id);
        (WaiterKind::Latest, unasked.or_else(|| self.start_lane(LaneOrigin::Latest, 0, now.at)))
    }

    /// What a LATEST that waits at a lane has come to, if it has.
    fn anchored(
        &mut self,
        kind: WaiterKind,
        lane: u64,
        since: Instant,
        now: Now,
    ) -> Option<Anchoring> {
        let grain = self.grain;
        let lane = self.lane(lane)?;
        let ended = match &lane.iter {
            Iter::Done(LaneEnd::Closed) => true,
            Iter::Done(LaneEnd::Invalid(error)) => return Some(Anchoring::Refused(error.clone())),
            // What became of the shard is told at the first look. If it is there all the same,
            // LATEST is when it was asked for.
            Iter::Done(_) => {
                let asked = now.wall.minus(now.at.saturating_duration_since(since));
                let position = Position::AtTimestamp(Anchor::new(asked, grain).fallback);
                return Some(Anchoring::Missed(ReadPosition::asked(position, Some(asked), now)));
            }
            Iter::Needed | Iter::Opening | Iter::Ready { .. } | Iter::Reading { .. } => false,
        };
        let LaneOrigin::Position(base) = &lane.origin else { return None };
        if let (PositionBase::Anchor(anchor), WaiterKind::Latest) = (base, kind) {
            return Some(Anchoring::Done(ReadPosition::anchored(anchor.clone(), now)));
        }
        let shown = lane.saw_tip() && lane.tip.asked.is_some_and(|asked| asked >= since);
        if !shown && !ended {
            return None;
        }
        let begun = ReadPosition {
            base: base.clone(),
            ..ReadPosition::asked(Position::TrimHorizon, Some(now.wall), now)
        };
        if ended || lane.tail != (None, 0) {
            return Some(Anchoring::Done(lane.end_spot(&begun)));
        }
        // The lane has met no record: where it began is where LATEST is now, but only for as long
        // as nothing comes.
        if lane.anchors.is_empty() {
            let shown = lane.tip.clock.unwrap_or(now.wall);
            lane.anchors.push(Arc::new(Anchor::new(shown, grain)));
        }
        Some(Anchoring::Done(ReadPosition::anchored(lane.anchors[0].clone(), now)))
    }
}
