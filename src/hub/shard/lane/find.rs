//! Finds a position among the entries of a lane. Pure.

use std::sync::Arc;

use crate::model::{Now, Position, Timestamp};

use super::super::position::{Anchor, PositionBase, ReadPosition};
use super::{Lane, LaneOrigin, Located};

impl Lane {
    /// What comes next at the position in this lane; `None`: the lane does not cover the position.
    pub(crate) fn find(&self, position: &ReadPosition) -> Option<Located> {
        if let Some(newest) = position.over_horizon() {
            // A lane that ended may itself have begun at the horizon: it is the one that the detour
            // avoids.
            let ended = self.id <= newest && self.iter.rank() == 0;
            let helps = self.begins_at(&PositionBase::Position(Position::TrimHorizon)) && !ended;
            return helps.then(|| self.log.first_not(|entry| position.passes(entry)));
        }
        if let Some(number) = position.number() {
            return self.log.find_behind((Some(number), position.skip));
        }
        if self.begins_at(&position.base) {
            let start = (None, position.skip);
            return Some(self.log.first_not(|entry| entry.order <= start));
        }
        match position.base.position() {
            Position::AtSequenceNumber(number) => self.log.find_at(number),
            Position::AtTimestamp(time) if matches!(position.base, PositionBase::Position(_)) => {
                self.find_since(time)
            }
            Position::TrimHorizon | Position::AfterSequenceNumber(_) | Position::AtTimestamp(_) => {
                None
            }
        }
    }

    pub(super) fn begins_at(&self, base: &PositionBase) -> bool {
        let here = |anchor: &Arc<Anchor>| matches!(base, PositionBase::Anchor(other) if Arc::ptr_eq(anchor, other));
        let origin = matches!(&self.origin, LaneOrigin::Position(origin) if origin == base);
        self.log.is_intact() && (origin || self.anchors.iter().any(here))
    }

    fn find_since(&self, time: Timestamp) -> Option<Located> {
        let from_start = self.begins_at(&PositionBase::Position(Position::TrimHorizon));
        let from_before = match &self.origin {
            LaneOrigin::Position(PositionBase::Position(Position::AtTimestamp(since))) => {
                *since <= time
            }
            LaneOrigin::Position(_) | LaneOrigin::Latest => from_start,
        };
        if from_before
            && self.log.is_intact()
            && self.log.tail() == (None, 0)
            && self.tip.is_reached()
        {
            // No entry was read, not even a dropped one: the end of the lane is the position of
            // every later time, too.
            return Some(Located::End);
        }
        if !from_start && !self.log.has_older_than(time) {
            return None;
        }
        let found = self.log.first_since(time);
        // An entry without a number is counted from where its lane began, so its position would
        // differ.
        found
            .filter(|(.., order)| order.0.is_some())
            .map(|(at, index, _)| Located::Entry(at, index))
    }

    /// Whether everything after the other lane's beginning also lies after this lane's end: both
    /// have read no entry, and this one, which began first, has read up to the tip since the other
    /// began.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let from_before = matches!(
            &self.origin,
            LaneOrigin::Position(
                PositionBase::Anchor(_) | PositionBase::Position(Position::TrimHorizon)
            )
        );
        let at_latest = matches!(&other.origin, LaneOrigin::Position(PositionBase::Anchor(_)));
        let (Some(here), Some(there), Some(looked)) = (self.given, other.given, self.tip.newest)
        else {
            return false;
        };
        let has_looked = here.at <= there.at && there.at <= looked.asked && self.saw_tip();
        self.log.is_bare() && other.log.is_bare() && from_before && at_latest && has_looked
    }

    /// Whether the lane began at this position, but so long after the position was last known to be
    /// readable that records there may have been trimmed in between: for a position without a
    /// number AWS does not report that.
    pub(crate) fn began_too_late(&self, position: &ReadPosition, now: Now) -> bool {
        let horizon = PositionBase::Position(Position::TrimHorizon);
        let by_beginning = match position.base.position() {
            _ if position.over_horizon().is_some() => self.begins_at(&horizon),
            Position::TrimHorizon => self.begins_at(&position.base),
            Position::AtTimestamp(time) => {
                self.begins_at(&position.base)
                    || self.begins_at(&horizon) && !self.log.has_older_than(time)
            }
            Position::AtSequenceNumber(_) | Position::AfterSequenceNumber(_) => false,
        };
        by_beginning && !position.is_safe(self.given.map_or(now.wall, |given| given.wall))
    }
}
