//! Finds a position among the entries of a lane. Pure.

use std::sync::Arc;

use crate::encode::{Batch, Entry, LogOffset};
use crate::model::{Position, SequenceNumber, Timestamp};

use super::super::position::{Anchor, PositionBase, ReadPosition};
use super::{Lane, LaneOrigin, Located, STAMP_MARGIN};

impl Lane {
    /// What comes next at the position in this lane; `None`: the lane does not cover the position.
    pub(crate) fn find(&self, position: &ReadPosition) -> Option<Located> {
        if let Some(newest) = position.detour.over_horizon() {
            // A lane that ended may itself have begun at the horizon: it is the one that the detour
            // avoids.
            let ended = self.id <= newest && self.iter.rank() == 0;
            let helps = self.begins_at(&PositionBase::Position(Position::TrimHorizon)) && !ended;
            return helps.then(|| self.first_not(|entry| position.passes(entry)));
        }
        if self.begins_at(&position.base)
            && self.begun.is_none_or(|begun| position.order() >= Some(begun))
        {
            let start = match position.base {
                PositionBase::Position(Position::AfterSequenceNumber(number)) => {
                    (Some(number), position.skip)
                }
                PositionBase::Position(_) | PositionBase::Anchor(_) => (None, position.skip),
            };
            return Some(self.first_not(|entry| entry.order <= start));
        }
        match position.base.position() {
            Position::TrimHorizon => None,
            Position::AfterSequenceNumber(number) => {
                self.find_behind((Some(number), position.skip))
            }
            Position::AtSequenceNumber(number) => self.find_at(number),
            Position::AtTimestamp(time) if matches!(position.base, PositionBase::Position(_)) => {
                self.find_since(time)
            }
            Position::AtTimestamp(_) => None,
        }
    }

    /// The oldest entry kept.
    pub(crate) fn first(&self) -> Option<&Entry> {
        self.batches.front().and_then(|batch| batch.entries().first())
    }

    /// The order of the oldest kept entry that has a number. An entry without a number, first in a
    /// lane, may come after many others in the shard.
    pub(crate) fn first_numbered(&self) -> Option<LogOffset> {
        let mut orders = self.batches.iter().flat_map(Batch::entries).map(|entry| entry.order);
        orders.find(|order| order.0.is_some())
    }

    /// The order of the newest kept entry strictly before `order`.
    pub(crate) fn last_before(&self, order: LogOffset) -> Option<LogOffset> {
        let entries = self.batches.iter().rev().flat_map(|batch| batch.entries().iter().rev());
        entries.map(|entry| entry.order).find(|&found| found < order)
    }

    pub(super) fn begins_at(&self, base: &PositionBase) -> bool {
        let here = |anchor: &Arc<Anchor>| matches!(base, PositionBase::Anchor(other) if Arc::ptr_eq(anchor, other));
        let origin = matches!(&self.origin, LaneOrigin::Position(origin) if origin == base);
        self.intact && (origin || self.anchors.iter().any(here))
    }

    /// Whether the lane keeps everything from behind `order` up to its own tail.
    pub(crate) fn reaches(&self, order: LogOffset) -> bool {
        self.keeps_behind(order) && order <= self.tail
    }

    fn keeps_behind(&self, order: LogOffset) -> bool {
        self.floor.is_some_and(|floor| floor <= order)
            || self.first_numbered().is_some_and(|first| first <= order)
    }

    fn find_behind(&self, order: LogOffset) -> Option<Located> {
        // The position is at a further entry of the lane's newest number: the lane will read up to
        // it.
        let leads_there = order.0 == self.tail.0 && self.keeps_behind(order);
        (leads_there || self.reaches(order)).then(|| self.first_not(|entry| entry.order <= order))
    }

    fn find_at(&self, number: SequenceNumber) -> Option<Located> {
        let order = (Some(number), 0);
        let reaches = self.floor.is_some_and(|floor| floor < order)
            || self.first_numbered().is_some_and(|first| first <= order);
        (reaches && order <= self.tail).then(|| self.first_not(|entry| entry.order < order))
    }

    fn find_since(&self, time: Timestamp) -> Option<Located> {
        let from_start = self.begins_at(&PositionBase::Position(Position::TrimHorizon));
        let from_before = match &self.origin {
            LaneOrigin::Position(PositionBase::Position(Position::AtTimestamp(since))) => {
                *since <= time
            }
            LaneOrigin::Position(_) | LaneOrigin::Latest => from_start,
        };
        if from_before && self.intact && self.tail == (None, 0) && self.saw_tip() {
            // No entry was read, not even a dropped one: the end of the lane is the position of
            // every later time, too.
            return Some(Located::End);
        }
        if !from_start && !self.has_older_than(time) {
            return None;
        }
        let found = self.first_since(time);
        // An entry without a number is counted from where its lane began, so its position would
        // differ.
        found
            .filter(|(.., order)| order.0.is_some())
            .map(|(at, index, _)| Located::Entry(at, index))
    }

    /// The batch, index and order of the first entry created at `time` or later. An entry without a
    /// time counts as old as the dated one after it; without any dated entry the result is `None`.
    fn first_since(&self, time: Timestamp) -> Option<(usize, usize, LogOffset)> {
        let (mut found, mut dated) = (None, false);
        let entries = self.batches.iter().enumerate();
        let entries = entries.flat_map(|(at, batch)| {
            batch.entries().iter().enumerate().map(move |entry| (at, entry))
        });
        // Stamps may regress within a second: not a binary search.
        for (at, (index, entry)) in entries {
            let here = (at, index, entry.order);
            match entry.created_at {
                Some(created) if created >= time => return found.or(Some(here)),
                Some(_) => (found, dated) = (None, true),
                None => _ = found.get_or_insert(here),
            }
        }
        found.filter(|_| dated)
    }

    /// Whether the lane read entries so much older than `time` that everything created since lies
    /// behind them.
    pub(super) fn has_older_than(&self, time: Timestamp) -> bool {
        let oldest = self.newest_gone.or(self.first().and_then(|entry| entry.created_at));
        oldest.is_some_and(|oldest| oldest.plus(STAMP_MARGIN) <= time)
    }

    /// The first entry that is not `passed`; entries passed come before entries not passed.
    fn first_not(&self, passed: impl Fn(&Entry) -> bool) -> Located {
        let batch =
            self.batches.partition_point(|batch| batch.entries().last().is_some_and(&passed));
        match self.batches.get(batch) {
            Some(found) => Located::Entry(batch, found.entries().partition_point(passed)),
            None => Located::End,
        }
    }
}
