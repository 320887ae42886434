//! How LATEST becomes a position: the anchor of an AWS iterator for LATEST, or the end of a lane
//! that has seen the tip. Shared by all clients that request it. Pure.

use std::time::Instant;

use crate::model::{Now, Position};

use super::lane::{Iter, Lane, LaneEnd, LaneOrigin};
use super::poll::Anchoring;
use super::position::{Anchor, PositionBase, ReadPosition};
use super::state::ShardState;
use super::tip::EMPTIES_TO_TIP;
use super::waiters::{Registered, Registration, WaiterKind};

impl ShardState {
    /// Requests LATEST, or polls the earlier request registered as `waiter`.
    pub fn latest(&mut self, waiter: &mut Option<u64>, now: Now) -> Anchoring {
        let registered = self.waiters.get(*waiter);
        let anchored = match registered {
            Some(Registered { kind, lane: Some(lane), since, .. }) => {
                self.anchored(kind, lane, since, now)
            }
            Some(_) | None => None,
        };
        if let Some(anchoring) = anchored {
            self.leave(waiter);
            return anchoring;
        }
        let patience = EMPTIES_TO_TIP;
        let hopeless = registered.is_some_and(|waiter| {
            waiter.kind == WaiterKind::Tip && waiter.counts.answers >= patience
        });
        let unplaced = registered.is_none_or(|waiter| waiter.lane.is_none());
        if hopeless || unplaced {
            let (kind, lane) = self.place_for_latest(!hopeless, now);
            if lane.is_none() && waiter.is_none() && self.is_full() {
                return Anchoring::Full;
            }
            let entry = Registration { lane, kind, position: None, data_at: None };
            self.waiters.register(waiter, entry, now.at);
            // A lane that has ended has its outcome at once, and nothing would wake a waiter there.
            if let Some(anchoring) = lane.and_then(|lane| self.anchored(kind, lane, now.at, now)) {
                self.leave(waiter);
                return anchoring;
            }
        }
        Anchoring::Pending(self.calls.outage())
    }

    /// Merges LATEST lanes that began at different moments with nothing written between them: one
    /// iterator is enough.
    pub(super) fn join(&mut self, id: u64) {
        let Some(first) = self.lanes.get(id) else { return };
        // The response to a call under way for a removed lane is dropped: the remaining lane reads
        // the same records.
        let covered = |lane: &&Lane| lane.id() != id && first.covers(lane);
        let covered: Vec<u64> = self.lanes.iter().filter(covered).map(Lane::id).collect();
        for other in covered {
            self.waiters.join(other, id);
            if let Some(other) = self.lanes.remove(other)
                && let Some(lane) = self.lanes.get_mut(id)
            {
                lane.take_over(other);
            }
        }
    }

    /// The lane at which a LATEST request waits: one that has seen the tip, else one whose AWS
    /// iterator for LATEST is still to be requested. `None`: no room for a lane.
    pub(super) fn place_for_latest(
        &mut self,
        tip_will_do: bool,
        now: Now,
    ) -> (WaiterKind, Option<u64>) {
        let reading = |lane: &&Lane| match lane.iter() {
            Iter::Done(LaneEnd::Closed) => true,
            Iter::Done(_) => false,
            Iter::Needed | Iter::Opening | Iter::Ready { .. } | Iter::Reading { .. } => {
                tip_will_do && lane.saw_tip()
            }
        };
        if let Some(lane) =
            self.lanes.iter().filter(reading).max_by_key(|lane| (lane.tail(), lane.id()))
        {
            return (WaiterKind::Tip, Some(lane.id()));
        }
        let unasked =
            |lane: &&Lane| *lane.origin() == LaneOrigin::Latest && *lane.iter() == Iter::Needed;
        let unasked = self.lanes.iter().find(unasked).map(Lane::id);
        (WaiterKind::Latest, unasked.or_else(|| self.start_lane(LaneOrigin::Latest, 0, now.at)))
    }

    /// The outcome of a LATEST request that waits at a lane; `None`: not known yet.
    fn anchored(
        &mut self,
        kind: WaiterKind,
        lane: u64,
        since: Instant,
        now: Now,
    ) -> Option<Anchoring> {
        let grain = self.grain;
        let lane = self.lanes.get_mut(lane)?;
        let ended = match lane.iter() {
            Iter::Done(LaneEnd::Closed) => true,
            Iter::Done(LaneEnd::Invalid(error)) => return Some(Anchoring::Refused(error.clone())),
            // The next poll reports what happened to the shard. In case the shard still exists,
            // LATEST becomes the time at which it was requested.
            Iter::Done(_) => {
                let asked = now.wall.minus(now.at.saturating_duration_since(since));
                let position = Position::AtTimestamp(Anchor::new(asked, grain).fallback);
                return Some(Anchoring::Missed(ReadPosition::asked(position, Some(asked), now)));
            }
            Iter::Needed | Iter::Opening | Iter::Ready { .. } | Iter::Reading { .. } => false,
        };
        let LaneOrigin::Position(base) = lane.origin() else { return None };
        if let (PositionBase::Anchor(anchor), WaiterKind::Latest) = (base, kind) {
            return Some(Anchoring::Done(ReadPosition::anchored(anchor.clone(), now)));
        }
        let shown = lane.saw_tip() && lane.tip().newest.is_some_and(|newest| newest.asked >= since);
        if !shown && !ended {
            return None;
        }
        let begun = ReadPosition {
            base: base.clone(),
            ..ReadPosition::asked(Position::TrimHorizon, Some(now.wall), now)
        };
        if ended || lane.tail() != (None, 0) {
            return Some(Anchoring::Done(lane.end_position(&begun)));
        }
        let shown = lane.tip().newest.map_or(now.wall, |newest| newest.clock);
        Some(Anchoring::Done(ReadPosition::anchored(lane.anchor_at_tip(shown, grain), now)))
    }
}
