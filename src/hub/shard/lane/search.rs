//! A lane's search for a time without AWS's help: older entries are dropped. Pure.

use crate::encode::{Batch, LogOffset};
use crate::model::{Position, Timestamp};

use super::{Lane, LaneOrigin};

impl Lane {
    /// Its next iterator does not begin at `time`: it searches.
    pub(crate) fn search(&mut self, time: Timestamp) {
        self.drop_before = Some(time);
    }

    /// Whether the lane searches for a time among records without times: every record would match.
    pub(crate) fn searches_in_vain(&self, first: &Batch) -> bool {
        self.drop_before.is_some() && self.log.is_bare() && first.is_timeless()
    }

    /// If the lane has read nothing yet, starts its search after `passed`, up to which all entries
    /// are too old. Returns whether it did.
    pub(crate) fn search_behind(&mut self, passed: LogOffset) -> bool {
        let begins = self.log.is_bare();
        if begins {
            self.log.begin_behind(passed);
        }
        begins
    }

    /// Restarts a search by time if it has found nothing yet; returns whether it did.
    pub(crate) fn search_again(&mut self) -> bool {
        let searches = self.drop_before.is_some() && self.log.has_found_nothing();
        if searches {
            self.log.begin_behind((None, 0));
        }
        searches
    }

    /// The search found an entry, which is the first that is kept.
    pub(super) fn found(&mut self) {
        self.drop_before = None;
    }

    /// At the tip a search by time ends: everything up to the tail is older, and whatever comes
    /// from now on is kept.
    pub(super) fn end_search(&mut self) {
        if self.tip.is_reached() && self.log.tail().0.is_some() && self.drop_before.take().is_some()
        {
            self.log.keep_from_tail();
        }
    }

    /// The order at which a search that found nothing ended: for a cursor searching for the same
    /// time an equivalent position, and an exact one. `None`: there was no such search, or it has
    /// not ended.
    pub(crate) fn searched_to(&self) -> Option<LogOffset> {
        let ended = self.log.begins_at_its_tail() && self.tip.is_reached();
        let by_time = matches!(&self.origin, LaneOrigin::Position(base) if matches!(base.position(), Position::AtTimestamp(_)));
        (ended && by_time).then_some(self.log.tail())
    }
}
